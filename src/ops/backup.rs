//! Backing phones up, side by side, each into a snapshot of its own.
//!
//! Invariant: one phone's failure does not undo another's snapshot; what a phone sent before it failed is kept in its draft, and
//! the next run goes on there. Snapshots are committed one at a time, since each names the record before it.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russet_store::config::Purpose;
use russet_store::ids::{RecordId, WriterId};
use russet_store::repository::{Repository, RepositoryError};
use russet_store::session::{Session, SessionError, Written};

use super::beside::{SERVICE, heard};
use super::commit::{CommitError, commit};
use super::mark;
use super::open::Opened;
use crate::capture::device::begin::{Begun, begin};
use crate::capture::device::connect::{
    ConnectError, Connection, Heartbeat, Phone, Pieces, Stop, SyncGuard, Values, gather, info_plist,
};
use crate::capture::device::take::{TakeError, Taken, Wish, take};
use crate::capture::device::{Link, LinkError};
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
}

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
    observer: &dyn Observer,
) -> Result<Vec<Result<BackedUp, BackupError>>, BackupError> {
    let config = opened.repository.config(Purpose::Write)?.clone();
    let cuts = Cuts::new(&config.cut, opened.repository.id_keys().cut_seed())?;
    opened.prepare_to_write(observer)?;
    opened.repository.mend_segments()?;
    let writer = opened.writer()?;
    let (snapshots, _) = record::all(&opened.repository);
    let this = Run {
        repository: &opened.repository,
        writer,
        snapshots: &snapshots,
        cuts: &cuts,
        options,
        committing: Mutex::new(()),
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
        done.push(match result {
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
        });
    }
    opened.remember(observer);
    Ok(done)
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
        let guard = SyncGuard::begin(phone)?;
        let stream = phone.start_service(SERVICE, true)?;
        let taken = heard(&guard, cancelled, observer, || {
            self.serve(stream, &values, &udid, &pieces, begun, observer)
        });
        // The snapshot stands or not whatever the phone hears of it.
        if let Err(error) = guard.finish() {
            observer.remark(&format!(
                "the phone may show its sync sign until it is unplugged: {error}"
            ));
        }
        let (taken, session, draft, is_resumed, base) = taken?;
        let received_len = taken.received_len;
        let kind = if is_wifi { "wifi" } else { "usb" };
        let mut record = describe(taken, &values, &udid, kind, self.repository);
        record.parent = base;
        record.counts.new_len = session.written().new_len;
        record.counts.stored_len = session.written().stored_len;
        let turn = self.committing.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        record.link = self.repository.next_link(self.writer);
        let (id, written) = commit(self.repository, session, &record)?;
        drop(turn);
        // A draft that stays is found to be stale by the next run.
        if let Err(error) = self.repository.remove_draft(draft) {
            observer.remark(&format!("what the backup was made in could not be removed: {error}"));
        }
        let state = russet_store::log::SnapshotState::default();
        let snapshot = Box::new(Snapshot { id, record, state });
        Ok(BackedUp { snapshot, written, received_len, is_resumed })
    }

    fn serve(
        &self,
        stream: crate::capture::device::connect::PhoneStream,
        values: &Values,
        udid: &str,
        pieces: &Pieces,
        begun: Begun,
        observer: &dyn Observer,
    ) -> Result<(Taken, Session<'_>, russet_store::ids::DraftId, bool, Option<RecordId>), BackupError>
    {
        let (draft, is_resumed) = (begun.id, begun.is_resumed);
        let base = begun.record.base.as_ref().map(|base| base.snapshot);
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
            info: &info,
        };
        let mut link = Link::open(stream)?;
        let session = Session::begin(self.repository, None)?;
        let begun = RefCell::new(Some(begun));
        let taken = run(&session, self.cuts, |feeder| {
            let Some(begun) = begun.take() else {
                return Err(BackupError::Take(TakeError::HungUp));
            };
            Ok::<_, BackupError>(take(&mut link, &wish, begun, &session, feeder, observer)?)
        });
        // Whatever happened, a phone that hears goodbye goes back to its home screen at once.
        let _lost = link.disconnect();
        Ok((taken?, session, draft, is_resumed, base))
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
    values: &Values,
    udid: &str,
    kind: &str,
    repository: &Repository,
) -> SnapshotRecord {
    let now = i64::try_from(repository.ambient().now_secs()).unwrap_or(i64::MAX);
    let date = taken.status.date.map(|date| date.as_second());
    SnapshotRecord {
        v: 1,
        tree: taken.root,
        udid: udid.to_owned(),
        device: Device {
            name: values.name.clone(),
            product_type: values.product_type.clone(),
            product_version: values.product_version.clone(),
            build_version: values.build_version.clone(),
            serial_number: values.serial_number.clone(),
        },
        backup_time: date.unwrap_or(now),
        backup_time_source: if date.is_some() { "status" } else { "capture" }.to_owned(),
        captured: now,
        kind: kind.to_owned(),
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
