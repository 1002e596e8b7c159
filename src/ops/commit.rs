//! The last step of every capture: its record, once every blob of its tree was seen in a listed pack.
//!
//! Invariant: there is a snapshot when this returns Ok, and none when it does not, but for a record that was written and
//! could not be made durable: the next run sees it.

use russet_store::ids::RecordId;
use russet_store::repository::Repository;
use russet_store::session::{Session, SessionError, Written};

use crate::snapshot::SnapshotRecord;
use crate::snapshot::walk::BlobWalk;

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
    let id = session.commit(content, |check| {
        let mut walk = BlobWalk::default();
        let mut problem = None;
        walk.add(repository, root, &mut |error| problem = Some(error));
        if problem.is_some() {
            return Err(SessionError::Absent { count: 1 });
        }
        for ids in [walk.trees, walk.data] {
            let ids: Vec<_> = ids.into_iter().collect();
            for batch in ids.chunks(4096) {
                check(batch)?;
            }
        }
        Ok(())
    })?;
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
