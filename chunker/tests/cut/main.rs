//! What a writer may rely on: the cut as others see it.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod golden;
mod naive;
mod rule;
mod stream;

use russet_chunker::{Cutter, Sizes};

fn sizes(min: u32, avg: u32, max: u32) -> Sizes {
    Sizes::new(min, avg, max).unwrap()
}

fn cutter() -> Cutter {
    Cutter::new(&[7; 32], sizes(1024, 4096, 16384))
}

fn lens(cutter: &Cutter, data: &[u8]) -> Vec<usize> {
    cutter.cuts(data).map(<[u8]>::len).collect()
}

/// Bytes without pattern, the same for the same label.
fn noise(label: &str, len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    blake3::Hasher::new().update(label.as_bytes()).finalize_xof().fill(&mut data);
    data
}

/// Lines as in a log: few letters, much repetition.
fn text(len: usize) -> Vec<u8> {
    let mut data = Vec::new();
    for line in 0u32.. {
        if data.len() >= len {
            break;
        }
        let picked = blake3::hash(&line.to_le_bytes());
        data.extend(
            format!("<key>item {line}</key>\n\t<string>{}</string>\n", &picked.to_hex()[..12])
                .bytes(),
        );
    }
    data.truncate(len);
    data
}
