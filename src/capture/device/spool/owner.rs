//! Whose a spool is, and who is at work on it.
//!
//! Invariant: the file `owner` in its folder tells where the repository lies that it belongs to, in a way that gives no path away,
//! and is locked as long as a process is at work there. A repository that it does not name is another copy's, or lay elsewhere when
//! it was made; only without the file anybody may take it whose draft finds it. Where a drive has no locks, nobody else is seen.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::Path;

use russet_store::backend::beside;
use russet_store::ids::hex;

use super::{Durable, SpoolError, failed};

/// The name of the file.
pub(super) const NAME: &str = "owner";
const CONTEXT: &str = "russet format 1 spool owner";

/// Whose a spool says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// That of the repository that was asked for.
    Ours,
    /// It does not say: a person may have removed the file.
    Nobodys,
    /// That of a repository that lies, or lay, elsewhere.
    Anothers,
}

/// A spool at which nobody else is at work as long as this lives.
#[derive(Debug)]
pub(super) struct Held {
    file: Option<File>,
}

impl Held {
    /// Takes one that is there.
    ///
    /// # Errors
    /// Another process is at work on it, or its owner cannot be read.
    pub(super) fn take(folder: &Path) -> Result<Self, SpoolError> {
        let path = folder.join(NAME);
        let file = match beside::open_to_write(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { file: None }),
            Err(error) if is_only_to_read(&error) => beside::open_to_read(&path),
            other => other,
        };
        let file = file.map_err(|source| failed(&path, source))?;
        Self::locked(file, folder)
    }

    fn locked(file: File, folder: &Path) -> Result<Self, SpoolError> {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(SpoolError::Busy { path: folder.to_path_buf() }),
            // Not every drive has locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { file: Some(file) }),
        }
    }

    /// Whose it is, asked for the repository in that folder.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn whose(&mut self, repository: &Path) -> io::Result<Whose> {
        let Some(file) = &mut self.file else { return Ok(Whose::Nobodys) };
        let (mark, mut found) = (mark(repository), Vec::new());
        file.rewind()?;
        file.take(mark.len() as u64 + 1).read_to_end(&mut found)?;
        Ok(if found == mark.as_bytes() { Whose::Ours } else { Whose::Anothers })
    }

    /// Writes down that it is the repository's in that folder.
    ///
    /// # Errors
    /// It cannot be written, or another process was quicker.
    pub(super) fn name(
        &mut self,
        folder: &Path,
        repository: &Path,
        durable: &dyn Durable,
    ) -> Result<(), SpoolError> {
        let path = folder.join(NAME);
        let failed = |source| failed(&path, source);
        if self.file.is_none() {
            let made = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
            *self = Self::locked(made.map_err(failed)?, folder)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut write = || {
            file.rewind()?;
            file.write_all(mark(repository).as_bytes())?;
            file.set_len(mark(repository).len() as u64)?;
            durable.file(&path, file)
        };
        write().map_err(failed)?;
        durable.folder(folder).map_err(|source| super::failed(folder, source))
    }

    /// Removes what it holds.
    ///
    /// # Errors
    /// It cannot be removed.
    pub(super) fn remove(self, folder: &Path) -> Result<(), SpoolError> {
        // Some systems keep the name of a file that is open.
        drop(self);
        let path = folder.join(NAME);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

fn is_only_to_read(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)
}

/// What the file holds.
fn mark(repository: &Path) -> String {
    let path = repository.as_os_str().as_encoded_bytes();
    hex(&blake3::derive_key(CONTEXT, path)) + "\n"
}
