//! The rows of a snapshot's Manifest.db, read where they lie in the repository.
//!
//! Invariant: nothing of it is written anywhere. Of a Manifest.db that the phone encrypted and no capture opened there are none.

use std::io::Read;
use std::ops::ControlFlow;

use russet_store::repository::Repository;

use crate::apple::{ManifestPages, ManifestPagesError, RootFile, Row};
use crate::capture::device::draft::{Draft, Found};
use crate::capture::device::host::PLIST_LEN_MAX;
use crate::capture::stored::StoredReader;
use crate::snapshot::content_at::ContentAt;
use crate::snapshot::contents::ContentError;
use crate::snapshot::{Content, Snapshot, TreeWalk, What};

/// Why rows cannot be read, or not to their end.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowsError {
    /// There is no Manifest.db.
    #[error("the snapshot has no Manifest.db")]
    Missing,
    /// It is not whole in the repository.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// It is damaged, or encrypted.
    #[error(transparent)]
    Pages(#[from] ManifestPagesError),
}

/// One of the four files at the root of a backup. What belongs to no domain comes first in a tree; a part of the listing that cannot
/// be read is passed over.
pub(super) fn root_file(
    repository: &Repository,
    snapshot: &Snapshot,
    file: RootFile,
) -> Option<Content> {
    let mut walk = TreeWalk::new(repository, snapshot.record.tree).flatten();
    walk.find_map(|entry| match entry.what {
        What::File(content) if entry.stored_path == file.name().as_bytes() => Some(content),
        What::File(_) | What::Directory | What::Link { .. } => None,
    })
}

/// The `Manifest.plist` that a phone is shown in a draft; none, if it is not there or cannot be read.
pub(super) fn draft_manifest(repository: &Repository, draft: &Draft) -> Option<Vec<u8>> {
    let name = RootFile::ManifestPlist.name();
    let Some(Found::File(file)) = draft.tree().get(name.as_bytes()) else { return None };
    let content = file.packed.decode().content;
    let mut bytes = Vec::new();
    let reader = StoredReader::new(repository, &content);
    reader.take(PLIST_LEN_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Hands every row to `visit`, and gives how many there were.
pub(super) fn for_each_row(
    repository: &Repository,
    snapshot: &Snapshot,
    visit: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<u64, RowsError> {
    with_pages(repository, snapshot, |pages| pages.for_each_row(visit))
}

/// Hands every row to `visit`, and gives what is wrong with the index by which a phone finds them.
pub(super) fn check_each_row(
    repository: &Repository,
    snapshot: &Snapshot,
    visit: impl FnMut(Row) -> ControlFlow<()>,
) -> Result<Option<ManifestPagesError>, RowsError> {
    with_pages(repository, snapshot, |pages| {
        pages.for_each_row(visit)?;
        Ok(pages.check_index().err())
    })
}

fn with_pages<T>(
    repository: &Repository,
    snapshot: &Snapshot,
    read: impl FnOnce(&mut ManifestPages<ContentAt<'_>>) -> Result<T, ManifestPagesError>,
) -> Result<T, RowsError> {
    let manifest = root_file(repository, snapshot, RootFile::ManifestDb);
    let content = manifest.ok_or(RowsError::Missing)?;
    let source = ContentAt::new(repository, &content)?;
    Ok(read(&mut ManifestPages::open(source)?)?)
}
