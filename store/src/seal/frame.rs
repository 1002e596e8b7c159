//! Frames of a file that waits for a while and is read back before it is whole: ChaCha20-Poly1305 under a counter.
//!
//! Invariant: a [`FrameCipher`] belongs to one file and is made from that file's own salt, which its one writer drew; a number is
//! sealed once. So no (key, nonce) pair is ever used twice, though the key stays the same from file to file. Layout:
//! docs/format.md §15.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};
use zeroize::Zeroize;

use super::{SealBroken, TAG_LEN, derive};

/// The cipher of one file of frames.
pub struct FrameCipher(ChaCha20Poly1305);

impl FrameCipher {
    /// From a key that was drawn for all the files, and the number and the salt of this one.
    #[must_use]
    pub fn new(key: &[u8; 32], file: u32, salt: &[u8; 32]) -> Self {
        let key = derive("russet format 1 spool frames", &[key, &file.to_le_bytes(), salt]);
        Self(ChaCha20Poly1305::new(key.bytes().into()))
    }

    /// Seals a frame; its tag stands at the end.
    ///
    /// # Errors
    /// It has 256 GiB or more.
    pub fn seal(&self, number: u32, mut frame: Vec<u8>) -> Result<Vec<u8>, SealBroken> {
        let tag = self.0.encrypt_inout_detached(&nonce(number), b"", frame.as_mut_slice().into());
        frame.extend_from_slice(&tag.map_err(|_| SealBroken)?);
        Ok(frame)
    }

    /// Opens a sealed frame.
    ///
    /// # Errors
    /// The tag is wrong.
    pub fn open(&self, number: u32, mut sealed: Vec<u8>) -> Result<Vec<u8>, SealBroken> {
        let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(SealBroken)?;
        let tag = Tag::from(*tag);
        let opened = self.0.decrypt_inout_detached(&nonce(number), b"", (&mut *text).into(), &tag);
        let len = text.len();
        if opened.is_err() {
            sealed.zeroize();
            return Err(SealBroken);
        }
        sealed.truncate(len);
        Ok(sealed)
    }
}

fn nonce(number: u32) -> Nonce {
    let [a, b, c, d] = number.to_le_bytes();
    Nonce::from([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_frame_opens_only_at_its_place_in_its_own_file() {
        let cipher = FrameCipher::new(&[1; 32], 7, &[2; 32]);
        let sealed = cipher.seal(3, b"hello".to_vec()).unwrap();
        assert_eq!(cipher.open(3, sealed.clone()).unwrap(), b"hello");
        assert_eq!(cipher.open(4, sealed.clone()), Err(SealBroken));
        for (key, file, salt) in [(1, 7, 3), (1, 8, 2), (3, 7, 2)] {
            let other = FrameCipher::new(&[key; 32], file, &[salt; 32]);
            assert_eq!(other.open(3, sealed.clone()), Err(SealBroken));
        }
    }

    proptest! {
        #[test]
        fn a_changed_frame_does_not_open(plain in proptest::collection::vec(any::<u8>(), 0..200), at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let cipher = FrameCipher::new(&[1; 32], 7, &[2; 32]);
            let mut sealed = cipher.seal(0, plain.clone()).unwrap();
            prop_assert_eq!(cipher.open(0, sealed.clone()), Ok(plain));
            let at = at.index(sealed.len());
            prop_assert_eq!(cipher.open(0, sealed[..at].to_vec()), Err(SealBroken));
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(cipher.open(0, sealed), Err(SealBroken));
        }
    }
}
