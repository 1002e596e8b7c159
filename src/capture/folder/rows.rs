//! The rows of a folder's Manifest.db, whether it lies there in the clear or encrypted.
//!
//! Invariant: an encrypted one is read page by page and decrypted as it is read: no part of its plaintext is written anywhere.

use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use super::lock::open_file;
use crate::apple::{
    FileKey, ManifestDb, ManifestDbError, ManifestPages, ManifestPagesError, OpenedFile, RootFile,
    Row,
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

/// Gives every row to `visit`. With a key Manifest.db is read as encrypted under it, and what is wrong with its index is given:
/// the rows are good all the same.
pub(super) fn for_each_row(
    root: &Path,
    key: Option<&FileKey>,
    visit: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<Option<ManifestPagesError>, RowsError> {
    let path = root.join(RootFile::ManifestDb.name());
    let Some(key) = key else {
        ManifestDb::open(&path)?.for_each_row(visit)?;
        return Ok(None);
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
