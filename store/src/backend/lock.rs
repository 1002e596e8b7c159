//! The advisory lock that keeps two writers from doing the same work.
//!
//! Invariant: the system drops it when its holder dies, so a crash cannot leave it stuck; what stands in
//! the file is only for messages, is bounded, and is treated as hostile. No safety rests on the lock.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::SystemTime;

use super::system;

/// Bytes read of a lock file.
const HOLDER_LEN_MAX: u64 = 256;

/// Letters kept of a host's name.
const HOST_LEN_MAX: usize = 64;

/// Who says to hold the lock. From the drive: good for a message, for nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The computer's name; printable ASCII.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// Seconds since 1970 by its clock.
    pub since_secs: u64,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else writes; who, if the file tells.
    #[error("another writer holds the repository")]
    Held {
        /// What the lock file says, if it can be read.
        holder: Option<Holder>,
    },
    /// No lock can be taken where nothing can be written; readers need none.
    #[error("{location} is read-only")]
    ReadOnly {
        /// Where.
        location: String,
    },
    /// Anything else the system says.
    #[error("could not lock {location}")]
    Io {
        /// Where.
        location: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Held until dropped.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct Lock {
    /// Open as long as the lock is held; `None` where there is no locking.
    file: Option<File>,
}

impl Lock {
    /// A lock that nobody else feels.
    pub const fn unenforced() -> Self {
        Self { file: None }
    }

    /// Whether other writers are really kept away.
    #[must_use]
    pub const fn is_enforced(&self) -> bool {
        self.file.is_some()
    }

    /// Takes the lock on a file, which is made if it is missing and never removed: removing it would let
    /// two holders hold two files of one name.
    pub(super) fn take(path: &Path, location: &str) -> Result<Self, LockError> {
        let mut file = match system::open_to_lock(path) {
            Ok(file) => file,
            // Pruning must work on a full drive.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                return Ok(Self::unenforced());
            }
            Err(error) => return Err(refused(error, location)),
        };
        match file.try_lock() {
            Ok(()) => {
                // A message nobody can write is no reason to stop.
                let _told = tell(&mut file);
                Ok(Self { file: Some(file) })
            }
            Err(TryLockError::WouldBlock) => Err(LockError::Held { holder: read(&mut file) }),
            Err(TryLockError::Error(error)) if is_lockless(&error) => Ok(Self::unenforced()),
            Err(TryLockError::Error(error)) => Err(refused(error, location)),
        }
    }
}

fn refused(source: io::Error, location: &str) -> LockError {
    let location = location.to_owned();
    match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
            LockError::ReadOnly { location }
        }
        _ => LockError::Io { location, source },
    }
}

fn is_lockless(error: &io::Error) -> bool {
    #[cfg(unix)]
    if let Some(code) = error.raw_os_error() {
        use rustix::io::Errno;
        let known = [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL];
        return known.iter().any(|errno| errno.raw_os_error() == code);
    }
    error.kind() == io::ErrorKind::Unsupported
}

fn tell(file: &mut File) -> io::Result<()> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let host = printable(&system::host_name());
    let text = format!("{host}\n{}\n{}\n", std::process::id(), since.as_secs());
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(text.as_bytes())
}

fn read(file: &mut File) -> Option<Holder> {
    let mut bytes = Vec::new();
    file.rewind().ok()?;
    file.take(HOLDER_LEN_MAX).read_to_end(&mut bytes).ok()?;
    parse(&String::from_utf8_lossy(&bytes))
}

fn parse(text: &str) -> Option<Holder> {
    let mut lines = text.lines();
    let host = printable(lines.next()?);
    let pid = lines.next()?.parse().ok()?;
    let since_secs = lines.next()?.parse().ok()?;
    Some(Holder { host, pid, since_secs })
}

/// What a terminal can be shown safely.
fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(HOST_LEN_MAX).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_lock_is_refused_and_names_the_holder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = Lock::take(&path, "here").unwrap();
        assert!(first.is_enforced());
        let Err(LockError::Held { holder: Some(holder) }) = Lock::take(&path, "here") else {
            panic!("the second lock was not refused with a holder");
        };
        assert_eq!(holder.pid, std::process::id());
    }

    #[test]
    fn a_dropped_lock_is_free_and_its_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        drop(Lock::take(&path, "here").unwrap());
        assert!(path.exists());
        assert!(Lock::take(&path, "here").unwrap().is_enforced());
    }

    #[test]
    fn a_long_lock_file_of_another_is_read_in_part_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, [b'x'; 100_000]).unwrap();
        let other = File::open(&path).unwrap();
        other.lock().unwrap();
        assert!(matches!(Lock::take(&path, "here"), Err(LockError::Held { holder: None })));
    }

    proptest! {
        #[test]
        fn any_lock_text_is_printable_or_ignored(text in "(?s).{0,300}") {
            if let Some(holder) = parse(&text) {
                prop_assert!(holder.host.len() <= HOST_LEN_MAX);
                prop_assert!(holder.host.chars().all(|c| c.is_ascii_graphic()));
            }
        }
    }
}
