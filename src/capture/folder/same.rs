//! Whether a folder is, byte for byte, what a tree holds.
//!
//! Invariant: only a folder of which every file was read, and hashed to what the tree says, is the same: a guess would leave a
//! backup out of the archive. Stores nothing, and needs no password: trees have the hash of what is stored.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;

use russet_store::ids::BlobId;
use russet_store::repository::Repository;

use super::lock::open_file;
use super::names::{bytes_of, path_of};
use super::plan::mtime;
use crate::snapshot::{Entry, TreeWalk, What};

/// Reads a folder and compares it. What cannot be read is not the same, and whoever takes the folder says why.
#[must_use]
pub fn is_same(
    repository: &Repository,
    tree: BlobId,
    folder: &Path,
    stop: &dyn Fn() -> bool,
) -> bool {
    let mut listed_count = 0_u64;
    for entry in TreeWalk::new(repository, tree) {
        let same = entry.is_ok_and(|entry| entry_is_same(folder, &entry).unwrap_or(false));
        if !same || stop() {
            return false;
        }
        listed_count += 1;
    }
    count_below(folder).is_ok_and(|count| count + 1 == listed_count)
}

fn entry_is_same(folder: &Path, entry: &Entry) -> io::Result<bool> {
    let Some(path) = path_of(folder, &entry.stored_path) else { return Ok(false) };
    // The folder itself may be a link to another disk.
    let metadata: Metadata = match entry.stored_path.is_empty() {
        true => fs::metadata(&path)?,
        false => fs::symlink_metadata(&path)?,
    };
    if mtime(&metadata) != (entry.mtime_secs, entry.mtime_nanos) {
        return Ok(false);
    }
    match &entry.what {
        What::Directory => Ok(metadata.is_dir()),
        What::Link { target } => Ok(metadata.is_symlink()
            && bytes_of(fs::read_link(&path)?.as_os_str()).as_ref() == Some(target)),
        What::File(content) => {
            if metadata.len() != content.len {
                return Ok(false);
            }
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(open_file(&path)?)?;
            Ok(hasher.finalize().as_bytes() == &content.hash)
        }
    }
}

fn count_below(folder: &Path) -> io::Result<u64> {
    let mut count = 0;
    for child in fs::read_dir(folder)? {
        let child = child?;
        count += 1;
        if child.file_type()?.is_dir() {
            count += count_below(&child.path())?;
        }
    }
    Ok(count)
}
