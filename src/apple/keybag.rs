//! The keybag of an encrypted backup: class keys, wrapped under the backup password of its day.
//!
//! Invariant: nothing of it is believed before its lengths and counts were checked, and no derivation begins that would take
//! longer than its bounds; keys are wiped when they are dropped, and have no `Debug`, no text and no way into an error. Never
//! makes or changes a keybag. Format: docs/apple-format.md §5.

mod password;
mod tlv;
mod unlock;

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use self::tlv::fields;
use super::mb_file::WrappedKey;
use super::property_list::{self as list, Limits, PlistError};

pub use self::password::{PasswordError, PhonePassword};
pub use self::unlock::{ClassKeys, Passwords, WrongPassword};

/// Longer than any keybag: real ones have 1.1 KB.
const LEN_MAX: usize = 64 << 10;
/// Phones write eleven.
const CLASS_COUNT_MAX: usize = 32;
/// Phones use 10 000 000 rounds, 3 to 10 seconds of work.
const FIRST_ROUNDS_MAX: u32 = 100_000_000;
/// Phones use 10 000.
const SECOND_ROUNDS_MAX: u32 = 10_000_000;
/// Phones use 20 bytes.
const SALT_LEN_MAX: usize = 64;

/// Why bytes are not a keybag that can be used.
#[derive(Debug, thiserror::Error)]
pub enum KeybagError {
    /// `Manifest.plist` is none.
    #[error("Manifest.plist cannot be read")]
    Plist(#[from] PlistError),
    /// `Manifest.plist` has no keybag.
    #[error("Manifest.plist has no keybag")]
    Missing,
    /// Longer than any keybag.
    #[error("the keybag has {len} bytes, more than any phone writes")]
    TooLong {
        /// Bytes.
        len: usize,
    },
    /// A field reaches beyond the end.
    #[error("the keybag is cut short")]
    Cut,
    /// A field of another length than it always has.
    #[error("the keybag's field {tag} has {len} bytes")]
    Length {
        /// Four letters.
        tag: &'static str,
        /// Bytes.
        len: usize,
    },
    /// A field that says how keys are derived, twice: no telling which is meant.
    #[error("the keybag has the field {tag} twice")]
    Repeated {
        /// Four letters.
        tag: &'static str,
    },
    /// A field without which nothing can be derived.
    #[error("the keybag has no field {tag}")]
    Lacks {
        /// Four letters.
        tag: &'static str,
    },
    /// It asks for more work than any phone, or for none.
    #[error("the keybag asks for {rounds} rounds of derivation, which no phone does")]
    Rounds {
        /// What it asks for.
        rounds: u32,
    },
    /// Of iOS 10.1 or older: derived in one stage, with a `Manifest.db` in the clear.
    #[error("the keybag is of iOS 10.1 or older")]
    Old,
    /// More classes than there are.
    #[error("the keybag has more classes than any phone writes")]
    Classes,
}

/// How the key that wraps the class keys follows from the password: two keybags with equal ones share it.
#[derive(Clone, PartialEq, Eq)]
struct Derivation {
    first_salt: Vec<u8>,
    first_rounds: u32,
    second_salt: Vec<u8>,
    second_rounds: u32,
}

struct WrappedClassKey {
    class: u32,
    wrapped: [u8; 40],
    /// Whether the password alone is to unwrap it, or at least first: where it does not, and others open, it is damaged.
    by_password: bool,
}

/// Bit of `WRAP`: wrapped under what follows from the password.
const WRAP_PASSWORD: u32 = 2;

/// Which keybag: BLAKE3 of its bytes. The name that it has in itself stays when its password changes; this one does not, and
/// so says which password is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeybagId([u8; 32]);

impl KeybagId {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// An id that was kept.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// A keybag as it stands in `Manifest.plist`: still locked.
pub struct Keybag {
    id: KeybagId,
    derivation: Derivation,
    classes: Vec<WrappedClassKey>,
}

impl fmt::Debug for Keybag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keybag({} classes)", self.classes.len())
    }
}

impl Keybag {
    /// Reads the bytes of `BackupKeyBag`.
    ///
    /// Unknown fields are passed over, as every parser of it does: phones add some with the years. What is ambiguous or absent
    /// and decides what the keys are is refused.
    ///
    /// # Errors
    /// See [`KeybagError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, KeybagError> {
        if bytes.len() > LEN_MAX {
            return Err(KeybagError::TooLong { len: bytes.len() });
        }
        let mut header = Header::default();
        let mut classes: Vec<WrappedClassKey> = Vec::new();
        let (mut class, mut wrap) = (None, None);
        let mut in_header = true;
        for field in fields(bytes) {
            let (tag, value) = field?;
            match tag {
                b"UUID" if in_header && header.id.is_none() => {
                    // Looked at for its length alone.
                    header.id = Some(exactly("UUID", value)?);
                }
                // The second one opens the first class; the header ends.
                b"UUID" => (in_header, class, wrap) = (false, None, None),
                _ if in_header => header.take(tag, value)?,
                b"CLAS" => once("CLAS", &mut class, number("CLAS", value)?)?,
                b"WRAP" => once("WRAP", &mut wrap, number("WRAP", value)?)?,
                b"WPKY" => {
                    let class = class.ok_or(KeybagError::Lacks { tag: "CLAS" })?;
                    if classes.iter().any(|known| known.class == class) {
                        return Err(KeybagError::Repeated { tag: "WPKY" });
                    }
                    if classes.len() == CLASS_COUNT_MAX {
                        return Err(KeybagError::Classes);
                    }
                    let by_password = wrap.is_none_or(|wrap| wrap & WRAP_PASSWORD != 0);
                    let wrapped = exactly("WPKY", value)?;
                    classes.push(WrappedClassKey { class, wrapped, by_password });
                }
                _ => {}
            }
        }
        if classes.is_empty() {
            return Err(KeybagError::Lacks { tag: "WPKY" });
        }
        let id = KeybagId(*blake3::hash(bytes).as_bytes());
        Ok(Self { id, derivation: header.derivation()?, classes })
    }

    /// Which it is.
    #[must_use]
    pub fn id(&self) -> KeybagId {
        self.id
    }
}

/// What stands before the classes.
#[derive(Default)]
struct Header {
    id: Option<[u8; 16]>,
    first_salt: Option<Vec<u8>>,
    first_rounds: Option<u32>,
    second_salt: Option<Vec<u8>>,
    second_rounds: Option<u32>,
}

impl Header {
    fn take(&mut self, tag: &[u8; 4], value: &[u8]) -> Result<(), KeybagError> {
        match tag {
            b"SALT" => once("SALT", &mut self.second_salt, salt("SALT", value)?),
            b"ITER" => once("ITER", &mut self.second_rounds, number("ITER", value)?),
            b"DPSL" => once("DPSL", &mut self.first_salt, salt("DPSL", value)?),
            b"DPIC" => once("DPIC", &mut self.first_rounds, number("DPIC", value)?),
            _ => Ok(()),
        }
    }

    fn derivation(self) -> Result<Derivation, KeybagError> {
        let (first_salt, first_rounds) = match (self.first_salt, self.first_rounds) {
            (None, None) => return Err(KeybagError::Old),
            (salt, rounds) => (
                salt.ok_or(KeybagError::Lacks { tag: "DPSL" })?,
                rounds.ok_or(KeybagError::Lacks { tag: "DPIC" })?,
            ),
        };
        let second_salt = self.second_salt.ok_or(KeybagError::Lacks { tag: "SALT" })?;
        let second_rounds = self.second_rounds.ok_or(KeybagError::Lacks { tag: "ITER" })?;
        let bounds = [(first_rounds, FIRST_ROUNDS_MAX), (second_rounds, SECOND_ROUNDS_MAX)];
        if let Some((rounds, _)) = bounds.iter().find(|(rounds, max)| !(1..=*max).contains(rounds))
        {
            return Err(KeybagError::Rounds { rounds: *rounds });
        }
        Ok(Derivation { first_salt, first_rounds, second_salt, second_rounds })
    }
}

fn once<T>(tag: &'static str, place: &mut Option<T>, value: T) -> Result<(), KeybagError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(KeybagError::Repeated { tag }),
    }
}

fn exactly<const N: usize>(tag: &'static str, value: &[u8]) -> Result<[u8; N], KeybagError> {
    value.try_into().map_err(|_| KeybagError::Length { tag, len: value.len() })
}

fn number(tag: &'static str, value: &[u8]) -> Result<u32, KeybagError> {
    exactly(tag, value).map(u32::from_be_bytes)
}

fn salt(tag: &'static str, value: &[u8]) -> Result<Vec<u8>, KeybagError> {
    match value.len() {
        1..=SALT_LEN_MAX => Ok(value.to_vec()),
        len => Err(KeybagError::Length { tag, len }),
    }
}

/// The key of one stored file, or of `Manifest.db`.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct FileKey([u8; 32]);

impl FileKey {
    /// The 32 bytes, for the cipher and for the sealed tree; nowhere else.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A key that was kept in a sealed tree.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }
}

/// What `Manifest.plist` holds of an encrypted backup's keys.
#[derive(Debug)]
pub struct LockedKeys {
    /// The keybag.
    pub keybag: Keybag,
    /// The key of `Manifest.db`; iOS 10.1 and older had none.
    pub manifest_key: Option<WrappedKey>,
}

impl LockedKeys {
    /// Reads the bytes of a `Manifest.plist`.
    ///
    /// # Errors
    /// It cannot be read, or its keybag is absent or unusable.
    pub fn parse(manifest_plist: &[u8]) -> Result<Self, KeybagError> {
        let root = list::parse_dictionary(manifest_plist, Limits::MANIFEST)?;
        let data = |key| root.get(key).and_then(|value| value.as_data());
        let bag = data("BackupKeyBag").filter(|bag| !bag.is_empty()).ok_or(KeybagError::Missing)?;
        Ok(Self {
            keybag: Keybag::parse(bag)?,
            manifest_key: data("ManifestKey").map(WrappedKey::of_bytes),
        })
    }

    /// Opens the keybag and with it the key of `Manifest.db`.
    ///
    /// # Errors
    /// See [`UnlockError`].
    pub fn unlock(&self, passwords: &mut Passwords) -> Result<BackupKeys, UnlockError> {
        let classes = passwords.unlock(&self.keybag)?;
        let manifest = self.manifest_key.as_ref().and_then(|key| classes.file_key(key));
        Ok(BackupKeys { classes, manifest: manifest.ok_or(UnlockError::ManifestKey)? })
    }
}

/// Why the keys of a backup do not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnlockError {
    /// The password.
    #[error(transparent)]
    Password(#[from] WrongPassword),
    /// The keybag opens, and the key of `Manifest.db` is absent or not wrapped under it.
    #[error("the key of Manifest.db does not open")]
    ManifestKey,
}

/// The keys of an unlocked backup.
pub struct BackupKeys {
    classes: ClassKeys,
    manifest: FileKey,
}

impl BackupKeys {
    /// The key of `Manifest.db`.
    #[must_use]
    pub fn manifest(&self) -> &FileKey {
        &self.manifest
    }

    /// Classes whose key the password should open and does not, although it opens others: the keybag is damaged there.
    #[must_use]
    pub fn closed_classes(&self) -> &[u32] {
        self.classes.closed()
    }

    /// The key in a row; none if it is not wrapped under a class key of this backup.
    #[must_use]
    pub fn file_key(&self, wrapped: &WrappedKey) -> Option<FileKey> {
        self.classes.file_key(wrapped)
    }
}

#[cfg(test)]
mod tests;
