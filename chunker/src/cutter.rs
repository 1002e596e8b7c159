//! The keyed cut: where a chunk ends.
//!
//! Invariant: `first_cut` is the function of docs/format-cut.md, byte for byte; tests/cut/naive.rs is that page written
//! down a second time, slowly, and must agree. Must not print, compare or give out what it derived from the seed.

use std::sync::Arc;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use zeroize::{Zeroize, Zeroizing};

use crate::Sizes;
use crate::filter::{Filter, LANES, SPAN_LEN, WORD_LEN, is_flat};

/// Bytes before a position that decide about it.
const WINDOW_LEN: usize = 32;
/// Candidates that go through the cipher together: one call for each would cost more than the search.
const BATCH_COUNT: usize = 16;

/// Finds cuts for one seed and one size class. Clones share what was derived from the seed, which is wiped with the last
/// of them; it is secret, so there is no `Debug`.
#[derive(Clone)]
pub struct Cutter {
    keys: Arc<Keys>,
    bounds: Bounds,
}

/// Each wipes itself when dropped.
struct Keys {
    filter: Filter,
    hash: Aes128,
    decide: Aes128,
}

/// What the sizes say, as masks and positions.
#[derive(Clone, Copy)]
struct Bounds {
    min: usize,
    turn: usize,
    max: usize,
    strict_mask: u64,
    loose_mask: u64,
    shift_mask: u64,
}

/// Candidates that wait for the cipher, in order.
#[derive(Default)]
struct Batch {
    positions: [usize; BATCH_COUNT],
    heads: [Block; BATCH_COUNT],
    tails: [Block; BATCH_COUNT],
    count: usize,
}

impl Cutter {
    /// Derives the subkeys. The seed is secret: who knows it can tell from chunk lengths which files were stored.
    pub fn new(seed: &[u8; 32], sizes: Sizes) -> Self {
        Self {
            keys: Arc::new(Keys {
                filter: Filter::new(&subkey("russet 2026-11-22 cut v1 filter", seed)),
                hash: Aes128::new(&(*subkey("russet 2026-11-22 cut v1 hash", seed)).into()),
                decide: Aes128::new(&(*subkey("russet 2026-11-22 cut v1 decide", seed)).into()),
            }),
            bounds: Bounds::new(sizes),
        }
    }

    /// Length of the first chunk of `data`, which begins at a chunk start; `end` says that nothing follows `data`.
    ///
    /// `None`: more bytes are needed, only when `!end` and `data` is shorter than the greatest chunk, or when `data` is
    /// empty. Never 0. What it costs grows with the chunk, not with `data`.
    pub fn first_cut(&self, data: &[u8], end: bool) -> Option<usize> {
        let within = &data[..data.len().min(self.bounds.max)];
        let cut = match self.search(within) {
            Some(cut) => cut.min(self.bounds.max),
            None => self.bounds.max,
        };
        if cut <= data.len() {
            return Some(cut);
        }
        (end && !data.is_empty()).then_some(data.len())
    }

    /// All chunks of `data`, which is a whole stream. They concatenate to `data`; an empty stream has none.
    pub fn cuts<'a>(&self, data: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = data;
        std::iter::from_fn(move || {
            let (chunk, after) = rest.split_at(self.first_cut(rest, true)?);
            rest = after;
            Some(chunk)
        })
    }

    /// No chunk is longer.
    pub fn len_max(&self) -> usize {
        self.bounds.max
    }

    /// Where the first candidate that decides for a cut puts it: possibly beyond `data`, or beyond the greatest length.
    fn search(&self, data: &[u8]) -> Option<usize> {
        let mut batch = Batch::default();
        let mut at = self.bounds.min;
        while at <= data.len() {
            let words = &data[at - WORD_LEN..];
            let hits = match words.first_chunk::<SPAN_LEN>() {
                Some(span) => self.keys.filter.hits(span),
                // Lanes past the end see zeros, and are dropped below.
                None => {
                    let mut span = [0; SPAN_LEN];
                    span[..words.len()].copy_from_slice(words);
                    self.keys.filter.hits(&span)
                }
            };
            for (group, hits) in hits.as_chunks::<8>().0.iter().enumerate() {
                let mut marks = u64::from_le_bytes(*hits);
                while marks != 0 {
                    let position = at + group * 8 + (marks.trailing_zeros() / 8) as usize;
                    marks &= marks - 1;
                    if position > data.len() || is_flat(&data[position - WORD_LEN..position]) {
                        continue;
                    }
                    batch.push(position, &data[position - WINDOW_LEN..position]);
                    if batch.count == BATCH_COUNT
                        && let Some(cut) = self.decide(&mut batch)
                    {
                        return Some(cut);
                    }
                }
            }
            at += LANES;
        }
        self.decide(&mut batch)
    }

    /// Asks the cipher about all that wait, and empties the batch. The first that says yes wins.
    fn decide(&self, batch: &mut Batch) -> Option<usize> {
        let count = std::mem::take(&mut batch.count);
        let blocks = &mut batch.heads[..count];
        self.keys.hash.encrypt_blocks(blocks);
        for (block, tail) in blocks.iter_mut().zip(&batch.tails) {
            for (byte, other) in block.iter_mut().zip(tail) {
                *byte ^= other;
            }
        }
        self.keys.decide.encrypt_blocks(blocks);
        blocks.iter().zip(&batch.positions).find_map(|(block, &at)| {
            let value = u128::from_le_bytes((*block).into()) as u64;
            let bounds = &self.bounds;
            let mask = if at < bounds.turn { bounds.strict_mask } else { bounds.loose_mask };
            (value & mask == 0).then(|| at + ((value >> 32) & bounds.shift_mask) as usize)
        })
    }
}

impl Batch {
    fn push(&mut self, position: usize, window: &[u8]) {
        let (head, tail) = window.split_at(WINDOW_LEN / 2);
        self.positions[self.count] = position;
        self.heads[self.count].copy_from_slice(head);
        self.tails[self.count].copy_from_slice(tail);
        self.count += 1;
    }
}

impl Bounds {
    fn new(sizes: Sizes) -> Self {
        let avg = sizes.avg();
        let mask = |divisor: u32| u64::from((avg / divisor).max(1) - 1);
        Self {
            min: sizes.min() as usize,
            turn: (avg / 2) as usize,
            max: sizes.max() as usize,
            strict_mask: mask(128),
            loose_mask: mask(512),
            shift_mask: mask(4),
        }
    }
}

fn subkey<const LEN: usize>(context: &str, seed: &[u8; 32]) -> Zeroizing<[u8; LEN]> {
    let mut key = Zeroizing::new([0; LEN]);
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(seed);
    hasher.finalize_xof().fill(&mut *key);
    hasher.zeroize();
    key
}
