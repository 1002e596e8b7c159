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

/// Most rounds of either stage that are tried on a host's word.
const ROUNDS_MAX: u32 = 20_000_000;

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
        let wrapping =
            wrapping_key(password, (&first_salt, rounds.max(1)), (&second_salt, second_rounds));

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

    /// Opens a keybag with its password; none if the password is wrong or the bytes are no keybag.
    pub(crate) fn open(encoded: &[u8], password: &[u8]) -> Option<Self> {
        let fields = fields(encoded)?;
        let first_of = |tag: &[u8; 4]| fields.iter().find(|(each, _)| each == tag);
        let number = |tag| {
            let (_, value) = first_of(tag)?;
            value.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)).filter(|n| *n <= ROUNDS_MAX)
        };
        let (first_salt, second_salt) = (&first_of(b"DPSL")?.1, &first_of(b"SALT")?.1);
        let (first, second) = ((first_salt, number(b"DPIC")?), (second_salt, number(b"ITER")?));
        let wrapping = wrapping_key(password, (first.0, first.1), (second.0, second.1));
        let mut class_keys = Vec::new();
        let mut class = 0;
        for (tag, value) in &fields {
            match tag {
                b"CLAS" => class = u32::from_be_bytes(*value.first_chunk()?),
                b"WPKY" => class_keys.push((class, unwrap(&wrapping, value)?)),
                _ => {}
            }
        }
        Some(Self { class_keys, encoded: encoded.to_vec() })
    }

    /// The same class keys under another password: what is encrypted stays as it is.
    pub(crate) fn rewrapped(
        &self,
        salts: &mut Random,
        password: &[u8],
        rounds: u32,
    ) -> Result<Option<Self>, WriteError> {
        let Some(fields) = fields(&self.encoded) else { return Ok(None) };
        let second_rounds = rounds.clamp(1, SECOND_ROUNDS_MAX);
        let (first_salt, second_salt): ([u8; 20], [u8; 20]) = (salts.array(), salts.array());
        let wrapping =
            wrapping_key(password, (&first_salt, rounds.max(1)), (&second_salt, second_rounds));
        let mut encoded = Vec::new();
        let mut keys = self.class_keys.iter();
        for (tag, value) in fields {
            match &tag {
                b"SALT" => push(&mut encoded, &tag, &second_salt),
                b"DPSL" => push(&mut encoded, &tag, &first_salt),
                b"ITER" => push_number(&mut encoded, &tag, second_rounds),
                b"DPIC" => push_number(&mut encoded, &tag, rounds.max(1)),
                b"WPKY" => {
                    let Some((class, key)) = keys.next() else { return Ok(None) };
                    push(&mut encoded, &tag, &wrap(&wrapping, key, *class)?);
                }
                _ => push(&mut encoded, &tag, &value),
            }
        }
        Ok(Some(Self { class_keys: self.class_keys.clone(), encoded }))
    }

    /// The key in a row's `EncryptionKey` or in `ManifestKey`; none if it is not wrapped under this keybag.
    pub(crate) fn unwrap(&self, wrapped: &[u8]) -> Option<Key> {
        let (class, wrapped) = wrapped.split_first_chunk()?;
        let class = u32::from_le_bytes(*class);
        let (_, class_key) = self.class_keys.iter().find(|(each, _)| *each == class)?;
        unwrap(class_key, wrapped)
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

/// The two stages, each a salt and its rounds.
fn wrapping_key(password: &[u8], first: (&[u8], u32), second: (&[u8], u32)) -> Key {
    let (mut middle, mut wrapping): (Key, Key) = ([0; 32], [0; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(password, first.0, first.1, &mut middle);
    pbkdf2::pbkdf2_hmac::<Sha1>(&middle, second.0, second.1, &mut wrapping);
    wrapping
}

fn unwrap(wrapping: &Key, wrapped: &[u8]) -> Option<Key> {
    let mut key: Key = [0; 32];
    KwAes256::new(&(*wrapping).into()).unwrap_key(wrapped, &mut key).ok()?;
    Some(key)
}

/// All fields in order; none if a length is beyond the end.
fn fields(encoded: &[u8]) -> Option<Vec<([u8; 4], Vec<u8>)>> {
    let mut fields = Vec::new();
    let mut rest = encoded;
    while !rest.is_empty() {
        let (tag, after) = rest.split_first_chunk::<4>()?;
        let (len, after) = after.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
        let (value, after) = after.split_at_checked(len)?;
        fields.push((*tag, value.to_vec()));
        rest = after;
    }
    Some(fields)
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

    #[test]
    fn a_keybag_opens_with_its_password_only() {
        let made = Keybag::new(&mut Random::new(1), &mut Random::new(2), b"pear", 10).unwrap();
        let opened = Keybag::open(made.encoded(), b"pear").unwrap();
        assert_eq!(opened.class_keys, made.class_keys);
        let wrapped = made.wrap(3, &[9; 32]).unwrap();
        assert_eq!(opened.unwrap(&wrapped), Some([9; 32]));
        assert!(Keybag::open(made.encoded(), b"plum").is_none());
    }

    #[test]
    fn a_rewrapped_keybag_opens_with_the_new_password_and_has_the_same_keys() {
        let made = Keybag::new(&mut Random::new(1), &mut Random::new(2), b"pear", 10).unwrap();
        let other = made.rewrapped(&mut Random::new(3), b"plum", 20).unwrap().unwrap();
        assert_eq!(Keybag::open(other.encoded(), b"plum").unwrap().class_keys, made.class_keys);
        assert!(Keybag::open(other.encoded(), b"pear").is_none());
    }

    #[test]
    fn every_cut_of_a_keybag_is_refused_or_has_fewer_classes() {
        let made = Keybag::new(&mut Random::new(1), &mut Random::new(2), b"pear", 1).unwrap();
        for len in 0..made.encoded().len() {
            if let Some(cut) = Keybag::open(&made.encoded()[..len], b"pear") {
                assert!(cut.class_keys.len() < made.class_keys.len(), "{len}");
            }
        }
    }
}
