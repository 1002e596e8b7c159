//! Where spools lie: where a new one is put, and where one is that a draft names.
//!
//! Invariant: a spool is known by the name of its folder, which is random, wherever the drive of the repository is mounted today.
//! Nothing is looked for anywhere but where somebody put one: no other folder is searched.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Drive, Durable, SEGMENT_LEN, SpoolError, SpoolRecord};

/// Where a spool is made, and where one is looked for.
#[derive(Debug, Clone)]
pub struct SpoolPlace {
    /// The folder to put a new one in.
    pub dir: PathBuf,
    /// The folder that the repository lies in.
    pub beside: PathBuf,
    /// Bytes of files in a segment, at most [`SEGMENT_LEN`]; at least one frame is.
    pub segment_len: u64,
    /// What makes it durable.
    pub durable: Arc<dyn Durable>,
}

impl SpoolPlace {
    /// Beside a repository, which lies in that folder.
    #[must_use]
    pub fn beside(folder: PathBuf) -> Self {
        let durable = Arc::new(Drive);
        Self { dir: folder.clone(), beside: folder, segment_len: SEGMENT_LEN, durable }
    }

    /// Whether a person named another folder than the one in which this spool lies.
    #[must_use]
    pub fn is_elsewhere(&self, spool: &SpoolRecord) -> bool {
        let lies_in = spool.folder.parent().unwrap_or(Path::new(""));
        !is_same(&self.dir, &self.beside) && !is_same(&self.dir, lies_in)
    }

    /// The folders in which spools of the repository are made, each once.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        let named = Some(self.dir.as_path()).filter(|dir| !is_same(dir, &self.beside));
        named.into_iter().chain([self.beside.as_path()])
    }

    /// Where a spool of that name may be. Beside the repository comes first: of a repository that was copied with its spool each
    /// copy goes on with its own.
    fn candidates(&self, folder: &Path) -> Vec<PathBuf> {
        let name = folder.file_name().unwrap_or(OsStr::new(""));
        let mut found = vec![self.beside.join(name)];
        for other in [folder.to_path_buf(), self.dir.join(name)] {
            if !found.contains(&other) {
                found.push(other);
            }
        }
        found
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    one == other || whole(one) == whole(other)
}

impl SpoolRecord {
    /// Finds the folder, wherever it is now: the first place where all of `files` are counts, and without one the first that is
    /// there at all; if there is none the record stays as it is.
    ///
    /// # Errors
    /// Some of the files are nowhere.
    pub fn seek<I: Iterator<Item = (u64, u64)>>(
        &mut self,
        place: &SpoolPlace,
        files: impl Fn() -> I,
    ) -> Result<(), SpoolError> {
        let mut lacking: Option<(PathBuf, SpoolError)> = None;
        for folder in place.candidates(&self.folder) {
            let there = Self { folder, ..self.clone() };
            match there.holds(files()) {
                Ok(()) if there.end > 0 || there.folder.exists() => {
                    *self = there;
                    return Ok(());
                }
                Ok(()) => {}
                Err(error) if error.is_absent() => {}
                Err(error) => {
                    lacking.get_or_insert((there.folder, error));
                }
            }
        }
        match lacking {
            Some((folder, error)) => {
                self.folder = folder;
                Err(error)
            }
            None => self.holds(files()),
        }
    }
}
