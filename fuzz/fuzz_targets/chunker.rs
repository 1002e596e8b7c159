//! Cutting: pieces join to what was cut, within their bounds, however a reader portions it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_chunker::{Chunks, Cut, Cutter, Sizes, sqlite_page_len};
use std::io::Read;

/// Gives a few bytes at a time.
struct Portions<'a> {
    data: &'a [u8],
    step: usize,
}

impl Read for Portions<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let len = self.step.min(buffer.len());
        self.data.take(len as u64).read(buffer).inspect(|len| self.data = &self.data[*len..])
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((head, data)) = data.split_first_chunk::<8>() else { return };
    let word = |at: usize| u32::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let step = usize::from(head[6]) + 1;
    let repeated = data.repeat(usize::from(head[7]) + 1);
    if let Ok(sizes) = Sizes::new(word(0), word(2), word(4)) {
        let cutter = Cutter::new(&[9; 32], sizes);
        let pieces: Vec<&[u8]> = cutter.cuts(&repeated).collect();
        assert_eq!(pieces.concat(), repeated);
        let bounds = sizes.min() as usize..=sizes.max() as usize;
        let all_but_last = pieces.len().saturating_sub(1);
        assert!(pieces[..all_but_last].iter().all(|piece| bounds.contains(&piece.len())));
        let stream = Chunks::new(Portions { data: &repeated, step }, Cut::Content(cutter));
        let streamed: Vec<Vec<u8>> = stream.map(|chunk| chunk.expect("it cannot fail")).collect();
        assert_eq!(streamed, pieces);
    }
    if let Some(page_len) = sqlite_page_len(data) {
        let stream = Chunks::new(data, Cut::pages(page_len));
        let streamed: Vec<Vec<u8>> = stream.map(|chunk| chunk.expect("it cannot fail")).collect();
        assert_eq!(streamed.concat(), data);
    }
});
