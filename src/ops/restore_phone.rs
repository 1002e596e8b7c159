//! Writing a snapshot back to a phone, straight from the packs.
//!
//! Invariant: what can be known to be in the way is found before anything of the phone changes, and is told. Nothing is written to
//! the repository; the safety snapshot before is a backup like any other.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use jiff::tz::TimeZone;
use russet_store::repository::{Repository, RepositoryError};

use super::awake::awake;
use super::backup::{BackedUp, BackupError, BackupOptions, Job, backup};
use super::beside::{SERVICE, heard};
use super::list::shown_path;
use super::open::Opened;
use super::phone_keys::{Answer, Asked, PhoneKeys, Unopened};
use crate::apple::{Passwords, PhonePassword};
use crate::capture::device::connect::{ConnectError, Phone, SyncGuard, Values};
use crate::capture::device::give::{GiveError, RestoreWish, give};
use crate::capture::device::restore_apps::{RestoreApps, restore_applications};
use crate::capture::device::shown::{ShowError, Shown};
use crate::capture::device::{Link, LinkError};
use crate::observe::{Observer, Phase, by_count, count, counted, size};
use crate::snapshot::record::Verdict;
use crate::snapshot::walk::{BlobWalk, visit_chunks};
use crate::snapshot::{Snapshot, TreeError, TreeWalk, What};

pub use crate::snapshot::select::SAFETY_TAG;

/// Files that are named of those that miss pieces.
const NAMED_COUNT_MAX: usize = 20;

/// Why a snapshot is not written to this phone. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The phone could not be given everything.
    #[error(
        "the snapshot is incomplete: {} of what it names {} missing when it was taken",
        count(*problem_count),
        by_count(*problem_count, "was", "were")
    )]
    Incomplete {
        /// What was missing or odd.
        problem_count: u64,
    },
    /// Its iOS is older (Apple's 203).
    #[error("the iPhone has iOS {phone}, and the snapshot is of iOS {snapshot}")]
    OlderSystem {
        /// The phone's.
        phone: String,
        /// The snapshot's.
        snapshot: String,
    },
    /// Find My (Apple's 211).
    #[error("Find My is on")]
    FindMyOn,
    /// It can never fit (Apple's 106).
    #[error("the snapshot has {}, and the iPhone holds {} at most", size(*len), size(*capacity_len))]
    TooLarge {
        /// The snapshot's bytes.
        len: u64,
        /// The phone's.
        capacity_len: u64,
    },
    /// Pieces of files are gone.
    #[error("{} of the snapshot {} missing from the repository", counted(*count as u64, "piece"), by_count(*count as u64, "is", "are"))]
    Missing {
        /// How many.
        count: usize,
        /// Some of the files that they belong to.
        named: Vec<String>,
    },
    /// Its listing cannot be read.
    #[error(transparent)]
    Listing(#[from] TreeError),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Why a restore to a phone did not end well.
#[derive(Debug, thiserror::Error)]
pub enum PhoneRestoreError {
    /// The way to the phone.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The snapshot.
    #[error(transparent)]
    Show(#[from] ShowError),
    /// The restore itself.
    #[error(transparent)]
    Give(#[from] GiveError),
    /// Its owner cancelled on the phone.
    #[error("the restore was cancelled on the phone")]
    CancelledOnPhone,
}

impl From<LinkError> for PhoneRestoreError {
    fn from(error: LinkError) -> Self {
        Self::Give(error.into())
    }
}

/// Why there is no safety snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SafetyError {
    /// The backup.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// It lacks something.
    #[error("the safety snapshot {id} is incomplete")]
    Incomplete {
        /// Its short id.
        id: String,
    },
}

/// Holds a snapshot against the phone that it is to be written to.
///
/// # Errors
/// What is in the way.
pub fn preflight(
    repository: &Repository,
    snapshot: &Snapshot,
    values: &Values,
    observer: &dyn Observer,
) -> Result<(), Refusal> {
    fits(snapshot, values)?;
    let len = snapshot.record.counts.len;
    if let Some(free_len) = values.free_data_len
        && len > free_len
    {
        observer.remark(&format!(
            "the snapshot has {}, and the iPhone has {} free: it refuses if it cannot make room",
            size(len),
            size(free_len),
        ));
    }
    observer.begin(Phase::CheckingSnapshots, 0, 0);
    let (count, named) = missing(repository, snapshot)?;
    if count > 0 { Err(Refusal::Missing { count, named }) } else { Ok(()) }
}

/// What the record and the phone's values say.
fn fits(snapshot: &Snapshot, values: &Values) -> Result<(), Refusal> {
    let record = &snapshot.record;
    if record.verdict == Verdict::Incomplete {
        return Err(Refusal::Incomplete { problem_count: record.problem_count });
    }
    if let (Some(theirs), Some(ours)) = (&values.product_version, &record.device.product_version)
        && is_older(theirs, ours)
    {
        let (phone, snapshot) = (theirs.clone(), ours.clone());
        return Err(Refusal::OlderSystem { phone, snapshot });
    }
    if values.is_find_my_on == Some(true) {
        return Err(Refusal::FindMyOn);
    }
    let len = record.counts.len;
    match values.total_data_len {
        Some(capacity_len) if len > capacity_len => Err(Refusal::TooLarge { len, capacity_len }),
        _ => Ok(()),
    }
}

/// Whether a version of iOS comes before another; false where one of them cannot be read: the phone decides then.
pub(super) fn is_older(version: &str, than: &str) -> bool {
    let parts = |text: &str| -> Option<Vec<u64>> {
        let mut parts: Vec<u64> =
            text.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        while parts.last() == Some(&0) {
            parts.pop();
        }
        Some(parts)
    };
    match (parts(version), parts(than)) {
        (Some(version), Some(than)) => version < than,
        _ => false,
    }
}

/// How many blobs of a snapshot stand in no listed pack, and some files that need them.
fn missing(repository: &Repository, snapshot: &Snapshot) -> Result<(usize, Vec<String>), Refusal> {
    let mut walk = BlobWalk::default();
    let mut unread = None;
    walk.add(repository, snapshot.record.tree, &mut |error| {
        unread.get_or_insert(error);
    });
    if let Some(error) = unread {
        return Err(error.into());
    }
    let ids: Vec<_> = walk.data.into_iter().collect();
    let mut absent = std::collections::HashSet::new();
    for batch in ids.chunks(4096) {
        absent.extend(repository.absent(batch)?);
    }
    let mut named = Vec::new();
    if absent.is_empty() {
        return Ok((0, named));
    }
    for entry in TreeWalk::new(repository, snapshot.record.tree) {
        let entry = entry?;
        let What::File(content) = &entry.what else { continue };
        let mut lacks = false;
        visit_chunks::<TreeError>(repository, content, &mut |id, _| {
            lacks |= absent.contains(&id);
            Ok(())
        })?;
        if lacks {
            named.push(String::from_utf8_lossy(&shown_path(&entry)).into_owned());
        }
        if named.len() == NAMED_COUNT_MAX {
            break;
        }
    }
    Ok((absent.len(), named))
}

/// Backs the phone up before it is written to; `passwords` are tried to open what it encrypted, which waits beside the repository,
/// whose folder `location` is, or where a person said. Dates are told in `zone`.
///
/// # Errors
/// There is no such snapshot, or it is not whole: the phone must be left alone.
pub fn safety_backup(
    opened: &mut Opened,
    job: Job<'_>,
    passwords: Passwords,
    (location, spool, zone): (&Path, Option<PathBuf>, TimeZone),
    observer: &dyn Observer,
) -> Result<BackedUp, SafetyError> {
    let options = BackupOptions { tags: vec![SAFETY_TAG.to_owned()], ..BackupOptions::default() };
    // A safety snapshot is never refused for want of a password: as the phone encrypted it, it restores as well.
    let nobody = |_: Asked<'_>| Answer::Nobody;
    let mut keys = PhoneKeys::new(passwords, &nobody, Unopened::Store, location);
    keys.zone = zone;
    if let Some(dir) = spool {
        keys.spool.put_in(dir);
    }
    let mut made = backup(opened, vec![job], &options, &keys, observer, &|| false)?;
    match made.pop() {
        Some(Ok(made)) if made.snapshot.is_good() => Ok(made),
        Some(Ok(made)) => Err(SafetyError::Incomplete { id: made.snapshot.short_id() }),
        Some(Err(error)) => Err(error.into()),
        // One job gives one result; without it, nothing is known to be safe.
        None => Err(BackupError::CancelledOnPhone.into()),
    }
}

/// Lets the phone restore a snapshot. Only Ok means that it did.
///
/// # Errors
/// See [`PhoneRestoreError`].
pub fn restore_to_phone(
    repository: &Repository,
    snapshot: &Snapshot,
    (phone, cancelled): (&mut Phone, &AtomicBool),
    wish: RestoreWish,
    password: Option<&PhonePassword>,
    observer: &dyn Observer,
) -> Result<(), PhoneRestoreError> {
    let result = awake(observer, || {
        write_back(repository, snapshot, (phone, cancelled), wish, password, observer)
    });
    match result {
        Err(
            PhoneRestoreError::Give(GiveError::Stopped)
            | PhoneRestoreError::Connect(ConnectError::Stopped),
        ) if cancelled.load(Ordering::Relaxed) => Err(PhoneRestoreError::CancelledOnPhone),
        other => other,
    }
}

fn write_back(
    repository: &Repository,
    snapshot: &Snapshot,
    (phone, cancelled): (&mut Phone, &AtomicBool),
    wish: RestoreWish,
    password: Option<&PhonePassword>,
    observer: &dyn Observer,
) -> Result<(), PhoneRestoreError> {
    observer.begin(Phase::Looking, 0, 0);
    let mut shown = Shown::new(repository, snapshot, observer)?;
    let values = phone.values()?;
    let target = values.udid.unwrap_or_else(|| phone.attached().udid.clone());
    let guard = SyncGuard::begin(phone)?;
    let apps = match shown.info(snapshot).as_deref().and_then(restore_applications) {
        Some(list) => Some(RestoreApps::leave(phone, &list)?),
        None => {
            observer.remark("the snapshot names no apps that the phone could fetch from the store");
            None
        }
    };
    let mut link = Link::open(phone.start_service(SERVICE, true)?)?;
    let counts = snapshot.record.counts;
    observer.begin(Phase::Restoring, counts.len, counts.files);
    let folders = (snapshot.record.udid.as_str(), target.as_str());
    let given = heard(&guard, cancelled, observer, || {
        give(&mut link, folders, wish, password, &mut shown, observer)
    });
    // A phone that starts anew is not there any more to be told these.
    let _lost = link.disconnect();
    if let (Ok(()) | Err(GiveError::ProbablyRebooting), Some(apps)) = (&given, apps) {
        apps.stay();
    }
    let _lost = guard.finish();
    Ok(given?)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use russet_store::ids::RecordId;
    use russet_store::log::SnapshotState;

    /// A whole snapshot of 1000 bytes, of iOS 18.6.2.
    fn snapshot() -> Snapshot {
        let json = serde_json::json!({
            "v": 1, "tree": "00".repeat(32), "udid": "u", "backup_time": 1, "backup_time_source": "status",
            "captured": 1, "kind": "usb", "verdict": "complete", "writer": "00".repeat(16), "seq": 1,
            "device": { "product_version": "18.6.2" },
        });
        let mut record: crate::snapshot::SnapshotRecord = serde_json::from_value(json).unwrap();
        record.counts.len = 1000;
        Snapshot { id: RecordId::decode([1; 32]), record, state: SnapshotState::default() }
    }

    #[test]
    fn a_phone_that_can_never_hold_the_snapshot_is_told_from_one_that_is_full() {
        let of = |total_data_len, free_data_len| {
            fits(&snapshot(), &Values { total_data_len, free_data_len, ..Values::default() })
        };
        let refused = of(Some(999), None);
        assert!(matches!(refused, Err(Refusal::TooLarge { len: 1000, capacity_len: 999 })));
        assert!(of(Some(1000), Some(0)).is_ok());
        assert!(of(None, None).is_ok());
    }

    #[test]
    fn an_unchecked_snapshot_is_not_an_incomplete_one() {
        let mut snapshot = snapshot();
        snapshot.record.verdict = Verdict::Unchecked;
        assert!(fits(&snapshot, &Values::default()).is_ok());
        snapshot.record.verdict = Verdict::Incomplete;
        let refused = fits(&snapshot, &Values::default());
        assert!(matches!(refused, Err(Refusal::Incomplete { .. })));
    }

    #[test]
    fn a_phone_of_the_same_ios_is_new_enough_and_one_before_it_is_not() {
        let of = |version: &str| {
            let product_version = Some(version.to_owned());
            fits(&snapshot(), &Values { product_version, ..Values::default() })
        };
        assert!(of("18.6.2").is_ok() && of("26.0").is_ok());
        assert!(matches!(of("18.6.1"), Err(Refusal::OlderSystem { .. })));
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(is_older("9.3.5", "10.0"));
        assert!(is_older("18.6.1", "18.6.2"));
        assert!(is_older("18", "18.0.1"));
        assert!(!is_older("18.0", "18"));
        assert!(!is_older("26.1", "18.6.2"));
    }

    #[test]
    fn a_version_that_cannot_be_read_is_for_the_phone_to_judge() {
        assert!(!is_older("", "18"));
        assert!(!is_older("18", "beta"));
    }
}
