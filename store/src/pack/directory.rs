//! A pack's directory and its entries (docs/format.md §6).
//!
//! Invariant: entries that were decoded lie inside the pack's blob area, do not overlap, and have each ordinal once. Sealing is
//! done elsewhere.

use crate::ids::BlobId;
use crate::pack::{BLOB_LEN_MAX, PACK_HEAD_LEN, PackType};
use crate::seal::{BlobType, TAG_LEN};

/// Length of an entry.
pub const ENTRY_LEN: usize = 56;

/// Where a blob stands in a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The blob.
    pub id: BlobId,
    /// Its number within the pack: part of its nonce.
    pub ordinal: u32,
    /// First byte in the file.
    pub offset: u32,
    /// Length with tag.
    pub sealed_len: u32,
    /// Length of the plaintext.
    pub plain_len: u32,
    /// What it holds.
    pub blob_type: BlobType,
    /// Number of the encoding; one that is unknown makes this blob unreadable, not the pack.
    pub encoding: u8,
}

/// Why a directory is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Cut short.
    #[error("its directory ends in the middle of an entry")]
    Short,
    /// An entry that cannot be.
    #[error(
        "entry {0} of its directory lies outside the pack, overlaps another or has impossible lengths"
    )]
    Entry(u32),
}

/// Writes entries, without count.
#[must_use]
pub fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * ENTRY_LEN);
    for entry in entries {
        out.extend_from_slice(entry.id.as_bytes());
        for word in [entry.ordinal, entry.offset, entry.sealed_len, entry.plain_len] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&[entry.blob_type.number(), entry.encoding, 0, 0, 0, 0, 0, 0]);
    }
    out
}

/// Reads `count` entries of a pack whose blobs end at `area_end`.
///
/// # Errors
/// They are cut short, or one cannot be.
pub fn decode_entries(
    bytes: &[u8],
    count: u32,
    pack_type: PackType,
    area_end: u64,
) -> Result<Vec<Entry>, DirectoryError> {
    let len = (count as usize).checked_mul(ENTRY_LEN).ok_or(DirectoryError::Short)?;
    let bytes = bytes.get(..len).ok_or(DirectoryError::Short)?;
    let mut entries = Vec::with_capacity(count as usize);
    for (at, entry) in bytes.chunks_exact(ENTRY_LEN).enumerate() {
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        let entry = decode_entry(entry).ok_or(DirectoryError::Entry(number))?;
        let end = u64::from(entry.offset) + u64::from(entry.sealed_len);
        let good = entry.offset as usize >= PACK_HEAD_LEN
            && end <= area_end
            && entry.sealed_len as usize >= TAG_LEN
            && entry.plain_len as usize <= BLOB_LEN_MAX
            && entry.ordinal < count
            && PackType::for_blob(entry.blob_type) == pack_type;
        if !good {
            return Err(DirectoryError::Entry(number));
        }
        entries.push(entry);
    }
    check_disjoint(&entries)?;
    Ok(entries)
}

fn check_disjoint(entries: &[Entry]) -> Result<(), DirectoryError> {
    let mut by_offset: Vec<&Entry> = entries.iter().collect();
    by_offset.sort_unstable_by_key(|e| e.offset);
    let mut ordinals = vec![false; entries.len()];
    let mut end = 0;
    for entry in by_offset {
        let seen =
            ordinals.get_mut(entry.ordinal as usize).is_none_or(|s| std::mem::replace(s, true));
        if u64::from(entry.offset) < end || seen {
            return Err(DirectoryError::Entry(entry.ordinal));
        }
        end = u64::from(entry.offset) + u64::from(entry.sealed_len);
    }
    Ok(())
}

fn decode_entry(bytes: &[u8]) -> Option<Entry> {
    let (id, rest) = bytes.split_first_chunk::<32>()?;
    let (ordinal, rest) = word(rest)?;
    let (offset, rest) = word(rest)?;
    let (sealed_len, rest) = word(rest)?;
    let (plain_len, rest) = word(rest)?;
    let [blob_type, encoding, ..] = rest else { return None };
    Some(Entry {
        id: BlobId::decode(*id),
        ordinal,
        offset,
        sealed_len,
        plain_len,
        blob_type: BlobType::of(*blob_type)?,
        encoding: *encoding,
    })
}

fn word(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (word, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*word), rest))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(ordinal: u32, offset: u32, sealed_len: u32) -> Entry {
        Entry {
            id: BlobId::decode([7; 32]),
            ordinal,
            offset,
            sealed_len,
            plain_len: 4,
            blob_type: BlobType::Data,
            encoding: 0,
        }
    }

    fn decoded(entries: &[Entry]) -> Result<Vec<Entry>, DirectoryError> {
        let count = u32::try_from(entries.len()).unwrap();
        decode_entries(&encode_entries(entries), count, PackType::Data, 4096)
    }

    #[test]
    fn entries_come_back() {
        let entries = [entry(1, 96, 20), entry(0, 116, 30)];
        assert_eq!(decoded(&entries).unwrap(), entries);
    }

    #[test]
    fn overlapping_outlying_and_repeated_entries_are_refused() {
        for bad in [
            [entry(0, 96, 20), entry(1, 115, 30)],
            [entry(0, 96, 20), entry(0, 116, 30)],
            [entry(0, 95, 20), entry(1, 116, 30)],
            [entry(0, 96, 20), entry(1, 116, 4000)],
            [entry(0, 96, 20), entry(1, u32::MAX, u32::MAX)],
            [entry(0, 96, 15), entry(1, 116, 30)],
        ] {
            assert!(matches!(decoded(&bad), Err(DirectoryError::Entry(_))), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), count in 0u32..8) {
            let _ = decode_entries(&bytes, count, PackType::Data, 4096);
            prop_assert!(decode_entries(&bytes, u32::MAX, PackType::Data, 4096).is_err());
        }
    }
}
