//! Opening a repository on a drive: backend, secret, index on the host, and what the host remembers.
//!
//! Invariant: reading never needs to write, neither on the drive nor on the host; where the host's index cannot be used, one in
//! memory does.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russet_store::ambient::{Ambient, System};
use russet_store::backend::{Backend, BackendError, Durability, LocalBackend, Lock, LockError};
use russet_store::config::Purpose;
use russet_store::ids::{RecordId, RepositoryId, WriterId};
use russet_store::index::{BTreeIndex, Index};
use russet_store::repository::{LockedRepository, Repository, RepositoryError};
use russet_store::seal::SlotSecret;

use super::host::{HostState, Seen};
use crate::observe::{Observer, by_count, count, counted};

/// Where a repository is and how it is opened.
pub struct OpenOptions {
    /// Folder of the repository.
    pub location: PathBuf,
    /// Folder for the host's index and memory; None: nothing is kept on the host.
    pub cache_dir: Option<PathBuf>,
    /// Whether written packs are read back past the cache.
    pub read_back: bool,
    /// How long to wait for another writer.
    pub retry_lock: std::time::Duration,
}

/// Why a repository could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder.
    #[error("could not open {}", location.display())]
    Location {
        /// Where.
        location: PathBuf,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Another writer.
    #[error(transparent)]
    Lock(#[from] LockError),
}

/// An open repository with what belongs to this host.
pub struct Opened {
    /// The repository.
    pub repository: Repository,
    /// What this host remembers of it.
    pub host: HostState,
    /// The writer id to use; drawn when something is first written.
    writer: Option<WriterId>,
    lock: Option<Lock>,
    remembers: bool,
}

/// The backend of a location.
///
/// # Errors
/// The folder is not there or not a folder.
pub fn backend(options: &OpenOptions) -> Result<Arc<dyn Backend>, OpenError> {
    let durability = Durability { read_back: options.read_back };
    match LocalBackend::open(&options.location, durability) {
        Ok(backend) => Ok(Arc::new(backend)),
        Err(BackendError::NotFound { .. }) => {
            Err(OpenError::Repository(RepositoryError::NotFound {
                location: options.location.display().to_string(),
            }))
        }
        Err(source) => Err(OpenError::Location { location: options.location.clone(), source }),
    }
}

/// Opens and unlocks. For `Purpose::Write` the writer's lock is taken.
///
/// # Errors
/// See [`OpenError`].
pub fn open(
    options: &OpenOptions,
    secret: &SlotSecret,
    purpose: Purpose,
    exclusive: bool,
    observer: &dyn Observer,
) -> Result<Opened, OpenError> {
    let backend = backend(options)?;
    let ambient: Arc<dyn Ambient> = Arc::new(System);
    let mut found = LockedRepository::find(Arc::clone(&backend), Arc::clone(&ambient))?;
    let lock = if exclusive {
        // Looked for first, so that no lock file is made where there is no repository; listed again under the lock, for
        // another writer may have worked while we waited.
        let lock = wait_for_lock(backend.as_ref(), options.retry_lock, observer)?;
        found = LockedRepository::find(Arc::clone(&backend), ambient)?;
        Some(lock)
    } else {
        None
    };
    let place =
        std::fs::canonicalize(&options.location).unwrap_or_else(|_| options.location.clone());
    let place = place.display().to_string();
    let repository =
        found.unlock(secret, purpose, |id| index(options.cache_dir.as_deref(), id, observer))?;
    for remark in repository.take_remarks() {
        observer.remark(&remark.to_string());
    }
    let cache_dir = options.cache_dir.clone();
    let host = HostState::read(cache_dir.as_deref(), repository.id(), &place);
    let state = repository.state();
    let forgotten = |id: &RecordId| state.snapshots.get(id).is_some_and(|s| s.forgotten);
    tell_seen(&host.compare(&repository.chains(), &forgotten), observer);
    let missing = repository.missing_links();
    if let Some(first) = missing.first() {
        let count = missing.len() as u64;
        observer.remark(&format!(
            "{} that others refer to {} missing from this repository ({first} among them)",
            counted(count, "record"),
            by_count(count, "is", "are"),
        ));
    }
    Ok(Opened { repository, host, writer: None, lock, remembers: cache_dir.is_some() })
}

fn tell_seen(seen: &Seen, observer: &dyn Observer) {
    match seen {
        Seen::Current => {}
        Seen::RolledBack { missing } => observer.remark(&format!(
            "this drive is OLDER than when this computer last saw it: {missing} records that were here are gone. If you put \
             back an older copy of the drive, that is why; if not, somebody or something removed them. It is used as it is now"
        )),
        Seen::OlderThanOther { missing } => observer.remark(&format!(
            "this copy of the repository lacks {missing} records that another copy has which this computer saw: it is an older copy"
        )),
    }
}

fn wait_for_lock(
    backend: &dyn Backend,
    patience: std::time::Duration,
    observer: &dyn Observer,
) -> Result<Lock, LockError> {
    let started = std::time::Instant::now();
    loop {
        match backend.lock_exclusive() {
            Err(LockError::Held { holder }) if started.elapsed() < patience => {
                if started.elapsed() < std::time::Duration::from_millis(250) {
                    let who = holder.map_or(String::new(), |h| {
                        format!(" (process {} on {})", h.pid, h.host.escape_default())
                    });
                    observer.remark(&format!("waiting for another writer of this repository{who}"));
                }
                std::thread::sleep(std::time::Duration::from_millis(250));
            }
            other => return other,
        }
    }
}

#[cfg(feature = "rocks")]
fn index(cache_dir: Option<&Path>, id: RepositoryId, observer: &dyn Observer) -> Box<dyn Index> {
    use russet_store::index::{IndexError, RocksIndex};
    let Some(dir) = cache_dir.map(|dir| dir.join(id.to_string()).join("index")) else {
        return Box::new(BTreeIndex::new());
    };
    let made = dir.parent().map_or(Ok(()), std::fs::create_dir_all);
    match made
        .map_err(|source| IndexError::Io { doing: "make", source })
        .and_then(|()| RocksIndex::open(&dir, id.as_bytes()))
    {
        Ok((index, _)) => Box::new(index),
        Err(IndexError::Busy) => {
            observer.remark(
                "another russet uses the index on this computer; this one keeps its own in memory",
            );
            Box::new(BTreeIndex::new())
        }
        Err(error) => {
            observer.remark(&format!(
                "the index on this computer cannot be used ({error}); one in memory is used"
            ));
            Box::new(BTreeIndex::new())
        }
    }
}

#[cfg(not(feature = "rocks"))]
fn index(_: Option<&Path>, _: RepositoryId, _: &dyn Observer) -> Box<dyn Index> {
    Box::new(BTreeIndex::new())
}

impl Opened {
    /// A repository wherever it is, of which this host keeps nothing; no other writer is looked for.
    #[must_use]
    pub fn of(repository: Repository) -> Self {
        let host = HostState::read(None, repository.id(), "");
        Self { repository, host, writer: None, lock: None, remembers: false }
    }

    /// The writer id for this host at this place.
    ///
    /// # Errors
    /// No random numbers.
    pub fn writer(&mut self) -> Result<WriterId, RepositoryError> {
        if let Some(writer) = self.writer {
            return Ok(writer);
        }
        let writer =
            self.host.writer(&self.repository.chains(), self.repository.ambient().as_ref())?;
        self.writer = Some(writer);
        Ok(writer)
    }

    /// Before anything is written: what interrupted writers left is swept, and copies and segments are mended.
    ///
    /// # Errors
    /// The drive cannot be written to.
    pub fn prepare_to_write(&self, observer: &dyn Observer) -> Result<(), RepositoryError> {
        if self.lock.as_ref().is_some_and(Lock::is_enforced) {
            self.repository.backend().sweep_temporaries()?;
        }
        let mended = self.repository.mend()?;
        for remark in self.repository.take_remarks() {
            observer.remark(&remark.to_string());
        }
        if mended > 0 {
            let mended = mended as u64;
            observer.remark(&format!(
                "{} {} written again",
                count(mended),
                by_count(
                    mended,
                    "copy of a small file was missing or damaged and has been",
                    "copies of small files were missing or damaged and have been"
                ),
            ));
        }
        Ok(())
    }

    /// Remembers what was seen, so that an older copy is noticed next time.
    pub fn remember(&mut self, observer: &dyn Observer) {
        if !self.remembers {
            return;
        }
        let result: io::Result<()> = self.host.remember(&self.repository.chains());
        if let Err(error) = result {
            observer.remark(&format!(
                "this computer's memory of the repository could not be written: {error}"
            ));
        }
    }
}
