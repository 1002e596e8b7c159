//! How many bytes may be on their way at once.
//!
//! Invariant: what is held never exceeds the budget, but for one piece that is larger than all of it alone.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

pub(super) struct Budget {
    len_max: usize,
    held: Mutex<usize>,
    freed: Condvar,
}

impl Budget {
    pub(super) fn new(len_max: usize) -> Self {
        Self { len_max, held: Mutex::new(0), freed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `len` more bytes may be held.
    pub(super) fn take(&self, len: usize) {
        let mut held = self.lock();
        while *held > 0 && *held + len > self.len_max {
            held = self.freed.wait(held).unwrap_or_else(PoisonError::into_inner);
        }
        *held += len;
    }

    /// Gives bytes back.
    pub(super) fn free(&self, len: usize) {
        let mut held = self.lock();
        *held = held.saturating_sub(len);
        self.freed.notify_all();
    }
}
