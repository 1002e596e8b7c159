//! The cuts that were weighed and not taken, as scalar definitions plus what is needed to time them.
//!
//! Invariant: none of this is format. Kept so that docs/decisions/0001-the-keyed-cut.md can be measured again.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use russet_chunker::Sizes;

/// Lanes of the interleaved gear, each this long.
const LANES: usize = 4;
const LANE_LEN: usize = 2048;
/// A 64-bit gear forgets a byte after this many.
const GEAR_WINDOW_LEN: usize = 64;
/// Positions per cipher call where every position is asked.
const BATCH: usize = 256;

/// Candidate B: gear with a table of 256 secret words. `h = 2h + t[byte]`; a cut where the top bits of `h` are 0.
pub(crate) struct Gear {
    table: [u64; 256],
    min: usize,
    turn: usize,
    max: usize,
    strict: u64,
    loose: u64,
}

impl Gear {
    pub(crate) fn new(seed: &[u8; 32], sizes: Sizes) -> Self {
        let mut bytes = [0; 2048];
        blake3::Hasher::new_keyed(seed).finalize_xof().fill(&mut bytes);
        let mut table = [0; 256];
        for (word, bytes) in table.iter_mut().zip(bytes.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let bits = sizes.avg().trailing_zeros();
        Self {
            table,
            min: sizes.min() as usize,
            turn: (sizes.avg() / 2) as usize,
            max: sizes.max() as usize,
            strict: u64::MAX << (63 - bits),
            loose: u64::MAX << (65 - bits),
        }
    }

    /// The definition: one byte after another.
    pub(crate) fn first_len(&self, data: &[u8]) -> usize {
        let limit = self.max.min(data.len());
        let mut hash = 0u64;
        for at in self.min.saturating_sub(GEAR_WINDOW_LEN) + 1..=limit {
            hash = (hash << 1).wrapping_add(self.table[usize::from(data[at - 1])]);
            let mask = if at < self.turn { self.strict } else { self.loose };
            if at >= self.min && hash & mask == 0 {
                return at;
            }
        }
        limit
    }

    /// The same cuts: four stretches at once, each warmed on the bytes before it.
    pub(crate) fn first_len_in_lanes(&self, data: &[u8]) -> usize {
        let limit = self.max.min(data.len());
        let mut from = self.min;
        while from + LANES * LANE_LEN <= limit {
            let lanes: [&[u8]; LANES] = std::array::from_fn(|lane| {
                let start = from + lane * LANE_LEN;
                &data[start - GEAR_WINDOW_LEN..start + LANE_LEN]
            });
            if let Some(at) = self.lanes_hit(lanes, from) {
                return at;
            }
            from += LANES * LANE_LEN;
        }
        let mut hash = 0u64;
        for at in from - GEAR_WINDOW_LEN + 1..=limit {
            hash = (hash << 1).wrapping_add(self.table[usize::from(data[at - 1])]);
            let mask = if at < self.turn { self.strict } else { self.loose };
            if at >= from && hash & mask == 0 {
                return at;
            }
        }
        limit
    }

    fn lanes_hit(&self, lanes: [&[u8]; LANES], from: usize) -> Option<usize> {
        let mut hashes = [0u64; LANES];
        let mut first = [usize::MAX; LANES];
        for step in 0..GEAR_WINDOW_LEN + LANE_LEN {
            let mut any = false;
            for (hash, lane) in hashes.iter_mut().zip(lanes) {
                *hash = (*hash << 1).wrapping_add(self.table[usize::from(lane[step])]);
                any |= *hash & self.loose == 0;
            }
            if any && step + 1 >= GEAR_WINDOW_LEN {
                for (lane, hash) in hashes.iter().enumerate() {
                    let at = from + lane * LANE_LEN + step + 1 - GEAR_WINDOW_LEN;
                    let mask = if at < self.turn { self.strict } else { self.loose };
                    if *hash & mask == 0 {
                        first[lane] = first[lane].min(at);
                    }
                }
            }
        }
        first.into_iter().min().filter(|at| *at != usize::MAX)
    }
}

/// Candidate C: the cipher is asked at every position, about the 16 bytes before it. Nothing is filtered.
pub(crate) struct EveryPosition {
    cipher: Aes128,
    min: usize,
    turn: usize,
    max: usize,
    avg: u64,
}

impl EveryPosition {
    pub(crate) fn new(seed: &[u8; 32], sizes: Sizes) -> Self {
        let key: [u8; 16] = std::array::from_fn(|i| seed[i]);
        Self {
            cipher: Aes128::new(&key.into()),
            min: sizes.min() as usize,
            turn: (sizes.avg() / 2) as usize,
            max: sizes.max() as usize,
            avg: u64::from(sizes.avg()),
        }
    }

    pub(crate) fn first_len(&self, data: &[u8]) -> usize {
        let limit = self.max.min(data.len());
        let mut blocks = [aes::Block::default(); BATCH];
        let mut from = self.min;
        while from <= limit {
            let windows = data[from - 16..limit].windows(16).take(BATCH);
            let count = windows.len();
            for (block, window) in blocks.iter_mut().zip(windows) {
                block.copy_from_slice(window);
            }
            self.cipher.encrypt_blocks(&mut blocks[..count]);
            for (lane, block) in blocks[..count].iter().enumerate() {
                let value = u64::from_le_bytes(std::array::from_fn(|i| block[i]));
                let odds = if from + lane < self.turn { self.avg * 2 } else { self.avg / 2 };
                if value & (odds - 1) == 0 {
                    return from + lane;
                }
            }
            from += BATCH;
        }
        limit
    }
}
