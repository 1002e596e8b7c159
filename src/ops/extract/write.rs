//! Files on their way into the target.
//!
//! Invariant: a folder on the way is made here or is a real one: a link is never followed below the target. A file is written under a
//! temporary name, checked, and put under its own only where nothing stands. A target that takes nothing more ends the work: that is
//! one error, not one for each file.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use rayon::prelude::*;
use russet_store::ids::PackId;
use russet_store::repository::Repository;

use super::Extracted;
use crate::observe::Observer;
use crate::ops::list::{CatError, cat, shown_path};
use crate::ops::restore::{RestoreError, chain, open_to_all, target_error, times};
use crate::snapshot::{Content, Entry};

/// A file and where it goes.
pub(super) struct Job {
    pub(super) entry: Entry,
    pub(super) content: Content,
    /// Below the target.
    pub(super) place: PathBuf,
    /// Unix seconds.
    pub(super) modified: i64,
}

enum Came {
    Written,
    There,
    InTheWay,
}

/// What writes, and what came of it.
pub(super) struct Writing<'a> {
    repository: &'a Repository,
    root: &'a Path,
    observer: &'a dyn Observer,
    stop: &'a (dyn Fn() -> bool + Sync),
    /// Folders that were made or looked at.
    folders: Mutex<HashSet<PathBuf>>,
    file_count: AtomicU64,
    len: AtomicU64,
    there_count: AtomicU64,
    lost_count: AtomicU64,
    is_over: AtomicBool,
    /// Why nothing more can be written.
    end: Mutex<Option<RestoreError>>,
}

impl<'a> Writing<'a> {
    /// Makes the target if it is not there.
    pub(super) fn new(
        repository: &'a Repository,
        root: &'a Path,
        observer: &'a dyn Observer,
        stop: &'a (dyn Fn() -> bool + Sync),
    ) -> Result<Self, RestoreError> {
        fs::create_dir_all(root).map_err(|error| target_error(root, error))?;
        // Said before the first of a hundred thousand files. A full drive may have all of them already.
        if let Err(source) = tempfile::Builder::new().prefix(".russet-").tempfile_in(root)
            && source.kind() != io::ErrorKind::StorageFull
        {
            return Err(RestoreError::ReadOnly { path: root.to_path_buf(), source });
        }
        Ok(Self {
            repository,
            root,
            observer,
            stop,
            folders: Mutex::default(),
            file_count: AtomicU64::new(0),
            len: AtomicU64::new(0),
            there_count: AtomicU64::new(0),
            lost_count: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            end: Mutex::default(),
        })
    }

    /// Names a file that is not written.
    pub(super) fn tell(&self, entry: &Entry, why: &str) {
        let shown = shown_path(entry);
        self.observer.problem(&String::from_utf8_lossy(&shown).escape_debug().to_string(), why);
    }

    pub(super) fn lose(&self, entry: &Entry, why: &str) {
        self.lost_count.fetch_add(1, Ordering::Relaxed);
        self.tell(entry, why);
    }

    /// Writes files in the order of the packs they begin in, on all cores.
    pub(super) fn write(&self, jobs: Vec<Job>) -> Result<(), RestoreError> {
        let place = |content: &Content| -> Option<(PackId, u32)> {
            let places = self.repository.index().lookup(content.ids.first()?).ok()?;
            places.first().map(|p| (p.pack, p.spot.offset))
        };
        let mut sorted: Vec<_> = jobs.into_iter().map(|job| (place(&job.content), job)).collect();
        sorted.sort_by_key(|(place, _)| *place);
        sorted.par_iter().for_each(|(_, job)| {
            if (self.stop)() || self.is_over.load(Ordering::Relaxed) {
                return;
            }
            self.take(job);
            self.observer.advance(job.content.plain_len(), 1);
        });
        if (self.stop)() {
            return Err(RestoreError::Stopped);
        }
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.take().map_or(Ok(()), Err)
    }

    /// Why a target that gave this error takes nothing more; none if that was about one file.
    fn end_of(&self, error: CatError) -> Result<RestoreError, CatError> {
        let path = self.root.to_path_buf();
        match error {
            CatError::Write(source) => match source.kind() {
                io::ErrorKind::StorageFull => Ok(RestoreError::NoSpace { path }),
                io::ErrorKind::ReadOnlyFilesystem => Ok(RestoreError::ReadOnly { path, source }),
                _ => Err(CatError::Write(source)),
            },
            error => Err(error),
        }
    }

    fn take(&self, job: &Job) {
        match self.write_one(job) {
            Ok(Came::Written) => {
                self.file_count.fetch_add(1, Ordering::Relaxed);
                self.len.fetch_add(job.content.plain_len(), Ordering::Relaxed);
            }
            Ok(Came::There) => {
                self.there_count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Came::InTheWay) => {
                let why = format!("{} is there already, and stays as it is", job.place.display());
                self.lose(&job.entry, &why);
            }
            Err(error) => match self.end_of(error) {
                Ok(end) => {
                    self.is_over.store(true, Ordering::Relaxed);
                    let mut place = self.end.lock().unwrap_or_else(PoisonError::into_inner);
                    place.get_or_insert(end);
                }
                Err(error) => self.lose(&job.entry, &chain(&error)),
            },
        }
    }

    fn write_one(&self, job: &Job) -> Result<Came, CatError> {
        let path = self.root.join(&job.place);
        let dir = path.parent().unwrap_or(self.root);
        self.make_folder(&job.place).map_err(CatError::Write)?;
        match fs::symlink_metadata(&path) {
            Ok(there) if is_it(&there, job) => return Ok(Came::There),
            Ok(_) => return Ok(Came::InTheWay),
            Err(_) => {}
        }
        let temporary = tempfile::Builder::new().prefix(".russet-").tempfile_in(dir);
        let temporary = temporary.map_err(CatError::Write)?;
        let mut out = BufWriter::with_capacity(256 << 10, temporary.as_file());
        cat(self.repository, &job.content, &mut out)?;
        out.flush().map_err(CatError::Write)?;
        drop(out);
        let finish = || -> io::Result<Came> {
            open_to_all(temporary.as_file())?;
            temporary.as_file().set_times(times((job.modified, 0)))?;
            match temporary.persist_noclobber(&path) {
                Ok(_) => Ok(Came::Written),
                Err(error) if fs::symlink_metadata(&path).is_ok() => {
                    drop(error);
                    Ok(Came::InTheWay)
                }
                // Without hard links (exFAT) there is no such step.
                Err(error) => {
                    error.file.persist(&path).map(|_: File| Came::Written).map_err(|e| e.error)
                }
            }
        };
        finish().map_err(CatError::Write)
    }

    /// Makes the folders above a place, one by one.
    fn make_folder(&self, place: &Path) -> io::Result<()> {
        let mut path = self.root.to_path_buf();
        for name in place.parent().into_iter().flat_map(Path::components) {
            path.push(name);
            let mut known = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
            if known.contains(&path) {
                continue;
            }
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !fs::symlink_metadata(&path)?.is_dir() {
                        return Err(io::Error::new(
                            io::ErrorKind::NotADirectory,
                            format!("{} is no folder", path.display()),
                        ));
                    }
                }
                Err(error) => return Err(error),
            }
            known.insert(path.clone());
        }
        Ok(())
    }

    /// Adds up.
    pub(super) fn finish(self, done: &mut Extracted) {
        done.file_count = self.file_count.into_inner();
        done.len = self.len.into_inner();
        done.there_count = self.there_count.into_inner();
        done.lost_count = self.lost_count.into_inner();
    }
}

/// Whether what stands there is what would be written, as an earlier run left it. Its bytes are not read.
fn is_it(there: &fs::Metadata, job: &Job) -> bool {
    let modified = there.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let secs = modified.and_then(|since| i64::try_from(since.as_secs()).ok());
    // Some drives keep times to two seconds.
    let is_then = secs.is_some_and(|secs| secs.abs_diff(job.modified) < 2);
    there.is_file() && there.len() == job.content.plain_len() && is_then
}
