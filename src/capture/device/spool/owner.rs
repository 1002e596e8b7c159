//! Whose a spool is, how far whoever went on with it came, and who is at work on it.
//!
//! Invariant: the file `owner` in its folder tells where the repository lies that it belongs to, in a way that gives no path away,
//! and is locked as long as a process is at work there. A repository that it does not name is another copy's, or lay elsewhere when
//! it was made; only without the file anybody may take it whose draft finds it. The turn in it is never later than that of the draft
//! that it belongs to: a draft of an earlier turn is an old copy's. Where a drive has no locks, nobody else is seen.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::Path;

use russet_store::backend::beside;
use russet_store::ids::{hex, unhex};

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

    /// Whose it is, asked for the repository in that folder, and the turn in which it was gone on with.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn whose(&mut self, repository: &Path) -> io::Result<(Whose, u64)> {
        let Some(file) = &mut self.file else { return Ok((Whose::Nobodys, 0)) };
        let mut found = Vec::new();
        file.rewind()?;
        file.take(LEN + 1).read_to_end(&mut found)?;
        // What nobody wrote is nobody's to guess at.
        Ok(decode(&found).map_or((Whose::Anothers, 0), |(mark, turn)| {
            match mark == mark_of(repository) {
                true => (Whose::Ours, turn),
                false => (Whose::Anothers, turn),
            }
        }))
    }

    /// Writes down that it is the repository's in that folder, in this turn.
    ///
    /// # Errors
    /// It cannot be written, or another process was quicker.
    pub(super) fn name(
        &mut self,
        folder: &Path,
        (repository, turn): (&Path, u64),
        durable: &dyn Durable,
    ) -> Result<(), SpoolError> {
        let path = folder.join(NAME);
        let failed = |source| failed(&path, source);
        if self.file.is_none() {
            let made = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
            *self = Self::locked(made.map_err(failed)?, folder)?;
        }
        self.write(&encode(&mark_of(repository), turn)).map_err(failed)?;
        let synced = self.file.as_ref().map_or(Ok(()), |file| durable.file(&path, file));
        synced.map_err(failed)?;
        durable.folder(folder).map_err(|source| super::failed(folder, source))
    }

    /// Writes down another turn, whose checkpoint is durable. A drive that does not take it now knows an earlier one.
    pub(super) fn turn(&mut self, repository: &Path, turn: u64) {
        let _earlier = self.write(&encode(&mark_of(repository), turn));
    }

    fn write(&mut self, bytes: &str) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        file.rewind()?;
        file.write_all(bytes.as_bytes())?;
        file.set_len(bytes.len() as u64)
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

/// Bytes of the file.
const LEN: u64 = 64 + 1 + 16 + 1;

fn encode(mark: &[u8; 32], turn: u64) -> String {
    format!("{}\n{turn:016x}\n", hex(mark))
}

fn decode(bytes: &[u8]) -> Option<([u8; 32], u64)> {
    let (mark, turn) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once('\n')?;
    Some((unhex(mark)?, u64::from_be_bytes(unhex(turn)?)))
}

/// Tells one place from another, and gives neither away.
fn mark_of(repository: &Path) -> [u8; 32] {
    blake3::derive_key(CONTEXT, repository.as_os_str().as_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_owner_comes_back_and_its_parts_are_none(mark: [u8; 32], turn: u64, at in 0usize..82) {
            let bytes = encode(&mark, turn);
            prop_assert_eq!(bytes.len() as u64, LEN);
            prop_assert_eq!(decode(bytes.as_bytes()), Some((mark, turn)));
            prop_assert_eq!(decode(bytes.as_bytes().get(..at).unwrap_or_default()), None);
        }

        #[test]
        fn any_bytes_are_an_owner_that_encodes_to_them_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some((mark, turn)) = decode(&bytes) {
                prop_assert_eq!(encode(&mark, turn).into_bytes(), bytes);
            }
        }
    }
}
