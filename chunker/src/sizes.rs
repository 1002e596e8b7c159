//! How long chunks may be.
//!
//! Invariant: `64 <= min < avg < max <= 16 MiB` and `avg` is a power of two, so that the window before a cut never
//! leaves its chunk and the masks are whole bits. Must not choose sizes: the repository's config does.

/// Bounds on the length of a chunk, in bytes: one size class of a repository. Source: docs/format-cut.md §2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sizes {
    min: u32,
    avg: u32,
    max: u32,
}

/// Why three numbers are not [`Sizes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SizesError {
    /// The window before a cut would reach into the previous chunk.
    #[error("the least chunk length {min} is below 64 bytes")]
    MinTooSmall {
        /// What was asked for.
        min: u32,
    },
    /// The three lengths do not grow.
    #[error("chunk lengths must grow: min {min}, avg {avg}, max {max}")]
    NotAscending {
        /// What was asked for.
        min: u32,
        /// What was asked for.
        avg: u32,
        /// What was asked for.
        max: u32,
    },
    /// The average is not a power of two, so no whole number of bits gives it.
    #[error("the average chunk length {avg} is not a power of two")]
    AvgNotPowerOfTwo {
        /// What was asked for.
        avg: u32,
    },
    /// A buffer for one chunk would be too large.
    #[error("the greatest chunk length {max} is above 16 MiB")]
    MaxTooLarge {
        /// What was asked for.
        max: u32,
    },
}

impl Sizes {
    /// The least `min` there may be.
    pub const MIN_LEAST: u32 = 64;
    /// The greatest `max` there may be.
    pub const MAX_GREATEST: u32 = 16 << 20;

    /// Checks the three lengths. `avg` is what random data comes out at within a tenth, when `min` is a quarter of it and
    /// `max` at least four times it.
    pub fn new(min: u32, avg: u32, max: u32) -> Result<Self, SizesError> {
        if min < Self::MIN_LEAST {
            return Err(SizesError::MinTooSmall { min });
        }
        if min >= avg || avg >= max {
            return Err(SizesError::NotAscending { min, avg, max });
        }
        if !avg.is_power_of_two() {
            return Err(SizesError::AvgNotPowerOfTwo { avg });
        }
        if max > Self::MAX_GREATEST {
            return Err(SizesError::MaxTooLarge { max });
        }
        Ok(Self { min, avg, max })
    }

    /// No chunk but the last of a stream is shorter.
    pub fn min(&self) -> u32 {
        self.min
    }

    /// The length aimed at.
    pub fn avg(&self) -> u32 {
        self.avg
    }

    /// No chunk is longer.
    pub fn max(&self) -> u32 {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_grow_around_a_power_of_two_are_taken() {
        assert_eq!(Sizes::new(64, 128, 129), Ok(Sizes { min: 64, avg: 128, max: 129 }));
        assert_eq!(Sizes::new(1 << 20, 1 << 22, 1 << 24).map(|s| s.max()), Ok(16 << 20));
    }

    #[test]
    fn a_min_shorter_than_the_window_allows_is_refused() {
        assert_eq!(Sizes::new(63, 128, 256), Err(SizesError::MinTooSmall { min: 63 }));
    }

    #[test]
    fn lengths_that_do_not_grow_are_refused() {
        assert_eq!(
            Sizes::new(128, 128, 256),
            Err(SizesError::NotAscending { min: 128, avg: 128, max: 256 })
        );
        assert_eq!(
            Sizes::new(64, 128, 128),
            Err(SizesError::NotAscending { min: 64, avg: 128, max: 128 })
        );
    }

    #[test]
    fn an_average_between_powers_of_two_is_refused() {
        assert_eq!(Sizes::new(64, 1000, 2000), Err(SizesError::AvgNotPowerOfTwo { avg: 1000 }));
    }

    #[test]
    fn a_max_beyond_16_mib_is_refused() {
        let max = (16 << 20) + 1;
        assert_eq!(Sizes::new(64, 128, max), Err(SizesError::MaxTooLarge { max }));
    }
}
