//! Backends that fail on purpose, and one that writes down what it was asked.
//!
//! Invariant: every call of the seam counts, in order, from 0, so that a test can fail the n-th call for
//! every n until nothing fails any more. A fault that lies (a short, dropped or changed file) answers Ok,
//! as such drives do. Does not decide what a caller should have done.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use russet_store::backend::{Backend, BackendError, Listing, Lock, LockError, Name};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails once; later ones work.
    Io,
    /// From this call on, nothing can be put; the rest works.
    NoSpace,
    /// From this call on, nothing works.
    Disconnected,
    /// The first put from this call on keeps the first half of the bytes, and answers Ok.
    ShortFile,
    /// The first put from this call on keeps nothing, and answers Ok.
    DroppedFile,
    /// The first put from this call on keeps the bytes with one bit changed, and answers Ok.
    FlippedBit,
}

/// A backend in which one thing goes wrong.
pub struct FaultBackend<B> {
    inner: B,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    fault: Option<(u64, Fault)>,
    call_count: u64,
    is_fired: bool,
}

impl<B: Backend> FaultBackend<B> {
    /// Fails nothing until told; counts calls.
    pub fn new(inner: B) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// Lets the n-th call (from 0, from now on) go wrong.
    #[must_use]
    pub fn fail_at(self, n: u64, fault: Fault) -> Self {
        *self.plan() = Plan { fault: Some((n, fault)), ..Plan::default() };
        self
    }

    /// Calls so far.
    pub fn call_count(&self) -> u64 {
        self.plan().call_count
    }

    /// Whether the fault has happened: a test that loops over n is done when it has not.
    pub fn is_fired(&self) -> bool {
        self.plan().is_fired
    }

    /// The backend below, as it is after the fault.
    pub fn into_inner(self) -> B {
        self.inner
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call; the fault that hits it, if any.
    fn count(&self, is_put: bool) -> Option<Fault> {
        let mut plan = self.plan();
        let call = plan.call_count;
        plan.call_count += 1;
        let (at, fault) = plan.fault?;
        let hits = call >= at
            && match fault {
                Fault::Io => call == at,
                Fault::NoSpace => is_put,
                Fault::Disconnected => true,
                Fault::ShortFile | Fault::DroppedFile | Fault::FlippedBit => {
                    is_put && !plan.is_fired
                }
            };
        plan.is_fired |= hits;
        hits.then_some(fault)
    }

    fn error(&self, fault: Fault, name: &str) -> BackendError {
        let location = self.inner.location();
        match fault {
            Fault::NoSpace => BackendError::NoSpace { location },
            Fault::Disconnected => BackendError::Disconnected { location },
            Fault::Io | Fault::ShortFile | Fault::DroppedFile | Fault::FlippedBit => {
                let source = io::Error::other("injected fault");
                BackendError::Io { doing: "use", name: name.to_owned(), source }
            }
        }
    }

    fn check(&self, name: &str) -> Result<(), BackendError> {
        self.count(false).map_or(Ok(()), |fault| Err(self.error(fault, name)))
    }
}

impl<B: Backend> Backend for FaultBackend<B> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<(), BackendError> {
        match self.count(true) {
            None => self.inner.put_new(name, bytes),
            Some(Fault::ShortFile) => {
                let (half, _) = bytes.split_at(bytes.len() / 2);
                self.inner.put_new(name, half)
            }
            Some(Fault::DroppedFile) => Ok(()),
            Some(Fault::FlippedBit) => {
                let mut changed = bytes.to_vec();
                let middle = changed.len() / 2;
                if let Some(byte) = changed.get_mut(middle) {
                    *byte ^= 0x10;
                }
                self.inner.put_new(name, &changed)
            }
            Some(fault @ (Fault::Io | Fault::NoSpace | Fault::Disconnected)) => {
                Err(self.error(fault, name.as_str()))
            }
        }
    }

    fn get(&self, name: &Name, len_max: u64) -> Result<Vec<u8>, BackendError> {
        self.check(name.as_str())?;
        self.inner.get(name, len_max)
    }

    fn get_range(&self, name: &Name, offset: u64, len: u32) -> Result<Vec<u8>, BackendError> {
        self.check(name.as_str())?;
        self.inner.get_range(name, offset, len)
    }

    fn list(&self, dir: &str) -> Result<Listing, BackendError> {
        self.check(dir)?;
        self.inner.list(dir)
    }

    fn delete(&self, name: &Name) -> Result<(), BackendError> {
        self.check(name.as_str())?;
        self.inner.delete(name)
    }

    fn barrier(&self) -> Result<(), BackendError> {
        self.check("barrier")?;
        self.inner.barrier()
    }

    fn free_len(&self) -> Result<Option<u64>, BackendError> {
        self.check("free space")?;
        self.inner.free_len()
    }

    fn is_read_only(&self) -> Result<bool, BackendError> {
        self.check("drive")?;
        self.inner.is_read_only()
    }

    fn sweep_temporaries(&self) -> Result<u64, BackendError> {
        self.check("temporaries")?;
        self.inner.sweep_temporaries()
    }

    fn lock_exclusive(&self) -> Result<Lock, LockError> {
        self.inner.lock_exclusive()
    }
}

/// One call of the seam.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A file was put.
    Put {
        /// Its name.
        name: String,
        /// Bytes given.
        len: u64,
    },
    /// A whole file was read.
    Get {
        /// Its name.
        name: String,
    },
    /// A part of a file was read.
    GetRange {
        /// Its name.
        name: String,
        /// From this byte on.
        offset: u64,
        /// So many.
        len: u32,
    },
    /// A folder was listed.
    List {
        /// Its name.
        dir: String,
    },
    /// A file was deleted.
    Delete {
        /// Its name.
        name: String,
    },
    /// What came before was made durable.
    Barrier,
}

/// A backend that writes down, in order, what it was asked, whether it worked or not.
pub struct RecordingBackend<B> {
    inner: B,
    log: Mutex<Vec<Operation>>,
}

impl<B: Backend> RecordingBackend<B> {
    /// An empty log.
    pub fn new(inner: B) -> Self {
        Self { inner, log: Mutex::default() }
    }

    /// What was asked so far.
    pub fn log(&self) -> Vec<Operation> {
        self.entries().clone()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Operation>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, operation: Operation) {
        self.entries().push(operation);
    }
}

impl<B: Backend> Backend for RecordingBackend<B> {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<(), BackendError> {
        self.note(Operation::Put { name: name.to_string(), len: bytes.len() as u64 });
        self.inner.put_new(name, bytes)
    }

    fn get(&self, name: &Name, len_max: u64) -> Result<Vec<u8>, BackendError> {
        self.note(Operation::Get { name: name.to_string() });
        self.inner.get(name, len_max)
    }

    fn get_range(&self, name: &Name, offset: u64, len: u32) -> Result<Vec<u8>, BackendError> {
        self.note(Operation::GetRange { name: name.to_string(), offset, len });
        self.inner.get_range(name, offset, len)
    }

    fn list(&self, dir: &str) -> Result<Listing, BackendError> {
        self.note(Operation::List { dir: dir.to_owned() });
        self.inner.list(dir)
    }

    fn delete(&self, name: &Name) -> Result<(), BackendError> {
        self.note(Operation::Delete { name: name.to_string() });
        self.inner.delete(name)
    }

    fn barrier(&self) -> Result<(), BackendError> {
        self.note(Operation::Barrier);
        self.inner.barrier()
    }

    fn free_len(&self) -> Result<Option<u64>, BackendError> {
        self.inner.free_len()
    }

    fn is_read_only(&self) -> Result<bool, BackendError> {
        self.inner.is_read_only()
    }

    fn sweep_temporaries(&self) -> Result<u64, BackendError> {
        self.inner.sweep_temporaries()
    }

    fn lock_exclusive(&self) -> Result<Lock, LockError> {
        self.inner.lock_exclusive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;
    use russet_store::backend::MemoryBackend;

    fn name() -> Name {
        Name::parse("a").unwrap()
    }

    fn kept_under(fault: Fault) -> Option<Vec<u8>> {
        let backend = FaultBackend::new(MemoryBackend::new()).fail_at(0, fault);
        backend.put_new(&name(), b"1234").unwrap();
        backend.into_inner().get(&name(), 9).ok()
    }

    #[test]
    fn a_lying_drive_says_ok_and_keeps_something_else() {
        assert_eq!(kept_under(Fault::ShortFile).as_deref(), Some(b"12".as_slice()));
        assert_eq!(kept_under(Fault::FlippedBit).as_deref(), Some(b"12#4".as_slice()));
        assert_eq!(kept_under(Fault::DroppedFile), None);
    }

    #[test]
    fn an_error_hits_the_call_it_was_set_for_and_no_other() {
        let backend = FaultBackend::new(MemoryBackend::new()).fail_at(1, Fault::Io);
        backend.put_new(&name(), b"1").unwrap();
        assert!(backend.barrier().is_err());
        backend.barrier().unwrap();
        assert_eq!((backend.call_count(), backend.is_fired()), (3, true));
    }

    #[test]
    fn a_full_drive_stays_full_and_can_be_read_and_cleared() {
        let backend = FaultBackend::new(MemoryBackend::new()).fail_at(0, Fault::NoSpace);
        backend.delete(&name()).unwrap();
        for _ in 0..2 {
            let error = backend.put_new(&name(), b"1").unwrap_err();
            assert!(matches!(error, BackendError::NoSpace { .. }), "{error:?}");
        }
    }

    #[test]
    fn a_drive_that_is_gone_stays_gone() {
        let backend = FaultBackend::new(MemoryBackend::new()).fail_at(1, Fault::Disconnected);
        backend.put_new(&name(), b"1").unwrap();
        for _ in 0..2 {
            let error = backend.get(&name(), 9).unwrap_err();
            assert!(matches!(error, BackendError::Disconnected { .. }), "{error:?}");
        }
    }

    #[test]
    fn the_log_tells_the_order_of_calls() {
        let backend = RecordingBackend::new(MemoryBackend::new());
        backend.put_new(&name(), b"123").unwrap();
        backend.barrier().unwrap();
        assert_eq!(
            backend.log(),
            [Operation::Put { name: "a".to_owned(), len: 3 }, Operation::Barrier]
        );
    }
}
