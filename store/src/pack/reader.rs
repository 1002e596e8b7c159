//! Reading a pack: its clear head, its directory, single blobs.
//!
//! Invariant: a plaintext is returned only after its tag, its length and its keyed hash were checked. Does not fetch bytes itself.

use crate::header::{Header, HeaderError, Kind};
use crate::ids::RepositoryId;
use crate::pack::directory::{DirectoryError, Entry, decode_entries};
use crate::pack::payload::{PayloadError, check, decode};
use crate::pack::{PACK_HEAD_LEN, PACK_LEN_MAX, PackType};
use crate::record::GRAIN;
use crate::seal::{BlobCipher, DataKeys, IdKeys, SealBroken};

/// The clear head of a pack and the keys made from it.
pub struct PackHead {
    head: [u8; PACK_HEAD_LEN],
    pack_type: PackType,
    file_len: u64,
    directory_len: u64,
    cipher: BlobCipher,
}

/// Why a pack cannot be read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackHeadError {
    /// Not a pack's file.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Another algorithm.
    #[error("it is sealed with algorithm {0}, which this program does not know")]
    Algorithm(u8),
    /// Another pack type.
    #[error("it is a pack of type {0}, which this program does not know")]
    Type(u8),
    /// Impossible lengths.
    #[error("its lengths cannot be right")]
    Lengths,
    /// The seal of its directory, or the key of its epoch is not there.
    #[error("its directory does not open: it was changed, or its key is not in the keyring")]
    Seal(SealBroken),
    /// The directory's content.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

/// Why a blob cannot be read from a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// Changed bytes.
    #[error("its seal does not open: the bytes on the drive have changed")]
    Seal(SealBroken),
    /// The payload.
    #[error(transparent)]
    Payload(#[from] PayloadError),
}

// A broken seal says nothing that is not said here: it is no cause to be named after it.
impl From<SealBroken> for PackHeadError {
    fn from(broken: SealBroken) -> Self {
        Self::Seal(broken)
    }
}

impl From<SealBroken> for BlobError {
    fn from(broken: SealBroken) -> Self {
        Self::Seal(broken)
    }
}

impl PackHead {
    /// Reads the first 96 bytes of a pack's file.
    ///
    /// # Errors
    /// They are not the head of a pack of this repository.
    pub fn decode(
        bytes: &[u8],
        repository: RepositoryId,
        data_keys: &DataKeys,
    ) -> Result<Self, PackHeadError> {
        let head: &[u8; PACK_HEAD_LEN] =
            bytes.first_chunk().ok_or(HeaderError::Short(bytes.len()))?;
        let header = Header::decode(head)?;
        if header.kind != Kind::Pack {
            return Err(HeaderError::OtherKind { wanted: Kind::Pack, actual: header.kind }.into());
        }
        if header.repository != repository {
            return Err(HeaderError::Foreign(header.repository).into());
        }
        if header.algorithm != 1 {
            return Err(PackHeadError::Algorithm(header.algorithm));
        }
        let pack_type =
            PackType::of(header.pack_type).ok_or(PackHeadError::Type(header.pack_type))?;
        let salt = head.get(48..80).unwrap_or_default();
        let directory_len =
            head.get(80..84).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes);
        let directory_len = u64::from(directory_len);
        let good = header.file_len <= PACK_LEN_MAX
            && directory_len >= GRAIN as u64
            && directory_len % GRAIN as u64 == 0
            && header.file_len >= directory_len + PACK_HEAD_LEN as u64;
        if !good {
            return Err(PackHeadError::Lengths);
        }
        let material: [&[u8]; 4] = [
            repository.as_bytes(),
            &header.epoch.to_le_bytes(),
            &[header.algorithm, header.pack_type],
            salt,
        ];
        let cipher = BlobCipher::new(data_keys.of(header.epoch)?, &material, header.pack_type);
        Ok(Self { head: *head, pack_type, file_len: header.file_len, directory_len, cipher })
    }

    /// What the pack holds.
    #[must_use]
    pub fn pack_type(&self) -> PackType {
        self.pack_type
    }

    /// Exact length of the file.
    #[must_use]
    pub fn file_len(&self) -> u64 {
        self.file_len
    }

    /// Offset of the sealed directory, which goes to the end of the file.
    #[must_use]
    pub fn directory_at(&self) -> u64 {
        self.file_len - self.directory_len
    }

    pub(crate) fn cipher(&self) -> &BlobCipher {
        &self.cipher
    }

    /// Opens the sealed directory.
    ///
    /// # Errors
    /// It was changed, or says what cannot be.
    pub fn open_directory(&self, sealed: &[u8]) -> Result<Vec<Entry>, PackHeadError> {
        if sealed.len() as u64 != self.directory_len {
            return Err(PackHeadError::Lengths);
        }
        let plain = self.cipher.open_directory(&self.head, sealed)?;
        let (count, rest) = plain.split_first_chunk::<4>().ok_or(DirectoryError::Short)?;
        let entries = rest.get(4..).ok_or(DirectoryError::Short)?;
        let count = u32::from_le_bytes(*count);
        Ok(decode_entries(entries, count, self.pack_type, self.directory_at())?)
    }

    /// Opens one blob; `sealed` is used as scratch space.
    ///
    /// # Errors
    /// The bytes are not that blob.
    pub fn open_blob(
        &self,
        entry: &Entry,
        sealed: &mut [u8],
        keys: &IdKeys,
    ) -> Result<Vec<u8>, BlobError> {
        let payload = self.cipher.open_blob(entry.ordinal, sealed)?;
        Ok(decode(entry.encoding, payload, entry.plain_len, &entry.id, entry.blob_type, keys)?)
    }

    /// Checks one blob of the pack's whole file as [`PackHead::open_blob`] would; `scratch` gets its payload.
    ///
    /// # Errors
    /// The bytes there are not that blob.
    pub(crate) fn check_blob(
        &self,
        entry: &Entry,
        file: &[u8],
        scratch: &mut Vec<u8>,
        keys: &IdKeys,
    ) -> Result<(), BlobError> {
        let start = entry.offset as usize;
        let sealed = file.get(start..start + entry.sealed_len as usize).unwrap_or_default();
        let payload = self.cipher.open_blob_into(entry.ordinal, sealed, scratch)?;
        Ok(check(entry.encoding, payload, entry.plain_len, &entry.id, entry.blob_type, keys)?)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ambient::System;
    use crate::pack::{FinishedPack, PackBuilder, encode};
    use crate::seal::{BlobType, Keyring};
    use proptest::prelude::*;

    const ID: RepositoryId = RepositoryId::decode([6; 16]);

    fn built(blobs: &[Vec<u8>]) -> (FinishedPack, IdKeys, DataKeys) {
        let (ids, data) = Keyring::draw(&System).unwrap().into_keys();
        let mut builder = PackBuilder::new(PackType::Data);
        for blob in blobs {
            let id = ids.blob_id(BlobType::Data, blob);
            builder.push(encode(id, BlobType::Data, blob.clone()).unwrap());
        }
        (builder.finish(vec![1; 10], ID, &data, &ids, &System).unwrap(), ids, data)
    }

    fn read_all(bytes: &[u8], ids: &IdKeys, data: &DataKeys) -> Result<Vec<Vec<u8>>, String> {
        let head = PackHead::decode(bytes, ID, data).map_err(|e| e.to_string())?;
        let at = usize::try_from(head.directory_at()).unwrap();
        let sealed = bytes.get(at..).unwrap_or_default();
        let entries = head.open_directory(sealed).map_err(|e| e.to_string())?;
        let blob = |e: &Entry| {
            let start = e.offset as usize;
            let mut sealed = bytes[start..start + e.sealed_len as usize].to_vec();
            head.open_blob(e, &mut sealed, ids).map_err(|e| e.to_string())
        };
        entries.iter().map(blob).collect()
    }

    #[test]
    fn the_same_blobs_never_give_the_same_pack_twice() {
        let (a, ..) = built(&[b"one".to_vec()]);
        let (b, ..) = built(&[b"one".to_vec()]);
        assert_ne!(a.bytes, b.bytes);
        assert_eq!(a.bytes.len() % GRAIN, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn blobs_come_back_and_a_flipped_bit_outside_the_padding_is_refused(
            blobs in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..12),
            at in any::<proptest::sample::Index>(), bit in 0u8..8,
        ) {
            let (pack, ids, data) = built(&blobs);
            let mut wanted = blobs;
            wanted.sort();
            let mut got = read_all(&pack.bytes, &ids, &data).unwrap();
            got.sort();
            prop_assert_eq!(got, wanted);
            let at = at.index(pack.bytes.len());
            let blobs_end = pack.entries.iter().map(|e| (e.offset + e.sealed_len) as usize).max().unwrap();
            let directory_at = pack.bytes.len() - 4096;
            prop_assert!(read_all(&pack.bytes[..at], &ids, &data).is_err());
            if !(blobs_end..directory_at).contains(&at) {
                let mut changed = pack.bytes;
                changed[at] ^= 1 << bit;
                prop_assert!(read_all(&changed, &ids, &data).is_err());
            }
        }

        #[test]
        fn any_head_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (_, data) = Keyring::draw(&System).unwrap().into_keys();
            prop_assert!(PackHead::decode(&bytes, ID, &data).is_err());
        }
    }
}
