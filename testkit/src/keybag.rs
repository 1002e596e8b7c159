//! Apple's backup keybag, from the writing side: class keys wrapped under a password.
//!
//! Invariant: what it makes opens with the two-stage derivation and RFC 3394, as in docs/apple-format.md §5.
//! Must not be used to protect anything: keys come from a seed.

use crate::random::Random;
use crate::write_error::WriteError;
use aes_kw::{KeyInit, KwAes256};
use sha1::Sha1;
use sha2::Sha256;

/// A 32-byte key of Apple's: of a class, a file or Manifest.db.
pub(crate) type Key = [u8; 32];
/// Class (4 bytes, little-endian) and a wrapped key (40 bytes), as rows and Manifest.plist hold it.
pub(crate) type WrappedKey = [u8; 44];

/// Most rounds of the second stage; phones use 10 000.
const SECOND_ROUNDS_MAX: u32 = 10_000;

/// The class keys of one backup and their wrapped form.
pub(crate) struct Keybag {
    class_keys: Vec<(u32, Key)>,
    encoded: Vec<u8>,
}

impl Keybag {
    /// Class keys come from `keys` alone, so that another password leaves them, and every payload, as they were.
    pub(crate) fn new(
        keys: &mut Random,
        salts: &mut Random,
        password: &[u8],
        rounds: u32,
    ) -> Result<Self, WriteError> {
        let second_rounds = rounds.clamp(1, SECOND_ROUNDS_MAX);
        let first_salt: [u8; 20] = salts.array();
        let second_salt: [u8; 20] = salts.array();
        let mut first: Key = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha256>(password, &first_salt, rounds.max(1), &mut first);
        let mut wrapping: Key = [0; 32];
        pbkdf2::pbkdf2_hmac::<Sha1>(&first, &second_salt, second_rounds, &mut wrapping);

        let mut encoded = Vec::new();
        push_number(&mut encoded, b"VERS", 5);
        push_number(&mut encoded, b"TYPE", 1);
        push(&mut encoded, b"UUID", &keys.array::<16>());
        push(&mut encoded, b"HMCK", &keys.array::<40>());
        push_number(&mut encoded, b"WRAP", 0);
        push(&mut encoded, b"SALT", &second_salt);
        push_number(&mut encoded, b"ITER", second_rounds);
        push_number(&mut encoded, b"DPWT", 1);
        push_number(&mut encoded, b"DPIC", rounds.max(1));
        push(&mut encoded, b"DPSL", &first_salt);

        let mut class_keys = Vec::new();
        for class in (1..=11_u32).rev() {
            let key: Key = keys.array();
            let device_too = class == 5 || class >= 9;
            push(&mut encoded, b"UUID", &keys.array::<16>());
            push_number(&mut encoded, b"CLAS", class);
            push_number(&mut encoded, b"WRAP", if device_too { 3 } else { 2 });
            push_number(&mut encoded, b"KTYP", 0);
            push(&mut encoded, b"WPKY", &wrap(&wrapping, &key, class)?);
            class_keys.push((class, key));
        }
        Ok(Self { class_keys, encoded })
    }

    /// The bytes of `BackupKeyBag` in Manifest.plist.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// `key` as a row's `EncryptionKey` or as `ManifestKey`.
    pub(crate) fn wrap(&self, class: u32, key: &Key) -> Result<WrappedKey, WriteError> {
        let class_key = self
            .class_keys
            .iter()
            .find(|(each, _)| *each == class)
            .ok_or(WriteError::Wrap { class })?;
        let mut whole = [0; 44];
        let (head, tail) = whole.split_at_mut(4);
        head.copy_from_slice(&class.to_le_bytes());
        tail.copy_from_slice(&wrap(&class_key.1, key, class)?);
        Ok(whole)
    }
}

fn wrap(wrapping: &Key, key: &Key, class: u32) -> Result<[u8; 40], WriteError> {
    let mut wrapped = [0; 40];
    KwAes256::new(&(*wrapping).into())
        .wrap_key(key, &mut wrapped)
        .map_err(|_| WriteError::Wrap { class })?;
    Ok(wrapped)
}

fn push(encoded: &mut Vec<u8>, tag: &[u8; 4], value: &[u8]) {
    encoded.extend_from_slice(tag);
    let len = u32::try_from(value.len()).expect("values have at most 40 bytes");
    encoded.extend_from_slice(&len.to_be_bytes());
    encoded.extend_from_slice(value);
}

fn push_number(encoded: &mut Vec<u8>, tag: &[u8; 4], number: u32) {
    push(encoded, tag, &number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn key_wrapping_matches_rfc_3394_section_4_6() {
        let kek: Key = std::array::from_fn(|index| u8::try_from(index).unwrap());
        let mut key: Key = [0; 32];
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::try_from(if index < 16 { index * 0x11 } else { index - 16 }).unwrap();
        }
        let wrapped = crate::random::hex_of(&wrap(&kek, &key, 1).unwrap());
        assert_eq!(
            wrapped,
            "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
        );
    }

    #[test]
    fn another_password_keeps_the_class_keys_and_changes_their_wrapping() {
        let make = |salt, password: &[u8]| {
            Keybag::new(&mut Random::new(1), &mut Random::new(salt), password, 10).unwrap()
        };
        let (a, b) = (make(2, b"pear"), make(3, b"plum"));
        assert_eq!(a.class_keys, b.class_keys);
        assert_ne!(a.encoded, b.encoded);
    }
}
