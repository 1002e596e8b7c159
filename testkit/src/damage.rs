//! Damage done on purpose to files on disk.
//!
//! Invariant: each call changes exactly what it says and fails if there is nothing to change, so that a test cannot
//! pass because the damage missed. Never called on anything but test data.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What one sector of a disk holds, in bytes.
pub const SECTOR_LEN: u64 = 512;

/// Turns over bit `bit` (0 to 7) of the byte at `offset`.
pub fn flip_bit(path: &Path, offset: u64, bit: u8) -> io::Result<()> {
    let mut file = open(path)?;
    let mut byte = [0];
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(&[byte[0] ^ (1 << (bit & 7))])
}

/// Cuts the file to `len` bytes, which must be fewer than it has.
pub fn truncate(path: &Path, len: u64) -> io::Result<()> {
    let file = open(path)?;
    if len >= file.metadata()?.len() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the file is not longer than that",
        ));
    }
    file.set_len(len)
}

/// Writes zeros over sector `index`, or what there is of it; it must hold something else before.
pub fn zero_sector(path: &Path, index: u64) -> io::Result<()> {
    let mut file = open(path)?;
    let offset = index.saturating_mul(SECTOR_LEN);
    file.seek(SeekFrom::Start(offset))?;
    let mut sector = Vec::new();
    Read::by_ref(&mut file).take(SECTOR_LEN).read_to_end(&mut sector)?;
    if sector.iter().all(|&byte| byte == 0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "there is nothing to zero"));
    }
    sector.fill(0);
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(&sector)
}

/// Removes the file.
pub fn remove(path: &Path) -> io::Result<()> {
    std::fs::remove_file(path)
}

/// Every file under `folder`, links included, sorted by path.
pub fn all_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn file_of(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn one_bit_is_flipped_and_no_other() {
        let (_folder, path) = file_of(&[0; 10]);
        flip_bit(&path, 3, 6).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), [0, 0, 0, 64, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_bit_behind_the_end_is_refused() {
        let (_folder, path) = file_of(&[0; 10]);
        assert!(flip_bit(&path, 10, 0).is_err());
    }

    #[test]
    fn a_file_is_cut_and_never_grown() {
        let (_folder, path) = file_of(&[1; 10]);
        assert!(truncate(&path, 10).is_err());
        truncate(&path, 4).unwrap();
        assert_eq!(std::fs::read(path).unwrap(), [1; 4]);
    }

    #[test]
    fn the_last_short_sector_is_zeroed_alone() {
        let (_folder, path) = file_of(&[7; 700]);
        zero_sector(&path, 1).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!((bytes.len(), bytes.iter().filter(|&&byte| byte == 0).count()), (700, 188));
        assert_eq!(bytes[511], 7);
        assert!(zero_sector(&path, 1).is_err());
        assert!(zero_sector(&path, 2).is_err());
    }

    #[test]
    fn files_are_listed_with_those_in_sub_folders_sorted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("b/c")).unwrap();
        for name in ["z", "b/c/x", "a"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let expected: Vec<PathBuf> =
            ["a", "b/c/x", "z"].iter().map(|name| folder.path().join(name)).collect();
        assert_eq!(all_files(folder.path()).unwrap(), expected);
    }
}
