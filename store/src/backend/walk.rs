//! Looking through the folders of a drive that may be damaged, foreign or hostile.
//!
//! Invariant: a folder that cannot be read is reported, never taken for an empty one; no link is
//! followed; depth and count are bounded. Does not judge whether a name is ours, except that it sets
//! apart the files a local backend makes for itself.

use std::fs::{self, DirEntry};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::name::{LOCK_NAME, SEGMENT_COUNT_MAX};
use super::{BackendError, Listed, Listing};

/// How temporary names begin. [`super::Name`] refuses a leading dot, so no file of ours can.
pub(super) const TEMPORARY_PREFIX: &str = ".russet-tmp-";

/// Most files in a listing: 128 MiB packs of this number would be 1.2 EiB.
const FILE_COUNT_MAX: usize = 10_000_000;

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Walk {
    pub(super) files: Vec<Listed>,
    pub(super) temporaries: Vec<PathBuf>,
    pub(super) unreadable: Vec<(String, io::Error)>,
    skipped_count: u64,
    is_cut: bool,
}

impl Walk {
    /// Walks a folder below the root, given as names are (`""` is the root itself).
    pub(super) fn below(root: &Path, dir: &str) -> Self {
        let mut walk = Self::default();
        let mut folders = vec![dir.to_owned()];
        while let Some(folder) = folders.pop() {
            if let Err(error) = walk.folder(root, &folder, &mut folders) {
                walk.unreadable.push((folder, error));
            }
            if walk.files.len() > FILE_COUNT_MAX {
                walk.is_cut = true;
                break;
            }
        }
        walk.files.sort();
        walk
    }

    /// Refuses what no repository of ours can be.
    pub(super) fn bounded(self, location: &str) -> Result<Self, BackendError> {
        if self.is_cut {
            let location = location.to_owned();
            return Err(BackendError::TooManyFiles { location, count_max: FILE_COUNT_MAX });
        }
        Ok(self)
    }

    pub(super) fn into_listing(self) -> Listing {
        let Self { files, unreadable, skipped_count, .. } = self;
        Listing { files, skipped_count, unreadable }
    }

    fn folder(&mut self, root: &Path, dir: &str, deeper: &mut Vec<String>) -> io::Result<()> {
        let path = root.join(dir);
        // The root may be reached by a link, what lies below it may not.
        if !dir.is_empty() && is_missing(fs::symlink_metadata(&path).and_then(is_folder))? {
            return Ok(());
        }
        let children = match fs::read_dir(&path) {
            // Its last file was deleted meanwhile, and it with that.
            Err(error) if error.kind() == ErrorKind::NotFound && !dir.is_empty() => return Ok(()),
            children => children?,
        };
        for entry in children {
            if self.files.len() > FILE_COUNT_MAX {
                return Ok(());
            }
            self.entry(&entry?, dir, deeper)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &DirEntry, dir: &str, deeper: &mut Vec<String>) -> io::Result<()> {
        let file_name = entry.file_name();
        let Some(segment) = file_name.to_str().filter(|s| !s.contains(char::is_control)) else {
            self.skipped_count += 1;
            return Ok(());
        };
        let name = if dir.is_empty() { segment.to_owned() } else { format!("{dir}/{segment}") };
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            // Somebody deleted it meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.unreadable.push((name, error));
                return Ok(());
            }
        };
        if metadata.is_dir() {
            if name.split('/').count() < SEGMENT_COUNT_MAX {
                deeper.push(name);
            } else {
                self.skipped_count += 1;
            }
        } else if segment.starts_with(TEMPORARY_PREFIX) && metadata.is_file() {
            self.temporaries.push(entry.path());
        } else if name != LOCK_NAME {
            let len = if metadata.is_file() { metadata.len() } else { 0 };
            self.files.push(Listed { name, len });
        }
        Ok(())
    }
}

fn is_folder(metadata: fs::Metadata) -> io::Result<()> {
    if metadata.is_dir() { Ok(()) } else { Err(ErrorKind::NotADirectory.into()) }
}

fn is_missing(looked: io::Result<()>) -> io::Result<bool> {
    match looked {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
