//! A file of the draft, packed: what is known of its bytes, in as few of ours as possible (docs/format.md, "Drafts").
//!
//! Invariant: a [`PackedFile`] was checked when it was made, so that reading its fields cannot fail; there is one encoding for
//! one [`FileNode`]. Says nothing of the path it stands at.

use russet_store::ids::BlobId;

use zeroize::Zeroizing;

use crate::snapshot::entry::{DEPTH_MAX, ID_COUNT_MAX};
use crate::snapshot::{Content, Opened, SealedKey};

const HAS_SHA1: u8 = 1;
const HAS_ROW: u8 = 2;
const IS_OPENED: u8 = 4;
const IS_SPOOLED: u8 = 8;
const LEN_AT: usize = 3;
const SECS_AT: usize = 11;
const NANOS_AT: usize = 19;
const HASH_AT: usize = 23;
const HEAD_LEN: usize = 55;
const SHA1_LEN: usize = 20;
const ROW_LEN: usize = 8;
const ID_LEN: usize = 32;
const KEY_LEN: usize = 32;
const PLACE_LEN: usize = 8;
const PADDING_MAX: u8 = 16;
const NANOS_END: u32 = 1_000_000_000;

/// A file whose bytes are all in blobs, or wait in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNode {
    /// Its bytes; lengths are those of the stored file. Of one that waits in the spool there are no chunks yet.
    pub content: Content,
    /// Where it begins in the spool, if it waits there.
    pub spooled: Option<u64>,
    /// Modification time, Unix seconds.
    pub mtime_secs: i64,
    /// And nanoseconds.
    pub mtime_nanos: u32,
    /// SHA-1 of the stored bytes, to hold against the `Digest` of a row; known of what came from the phone.
    pub sha1: Option<[u8; SHA1_LEN]>,
    /// What its row was; known of what stands in the base.
    pub row: Option<[u8; ROW_LEN]>,
}

/// Why bytes are not a packed file, or a file cannot be packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// Cut short.
    #[error("a file of the draft is cut short")]
    Length,
    /// Flags this program does not know.
    #[error("a file of the draft has flags {0:#04x}, which this program does not know")]
    Flags(u8),
    /// More ids or depth than there can be.
    #[error("a file of the draft has an impossible list of chunks")]
    Chunks,
    /// More padding than a block.
    #[error("a file of the draft has {0} bytes of padding")]
    Padding(u8),
    /// In the spool and in blobs at once.
    #[error("a file of the draft stands in two places")]
    Spooled,
    /// A second has no so many nanoseconds.
    #[error("a file of the draft has {0} nanoseconds")]
    Nanos(u32),
}

impl FileNode {
    /// Packs it.
    ///
    /// # Errors
    /// It holds what the format cannot say.
    pub fn encode(&self) -> Result<Zeroizing<Vec<u8>>, PackError> {
        let flag = |is_there: bool, flag: u8| if is_there { flag } else { 0 };
        let flags = flag(self.sha1.is_some(), HAS_SHA1)
            | flag(self.row.is_some(), HAS_ROW)
            | flag(self.content.opened.is_some(), IS_OPENED)
            | flag(self.spooled.is_some(), IS_SPOOLED);
        let ids = &self.content.ids;
        let id_count = u8::try_from(ids.len()).map_err(|_| PackError::Chunks)?;
        let head = [flags, self.content.depth, id_count];
        check(head, self.mtime_nanos)?;
        // No more and no less than it needs: a vector that grows leaves copies of the key behind.
        let mut out = Zeroizing::new(Vec::with_capacity(packed_len(head)));
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.content.len.to_le_bytes());
        out.extend_from_slice(&self.mtime_secs.to_le_bytes());
        out.extend_from_slice(&self.mtime_nanos.to_le_bytes());
        out.extend_from_slice(&self.content.hash);
        out.extend(self.sha1.iter().flatten());
        out.extend(self.row.iter().flatten());
        if let Some(Opened { key, padding }) = &self.content.opened {
            if *padding > PADDING_MAX {
                return Err(PackError::Padding(*padding));
            }
            out.push(*padding);
            out.extend_from_slice(key.as_bytes());
        }
        out.extend(self.spooled.iter().flat_map(|at| at.to_le_bytes()));
        out.extend(ids.iter().flat_map(BlobId::as_bytes));
        Ok(out)
    }
}

/// A packed file, checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PackedFile<'a>(&'a [u8]);

impl<'a> PackedFile<'a> {
    /// Takes a packed file off the front of `bytes`, and gives what follows it.
    ///
    /// # Errors
    /// The bytes do not begin with one.
    pub fn split(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), PackError> {
        let head = *bytes.first_chunk::<3>().ok_or(PackError::Length)?;
        // Before the length is made of it: a count that is too high is not "cut short".
        check(head, 0)?;
        let (packed, rest) = bytes.split_at_checked(packed_len(head)).ok_or(PackError::Length)?;
        let file = Self(packed);
        check(head, file.mtime_nanos())?;
        match file.opened() {
            Some(Opened { padding, .. }) if padding > PADDING_MAX => {
                Err(PackError::Padding(padding))
            }
            _ => Ok((file, rest)),
        }
    }

    /// Takes back what [`Self::bytes`] gave. Anything else may panic when it is read.
    pub(super) fn again(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// As packed.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Bytes of the stored file.
    #[must_use]
    pub fn len(self) -> u64 {
        u64::from_le_bytes(self.field(LEN_AT))
    }

    /// Whether the file is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Unix seconds.
    #[must_use]
    pub fn mtime_secs(self) -> i64 {
        i64::from_le_bytes(self.field(SECS_AT))
    }

    /// And nanoseconds.
    #[must_use]
    pub fn mtime_nanos(self) -> u32 {
        u32::from_le_bytes(self.field(NANOS_AT))
    }

    /// BLAKE3 of the stored bytes.
    #[must_use]
    pub fn hash(self) -> [u8; 32] {
        self.field(HASH_AT)
    }

    /// SHA-1 of the stored bytes, where known.
    #[must_use]
    pub fn sha1(self) -> Option<[u8; SHA1_LEN]> {
        self.has(HAS_SHA1).then(|| self.field(HEAD_LEN))
    }

    /// What its row was, where known.
    #[must_use]
    pub fn row(self) -> Option<[u8; ROW_LEN]> {
        let at = HEAD_LEN + if self.has(HAS_SHA1) { SHA1_LEN } else { 0 };
        self.has(HAS_ROW).then(|| self.field(at))
    }

    /// How its stored bytes are made again, if its chunks are plaintext.
    #[must_use]
    pub fn opened(self) -> Option<Opened> {
        let sha1_len = if self.has(HAS_SHA1) { SHA1_LEN } else { 0 };
        let at = HEAD_LEN + sha1_len + if self.has(HAS_ROW) { ROW_LEN } else { 0 };
        self.has(IS_OPENED).then(|| {
            let [padding] = self.field(at);
            Opened { key: SealedKey::new(&self.field(at + 1)), padding }
        })
    }

    /// Where it begins in the spool, if it waits there.
    #[must_use]
    pub fn spooled(self) -> Option<u64> {
        let at = self.0.len() - usize::from(self.0[2]) * ID_LEN;
        self.has(IS_SPOOLED).then(|| u64::from_le_bytes(self.field(at - PLACE_LEN)))
    }

    /// Whether its chunks are plaintext.
    #[must_use]
    pub fn is_opened(self) -> bool {
        self.has(IS_OPENED)
    }

    /// Its ids, of blobs or of lists of chunks as its depth says.
    pub fn ids(self) -> impl Iterator<Item = BlobId> + 'a {
        let at = self.0.len() - usize::from(self.0[2]) * ID_LEN;
        self.0[at..].as_chunks().0.iter().map(|id| BlobId::decode(*id))
    }

    /// All of it.
    #[must_use]
    pub fn decode(self) -> FileNode {
        let (hash, depth, ids) = (self.hash(), self.0[1], self.ids().collect());
        FileNode {
            content: Content { len: self.len(), hash, depth, ids, opened: self.opened() },
            spooled: self.spooled(),
            mtime_secs: self.mtime_secs(),
            mtime_nanos: self.mtime_nanos(),
            sha1: self.sha1(),
            row: self.row(),
        }
    }

    fn has(self, flag: u8) -> bool {
        self.0[0] & flag != 0
    }

    /// Whoever asks has seen the flag of the field; `split` has seen that there are bytes for every flag.
    fn field<const N: usize>(self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.0[at..at + N]);
        field
    }
}

fn check([flags, depth, id_count]: [u8; 3], nanos: u32) -> Result<(), PackError> {
    let unknown = flags & !(HAS_SHA1 | HAS_ROW | IS_OPENED | IS_SPOOLED);
    if unknown != 0 {
        return Err(PackError::Flags(unknown));
    }
    if flags & IS_SPOOLED != 0 && (flags & IS_OPENED != 0 || depth != 0 || id_count != 0) {
        return Err(PackError::Spooled);
    }
    if depth > DEPTH_MAX || usize::from(id_count) > ID_COUNT_MAX {
        return Err(PackError::Chunks);
    }
    if nanos >= NANOS_END {
        return Err(PackError::Nanos(nanos));
    }
    Ok(())
}

fn packed_len([flags, _, id_count]: [u8; 3]) -> usize {
    let sha1_len = if flags & HAS_SHA1 == 0 { 0 } else { SHA1_LEN };
    let row_len = if flags & HAS_ROW == 0 { 0 } else { ROW_LEN };
    let opened_len = if flags & IS_OPENED == 0 { 0 } else { 1 + KEY_LEN };
    let place_len = if flags & IS_SPOOLED == 0 { 0 } else { PLACE_LEN };
    HEAD_LEN + sha1_len + row_len + opened_len + place_len + usize::from(id_count) * ID_LEN
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn file() -> impl Strategy<Value = FileNode> {
        let ids = proptest::collection::vec(any::<[u8; 32]>().prop_map(BlobId::decode), 0..=3);
        let ids = prop_oneof![
            9 => ids,
            1 => Just(vec![BlobId::decode([7; 32]); ID_COUNT_MAX]),
        ];
        let opened =
            proptest::option::of((any::<[u8; 32]>(), 0..=PADDING_MAX)).prop_map(|opened| {
                opened.map(|(key, padding)| Opened { key: SealedKey::new(&key), padding })
            });
        let content = (any::<u64>(), any::<[u8; 32]>(), 0..=DEPTH_MAX, ids, opened)
            .prop_map(|(len, hash, depth, ids, opened)| Content { len, hash, depth, ids, opened });
        let marks = (any::<Option<[u8; 20]>>(), any::<Option<[u8; 8]>>());
        let spooled = proptest::option::weighted(0.2, any::<u64>());
        (content, any::<i64>(), 0..NANOS_END, marks, spooled).prop_map(
            |(mut content, mtime_secs, mtime_nanos, (sha1, row), spooled)| {
                if spooled.is_some() {
                    (content.depth, content.opened) = (0, None);
                    content.ids.clear();
                }
                FileNode { content, spooled, mtime_secs, mtime_nanos, sha1, row }
            },
        )
    }

    fn some() -> FileNode {
        let content = Content { len: 1, hash: [2; 32], depth: 0, ids: Vec::new(), opened: None };
        FileNode { content, spooled: None, mtime_secs: 3, mtime_nanos: 4, sha1: None, row: None }
    }

    #[test]
    fn what_the_format_cannot_say_is_refused() {
        let mut file = some();
        file.content.ids = vec![BlobId::decode([0; 32]); ID_COUNT_MAX + 1];
        assert_eq!(file.encode(), Err(PackError::Chunks));
        file.content.ids = vec![BlobId::decode([0; 32]); 256];
        assert_eq!(file.encode(), Err(PackError::Chunks));
        let mut file = some();
        file.content.depth = DEPTH_MAX + 1;
        assert_eq!(file.encode(), Err(PackError::Chunks));
        let file = FileNode { mtime_nanos: NANOS_END, ..some() };
        assert_eq!(file.encode(), Err(PackError::Nanos(NANOS_END)));
        let mut file = FileNode { spooled: Some(5), ..some() };
        file.content.ids = vec![BlobId::decode([0; 32])];
        assert_eq!(file.encode(), Err(PackError::Spooled));
    }

    #[test]
    fn what_no_writer_packs_is_refused() {
        let good = some().encode().unwrap();
        let with = |at: usize, value: u8| {
            let mut bytes = good.clone();
            bytes[at] = value;
            PackedFile::split(&bytes).map(|(file, _)| file.decode())
        };
        assert_eq!(with(0, 16), Err(PackError::Flags(16)));
        assert_eq!(with(0, 12), Err(PackError::Spooled));
        assert_eq!(with(1, DEPTH_MAX + 1), Err(PackError::Chunks));
        assert_eq!(with(2, 65), Err(PackError::Chunks));
        assert_eq!(with(2, 1), Err(PackError::Length));
        assert_eq!(with(NANOS_AT + 3, 0xff), Err(PackError::Nanos(0xff00_0004)));
    }

    proptest! {
        #[test]
        fn a_file_comes_back_and_its_prefixes_do_not(file in file(), at in any::<proptest::sample::Index>()) {
            let mut bytes = file.encode().unwrap();
            let len = bytes.len();
            bytes.push(99);
            let (packed, rest) = PackedFile::split(&bytes).unwrap();
            prop_assert_eq!(packed.decode(), file);
            prop_assert_eq!(rest, &[99]);
            prop_assert_eq!(PackedFile::split(&bytes[..at.index(len)]).err(), Some(PackError::Length));
        }

        #[test]
        fn what_decodes_has_one_encoding(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), head in [0u8..16, 0..5, 0..5]) {
            for (byte, value) in bytes.iter_mut().zip(head) {
                *byte = value;
            }
            if let Ok((packed, rest)) = PackedFile::split(&bytes) {
                let again = packed.decode().encode().unwrap();
                prop_assert_eq!([&again[..], rest].concat(), bytes);
            }
        }
    }
}
