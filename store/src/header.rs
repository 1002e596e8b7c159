//! The first 48 bytes of every file (docs/format.md §2.1).
//!
//! Invariant: [`Header::decode`] accepts exactly what [`Header::encode`] writes. It says what a file claims to be; whether the
//! claim holds is for the seal and the name to decide.

use crate::ids::RepositoryId;

/// Length of the header.
pub const HEADER_LEN: usize = 48;
/// The format this crate reads and writes.
pub const FORMAT: u8 = 1;
const MAGIC: [u8; 8] = *b"\x89russet\n";

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are the words of docs/glossary.md")]
pub enum Kind {
    Config,
    Keyslot,
    Keyring,
    Pack,
    Segment,
    Snapshot,
    Log,
    Draft,
    Secret,
}

impl Kind {
    const ALL: [(Self, u8); 9] = [
        (Self::Config, 1),
        (Self::Keyslot, 2),
        (Self::Keyring, 3),
        (Self::Pack, 4),
        (Self::Segment, 5),
        (Self::Snapshot, 6),
        (Self::Log, 7),
        (Self::Draft, 8),
        (Self::Secret, 11),
    ];

    /// The number in the format.
    #[must_use]
    pub fn number(self) -> u8 {
        Self::ALL.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, number)| *number)
    }

    fn of(number: u8) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == number).map(|(kind, _)| *kind)
    }
}

/// The decoded header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the file is.
    pub kind: Kind,
    /// 1 where something is sealed, else 0.
    pub algorithm: u8,
    /// For packs: what they hold (docs/format.md §6); else 0.
    pub pack_type: u8,
    /// Epoch of the data key; 0 = master key or nothing sealed.
    pub epoch: u32,
    /// The repository the file belongs to.
    pub repository: RepositoryId,
    /// Exact length of the whole file.
    pub file_len: u64,
}

/// Why a file's first bytes are not a header of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer than 48 bytes.
    #[error("the file has only {0} bytes")]
    Short(usize),
    /// Other magic.
    #[error("it does not begin as a file of a russet repository")]
    NotOurs,
    /// The checksum over the first 40 bytes is wrong.
    #[error("its first 48 bytes are damaged")]
    Damaged,
    /// A format that this program does not know.
    #[error("it has format {0}, this program knows format {FORMAT}: a newer russet is needed")]
    Format(u8),
    /// A kind of file that this program does not know.
    #[error("it is of kind {0}, which this program does not know")]
    Kind(u8),
    /// The file is longer or shorter than it says.
    #[error("it has {actual} bytes and should have {wanted}")]
    Length {
        /// Length in the header.
        wanted: u64,
        /// Length found.
        actual: u64,
    },
    /// Another kind of file than its place asks for.
    #[error("it is a {actual:?} file where a {wanted:?} file belongs")]
    OtherKind {
        /// Kind asked for.
        wanted: Kind,
        /// Kind found.
        actual: Kind,
    },
    /// It belongs to another repository.
    #[error("it belongs to another repository ({0})")]
    Foreign(RepositoryId),
}

impl Header {
    /// The 48 bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut out = [0; HEADER_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8] = self.kind.number();
        out[9] = FORMAT;
        out[10] = self.algorithm;
        out[11] = self.pack_type;
        out[12..16].copy_from_slice(&self.epoch.to_le_bytes());
        out[16..32].copy_from_slice(self.repository.as_bytes());
        out[32..40].copy_from_slice(&self.file_len.to_le_bytes());
        let sum = checksum(&out);
        out[40..].copy_from_slice(&sum);
        out
    }

    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// The first reason that makes it not a header of ours.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let head: &[u8; HEADER_LEN] = bytes.first_chunk().ok_or(HeaderError::Short(bytes.len()))?;
        if head[..8] != MAGIC {
            return Err(HeaderError::NotOurs);
        }
        if head[40..] != checksum(head) {
            return Err(HeaderError::Damaged);
        }
        if head[9] != FORMAT {
            return Err(HeaderError::Format(head[9]));
        }
        let kind = Kind::of(head[8]).ok_or(HeaderError::Kind(head[8]))?;
        Ok(Self {
            kind,
            algorithm: head[10],
            pack_type: head[11],
            epoch: u32::from_le_bytes([head[12], head[13], head[14], head[15]]),
            repository: RepositoryId::decode(array(&head[16..32])),
            file_len: u64::from_le_bytes(array(&head[32..40])),
        })
    }

    /// Reads the header of a whole file and checks kind and length, and the repository where it is known.
    ///
    /// # Errors
    /// As [`Header::decode`], and what does not fit.
    pub fn of_file(
        file: &[u8],
        kind: Kind,
        repository: Option<RepositoryId>,
    ) -> Result<Self, HeaderError> {
        let header = Self::decode(file)?;
        if header.kind != kind {
            return Err(HeaderError::OtherKind { wanted: kind, actual: header.kind });
        }
        if repository.is_some_and(|id| id != header.repository) {
            return Err(HeaderError::Foreign(header.repository));
        }
        if header.file_len != file.len() as u64 {
            return Err(HeaderError::Length { wanted: header.file_len, actual: file.len() as u64 });
        }
        Ok(header)
    }
}

fn checksum(head: &[u8; HEADER_LEN]) -> [u8; 8] {
    array(&blake3::hash(&head[..40]).as_bytes()[..8])
}

/// Copies a slice whose length the caller fixed to `N` by the range it took; other lengths give zeros.
fn array<const N: usize>(slice: &[u8]) -> [u8; N] {
    slice.try_into().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> Header {
        Header {
            kind: Kind::Pack,
            algorithm: 1,
            pack_type: 2,
            epoch: 7,
            repository: RepositoryId::decode([9; 16]),
            file_len: 4096,
        }
    }

    #[test]
    fn a_header_comes_back() {
        assert_eq!(Header::decode(&example().encode()), Ok(example()));
    }

    #[test]
    fn a_newer_format_is_refused_by_its_number() {
        let mut bytes = example().encode();
        bytes[9] = 2;
        let sum = checksum(&bytes);
        bytes[40..].copy_from_slice(&sum);
        assert_eq!(Header::decode(&bytes), Err(HeaderError::Format(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Header::decode(&bytes);
        }

        #[test]
        fn a_flipped_bit_is_refused(bit in 0usize..HEADER_LEN * 8) {
            let mut bytes = example().encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&bytes).is_err());
        }

        #[test]
        fn every_prefix_is_refused(len in 0usize..HEADER_LEN) {
            prop_assert_eq!(Header::decode(&example().encode()[..len]), Err(HeaderError::Short(len)));
        }
    }
}
