//! Snapshots that are stored as a phone encrypted them, opened when its password is there.
//!
//! Invariant: the old snapshot is forgotten only after the new one, which restores to the same bytes, is durable and has its tags,
//! note and pin. A run that ends in between is made good by the next.

use std::cell::RefCell;

use russet_store::config::Purpose;
use russet_store::log::SnapshotState;
use russet_store::repository::{Repository, RepositoryError};
use russet_store::session::{Session, SessionError};

use super::commit::{CommitError, commit};
use super::forget::{Drafts, ForgetError, forget, plan};
use super::mark;
use super::open::Opened;
use super::phone_keys::{PhoneKeys, Unopened};
use super::restore_phone::is_older;
use crate::capture::device::host::HostError;
use crate::capture::device::reopen::{ReopenError as TreeError, reopen as make_tree};
use crate::capture::device::take::Taken;
use crate::observe::Observer;
use crate::pipeline::{Cuts, IngestError, SizesError, run};
use crate::snapshot::Snapshot;
use crate::snapshot::record::{self, Counts, Problem, SnapshotRecord, Verdict};

/// Why a snapshot was not opened. It stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum ReopenError {
    /// Its files, or its password.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Storing.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Storing.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The new record.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The old record.
    #[error(transparent)]
    Forget(#[from] ForgetError),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The repository's parameters.
    #[error("the repository's parameters for cutting files cannot be used")]
    Cuts(#[from] SizesError),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

/// What came of a snapshot.
#[derive(Debug)]
pub enum Reopened {
    /// Another one stands in its place.
    New {
        /// It.
        snapshot: Box<Snapshot>,
        /// Files that stay encrypted.
        kept_count: u64,
    },
    /// There is nothing to open in it.
    AsItWas,
    /// It is of an iOS whose backups are never opened.
    KeptClosed,
}

/// Whether a snapshot is stored as a phone encrypted it.
#[must_use]
pub fn is_closed(snapshot: &Snapshot) -> bool {
    snapshot.record.encrypted == Some(true) && snapshot.record.counts.opened == 0
}

/// The first iOS whose backups are opened.
const VERSION_MIN: &str = "10.2";

/// Whether a snapshot is closed and stays so: of an iOS whose backups are never opened, as its record says.
#[must_use]
pub fn is_kept_closed(snapshot: &Snapshot) -> bool {
    let version = snapshot.record.device.product_version.as_deref();
    is_closed(snapshot) && version.is_some_and(|version| is_older(version, VERSION_MIN))
}

/// Whether a snapshot is closed and a password may open it.
#[must_use]
pub fn is_openable(snapshot: &Snapshot) -> bool {
    is_closed(snapshot) && !is_kept_closed(snapshot)
}

/// Opens snapshots, one after the other. What came of each stands in their order; a stop ends it early.
///
/// # Errors
/// The repository must not or cannot be written to at all.
pub fn reopen(
    opened: &mut Opened,
    snapshots: &[Snapshot],
    keys: &PhoneKeys<'_>,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Result<Reopened, ReopenError>>, ReopenError> {
    let config = opened.repository.config(Purpose::Write)?.clone();
    let cuts = Cuts::new(&config.cut, opened.repository.id_keys().cut_seed())?;
    opened.prepare_to_write(observer)?;
    opened.repository.mend_segments()?;
    let mut done = Vec::new();
    for snapshot in snapshots {
        let result = one(opened, snapshot, &cuts, keys, observer, stop);
        if matches!(result, Err(ReopenError::Commit(_) | ReopenError::Session(_))) {
            // A record may stand on the drive that this run does not know of.
            opened.host.abandon_writer();
        }
        done.push(result);
        if stop() {
            break;
        }
    }
    opened.remember(observer);
    Ok(done)
}

fn one(
    opened: &mut Opened,
    old: &Snapshot,
    cuts: &Cuts,
    keys: &PhoneKeys<'_>,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Reopened, ReopenError> {
    if old.record.encrypted == Some(false) {
        return Ok(Reopened::AsItWas);
    }
    if is_kept_closed(old) {
        return Ok(Reopened::KeptClosed);
    }
    let (all, _) = record::all(&opened.repository);
    if let Some(new) = all.into_iter().find(|s| s.record.supersedes == Some(old.id)) {
        // A run ended before the old one was forgotten.
        let new = take_place(opened, new, old, observer)?;
        return Ok(Reopened::New { snapshot: Box::new(new), kept_count: 0 });
    }
    let writer = opened.writer()?;
    let repository = &opened.repository;
    let session = Session::begin(repository, None)?;
    let (name, id) = (old.device_name(), old.short_id());
    let called = format!("{name}, snapshot {id} of {}", keys.moment(old.record.backup_time));
    let (udid, opened_with) = (old.record.udid.as_str(), RefCell::new(None));
    let unlock = |lists: &[u8]| {
        keys.add_remembered(repository, udid, Some(lists));
        let unlocked = keys.unlock(lists, &called, Unopened::Refuse, observer)?;
        if unlocked.is_open() {
            keys.hold_given_against(lists);
            *opened_with.borrow_mut() = Some(lists.to_vec());
        }
        Ok(unlocked)
    };
    let taken = run(&session, cuts, |feeder| {
        Ok::<_, ReopenError>(make_tree(&old.record, &unlock, &session, feeder, observer, stop)?)
    });
    let taken = match taken {
        Err(ReopenError::Tree(TreeError::Host(HostError::Stopped))) => {
            return Err(ReopenError::Stopped);
        }
        other => other?,
    };
    let Some(taken) = taken.filter(|taken| taken.root != old.record.tree) else {
        return Ok(Reopened::AsItWas);
    };
    let kept_count = taken.kept_count;
    let written = session.written();
    let mut record = describe(taken, old);
    (record.counts.new_len, record.counts.stored_len) = (written.new_len, written.stored_len);
    record.link = repository.next_link(writer);
    let (id, _) = commit(repository, session, &record)?;
    if let Some(lists) = opened_with.into_inner() {
        keys.keep(repository, udid, &lists, observer);
    }
    let new = Snapshot { id, record, state: SnapshotState::default() };
    let new = take_place(opened, new, old, observer)?;
    Ok(Reopened::New { snapshot: Box::new(new), kept_count })
}

/// The old record, with what is told of its tree.
fn describe(taken: Taken, old: &Snapshot) -> SnapshotRecord {
    let mut record = SnapshotRecord {
        tree: taken.root,
        counts: Counts { opened: taken.counts.opened, ..old.record.counts },
        verdict: taken.verdict,
        problems: taken.problems,
        problem_count: taken.problem_count,
        supersedes: Some(old.id),
        russet: env!("CARGO_PKG_VERSION").to_owned(),
        ..old.record.clone()
    };
    if old.record.verdict == Verdict::Incomplete {
        // What was missing then is missing now; the list may say so of the same things.
        record.verdict = Verdict::Incomplete;
        let is_known = |problem: &Problem| old.record.problems.contains(problem);
        let more: Vec<Problem> = record.problems.into_iter().filter(|p| !is_known(p)).collect();
        record.problem_count = old.record.problem_count + more.len() as u64;
        record.problems = old.record.problems.iter().cloned().chain(more).collect();
        record.problems.truncate(record::PROBLEM_COUNT_MAX);
    }
    record
}

/// Gives the new snapshot what was said of the old one, which is then forgotten.
fn take_place(
    opened: &mut Opened,
    mut new: Snapshot,
    old: &Snapshot,
    observer: &dyn Observer,
) -> Result<Snapshot, ReopenError> {
    for tag in &old.state.tags {
        mark::tag(opened, new.id, tag, true)?;
    }
    if let Some(note) = &old.state.note {
        mark::note(opened, new.id, note)?;
    }
    if old.state.pinned {
        mark::pin(opened, new.id, true)?;
        mark::pin(opened, old.id, false)?;
    }
    let mut gone = old.clone();
    gone.state.pinned = false;
    forget(opened, &[gone], observer)?;
    let states = opened.repository.state().snapshots;
    new.state = states.get(&new.id).cloned().unwrap_or_default();
    Ok(new)
}

/// Bytes that a prune would free now; none, if that cannot be said.
#[must_use]
pub fn prunable_len(
    repository: &Repository,
    unused_share_max: f64,
    observer: &dyn Observer,
) -> Option<u64> {
    let plan = plan(repository, &[], unused_share_max, Drafts::Keep, observer);
    plan.ok().map(|plan| plan.freed_len())
}
