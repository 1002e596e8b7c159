//! The filter: which few positions the cipher is asked about.
//!
//! Invariant: `hits` is the formula of docs/format-cut.md §4 on every lane, one lane a position. It is written as plain
//! arithmetic on 16-bit lanes without branches, so that the compiler makes vector code of it on every machine; keep it
//! so. Must not decide a cut.

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes the filter looks at.
pub(crate) const WORD_LEN: usize = 4;
/// Positions tried at once.
pub(crate) const LANES: usize = 64;
/// Bytes that the lanes together look at.
pub(crate) const SPAN_LEN: usize = LANES + WORD_LEN - 1;

/// The four multipliers.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Filter([u16; WORD_LEN]);

impl Filter {
    /// Four multipliers, little-endian.
    pub(crate) fn new(key: &[u8; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = *key;
        Self([[a, b], [c, d], [e, f], [g, h]].map(u16::from_le_bytes))
    }

    /// For each lane: 1 if the four bytes that start there pass the multipliers, else 0. Words of four equal bytes are not
    /// yet taken out: see [`is_flat`].
    #[inline(always)]
    pub(crate) fn hits(&self, span: &[u8; SPAN_LEN]) -> [u8; LANES] {
        let mut hits = [0; LANES];
        for (lane, hit) in hits.iter_mut().enumerate() {
            let mut sum = 0u16;
            for (key, byte) in self.0.iter().zip(&span[lane..lane + WORD_LEN]) {
                sum = sum.wrapping_add(key.wrapping_mul(u16::from(*byte)));
            }
            *hit = u8::from(sum >> 8 == 0x80);
        }
        hits
    }
}

/// Whether all bytes are equal. Such words are never candidates: a run of one byte must neither be cut nor cost a cipher
/// call at each position.
#[inline]
pub(crate) fn is_flat(word: &[u8]) -> bool {
    word.windows(2).all(|pair| pair[0] == pair[1])
}
