//! What a phone is told of free space, and when the drive counts as full.
//!
//! Invariant: the drive keeps a reserve, so that a checkpoint can always be written. The phone reckons with the full size of a
//! backup; where most of it is stored already, that much is added to what is free.

use russet_store::backend::{Backend, BackendError};

/// Bytes of a drive that no capture uses: what has come must still be made durable, and found.
pub const RESERVE_LEN: u64 = 512 << 20;
/// What a drive of unknown size is taken to have free.
const UNKNOWN_LEN: u64 = 1 << 42;
/// More than any phone can ask for.
const ENOUGH_LEN: u64 = 1 << 50;

/// Bytes that may be written to a drive that has so many free; None: it does not say.
#[must_use]
pub fn room_of(free_len: Option<u64>) -> u64 {
    free_len.unwrap_or(UNKNOWN_LEN).saturating_sub(RESERVE_LEN)
}

/// How free space is reckoned for one capture.
#[derive(Debug, Clone, Copy, Default)]
pub struct Space {
    /// Bytes of the base that count as free, since they are not stored again; 0 where the phone sends ciphertext.
    pub known_len: u64,
    /// Bytes that the phone can hold at all.
    pub capacity_len: Option<u64>,
    /// Whether the phone asked for more than it can hold: it is told that there is enough.
    is_absurd: bool,
}

impl Space {
    /// For a capture over a base of `known_len` bytes.
    #[must_use]
    pub fn new(known_len: u64, capacity_len: Option<u64>) -> Self {
        Self { known_len, capacity_len, is_absurd: false }
    }

    /// Bytes that may still be written.
    ///
    /// # Errors
    /// The drive does not say.
    pub fn room_len(&self, backend: &dyn Backend) -> Result<u64, BackendError> {
        Ok(room_of(backend.free_len()?))
    }

    /// Bytes that the phone is told.
    ///
    /// # Errors
    /// The drive does not say.
    pub fn told_len(&self, backend: &dyn Backend) -> Result<u64, BackendError> {
        Ok(self.told_of(backend.free_len()?))
    }

    /// The same of a drive with so many bytes free; None: it does not say.
    #[must_use]
    pub fn told_of(&self, free_len: Option<u64>) -> u64 {
        if self.is_absurd {
            return ENOUGH_LEN;
        }
        room_of(free_len).saturating_add(self.known_len)
    }

    /// The phone says how much it lacks. Some: so much was made free, it may ask once more, for what it wants it cannot need;
    /// None: nothing can be done. The number is what it wanted: some give up on a smaller one without asking again.
    pub fn purge(&mut self, wanted_len: u64) -> Option<u64> {
        self.is_absurd |= self.capacity_len.is_some_and(|capacity| wanted_len > capacity);
        self.is_absurd.then_some(wanted_len)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use russet_store::backend::MemoryBackend;

    #[test]
    fn what_is_stored_already_counts_as_free() {
        let backend = MemoryBackend::new();
        let none = Space::new(0, None).told_len(&backend).unwrap();
        assert_eq!(Space::new(7 << 30, None).told_len(&backend).unwrap(), none + (7 << 30));
    }

    #[test]
    fn a_phone_that_wants_more_than_it_holds_is_told_that_there_is_enough() {
        let mut space = Space::new(0, Some(256 << 30));
        let before = space.told_len(&MemoryBackend::new()).unwrap();
        assert_eq!(space.purge(100 << 30), None);
        assert_eq!(space.told_len(&MemoryBackend::new()).unwrap(), before);
        assert_eq!(space.purge(11 << 40), Some(11 << 40));
        assert!(space.told_len(&MemoryBackend::new()).unwrap() > 11 << 40);
    }
}
