//! Forgetting snapshots, and giving back the space of what nothing needs.
//!
//! Invariant: a pinned snapshot is not forgotten; nothing is pruned while a record cannot be understood or anything that
//! a snapshot or an unfinished backup needs is missing; a plan can be shown before anything is done.

use std::collections::HashSet;
use std::path::PathBuf;

use russet_store::backend::BackendError;
use russet_store::config::Purpose;
use russet_store::copies::{self, Look};
use russet_store::header::Kind;
use russet_store::ids::{BlobId, RecordId};
use russet_store::layout::Room;
use russet_store::log::Said;
use russet_store::record::record_len_max;
use russet_store::repository::{Repository, RepositoryError};
use russet_store::sweep::{self, SweepError, SweepPlan};

use super::open::Opened;
use crate::capture::device::record as draft;
use crate::capture::device::spool::SpoolPlace;
use crate::observe::{Observer, Phase, by_count, counted};
use crate::snapshot::walk::BlobWalk;
use crate::snapshot::{Snapshot, record};

/// Why a snapshot was not forgotten, or nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// It is pinned.
    #[error("snapshot {0} is pinned")]
    Pinned(String),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Sweeping.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// A record others refer to is missing and was not forgotten.
    #[error(
        "{} that others refer to {} missing ({first} among them): nothing is deleted while that is so",
        counted(*count as u64, "record"),
        by_count(*count as u64, "is", "are")
    )]
    MissingRecords {
        /// How many.
        count: usize,
        /// One.
        first: RecordId,
    },
    /// Unfinished backups of phones cannot be understood.
    #[error(
        "{} of phones cannot be read: nothing is deleted while that is so",
        counted(*count as u64, "unfinished backup")
    )]
    Drafts {
        /// How many.
        count: usize,
    },
    /// Parts of listings cannot be read.
    #[error(
        "{} of snapshots' listings cannot be read: nothing is deleted while that is so",
        counted(*count as u64, "part")
    )]
    Listings {
        /// How many.
        count: usize,
    },
}

/// Forgets snapshots. Their space is given back by [`prune`].
///
/// # Errors
/// One is pinned (then none is forgotten), or the log cannot be written.
pub fn forget(
    opened: &mut Opened,
    snapshots: &[Snapshot],
    observer: &dyn Observer,
) -> Result<(), ForgetError> {
    check_pins(snapshots)?;
    opened.repository.config(Purpose::Write)?;
    let writer = opened.writer()?;
    for snapshot in snapshots {
        let said = Said::Forgotten { snapshot: snapshot.id };
        match opened.repository.append(writer, said.clone()) {
            Err(RepositoryError::Backend(BackendError::NoSpace { .. })) => {
                // Whoever forgets wants room: what can be made anew makes way.
                opened.repository.give_up_segments().map_err(SweepError::from)?;
                opened.repository.append(writer, said)?;
            }
            other => drop(other?),
        }
        opened.repository.delete_snapshot(snapshot.id)?;
    }
    opened.remember(observer);
    Ok(())
}

/// That none is pinned.
///
/// # Errors
/// The first that is.
pub fn check_pins(snapshots: &[Snapshot]) -> Result<(), ForgetError> {
    match snapshots.iter().find(|s| s.state.pinned) {
        Some(pinned) => Err(ForgetError::Pinned(pinned.short_id())),
        None => Ok(()),
    }
}

/// What becomes of interrupted backups in a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drafts {
    /// What they need stays.
    Keep,
    /// They are about to be given up: nothing is kept for them.
    GiveUp,
}

/// Finds out what prune would do.
///
/// # Errors
/// Something is not understood or missing; nothing may be deleted then.
pub fn plan(
    repository: &Repository,
    without: &[RecordId],
    unused_share_max: f64,
    kept: Drafts,
    observer: &dyn Observer,
) -> Result<SweepPlan, ForgetError> {
    repository.config(Purpose::Check)?;
    repository.config(Purpose::Write)?;
    repository.all_records_readable()?;
    let (snapshots, odd) = record::all(repository);
    if let Some(first) = odd.first() {
        return Err(RepositoryError::Unreadable { count: odd.len(), first: *first }.into());
    }
    let missing = repository.missing_links();
    if let Some(first) = missing.first() {
        return Err(ForgetError::MissingRecords { count: missing.len(), first: *first });
    }
    let drafts = match kept {
        Drafts::GiveUp => Vec::new(),
        Drafts::Keep => {
            let (drafts, odd_count) = draft::all(repository);
            if odd_count > 0 {
                return Err(ForgetError::Drafts { count: odd_count });
            }
            drafts
        }
    };
    let kept: Vec<&Snapshot> = snapshots.iter().filter(|s| !without.contains(&s.id)).collect();
    let needed = mark(repository, &kept, &drafts, observer)?;
    Ok(sweep::plan(repository, &needed, unused_share_max)?)
}

fn mark(
    repository: &Repository,
    snapshots: &[&Snapshot],
    drafts: &[draft::Found],
    observer: &dyn Observer,
) -> Result<HashSet<BlobId>, ForgetError> {
    observer.begin(Phase::CheckingSnapshots, 0, snapshots.len() as u64);
    let mut walk = BlobWalk::default();
    let mut unreadable = 0;
    let mut needed = HashSet::new();
    for snapshot in snapshots {
        walk.add(repository, snapshot.record.tree, &mut |error| {
            unreadable += 1;
            observer.problem("listing", &error.to_string());
        });
        let backend = repository.backend().as_ref();
        let len_max = record_len_max(Kind::Snapshot);
        let file = copies::read(backend, Room::Snapshots, snapshot.id, len_max, Look::First).good;
        let copy = file.map(|file| sweep::record_blob(repository, &file));
        // The copy of the record in a pack is a help for bad days; that it is missing keeps nothing from being pruned.
        if let Some(copy) = copy {
            let there = repository.has(&copy, russet_store::seal::BlobType::Record);
            if there.map_err(RepositoryError::from)? {
                needed.insert(copy);
            }
        }
        observer.advance(0, 1);
    }
    for found in drafts {
        draft::mark(repository, &found.record, &mut walk, &mut |error| {
            unreadable += 1;
            observer.problem("an unfinished backup", &error.to_string());
        });
    }
    if unreadable > 0 {
        return Err(ForgetError::Listings { count: unreadable });
    }
    needed.extend(walk.trees);
    needed.extend(walk.data);
    Ok(needed)
}

/// How many interrupted backups there are, understood or not.
#[must_use]
pub fn draft_count(repository: &Repository) -> u64 {
    let (drafts, lost) = repository.drafts();
    (drafts.len() + lost.len()) as u64
}

/// Gives up every interrupted backup, understood or not, and says how many there were. `location` is the repository's
/// lies in.
///
/// # Errors
/// One could not be removed.
pub fn drop_drafts(repository: &Repository, location: PathBuf) -> Result<u64, ForgetError> {
    repository.config(Purpose::Write)?;
    let (drafts, lost) = repository.drafts();
    let all: Vec<_> = drafts.into_iter().map(|draft| draft.draft).chain(lost).collect();
    let ((known, _), place) = (draft::all(repository), SpoolPlace::beside(&location));
    for id in &all {
        match known.iter().find(|found| found.id == *id) {
            Some(found) => draft::remove(repository, *id, &found.record, &place)?,
            None => repository.remove_draft(*id)?,
        }
    }
    Ok(all.len() as u64)
}

/// Does what was planned.
///
/// # Errors
/// Something cannot be moved, written or deleted; every snapshot is whole all the same.
pub fn prune(
    opened: &mut Opened,
    plan: SweepPlan,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<(), ForgetError> {
    observer.begin(Phase::Repacking, plan.rewrite_len, 0);
    sweep::apply(&opened.repository, plan, &|len| observer.advance(len, 0), stop)?;
    opened.remember(observer);
    Ok(())
}
