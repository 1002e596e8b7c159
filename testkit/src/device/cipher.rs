//! What the phone reads back encrypted: payloads and Manifest.db.
//!
//! Invariant: AES-256-CBC with a zero IV; sound padding is cut, unsound padding is kept (docs/apple-format.md §6).

use super::error::DeviceError;
use crate::keybag::Key;
use aes::cipher::{BlockModeDecrypt, KeyIvInit};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Decrypts a file beside itself. Padding is cut where it is sound.
pub(crate) fn decrypted(path: &Path, key: &Key) -> Result<PathBuf, DeviceError> {
    let plain_path = path.with_extension("plain");
    let mut source = BufReader::new(File::open(path)?);
    let mut sink = BufWriter::new(File::create(&plain_path)?);
    let mut decryptor = cbc::Decryptor::<aes::Aes256>::new(&(*key).into(), &[0; 16].into());
    let mut last = Vec::new();
    let mut block = [0; 16];
    loop {
        let mut filled = Vec::new();
        Read::by_ref(&mut source).take(16).read_to_end(&mut filled)?;
        if filled.len() < 16 {
            break;
        }
        sink.write_all(&last)?;
        block.copy_from_slice(&filled);
        let mut out = aes::cipher::Array::from(block);
        decryptor.decrypt_block(&mut out);
        last = out.to_vec();
    }
    let pad_len = last.last().copied().map_or(0, usize::from);
    let keep = last.len().saturating_sub(pad_len);
    let is_sound = (1..=16).contains(&pad_len)
        && last.get(keep..).is_some_and(|pad| pad.iter().all(|each| usize::from(*each) == pad_len));
    sink.write_all(last.get(..if is_sound { keep } else { last.len() }).unwrap_or_default())?;
    sink.flush()?;
    Ok(plain_path)
}
