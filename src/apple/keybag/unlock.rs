//! From a password to class keys, from these to file keys: PBKDF2 twice (RFC 8018), AES key unwrap (RFC 3394).
//!
//! Invariant: the integrity check of the key unwrap is the only judge of a password. A class whose own key does not open
//! although others do is a damaged class, whose files stay as they are. One derivation a password and salt, however many folders
//! share them: it takes seconds.

use aes_kw::{KeyInit, KwAes256};
use pbkdf2::pbkdf2_hmac;
use sha1::Sha1;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::password::PhonePassword;
use super::{Derivation, FileKey, Keybag, KeybagId};
use crate::apple::mb_file::WrappedKey;

/// On the heap, so that moving it leaves no copy of the key behind.
type Key = Box<Zeroizing<[u8; 32]>>;

/// None of the passwords opens this keybag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the password does not open the backup's keybag")]
pub struct WrongPassword;

/// Passwords to try, and what was derived from them.
///
/// Those that a person gave come first; then those that are known from elsewhere. A password that is remembered for just this
/// keybag is tried before any other, and each in its other forms only where no password opens as it stands.
#[derive(Default)]
pub struct Passwords {
    passwords: Vec<PhonePassword>,
    given_count: usize,
    /// Whether each that was given opened a keybag that it was held against; nothing as long as there was none.
    given_opened: Option<Vec<bool>>,
    meant_for: Vec<(KeybagId, usize)>,
    pub(super) derived: Vec<(usize, Derivation, Key)>,
}

impl Passwords {
    /// Passwords that a person gave. Of several the first that opens a keybag counts.
    #[must_use]
    pub fn new(given: Vec<PhonePassword>) -> Self {
        let mut all = Self { given_count: given.len(), ..Self::default() };
        all.passwords = given;
        all
    }

    /// Whether nobody gave one. There may be some that are known from elsewhere.
    #[must_use]
    pub fn none_given(&self) -> bool {
        self.given_count == 0
    }

    /// Tries those that a person gave on a keybag, also where another one opens it: whoever gives a password wants to know whether
    /// it is right. One that opened something is not tried again.
    pub fn hold_given_against(&mut self, keybag: &Keybag) {
        let count = self.given_count;
        let mut opened = self.given_opened.take().unwrap_or_else(|| vec![false; count]);
        for (number, opened) in opened.iter_mut().enumerate().filter(|(_, opened)| !**opened) {
            let forms = self.passwords.get(number).map(PhonePassword::other_forms);
            let forms = forms.into_iter().flatten().map(|form| self.number_of(form));
            let numbers: Vec<usize> = std::iter::once(number).chain(forms).collect();
            *opened = numbers.into_iter().any(|number| self.try_one(number, keybag).is_some());
        }
        self.given_opened = Some(opened);
    }

    /// The places of those that a person gave and that opened nothing they were held against.
    #[must_use]
    pub fn given_in_vain(&self) -> Vec<usize> {
        let opened = self.given_opened.iter().flatten().enumerate();
        opened.filter(|(_, opened)| !**opened).map(|(number, _)| number).collect()
    }

    /// Forgets all of them, but not which of the given ones were in vain.
    pub fn forget(&mut self) {
        let given_opened = self.given_opened.take();
        *self = Self { given_opened, given_count: self.given_count, ..Self::default() };
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

    /// Adds one that may open something.
    pub fn add_known(&mut self, password: PhonePassword) {
        self.number_of(password);
    }

    /// Adds one that opened this keybag before.
    pub fn add_meant(&mut self, keybag: KeybagId, password: PhonePassword) {
        let number = self.number_of(password);
        self.meant_for.push((keybag, number));
    }

    fn number_of(&mut self, password: PhonePassword) -> usize {
        let known = self.passwords.iter().position(|known| known.text() == password.text());
        known.unwrap_or_else(|| {
            self.passwords.push(password);
            self.passwords.len() - 1
        })
    }

    /// Opens a keybag. The first time for its salts this takes seconds for each password.
    ///
    /// # Errors
    /// No password opens any of its classes.
    pub fn unlock(&mut self, keybag: &Keybag) -> Result<ClassKeys, WrongPassword> {
        self.try_all(keybag).map(|(_, keys)| keys).ok_or(WrongPassword)
    }

    /// The password that opens a keybag, in the form that does.
    pub fn that_opens(&mut self, keybag: &Keybag) -> Option<PhonePassword> {
        let (number, _) = self.try_all(keybag)?;
        self.passwords.get(number).map(PhonePassword::again)
    }

    fn try_all(&mut self, keybag: &Keybag) -> Option<(usize, ClassKeys)> {
        let meant: Vec<usize> =
            self.meant_for.iter().filter(|(id, _)| *id == keybag.id).map(|(_, at)| *at).collect();
        let found = meant.into_iter().find_map(|number| self.try_one(number, keybag));
        if found.is_some() {
            return found;
        }
        let as_they_stand = self.passwords.len();
        let found = (0..as_they_stand).find_map(|number| self.try_one(number, keybag));
        if found.is_some() {
            return found;
        }
        for number in 0..as_they_stand {
            let forms = self.passwords.get(number).map(PhonePassword::other_forms);
            for form in forms.into_iter().flatten() {
                let number = self.number_of(form);
                let found = (number >= as_they_stand).then(|| self.try_one(number, keybag));
                if let Some(found) = found.flatten() {
                    return Some(found);
                }
            }
        }
        None
    }

    fn try_one(&mut self, number: usize, keybag: &Keybag) -> Option<(usize, ClassKeys)> {
        let keys = ClassKeys::unwrap(keybag, &self.wrapping_key(number, &keybag.derivation));
        (!keys.open.is_empty()).then_some((number, keys))
    }

    fn wrapping_key(&mut self, index: usize, derivation: &Derivation) -> Key {
        let known = self.derived.iter().find(|(of, with, _)| *of == index && with == derivation);
        if let Some((.., key)) = known {
            return key.clone();
        }
        let password = self.passwords.get(index).map_or("", PhonePassword::text);
        let key = derivation.derive(password.as_bytes());
        self.derived.push((index, derivation.clone(), key.clone()));
        key
    }
}

impl Derivation {
    fn derive(&self, password: &[u8]) -> Key {
        let (mut middle, mut wrapping) = (Key::default(), Key::default());
        pbkdf2_hmac::<Sha256>(password, &self.first_salt, self.first_rounds, &mut **middle);
        pbkdf2_hmac::<Sha1>(&**middle, &self.second_salt, self.second_rounds, &mut **wrapping);
        wrapping
    }
}

/// The class keys of an unlocked keybag.
pub struct ClassKeys {
    open: Vec<(u32, Key)>,
    closed: Vec<u32>,
}

impl ClassKeys {
    fn unwrap(keybag: &Keybag, wrapping: &Key) -> Self {
        // Filled to its capacity at most: a vector that grows leaves copies of keys behind.
        let mut keys = Self { open: Vec::with_capacity(keybag.classes.len()), closed: Vec::new() };
        for each in &keybag.classes {
            match unwrap(wrapping, &each.wrapped) {
                Some(key) => keys.open.push((each.class, key)),
                None if each.by_password => keys.closed.push(each.class),
                None => {}
            }
        }
        keys
    }

    /// Classes whose key should have opened.
    pub(super) fn closed(&self) -> &[u32] {
        &self.closed
    }

    /// The key in a row's `EncryptionKey` or in `ManifestKey`: class (4 bytes, little-endian) and 40 wrapped bytes. `None` if it
    /// is no such thing, or not wrapped under a class key of this keybag.
    #[must_use]
    pub fn file_key(&self, wrapped: &WrappedKey) -> Option<FileKey> {
        let (class, wrapped) = wrapped.as_bytes().split_first_chunk()?;
        let class = u32::from_le_bytes(*class);
        let (_, class_key) = self.open.iter().find(|(known, _)| *known == class)?;
        unwrap(class_key, wrapped.try_into().ok()?).map(|key| FileKey(**key))
    }
}

fn unwrap(wrapping: &Key, wrapped: &[u8; 40]) -> Option<Key> {
    let mut key = Key::default();
    let wrapping: &[u8; 32] = wrapping;
    // Borrowed: an array of the cipher's own kind would be a copy that nobody wipes.
    KwAes256::new(wrapping.into()).unwrap_key(wrapped, &mut **key).ok()?;
    Some(key)
}
