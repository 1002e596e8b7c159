//! What stands in a phone's backup folder: an ordered set of paths, a base changed by edits.
//!
//! Invariant: everything above an item is a directory of its own; what an edit refuses leaves the tree as it was; the same edits
//! over the same base give the same tree. Holds no bytes of files, and no more memory than it was allowed.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::file::{FileNode, PackError, PackedFile};
use super::item::{DraftPath, Found, FoundFile, FoundLink, Item};
use super::journal::Edit;
use crate::capture::device::files::{FileErrorKind, PATH_LEN_MAX};
use crate::snapshot::entry::{Entry, What};

/// Most memory that a tree takes, unless told otherwise: ten million files. A phone can ask for copies of copies.
pub const HELD_LEN_MAX: u64 = 2 << 30;

/// Why the draft cannot be changed so, or asked that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// Nothing is there.
    #[error("there is nothing at that path")]
    NotFound,
    /// A base names a path twice.
    #[error("the path is there already")]
    Exists,
    /// A file stands where a directory was expected.
    #[error("a file stands where a directory should")]
    NotADirectory,
    /// A directory stands where a file was expected.
    #[error("a directory stands where a file should")]
    IsADirectory,
    /// It is the backup's folder itself.
    #[error("that is the folder of the whole backup")]
    Root,
    /// No path below the backup's folder, or too long a one.
    #[error("the path is too long, or leads out of the backup")]
    Path,
    /// Of two paths one lies within the other.
    #[error("a folder cannot move into itself or take the place of what holds it")]
    Nested,
    /// A file that no tree can list.
    #[error(transparent)]
    File(#[from] PackError),
    /// More than [`HELD_LEN_MAX`].
    #[error("the backup has too many files")]
    TooLarge,
    /// Too many edits wait to be taken.
    #[error("too many changes wait to be written down")]
    Untaken,
}

impl DraftError {
    /// What the phone acts upon.
    #[must_use]
    pub fn kind(&self) -> FileErrorKind {
        match self {
            Self::NotFound => FileErrorKind::NotFound,
            Self::Exists => FileErrorKind::Exists,
            Self::NotADirectory => FileErrorKind::NotADirectory,
            Self::IsADirectory => FileErrorKind::IsADirectory,
            Self::Root
            | Self::Path
            | Self::Nested
            | Self::File(_)
            | Self::TooLarge
            | Self::Untaken => FileErrorKind::Refused,
        }
    }
}

/// How much stands in a draft.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DraftCounts {
    /// Files.
    pub files: u64,
    /// Directories, without the backup's folder.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of all files.
    pub len: u64,
}

/// Everything in a phone's backup folder. Paths are raw bytes with `/`, relative to that folder, which is the empty path.
pub struct DraftTree {
    items: BTreeSet<Item>,
    counts: DraftCounts,
    /// Wide, since lengths are not ours: two files may be said to have 2⁶⁴ − 1 bytes.
    len: u128,
    held_len: u64,
    held_len_max: u64,
}

impl Default for DraftTree {
    fn default() -> Self {
        Self::new()
    }
}

impl DraftTree {
    /// An empty folder.
    #[must_use]
    pub fn new() -> Self {
        Self::with_held_len_max(HELD_LEN_MAX)
    }

    /// An empty folder that never takes more than about so many bytes of memory.
    #[must_use]
    pub fn with_held_len_max(held_len_max: u64) -> Self {
        let (items, counts) = (BTreeSet::new(), DraftCounts::default());
        Self { items, counts, len: 0, held_len: 0, held_len_max }
    }

    /// Adds what stands in the base; directories may come after what they hold, or not at all.
    ///
    /// # Errors
    /// The path is no path here or stands there already, or a file and a directory are in each other's way.
    pub fn insert_base(&mut self, entry: &Entry) -> Result<(), DraftError> {
        let (mtime_secs, mtime_nanos) = (entry.mtime_secs, entry.mtime_nanos);
        if entry.stored_path.is_empty() && entry.what == What::Directory {
            return Ok(());
        }
        let path = DraftPath::check(&entry.stored_path)?;
        match (self.find(path.bytes()), &entry.what) {
            (None, _) | (Some(Found::Directory), What::Directory) => {}
            (Some(Found::Directory), What::File(_) | What::Link { .. }) => {
                return Err(DraftError::IsADirectory);
            }
            (Some(Found::File(_) | Found::Link(_)), What::Directory) => {
                return Err(DraftError::NotADirectory);
            }
            (Some(Found::File(_) | Found::Link(_)), What::File(_) | What::Link { .. }) => {
                return Err(DraftError::Exists);
            }
        }
        match &entry.what {
            What::Directory => self.make_directory(path).map(drop),
            What::File(content) => {
                let (content, row) = (content.clone(), entry.row);
                let file =
                    FileNode { content, spooled: None, mtime_secs, mtime_nanos, sha1: None, row }
                        .encode()?;
                let packed = PackedFile::split(&file)?.0;
                self.place(path, Found::File(FoundFile { packed, is_fresh: false }))
            }
            What::Link { target } => {
                let link = FoundLink { mtime_secs, mtime_nanos, target };
                self.place(path, Found::Link(link))
            }
        }
    }

    /// What stands at a path; the empty path is the backup's folder.
    #[must_use]
    pub fn get(&self, path: &[u8]) -> Option<Found<'_>> {
        if path.is_empty() { Some(Found::Directory) } else { self.find(path) }
    }

    /// Every name directly in a directory, in their order. What lies deeper costs a search a directory, not a step a file.
    ///
    /// # Errors
    /// Nothing is there, or a file.
    pub fn list(
        &self,
        path: &[u8],
        each: &mut dyn FnMut(&[u8], Found<'_>),
    ) -> Result<(), DraftError> {
        match self.get(path) {
            None => return Err(DraftError::NotFound),
            Some(Found::File(_) | Found::Link(_)) => return Err(DraftError::NotADirectory),
            Some(Found::Directory) => {}
        }
        let (mut from, end) = match path {
            [] => (Vec::new(), None),
            _ => (with(path, b'/'), Some(with(path, AFTER_SLASH))),
        };
        let name_at = from.len();
        let end = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        'directory: loop {
            for item in self.items.range::<[u8], _>((Bound::Included(from.as_slice()), end)) {
                let name = item.path().get(name_at..).unwrap_or_default();
                match name.iter().position(|byte| *byte == b'/') {
                    None => each(name, item.found()),
                    Some(len) => {
                        let below = item.path().get(..name_at + len).unwrap_or_default();
                        from = with(below, AFTER_SLASH);
                        continue 'directory;
                    }
                }
            }
            return Ok(());
        }
    }

    /// Everything, in the order of its paths.
    pub fn all(&self) -> impl Iterator<Item = (&[u8], Found<'_>)> {
        self.items.iter().map(|item| (item.path(), item.found()))
    }

    /// Every file, in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], FoundFile<'_>)> {
        self.all().filter_map(|(path, found)| match found {
            Found::File(file) => Some((path, file)),
            Found::Directory | Found::Link(_) => None,
        })
    }

    /// Files, directories and links together.
    #[must_use]
    pub fn item_count(&self) -> usize {
        self.items.len()
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self) -> DraftCounts {
        DraftCounts { len: u64::try_from(self.len).unwrap_or(u64::MAX), ..self.counts }
    }

    /// Does one edit; whether it changed anything.
    ///
    /// # Errors
    /// It makes no sense here; nothing was changed.
    pub(super) fn apply(&mut self, edit: &Edit<'_>) -> Result<bool, DraftError> {
        match *edit {
            Edit::Put { path, file } => self.put(path, file),
            Edit::MakeDirectory { path } => self.make_directory(path),
            Edit::Remove { path } => Ok(self.remove(path)),
            Edit::Rename { from, to } => self.rename(from, to),
            Edit::Copy { from, to } => self.copy(from, to),
        }
    }

    fn put(&mut self, path: DraftPath<'_>, packed: PackedFile<'_>) -> Result<bool, DraftError> {
        let new = Found::File(FoundFile { packed, is_fresh: true });
        match self.find(path.bytes()) {
            Some(Found::Directory) => Err(DraftError::IsADirectory),
            Some(old) if old == new => Ok(false),
            _ => self.place(path, new).map(|()| true),
        }
    }

    fn make_directory(&mut self, path: DraftPath<'_>) -> Result<bool, DraftError> {
        match self.find(path.bytes()) {
            Some(Found::Directory) => Ok(false),
            Some(Found::File(_) | Found::Link(_)) => Err(DraftError::NotADirectory),
            None => self.place(path, Found::Directory).map(|()| true),
        }
    }

    fn remove(&mut self, path: DraftPath<'_>) -> bool {
        !self.take(path).is_empty()
    }

    fn rename(&mut self, from: DraftPath<'_>, to: DraftPath<'_>) -> Result<bool, DraftError> {
        if nested(from, to) {
            return Err(DraftError::Nested);
        }
        if self.find(from.bytes()).is_none() {
            // After a crash the phone asks again for what it does not know to be done.
            return self.find(to.bytes()).map(|_| false).ok_or(DraftError::NotFound);
        }
        if from == to {
            return Ok(false);
        }
        let missing = self.plan(from, to, Stays::No)?;
        let moved = self.take(from);
        self.replace(from, to, &moved, &missing);
        Ok(true)
    }

    fn copy(&mut self, from: DraftPath<'_>, to: DraftPath<'_>) -> Result<bool, DraftError> {
        if nested(from, to) {
            return Err(DraftError::Nested);
        }
        if self.find(from.bytes()).is_none() {
            return Err(DraftError::NotFound);
        }
        if from == to {
            return Ok(false);
        }
        let missing = self.plan(from, to, Stays::Yes)?;
        let copied: Vec<Item> = self.within(from).map(|item| item.moved(from, from)).collect();
        self.replace(from, to, &copied, &missing);
        Ok(true)
    }

    fn find(&self, path: &[u8]) -> Option<Found<'_>> {
        self.items.get(path).map(Item::found)
    }

    /// What stands at a path, and all below it.
    fn within(&self, path: DraftPath<'_>) -> impl Iterator<Item = &Item> {
        let (from, end) = (with(path.bytes(), b'/'), with(path.bytes(), AFTER_SLASH));
        let below = (Bound::Included(from.as_slice()), Bound::Excluded(end.as_slice()));
        self.items.get(path.bytes()).into_iter().chain(self.items.range::<[u8], _>(below))
    }

    /// Directories that a path needs and that are not there.
    fn missing_parents<'p>(&self, path: DraftPath<'p>) -> Result<Vec<DraftPath<'p>>, DraftError> {
        let mut missing = Vec::new();
        for parent in path.parents() {
            match self.find(parent.bytes()) {
                Some(Found::Directory) => break,
                Some(Found::File(_) | Found::Link(_)) => return Err(DraftError::NotADirectory),
                None => missing.push(parent),
            }
        }
        Ok(missing)
    }

    /// Puts one thing at a path where no directory is, and directories above it.
    fn place(&mut self, path: DraftPath<'_>, found: Found<'_>) -> Result<(), DraftError> {
        let missing = self.missing_parents(path)?;
        let item = Item::new(path, found);
        let freed_len = self.items.get(path.bytes()).map_or(0, Item::held_len);
        self.has_room(item.held_len() + directories_held_len(&missing), freed_len)?;
        self.make_all(&missing);
        self.insert(item);
        Ok(())
    }

    /// Sees that `from` can stand at `to`, in the place of what is there; gives the directories that are missing above it.
    fn plan<'p>(
        &self,
        from: DraftPath<'_>,
        to: DraftPath<'p>,
        stays: Stays,
    ) -> Result<Vec<DraftPath<'p>>, DraftError> {
        let missing = self.missing_parents(to)?;
        let (from_len, to_len) = (from.bytes().len(), to.bytes().len());
        let mut added_len = directories_held_len(&missing);
        let mut freed_len: u64 = self.within(to).map(Item::held_len).sum();
        for item in self.within(from) {
            if item.path().len() - from_len + to_len > PATH_LEN_MAX {
                return Err(DraftError::Path);
            }
            added_len += item.held_len() + to_len as u64 - from_len as u64;
            freed_len += match stays {
                Stays::Yes => 0,
                Stays::No => item.held_len(),
            };
        }
        self.has_room(added_len, freed_len)?;
        Ok(missing)
    }

    fn has_room(&self, added_len: u64, freed_len: u64) -> Result<(), DraftError> {
        let held_len = self.held_len + added_len - freed_len;
        if held_len > self.held_len_max { Err(DraftError::TooLarge) } else { Ok(()) }
    }

    fn replace(
        &mut self,
        from: DraftPath<'_>,
        to: DraftPath<'_>,
        items: &[Item],
        missing: &[DraftPath<'_>],
    ) {
        self.take(to);
        self.make_all(missing);
        for item in items {
            self.insert(item.moved(from, to));
        }
    }

    fn make_all(&mut self, directories: &[DraftPath<'_>]) {
        for path in directories {
            self.insert(Item::new(*path, Found::Directory));
        }
    }

    fn insert(&mut self, item: Item) {
        self.held_len += item.held_len();
        let (count, len) = self.counted(&item);
        *count += 1;
        self.len += len;
        if let Some(old) = self.items.replace(item) {
            self.forget(&old);
        }
    }

    /// Takes out what stands at a path and all below it.
    fn take(&mut self, path: DraftPath<'_>) -> Vec<Item> {
        let Some(top) = self.items.take(path.bytes()) else { return Vec::new() };
        let mut taken = vec![top];
        if taken.iter().any(Item::is_directory) {
            let from = Item::bound(&with(path.bytes(), b'/'));
            let end = Item::bound(&with(path.bytes(), AFTER_SLASH));
            let below = (Bound::Included(from), Bound::Excluded(end));
            taken.extend(self.items.extract_if(below, |_| true));
        }
        for item in &taken {
            self.forget(item);
        }
        taken
    }

    fn forget(&mut self, item: &Item) {
        self.held_len -= item.held_len();
        let (count, len) = self.counted(item);
        *count -= 1;
        self.len -= len;
    }

    /// The count that an item belongs to, and the bytes it adds to all files.
    fn counted(&mut self, item: &Item) -> (&mut u64, u128) {
        match item.found() {
            Found::Directory => (&mut self.counts.directories, 0),
            Found::File(file) => (&mut self.counts.files, u128::from(file.packed.len())),
            Found::Link(_) => (&mut self.counts.links, 0),
        }
    }
}

/// Whether what is moved or copied stands at its old place afterwards.
#[derive(Clone, Copy)]
enum Stays {
    Yes,
    No,
}

/// Follows `/`: all that lies in a directory stands before its path with this byte.
const AFTER_SLASH: u8 = b'/' + 1;

fn with(path: &[u8], byte: u8) -> Vec<u8> {
    [path, &[byte]].concat()
}

fn nested(from: DraftPath<'_>, to: DraftPath<'_>) -> bool {
    to.is_below(from) || from.is_below(to)
}

fn directories_held_len(directories: &[DraftPath<'_>]) -> u64 {
    directories.iter().map(|path| Item::directory_held_len(path.bytes().len())).sum()
}
