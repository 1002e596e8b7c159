//! Files that lie beside a repository and are no part of it: made durable, opened and measured as the repository's own are.
//!
//! Invariant: what is true of a drive for a repository is true of it here. Knows no names and no formats.

use std::fs::File;
use std::io;
use std::path::Path;

use super::system;

/// Makes a file's bytes and length durable, as far as its drive can.
///
/// # Errors
/// The drive failed.
pub fn sync_file(file: &File) -> io::Result<()> {
    system::sync_file(file).map(drop)
}

/// Makes a folder's entries durable, where folders can be synced at all.
///
/// # Errors
/// The drive failed.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    system::sync_folder(path)
}

/// Opens for reading; a link is not followed and a pipe planted on the drive cannot make us wait.
///
/// # Errors
/// It is not there, or a link.
pub fn open_to_read(path: &Path) -> io::Result<File> {
    system::open_to_read(path)
}

/// Opens a file that is there to lock it, or to write it anew; a link is not followed.
///
/// # Errors
/// It is not there, a link, or must not be written to.
pub fn open_to_write(path: &Path) -> io::Result<File> {
    system::open_to_write(path)
}

/// Bytes that are free on the drive of a folder; None: this system does not say.
///
/// # Errors
/// The folder is not there.
pub fn free_len(path: &Path) -> io::Result<Option<u64>> {
    system::free_len(path)
}
