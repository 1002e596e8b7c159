//! Seeded randomness: xoshiro256++ behind splitmix64.
//!
//! Invariant: the same seed gives the same numbers on every machine and in every version. Golden data depends on it.
//! Must not read a clock or the system's randomness. Not for keys that protect anything.

use std::ops::RangeInclusive;

/// A stream of numbers decided by its seed.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        let mut mixer = seed;
        Self { state: std::array::from_fn(|_| splitmix(&mut mixer)) }
    }

    /// A stream of its own for each list of parts, so that one purpose does not disturb another.
    pub fn of_parts(parts: &[u64]) -> Self {
        let mut seed = 0x0072_7573_7365_7400;
        for part in parts {
            let mut mixer = seed ^ part.wrapping_mul(0xd6e8_feb8_6659_fd93);
            seed = splitmix(&mut mixer);
        }
        Self::new(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number in `0..end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(end);
        u64::try_from(wide >> 64).expect("the high half of a 128-bit product fits 64 bits")
    }

    /// A position in a list of `count` items; 0 when it is empty.
    pub fn index(&mut self, count: usize) -> usize {
        let end = u64::try_from(count).expect("a list's length fits 64 bits");
        usize::try_from(self.below(end)).expect("a number below a usize is a usize")
    }

    /// A number in the range, both ends included.
    pub fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start()).saturating_add(1);
        range.start() + self.below(span)
    }

    /// A number in `0.0..1.0`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept on purpose")]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// True in `share` of all cases.
    pub fn chance(&mut self, share: f64) -> bool {
        self.unit() < share
    }

    /// Fills `bytes` with noise that no codec can shrink.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            let word = self.next_u64().to_le_bytes();
            for (byte, value) in piece.iter_mut().zip(word) {
                *byte = value;
            }
        }
    }

    /// `N` bytes of noise.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// Puts `items` in another order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// An UUID as Apple prints it: upper-case.
    pub fn uuid(&mut self) -> String {
        let hex = hex_of(&self.array::<16>()).to_uppercase();
        let (a, rest) = hex.split_at(8);
        let (b, rest) = rest.split_at(4);
        let (c, rest) = rest.split_at(4);
        let (d, e) = rest.split_at(4);
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

/// Lower-case hex.
pub(crate) fn hex_of(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|&byte| [digit(byte >> 4), digit(byte)]).collect()
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_follows_the_published_xoshiro256plusplus() {
        // First outputs of the reference code for the state 1, 2, 3, 4.
        let mut random = Random { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| random.next_u64()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn streams_of_different_parts_differ() {
        let words: std::collections::BTreeSet<u64> = [&[1, 2][..], &[2, 1], &[1], &[1, 2, 0]]
            .iter()
            .map(|parts| Random::of_parts(parts).next_u64())
            .collect();
        assert_eq!(words.len(), 4);
    }

    #[test]
    fn numbers_stay_in_their_range_and_reach_both_ends() {
        let mut random = Random::new(7);
        let seen: std::collections::BTreeSet<u64> =
            (0..200).map(|_| random.between(3..=6)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
    }
}
