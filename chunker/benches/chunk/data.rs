//! What is cut: generated kinds of bytes, and a folder if one is named.
//!
//! Invariant: the same name and length give the same bytes everywhere. Must not write.

use std::path::Path;
use std::{fs, io};

/// Bytes without pattern, as in compressed media.
pub(crate) fn media(len: usize) -> Vec<u8> {
    let mut data = vec![0; len];
    blake3::Hasher::new().update(b"media").finalize_xof().fill(&mut data);
    data
}

/// Pages of 4 KiB as SQLite leaves them: header, cell pointers, a gap of zeros, rows that share most of their columns.
pub(crate) fn sqlite(len: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(len + 4096);
    let mut row = 0u64;
    while data.len() < len {
        let rows_count = 8 + row % 7;
        let mut cells = Vec::new();
        for _ in 0..rows_count {
            row += 1;
            let hash = blake3::hash(&row.to_le_bytes());
            cells.extend(row.to_be_bytes());
            cells.extend(b"\x07\x81\x23\x05\x09iMessage;-;+49151");
            cells.extend(hash.to_hex().as_bytes()[..8].iter());
            cells.extend(b"\x00\x00\x00\x01NSString\x01\x94\x84\x01+ see you at ");
            cells.extend(&hash.as_bytes()[..(row % 32) as usize]);
            cells.extend([0; 24]);
        }
        let mut page = vec![13, 0, 0, 0, rows_count as u8, 0, 0, 0];
        page.extend((0..rows_count as u16).flat_map(|cell| (cell * 90).to_be_bytes()));
        page.resize(4096 - cells.len(), 0);
        page.extend(cells);
        data.extend(page);
    }
    data.truncate(len);
    data
}

/// A property list that goes on and on.
pub(crate) fn plist(len: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(len + 256);
    for item in 0u32.. {
        if data.len() >= len {
            break;
        }
        let hex = blake3::hash(&item.to_le_bytes()).to_hex();
        let (name, value) = (item % 500, &hex[..10]);
        data.extend(
            format!("\t<key>setting.{name}</key>\n\t<string>{value}</string>\n\t<true/>\n").bytes(),
        );
    }
    data.truncate(len);
    data
}

/// Every file below `folder`, one after another, in the order of their paths.
pub(crate) fn files(folder: &Path, into: &mut Vec<Vec<u8>>) -> io::Result<()> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            files(&path, into)?;
        } else {
            into.push(fs::read(path)?);
        }
    }
    Ok(())
}
