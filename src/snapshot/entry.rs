//! One entry of a tree and its bytes (docs/format.md §8).
//!
//! Invariant: what was decoded has a stored path that stays below the folder it is restored to, and lengths within the format's
//! bounds. Says nothing of the order or uniqueness of entries.

use std::fmt;

use russet_store::ids::{BlobId, hex};
use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

/// Longest entry.
pub const ENTRY_LEN_MAX: usize = 128 << 10;
/// Most ids in an entry; more go into lists of chunks.
pub const ID_COUNT_MAX: usize = 64;
/// Deepest list of chunks.
pub const DEPTH_MAX: u8 = 4;
const PATH_LEN_MAX: usize = 65_535;

const DERIVED: u8 = 1;
const HAS_ROW: u8 = 2;
const OPENED: u8 = 4;
const PADDING_MAX: u8 = 16;

/// One file, directory or symbolic link of a backup folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Domain of its row in Manifest.db; empty without a row.
    pub domain: Vec<u8>,
    /// Path in that domain; empty without a row.
    pub relative_path: Vec<u8>,
    /// Path in the backup folder; empty for the folder itself.
    pub stored_path: Vec<u8>,
    /// Modification time, Unix seconds.
    pub mtime_secs: i64,
    /// And nanoseconds.
    pub mtime_nanos: u32,
    /// What its row was, to see whether it changed.
    pub row: Option<[u8; 8]>,
    /// What it is.
    pub what: What,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A file.
    File(Content),
    /// A directory.
    Directory,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: Vec<u8>,
    },
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Bytes of the stored file.
    pub len: u64,
    /// BLAKE3 of them.
    pub hash: [u8; 32],
    /// 0: `ids` are its chunks; else they are lists of chunks of that depth.
    pub depth: u8,
    /// At most 64.
    pub ids: Vec<BlobId>,
    /// The chunks are the plaintext of a file that the phone encrypted.
    pub opened: Option<Opened>,
}

impl Content {
    /// Bytes of all its chunks: of the plaintext, if it was opened.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        let padding = self.opened.as_ref().map_or(0, |opened| opened.padding);
        self.len.saturating_sub(u64::from(padding))
    }
}

/// How the stored bytes of an opened file are made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// Its key.
    pub key: SealedKey,
    /// Bytes of padding that the stored file ends with, at most 16.
    pub padding: u8,
}

/// A file key of the phone, as it stands in a tree, which is sealed. Wiped when dropped, never shown. On the heap: entries are moved
/// about, and what is moved leaves a copy behind.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedKey(Box<Zeroizing<[u8; 32]>>);

impl SealedKey {
    /// To be put into a tree.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(*key)))
    }

    /// For the cipher.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SealedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealedKey")
    }
}

/// Why bytes are not an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// Cut short, or longer than its parts.
    #[error("an entry of the tree has a wrong length")]
    Length,
    /// A kind of entry this program does not know.
    #[error("an entry of the tree is of kind {0}, which this program does not know")]
    What(u8),
    /// Flags this program does not know.
    #[error(
        "an entry of the tree has flags {0:#04x}, which this program does not know: a newer russet is needed"
    )]
    Flags(u8),
    /// A stored path that would leave the folder.
    #[error("an entry of the tree has the stored path \"{0}\", which no backup can have")]
    Path(String),
    /// Opened, and no file, or with more padding than a block has.
    #[error("an entry of the tree is opened in an impossible way")]
    Opened,
    /// More ids or depth than there can be.
    #[error("an entry of the tree has an impossible list of chunks")]
    Chunks,
}

impl Entry {
    /// What entries are sorted by.
    #[must_use]
    pub fn key(&self) -> (&[u8], &[u8], &[u8]) {
        (&self.domain, &self.relative_path, &self.stored_path)
    }

    /// Adds the entry's bytes to a leaf.
    ///
    /// # Errors
    /// A part of it is longer than the format allows; `out` is as before then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        let start = out.len();
        let result = self.encode_unchecked(out);
        if result.is_err() || out.len() - start > ENTRY_LEN_MAX {
            out.truncate(start);
            return Err(result.err().unwrap_or(EntryError::Length));
        }
        Ok(())
    }

    fn encode_unchecked(&self, out: &mut Vec<u8>) -> Result<(), EntryError> {
        let start = out.len();
        let derived = self.stored_path == derived_path(&self.domain, &self.relative_path);
        let none = Content { len: 0, hash: [0; 32], depth: 0, ids: Vec::new(), opened: None };
        let (number, content, target): (u8, &Content, &[u8]) = match &self.what {
            What::File(content) => (1, content, &[]),
            What::Directory => (2, &none, &[]),
            What::Link { target } => (3, &none, target),
        };
        if content.ids.len() > ID_COUNT_MAX || content.depth > DEPTH_MAX {
            return Err(EntryError::Chunks);
        }
        let padding = content.opened.as_ref().map_or(0, |opened| opened.padding);
        if padding > PADDING_MAX {
            return Err(EntryError::Opened);
        }
        let flags = if derived { DERIVED } else { 0 }
            | if self.row.is_some() { HAS_ROW } else { 0 }
            | if content.opened.is_some() { OPENED } else { 0 };
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&[number, flags, content.depth, padding]);
        put_short(out, &self.domain)?;
        if self.relative_path.len() > PATH_LEN_MAX {
            return Err(EntryError::Length);
        }
        out.extend_from_slice(&u32::try_from(self.relative_path.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&self.relative_path);
        if !derived {
            put_short(out, &self.stored_path)?;
        }
        out.extend_from_slice(&self.mtime_secs.to_le_bytes());
        out.extend_from_slice(&self.mtime_nanos.to_le_bytes());
        out.extend_from_slice(&content.len.to_le_bytes());
        out.extend_from_slice(&content.hash);
        if let Some(row) = &self.row {
            out.extend_from_slice(row);
        }
        put_short(out, target)?;
        if let Some(opened) = &content.opened {
            out.extend_from_slice(opened.key.as_bytes());
        }
        out.extend_from_slice(&u32::try_from(content.ids.len()).unwrap_or(0).to_le_bytes());
        for id in &content.ids {
            out.extend_from_slice(id.as_bytes());
        }
        let len = u32::try_from(out.len() - start - 4).map_err(|_| EntryError::Length)?;
        if let Some(place) = out.get_mut(start..start + 4) {
            place.copy_from_slice(&len.to_le_bytes());
        }
        Ok(())
    }

    /// Reads one entry and what follows it.
    ///
    /// # Errors
    /// The bytes are not an entry, or one that no honest writer makes.
    pub fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), EntryError> {
        let mut whole = Bytes(bytes);
        let len = whole.u32()? as usize;
        if len > ENTRY_LEN_MAX {
            return Err(EntryError::Length);
        }
        let mut body = Bytes(whole.take(len)?);
        let [number, flags, depth, padding] = body.array::<4>()?;
        if flags & !(DERIVED | HAS_ROW | OPENED) != 0 {
            return Err(EntryError::Flags(flags & !(DERIVED | HAS_ROW | OPENED)));
        }
        let domain = body.short()?.to_vec();
        let path_len = body.u32()? as usize;
        let relative_path = body.take(path_len.min(PATH_LEN_MAX + 1))?.to_vec();
        let stored_path = match flags & DERIVED {
            0 => body.short()?.to_vec(),
            _ => derived_path(&domain, &relative_path),
        };
        check_stored_path(&stored_path)?;
        let mtime_secs = i64::from_le_bytes(body.array()?);
        let mtime_nanos = body.u32()?;
        let len = u64::from_le_bytes(body.array()?);
        let hash = body.array()?;
        let row = if flags & HAS_ROW == 0 { None } else { Some(body.array()?) };
        let target = body.short()?.to_vec();
        let opened = match flags & OPENED {
            0 => None,
            _ if number != 1 || padding > PADDING_MAX => return Err(EntryError::Opened),
            _ => Some(Opened { key: SealedKey::new(body.chunk()?), padding }),
        };
        let ids = body.ids(ID_COUNT_MAX)?;
        if !body.0.is_empty() || path_len > PATH_LEN_MAX || mtime_nanos >= 1_000_000_000 {
            return Err(EntryError::Length);
        }
        if depth > DEPTH_MAX {
            return Err(EntryError::Chunks);
        }
        let what = match number {
            1 => What::File(Content { len, hash, depth, ids, opened }),
            2 => What::Directory,
            3 => What::Link { target },
            other => return Err(EntryError::What(other)),
        };
        let entry = Self { domain, relative_path, stored_path, mtime_secs, mtime_nanos, row, what };
        Ok((entry, whole.0))
    }
}

/// Where Apple stores a file: `xx/` and the SHA-1 of domain, hyphen and path.
#[must_use]
pub fn derived_path(domain: &[u8], relative_path: &[u8]) -> Vec<u8> {
    let mut hasher = Sha1::new();
    hasher.update(domain);
    hasher.update(b"-");
    hasher.update(relative_path);
    let name = hex(&hasher.finalize());
    format!("{}/{name}", name.get(..2).unwrap_or_default()).into_bytes()
}

/// That a stored path stays below the folder it is joined to. The empty path is the folder itself.
///
/// # Errors
/// It does not.
pub fn check_stored_path(path: &[u8]) -> Result<(), EntryError> {
    let good = path.is_empty()
        || path
            .split(|b| *b == b'/')
            .all(|name| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0));
    if good && path.len() <= PATH_LEN_MAX {
        return Ok(());
    }
    let shown = String::from_utf8_lossy(path.get(..path.len().min(200)).unwrap_or_default());
    Err(EntryError::Path(shown.escape_default().to_string()))
}

fn put_short(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EntryError> {
    let len = u16::try_from(bytes.len()).map_err(|_| EntryError::Length)?;
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
    Ok(())
}

/// Reads fields off the front of a slice; never past its end.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], EntryError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(EntryError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<&'a [u8; N], EntryError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(EntryError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], EntryError> {
        self.chunk().copied()
    }

    pub(super) fn u32(&mut self) -> Result<u32, EntryError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn short(&mut self) -> Result<&'a [u8], EntryError> {
        let len = u16::from_le_bytes(self.array()?);
        self.take(usize::from(len))
    }

    pub(super) fn ids(&mut self, count_max: usize) -> Result<Vec<BlobId>, EntryError> {
        let count = self.u32()? as usize;
        if count > count_max {
            return Err(EntryError::Chunks);
        }
        (0..count).map(|_| Ok(BlobId::decode(self.array()?))).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn entry() -> impl Strategy<Value = Entry> {
        let bytes = |max| proptest::collection::vec(1u8..47, 0..max);
        let ids = proptest::collection::vec(any::<[u8; 32]>().prop_map(BlobId::decode), 0..64);
        let opened = proptest::option::of(
            (any::<[u8; 32]>(), 0..=PADDING_MAX)
                .prop_map(|(key, padding)| Opened { key: SealedKey::new(&key), padding }),
        );
        let content = (any::<u64>(), any::<[u8; 32]>(), 0u8..5, ids, opened).prop_map(
            |(len, hash, depth, ids, opened)| What::File(Content { len, hash, depth, ids, opened }),
        );
        let what = prop_oneof![
            3 => content,
            1 => Just(What::Directory),
            1 => bytes(20).prop_map(|target| What::Link { target }),
        ];
        let times = (any::<i64>(), 0u32..1_000_000_000);
        let row = proptest::option::of(any::<[u8; 8]>());
        (bytes(20), bytes(60), bytes(30), any::<bool>(), times, row, what).prop_map(
            |(domain, relative_path, stored, derived, (mtime_secs, mtime_nanos), row, what)| {
                let dots = stored.split(|b| *b == b'/').any(|n| n == b"." || n == b"..");
                let stored_path = match derived || dots {
                    true => derived_path(&domain, &relative_path),
                    false => stored,
                };
                Entry { domain, relative_path, stored_path, mtime_secs, mtime_nanos, row, what }
            },
        )
    }

    #[test]
    fn paths_that_leave_the_folder_are_refused() {
        for bad in ["..", "a/../b", "/etc/passwd", "a//b", "a/", "./a", "a\0b"] {
            assert!(matches!(check_stored_path(bad.as_bytes()), Err(EntryError::Path(_))), "{bad}");
        }
        for good in ["", "a", "xx/y", "..a", "a\nb", "C:\\x"] {
            assert_eq!(check_stored_path(good.as_bytes()), Ok(()), "{good}");
        }
    }

    #[test]
    fn a_derived_path_is_apples() {
        let path = derived_path(b"HomeDomain", b"Library/SMS/sms.db");
        assert_eq!(path, b"3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28");
    }

    fn opened(what: u8, padding: u8) -> Vec<u8> {
        let mut body = vec![what, OPENED, 0, padding, 0, 0, 0, 0, 0, 0, 1, 0, b'a'];
        body.extend_from_slice(&[0; 8 + 4 + 8 + 32 + 2 + 32 + 4]);
        let mut bytes = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        bytes.append(&mut body);
        bytes
    }

    #[test]
    fn only_a_file_is_opened_and_no_padding_is_longer_than_a_block() {
        for padding in [0, 1, 16] {
            assert!(Entry::decode(&opened(1, padding)).is_ok(), "{padding}");
        }
        for (what, padding) in [(1, 17), (1, 255), (2, 0), (3, 1)] {
            assert_eq!(Entry::decode(&opened(what, padding)), Err(EntryError::Opened));
        }
    }

    #[test]
    fn a_flag_that_is_not_known_is_refused_and_told() {
        let mut bytes = opened(1, 1);
        bytes[5] |= 8;
        assert_eq!(Entry::decode(&bytes), Err(EntryError::Flags(8)));
    }

    #[test]
    fn a_key_is_not_shown() {
        let (entry, _) = Entry::decode(&opened(1, 1)).unwrap();
        let shown = format!("{entry:?}");
        assert!(shown.contains("key: SealedKey, padding: 1"), "{shown}");
    }

    proptest! {
        #[test]
        fn an_entry_comes_back_and_its_prefixes_do_not(entry in entry(), at in any::<proptest::sample::Index>()) {
            let mut bytes = Vec::new();
            entry.encode(&mut bytes).unwrap();
            let (back, rest) = Entry::decode(&bytes).unwrap();
            prop_assert_eq!(back, entry);
            prop_assert!(rest.is_empty());
            prop_assert!(Entry::decode(&bytes[..at.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), len in 0u8..200) {
            let _ = Entry::decode(&bytes);
            let mut framed = vec![len, 0, 0, 0, 1, 1, 0, 0];
            framed.extend_from_slice(&bytes);
            let _ = Entry::decode(&framed);
        }
    }
}
