//! The last step of every capture: its record, once every blob of its tree was seen in a listed pack.
//!
//! Invariant: there is a snapshot when this returns Ok, and none when it does not, but for a record that was written and
//! could not be made durable: the next run sees it.

use russet_store::ids::{BlobId, RecordId};
use russet_store::repository::Repository;
use russet_store::session::{Session, SessionError, Written};

use crate::snapshot::SnapshotRecord;
use crate::snapshot::walk::visit_data;

/// Ids that are looked up together: enough that neighbours in the index are among them.
const BATCH_COUNT: usize = 16 << 10;

/// Why there is no new snapshot.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Storing.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The record.
    #[error("the record could not be written")]
    Json(#[from] serde_json::Error),
}

/// Ends a session with a snapshot; what was written for it includes its last packs.
///
/// # Errors
/// Something could not be written, or a blob of the tree stands in no pack.
pub(super) fn commit(
    repository: &Repository,
    session: Session<'_>,
    record: &SnapshotRecord,
) -> Result<(RecordId, Written), CommitError> {
    let content = serde_json::to_vec(record)?;
    // Numbers of the last packs are known only after the record that is in them was made.
    let before = repository.packs();
    let sessions_packs = session.written();
    let root = record.tree;
    let id = session.commit(content, |check| check_tree(repository, root, check))?;
    let after = repository.packs();
    let last: u64 =
        after.iter().filter(|(id, _)| !before.contains_key(*id)).map(|(_, len)| len).sum();
    let written = Written {
        stored_len: sessions_packs.stored_len + last,
        pack_count: sessions_packs.pack_count + after.len().saturating_sub(before.len()) as u64,
        ..sessions_packs
    };
    Ok((id, written))
}

/// Reads the new tree from its packs, node by node, and hands every blob that it names to `check`. A piece that many files
/// share may be asked for several times: a million ids are not kept to prevent that.
fn check_tree(
    repository: &Repository,
    root: BlobId,
    check: &mut dyn FnMut(&[BlobId]) -> Result<(), SessionError>,
) -> Result<(), SessionError> {
    let mut unreadable_count = 0;
    let mut batch = Vec::with_capacity(BATCH_COUNT);
    let mut checked = Ok(());
    let mut ask = |batch: &mut Vec<BlobId>| {
        batch.sort_unstable();
        batch.dedup();
        let result = check(batch);
        batch.clear();
        result
    };
    let data = |id| {
        if checked.is_ok() {
            batch.push(id);
            if batch.len() == BATCH_COUNT {
                checked = ask(&mut batch);
            }
        }
    };
    let trees = visit_data(repository, root, data, &mut |_| unreadable_count += 1);
    checked?;
    ask(&mut batch)?;
    if unreadable_count > 0 {
        return Err(SessionError::Absent { count: unreadable_count });
    }
    let mut trees = trees.into_iter();
    loop {
        batch.extend(trees.by_ref().take(BATCH_COUNT));
        if batch.is_empty() {
            return Ok(());
        }
        ask(&mut batch)?;
    }
}
