//! Clock and randomness, passed in so that golden repositories can be made again byte for byte.
//!
//! Invariant: nothing in this crate asks the system for time or randomness but through an [`Ambient`]; the shipped program only
//! ever makes [`System`]. A fixed one lives in the test kit.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where time and randomness come from.
pub trait Ambient: Send + Sync {
    /// Fills `out` with random bytes.
    ///
    /// # Errors
    /// The operating system gave none; nothing may be sealed then.
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness>;

    /// Nanoseconds since 1970-01-01 UTC; 0 if the clock stands before that.
    fn now_nanos(&self) -> u64;

    /// Process number mixed into salts.
    fn process(&self) -> u32;

    /// Seconds since 1970-01-01 UTC.
    fn now_secs(&self) -> u64 {
        self.now_nanos() / 1_000_000_000
    }
}

/// The operating system's random numbers are not available.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random numbers")]
pub struct NoRandomness(#[source] getrandom::Error);

/// The system's clock and random numbers.
#[derive(Debug, Default, Clone, Copy)]
pub struct System;

impl Ambient for System {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        getrandom::fill(out).map_err(NoRandomness)
    }

    fn now_nanos(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn process(&self) -> u32 {
        std::process::id()
    }
}

/// Draws an array of random bytes.
///
/// # Errors
/// As [`Ambient::fill`].
pub fn draw<const N: usize>(ambient: &dyn Ambient) -> Result<[u8; N], NoRandomness> {
    let mut out = [0; N];
    ambient.fill(&mut out)?;
    Ok(out)
}
