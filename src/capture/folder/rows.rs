//! The rows of a folder's Manifest.db, whether it lies there in the clear or encrypted.
//!
//! Invariant: an encrypted one is read page by page and decrypted as it is read: no part of its plaintext is written anywhere.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;

use super::lock::open_file;
use crate::apple::{
    FileKey, ManifestDb, ManifestDbError, ManifestPages, ManifestPagesError, OpenedFile,
    PageSource, RootFile, Row,
};

/// Why rows cannot be read, or not to their end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    /// Of one in the clear.
    #[error(transparent)]
    Clear(#[from] ManifestDbError),
    /// Of one that was opened.
    #[error(transparent)]
    Opened(#[from] ManifestPagesError),
    /// Of one that its key does not open.
    #[error("Manifest.db does not open with its key")]
    Locked(#[source] io::Error),
}

/// Gives every row to `visit`. With a key Manifest.db is read as encrypted under it. What is wrong with its pages or its index is
/// given: the rows are good all the same.
pub(super) fn for_each_row(
    root: &Path,
    key: Option<&FileKey>,
    visit: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<Option<ManifestPagesError>, RowsError> {
    let path = root.join(RootFile::ManifestDb.name());
    let Some(key) = key else {
        ManifestDb::open(&path)?.for_each_row(visit)?;
        return Ok(flaw_of(&path));
    };
    let open = || -> io::Result<_> {
        let file = open_file(&path)?;
        let stored_len = file.metadata()?.len();
        OpenedFile::new(file, FileKey::from_bytes(key.as_bytes()), stored_len)
    };
    let opened = open().map_err(RowsError::Locked)?;
    let mut pages = ManifestPages::open(opened)?;
    pages.for_each_row(visit)?;
    Ok(pages.check_index().err())
}

/// What a phone would stumble over in a Manifest.db whose rows SQLite gives: it reads rows by the index, which SQLite needs not for
/// all of them.
fn flaw_of(path: &Path) -> Option<ManifestPagesError> {
    let check = || {
        let mut pages = ManifestPages::open(InFile::open(path).map_err(ManifestPagesError::Io)?)?;
        pages.for_each_row(|_| ControlFlow::Continue(()))?;
        pages.check_index()
    };
    // What only SQLite can read is for SQLite to judge.
    check().err().filter(|why| matches!(why, ManifestPagesError::Damaged(_)))
}

/// A file that is read by place.
struct InFile {
    file: File,
    len: u64,
}

impl InFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = open_file(path)?;
        let len = file.metadata()?.len();
        Ok(Self { file, len })
    }
}

impl PageSource for InFile {
    fn total_len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(buf)
    }
}
