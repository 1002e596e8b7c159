//! Taking backup folders into the repository, each as a snapshot dated by the backup itself.
//!
//! Invariant: folders are taken oldest first; a folder that is archived already adds nothing and is named; one folder's failure
//! does not undo another's snapshot.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use russet_store::config::Purpose;
use russet_store::ids::RecordId;
use russet_store::repository::{Repository, RepositoryError};
use russet_store::session::{Session, SessionError, Written};

use super::commit::{CommitError, commit};
use super::open::Opened;
use super::remembered;
use super::reopen::is_closed;
use crate::apple::{DateSource, Passwords, WrongPassword};
use crate::capture::folder::{
    BackupFolder, FolderError, Lock, TakeError, Taken, find_backups, is_same, keybag_of, look, take,
};
use crate::observe::{Observer, size};
use crate::pipeline::{Cuts, SizesError};
use crate::snapshot::Snapshot;
use crate::snapshot::record::{self, Device, SnapshotRecord};

/// How folders are taken.
#[derive(Debug, Clone, Default)]
pub struct ImportOptions {
    /// Read every file, even where nothing about it changed, and every stored piece it is made of: what has rotted in
    /// the repository is stored again.
    pub force: bool,
    /// Take unfinished backups too; they are marked and never stand for the phone.
    pub allow_incomplete: bool,
    /// Words put on each new snapshot.
    pub tags: Vec<String>,
    /// A sentence put on each new snapshot.
    pub note: Option<String>,
    /// Keep each new snapshot from being forgotten.
    pub pin: bool,
    /// Do not keep the passwords that open encrypted backups.
    pub no_remember: bool,
    /// Only find out what there is to do.
    pub dry_run: bool,
}

/// What came of one folder.
#[derive(Debug)]
pub struct Imported {
    /// The folder.
    pub folder: PathBuf,
    /// What came of it.
    pub outcome: Result<Outcome, ImportError>,
    /// What became of the password that opened it.
    pub password: Memory,
}

/// What became of the password that opened a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// There was none.
    None,
    /// It is kept in the repository, and was before.
    Before,
    /// It is kept in the repository from now on.
    Now,
    /// It is not kept: that was declined, or could not be.
    Declined,
}

/// What came of a folder that could be taken.
#[derive(Debug)]
pub enum Outcome {
    /// A new snapshot.
    New {
        /// It.
        snapshot: Box<Snapshot>,
        /// What was written for it.
        written: Written,
        /// Files that were not read because nothing about them changed.
        unchanged_count: u64,
        /// Files of an opened backup that stay encrypted.
        kept_count: u64,
    },
    /// It was archived before.
    Known {
        /// The snapshot that holds it.
        snapshot: RecordId,
    },
    /// A dry run: it would be taken.
    Would {
        /// When it was made, Unix seconds.
        backup_time: i64,
        /// What the phone is called, if the folder says it.
        device: Option<String>,
    },
}

/// Why a folder was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// It is encrypted, and none of the passwords that were given is its own.
    #[error("the password does not open the encrypted backup in {}", path.display())]
    Password {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: WrongPassword,
    },
    /// Reading or storing.
    #[error(transparent)]
    Take(#[from] TakeError),
    /// Storing.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The repository's parameters.
    #[error("the repository's parameters for cutting files cannot be used")]
    Cuts(#[from] SizesError),
    /// The record.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Finds the backup folders below paths and sorts them by date. Those that cannot be taken come last, with the reason.
#[must_use]
pub fn find(
    paths: &[PathBuf],
    options: &ImportOptions,
    zone: &TimeZone,
) -> (Vec<BackupFolder>, Vec<Imported>) {
    let mut folders = Vec::new();
    let mut refused = Vec::new();
    let mut refuse = |folder: &Path, error: FolderError| {
        refused.push(Imported {
            folder: folder.to_path_buf(),
            outcome: Err(error.into()),
            password: Memory::None,
        });
    };
    for path in paths {
        match find_backups(path) {
            Ok(found) => {
                for folder in found {
                    match look(&folder, options.allow_incomplete, zone) {
                        Ok(found) => folders.push(found),
                        Err(error) => refuse(&folder, error),
                    }
                }
            }
            Err(error) => refuse(path, error),
        }
    }
    folders.sort_by(|a, b| (a.date.at, &a.path).cmp(&(b.date.at, &b.path)));
    folders.dedup_by(|a, b| a.path == b.path);
    (folders, refused)
}

/// A folder, and what its encryption comes to.
pub struct Source {
    /// The folder.
    pub folder: BackupFolder,
    /// Whether it is encrypted, and what opens it.
    pub lock: Lock,
}

/// Tries passwords on the folders that the phone encrypted; nothing is written. Those that no password opens come last, with
/// the reason; without any password they are kept as they are.
#[must_use]
pub fn unlock(
    folders: Vec<BackupFolder>,
    passwords: &mut Passwords,
) -> (Vec<Source>, Vec<Imported>) {
    let mut sources = Vec::new();
    let mut refused = Vec::new();
    for folder in folders {
        match crate::capture::folder::unlock(&folder, passwords) {
            Ok(lock) => sources.push(Source { folder, lock }),
            Err(source) => {
                let error = ImportError::Password { path: folder.path.clone(), source };
                refused.push(Imported {
                    folder: folder.path,
                    outcome: Err(error),
                    password: Memory::None,
                });
            }
        }
    }
    (sources, refused)
}

/// Takes folders, oldest first. Stops early only if the repository cannot be written to any more, or `stop` says so.
///
/// # Errors
/// The repository must not or cannot be written to at all.
pub fn import(
    opened: &mut Opened,
    sources: &[Source],
    options: &ImportOptions,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Vec<Imported>, ImportError> {
    let config = opened.repository.config(Purpose::Write)?.clone();
    let cuts = Cuts::new(&config.cut, opened.repository.id_keys().cut_seed())?;
    if !options.dry_run {
        opened.prepare_to_write(observer)?;
        opened.repository.mend_segments()?;
    }
    let mut results = Vec::new();
    for source in sources {
        let outcome = import_one(opened, source, &cuts, options, observer, stop);
        let fatal = outcome.as_ref().is_err_and(is_fatal);
        let password = match &outcome {
            Ok(Outcome::New { .. } | Outcome::Known { .. }) => {
                keep_password(opened, source, options, observer)
            }
            Ok(Outcome::Would { .. }) | Err(_) => Memory::None,
        };
        results.push(Imported { folder: source.folder.path.clone(), outcome, password });
        if fatal {
            // A record may stand on the drive that this run does not know of.
            opened.host.abandon_writer();
            break;
        }
    }
    if !options.dry_run {
        opened.remember(observer);
    }
    Ok(results)
}

/// Adds to passwords what the repository remembers and may open these folders.
pub fn add_remembered(passwords: &mut Passwords, opened: &Opened, folders: &[BackupFolder]) {
    let keybags: Vec<_> = folders.iter().filter_map(keybag_of).collect();
    let udids: Vec<&str> = folders.iter().map(|folder| folder.udid.as_str()).collect();
    remembered::add_to(passwords, &opened.repository, &keybags, &udids);
}

/// Keeps the password that opened a folder; the snapshot stands whether or not that succeeds.
fn keep_password(
    opened: &Opened,
    source: &Source,
    options: &ImportOptions,
    observer: &dyn Observer,
) -> Memory {
    let Lock::Open(unlocked) = &source.lock else { return Memory::None };
    let (repository, udid) = (&opened.repository, source.folder.udid.as_str());
    if options.no_remember {
        return match remembered::remembered(repository, &unlocked.keybag) {
            Some(_) => Memory::Before,
            None => Memory::Declined,
        };
    }
    match remembered::remember(repository, udid, &unlocked.keybag, &unlocked.password) {
        Ok(true) => Memory::Now,
        Ok(false) => Memory::Before,
        Err(error) => {
            observer.remark(&format!("the iPhone backup password could not be kept: {error}"));
            Memory::Declined
        }
    }
}

/// Whether the next folder would fail in the same way.
fn is_fatal(error: &ImportError) -> bool {
    !matches!(
        error,
        ImportError::Folder(_)
            | ImportError::Password { .. }
            | ImportError::Take(TakeError::Folder(_) | TakeError::Build(_))
    )
}

fn import_one(
    opened: &mut Opened,
    Source { folder, lock }: &Source,
    cuts: &Cuts,
    options: &ImportOptions,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Outcome, ImportError> {
    let (snapshots, _) = record::all(&opened.repository);
    let time = folder.date.at.as_second();
    let of_phone = |s: &&Snapshot| s.record.udid == folder.udid.as_str();
    let parent = snapshots.iter().filter(of_phone).rfind(|s| s.record.backup_time <= time);
    if options.dry_run {
        let device = folder.info.as_ref().and_then(|info| info.device_name.clone());
        return Ok(Outcome::Would { backup_time: time, device });
    }
    let uuid = folder.status.as_ref().and_then(|s| s.uuid.clone());
    let of_then = |s: &&Snapshot| s.record.backup_time == time && s.record.status_uuid == uuid;
    let then: Vec<&Snapshot> = snapshots.iter().filter(of_phone).filter(of_then).collect();
    if matches!(lock, Lock::Kept(_))
        && !options.force
        && let Some(known) = opened_before(&opened.repository, &then, folder, stop)
    {
        label_known(opened, known, options, observer)?;
        return Ok(Outcome::Known { snapshot: known.id });
    }
    if matches!(lock, Lock::Open(_))
        && !options.force
        && let Some(known) = closed_before(&opened.repository, &then, folder, stop)
    {
        label_known(opened, known, options, observer)?;
        return Ok(Outcome::Known { snapshot: known.id });
    }
    let writer = opened.writer()?;
    let session = Session::begin(&opened.repository, None)?.doubting(options.force);
    let base = parent.filter(|_| !options.force).map(|s| s.record.tree);
    let taken = take(&session, cuts, folder, lock, base, observer, stop)?;
    let same = |s: &&Snapshot| s.record.tree == taken.root;
    if let Some(known) = then.into_iter().find(same) {
        settle(&session, observer)?;
        drop(session);
        label_known(opened, known, options, observer)?;
        return Ok(Outcome::Known { snapshot: known.id });
    }
    if stop() {
        return Err(TakeError::Stopped.into());
    }
    let Taken { unchanged_count, kept_count, .. } = taken;
    let link = opened.repository.next_link(writer);
    let now = i64::try_from(opened.repository.ambient().now_secs()).unwrap_or(i64::MAX);
    let mut record = describe(folder, taken, now, link);
    record.parent = parent.map(|s| s.id);
    record.counts.new_len = session.written().new_len;
    record.counts.stored_len = session.written().stored_len;
    let (id, written) = commit(&opened.repository, session, &record)?;
    label(opened, id, options)?;
    let state = opened.repository.state().snapshots.remove(&id).unwrap_or_default();
    let snapshot = Box::new(Snapshot { id, record, state });
    Ok(Outcome::New { snapshot, written, unchanged_count, kept_count })
}

/// What was new although it is known had been lost with its pack: now it is there again.
fn settle(session: &Session<'_>, observer: &dyn Observer) -> Result<(), SessionError> {
    let again_len = session.written().new_len;
    if again_len > 0 {
        session.settle()?;
        observer.remark(&format!(
            "{} of it were lost from the repository and have been stored again",
            size(again_len)
        ));
    }
    Ok(())
}

/// The snapshot that holds the same folder opened. Its ciphertext has nothing in common with what is stored: looked at first, it
/// need not be stored beside it.
fn opened_before<'s>(
    repository: &Repository,
    then: &[&'s Snapshot],
    folder: &BackupFolder,
    stop: &dyn Fn() -> bool,
) -> Option<&'s Snapshot> {
    let mut known = then.iter().copied().filter(|s| s.record.counts.opened > 0);
    known.find(|s| is_same(repository, s.record.tree, &folder.path, stop))
}

/// The snapshot that holds the same folder as the phone encrypted it: opened beside it, it would stand there twice.
fn closed_before<'s>(
    repository: &Repository,
    then: &[&'s Snapshot],
    folder: &BackupFolder,
    stop: &dyn Fn() -> bool,
) -> Option<&'s Snapshot> {
    let mut known = then.iter().copied().filter(|s| is_closed(s));
    known.find(|s| is_same(repository, s.record.tree, &folder.path, stop))
}

/// What was asked for a new snapshot is said of the one that holds the folder already.
fn label_known(
    opened: &mut Opened,
    known: &Snapshot,
    options: &ImportOptions,
    observer: &dyn Observer,
) -> Result<(), ImportError> {
    let state = &known.state;
    let tags: Vec<String> =
        options.tags.iter().filter(|tag| !state.tags.contains(*tag)).cloned().collect();
    let note = options.note.clone().filter(|note| state.note.as_ref() != Some(note));
    let pin = options.pin && !state.pinned;
    if tags.is_empty() && note.is_none() && !pin {
        return Ok(());
    }
    let given = [(!tags.is_empty(), "tags"), (note.is_some(), "note"), (pin, "pin")];
    let given: Vec<&str> = given.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
    label(opened, known.id, &ImportOptions { tags, note, pin, ..ImportOptions::default() })?;
    observer.remark(&format!(
        "snapshot {}, which holds it already, was given what was asked: {}",
        known.short_id(),
        given.join(", ")
    ));
    Ok(())
}

fn label(
    opened: &mut Opened,
    snapshot: RecordId,
    options: &ImportOptions,
) -> Result<(), ImportError> {
    for tag in &options.tags {
        super::mark::tag(opened, snapshot, tag, true)?;
    }
    if let Some(text) = &options.note {
        super::mark::note(opened, snapshot, text)?;
    }
    if options.pin {
        super::mark::pin(opened, snapshot, true)?;
    }
    Ok(())
}

fn describe(
    folder: &BackupFolder,
    taken: Taken,
    now: i64,
    link: russet_store::log::Link,
) -> SnapshotRecord {
    let info = folder.info.as_ref();
    let manifest = folder.manifest.as_ref();
    let either = |a: Option<&Option<String>>, b: Option<&Option<String>>| {
        a.cloned().flatten().or_else(|| b.cloned().flatten())
    };
    SnapshotRecord {
        v: 1,
        tree: taken.root,
        udid: folder.udid.as_str().to_owned(),
        device: Device {
            name: either(info.map(|i| &i.device_name), manifest.map(|m| &m.device_name)),
            product_type: either(info.map(|i| &i.product_type), manifest.map(|m| &m.product_type)),
            product_version: either(
                info.map(|i| &i.product_version),
                manifest.map(|m| &m.product_version),
            ),
            build_version: either(
                info.map(|i| &i.build_version),
                manifest.map(|m| &m.build_version),
            ),
            serial_number: either(
                info.map(|i| &i.serial_number),
                manifest.map(|m| &m.serial_number),
            ),
        },
        backup_time: folder.date.at.as_second(),
        backup_time_source: source_word(folder.date.source).to_owned(),
        captured: now,
        kind: "folder".to_owned(),
        source_folder: folder.name.clone(),
        status_uuid: folder.status.as_ref().and_then(|s| s.uuid.clone()),
        encrypted: manifest.and_then(|m| m.is_encrypted),
        verdict: taken.verdict,
        problems: taken.problems,
        problem_count: taken.problem_count,
        counts: taken.counts,
        parent: None,
        supersedes: None,
        link,
        russet: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

fn source_word(source: DateSource) -> &'static str {
    match source {
        DateSource::Status => "status",
        DateSource::ManifestPlist => "manifest",
        DateSource::Info => "info",
        DateSource::FolderName => "folder",
        DateSource::FileTime => "file",
    }
}
