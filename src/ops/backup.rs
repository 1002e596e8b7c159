//! Backing phones up, side by side, each into a snapshot of its own.
//!
//! Invariant: one phone's failure does not undo another's snapshot; what a phone sent before it failed is kept in its draft, and
//! the next run goes on there. Snapshots are committed one at a time, since each names the record before it. From a phone's final
//! word on its snapshot is made without it, by this run or the next (`ops::reopen`).

use std::cell::RefCell;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russet_store::backend::beside;
use russet_store::config::Purpose;
use russet_store::ids::{DraftId, RecordId, WriterId};
use russet_store::repository::{Repository, RepositoryError};
use russet_store::session::{Session, SessionError, Written};

use super::beside::{SERVICE, heard};
use super::commit::{CommitError, commit};
use super::mark;
use super::open::Opened;
use super::phone_keys::{PhoneKeys, Unopened};
use crate::capture::device::begin::{Begun, begin};
use crate::capture::device::connect::{
    ConnectError, Connection, Heartbeat, Phone, Pieces, Stop, SyncGuard, Values, gather,
    info_plist, same_udid,
};
use crate::capture::device::draft::Found;
use crate::capture::device::host::PLIST_LEN_MAX;
use crate::capture::device::record as draft;
use crate::capture::device::record::Received;
use crate::capture::device::space::room_of;
use crate::capture::device::spool::{Spool, SpoolError, SpoolRecord, leftovers};
use crate::capture::device::take::{TakeError, Taken, Wish, complete, take};
use crate::capture::device::{Link, LinkError};
use crate::capture::stored::StoredReader;
use crate::observe::{Observer, Phase};
use crate::pipeline::{Cuts, IngestError, SizesError, run};
use crate::snapshot::Snapshot;
use crate::snapshot::record::{self, Device, SnapshotRecord};

/// How phones are backed up.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Ask each phone for everything.
    pub full: bool,
    /// Throw an interrupted backup away instead of going on with it.
    pub restart: bool,
    /// Words put on each new snapshot.
    pub tags: Vec<String>,
    /// A sentence put on each new snapshot.
    pub note: Option<String>,
    /// Keep each new snapshot from being forgotten.
    pub pin: bool,
}

/// A backup that was made.
#[derive(Debug)]
pub struct BackedUp {
    /// The new snapshot.
    pub snapshot: Box<Snapshot>,
    /// What was written for it in this run.
    pub written: Written,
    /// Bytes that the phone sent for it, in this run and in those it goes on with.
    pub received_len: u64,
    /// Whether an interrupted backup was gone on with.
    pub is_resumed: bool,
    /// Files of an opened backup that stay encrypted.
    pub kept_count: u64,
}

/// Why a phone was not backed up.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The way to the phone.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Its backup.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// Its owner cancelled on the phone.
    #[error("the backup was cancelled on the phone")]
    CancelledOnPhone,
    /// Where what comes waits for its keys.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A whole backup cannot fit there.
    #[error("the iPhone holds about {} MB, and the drive of the spool {} has {} MB free", need_len / MB, dir.display(), free_len / MB)]
    SpoolTooSmall {
        /// What the phone holds.
        need_len: u64,
        /// What may be written.
        free_len: u64,
        /// Where.
        dir: PathBuf,
    },
    /// It is encrypted, and nobody gave a password or said that it may stay so.
    #[error("this iPhone's backups are encrypted, and no iPhone backup password was given")]
    NoPassword,
    /// An earlier backup of this phone is here and was not opened yet.
    #[error("an earlier backup of this iPhone waits for its iPhone backup password")]
    Waits,
    /// Storing.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Storing.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The record.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The repository's parameters.
    #[error("the repository's parameters for cutting files cannot be used")]
    Cuts(#[from] SizesError),
}

impl From<LinkError> for BackupError {
    fn from(error: LinkError) -> Self {
        Self::Take(error.into())
    }
}

/// What the captures of one run share.
struct Run<'a> {
    repository: &'a Repository,
    writer: WriterId,
    snapshots: &'a [Snapshot],
    cuts: &'a Cuts,
    options: &'a BackupOptions,
    committing: Mutex<()>,
    keys: &'a PhoneKeys<'a>,
    stop: &'a (dyn Fn() -> bool + Sync),
}

const MB: u64 = 1_000_000;

/// A phone that is to be backed up, and who is told of it.
pub struct Job<'a> {
    /// The phone.
    pub phone: Phone,
    /// Told of this phone's backup alone.
    pub observer: &'a dyn Observer,
    /// Set when its owner cancels on the phone; the phone's streams must have been opened with a stop that asks it.
    pub cancelled: std::sync::Arc<AtomicBool>,
}

/// A stop for the streams of one phone: the caller's, or its owner's.
#[must_use]
pub fn stop_of(stop: Stop, cancelled: std::sync::Arc<AtomicBool>) -> Stop {
    std::sync::Arc::new(move || stop() || cancelled.load(Ordering::Relaxed))
}

/// Backs phones up, all at once. What came of each stands in the order of `jobs`.
///
/// # Errors
/// The repository must not or cannot be written to at all.
pub fn backup(
    opened: &mut Opened,
    jobs: Vec<Job<'_>>,
    options: &BackupOptions,
    keys: &PhoneKeys<'_>,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<Result<BackedUp, BackupError>>, BackupError> {
    let config = opened.repository.config(Purpose::Write)?.clone();
    let cuts = Cuts::new(&config.cut, opened.repository.id_keys().cut_seed())?;
    opened.prepare_to_write(observer)?;
    opened.repository.mend_segments()?;
    clean_spools(&opened.repository, keys, observer);
    let writer = opened.writer()?;
    let (snapshots, _) = record::all(&opened.repository);
    let this = Run {
        repository: &opened.repository,
        writer,
        snapshots: &snapshots,
        cuts: &cuts,
        options,
        committing: Mutex::new(()),
        keys,
        stop,
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let this = &this;
        let threads: Vec<_> =
            jobs.into_iter().map(|job| scope.spawn(move || this.one(job))).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut done = Vec::new();
    for result in results {
        done.push(settle(opened, result, options)?);
    }
    opened.remember(observer);
    Ok(done)
}

/// Makes the snapshots of backups that their phones have finished, and that wait: for their keys, or because a run ended too
/// early. Each with the UDID of its phone.
///
/// # Errors
/// The repository must not or cannot be written to at all.
pub fn finish_waiting(
    opened: &mut Opened,
    options: &BackupOptions,
    keys: &PhoneKeys<'_>,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<(String, Result<BackedUp, BackupError>)>, BackupError> {
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
    for found in waiting {
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
        if let Some(result) = this.again(found, observer).transpose() {
            done.push((udid, settle(opened, result, options)?));
        }
    }
    opened.remember(observer);
    Ok(done)
}

/// Puts on a snapshot what was asked for.
fn settle(
    opened: &mut Opened,
    result: Result<BackedUp, BackupError>,
    options: &BackupOptions,
) -> Result<Result<BackedUp, BackupError>, BackupError> {
    Ok(match result {
        Ok(mut made) => {
            label(opened, made.snapshot.id, options)?;
            let states = opened.repository.state().snapshots;
            made.snapshot.state = states.get(&made.snapshot.id).cloned().unwrap_or_default();
            Ok(made)
        }
        Err(error) => {
            if matches!(error, BackupError::Commit(_) | BackupError::Session(_)) {
                // A record may stand on the drive that this run does not know of.
                opened.host.abandon_writer();
            }
            Err(error)
        }
    })
}

/// Removes what earlier runs left of spools. Nothing of this repository is in the making while this is called.
fn clean_spools(repository: &Repository, keys: &PhoneKeys<'_>, observer: &dyn Observer) {
    let (drafts, odd_count) = draft::all(repository);
    if odd_count > 0 {
        // Who knows what they name.
        return;
    }
    let known: Vec<PathBuf> =
        drafts.into_iter().filter_map(|d| Some(d.record.spool?.folder)).collect();
    for left in leftovers(&keys.spool.dir, repository.id(), &known) {
        let folder = left.folder.display();
        observer.remark(&match left.removed {
            Ok(()) => format!("{folder}, which an earlier backup left behind, was removed"),
            Err(error) => format!(
                "{folder}, which an earlier backup left behind, could not be removed: {error}"
            ),
        });
    }
}

fn label(
    opened: &mut Opened,
    snapshot: RecordId,
    options: &BackupOptions,
) -> Result<(), RepositoryError> {
    for tag in &options.tags {
        mark::tag(opened, snapshot, tag, true)?;
    }
    if let Some(text) = &options.note {
        mark::note(opened, snapshot, text)?;
    }
    if options.pin {
        mark::pin(opened, snapshot, true)?;
    }
    Ok(())
}

impl Run<'_> {
    fn one(&self, job: Job<'_>) -> Result<BackedUp, BackupError> {
        let Job { mut phone, observer, cancelled } = job;
        let result = self.capture(&mut phone, observer, &cancelled);
        match result {
            Err(
                BackupError::Take(TakeError::Stopped) | BackupError::Connect(ConnectError::Stopped),
            ) if cancelled.load(Ordering::Relaxed) => Err(BackupError::CancelledOnPhone),
            other => other,
        }
    }

    fn capture(
        &self,
        phone: &mut Phone,
        observer: &dyn Observer,
        cancelled: &AtomicBool,
    ) -> Result<BackedUp, BackupError> {
        observer.begin(Phase::Looking, 0, 0);
        let values = phone.values()?;
        let udid = values.udid.clone().unwrap_or_else(|| phone.attached().udid.clone());
        remark_on(&values, observer);
        let pieces = gather(phone)?;
        for remark in &pieces.remarks {
            observer.remark(&format!("{remark}: {}", remark.error));
        }
        let is_wifi = phone.attached().connection == Connection::Network;
        let _heartbeat = if is_wifi { Some(Heartbeat::start(phone)?) } else { None };
        let begun = begin(self.repository, self.snapshots, &udid, self.options.restart, observer)?;
        if begun.is_resumed {
            observer.remark(&format!(
                "going on with the backup that was interrupted; {} bytes of it are here already",
                begun.record.received_len
            ));
        }
        if begun.record.received.is_some() {
            return Err(BackupError::Waits);
        }
        let begun = self.with_spool(begun, &values, observer)?;
        let guard = SyncGuard::begin(phone)?;
        let stream = phone.start_service(SERVICE, true)?;
        let session = Session::begin(self.repository, None)?;
        let kind = if is_wifi { "wifi" } else { "usb" };
        let served = heard(&guard, cancelled, observer, || {
            let about = (&values, udid.as_str(), kind);
            self.serve(stream, about, &pieces, begun, &session, observer)
        });
        // The snapshot stands or not whatever the phone hears of it.
        if let Err(error) = guard.finish() {
            observer.remark(&format!(
                "the phone may show its sync sign until it is unplugged: {error}"
            ));
        }
        let begun = served?;
        if begun.spool.is_some() {
            observer.remark("everything is here: the phone may be unplugged now");
        }
        self.make(begun, session, observer)
    }

    /// What an encrypted phone sends waits for its keys, if something may open it.
    fn with_spool(
        &self,
        mut begun: Begun,
        values: &Values,
        observer: &dyn Observer,
    ) -> Result<Begun, BackupError> {
        let is_on = values.will_encrypt == Some(true);
        let device = values.name.as_deref().unwrap_or("the iPhone");
        let goes_on = begun.record.spool.is_some() || self.was_stored(&begun.record.udid);
        let unopened = match is_on && !self.keys.is_given() {
            true if goes_on => Some(Unopened::Store),
            true => self.keys.ask_first(device),
            false => None,
        };
        let is_opened = is_on && unopened.is_none();
        if unopened == Some(Unopened::Refuse) {
            return Err(BackupError::NoPassword);
        }
        if unopened.is_some() && begun.record.spool.is_none() {
            observer.remark(
                "without the iPhone backup password everything is stored as the phone encrypted it: a file that changes is new as a whole, and after a full backup all of them",
            );
        }
        if is_opened {
            self.warn(&begun, observer);
        }
        let ambient = std::sync::Arc::clone(self.repository.ambient());
        begun.spool = match begun.record.spool.take() {
            Some(record) => {
                let (spool, cut_len) = Spool::resume(record, ambient)?;
                if cut_len > 0 {
                    observer.remark(&format!(
                        "{cut_len} bytes that were not yet safe when the last backup was interrupted are asked for again"
                    ));
                }
                Some(spool)
            }
            None if is_opened => {
                self.has_room(&begun, values, observer)?;
                Some(Spool::create(&self.keys.spool, self.repository.id(), ambient)?)
            }
            None => None,
        };
        // Until it is gone the draft says where it is.
        begun.record.spool = begun.spool.as_ref().map(|spool| spool.record().clone());
        Ok(begun)
    }

    /// Whether the phone's last encrypted backup was stored as it was.
    fn was_stored(&self, udid: &str) -> bool {
        let of_phone = |s: &&Snapshot| same_udid(&s.record.udid, udid);
        let encrypted =
            |s: &&Snapshot| s.record.encrypted == Some(true) && s.record.kind != "folder";
        let mut encrypted = self.snapshots.iter().filter(of_phone).filter(encrypted);
        encrypted.next_back().is_some_and(|s| s.record.counts.opened == 0)
    }

    /// The keys come last: that the password does not open the last backup may mean that it was changed since.
    fn warn(&self, begun: &Begun, observer: &dyn Observer) {
        let Some(Found::File(file)) = begun.draft.tree().get(b"Manifest.plist") else { return };
        let content = file.packed.decode().content;
        let mut bytes = Vec::new();
        let reader = StoredReader::new(self.repository, &content);
        let read = reader.take(PLIST_LEN_MAX).read_to_end(&mut bytes);
        if read.is_ok() && !self.keys.opens(&bytes) {
            observer.remark(
                "the iPhone backup password does not open this iPhone's last backup; if it was not changed since, it is the wrong one",
            );
        }
    }

    /// Whether the spool can hold what a whole backup brings, as far as the phone tells.
    fn has_room(
        &self,
        begun: &Begun,
        values: &Values,
        observer: &dyn Observer,
    ) -> Result<(), BackupError> {
        let dir = self.keys.spool.dir.clone();
        let free_len = match beside::free_len(&dir) {
            Ok(free_len) => room_of(free_len),
            Err(source) => return Err(SpoolError::Io { path: dir, source }.into()),
        };
        let base = begun.record.base.as_ref().filter(|_| !self.options.full);
        let base = base.and_then(|base| self.snapshots.iter().find(|s| s.id == base.snapshot));
        let is_whole = base.is_none_or(|base| base.record.encrypted != Some(true));
        let (Some(total_len), Some(unused_len)) = (values.total_data_len, values.free_data_len)
        else {
            return Ok(());
        };
        let need_len = total_len.saturating_sub(unused_len);
        if !is_whole || need_len <= free_len {
            return Ok(());
        }
        // Apps and what lies in iCloud are counted, and not sent: less than half of it is plainly too small.
        if need_len / 2 > free_len {
            return Err(BackupError::SpoolTooSmall { need_len, free_len, dir });
        }
        observer.remark(&format!(
            "the iPhone holds about {} MB, and {} has {} MB free: what it sends may not fit",
            need_len / MB,
            dir.display(),
            free_len / MB,
        ));
        Ok(())
    }

    /// Makes the snapshot of a backup that its phone has finished.
    fn make(
        &self,
        begun: Begun,
        session: Session<'_>,
        observer: &dyn Observer,
    ) -> Result<BackedUp, BackupError> {
        let Begun { id, record, .. } = &begun;
        let (draft, udid, is_resumed) = (*id, record.udid.clone(), begun.is_resumed);
        let base = record.base.as_ref().map(|base| base.snapshot);
        let received = record.received.clone().ok_or(TakeError::HungUp)?;
        let spool = record.spool.clone();
        // What was not to wait is not to be asked for either.
        let unopened = if begun.spool.is_some() { self.keys.unopened } else { Unopened::Store };
        let device = received.device.name.as_deref().unwrap_or("the iPhone");
        let unlock = |manifest: &[u8]| self.keys.unlock(manifest, device, unopened, observer);
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
        let turn = self.committing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        record.link = self.repository.next_link(self.writer);
        let (id, written) = commit(self.repository, session, &record)?;
        drop(turn);
        self.give_up(draft, spool.as_ref(), observer);
        let state = russet_store::log::SnapshotState::default();
        let snapshot = Box::new(Snapshot { id, record, state });
        Ok(BackedUp { snapshot, written, received_len, is_resumed, kept_count })
    }

    /// Removes what a snapshot was made in.
    fn give_up(&self, id: DraftId, spool: Option<&SpoolRecord>, observer: &dyn Observer) {
        // A draft that stays is found to be stale by the next run, and a spool without a draft to be left over.
        if let Err(error) = self.repository.remove_draft(id) {
            observer.remark(&format!("what the backup was made in could not be removed: {error}"));
            return;
        }
        if let Some(Err(error)) = spool.map(SpoolRecord::remove) {
            observer.remark(&format!("what the backup waited in could not be removed: {error}"));
        }
    }

    /// Goes on with a backup that waits. None: its snapshot is there already, and only what it was made in was left.
    fn again(
        &self,
        found: draft::Found,
        observer: &dyn Observer,
    ) -> Result<Option<BackedUp>, BackupError> {
        let draft::Found { id, mut record } = found;
        let at = record.received.as_ref().map(|received| received.at);
        let is_made = self.snapshots.iter().any(|s| {
            let base = record.base.as_ref().map(|base| base.snapshot);
            let of_phone = same_udid(&s.record.udid, &record.udid) && s.record.kind != "folder";
            of_phone && Some(s.id) != base && Some(s.record.captured) >= at
        });
        if is_made {
            self.give_up(id, record.spool.as_ref(), observer);
            return Ok(None);
        }
        let ambient = std::sync::Arc::clone(self.repository.ambient());
        let draft = draft::load(self.repository, &record).map_err(TakeError::from)?;
        let spool = match record.spool.take() {
            Some(record) => Some(Spool::resume(record, ambient)?.0),
            None => None,
        };
        record.spool = spool.as_ref().map(|spool| spool.record().clone());
        let begun = Begun { id, record, draft, is_resumed: true, spool };
        let session = Session::begin(self.repository, None)?;
        self.make(begun, session, observer).map(Some)
    }

    fn serve<'s, 'r>(
        &self,
        stream: crate::capture::device::connect::PhoneStream,
        (values, udid, kind): (&Values, &str, &str),
        pieces: &Pieces,
        begun: Begun,
        session: &'s Session<'r>,
        observer: &dyn Observer,
    ) -> Result<Begun, BackupError> {
        let info = |date: Option<i64>| {
            let date = date
                .and_then(|secs| u64::try_from(secs).ok())
                .map(|secs| UNIX_EPOCH + Duration::from_secs(secs))
                .or_else(|| Some(SystemTime::now()));
            info_plist(values, &pieces.apps, &pieces.files, date).ok()
        };
        let wish = Wish {
            udid,
            full: self.options.full,
            is_encrypted: values.will_encrypt == Some(true),
            capacity_len: values.total_data_len,
            device: &device_of(values),
            kind,
            info: &info,
        };
        let mut link = Link::open(stream)?;
        let begun = RefCell::new(Some(begun));
        let received = run(session, self.cuts, |feeder| {
            let Some(begun) = begun.take() else {
                return Err(BackupError::Take(TakeError::HungUp));
            };
            Ok::<_, BackupError>(take(&mut link, &wish, begun, session, feeder, observer)?)
        });
        // Whatever happened, a phone that hears goodbye goes back to its home screen at once.
        let _lost = link.disconnect();
        received
    }
}

fn device_of(values: &Values) -> Device {
    Device {
        name: values.name.clone(),
        product_type: values.product_type.clone(),
        product_version: values.product_version.clone(),
        build_version: values.build_version.clone(),
        serial_number: values.serial_number.clone(),
    }
}

fn remark_on(values: &Values, observer: &dyn Observer) {
    if values.will_encrypt != Some(true) {
        observer.remark(
            "this phone's backups are not encrypted, so Apple leaves out passwords, Health, call history and Safari history",
        );
    }
    if let (Some(percent), Some(false) | None) = (values.battery_percent, values.is_charging)
        && percent < 20
    {
        observer.remark(&format!("the phone's battery is at {percent} %: let it charge"));
    }
    if values.free_data_len.is_some_and(|len| len < 1 << 30) {
        observer.remark("the phone has less than 1 GB free; it may fail to prepare its backup");
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
        link: repository.next_link(WriterId::decode([0; 16])),
        russet: env!("CARGO_PKG_VERSION").to_owned(),
    }
}
