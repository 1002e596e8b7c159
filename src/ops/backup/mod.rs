//! Backing phones up, side by side, each into a snapshot of its own.
//!
//! Invariant: one phone's failure does not undo another's snapshot; what a phone sent before it failed is kept in its draft, and
//! the next run goes on there. Snapshots are committed one at a time, since each names the record before it. From a phone's final
//! word on its snapshot is made without it, by this run or the next (`ops::reopen`).

mod finish;
mod waits;

pub use finish::{Finished, Interrupted, Waiting, finish_waiting, interrupted, waiting};

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use russet_store::config::Purpose;
use russet_store::ids::{RecordId, WriterId};
use russet_store::repository::{Repository, RepositoryError};
use russet_store::session::{Session, SessionError, Written};

use self::finish::clean_spools;
use super::awake::awake;
use super::beside::{SERVICE, heard};
use super::commit::CommitError;
use super::mark;
use super::open::Opened;
use super::phone_keys::PhoneKeys;
use crate::capture::device::begin::{BeginError, Begun, begin};
use crate::capture::device::connect::{
    ConnectError, Connection, Heartbeat, Phone, Pieces, Stop, SyncGuard, Values, gather, info_plist,
};
use crate::capture::device::record as draft;
use crate::capture::device::space::RESERVE_LEN;
use crate::capture::device::spool::SpoolError;
use crate::capture::device::take::{TakeError, Wish, take};
use crate::capture::device::{Link, LinkError};
use crate::observe::{Observer, Phase, size};
use crate::pipeline::{Cuts, IngestError, SizesError, run};
use crate::snapshot::Snapshot;
use crate::snapshot::record::{self, Device};
use crate::wipe;

/// How phones are backed up.
#[derive(Debug, Clone, Default)]
pub struct BackupOptions {
    /// Ask each phone for everything, and store again what of it has rotted.
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
    /// Whether it was told already that the phone may be unplugged: what it sent waited for its keys.
    pub was_released: bool,
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
    /// The same, and nothing waits there yet.
    #[error(transparent)]
    NoSpool(SpoolError),
    /// A whole backup cannot fit there.
    #[error("the iPhone holds about {}, and the drive of the spool {} has {}", size(*need_len), dir.display(), shown_free(*free_len))]
    SpoolTooSmall {
        /// What the phone holds.
        need_len: u64,
        /// What is free there; some of it is never used.
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

/// What is free on a drive, in words.
fn shown_free(free_len: u64) -> String {
    format!("{} free ({} always stay free)", size(free_len), size(RESERVE_LEN))
}

impl From<BeginError> for BackupError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Waits => Self::Waits,
            BeginError::Draft(error) => Self::Take(error.into()),
            BeginError::Repository(error) => Self::Repository(error),
        }
    }
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

/// A phone that is to be backed up, and who is told of it.
pub struct Job<'a> {
    /// The phone.
    pub phone: Phone,
    /// What it is called where somebody is asked or told about it.
    pub called: String,
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
    let results = awake(observer, || this.all(jobs));
    let mut done = Vec::new();
    for result in results {
        done.push(settle(opened, result, options)?);
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
    fn all(&self, jobs: Vec<Job<'_>>) -> Vec<Result<BackedUp, BackupError>> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = jobs
                .into_iter()
                .map(|job| scope.spawn(move || wipe::on_this_thread(|| self.one(job))))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        })
    }

    fn one(&self, job: Job<'_>) -> Result<BackedUp, BackupError> {
        let Job { mut phone, called, observer, cancelled } = job;
        let result = self.capture(&mut phone, &called, observer, &cancelled);
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
        called: &str,
        observer: &dyn Observer,
        cancelled: &AtomicBool,
    ) -> Result<BackedUp, BackupError> {
        observer.begin(Phase::Looking, 0, 0);
        // First of all: services over the network end when nobody answers.
        let is_wifi = phone.attached().connection == Connection::Network;
        let _heartbeat = if is_wifi { Some(Heartbeat::start(phone)?) } else { None };
        let values = phone.values()?;
        let udid = values.udid.clone().unwrap_or_else(|| phone.attached().udid.clone());
        remark_on(&values, observer);
        let pieces = gather(phone)?;
        for remark in &pieces.remarks {
            observer.remark(&format!("{remark}: {}", remark.error));
        }
        let (restart, place) = (self.options.restart, &self.keys.spool);
        let mut begun = begin(self.repository, self.snapshots, &udid, restart, place, observer)?;
        begun.record.full |= self.options.full;
        if begun.is_resumed {
            observer.remark(&format!(
                "going on with the backup that was interrupted; {} of it are here already",
                size(begun.record.received_len)
            ));
        }
        let begun = self.with_spool(begun, &values, called, observer)?;
        let guard = SyncGuard::begin(phone)?;
        let stream = phone.start_service(SERVICE, true)?;
        // Only now: until here the phone may not be able to begin at all.
        for found in &begun.given_up {
            draft::remove(self.repository, found.id, &found.record, place)?;
        }
        let session = Session::begin(self.repository, None)?.doubting(begun.record.full);
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
        self.make(begun, session, called, observer)
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
            info_plist(values, pieces, date).ok()
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
    if values.free_data_len.is_some_and(|len| len < 1_000_000_000) {
        observer.remark("the phone has less than 1 GB free; it may fail to prepare its backup");
    }
}
