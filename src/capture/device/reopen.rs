//! A snapshot that is stored as a phone encrypted it, stored anew with its files opened.
//!
//! Invariant: everything in the old tree is in the new one, under the same stored path, with the same stored bytes and times; only
//! how its files are stored, and what the phone's list says of them, differs. The old tree is only read.

use std::collections::HashMap;

use russet_store::ids::BlobId;
use russet_store::session::Session;

use super::draft::{Draft, DraftTree, Found};
use super::finish::{FinishError, Layout, arrange};
use super::host::{Host, HostError, HostOptions};
use super::open_files::open_files;
use super::record::DraftRecord;
use super::space::Space;
use super::take::{Locked, Taken, Unlock};
use crate::observe::{Observer, Phase};
use crate::pipeline::Feeder;
use crate::snapshot::record::SnapshotRecord;
use crate::snapshot::{TreeError, TreeWalk, What};

/// Why a snapshot is not opened. It stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// Its listing cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Storing.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The new tree.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// Nothing opens it.
    #[error(transparent)]
    Locked(#[from] Locked),
}

/// The times of the directories of a tree.
type Times = HashMap<Vec<u8>, (i64, u32)>;

/// A tree as a draft; directories keep their times beside it.
fn load(session: &Session<'_>, root: BlobId) -> Result<(Draft, Times), ReopenError> {
    let (mut tree, mut times) = (DraftTree::new(), Times::new());
    for entry in TreeWalk::new(session.repository(), root) {
        let entry = entry?;
        tree.insert_base(&entry).map_err(HostError::from)?;
        if entry.what == What::Directory {
            times.insert(entry.stored_path, (entry.mtime_secs, entry.mtime_nanos));
        }
    }
    Ok((Draft::over(tree), times))
}

/// Makes the tree of a snapshot anew. None: nothing of it is to be opened.
///
/// # Errors
/// See [`ReopenError`].
pub fn reopen<'s, 'r>(
    record: &SnapshotRecord,
    unlock: &Unlock<'_>,
    session: &'s Session<'r>,
    feeder: &mut Feeder<'_, 's, 'r, ()>,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Taken>, ReopenError> {
    observer.begin(Phase::Looking, 0, 0);
    let (draft, times) = load(session, record.tree)?;
    let options = HostOptions {
        udid: &record.udid,
        id: None,
        record: DraftRecord::new(&record.udid, None, 0),
        space: Space::default(),
        with_sha1: false,
        spool: None,
    };
    let mut host = Host::new(options, draft, session, feeder, observer);
    let Some(lists) = host.plist(b"Manifest.plist")? else { return Ok(None) };
    let unlocked = unlock(&lists)?;
    let mut damage: Vec<_> = unlocked.damage(&lists).into_iter().collect();
    let Some(keys) = unlocked.keys() else { return Ok(None) };
    let opened = open_files(&mut host, session, Some(&keys), observer, stop)?;
    drop(keys);
    let kept_count = opened.kept.total();
    if kept_count > 0 {
        observer.remark(&opened.kept.remark());
    }
    observer.begin(Phase::Committing, 0, 0);
    let layout = Layout {
        // A directory that the old tree does not list was made by the draft, as whoever restores makes it.
        is_kept: &|path, found| *found != Found::Directory || times.contains_key(path),
        directory_time: &|path| times.get(path).copied().unwrap_or_default(),
        has_root: times.contains_key(&b""[..]),
    };
    let taken = arrange(host.draft()?, session, &layout, true, opened.lost)?;
    for problem in &taken.problems {
        observer.problem(&problem.path, &problem.why);
    }
    damage.extend(opened.damage);
    Ok(Some(Taken { kept_count, ..taken.with(damage, observer) }))
}
