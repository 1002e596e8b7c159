//! Packs: immutable files of many sealed blobs and a sealed directory (docs/format.md §6).
//!
//! Invariant: a pack is complete or absent. [`PackBuilder::finish`] lays out, seals, names and proves it in memory; nothing refers to
//! a pack before its bytes were written whole. Does not know where packs are kept or what a blob means.

mod builder;
mod codec;
mod directory;
mod payload;
mod reader;

pub use builder::{FinishedPack, PackBuilder, PackError};
pub use directory::{DirectoryError, ENTRY_LEN, Entry, decode_entries, encode_entries};
pub use payload::{Encoded, Encoding, PayloadError, encode};
pub use reader::{BlobError, PackHead, PackHeadError};

use crate::seal::BlobType;

/// Length of the clear part at the start of a pack.
pub const PACK_HEAD_LEN: usize = 96;
/// Longest pack that is read or written.
pub const PACK_LEN_MAX: u64 = 256 << 20;
/// Longest plaintext of a blob.
pub const BLOB_LEN_MAX: usize = 16 << 20;

/// What a pack holds. Trees stand in packs of their own so that listing a snapshot reads few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PackType {
    /// Pieces of files.
    Data,
    /// Pieces of trees, lists of chunks, copies of records.
    Tree,
}

impl PackType {
    /// The number in the format.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Tree => 2,
        }
    }

    /// The type of a number.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [Self::Data, Self::Tree].into_iter().find(|t| t.number() == number)
    }

    /// The packs that a type of blob belongs in.
    #[must_use]
    pub fn for_blob(blob_type: BlobType) -> Self {
        match blob_type {
            BlobType::Data => Self::Data,
            BlobType::Tree | BlobType::Record => Self::Tree,
        }
    }
}
