//! Index segments: copies of many packs' directories in one sealed file (docs/format.md §7).
//!
//! Invariant: a segment is a convenience; losing all of them loses nothing. What is decoded is bounded by the record it came
//! from, and its entries are checked as a directory's are.

use std::collections::BTreeMap;

use crate::ids::PackId;
use crate::pack::{ENTRY_LEN, Entry, PACK_LEN_MAX, PackType, decode_entries, encode_entries};

/// A pack's directory as a segment holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackListing {
    /// Length of the pack's file.
    pub file_len: u64,
    /// What it holds.
    pub pack_type: PackType,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// The content is not a segment's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its content is not an index segment")]
pub struct NotASegment;

/// Content of a segment's record.
#[must_use]
pub fn encode(packs: &BTreeMap<PackId, PackListing>) -> Vec<u8> {
    let mut out = u32::try_from(packs.len()).unwrap_or(0).to_le_bytes().to_vec();
    for (id, pack) in packs {
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&pack.file_len.to_le_bytes());
        out.extend_from_slice(&[pack.pack_type.number(), 0, 0, 0]);
        out.extend_from_slice(&u32::try_from(pack.entries.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&encode_entries(&pack.entries));
    }
    out
}

/// Reads a segment's content.
///
/// # Errors
/// It is not one.
pub fn decode(content: &[u8]) -> Result<BTreeMap<PackId, PackListing>, NotASegment> {
    let mut packs = BTreeMap::new();
    let (count, mut rest) = content.split_first_chunk::<4>().ok_or(NotASegment)?;
    for _ in 0..u32::from_le_bytes(*count) {
        let (head, after) = rest.split_first_chunk::<48>().ok_or(NotASegment)?;
        let id = PackId::decode(*head.first_chunk().ok_or(NotASegment)?);
        let file_len =
            head.get(32..40).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes);
        let pack_type = PackType::of(head[40]).ok_or(NotASegment)?;
        let count = head.last_chunk().map_or(0, |b| u32::from_le_bytes(*b));
        if file_len > PACK_LEN_MAX {
            return Err(NotASegment);
        }
        let entries = decode_entries(after, count, pack_type, file_len).map_err(|_| NotASegment)?;
        rest = after.get(entries.len() * ENTRY_LEN..).ok_or(NotASegment)?;
        packs.insert(id, PackListing { file_len, pack_type, entries });
    }
    if rest.is_empty() { Ok(packs) } else { Err(NotASegment) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::BlobId;
    use crate::seal::BlobType;
    use proptest::prelude::*;

    fn example() -> BTreeMap<PackId, PackListing> {
        let entry = Entry {
            id: BlobId::decode([1; 32]),
            ordinal: 0,
            offset: 96,
            sealed_len: 20,
            plain_len: 4,
            blob_type: BlobType::Tree,
            encoding: 1,
        };
        let pack = PackListing { file_len: 8192, pack_type: PackType::Tree, entries: vec![entry] };
        BTreeMap::from([(PackId::decode([2; 32]), pack.clone()), (PackId::decode([3; 32]), pack)])
    }

    #[test]
    fn a_segment_comes_back() {
        assert_eq!(decode(&encode(&example())), Ok(example()));
    }

    proptest! {
        #[test]
        fn prefixes_and_any_bytes_are_refused(at in any::<proptest::sample::Index>(), noise in proptest::collection::vec(any::<u8>(), 5..300)) {
            let good = encode(&example());
            prop_assert_eq!(decode(&good[..at.index(good.len())]), Err(NotASegment));
            let _ = decode(&noise);
        }
    }
}
