//! Where a repository's files lie: the seam between us and drives or object stores.
//!
//! Invariant: under its name a file is complete or absent; nothing is ever appended or changed in place,
//! and what was put before a [`Backend::barrier`] is there after a power cut that follows it. Knows names
//! and bytes, not what they mean: no formats, no keys, no retries.

pub mod beside;
mod error;
mod local;
mod lock;
mod memory;
mod name;
mod system;
mod walk;

pub use error::BackendError;
pub use local::{Durability, LocalBackend};
pub use lock::{Holder, Lock, LockError};
pub use memory::MemoryBackend;
pub use name::{NAME_LEN_MAX, Name, NameError, SEGMENT_COUNT_MAX};

use std::io;
use std::sync::Arc;

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Relative to the root of the repository, segments joined by `/`. Raw: it may not be ours, so that
    /// [`Name::parse`] can refuse it.
    pub name: String,
    /// Bytes the file has.
    pub len: u64,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Listing {
    /// Every file, sorted by name. Links and devices are shown with length 0; their name counts as
    /// foreign, and reading them is refused.
    pub files: Vec<Listed>,
    /// Entries that cannot be named: not UTF-8, control characters, or deeper than our names go.
    pub skipped_count: u64,
    /// Folders that are there but could not be read (a damaged directory), with the reason: what lies in
    /// them is unknown, not absent.
    pub unreadable: Vec<(String, io::Error)>,
}

impl Listing {
    /// The files, for callers to whom an unknown file is as bad as a lost one (whoever deletes).
    ///
    /// # Errors
    /// [`BackendError::Unlistable`] if any folder could not be read.
    pub fn complete(self, location: &str) -> Result<Vec<Listed>, BackendError> {
        let count = self.unreadable.len();
        match self.unreadable.into_iter().next() {
            None => Ok(self.files),
            Some((first, source)) => Err(BackendError::Unlistable {
                location: location.to_owned(),
                first,
                count,
                source,
            }),
        }
    }
}

/// A place for small immutable files. Each method may be called from any thread.
pub trait Backend: Send + Sync {
    /// The place, in words a person knows it by.
    fn location(&self) -> String;

    /// Writes a whole file. After an error nothing new stands under the name; after success it is whole,
    /// and durable from the next [`Backend::barrier`] on.
    ///
    /// A file of that name with the same bytes is kept. One with other bytes is **replaced**: names here
    /// are content-addressed or drawn at random, so that other bytes are the torn leftover of a drive
    /// that lied. Whoever uses a name of another kind must look before writing.
    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<(), BackendError>;

    /// Reads a whole file of at most `len_max` bytes.
    fn get(&self, name: &Name, len_max: u64) -> Result<Vec<u8>, BackendError>;

    /// Reads exactly `len` bytes from `offset`; a file that ends earlier is an error, never short data.
    fn get_range(&self, name: &Name, offset: u64, len: u32) -> Result<Vec<u8>, BackendError>;

    /// All files below a folder (`""` is the root), at any depth our names can have. A missing folder is
    /// empty; a missing root is not. Temporary files and the lock are not shown.
    fn list(&self, dir: &str) -> Result<Listing, BackendError>;

    /// Removes a file; it is no error if it is gone. Durable from the next [`Backend::barrier`] on.
    fn delete(&self, name: &Name) -> Result<(), BackendError>;

    /// Returns when all puts and deletes that had returned before are durable.
    fn barrier(&self) -> Result<(), BackendError>;

    /// Bytes that can still be written; `None` where nobody can say.
    fn free_len(&self) -> Result<Option<u64>, BackendError>;

    /// Whether the place refuses to be written as a whole (a read-only mount).
    fn is_read_only(&self) -> Result<bool, BackendError>;

    /// Removes what interrupted writers left behind and returns how many files that were. Only for the
    /// holder of the lock: it would take a running writer's temporary file away.
    fn sweep_temporaries(&self) -> Result<u64, BackendError>;

    /// Keeps other writers away while the lock lives. Advice that saves work: no safety rests on it, a
    /// crash cannot leave it stuck, and where it cannot be had [`Lock::is_enforced`] says so.
    fn lock_exclusive(&self) -> Result<Lock, LockError> {
        Ok(Lock::unenforced())
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<B: Backend + ?Sized> Backend for $pointer {
            fn location(&self) -> String {
                (**self).location()
            }
            fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<(), BackendError> {
                (**self).put_new(name, bytes)
            }
            fn get(&self, name: &Name, len_max: u64) -> Result<Vec<u8>, BackendError> {
                (**self).get(name, len_max)
            }
            fn get_range(&self, name: &Name, at: u64, len: u32) -> Result<Vec<u8>, BackendError> {
                (**self).get_range(name, at, len)
            }
            fn list(&self, dir: &str) -> Result<Listing, BackendError> {
                (**self).list(dir)
            }
            fn delete(&self, name: &Name) -> Result<(), BackendError> {
                (**self).delete(name)
            }
            fn barrier(&self) -> Result<(), BackendError> {
                (**self).barrier()
            }
            fn free_len(&self) -> Result<Option<u64>, BackendError> {
                (**self).free_len()
            }
            fn is_read_only(&self) -> Result<bool, BackendError> {
                (**self).is_read_only()
            }
            fn sweep_temporaries(&self) -> Result<u64, BackendError> {
                (**self).sweep_temporaries()
            }
            fn lock_exclusive(&self) -> Result<Lock, LockError> {
                (**self).lock_exclusive()
            }
        }
    )*};
}

forward!(Box<B>, Arc<B>);
