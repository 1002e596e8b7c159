//! The folder of a spool: its name, the files in it, and folders that nobody needs any more.
//!
//! Invariant: a folder with segments goes only with the draft that names it, for another copy of the repository may have one that
//! nobody here knows; an empty one goes only by the repository that made it. Only what is a spool's is removed: whatever else lies
//! there stays, and the folder with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use russet_store::ids::{RepositoryId, hex, unhex};

use super::owner::{self, Held, Whose};
use super::{SpoolError, SpoolPlace, failed};

/// Of whose spool a folder is: repositories may share a drive.
fn prefix(repository: RepositoryId) -> String {
    format!("russet-spool-{repository}-")
}

/// The name of a folder.
pub(super) fn name(repository: RepositoryId, id: &[u8; 16]) -> String {
    prefix(repository) + &hex(id)
}

/// Makes a folder that nobody else can list, where a drive knows such things: its name tells of which repository it is.
pub(super) fn create(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// The file of a segment.
pub(super) fn segment_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(hex(&number.to_be_bytes()))
}

/// The segments that are there with the lengths of their files, in order.
pub(super) fn numbers(folder: &Path) -> Result<Vec<(u32, u64)>, SpoolError> {
    let failed = |source| failed(folder, source);
    let mut found = Vec::new();
    for child in fs::read_dir(folder).map_err(failed)? {
        let child = child.map_err(failed)?;
        let number = child.file_name().to_str().and_then(unhex::<4>).map(u32::from_be_bytes);
        // Not following a link: what it points to is nothing of ours.
        let metadata = fs::symlink_metadata(child.path()).map_err(failed)?;
        if let Some(number) = number.filter(|_| metadata.is_file()) {
            found.push((number, metadata.len()));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// Removes the segments in a folder, and the folder if nothing else is in it.
pub(super) fn remove(folder: &Path) -> Result<(), SpoolError> {
    let found = match numbers(folder) {
        Err(SpoolError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(());
        }
        other => other?,
    };
    let held = Held::take(folder)?;
    for (number, _) in found {
        let path = segment_path(folder, number);
        fs::remove_file(&path).map_err(|source| failed(&path, source))?;
    }
    held.remove(folder)?;
    fs::remove_dir(folder).map_err(|source| failed(folder, source))
}

/// A spool of this repository that no draft names.
#[derive(Debug)]
pub struct Leftover {
    /// Its folder.
    pub folder: PathBuf,
    /// What became of it.
    pub fate: Fate,
}

/// What becomes of a spool that no draft names.
#[derive(Debug)]
pub enum Fate {
    /// It was empty, for its run ended before its draft did: it is removed, if it could be.
    Removed(Result<(), SpoolError>),
    /// It has segments, and stays: another copy of the repository may need it.
    Stays {
        /// Bytes of the segments.
        len: u64,
    },
}

/// Finds the spools of this repository that are not among `known`, in one of the folders of `place`, and removes the empty ones that
/// it made itself. A folder that cannot be listed has none.
#[must_use]
pub fn leftovers(
    dir: &Path,
    place: &SpoolPlace,
    repository: RepositoryId,
    known: &[PathBuf],
) -> Vec<Leftover> {
    let Ok(children) = fs::read_dir(dir) else { return Vec::new() };
    let prefix = prefix(repository);
    let is_known = |name: &std::ffi::OsStr| known.iter().any(|path| path.file_name() == Some(name));
    let mut left = Vec::new();
    for child in children.flatten() {
        let name = child.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix(&prefix)).and_then(unhex::<16>);
        let is_folder = child.file_type().is_ok_and(|kind| kind.is_dir());
        if id.is_none() || !is_folder || is_known(&name) {
            continue;
        }
        let folder = child.path();
        let segments = numbers(&folder).unwrap_or_default();
        let fate = if !segments.is_empty() {
            Fate::Stays { len: segments.iter().map(|(_, len)| len).sum() }
        } else if is_bare(&folder) && is_of(&folder, &place.location()) {
            Fate::Removed(remove(&folder))
        } else {
            // Another copy may be about to fill it; or it is none of ours, whatever it is.
            continue;
        };
        left.push(Leftover { folder, fate });
    }
    left
}

/// Whether nothing but the name of its owner is in a folder.
fn is_bare(folder: &Path) -> bool {
    let mut children = fs::read_dir(folder).into_iter().flatten();
    children.all(|child| child.is_ok_and(|child| child.file_name() == owner::NAME))
}

/// Whether a spool is surely this repository's, with nobody at work on it.
fn is_of(folder: &Path, repository: &Path) -> bool {
    let whose = Held::take(folder).map(|mut held| held.whose(repository));
    matches!(whose, Ok(Ok((Whose::Ours, _))))
}
