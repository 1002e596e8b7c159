//! Writing a snapshot back as a backup folder.
//!
//! Invariant: nothing that exists is overwritten; no byte is left in the target under a file's name that was not captured: each
//! file is written under a temporary name, checked whole, and renamed. Damage costs the files it hits, which are named. The folder
//! has the name of a backup only once all that comes back is in it: whatever dies before leaves one that nobody takes for a backup.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, File, FileTimes};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use rayon::prelude::*;
use russet_store::ids::PackId;
use russet_store::repository::Repository;

use super::list::{CatError, shown_path, stored};
use crate::capture::folder::path_of;
use crate::observe::{Observer, Phase};
use crate::snapshot::{Content, Entry, Snapshot, TreeWalk, What};

/// How a snapshot is written back.
#[derive(Debug, Clone)]
pub struct RestoreOptions {
    /// Folder that gets the backup folder.
    pub target: PathBuf,
    /// Zone of the date in `<UDID>-YYYYMMDD-HHMMSS`.
    pub zone: TimeZone,
}

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restored {
    /// The backup folder.
    pub folder: PathBuf,
    /// Files written and checked.
    pub file_count: u64,
    /// Their bytes.
    pub len: u64,
    /// Files, folders and links that could not be written as they were.
    pub lost_count: u64,
    /// Parts of the listing that could not be read: what they named is not known.
    pub listing_lost_count: u64,
}

/// Why nothing could be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The target.
    #[error("could not make the folder {}", path.display())]
    Target {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Both names are taken.
    #[error("{} exists already, and so does {}: nothing is overwritten", first.display(), second.display())]
    Exists {
        /// `<UDID>`.
        first: PathBuf,
        /// `<UDID>-YYYYMMDD-HHMMSS`.
        second: PathBuf,
    },
    /// The target lies in the repository.
    #[error("{} lies inside the repository", path.display())]
    InsideRepository {
        /// The target.
        path: PathBuf,
    },
    /// The drive is full.
    #[error("no space is left in {}", path.display())]
    NoSpace {
        /// Where.
        path: PathBuf,
    },
    /// The target can be read and not written.
    #[error("nothing can be written in {}", path.display())]
    ReadOnly {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The record names a phone by what cannot be a folder.
    #[error("the snapshot's UDID \"{0}\" cannot be the name of a folder")]
    Udid(String),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

/// Writes a snapshot into a new folder below the target.
///
/// # Errors
/// See [`RestoreError`]; damage is no error but counted.
pub fn restore(
    repository: &Repository,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    observer: &dyn Observer,
    stop: &(dyn Fn() -> bool + Sync),
) -> Result<Restored, RestoreError> {
    let names = Names::of(snapshot, options)?;
    let folder = names.make(&options.target)?;
    let counts = snapshot.record.counts;
    observer.begin(Phase::Restoring, counts.len, counts.files);
    let work = Work {
        repository,
        root: &folder,
        observer,
        stop,
        file_count: AtomicU64::new(0),
        len: AtomicU64::new(0),
        lost: AtomicU64::new(0),
        full: AtomicU64::new(0),
    };
    let mut paths = Paths::default();
    let mut listing_lost = 0;
    let mut batch: Vec<(Entry, Content)> = Vec::new();
    let mut links = Vec::new();
    let mut directories: BTreeMap<Vec<u8>, (i64, u32)> = BTreeMap::new();
    for entry in TreeWalk::new(repository, snapshot.record.tree) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                listing_lost += 1;
                observer.problem("listing", &error.to_string());
                continue;
            }
        };
        if !paths.admit(&entry) {
            work.lose(&entry, "its stored path stands twice in the snapshot, or lies below a file");
            continue;
        }
        match &entry.what {
            What::Directory => {
                work.make_directory(&entry);
                directories
                    .insert(entry.stored_path.clone(), (entry.mtime_secs, entry.mtime_nanos));
            }
            What::Link { .. } => links.push(entry),
            What::File(content) => {
                let content = content.clone();
                batch.push((entry, content));
                if batch.len() >= BATCH_COUNT {
                    work.write_batch(std::mem::take(&mut batch))?;
                }
            }
        }
    }
    work.write_batch(batch)?;
    for link in &links {
        work.make_link(link);
    }
    for (stored, mtime) in directories.iter().rev() {
        if let Some(path) = path_of(&folder, stored) {
            // A folder's time is a comfort; nothing depends on it.
            let _ = File::open(&path).and_then(|f| f.set_times(times(*mtime)));
        }
    }
    sync_dir(&folder);
    let folder = names.give(&folder)?;
    sync_dir(&options.target);
    Ok(Restored {
        file_count: work.file_count.load(Ordering::Relaxed),
        len: work.len.load(Ordering::Relaxed),
        lost_count: work.lost.load(Ordering::Relaxed),
        listing_lost_count: listing_lost,
        folder,
    })
}

/// That the target does not lie in the folder of the repository: nothing unsealed belongs there.
///
/// # Errors
/// It does.
pub fn check_target(target: &Path, location: &Path) -> Result<(), RestoreError> {
    let Ok(location) = fs::canonicalize(location) else { return Ok(()) };
    let target = std::path::absolute(target).unwrap_or_else(|_| target.to_path_buf());
    let there = target.ancestors().find_map(|above| fs::canonicalize(above).ok());
    match there {
        Some(above) if above.starts_with(&location) => {
            Err(RestoreError::InsideRepository { path: target })
        }
        _ => Ok(()),
    }
}

/// What the name of a folder ends with that is not done.
const UNFINISHED: &str = ".unfinished";

/// Files that are sorted by pack and written together.
const BATCH_COUNT: usize = 4096;

/// What a record may name a folder (docs/format.md §9).
fn names_a_folder(udid: &str) -> bool {
    (1..=64).contains(&udid.len())
        && !udid.starts_with('-')
        && udid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// Why a folder of the target could not be made.
pub(super) fn target_error(path: &Path, source: io::Error) -> RestoreError {
    match source.kind() {
        io::ErrorKind::StorageFull => RestoreError::NoSpace { path: path.to_path_buf() },
        _ => RestoreError::Target { path: path.to_path_buf(), source },
    }
}

/// What the folder may be called: as the phone's programs know it, or with the backup's date.
struct Names {
    first: PathBuf,
    second: PathBuf,
}

impl Names {
    fn of(snapshot: &Snapshot, options: &RestoreOptions) -> Result<Self, RestoreError> {
        let udid = &snapshot.record.udid;
        if !names_a_folder(udid) {
            return Err(RestoreError::Udid(udid.chars().take(64).collect()));
        }
        let date = jiff::Timestamp::from_second(snapshot.record.backup_time).unwrap_or_default();
        let date = date.to_zoned(options.zone.clone()).strftime("%Y%m%d-%H%M%S").to_string();
        let [first, second] =
            [udid.clone(), format!("{udid}-{date}")].map(|name| options.target.join(name));
        Ok(Self { first, second })
    }

    /// The first that is free.
    fn free(&self) -> Result<&Path, RestoreError> {
        let is_free = |name: &&PathBuf| matches!(fs::symlink_metadata(name), Err(error) if error.kind() == io::ErrorKind::NotFound);
        let free = [&self.first, &self.second].into_iter().find(is_free);
        free.map(PathBuf::as_path).ok_or_else(|| RestoreError::Exists {
            first: self.first.clone(),
            second: self.second.clone(),
        })
    }

    /// Makes the folder under a name that says that it is not done.
    fn make(&self, target: &Path) -> Result<PathBuf, RestoreError> {
        fs::create_dir_all(target).map_err(|error| target_error(target, error))?;
        let name = self.free()?.file_name().unwrap_or_default().to_string_lossy();
        let mut number = 1;
        loop {
            let end = if number == 1 { String::new() } else { format!("-{number}") };
            let folder = target.join(format!("{name}{UNFINISHED}{end}"));
            match fs::create_dir(&folder) {
                Ok(()) => return Ok(folder),
                // One that a restore before left there.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 1000 => {
                    number += 1;
                }
                Err(error) => return Err(target_error(&folder, error)),
            }
        }
    }

    /// Gives it its own.
    fn give(&self, folder: &Path) -> Result<PathBuf, RestoreError> {
        let name = self.free()?.to_path_buf();
        fs::rename(folder, &name).map_err(|error| target_error(&name, error))?;
        Ok(name)
    }
}

/// Stored paths so far: none twice, none below a file or link.
#[derive(Default)]
struct Paths {
    leaves: HashSet<Vec<u8>>,
    parents: BTreeSet<Vec<u8>>,
}

impl Paths {
    fn admit(&mut self, entry: &Entry) -> bool {
        let path = &entry.stored_path;
        let slashes = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        let above: Vec<&[u8]> = slashes.filter_map(|at| path.get(..at)).collect();
        if above.iter().any(|dir| self.leaves.contains(*dir)) {
            return false;
        }
        let is_dir = matches!(entry.what, What::Directory);
        // A directory may have been made already, for something below it came first; anything else stands once.
        let fresh = if is_dir {
            !self.leaves.contains(path)
        } else {
            !path.is_empty() && !self.parents.contains(path) && self.leaves.insert(path.clone())
        };
        if !fresh {
            return false;
        }
        for dir in above {
            if !self.parents.contains(dir) {
                self.parents.insert(dir.to_vec());
            }
        }
        if is_dir {
            self.parents.insert(path.clone());
        }
        true
    }
}

struct Work<'a> {
    repository: &'a Repository,
    root: &'a Path,
    observer: &'a dyn Observer,
    stop: &'a (dyn Fn() -> bool + Sync),
    file_count: AtomicU64,
    len: AtomicU64,
    lost: AtomicU64,
    full: AtomicU64,
}

impl Work<'_> {
    fn lose(&self, entry: &Entry, why: &str) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        let path = shown_path(entry);
        let stored = String::from_utf8_lossy(&entry.stored_path).escape_debug().to_string();
        let shown = String::from_utf8_lossy(&path).escape_debug().to_string();
        let item = if shown == stored { shown } else { format!("{shown} ({stored})") };
        self.observer.problem(&item, why);
    }

    /// Writes files in the order of the packs they begin in, on all cores.
    fn write_batch(&self, batch: Vec<(Entry, Content)>) -> Result<(), RestoreError> {
        let place = |content: &Content| -> Option<(PackId, u32)> {
            let first = content.ids.first()?;
            let places = self.repository.index().lookup(first).ok()?;
            places.first().map(|p| (p.pack, p.spot.offset))
        };
        let mut sorted: Vec<_> = batch.into_iter().map(|(e, c)| (place(&c), e, c)).collect();
        sorted.sort_by_key(|(place, ..)| *place);
        sorted.par_iter().for_each(|(_, entry, content)| {
            if (self.stop)() || self.full.load(Ordering::Relaxed) > 0 {
                return;
            }
            match self.write_file(entry, content) {
                Ok(()) => {
                    self.file_count.fetch_add(1, Ordering::Relaxed);
                    self.len.fetch_add(content.len, Ordering::Relaxed);
                }
                Err(error) => {
                    let full = matches!(&error, CatError::Write(e) if e.kind() == io::ErrorKind::StorageFull);
                    self.full.fetch_add(u64::from(full), Ordering::Relaxed);
                    self.lose(entry, &chain(&error));
                }
            }
            self.observer.advance(content.len, 1);
        });
        if (self.stop)() {
            return Err(RestoreError::Stopped);
        }
        if self.full.load(Ordering::Relaxed) > 0 {
            return Err(RestoreError::NoSpace { path: self.root.to_path_buf() });
        }
        Ok(())
    }

    fn write_file(&self, entry: &Entry, content: &Content) -> Result<(), CatError> {
        let no_name = || {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "this system cannot have a file of that name",
            )
        };
        let path =
            path_of(self.root, &entry.stored_path).ok_or_else(|| CatError::Write(no_name()))?;
        let dir = path.parent().unwrap_or(self.root);
        let make = || -> io::Result<tempfile::NamedTempFile> {
            fs::create_dir_all(dir)?;
            tempfile::Builder::new().prefix(".russet-").tempfile_in(dir)
        };
        let temporary = make().map_err(CatError::Write)?;
        let mut out = BufWriter::with_capacity(256 << 10, temporary.as_file());
        stored(self.repository, content, &mut out)?;
        out.flush().map_err(CatError::Write)?;
        drop(out);
        let finish = || -> io::Result<()> {
            open_to_all(temporary.as_file())?;
            temporary.as_file().set_times(times((entry.mtime_secs, entry.mtime_nanos)))?;
            temporary.persist_noclobber(&path).or_else(|error| {
                // Without hard links (exFAT) there is no such step; the folder is new and ours.
                if path.exists() {
                    Err(error.error)
                } else {
                    error.file.persist(&path).map_err(|e| e.error)
                }
            })?;
            Ok(())
        };
        finish().map_err(CatError::Write)
    }

    fn make_directory(&self, entry: &Entry) {
        let made = path_of(self.root, &entry.stored_path).map(fs::create_dir_all);
        match made {
            Some(Ok(())) => {}
            Some(Err(error)) => self.lose(entry, &format!("the folder could not be made: {error}")),
            None => self.lose(entry, "this system cannot have a folder of that name"),
        }
    }

    fn make_link(&self, entry: &Entry) {
        let What::Link { target } = &entry.what else { return };
        let result = path_of(self.root, &entry.stored_path)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
            .and_then(|path| {
                fs::create_dir_all(path.parent().unwrap_or(self.root))?;
                symlink(target, &path)
            });
        if let Err(error) = result {
            self.lose(entry, &format!("the link could not be made: {error}"));
        }
    }
}

#[cfg(unix)]
fn symlink(target: &[u8], path: &Path) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(target), path)
}

#[cfg(not(unix))]
fn symlink(_: &[u8], _: &Path) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "links are not made on this system"))
}

/// Temporary files are closed to others; a backup's files are as any file.
#[cfg(unix)]
pub(super) fn open_to_all(file: &File) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match file.set_permissions(fs::Permissions::from_mode(0o644)) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        other => other,
    }
}

#[cfg(not(unix))]
pub(super) fn open_to_all(_: &File) -> io::Result<()> {
    Ok(())
}

pub(super) fn times((secs, nanos): (i64, u32)) -> FileTimes {
    let whole = Duration::from_secs(secs.unsigned_abs());
    let time: Option<SystemTime> = match secs {
        0.. => UNIX_EPOCH.checked_add(whole),
        _ => UNIX_EPOCH.checked_sub(whole),
    };
    let time = time.and_then(|t| t.checked_add(Duration::from_nanos(u64::from(nanos))));
    FileTimes::new().set_modified(time.unwrap_or(UNIX_EPOCH))
}

/// What was written should be there after the drive is pulled; that it cannot be synced is no reason to fail.
fn sync_dir(folder: &Path) {
    let _ = File::open(folder).and_then(|f| f.sync_all());
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, what: What) -> Entry {
        Entry {
            domain: Vec::new(),
            relative_path: Vec::new(),
            stored_path: path.as_bytes().to_vec(),
            mtime_secs: 0,
            mtime_nanos: 0,
            row: None,
            what,
        }
    }

    fn file() -> What {
        What::File(Content { len: 0, hash: [0; 32], depth: 0, ids: Vec::new(), opened: None })
    }

    #[test]
    fn only_letters_digits_and_hyphens_name_a_folder() {
        assert!(names_a_folder("00008110-001122334455667A"));
        assert!(names_a_folder(&"a".repeat(64)));
        for bad in ["", "..", "a/b", "-rf", "a b", "é", &"a".repeat(65)] {
            assert!(!names_a_folder(bad), "{bad}");
        }
    }

    #[test]
    fn a_path_twice_or_below_a_link_is_refused() {
        let mut paths = Paths::default();
        assert!(paths.admit(&entry("", What::Directory)));
        assert!(paths.admit(&entry("a/b", file())));
        assert!(paths.admit(&entry("a", What::Directory)));
        assert!(!paths.admit(&entry("a/b", file())));
        assert!(!paths.admit(&entry("a/b/c", file())));
        assert!(!paths.admit(&entry("a", file())));
        assert!(paths.admit(&entry("l", What::Link { target: b"/etc".to_vec() })));
        assert!(!paths.admit(&entry("l/passwd", file())));
        assert!(!paths.admit(&entry("l", What::Directory)));
    }
}
