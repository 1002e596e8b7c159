//! Sealing: keys, keyslots, keyring and the two ways bytes are sealed (docs/format.md §3, §5, §6).
//!
//! Invariant: keys leave this module only as [`Secret`], which cannot be printed, cloned or serialised and is wiped when
//! dropped; nothing sealed is used before its tag was checked. Must not know files, packs or where bytes are kept.

mod aead;
mod frame;
mod keyring;
mod keyslot;
mod password;
mod recovery;

pub(crate) use aead::{BlobCipher, record_key};
pub use aead::{TAG_LEN, open_record, seal_record};
pub use frame::FrameCipher;
pub use keyring::{DataKeys, Epoch, Keyring};
pub use keyslot::{KEYSLOT_LEN, Kdf, Keyslot, KeyslotError, KeyslotFacts, SlotSecret, calibrate};
pub use password::{Password, PasswordError};
pub use recovery::{RecoveryError, RecoveryKey};

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::ids::{BlobId, RepositoryId};

/// 32 secret bytes. Wiped on drop; has no `Debug`, `Clone` or `Serialize` on purpose.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Something that was sealed did not open: wrong key, or changed bytes. Nothing more can be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not open: the bytes were changed, or they were sealed under another key")]
pub struct SealBroken;

/// What a blob holds; part of its id, so that one type can never pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlobType {
    /// A piece of a file.
    Data,
    /// A piece of a tree, or a list of chunks.
    Tree,
    /// A copy of a record's file.
    Record,
}

impl BlobType {
    /// The number in the format (docs/format.md §6).
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Tree => 2,
            Self::Record => 3,
        }
    }

    /// The type of a number; None for one that format 1 does not know.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [Self::Data, Self::Tree, Self::Record].into_iter().find(|t| t.number() == number)
    }

    fn context(self) -> &'static str {
        match self {
            Self::Data => "russet format 1 blob id data",
            Self::Tree => "russet format 1 blob id tree",
            Self::Record => "russet format 1 blob id record",
        }
    }
}

/// BLAKE3 key derivation: context and joined material to 32 bytes.
pub(crate) fn derive(context: &str, material: &[&[u8]]) -> Secret {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in material {
        hasher.update(part);
    }
    let secret = Secret(*hasher.finalize().as_bytes());
    hasher.zeroize();
    secret
}

/// Key of the MAC over config and keyslots (docs/format.md §3).
pub(crate) fn mac_key(master: &Secret, repository: RepositoryId) -> Secret {
    derive("russet format 1 mac of config and keyslots", &[master.bytes(), repository.as_bytes()])
}

/// MAC over bytes under the mac key.
pub(crate) fn mac(key: &Secret, bytes: &[u8]) -> [u8; 32] {
    *blake3::keyed_hash(key.bytes(), bytes).as_bytes()
}

/// The keys that give blobs their ids and trees their cuts; they never change in the life of a repository.
pub struct IdKeys {
    data: Secret,
    tree: Secret,
    record: Secret,
    tree_cut: Secret,
    row: Secret,
    cut_seed: Secret,
}

impl IdKeys {
    pub(crate) fn new(id_key: &Secret, cut_seed: Secret) -> Self {
        let key = |blob_type: BlobType| derive(blob_type.context(), &[id_key.bytes()]);
        Self {
            data: key(BlobType::Data),
            tree: key(BlobType::Tree),
            record: key(BlobType::Record),
            tree_cut: derive("russet format 1 tree cut", &[id_key.bytes()]),
            row: derive("russet format 1 row", &[id_key.bytes()]),
            cut_seed,
        }
    }

    /// The id of a blob with this plaintext.
    #[must_use]
    pub fn blob_id(&self, blob_type: BlobType, plaintext: &[u8]) -> BlobId {
        let key = match blob_type {
            BlobType::Data => &self.data,
            BlobType::Tree => &self.tree,
            BlobType::Record => &self.record,
        };
        BlobId::decode(*blake3::keyed_hash(key.bytes(), plaintext).as_bytes())
    }

    /// Hash that decides where a leaf of a tree ends (docs/format.md §8).
    #[must_use]
    pub fn tree_cut(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed(&self.tree_cut, parts)
    }

    /// Hash by which a row of Apple's list of files is known again (docs/format.md §8).
    #[must_use]
    pub fn row(&self, parts: &[&[u8]]) -> [u8; 32] {
        keyed(&self.row, parts)
    }

    /// The seed of the keyed cut.
    #[must_use]
    pub fn cut_seed(&self) -> &[u8; 32] {
        self.cut_seed.bytes()
    }
}

fn keyed(key: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(key.bytes());
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}
