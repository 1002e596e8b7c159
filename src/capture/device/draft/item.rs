//! A path of the draft and what stands there, in one piece of memory: a phone has a million files.
//!
//! Invariant: items are ordered by their paths alone, as raw bytes. [`DraftPath`] is what may be a path here: below the backup's
//! folder, never that folder itself.

use std::borrow::Borrow;
use std::cmp::Ordering;

use zeroize::Zeroize;

use super::file::PackedFile;
use super::tree::DraftError;
use crate::capture::device::files::PATH_LEN_MAX;
use crate::snapshot::entry::check_stored_path;

const DIRECTORY: u16 = 0;
const BASE_FILE: u16 = 1;
const FRESH_FILE: u16 = 2;
const LINK: u16 = 3;
const LINK_HEAD_LEN: usize = 12;
/// What it is stands above the length of its path.
const WHAT_SHIFT: u32 = 14;

const _: () = assert!(PATH_LEN_MAX < 1 << WHAT_SHIFT);

/// A path that something may stand at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DraftPath<'a>(&'a [u8]);

impl<'a> DraftPath<'a> {
    /// Checks a path, relative to the backup's folder.
    ///
    /// # Errors
    /// It is the folder itself, too long, or leads elsewhere.
    pub fn check(path: &'a [u8]) -> Result<Self, DraftError> {
        if path.is_empty() {
            return Err(DraftError::Root);
        }
        if path.len() > PATH_LEN_MAX || check_stored_path(path).is_err() {
            return Err(DraftError::Path);
        }
        Ok(Self(path))
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// Length in two bytes, then the path.
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        // `check` has seen that it fits.
        let len = u16::try_from(self.0.len()).unwrap_or(u16::MAX);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(self.0);
    }

    /// The directories above it, the nearest first, without the backup's folder.
    pub(super) fn parents(self) -> impl Iterator<Item = DraftPath<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let at = rest.iter().rposition(|byte| *byte == b'/')?;
            rest = rest.get(..at)?;
            Some(DraftPath(rest))
        })
    }

    /// Whether it lies in the directory `above`, at any depth.
    pub(super) fn is_below(self, above: Self) -> bool {
        self.0.strip_prefix(above.0).is_some_and(|rest| rest.first() == Some(&b'/'))
    }
}

/// What stands at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Found<'a> {
    /// A directory.
    Directory,
    /// A file.
    File(FoundFile<'a>),
    /// A symbolic link; only an imported base has any.
    Link(FoundLink<'a>),
}

/// A file of the draft.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FoundFile<'a> {
    /// What is known of it.
    pub packed: PackedFile<'a>,
    /// Whether it came in this capture; else it stands in the base.
    pub is_fresh: bool,
}

/// A link of the draft.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FoundLink<'a> {
    /// Modification time, Unix seconds.
    pub mtime_secs: i64,
    /// And nanoseconds.
    pub mtime_nanos: u32,
    /// Where it points.
    pub target: &'a [u8],
}

/// Path and what stands there: length of the path and what it is (2), path, and what is known of it. A byte more would cost
/// sixteen in most allocators for a file that just came, which has 152. Wiped when dropped: that may be the key of a file.
pub(super) struct Item(Box<[u8]>);

impl Drop for Item {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Item {
    pub(super) fn new(path: DraftPath<'_>, found: Found<'_>) -> Self {
        let mut link_head = [0; LINK_HEAD_LEN];
        let (what, known, rest): (u16, &[u8], &[u8]) = match found {
            Found::Directory => (DIRECTORY, &[], &[]),
            Found::File(FoundFile { packed, is_fresh: false }) => (BASE_FILE, packed.bytes(), &[]),
            Found::File(FoundFile { packed, is_fresh: true }) => (FRESH_FILE, packed.bytes(), &[]),
            Found::Link(FoundLink { mtime_secs, mtime_nanos, target }) => {
                link_head[..8].copy_from_slice(&mtime_secs.to_le_bytes());
                link_head[8..].copy_from_slice(&mtime_nanos.to_le_bytes());
                (LINK, &link_head, target)
            }
        };
        // Boxed without a copy: there is no byte to spare. `check` has seen that the length fits.
        let mut bytes = Vec::with_capacity(2 + path.0.len() + known.len() + rest.len());
        let path_len = u16::try_from(path.0.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&(what << WHAT_SHIFT | path_len).to_le_bytes());
        bytes.extend_from_slice(path.0);
        bytes.extend_from_slice(known);
        bytes.extend_from_slice(rest);
        Self(bytes.into_boxed_slice())
    }

    /// An end of a range: nothing can stand at such a path.
    pub(super) fn bound(path: &[u8]) -> Self {
        Self::new(DraftPath(path), Found::Directory)
    }

    /// The same after `from`, where it stands or what it lies in, became `to`.
    pub(super) fn moved(&self, from: DraftPath<'_>, to: DraftPath<'_>) -> Self {
        let rest = self.path().get(from.0.len()..).unwrap_or_default();
        Self::new(DraftPath(&[to.0, rest].concat()), self.found())
    }

    // `new` is the only maker: what it wrote is there.
    fn head(&self) -> u16 {
        u16::from_le_bytes([self.0[0], self.0[1]])
    }

    fn parts(&self) -> (&[u8], &[u8]) {
        let path_len = self.head() & ((1 << WHAT_SHIFT) - 1);
        self.0[2..].split_at(usize::from(path_len))
    }

    pub(super) fn path(&self) -> &[u8] {
        self.parts().0
    }

    pub(super) fn found(&self) -> Found<'_> {
        let (_, known) = self.parts();
        let file = |is_fresh| Found::File(FoundFile { packed: PackedFile::again(known), is_fresh });
        match self.head() >> WHAT_SHIFT {
            DIRECTORY => Found::Directory,
            BASE_FILE => file(false),
            FRESH_FILE => file(true),
            _ => {
                let (mut secs, mut nanos) = ([0; 8], [0; 4]);
                secs.copy_from_slice(&known[..8]);
                nanos.copy_from_slice(&known[8..LINK_HEAD_LEN]);
                Found::Link(FoundLink {
                    mtime_secs: i64::from_le_bytes(secs),
                    mtime_nanos: u32::from_le_bytes(nanos),
                    target: &known[LINK_HEAD_LEN..],
                })
            }
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.found(), Found::Directory)
    }

    /// Its bytes, and about what a set and an allocator add to them.
    pub(super) fn held_len(&self) -> u64 {
        held_len(self.0.len())
    }

    /// What a directory at a path of that length will hold.
    pub(super) fn directory_held_len(path_len: usize) -> u64 {
        held_len(2 + path_len)
    }
}

fn held_len(len: usize) -> u64 {
    len as u64 + 48
}

impl Borrow<[u8]> for Item {
    fn borrow(&self) -> &[u8] {
        self.path()
    }
}

impl PartialEq for Item {
    fn eq(&self, other: &Self) -> bool {
        self.path() == other.path()
    }
}

impl Eq for Item {}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        self.path().cmp(other.path())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_elsewhere_is_refused() {
        assert_eq!(DraftPath::check(b""), Err(DraftError::Root));
        for bad in [&b"/a"[..], b"a/", b"a//b", b"a/../b", b".", b"a\0b", &[b'a'; 4097]] {
            assert_eq!(DraftPath::check(bad), Err(DraftError::Path));
        }
        assert_eq!(DraftPath::check(&[b'a'; 4096]).unwrap().bytes().len(), 4096);
    }

    #[test]
    fn parents_come_nearest_first() {
        let path = DraftPath::check(b"a/b/c").unwrap();
        let parents: Vec<_> = path.parents().map(DraftPath::bytes).collect();
        assert_eq!(parents, [&b"a/b"[..], b"a"]);
    }

    #[test]
    fn a_name_that_begins_alike_is_not_below() {
        let below = |path: &[u8], above: &[u8]| {
            DraftPath::check(path).unwrap().is_below(DraftPath::check(above).unwrap())
        };
        assert!(below(b"a/b", b"a"));
        assert!(!below(b"ab", b"a"));
        assert!(!below(b"a", b"a"));
    }

    #[test]
    fn an_item_gives_back_a_link() {
        let link = Found::Link(FoundLink { mtime_secs: -5, mtime_nanos: 6, target: b"../x" });
        let item = Item::new(DraftPath::check(b"a/l").unwrap(), link);
        assert_eq!(item.path(), b"a/l");
        assert!(item.found() == link);
    }
}
