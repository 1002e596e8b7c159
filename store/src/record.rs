//! Records: small sealed files written once (docs/format.md §5): keyring, snapshots, log, and index segments.
//!
//! Invariant: a record is padded so that its length tells nothing finer than 4 KiB, and opens only under the key of its kind, epoch
//! and repository. What the content means is for the caller.

use crate::ambient::{Ambient, NoRandomness, draw};
use crate::header::{HEADER_LEN, Header, HeaderError, Kind};
use crate::ids::RepositoryId;
use crate::seal::{SealBroken, Secret, TAG_LEN, open_record, seal_record};

/// Every sealed file has a multiple of this length.
pub const GRAIN: usize = 4096;
const NONCE_LEN: usize = 24;
const BODY_AT: usize = HEADER_LEN + NONCE_LEN;
const OVERHEAD: usize = BODY_AT + 4 + TAG_LEN;

/// Longest file of a kind that is read.
#[must_use]
pub fn record_len_max(kind: Kind) -> u64 {
    if kind == Kind::Segment { 64 << 20 } else { 4 << 20 }
}

/// Why a record cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not such a record.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Wrong key or changed bytes.
    #[error(transparent)]
    Seal(#[from] SealBroken),
    /// The content's length does not fit the file.
    #[error("the length inside the sealed part is wrong")]
    Length,
    /// The content is longer than a record may be.
    #[error("the record would be {0} bytes long, more than the format allows")]
    TooLong(usize),
    /// No random numbers.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

/// What a record is sealed for.
#[derive(Debug, Clone, Copy)]
pub struct RecordPlace {
    /// Kind of file.
    pub kind: Kind,
    /// Repository it belongs to.
    pub repository: RepositoryId,
    /// Epoch of the key; 0 for the keyring.
    pub epoch: u32,
}

/// Seals content into the bytes of a record's file.
///
/// # Errors
/// Too long, or no random numbers.
pub fn seal(
    place: RecordPlace,
    key: &Secret,
    content: &[u8],
    ambient: &dyn Ambient,
) -> Result<Vec<u8>, RecordError> {
    let file_len = (OVERHEAD + content.len()).next_multiple_of(GRAIN);
    let fits = file_len as u64 <= record_len_max(place.kind);
    let len = u32::try_from(content.len()).ok().filter(|_| fits);
    let len = len.ok_or(RecordError::TooLong(content.len()))?;
    let mut plain = Vec::with_capacity(file_len);
    plain.extend_from_slice(&len.to_le_bytes());
    plain.extend_from_slice(content);
    plain.resize(file_len - BODY_AT - TAG_LEN, 0);
    let header = Header {
        kind: place.kind,
        algorithm: 1,
        pack_type: 0,
        epoch: place.epoch,
        repository: place.repository,
        file_len: file_len as u64,
    };
    let mut file = header.encode().to_vec();
    let nonce: [u8; NONCE_LEN] = draw(ambient)?;
    let sealed = seal_record(key, &nonce, &file, plain);
    file.extend_from_slice(&nonce);
    file.extend_from_slice(&sealed);
    Ok(file)
}

/// Opens the bytes of a record's file; `key_of` gives the key of its epoch.
///
/// # Errors
/// It is not that kind of record, or does not open.
pub fn open<'k>(
    file: &[u8],
    kind: Kind,
    repository: RepositoryId,
    key_of: impl FnOnce(u32) -> Result<Secret, SealBroken> + 'k,
) -> Result<Vec<u8>, RecordError> {
    let header = Header::of_file(file, kind, Some(repository))?;
    let (head, rest) = file.split_at_checked(HEADER_LEN).ok_or(RecordError::Length)?;
    let (nonce, sealed) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    let key = key_of(header.epoch)?;
    let mut plain = open_record(&key, nonce, head, sealed)?;
    let len =
        plain.first_chunk::<4>().map(|b| u32::from_le_bytes(*b)).ok_or(RecordError::Length)?;
    let end = usize::try_from(len).ok().and_then(|len| len.checked_add(4));
    let end = end.filter(|end| *end <= plain.len()).ok_or(RecordError::Length)?;
    plain.truncate(end);
    plain.drain(..4);
    Ok(plain)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ambient::System;
    use proptest::prelude::*;

    fn place() -> RecordPlace {
        RecordPlace { kind: Kind::Log, repository: RepositoryId::decode([2; 16]), epoch: 1 }
    }

    fn read(file: &[u8], kind: Kind) -> Result<Vec<u8>, RecordError> {
        open(file, kind, RepositoryId::decode([2; 16]), |_| Ok(Secret::new([1; 32])))
    }

    #[test]
    fn a_log_record_is_not_taken_for_a_snapshot() {
        let file = seal(place(), &Secret::new([1; 32]), b"{}", &System).unwrap();
        assert_eq!(read(&file, Kind::Log).unwrap(), b"{}");
        assert!(matches!(read(&file, Kind::Snapshot), Err(RecordError::Header(_))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn content_comes_back_changed_files_and_prefixes_do_not(content in proptest::collection::vec(any::<u8>(), 0..9000), at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let file = seal(place(), &Secret::new([1; 32]), &content, &System).unwrap();
            prop_assert_eq!(file.len() % GRAIN, 0);
            prop_assert_eq!(read(&file, Kind::Log).unwrap(), content);
            let at = at.index(file.len());
            prop_assert!(read(&file[..at], Kind::Log).is_err());
            let mut changed = file;
            changed[at] ^= 1 << bit;
            prop_assert!(read(&changed, Kind::Log).is_err());
        }
    }
}
