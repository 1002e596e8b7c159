//! How what is put into a spool becomes durable.
//!
//! Invariant: what was told to be durable outlives a power cut: the bytes of a file, and apart from them the names in a folder.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use russet_store::backend::beside;

/// Makes files and folders durable.
pub trait Durable: fmt::Debug + Send + Sync {
    /// All bytes of a file, which has that path.
    ///
    /// # Errors
    /// The drive failed.
    fn file(&self, path: &Path, file: &File) -> io::Result<()>;

    /// All names in a folder.
    ///
    /// # Errors
    /// The drive failed.
    fn folder(&self, path: &Path) -> io::Result<()>;
}

/// The drive's own way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Drive;

impl Durable for Drive {
    fn file(&self, _: &Path, file: &File) -> io::Result<()> {
        beside::sync_file(file)
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        beside::sync_folder(path)
    }
}
