//! From a password to class keys, from these to file keys: PBKDF2 twice (RFC 8018), AES key unwrap (RFC 3394).
//!
//! Invariant: the integrity check of the key unwrap is the only judge of a password. A class whose own key does not open
//! although others do is a damaged class, whose files stay as they are. One derivation a password and salt, however many folders
//! share them: it takes seconds.

use aes_kw::{KeyInit, KwAes256};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Derivation, FileKey, Keybag};
use crate::apple::mb_file::WrappedKey;

type Key = Zeroizing<[u8; 32]>;

/// A backup password as a person set it on the phone or the computer. No `Debug`, wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct PhonePassword(pub(super) Vec<u8>);

impl PhonePassword {
    /// The password's bytes as typed, UTF-8. Apple's programs neither cut nor normalise it.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// From a file's bytes: one line end at the end is dropped.
    #[must_use]
    pub fn from_file(bytes: &[u8]) -> Self {
        let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        Self::new(line.strip_suffix(b"\r").filter(|_| line.len() < bytes.len()).unwrap_or(line))
    }

    /// Whether there is nothing in it: no phone has such a password.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// None of the passwords opens this keybag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password does not open the backup's keybag")]
pub struct WrongPassword;

/// Passwords to try, and what was derived from them.
#[derive(Default)]
pub struct Passwords {
    passwords: Vec<PhonePassword>,
    pub(super) derived: Vec<(usize, Derivation, Key)>,
}

impl Passwords {
    /// Of several the first that opens a keybag counts.
    #[must_use]
    pub fn new(passwords: Vec<PhonePassword>) -> Self {
        Self { passwords, derived: Vec::new() }
    }

    /// One more to try.
    pub fn add(&mut self, password: PhonePassword) {
        self.passwords.push(password);
    }

    /// Whether there is none to try.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passwords.is_empty()
    }

    /// Opens a keybag. The first time for its salts this takes seconds for each password.
    ///
    /// # Errors
    /// No password opens any of its classes.
    pub fn unlock(&mut self, keybag: &Keybag) -> Result<ClassKeys, WrongPassword> {
        for index in 0..self.passwords.len() {
            let keys = ClassKeys::unwrap(keybag, &self.wrapping_key(index, &keybag.derivation));
            if !keys.0.is_empty() {
                return Ok(keys);
            }
        }
        Err(WrongPassword)
    }

    fn wrapping_key(&mut self, index: usize, derivation: &Derivation) -> Key {
        let known = self.derived.iter().find(|(of, with, _)| *of == index && with == derivation);
        if let Some((.., key)) = known {
            return key.clone();
        }
        let password = self.passwords.get(index).map_or(&[][..], |password| &password.0);
        let key = derivation.derive(password);
        self.derived.push((index, derivation.clone(), key.clone()));
        key
    }
}

impl Derivation {
    fn derive(&self, password: &[u8]) -> Key {
        let (mut middle, mut wrapping) = (Key::default(), Key::default());
        pbkdf2_hmac::<Sha256>(password, &self.first_salt, self.first_rounds, &mut *middle);
        pbkdf2_hmac::<Sha1>(&*middle, &self.second_salt, self.second_rounds, &mut *wrapping);
        wrapping
    }
}

/// The class keys of an unlocked keybag.
pub struct ClassKeys(Vec<(u32, Key)>);

impl ClassKeys {
    fn unwrap(keybag: &Keybag, wrapping: &Key) -> Self {
        // Filled to its capacity at most: a vector that grows leaves copies of keys behind.
        let mut keys = Vec::with_capacity(keybag.classes.len());
        keys.extend(
            keybag
                .classes
                .iter()
                .filter_map(|each| Some((each.class, unwrap(wrapping, &each.wrapped)?))),
        );
        Self(keys)
    }

    /// The key in a row's `EncryptionKey` or in `ManifestKey`: class (4 bytes, little-endian) and 40 wrapped bytes. `None` if it
    /// is no such thing, or not wrapped under a class key of this keybag.
    #[must_use]
    pub fn file_key(&self, wrapped: &WrappedKey) -> Option<FileKey> {
        let (class, wrapped) = wrapped.as_bytes().split_first_chunk()?;
        let class = u32::from_le_bytes(*class);
        let (_, class_key) = self.0.iter().find(|(known, _)| *known == class)?;
        unwrap(class_key, wrapped.try_into().ok()?).map(|key| FileKey(*key))
    }
}

fn unwrap(wrapping: &Key, wrapped: &[u8; 40]) -> Option<Key> {
    let mut key = Key::default();
    KwAes256::new(&(**wrapping).into()).unwrap_key(wrapped, &mut *key).ok()?;
    Some(key)
}
