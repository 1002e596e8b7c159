//! The keyed cut: where a chunk ends.
//!
//! Invariant: `first_cut` is the function of docs/format-cut.md, byte for byte; tests/cut/naive.rs is that page written
//! down a second time, slowly, and must agree. Must not print, compare or give out what it derived from the seed.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::Sizes;
use crate::filter::{Filter, LANES, SPAN_LEN, WORD_LEN, is_flat};

/// Bytes before a position that decide about it.
const WINDOW_LEN: usize = 32;

/// Finds cuts for one seed and one size class. Cheap to clone, cheap to share; holds secrets, so it has no `Debug`, and
/// wipes them when dropped.
#[derive(Clone)]
pub struct Cutter {
    filter: Filter,
    hash: WindowHash,
    cipher: Aes128,
    bounds: Bounds,
}

/// Multipliers of the universal hash.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct WindowHash([u128; 4]);

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

impl Cutter {
    /// Derives the subkeys. The seed is secret: who knows it can tell from chunk lengths which files were stored.
    pub fn new(seed: &[u8; 32], sizes: Sizes) -> Self {
        let mut filter_key = subkey::<8>("russet 2026-11-22 cut v1 filter", seed);
        let mut hash_key = subkey::<64>("russet 2026-11-22 cut v1 hash", seed);
        let mut cipher_key = subkey::<16>("russet 2026-11-22 cut v1 cipher", seed);
        let cutter = Self {
            filter: Filter::new(filter_key),
            hash: WindowHash::new(&hash_key),
            cipher: Aes128::new(&cipher_key.into()),
            bounds: Bounds::new(sizes),
        };
        filter_key.zeroize();
        hash_key.zeroize();
        cipher_key.zeroize();
        cutter
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
    pub(crate) fn len_max(&self) -> usize {
        self.bounds.max
    }

    /// Where the first candidate that decides for a cut puts it: possibly beyond `data`, or beyond the greatest length.
    fn search(&self, data: &[u8]) -> Option<usize> {
        let mut at = self.bounds.min;
        while at <= data.len() {
            // Lanes past the end see zeros here; `decide` is not asked about them.
            let mut padded = [0; SPAN_LEN];
            let span = match data[at - WORD_LEN..].first_chunk::<SPAN_LEN>() {
                Some(span) => span,
                None => {
                    let rest = &data[at - WORD_LEN..];
                    padded[..rest.len()].copy_from_slice(rest);
                    &padded
                }
            };
            let hits = self.filter.hits(span);
            if hits != [0; LANES] {
                for (lane, _) in hits.iter().enumerate().filter(|(_, hit)| **hit != 0) {
                    let found = (at + lane <= data.len())
                        .then(|| self.decide(data, at + lane))
                        .flatten();
                    if found.is_some() {
                        return found;
                    }
                }
            }
            at += LANES;
        }
        None
    }

    /// Asks the cipher about the candidate `at`, which is at least the window's length.
    fn decide(&self, data: &[u8], at: usize) -> Option<usize> {
        let window = &data[at - WINDOW_LEN..at];
        if is_flat(&window[WINDOW_LEN - WORD_LEN..]) {
            return None;
        }
        let mut block = self.hash.of(window).to_le_bytes().into();
        self.cipher.encrypt_block(&mut block);
        let value = u128::from_le_bytes(block.into()) as u64;
        let mask = if at < self.bounds.turn {
            self.bounds.strict_mask
        } else {
            self.bounds.loose_mask
        };
        (value & mask == 0).then(|| at + ((value >> 32) & self.bounds.shift_mask) as usize)
    }
}

impl WindowHash {
    fn new(key: &[u8; 64]) -> Self {
        let mut multipliers = [0; 4];
        for (multiplier, bytes) in multipliers.iter_mut().zip(key.as_chunks::<16>().0) {
            *multiplier = u128::from_le_bytes(*bytes);
        }
        Self(multipliers)
    }

    /// Multilinear over 64-bit words modulo 2^128. Two different windows meet with probability at most 2^-65: see
    /// docs/format-cut.md §5.
    fn of(&self, window: &[u8]) -> u128 {
        let words = window
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u128::from(u64::from_le_bytes(*word)));
        self.0.iter().zip(words).fold(0, |sum, (key, word)| {
            sum.wrapping_add(key.wrapping_mul(word))
        })
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

fn subkey<const LEN: usize>(context: &str, seed: &[u8; 32]) -> [u8; LEN] {
    let mut key = [0; LEN];
    let mut hasher = blake3::Hasher::new_derive_key(context);
    hasher.update(seed);
    hasher.finalize_xof().fill(&mut key);
    hasher.zeroize();
    key
}
