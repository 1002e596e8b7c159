//! The draft: what a phone's backup folder looks like while a capture is in progress.
//!
//! Invariant: a draft is its base and the edits since, in their order; whoever keeps every piece that [`Draft::take_edits`] gave
//! and replays them over the same base has the same draft. A file stands here only when its blobs are known. Reads and writes
//! nothing: where pieces and blobs are kept is for its owner.

mod file;
mod item;
pub mod journal;
mod tree;

pub use file::{FileNode, PackError, PackedFile};
pub use item::{DraftPath, Found, FoundFile, FoundLink};
pub use journal::{Edit, JournalError};
pub use tree::{DraftCounts, DraftError, DraftTree, HELD_LEN_MAX};

use journal::Edits;

/// Most bytes of edits that wait to be taken; further ones are refused.
pub const EDITS_LEN_MAX: usize = 64 << 20;

/// A base and what was done to it. Paths are relative to the phone's own folder, `UDID/` already removed.
pub struct Draft {
    tree: DraftTree,
    edits: Edits,
}

impl Draft {
    /// Nothing was done yet.
    #[must_use]
    pub fn over(base: DraftTree) -> Self {
        Self { tree: base, edits: Edits::default() }
    }

    /// What stands there now.
    #[must_use]
    pub fn tree(&self) -> &DraftTree {
        &self.tree
    }

    /// A file of this capture whose bytes are all in blobs; replaces a file, makes the directories above it.
    ///
    /// # Errors
    /// A directory has that path, a file stands where one should, or the file is none that a tree can list.
    pub fn put_file(&mut self, path: &[u8], file: &FileNode) -> Result<(), DraftError> {
        if path.is_empty() {
            return Err(DraftError::IsADirectory);
        }
        let (path, packed) = (DraftPath::check(path)?, file.encode()?);
        let (file, _) = PackedFile::split(&packed)?;
        self.edit(&Edit::Put { path, file })
    }

    /// A directory, with those above it; one that is there already is fine.
    ///
    /// # Errors
    /// A file has that path, or one above.
    pub fn make_directory(&mut self, path: &[u8]) -> Result<(), DraftError> {
        if path.is_empty() {
            return Ok(());
        }
        self.edit(&Edit::MakeDirectory { path: DraftPath::check(path)? })
    }

    /// Removes a file or a whole directory; missing is fine.
    ///
    /// # Errors
    /// It is the backup's folder itself.
    pub fn remove(&mut self, path: &[u8]) -> Result<(), DraftError> {
        self.edit(&Edit::Remove { path: DraftPath::check(path)? })
    }

    /// Moves a file or a whole directory; what stood at `to` goes, all of it, and the directories above `to` are made. Done
    /// already (`from` gone, `to` there) is fine. Costs the count of what moves, twice its memory meanwhile.
    ///
    /// # Errors
    /// Neither is there, one lies in the other, or a file stands where a directory should.
    pub fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), DraftError> {
        let (from, to) = (DraftPath::check(from)?, DraftPath::check(to)?);
        self.edit(&Edit::Rename { from, to })
    }

    /// Copies a file or a whole directory; what stood at `to` goes, all of it, and the directories above `to` are made.
    ///
    /// # Errors
    /// `from` is not there, one lies in the other, or a file stands where a directory should.
    pub fn copy(&mut self, from: &[u8], to: &[u8]) -> Result<(), DraftError> {
        let (from, to) = (DraftPath::check(from)?, DraftPath::check(to)?);
        self.edit(&Edit::Copy { from, to })
    }

    /// Bytes of the edits since they were last taken: 0 if nothing changed.
    #[must_use]
    pub fn edits_len(&self) -> usize {
        self.edits.len()
    }

    /// The edits since they were last taken: the next piece of the journal. Whoever loses it loses the draft.
    #[must_use]
    pub fn take_edits(&mut self) -> Vec<u8> {
        self.edits.take()
    }

    /// Does what a piece of the journal says; to be called for all of them in order, before anything else is done.
    ///
    /// # Errors
    /// The piece is damaged, and nothing was done; or it does not fit, and the draft must not be used.
    pub fn replay(&mut self, piece: &[u8]) -> Result<(), JournalError> {
        for (index, edit) in journal::decode(piece)?.iter().enumerate() {
            self.tree.apply(edit).map_err(|source| JournalError::Edit { index, source })?;
        }
        Ok(())
    }

    fn edit(&mut self, edit: &Edit<'_>) -> Result<(), DraftError> {
        if self.edits.len() >= EDITS_LEN_MAX {
            return Err(DraftError::Untaken);
        }
        if self.tree.apply(edit)? {
            self.edits.push(edit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
