//! Where a capture begins: an interrupted draft that is gone on with, or a new one over the best base.
//!
//! Invariant: a base is whole: its listing was read and every blob of it stands in a listed pack, else the phone is asked for
//! everything. What a phone sent is never thrown away while it can still be gone on with: not for an error that may pass, and no
//! clock decides. What the phone has finished goes only by a person's word.

use russet_store::ids::DraftId;
use russet_store::repository::{Repository, RepositoryError};

use super::connect::same_udid;
use super::draft::{Draft, DraftTree};
use super::host::STATUS;
use super::record::{self, Base, DraftLoadError, DraftRecord, Found};
use super::spool::{Spool, SpoolPlace};
use crate::observe::{Observer, by_count, counted};
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
    /// What a person gave up for it: to be removed once this one begins.
    pub given_up: Vec<Found>,
}

/// Why no capture can begin.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// An earlier backup of the phone is here, and is no snapshot yet.
    #[error("an earlier backup of this iPhone waits")]
    Waits,
    /// What an earlier run left cannot be read now, and may be whole.
    #[error("the backup that was interrupted cannot be gone on with now")]
    Draft(#[source] DraftLoadError),
    /// The repository cannot be written to.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Finds the draft to go on with, or begins one. Drafts that are of no more use are removed.
///
/// # Errors
/// See [`BeginError`]; whatever waits stays.
pub fn begin(
    repository: &Repository,
    snapshots: &[Snapshot],
    udid: &str,
    restart: bool,
    place: &SpoolPlace,
    observer: &dyn Observer,
) -> Result<Begun, BeginError> {
    let of_phone: Vec<&Snapshot> =
        snapshots.iter().filter(|s| same_udid(&s.record.udid, udid)).collect();
    let best = best_base(&of_phone);
    let (drafts, odd_count) = record::all(repository);
    if odd_count > 0 {
        observer.remark(&format!(
            "{} cannot be read; `russet prune --drop-drafts` gives {} up",
            counted(odd_count as u64, "interrupted backup"),
            by_count(odd_count as u64, "it", "them"),
        ));
    }
    let (mut resumed, mut given_up) = (None, Vec::new());
    for mut found in drafts.into_iter().filter(|d| same_udid(&d.record.udid, udid)) {
        if restart {
            given_up.push(found);
            continue;
        }
        if found.record.received.is_some() {
            if is_made(&found.record, snapshots) {
                // One that stays, for its spool cannot be removed now, is in nobody's way.
                let _later = record::remove(repository, found.id, &found.record, place);
                continue;
            }
            return Err(BeginError::Waits);
        }
        if let Some(why) = no_use(&found.record, best, &of_phone, resumed.is_some()) {
            observer.remark(&why);
            record::remove(repository, found.id, &found.record, place)?;
            continue;
        }
        match record::load(repository, &mut found.record, place) {
            Ok(draft) => {
                let Found { id, record } = found;
                // One that only a change of the password left is a base, not an interrupted backup.
                let is_resumed = record.received_len > 0;
                let given_up = Vec::new();
                resumed = Some(Begun { id, record, draft, is_resumed, spool: None, given_up });
            }
            Err(error) if error.is_passing() => return Err(BeginError::Draft(error)),
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
        None => Ok(Begun { given_up, ..fresh(repository, &of_phone, udid, observer)? }),
    }
}

/// Why nothing is to be gone on with in an interrupted draft; none if something is.
fn no_use(
    record: &DraftRecord,
    best: Option<&Snapshot>,
    of_phone: &[&Snapshot],
    has_other: bool,
) -> Option<String> {
    if record.failure_count >= FAILURE_COUNT_MAX {
        return Some(format!(
            "the phone ended with an error {} times on what it had sent so far: it is asked for everything since the last snapshot again",
            record.failure_count
        ));
    }
    let is_late = has_other || best.is_some_and(|best| is_overtaken(record, best, of_phone));
    is_late.then(|| {
        "an interrupted backup is given up, for a newer one of the phone was made since".to_owned()
    })
}

/// Whether a snapshot was made after a draft was begun, by what each was made over.
fn is_overtaken(record: &DraftRecord, best: &Snapshot, of_phone: &[&Snapshot]) -> bool {
    // Over nothing: no snapshot can tell, and a clock is not asked.
    let Some(over) = record.base.as_ref().map(|base| base.snapshot) else { return false };
    let mut at = Some(best);
    // No longer than there are snapshots: a chain that bites its tail is somebody's joke.
    for _ in 0..of_phone.len() {
        let parent = at.and_then(|snapshot| snapshot.record.parent);
        if parent == Some(over) {
            return true;
        }
        at = parent.and_then(|parent| of_phone.iter().find(|s| s.id == parent).copied());
    }
    false
}

/// Whether the snapshot of a backup that its phone has finished is there already.
#[must_use]
pub fn is_made(record: &DraftRecord, snapshots: &[Snapshot]) -> bool {
    let at = record.received.as_ref().map(|received| received.at);
    let base = record.base.as_ref().map(|base| base.snapshot);
    snapshots.iter().any(|s| {
        let of_phone = same_udid(&s.record.udid, &record.udid) && s.record.kind != "folder";
        // Both have it from the same checkpoint, whatever a clock said since.
        of_phone && Some(s.id) != base && Some(s.record.captured) == at
    })
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
    Ok(Begun {
        id: repository.new_draft()?,
        record,
        draft,
        is_resumed: false,
        spool: None,
        given_up: Vec::new(),
    })
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
        Ok((_, absent_count)) => format!(
            "{} of it {} missing",
            counted(absent_count as u64, "piece"),
            by_count(absent_count as u64, "is", "are")
        ),
        Err(error) => error.to_string(),
    };
    observer.remark(&format!(
        "snapshot {} is damaged ({why}): the phone is asked for everything",
        snapshot.short_id()
    ));
    (None, Draft::over(DraftTree::new()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use russet_store::ids::{BlobId, RecordId};
    use russet_store::log::SnapshotState;

    fn id(number: u8) -> RecordId {
        RecordId::decode([number; 32])
    }

    /// A whole snapshot, taken at that time.
    fn snapshot(number: u8, parent: Option<u8>, captured: i64) -> Snapshot {
        let json = serde_json::json!({
            "v": 1, "tree": "00".repeat(32), "udid": "u", "backup_time": captured, "backup_time_source": "status",
            "captured": captured, "kind": "usb", "verdict": "complete", "writer": "00".repeat(16), "seq": 1,
        });
        let mut record: crate::snapshot::SnapshotRecord = serde_json::from_value(json).unwrap();
        record.parent = parent.map(id);
        Snapshot { id: id(number), record, state: SnapshotState::default() }
    }

    fn draft(over: Option<u8>) -> DraftRecord {
        let tree = BlobId::decode([0; 32]);
        let base = over.map(|over| Base { snapshot: id(over), tree });
        DraftRecord::new("u", base, 1000)
    }

    /// Why a draft is not gone on with beside these snapshots.
    fn given_up(record: &DraftRecord, snapshots: &[Snapshot]) -> Option<String> {
        let of_phone: Vec<&Snapshot> = snapshots.iter().collect();
        no_use(record, best_base(&of_phone), &of_phone, false)
    }

    #[test]
    fn a_draft_is_late_once_a_snapshot_was_made_over_the_same_one() {
        let chain = [snapshot(1, None, 10), snapshot(2, Some(1), 20), snapshot(3, Some(2), 30)];
        assert_eq!(given_up(&draft(Some(3)), &chain), None);
        for over in [1, 2] {
            let why = given_up(&draft(Some(over)), &chain).unwrap();
            assert!(why.contains("a newer one of the phone was made since"), "{why}");
        }
    }

    #[test]
    fn no_clock_makes_a_draft_late() {
        // Long after the draft began, by whatever clock.
        for captured in [10, 1000, i64::MAX] {
            let alone = [snapshot(1, None, captured)];
            assert_eq!(given_up(&draft(None), &alone), None);
            assert_eq!(given_up(&draft(Some(1)), &alone), None);
            // Its base was forgotten.
            assert_eq!(given_up(&draft(Some(9)), &alone), None);
        }
    }

    #[test]
    fn snapshots_that_name_each_other_as_their_parents_end_the_search() {
        let biting = [snapshot(1, Some(2), 10), snapshot(2, Some(1), 20)];
        assert_eq!(given_up(&draft(Some(9)), &biting), None);
    }

    #[test]
    fn a_phone_that_failed_again_and_again_on_a_draft_is_asked_anew() {
        let mut record = draft(None);
        record.failure_count = FAILURE_COUNT_MAX - 1;
        assert_eq!(given_up(&record, &[]), None);
        record.failure_count = FAILURE_COUNT_MAX;
        assert!(given_up(&record, &[]).unwrap().contains("error 2 times"));
    }

    #[test]
    fn of_two_drafts_one_is_gone_on_with() {
        assert_eq!(no_use(&draft(None), None, &[], false), None);
        assert!(no_use(&draft(None), None, &[], true).is_some());
    }
}
