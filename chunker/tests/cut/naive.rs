//! docs/format-cut.md written down a second time: one position after another, nothing shared with the crate.
//!
//! Invariant: when the crate and this file disagree, the page decides. Must not be made fast.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use russet_chunker::Sizes;

fn derive(context: &str, seed: &[u8; 32], len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new_derive_key(context).update(seed).finalize_xof().fill(&mut out);
    out
}

fn little_endian(bytes: &[u8]) -> u128 {
    bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u128::from(*byte))
}

/// The subkeys, as the page names them.
pub(crate) struct Naive {
    m: Vec<u128>,
    hash: Aes128,
    decide: Aes128,
    min: usize,
    avg: usize,
    max: usize,
}

impl Naive {
    pub(crate) fn new(seed: &[u8; 32], sizes: Sizes) -> Self {
        let filter = derive("russet 2026-11-22 cut v1 filter", seed, 8);
        let key = |context| -> [u8; 16] { derive(context, seed, 16).try_into().unwrap() };
        Self {
            m: filter.chunks(2).map(little_endian).collect(),
            hash: Aes128::new(&key("russet 2026-11-22 cut v1 hash").into()),
            decide: Aes128::new(&key("russet 2026-11-22 cut v1 decide").into()),
            min: sizes.min() as usize,
            avg: sizes.avg() as usize,
            max: sizes.max() as usize,
        }
    }

    /// Length of the first chunk of `b`, after which the stream ends.
    pub(crate) fn first_len(&self, b: &[u8]) -> usize {
        for p in self.min..=self.max.min(b.len()) {
            if !self.is_candidate(b, p) {
                continue;
            }
            let v = self.value(b, p);
            let q = if p < self.avg / 2 { self.avg / 128 } else { self.avg / 512 };
            if v.is_multiple_of(q.max(1) as u128) {
                let d = (v >> 32) % (self.avg / 4) as u128;
                return (p + d as usize).min(self.max).min(b.len());
            }
        }
        self.max.min(b.len())
    }

    pub(crate) fn lens(&self, mut b: &[u8]) -> Vec<usize> {
        let mut lens = Vec::new();
        while !b.is_empty() {
            let len = self.first_len(b);
            lens.push(len);
            b = &b[len..];
        }
        lens
    }

    fn is_candidate(&self, b: &[u8], p: usize) -> bool {
        let w = &b[p - 4..p];
        let f: u128 = self.m.iter().zip(w).map(|(m, byte)| m * u128::from(*byte)).sum();
        (f % 65536) / 256 == 128 && w != [w[0]; 4]
    }

    fn value(&self, b: &[u8], p: usize) -> u128 {
        let (mut head, mut tail) = (b[p - 32..p - 16].to_vec(), b[p - 16..p].to_vec());
        encrypt(&self.hash, &mut head);
        for i in 0..16 {
            tail[i] ^= head[i];
        }
        encrypt(&self.decide, &mut tail);
        little_endian(&tail[..8])
    }
}

fn encrypt(cipher: &Aes128, bytes: &mut [u8]) {
    cipher.encrypt_block(bytes.try_into().unwrap());
}
