//! Where blobs stand: the seam between us and whatever finds an id quickly.
//!
//! Invariant: an index is a cache of a set of packs. It may know less than the packs hold and never more:
//! a pack it names is known whole, and a pack that was forgotten is not answered with, from that moment
//! on. Losing an index loses nothing. Does not read packs and does not decide which of them exist.

mod btree;
mod numbers;
#[cfg(feature = "rocks")]
mod rocks;

pub use btree::BTreeIndex;
#[cfg(feature = "rocks")]
pub use rocks::{FreshReason, Opened, RocksIndex};

use std::io;

use crate::ids::{BlobId, PackId};
use crate::pack::Entry;
use crate::seal::BlobType;

/// Most places that a lookup answers with: more copies than anybody needs to try.
pub const PLACE_COUNT_MAX: usize = 16;

/// Where a blob stands within its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spot {
    /// Position among the pack's blobs; it is also the nonce.
    pub ordinal: u32,
    /// Bytes from the start of the pack.
    pub offset: u32,
    /// Bytes of the sealed blob.
    pub sealed_len: u32,
    /// Bytes of the chunk it opens to.
    pub plain_len: u32,
    /// What it holds.
    pub blob_type: BlobType,
    /// Number of the encoding of its payload.
    pub encoding: u8,
}

impl Spot {
    /// The spot of a directory's entry.
    #[must_use]
    pub const fn of(entry: &Entry) -> Self {
        Self {
            ordinal: entry.ordinal,
            offset: entry.offset,
            sealed_len: entry.sealed_len,
            plain_len: entry.plain_len,
            blob_type: entry.blob_type,
            encoding: entry.encoding,
        }
    }

    /// The same spot, seen from outside the pack.
    #[must_use]
    pub const fn within(self, pack: PackId) -> Place {
        Place { pack, spot: self }
    }
}

/// Where a blob stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The pack it is in.
    pub pack: PackId,
    /// Where in that pack.
    pub spot: Spot,
}

/// Entries of a directory as [`Index::insert_pack`] takes them.
#[must_use]
pub fn spots(entries: &[Entry]) -> Vec<(BlobId, Spot)> {
    entries.iter().map(|entry| (entry.id, Spot::of(entry))).collect()
}

impl Place {
    /// The directory's entry that this place came from.
    #[must_use]
    pub const fn entry(&self, id: BlobId) -> Entry {
        let Spot { ordinal, offset, sealed_len, plain_len, blob_type, encoding } = self.spot;
        Entry { id, ordinal, offset, sealed_len, plain_len, blob_type, encoding }
    }
}

/// Why an index did not do what it was asked. None of these says anything about the repository.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Another process has this cache open; the index in memory will do.
    #[error("the index is in use by another process")]
    Busy,
    /// The cache does not read back. It is made anew at the next opening.
    #[error("the index is damaged: could not {doing}")]
    Damaged {
        /// A verb for the message.
        doing: &'static str,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The engine could not write.
    #[error("could not {doing} the index")]
    Engine {
        /// A verb for the message.
        doing: &'static str,
        /// What the engine said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cache's folder cannot be used.
    #[error("could not {doing} the folder of the index")]
    Io {
        /// A verb for the message.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// More packs were inserted over the life of this cache than it has numbers for: make it anew.
    #[error("the index has no numbers left for packs")]
    Full,
}

/// Finds blobs. Each method may be called from any thread.
pub trait Index: Send + Sync {
    /// Where a blob stands: every copy in a pack that is known, by pack, at most [`PLACE_COUNT_MAX`];
    /// empty if it is in none.
    fn lookup(&self, id: &BlobId) -> Result<Vec<Place>, IndexError>;

    /// Answers for many ids, in their order; cheaper than one by one.
    fn lookup_many(&self, ids: &[BlobId]) -> Result<Vec<Vec<Place>>, IndexError> {
        ids.iter().map(|id| self.lookup(id)).collect()
    }

    /// Takes in a whole pack: all of its directory, at once. Of an id that stands in it twice the first
    /// counts. A pack that is known already is replaced.
    fn insert_pack(
        &self,
        pack: &PackId,
        file_len: u64,
        entries: &[(BlobId, Spot)],
    ) -> Result<(), IndexError>;

    /// Answers no more with this pack, from now on; what it took up is given back later. Not knowing it
    /// is no error.
    fn forget_pack(&self, pack: &PackId) -> Result<(), IndexError>;

    /// The packs it knows, with the length of their files, by id: to be compared with what is listed.
    fn packs(&self) -> Result<Vec<(PackId, u64)>, IndexError>;

    /// Keeps what was done so far over a crash; without it a crash may lose packs, each as a whole.
    fn flush(&self) -> Result<(), IndexError>;

    /// Forgets everything.
    fn clear(&self) -> Result<(), IndexError>;
}

#[cfg(test)]
mod history_tests;
