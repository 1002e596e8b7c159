//! Edits of a draft, written down (docs/format.md, "Drafts").
//!
//! Invariant: one encoding for one list of edits, and one list for one encoding; what decodes has paths that stay below the
//! backup's folder. Does not know whether an edit makes sense: that is for the tree.
//!
//! A piece of the journal: version, 1 (1) ‖ count (4) ‖ count edits, and nothing after them.
//!
//! | length | field of an edit |
//! | --- | --- |
//! | 1 | what: 1 put a file, 2 make a directory, 3 remove, 4 rename, 5 copy |
//! | 2 + n | path: length (1 to 4096), bytes; of rename and copy, from where |
//! | 2 + n | rename, copy: to where |
//! | … | put: the file |
//!
//! | length | field of a file |
//! | --- | --- |
//! | 1 | flags: bit 0 a SHA-1, bit 1 a row's mark, bit 2 opened, bit 3 in the spool; others zero |
//! | 1 | depth of the chunk list, at most 4 |
//! | 1 | count of ids, at most 64 |
//! | 8 | length of the stored file |
//! | 8 | modification time, signed Unix seconds |
//! | 4 | nanoseconds, below 10⁹ |
//! | 32 | BLAKE3 of the stored bytes |
//! | 20 | only if flagged: SHA-1 of the stored bytes |
//! | 8 | only if flagged: the mark of its row |
//! | 33 | only if flagged: length of the padding (1), file key |
//! | 8 | only if flagged: where it begins in the spool |
//! | 32 × count | blob ids |

use zeroize::Zeroizing;

use super::file::{PackError, PackedFile};
use super::item::DraftPath;
use super::tree::DraftError;

/// Unlike the level of any other blob of type `tree` (docs/format.md §8).
const VERSION: u8 = 0xA1;
const HEAD_LEN: usize = 5;
const PUT: u8 = 1;
const MAKE_DIRECTORY: u8 = 2;
const REMOVE: u8 = 3;
const RENAME: u8 = 4;
const COPY: u8 = 5;

/// One change of a draft.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Edit<'a> {
    /// A file came; what stood there is replaced, unless it is a directory.
    Put {
        /// Where.
        path: DraftPath<'a>,
        /// What is known of it.
        file: PackedFile<'a>,
    },
    /// A directory is wanted.
    MakeDirectory {
        /// Where.
        path: DraftPath<'a>,
    },
    /// A file or a whole directory goes.
    Remove {
        /// Where it stood.
        path: DraftPath<'a>,
    },
    /// A file or a whole directory moves; what stood at `to` is replaced.
    Rename {
        /// Where it stood.
        from: DraftPath<'a>,
        /// Where it stands now.
        to: DraftPath<'a>,
    },
    /// A file or a whole directory stands twice; what stood at `to` is replaced.
    Copy {
        /// Where it stands.
        from: DraftPath<'a>,
        /// And now also.
        to: DraftPath<'a>,
    },
}

/// Why a piece of a journal cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// Cut short, or longer than its edits.
    #[error("a journal of a draft has a wrong length")]
    Length,
    /// Written by a newer program.
    #[error("a journal of a draft is of version {0}, which this program does not know")]
    Version(u8),
    /// An edit this program does not know.
    #[error("a journal of a draft has an edit {0}, which this program does not know")]
    What(u8),
    /// A path that no draft has.
    #[error("a journal of a draft names a path that no backup can have")]
    Path,
    /// A file that no writer packs.
    #[error("a journal of a draft is damaged: {0}")]
    File(PackError),
    /// An edit that makes no sense: this is another base, or another place in the journal.
    #[error("a journal of a draft does not fit its base at edit {index}: {source}")]
    Edit {
        /// Which, from 0.
        index: usize,
        /// Why.
        source: DraftError,
    },
}

/// Edits, written down one by one. Keys of files are among them, so that room that is given up is wiped.
#[derive(Default)]
pub(super) struct Edits {
    count: u32,
    bytes: Zeroizing<Vec<u8>>,
}

impl Edits {
    /// Bytes of all edits; the head of a piece is not counted.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(&mut self, edit: &Edit<'_>) {
        let needed = self.bytes.len() + edit.len();
        if needed > self.bytes.capacity() {
            let mut wider = Zeroizing::new(Vec::with_capacity(needed.next_power_of_two()));
            wider.extend_from_slice(&self.bytes);
            self.bytes = wider;
        }
        edit.encode(&mut self.bytes);
        self.count += 1;
    }

    /// A piece of the journal; begins anew.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let Self { count, bytes } = std::mem::take(self);
        let mut piece = Vec::with_capacity(HEAD_LEN + bytes.len());
        piece.push(VERSION);
        piece.extend_from_slice(&count.to_le_bytes());
        piece.extend_from_slice(&bytes);
        piece
    }
}

/// Writes a piece of a journal.
#[must_use]
pub fn encode(edits: &[Edit<'_>]) -> Vec<u8> {
    let mut piece = Edits::default();
    for edit in edits {
        piece.push(edit);
    }
    piece.take()
}

/// Reads a piece of a journal.
///
/// # Errors
/// The bytes are not one, or one that no honest writer makes.
pub fn decode(piece: &[u8]) -> Result<Vec<Edit<'_>>, JournalError> {
    let (version, rest) = piece.split_first().ok_or(JournalError::Length)?;
    if *version != VERSION {
        return Err(JournalError::Version(*version));
    }
    let (count, mut rest) = rest.split_first_chunk().ok_or(JournalError::Length)?;
    // No room is made for a count that was only said.
    let mut edits = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (edit, after) = Edit::decode(rest)?;
        edits.push(edit);
        rest = after;
    }
    if rest.is_empty() { Ok(edits) } else { Err(JournalError::Length) }
}

impl<'a> Edit<'a> {
    /// Bytes of its encoding.
    fn len(&self) -> usize {
        let path_len = |path: &DraftPath<'_>| 2 + path.bytes().len();
        1 + match self {
            Self::Put { path, file } => path_len(path) + file.bytes().len(),
            Self::MakeDirectory { path } | Self::Remove { path } => path_len(path),
            Self::Rename { from, to } | Self::Copy { from, to } => path_len(from) + path_len(to),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put { path, file } => {
                out.push(PUT);
                path.encode(out);
                out.extend_from_slice(file.bytes());
            }
            Self::MakeDirectory { path } => {
                out.push(MAKE_DIRECTORY);
                path.encode(out);
            }
            Self::Remove { path } => {
                out.push(REMOVE);
                path.encode(out);
            }
            Self::Rename { from, to } => {
                out.push(RENAME);
                from.encode(out);
                to.encode(out);
            }
            Self::Copy { from, to } => {
                out.push(COPY);
                from.encode(out);
                to.encode(out);
            }
        }
    }

    fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), JournalError> {
        let (what, rest) = bytes.split_first().ok_or(JournalError::Length)?;
        let what = *what;
        if !(PUT..=COPY).contains(&what) {
            return Err(JournalError::What(what));
        }
        let (path, rest) = path(rest)?;
        Ok(match what {
            PUT => {
                let (file, rest) = PackedFile::split(rest).map_err(|error| match error {
                    PackError::Length => JournalError::Length,
                    other => JournalError::File(other),
                })?;
                (Self::Put { path, file }, rest)
            }
            MAKE_DIRECTORY => (Self::MakeDirectory { path }, rest),
            REMOVE => (Self::Remove { path }, rest),
            RENAME => {
                let (to, rest) = self::path(rest)?;
                (Self::Rename { from: path, to }, rest)
            }
            _ => {
                let (to, rest) = self::path(rest)?;
                (Self::Copy { from: path, to }, rest)
            }
        })
    }
}

fn path(bytes: &[u8]) -> Result<(DraftPath<'_>, &[u8]), JournalError> {
    let (len, rest) = bytes.split_first_chunk().ok_or(JournalError::Length)?;
    let len = usize::from(u16::from_le_bytes(*len));
    let (path, rest) = rest.split_at_checked(len).ok_or(JournalError::Length)?;
    Ok((DraftPath::check(path).map_err(|_| JournalError::Path)?, rest))
}
