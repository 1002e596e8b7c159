//! From a backup that its phone has finished to a snapshot, without the phone: opened, arranged, committed.
//!
//! Invariant: until the snapshot is there the draft and its spool stay, whatever ends a run, damage too; then the spool goes, and after it the
//! draft, which alone tells whose it is. Whoever comes next does what was left undone.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use russet_store::config::Purpose;
use russet_store::ids::{DraftId, WriterId};
use russet_store::log::SnapshotState;
use russet_store::repository::Repository;
use russet_store::session::Session;

use super::{BackedUp, BackupError, BackupOptions, Run, settle};
use crate::capture::device::begin::{Begun, is_made};
use crate::capture::device::connect::same_udid;
use crate::capture::device::record::{self as draft, DraftRecord, Received};
use crate::capture::device::spool::{Fate, Spool, SpoolRecord, leftovers};
use crate::capture::device::take::{TakeError, Taken, complete};
use crate::observe::{Observer, size};
use crate::ops::commit::commit;
use crate::ops::open::Opened;
use crate::ops::phone_keys::{PhoneKeys, Unopened};
use crate::ops::phones::told_apart;
use crate::pipeline::{Cuts, run};
use crate::snapshot::Snapshot;
use crate::snapshot::record::{self, SnapshotRecord};

/// What came of a backup that waited.
#[derive(Debug)]
pub struct Finished {
    /// The phone.
    pub udid: String,
    /// The phone's name, or its UDID.
    pub device: String,
    /// Its snapshot.
    pub result: Result<BackedUp, BackupError>,
}

/// Makes the snapshots of backups that their phones have finished, and that wait: for their keys, or because a run ended too
/// early.
///
/// # Errors
/// The repository must not or cannot be written to at all.
pub fn finish_waiting(
    opened: &mut Opened,
    options: &BackupOptions,
    keys: &PhoneKeys<'_>,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Finished>, BackupError> {
    let (drafts, _) = draft::all(&opened.repository);
    let waiting: Vec<_> = drafts.into_iter().filter(|d| d.record.received.is_some()).collect();
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let config = opened.repository.config(Purpose::Write)?.clone();
    let cuts = Cuts::new(&config.cut, opened.repository.id_keys().cut_seed())?;
    opened.prepare_to_write(observer)?;
    opened.repository.mend_segments()?;
    clean_spools(&opened.repository, keys, observer);
    let mut done = Vec::new();
    let names = |found: &draft::Found| {
        let name = found.record.received.as_ref().and_then(|received| received.device.name.clone());
        (name.unwrap_or_else(|| found.record.udid.clone()), found.record.udid.clone())
    };
    let names: Vec<_> = waiting.iter().map(names).collect();
    let called =
        told_apart(&names.iter().map(|(n, u)| (n.as_str(), u.as_str())).collect::<Vec<_>>());
    for (found, device) in waiting.into_iter().zip(called) {
        let writer = opened.writer()?;
        let (snapshots, _) = record::all(&opened.repository);
        let (udid, committing) = (found.record.udid.clone(), Mutex::new(()));
        let repository = &opened.repository;
        let this = Run {
            repository,
            writer,
            snapshots: &snapshots,
            cuts: &cuts,
            options,
            committing,
            keys,
            stop,
        };
        if let Some(result) = this.again(found, &device, observer).transpose() {
            done.push(Finished { udid, device, result: settle(opened, result, options)? });
        }
    }
    opened.remember(observer);
    Ok(done)
}

/// A backup that its phone has finished and that waits for the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The phone's name, or its UDID.
    pub device: String,
    /// When the phone was done, Unix seconds.
    pub at: i64,
}

/// The backups that wait for [`finish_waiting`].
#[must_use]
pub fn waiting(repository: &Repository) -> Vec<Waiting> {
    let (drafts, _) = draft::all(repository);
    let (snapshots, _) = record::all(repository);
    // Of one whose snapshot is there only the draft was left.
    let unmade = drafts.into_iter().filter(|found| !is_made(&found.record, &snapshots));
    let waiting = unmade.filter_map(|found| {
        let received = found.record.received?;
        Some(Waiting { device: received.device.name.unwrap_or(found.record.udid), at: received.at })
    });
    waiting.collect()
}

/// A backup of which its phone has not sent everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interrupted {
    /// The phone's name in its newest snapshot, or its UDID.
    pub device: String,
    /// The phone.
    pub udid: String,
    /// Bytes that came.
    pub received_len: u64,
}

/// The backups that need their phones again: no [`finish_waiting`] ends them.
#[must_use]
pub fn interrupted(repository: &Repository) -> Vec<Interrupted> {
    let (drafts, _) = draft::all(repository);
    let (snapshots, _) = record::all(repository);
    let begun = drafts.into_iter().map(|found| found.record);
    let begun = begun.filter(|record| record.received.is_none() && record.received_len > 0);
    let told = begun.map(|DraftRecord { udid, received_len, .. }| {
        let of_phone = snapshots.iter().filter(|s| same_udid(&s.record.udid, &udid));
        let newest = of_phone.max_by_key(|s| s.record.captured);
        let device = newest.map_or(udid.as_str(), Snapshot::device_name).to_owned();
        Interrupted { device, udid, received_len }
    });
    told.collect()
}

/// Removes what earlier runs left of spools, and tells what it leaves alone; once in a command. Nothing of this repository is in the
/// making while this is called.
pub(super) fn clean_spools(repository: &Repository, keys: &PhoneKeys<'_>, observer: &dyn Observer) {
    keys.cleaned.call_once(|| clean(repository, keys, observer));
}

fn clean(repository: &Repository, keys: &PhoneKeys<'_>, observer: &dyn Observer) {
    let (drafts, odd_count) = draft::all(repository);
    if odd_count > 0 {
        // Who knows what they name.
        return;
    }
    let known: Vec<PathBuf> =
        drafts.into_iter().filter_map(|d| Some(d.record.spool?.folder)).collect();
    for left in
        keys.spool.dirs().flat_map(|dir| leftovers(dir, &keys.spool, repository.id(), &known))
    {
        let folder = left.folder.display();
        observer.remark(&match left.fate {
            Fate::Removed(Ok(())) => {
                format!("{folder}, which an earlier backup left behind, was removed")
            }
            Fate::Removed(Err(error)) => format!(
                "{folder}, which an earlier backup left behind, could not be removed: {error}"
            ),
            Fate::Stays { len } => format!(
                "{folder} holds {} that an iPhone once sent, and no unfinished backup here names it: another copy of this repository may need it; if there is none, it can be deleted by hand",
                size(len)
            ),
        });
    }
}

impl Run<'_> {
    /// Makes the snapshot of a backup that its phone has finished.
    pub(super) fn make(
        &self,
        begun: Begun,
        session: Session<'_>,
        called: &str,
        observer: &dyn Observer,
    ) -> Result<BackedUp, BackupError> {
        let Begun { id, record, .. } = &begun;
        let (draft, udid, is_resumed) = (*id, record.udid.clone(), begun.is_resumed);
        let base = record.base.as_ref().map(|base| base.snapshot);
        let received = record.received.clone().ok_or(TakeError::HungUp)?;
        let spool = record.spool.clone();
        // What was not to wait is not to be asked for either.
        let unopened = if begun.spool.is_some() { self.keys.unopened } else { Unopened::Store };
        let opened_with = RefCell::new(None);
        let unlock = |manifest: &[u8]| {
            self.keys.add_remembered(self.repository, &udid, Some(manifest));
            let keys = self.keys.unlock(manifest, called, unopened, observer)?;
            *opened_with.borrow_mut() = keys.is_open().then(|| manifest.to_vec());
            Ok(keys)
        };
        let begun = RefCell::new(Some(begun));
        let taken = run(&session, self.cuts, |feeder| {
            let Some(begun) = begun.take() else {
                return Err(BackupError::Take(TakeError::HungUp));
            };
            Ok::<_, BackupError>(complete(begun, &unlock, &session, feeder, observer, self.stop)?)
        })?;
        let (received_len, kept_count) = (taken.received_len, taken.kept_count);
        let mut record = describe(taken, received, &udid, self.repository);
        record.parent = base;
        record.counts.new_len = session.written().new_len;
        record.counts.stored_len = session.written().stored_len;
        let turn = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        record.link = self.repository.next_link(self.writer);
        let (id, written) = commit(self.repository, session, &record)?;
        drop(turn);
        self.give_up(draft, spool.as_ref(), observer);
        if let Some(manifest) = opened_with.into_inner() {
            self.keys.keep(self.repository, &udid, &manifest, observer);
        }
        let state = SnapshotState::default();
        let snapshot = Box::new(Snapshot { id, record, state });
        let was_released = spool.is_some();
        Ok(BackedUp { snapshot, written, received_len, is_resumed, kept_count, was_released })
    }

    /// Removes what a snapshot was made in.
    fn give_up(&self, id: DraftId, spool: Option<&SpoolRecord>, observer: &dyn Observer) {
        // A draft that stays is found to be stale by the next run, and a spool is known by its draft alone.
        if let Some(Err(error)) = spool.map(SpoolRecord::remove) {
            observer.remark(&format!("what the backup waited in could not be removed: {error}"));
            return;
        }
        if let Err(error) = self.repository.remove_draft(id) {
            observer.remark(&format!("what the backup was made in could not be removed: {error}"));
        }
    }

    /// Goes on with a backup that waits. None: its snapshot is there already, and only what it was made in was left.
    fn again(
        &self,
        found: draft::Found,
        called: &str,
        observer: &dyn Observer,
    ) -> Result<Option<BackedUp>, BackupError> {
        let draft::Found { id, mut record } = found;
        let place = &self.keys.spool;
        if is_made(&record, self.snapshots) {
            let spool = record.spool.as_ref().and_then(|spool| spool.located(place));
            self.give_up(id, spool.as_ref(), observer);
            return Ok(None);
        }
        let ambient = Arc::clone(self.repository.ambient());
        let draft = draft::load(self.repository, &mut record, place).map_err(TakeError::from)?;
        let spool = match record.spool.take() {
            Some(record) => {
                self.tell_where(&record, observer);
                Some(Spool::resume(record, place, ambient)?.0)
            }
            None => None,
        };
        record.spool = spool.as_ref().map(|spool| spool.record().clone());
        let begun = Begun { id, record, draft, is_resumed: true, spool, given_up: Vec::new() };
        let session = Session::begin(self.repository, None)?.doubting(begun.record.full);
        self.make(begun, session, called, observer).map(Some)
    }
}

fn describe(
    taken: Taken,
    received: Received,
    udid: &str,
    repository: &Repository,
) -> SnapshotRecord {
    let date = taken.status.date.map(|date| date.as_second());
    SnapshotRecord {
        v: 1,
        tree: taken.root,
        udid: udid.to_owned(),
        device: received.device,
        backup_time: date.unwrap_or(received.at),
        backup_time_source: if date.is_some() { "status" } else { "capture" }.to_owned(),
        captured: received.at,
        kind: received.kind,
        source_folder: None,
        status_uuid: taken.status.uuid,
        encrypted: taken.is_encrypted,
        verdict: taken.verdict,
        problems: taken.problems,
        problem_count: taken.problem_count,
        counts: taken.counts,
        parent: None,
        supersedes: None,
        link: repository.next_link(WriterId::decode([0; 16])),
        russet: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
