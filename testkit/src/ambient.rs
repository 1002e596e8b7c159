//! A clock that stands still and randomness that comes from a seed.
//!
//! Invariant: the same seed and the same calls give the same bytes, so that a repository can be made again byte for byte, as
//! long as one thread alone asks. Never shipped: what is sealed with this is sealed for nobody.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use blake3::OutputReader;
use russet_store::ambient::{Ambient, NoRandomness};

/// An [`Ambient`] decided by its seed.
pub struct SeededAmbient {
    stream: Mutex<OutputReader>,
    now_secs: AtomicU64,
}

impl SeededAmbient {
    /// The stream of `seed`; the clock stands at `now_secs` (Unix seconds) until it is set.
    pub fn new(seed: &str, now_secs: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("russet testkit seeded ambient");
        hasher.update(seed.as_bytes());
        Self { stream: Mutex::new(hasher.finalize_xof()), now_secs: AtomicU64::new(now_secs) }
    }

    /// Sets the clock.
    pub fn set_now_secs(&self, now_secs: u64) {
        self.now_secs.store(now_secs, Ordering::Relaxed);
    }
}

impl Ambient for SeededAmbient {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
        Ok(())
    }

    fn now_nanos(&self) -> u64 {
        self.now_secs.load(Ordering::Relaxed).saturating_mul(1_000_000_000)
    }

    fn process(&self) -> u32 {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use russet_store::ambient::draw;

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let drawn = |seed| {
            let ambient = SeededAmbient::new(seed, 7);
            let first: [u8; 16] = draw(&ambient).unwrap_or_default();
            let second: [u8; 16] = draw(&ambient).unwrap_or_default();
            assert_ne!(first, second);
            (first, second)
        };
        assert_eq!(drawn("a"), drawn("a"));
        assert_ne!(drawn("a"), drawn("b"));
    }
}
