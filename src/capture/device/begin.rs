//! Where a capture begins: an interrupted draft that is gone on with, or a new one over the best base.
//!
//! Invariant: a base is whole: its listing was read and every blob of it stands in a listed pack, else the phone is asked for
//! everything. What a phone sent is never thrown away while it can still be gone on with.

use russet_store::ids::DraftId;
use russet_store::repository::{Repository, RepositoryError};

use super::connect::same_udid;
use super::draft::{Draft, DraftTree};
use super::host::STATUS;
use super::record::{self, Base, DraftRecord};
use super::spool::{Spool, SpoolPlace};
use crate::observe::Observer;
use crate::snapshot::Snapshot;
use crate::snapshot::record::Verdict;

/// After so many failures of the phone on one draft it is begun anew.
const FAILURE_COUNT_MAX: u32 = 2;

/// A draft to make a capture in.
pub struct Begun {
    /// Its id.
    pub id: DraftId,
    /// Its record as it was last saved, or fresh.
    pub record: DraftRecord,
    /// What stands in it.
    pub draft: Draft,
    /// Whether an interrupted capture is gone on with.
    pub is_resumed: bool,
    /// Where what comes waits for its keys: none before somebody makes it.
    pub spool: Option<Spool>,
}

/// Finds the draft to go on with, or begins one. Drafts that are of no more use are removed.
///
/// # Errors
/// The repository cannot be written to.
pub fn begin(
    repository: &Repository,
    snapshots: &[Snapshot],
    udid: &str,
    restart: bool,
    place: &SpoolPlace,
    observer: &dyn Observer,
) -> Result<Begun, RepositoryError> {
    let of_phone: Vec<&Snapshot> =
        snapshots.iter().filter(|s| same_udid(&s.record.udid, udid)).collect();
    let newest_capture =
        of_phone.iter().filter(|s| s.record.kind != "folder").max_by_key(|s| s.record.captured);
    let (drafts, odd_count) = record::all(repository);
    if odd_count > 0 {
        observer.remark(&format!(
            "{odd_count} interrupted backups cannot be read; `russet prune --drop-drafts` gives them up"
        ));
    }
    let mut resumed = None;
    for mut found in drafts.into_iter().filter(|d| same_udid(&d.record.udid, udid)) {
        // What a draft was begun over cannot have come after it, though both may be of the same second.
        let over = found.record.base.as_ref().map(|base| base.snapshot);
        let stale = newest_capture
            .is_some_and(|s| Some(s.id) != over && s.record.captured >= found.record.saved);
        let failed = found.record.failure_count >= FAILURE_COUNT_MAX;
        if restart || stale || failed || resumed.is_some() {
            if failed && !restart {
                observer.remark(&format!(
                    "the phone ended with an error {} times on what it had sent so far: it is asked for everything since the last snapshot again",
                    found.record.failure_count
                ));
            }
            record::remove(repository, found.id, &found.record, place)?;
            continue;
        }
        match record::load(repository, &mut found.record, place) {
            Ok(draft) => {
                let (id, record) = (found.id, found.record);
                // One that only a change of the password left is a base, not an interrupted backup.
                let is_resumed = record.received_len > 0;
                resumed = Some(Begun { id, record, draft, is_resumed, spool: None });
            }
            Err(error) => {
                observer.remark(&format!(
                    "an interrupted backup cannot be gone on with and is begun anew: {error}"
                ));
                record::remove(repository, found.id, &found.record, place)?;
            }
        }
    }
    match resumed {
        Some(begun) => Ok(begun),
        None => fresh(repository, &of_phone, udid, observer),
    }
}

fn fresh(
    repository: &Repository,
    of_phone: &[&Snapshot],
    udid: &str,
    observer: &dyn Observer,
) -> Result<Begun, RepositoryError> {
    let (base, mut draft) = match best_base(of_phone) {
        Some(snapshot) => load_base(repository, snapshot, observer),
        None => (None, Draft::over(DraftTree::new())),
    };
    let last =
        of_phone.iter().filter(|s| s.record.kind != "folder").max_by_key(|s| s.record.captured);
    if base.is_some() && last.is_some_and(|s| s.record.verdict == Verdict::Incomplete) {
        observer.remark(
            "the last backup of this phone was incomplete: the phone is asked for everything",
        );
        // Without it the phone makes a full backup. It was a file, so that removing it cannot fail.
        let _ = draft.remove(STATUS);
    }
    let now = i64::try_from(repository.ambient().now_secs()).unwrap_or(i64::MAX);
    let record = DraftRecord::new(udid, base, now);
    Ok(Begun { id: repository.new_draft()?, record, draft, is_resumed: false, spool: None })
}

/// The newest complete snapshot that was captured from the phone; only without one, the newest import.
fn best_base<'s>(of_phone: &[&'s Snapshot]) -> Option<&'s Snapshot> {
    let newest = |captured: bool| {
        of_phone
            .iter()
            .filter(|s| s.is_good() && (s.record.kind != "folder") == captured)
            .max_by_key(|s| (s.record.backup_time, s.record.captured, s.id))
            .copied()
    };
    newest(true).or_else(|| newest(false))
}

fn load_base(
    repository: &Repository,
    snapshot: &Snapshot,
    observer: &dyn Observer,
) -> (Option<Base>, Draft) {
    let base = Base { snapshot: snapshot.id, tree: snapshot.record.tree };
    let why = match record::over_checked_base(repository, &base) {
        Ok((draft, 0)) => {
            if snapshot.record.kind == "folder" {
                observer.remark(&format!(
                    "this phone was never backed up here: what changed since the imported backup {} is asked for",
                    snapshot.short_id()
                ));
            }
            return (Some(base), draft);
        }
        Ok((_, absent_count)) => format!("{absent_count} pieces of it are missing"),
        Err(error) => error.to_string(),
    };
    observer.remark(&format!(
        "snapshot {} is damaged ({why}): the phone is asked for everything",
        snapshot.short_id()
    ));
    (None, Draft::over(DraftTree::new()))
}
