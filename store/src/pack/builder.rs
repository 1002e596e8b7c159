//! Building a pack in memory: lay out, seal, name, prove.
//!
//! Invariant: the bytes that [`PackBuilder::finish`] returns were opened, decoded and hashed again from that very buffer, and the
//! name was computed before that check. A builder is used once; there is no way to add to a finished pack.

use std::ops::Range;

use crate::ambient::{Ambient, NoRandomness};
use crate::header::{HEADER_LEN, Header, Kind};
use crate::ids::{BlobId, PackId, RepositoryId, hash_of_file};
use crate::pack::directory::{ENTRY_LEN, Entry, encode_entries};
use crate::pack::payload::Encoded;
use crate::pack::reader::{BlobError, PackHead, PackHeadError};
use crate::pack::{PACK_HEAD_LEN, PACK_LEN_MAX, PackType};
use crate::record::GRAIN;
use crate::seal::{BlobCipher, BlobType, DataKeys, IdKeys, SealBroken, TAG_LEN, derive};

/// A pack whose bytes are ready to be written.
pub struct FinishedPack {
    /// Its name: BLAKE3 of the bytes.
    pub id: PackId,
    /// What it holds.
    pub pack_type: PackType,
    /// The file.
    pub bytes: Vec<u8>,
    /// Where each blob stands.
    pub entries: Vec<Entry>,
}

/// Why a pack could not be built.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// No random numbers.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The keyring has no key to seal with.
    #[error(transparent)]
    Seal(#[from] SealBroken),
    /// The pack would be longer than the format allows.
    #[error("a pack of {0} bytes is longer than the format allows")]
    TooLong(usize),
    /// What was just sealed does not open: memory or processor is not to be trusted.
    #[error(
        "a pack that was just sealed does not read back in memory ({blob}): this computer's memory may be faulty"
    )]
    NotProved {
        /// The blob.
        blob: BlobId,
        /// What is wrong with it.
        #[source]
        source: BlobError,
    },
    /// The same for the directory.
    #[error(
        "a pack that was just sealed does not read back in memory: this computer's memory may be faulty"
    )]
    DirectoryNotProved(#[source] PackHeadError),
}

/// Payloads up to this length lie together in rooms: a pack of tiny files has hundreds of thousands, and a piece of memory
/// for each would leave as many holes when the pack is written.
const SMALL_LEN_MAX: usize = 16 << 10;
/// A room for them. A pack has as many as it needs: one for all would be mostly empty in most, and be touched when it is wiped.
const SMALL_ROOM_LEN: usize = 2 << 20;

/// Blobs that will become a pack.
pub struct PackBuilder {
    pack_type: PackType,
    blobs: Vec<Waiting>,
    small: Vec<Vec<u8>>,
    len: usize,
}

struct Waiting {
    id: BlobId,
    blob_type: BlobType,
    encoding: u8,
    plain_len: u32,
    payload: Payload,
}

enum Payload {
    Own(Vec<u8>),
    /// Which room, and where in it.
    Small(u32, Range<u32>),
}

impl PackBuilder {
    /// An empty one.
    #[must_use]
    pub fn new(pack_type: PackType) -> Self {
        Self { pack_type, blobs: Vec::new(), small: Vec::new(), len: PACK_HEAD_LEN }
    }

    /// Adds a blob.
    pub fn push(&mut self, blob: Encoded) {
        let Encoded { id, blob_type, encoding, plain_len, payload } = blob;
        self.len += payload.len() + TAG_LEN + ENTRY_LEN;
        let payload = self.keep(payload);
        self.blobs.push(Waiting { id, blob_type, encoding: encoding.number(), plain_len, payload });
    }

    fn keep(&mut self, payload: Vec<u8>) -> Payload {
        if payload.len() > SMALL_LEN_MAX {
            return Payload::Own(payload);
        }
        if self.small.last().is_none_or(|room| room.len() + payload.len() > SMALL_ROOM_LEN) {
            self.small.push(Vec::with_capacity(SMALL_ROOM_LEN));
        }
        let number = u32::try_from(self.small.len() - 1);
        let (Ok(number), Some(room)) = (number, self.small.last_mut()) else {
            return Payload::Own(payload);
        };
        let (Ok(start), Ok(len)) = (u32::try_from(room.len()), u32::try_from(payload.len())) else {
            return Payload::Own(payload);
        };
        room.extend_from_slice(&payload);
        Payload::Small(number, start..start + len)
    }

    /// About the length of the file, without padding.
    #[must_use]
    pub fn file_len(&self) -> usize {
        self.len
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Lays the blobs out in an order drawn by chance, seals them, names the pack and proves it. `room` becomes the pack's
    /// bytes: the system is slow to give fresh memory, and there is a pack every fifth of a second.
    ///
    /// # Errors
    /// See [`PackError`]; nothing was written anywhere.
    pub fn finish(
        mut self,
        room: Vec<u8>,
        repository: RepositoryId,
        data_keys: &DataKeys,
        id_keys: &IdKeys,
        ambient: &dyn Ambient,
    ) -> Result<FinishedPack, PackError> {
        shuffle(&mut self.blobs, ambient)?;
        let (epoch, data_key) = data_keys.current()?;
        let salt = self.salt(data_key, ambient)?;
        let area_len: usize = self.blobs.iter().map(|b| b.payload_len() + TAG_LEN).sum();
        let directory_at = (PACK_HEAD_LEN + area_len).next_multiple_of(GRAIN);
        let directory_len = (8 + self.blobs.len() * ENTRY_LEN + TAG_LEN).next_multiple_of(GRAIN);
        let file_len = directory_at + directory_len;
        if file_len as u64 > PACK_LEN_MAX {
            return Err(PackError::TooLong(file_len));
        }
        let header = Header {
            kind: Kind::Pack,
            algorithm: 1,
            pack_type: self.pack_type.number(),
            epoch,
            repository,
            file_len: file_len as u64,
        };
        let mut bytes = room;
        bytes.clear();
        bytes.reserve_exact(file_len);
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&salt);
        bytes.extend_from_slice(&u32::try_from(directory_len).unwrap_or(0).to_le_bytes());
        bytes.resize(PACK_HEAD_LEN, 0);
        let head = PackHead::decode(&bytes, repository, data_keys)
            .map_err(PackError::DirectoryNotProved)?;
        let entries = lay_out(self.blobs, &self.small, head.cipher(), &mut bytes)?;
        let padding = bytes.len();
        bytes.resize(directory_at, 0);
        ambient.fill(bytes.get_mut(padding..).unwrap_or_default())?;
        let directory = directory_plaintext(&entries, directory_len - TAG_LEN);
        let clear = bytes.get(..PACK_HEAD_LEN).unwrap_or_default();
        let directory = head.cipher().seal_directory(clear, directory)?;
        bytes.extend_from_slice(&directory);
        let pack = FinishedPack {
            id: PackId::decode(hash_of_file(&bytes)),
            pack_type: self.pack_type,
            bytes,
            entries,
        };
        pack.prove(repository, data_keys, id_keys)?;
        Ok(pack)
    }

    fn salt(
        &self,
        data_key: &crate::seal::Secret,
        ambient: &dyn Ambient,
    ) -> Result<[u8; 32], NoRandomness> {
        let random: [u8; 32] = crate::ambient::draw(ambient)?;
        let key = derive("russet format 1 pack salt", &[data_key.bytes()]);
        let mut hasher = blake3::Hasher::new_keyed(key.bytes());
        hasher.update(&random);
        hasher.update(&ambient.now_nanos().to_le_bytes());
        hasher.update(&ambient.process().to_le_bytes());
        if let Some(first) = self.blobs.first() {
            hasher.update(first.id.as_bytes());
        }
        debug_assert_eq!(PACK_HEAD_LEN, HEADER_LEN + 48);
        Ok(*hasher.finalize().as_bytes())
    }
}

impl Waiting {
    fn payload_len(&self) -> usize {
        match &self.payload {
            Payload::Own(payload) => payload.len(),
            Payload::Small(_, range) => range.len(),
        }
    }
}

/// Fisher–Yates with the operating system's randomness: the order of blobs tells nothing about the order of files.
fn shuffle(blobs: &mut [Waiting], ambient: &dyn Ambient) -> Result<(), NoRandomness> {
    let mut random = vec![0u8; blobs.len() * 8];
    ambient.fill(&mut random)?;
    for (at, drawn) in random.chunks_exact(8).enumerate().skip(1) {
        let drawn = drawn.try_into().map_or(0, u64::from_le_bytes);
        let other = usize::try_from(drawn % (at as u64 + 1)).unwrap_or(0);
        blobs.swap(at, other);
    }
    Ok(())
}

fn lay_out(
    blobs: Vec<Waiting>,
    small: &[Vec<u8>],
    cipher: &BlobCipher,
    bytes: &mut Vec<u8>,
) -> Result<Vec<Entry>, PackError> {
    let mut entries = Vec::with_capacity(blobs.len());
    for (at, blob) in blobs.into_iter().enumerate() {
        let number = |n: usize| u32::try_from(n).map_err(|_| PackError::TooLong(n));
        let ordinal = number(at)?;
        let offset = bytes.len();
        match &blob.payload {
            Payload::Own(payload) => bytes.extend_from_slice(payload),
            Payload::Small(number, range) => {
                let range = range.start as usize..range.end as usize;
                let room = small.get(*number as usize);
                bytes.extend_from_slice(room.and_then(|room| room.get(range)).unwrap_or_default());
            }
        }
        let tag = cipher.seal_blob(ordinal, bytes.get_mut(offset..).unwrap_or_default())?;
        bytes.extend_from_slice(&tag);
        entries.push(Entry {
            id: blob.id,
            ordinal,
            offset: number(offset)?,
            sealed_len: number(bytes.len() - offset)?,
            plain_len: blob.plain_len,
            blob_type: blob.blob_type,
            encoding: blob.encoding,
        });
    }
    Ok(entries)
}

fn directory_plaintext(entries: &[Entry], len: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(len + TAG_LEN);
    plain.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(0).to_le_bytes());
    plain.extend_from_slice(&[0; 4]);
    plain.extend_from_slice(&encode_entries(entries));
    plain.resize(len, 0);
    plain
}

impl FinishedPack {
    /// Opens everything again from the bytes that will be written: an encoder that erred (zstd has, twice, in other tools'
    /// histories) is found before anything refers to its work.
    fn prove(
        &self,
        repository: RepositoryId,
        data_keys: &DataKeys,
        id_keys: &IdKeys,
    ) -> Result<(), PackError> {
        let head = PackHead::decode(&self.bytes, repository, data_keys)
            .map_err(PackError::DirectoryNotProved)?;
        let directory_at = usize::try_from(head.directory_at()).unwrap_or(usize::MAX);
        let entries = head
            .open_directory(self.bytes.get(directory_at..).unwrap_or_default())
            .map_err(PackError::DirectoryNotProved)?;
        if entries != self.entries {
            return Err(PackError::DirectoryNotProved(PackHeadError::Seal(SealBroken)));
        }
        let mut scratch = Vec::new();
        for entry in &self.entries {
            head.check_blob(entry, &self.bytes, &mut scratch, id_keys)
                .map_err(|source| PackError::NotProved { blob: entry.id, source })?;
        }
        Ok(())
    }
}
