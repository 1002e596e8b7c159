//! A repository in a folder of a drive: small std code, because durability on odd drives is the point.
//!
//! Invariant: bytes reach their name only by a rename in the same folder, after their length was checked
//! and they were synced (and, if asked or if the drive knows no sync, read back past the cache and
//! compared). A folder is synced at the next barrier. "The drive is gone" is never taken for "the file
//! is missing". Needs no hard links, modes, attributes, links or case sensitivity: exFAT must do. Does
//! not decide whether a drive is removable and does not judge what it finds.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use super::lock::{Lock, LockError};
use super::name::LOCK_NAME;
use super::system::{self, Synced};
use super::walk::{TEMPORARY_PREFIX, Walk};
use super::{Backend, BackendError, Listing, Name};

/// What a new drive holds before anybody puts something on it, besides hidden files.
const NEW_DRIVE_NAMES: [&str; 3] = ["lost+found", "System Volume Information", "$RECYCLE.BIN"];

/// Bytes compared at a time when a file is read back.
const COMPARED_LEN: usize = 256 << 10;

/// How far a written file is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durability {
    /// Read every file back past the cache and compare, before it gets its name. Twice the traffic; meant
    /// for drives that are carried around. A drive that knows no full sync is read back in any case.
    pub read_back: bool,
}

/// A folder that holds a repository.
#[derive(Debug)]
pub struct LocalBackend {
    root: PathBuf,
    /// The drive seen at opening: another one mounted at this path, or the bare mount point, is not ours.
    device: Option<u64>,
    durability: Durability,
    unsynced: Mutex<Unsynced>,
    /// Held while something is written, and by whoever removes an empty folder: that may be the one it is written to.
    folders: RwLock<()>,
}

/// Folders whose entries changed since the last barrier.
#[derive(Debug, Default)]
struct Unsynced {
    folders: BTreeSet<PathBuf>,
    /// The root as it was when the first of them changed. A drive pulled and plugged in again has lost
    /// what was not synced, though its paths answer: this handle does not.
    anchor: Option<File>,
}

impl LocalBackend {
    /// Opens a folder that exists; what it holds is not looked at.
    pub fn open(root: &Path, durability: Durability) -> Result<Self, BackendError> {
        let name = || root.display().to_string();
        let root = match fs::canonicalize(root) {
            Ok(root) => root,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(BackendError::NotFound { name: name() });
            }
            Err(source) => {
                return Err(BackendError::Io { doing: "open", name: name(), source });
            }
        };
        if !root.is_dir() {
            return Err(BackendError::NotAFolder { path: root });
        }
        let device = match system::device(&root) {
            Ok(device) => device,
            Err(source) => {
                return Err(BackendError::Io { doing: "open", name: name(), source });
            }
        };
        Ok(Self {
            root,
            device,
            durability,
            unsynced: Mutex::default(),
            folders: RwLock::default(),
        })
    }

    /// Makes the folder, with those above it, if it is missing, and opens it. Whether a folder that was
    /// there may be used is the caller's to say: see [`Self::is_empty`].
    pub fn create(root: &Path, durability: Durability) -> Result<Self, BackendError> {
        let above = |path: &&Path| fs::symlink_metadata(path).is_err();
        let made: Vec<&Path> = root.ancestors().take_while(above).collect();
        if let Err(source) = fs::create_dir_all(root) {
            let location = root.display().to_string();
            return Err(match source.kind() {
                ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                    BackendError::NotAFolder { path: root.to_owned() }
                }
                ErrorKind::StorageFull => BackendError::NoSpace { location },
                ErrorKind::ReadOnlyFilesystem => BackendError::ReadOnly { location },
                _ => BackendError::Io { doing: "create", name: location, source },
            });
        }
        let backend = Self::open(root, durability)?;
        for parent in made.iter().filter_map(|path| path.parent()) {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            // A relative path means another folder once somebody changes the working directory.
            let fail = |error| backend.fail("create", "the folder", error);
            let parent = fs::canonicalize(parent).map_err(fail)?;
            backend.unsynced().folders.insert(parent);
        }
        Ok(backend)
    }

    /// Whether the folder holds nothing of anybody's: what systems put on every drive does not count.
    pub fn is_empty(&self) -> Result<bool, BackendError> {
        let fail = |error| self.fail("list", "the folder", error);
        for entry in fs::read_dir(&self.root).map_err(fail)? {
            let name = entry.map_err(fail)?.file_name();
            let name = name.to_string_lossy();
            let is_system = name.starts_with('.') || NEW_DRIVE_NAMES.contains(&name.as_ref());
            if !is_system && name != LOCK_NAME {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn path(&self, name: &Name) -> PathBuf {
        let mut path = self.root.clone();
        path.extend(name.as_str().split('/'));
        path
    }

    fn unsynced(&self) -> MutexGuard<'_, Unsynced> {
        self.unsynced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After an entry of a folder changed and before that is reported: a barrier that runs in between
    /// owes nothing yet. The folders above are synced too, for another thread may have made this one a
    /// moment ago.
    fn mark_unsynced(&self, folder: &Path) {
        let mut unsynced = self.unsynced();
        if unsynced.anchor.is_none() {
            unsynced.anchor = File::open(&self.root).ok();
        }
        let ours = folder.ancestors().take_while(|above| above.starts_with(&self.root));
        unsynced.folders.extend(ours.map(Path::to_owned));
    }

    /// Whether the drive of the opening still answers at the root.
    fn is_connected(&self) -> bool {
        let same = system::device(&self.root).is_ok_and(|device| device == self.device);
        same && fs::read_dir(&self.root).is_ok_and(|mut dir| dir.next().is_none_or(|e| e.is_ok()))
    }

    fn disconnected(&self) -> BackendError {
        BackendError::Disconnected { location: self.location() }
    }

    /// Nothing may be written to a bare mount point: it would fill the host's own drive.
    fn check_connected(&self) -> Result<(), BackendError> {
        match system::device(&self.root) {
            Ok(device) if device == self.device => Ok(()),
            _ => Err(self.disconnected()),
        }
    }

    /// What an error of the system means for a file. A missing file is believed only of a drive that is
    /// there.
    fn fail(&self, doing: &'static str, name: &str, source: io::Error) -> BackendError {
        let location = || self.location();
        match source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                BackendError::NoSpace { location: location() }
            }
            ErrorKind::ReadOnlyFilesystem => BackendError::ReadOnly { location: location() },
            _ if system::is_gone(&source) || !self.is_connected() => self.disconnected(),
            ErrorKind::NotFound => BackendError::NotFound { name: name.to_owned() },
            ErrorKind::NotADirectory => BackendError::NotAFolder { path: self.root.join(name) },
            ErrorKind::IsADirectory => BackendError::NotAFile { name: name.to_owned() },
            _ if system::is_link_refused(&source) => {
                BackendError::NotAFile { name: name.to_owned() }
            }
            _ => BackendError::Io { doing, name: name.to_owned(), source },
        }
    }

    /// Makes the folders a name lies in. A file in such a place (seen on damaged drives) and a link (which
    /// could lead anywhere) are refused.
    fn make_folders(&self, name: &Name) -> Result<PathBuf, BackendError> {
        let mut folder = self.root.clone();
        let Some((parents, _)) = name.as_str().rsplit_once('/') else {
            return Ok(folder);
        };
        for segment in parents.split('/') {
            folder.push(segment);
            if fs::symlink_metadata(&folder).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
                match fs::create_dir(&folder) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                        return Err(self.fail("make the folder of", name.as_str(), error));
                    }
                    Ok(()) | Err(_) => {}
                }
            }
            match fs::symlink_metadata(&folder) {
                Ok(metadata) if metadata.is_dir() => {}
                Ok(_) => return Err(BackendError::NotAFolder { path: folder }),
                Err(error) => return Err(self.fail("look at the folder of", name.as_str(), error)),
            }
        }
        Ok(folder)
    }

    /// Removes a folder below the repository's own that holds nothing any more. Nobody misses it, and nobody minds if it stays.
    fn remove_if_empty(&self, folder: &Path) {
        let is_own = folder == self.root || folder.parent() == Some(&self.root);
        let is_empty = || fs::read_dir(folder).is_ok_and(|mut children| children.next().is_none());
        if !is_own && is_empty() {
            let _nobody_writes = self.folders.write().unwrap_or_else(PoisonError::into_inner);
            let _not_empty = fs::remove_dir(folder);
        }
    }

    /// Whether these very bytes stand there already; if so they are synced, for whoever wrote them may
    /// have died before doing that. A file that cannot be read counts as different.
    fn is_there(&self, path: &Path, name: &Name, bytes: &[u8]) -> Result<bool, BackendError> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(BackendError::NotAFile { name: name.to_string() });
            }
            Ok(metadata) if metadata.is_file() && metadata.len() == bytes.len() as u64 => {}
            Ok(_) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(self.fail("look at", name.as_str(), error)),
        }
        let same = || -> io::Result<bool> {
            let mut file = OpenOptions::new().read(true).write(true).open(path)?;
            let synced = system::sync_file(&file)?;
            if self.durability.read_back || synced == Synced::Partly {
                system::read_past_cache(&file);
            }
            is_same(&mut file, bytes)
        };
        Ok(same().unwrap_or(false))
    }

    /// Writes under a temporary name, up to the point where only the rename is missing.
    fn write_temporary(
        &self,
        folder: &Path,
        name: &Name,
        bytes: &[u8],
    ) -> Result<Temporary, BackendError> {
        let fail = |doing| move |error| self.fail(doing, name.as_str(), error);
        let (temporary, mut file) = Temporary::create(folder).map_err(fail("create"))?;
        if self.durability.read_back {
            // macOS: what is cached once is also read from the cache, so it must not get there.
            system::read_past_cache(&file);
        }
        file.write_all(bytes).map_err(fail("write"))?;
        let written_len = file.metadata().map_err(fail("write"))?.len();
        let synced = system::sync_file(&file).map_err(fail("sync"))?;
        drop(file);
        let mut is_good = written_len == bytes.len() as u64;
        if is_good && (self.durability.read_back || synced == Synced::Partly) {
            let mut file = system::open_to_read(&temporary.path).map_err(fail("read back"))?;
            system::read_past_cache(&file);
            is_good = is_same(&mut file, bytes).map_err(fail("read back"))?;
        }
        if is_good {
            Ok(temporary)
        } else {
            Err(BackendError::WrittenDiffers { name: name.to_string() })
        }
    }

    /// Opens a file of ours and tells its length.
    fn open_file(&self, name: &Name) -> Result<(File, u64), BackendError> {
        let fail = |error| self.fail("open", name.as_str(), error);
        let file = system::open_to_read(&self.path(name)).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(BackendError::NotAFile { name: name.to_string() });
        }
        Ok((file, metadata.len()))
    }

    /// Reads exactly `len` bytes, which the file was seen to have.
    fn read_exactly(&self, name: &Name, file: &File, len: usize) -> Result<Vec<u8>, BackendError> {
        let mut bytes = Vec::with_capacity(len);
        file.take(len as u64)
            .read_to_end(&mut bytes)
            .map_err(|error| self.fail("read", name.as_str(), error))?;
        if bytes.len() < len {
            return Err(BackendError::ShortRead {
                name: name.to_string(),
                wanted_len: len as u64,
                got_len: bytes.len() as u64,
            });
        }
        Ok(bytes)
    }

    fn walk(&self, dir: &str) -> Result<Walk, BackendError> {
        if !dir.is_empty() && Name::parse(dir).is_err() {
            return Err(BackendError::NotAFolder { path: self.root.join(dir) });
        }
        let walk = Walk::below(&self.root, dir);
        // An unplugged drive must not pass for an empty or a damaged repository.
        if self.is_connected() { walk.bounded(&self.location()) } else { Err(self.disconnected()) }
    }
}

impl Backend for LocalBackend {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<(), BackendError> {
        self.check_connected()?;
        let _stays = self.folders.read().unwrap_or_else(PoisonError::into_inner);
        let folder = self.make_folders(name)?;
        let path = self.path(name);
        if !self.is_there(&path, name, bytes)? {
            let temporary = self.write_temporary(&folder, name, bytes)?;
            temporary.rename(&path).map_err(|error| self.fail("rename", name.as_str(), error))?;
        }
        self.mark_unsynced(&folder);
        Ok(())
    }

    fn get(&self, name: &Name, len_max: u64) -> Result<Vec<u8>, BackendError> {
        let (file, got_len) = self.open_file(name)?;
        let too_long = || BackendError::TooLong { name: name.to_string(), got_len, len_max };
        if got_len > len_max {
            return Err(too_long());
        }
        let len = usize::try_from(got_len).map_err(|_| too_long())?;
        self.read_exactly(name, &file, len)
    }

    fn get_range(&self, name: &Name, offset: u64, len: u32) -> Result<Vec<u8>, BackendError> {
        let (mut file, file_len) = self.open_file(name)?;
        let got_len = file_len.saturating_sub(offset);
        let wanted_len = u64::from(len);
        if got_len < wanted_len {
            return Err(BackendError::ShortRead { name: name.to_string(), wanted_len, got_len });
        }
        file.seek(SeekFrom::Start(offset))
            .map_err(|error| self.fail("read", name.as_str(), error))?;
        self.read_exactly(name, &file, len as usize)
    }

    fn list(&self, dir: &str) -> Result<Listing, BackendError> {
        self.walk(dir).map(Walk::into_listing)
    }

    fn delete(&self, name: &Name) -> Result<(), BackendError> {
        self.check_connected()?;
        let path = self.path(name);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {
                return Err(BackendError::NotAFile { name: name.to_string() });
            }
            Ok(_) | Err(_) => {}
        }
        match fs::remove_file(&path).map_err(|error| self.fail("delete", name.as_str(), error)) {
            Ok(()) | Err(BackendError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        // Also if it was gone: whoever removed it may not have synced.
        if let Some(folder) = path.parent() {
            self.remove_if_empty(folder);
            self.mark_unsynced(folder);
        }
        Ok(())
    }

    fn barrier(&self) -> Result<(), BackendError> {
        self.check_connected()?;
        // Held throughout: a second barrier must not return before the first has synced.
        let mut unsynced = self.unsynced();
        if let Some(anchor) = &unsynced.anchor {
            system::sync_file(anchor).map_err(|error| self.fail("sync", "the folder", error))?;
        }
        for folder in &unsynced.folders {
            match system::sync_folder(folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(self.fail("sync", &folder.display().to_string(), error));
                }
                // A folder that somebody removed holds nothing that could be lost.
                Ok(()) | Err(_) => {}
            }
        }
        self.check_connected()?;
        *unsynced = Unsynced::default();
        Ok(())
    }

    fn free_len(&self) -> Result<Option<u64>, BackendError> {
        self.check_connected()?;
        system::free_len(&self.root).map_err(|error| self.fail("measure", "free space", error))
    }

    fn is_read_only(&self) -> Result<bool, BackendError> {
        self.check_connected()?;
        system::is_read_only(&self.root).map_err(|error| self.fail("look at", "the drive", error))
    }

    fn sweep_temporaries(&self) -> Result<u64, BackendError> {
        self.check_connected()?;
        let mut count = 0;
        for path in self.walk("")?.temporaries {
            let name = path.display().to_string();
            fs::remove_file(&path).map_err(|error| self.fail("delete", &name, error))?;
            if let Some(folder) = path.parent() {
                self.mark_unsynced(folder);
            }
            count += 1;
        }
        Ok(count)
    }

    fn lock_exclusive(&self) -> Result<Lock, LockError> {
        Lock::take(&self.root.join(LOCK_NAME), &self.location())
    }
}

/// A file without its name yet; gone when dropped.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    fn create(folder: &Path) -> io::Result<(Self, File)> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        let path = folder.join(format!("{TEMPORARY_PREFIX}{:016x}", u64::from_le_bytes(random)));
        let file = OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok((Self { path }, file))
    }

    /// Gives the file its name, in place of what may stand there.
    fn rename(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        // Nothing is left for Drop to remove.
        self.path.clear();
        Ok(())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // If this fails too, the next sweep finds it.
        let _gone = fs::remove_file(&self.path);
    }
}

/// Whether a file holds exactly these bytes.
fn is_same(file: &mut File, bytes: &[u8]) -> io::Result<bool> {
    let mut buffer = vec![0; COMPARED_LEN];
    for wanted in bytes.chunks(COMPARED_LEN) {
        let Some(got) = buffer.get_mut(..wanted.len()) else {
            return Ok(false);
        };
        match file.read_exact(got) {
            Ok(()) if got == wanted => {}
            Ok(()) => return Ok(false),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(file.read(buffer.get_mut(..1).unwrap_or_default())? == 0)
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;
