//! Where spools lie: where a new one is put, and where one is that a draft names.
//!
//! Invariant: a spool is known by the name of its folder, which is random, wherever the drive of the repository is mounted today.
//! Nothing is looked for anywhere but where somebody put one: no other folder is searched. A copy of a repository has drafts that
//! name the spools of the original: one that was made beside its repository is taken by a folder of that name beside it alone, and
//! one that was made elsewhere by the repository that its `owner` names.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::owner::{Held, Whose};
use super::{Drive, Durable, SEGMENT_LEN, SpoolError, SpoolRecord, failed};

/// Where a spool is made, and where one is looked for.
#[derive(Debug, Clone)]
pub struct SpoolPlace {
    /// The folder to put a new one in.
    pub dir: PathBuf,
    /// Whether a person named that folder.
    pub is_named: bool,
    /// The folder that the repository lies in.
    pub beside: PathBuf,
    /// The name of the repository's own folder.
    pub repository: OsString,
    /// Bytes of files in a segment, at most [`SEGMENT_LEN`]; at least one frame is.
    pub segment_len: u64,
    /// What makes it durable.
    pub durable: Arc<dyn Durable>,
}

impl SpoolPlace {
    /// Beside a repository, whose folder that is.
    #[must_use]
    pub fn beside(repository: &Path) -> Self {
        let folder = repository.parent().unwrap_or(repository).to_path_buf();
        Self {
            dir: folder.clone(),
            is_named: false,
            beside: folder,
            repository: repository.file_name().unwrap_or(OsStr::new("")).to_owned(),
            segment_len: SEGMENT_LEN,
            durable: Arc::new(Drive),
        }
    }

    /// Puts a new one into another folder.
    pub fn put_in(&mut self, dir: PathBuf) {
        (self.dir, self.is_named) = (dir, true);
    }

    /// The name of the repository beside which a new one is put; none if it is put elsewhere.
    pub(super) fn owner(&self) -> Option<String> {
        is_same(&self.dir, &self.beside).then(|| self.name_here().into_owned())
    }

    /// The repository's own folder.
    pub(super) fn location(&self) -> PathBuf {
        self.beside.join(&self.repository)
    }

    /// Takes the spool of a draft that lies in that folder, if it is not another copy's.
    ///
    /// # Errors
    /// It is, or another process is at work on it.
    pub(super) fn claim(
        &self,
        spool: &SpoolRecord,
        folder: &Path,
    ) -> Result<(Held, Whose), SpoolError> {
        let mut held = Held::take(folder)?;
        let found = held.whose(&self.location());
        let (whose, turn) = found.map_err(|source| failed(folder, source))?;
        let lies_in = folder.parent().unwrap_or(Path::new(""));
        let is_beside =
            lies_in == self.beside && spool.beside.as_deref() == Some(&*self.name_here());
        // A person names the place beside a repository that is not there any more: it has another name now, or lies elsewhere.
        let is_left = |name: &String| !lies_in.join(name).exists();
        let was_left =
            self.is_named && lies_in == self.dir && spool.beside.as_ref().is_some_and(is_left);
        let is_ahead = turn > spool.turn;
        if is_ahead || whose == Whose::Anothers && !is_beside && !was_left {
            return Err(SpoolError::Anothers { path: folder.to_path_buf() });
        }
        Ok((held, whose))
    }

    fn name_here(&self) -> std::borrow::Cow<'_, str> {
        self.repository.to_string_lossy()
    }

    /// Whether a person named another folder than the one in which this spool lies.
    #[must_use]
    pub fn is_elsewhere(&self, spool: &SpoolRecord) -> bool {
        let lies_in = spool.folder.parent().unwrap_or(Path::new(""));
        self.is_named && !is_same(&self.dir, lies_in)
    }

    /// The folders in which spools of the repository are made, each once.
    pub fn dirs(&self) -> impl Iterator<Item = &Path> {
        let named = Some(self.dir.as_path()).filter(|dir| !is_same(dir, &self.beside));
        named.into_iter().chain([self.beside.as_path()])
    }

    /// Where a spool may be. Beside the repository comes first: of a repository that was copied with its spool each copy goes on
    /// with its own. What was made beside a repository of another name, or at another place, is another's.
    fn candidates(&self, spool: &SpoolRecord) -> Vec<PathBuf> {
        let name = spool.folder.file_name().unwrap_or(OsStr::new(""));
        let here = self.name_here();
        let is_own = spool.beside.as_ref().is_none_or(|owner| *owner == here);
        let beside = is_own.then(|| self.beside.join(name));
        let elsewhere = spool.beside.is_none().then(|| spool.folder.clone());
        let named = self.is_named.then(|| self.dir.join(name));
        let mut found = Vec::new();
        for folder in [beside, elsewhere, named].into_iter().flatten() {
            if !found.contains(&folder) {
                found.push(folder);
            }
        }
        found
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let whole = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    one == other || whole(one) == whole(other)
}

/// Whether a folder is there, as far as anybody can tell.
fn may_be(folder: &Path) -> bool {
    !matches!(fs::metadata(folder), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

impl SpoolRecord {
    /// Finds the folder, wherever it is now: the first place where all of `files` are counts, and without one the first that is
    /// there at all; if there is none the record stays as it is. What a person named is the place of this repository from then on.
    ///
    /// # Errors
    /// Some of the files are nowhere, or only in a spool that is not surely this repository's.
    pub fn seek<I: Iterator<Item = (u64, u64)>>(
        &mut self,
        place: &SpoolPlace,
        files: impl Fn() -> I,
    ) -> Result<(), SpoolError> {
        let (mut lacking, mut withheld) = (None, None);
        for folder in place.candidates(self).into_iter().filter(|folder| may_be(folder)) {
            let mut there = Self { folder, ..self.clone() };
            let claimed = match place.claim(self, &there.folder) {
                Ok(claimed) => claimed,
                Err(error) => {
                    withheld.get_or_insert(error);
                    continue;
                }
            };
            match there.holds(files()) {
                Ok(()) => {
                    there.settle(place, claimed)?;
                    *self = there;
                    return Ok(());
                }
                Err(error) if error.is_absent() => {}
                Err(error) => {
                    lacking.get_or_insert((there.folder, error));
                }
            }
        }
        // There is nothing yet that could be missing.
        let is_empty = self.end == 0 && files().all(|(_, len)| len == 0);
        match (lacking, withheld) {
            (None, _) if is_empty => Ok(()),
            (_, Some(error)) => Err(error),
            // The place that it was last in may be a drive that is away.
            (Some((folder, _)), None)
                if self.beside.is_none() && !self.folder.is_dir() && folder != self.folder =>
            {
                Err(self.absent())
            }
            (Some((folder, error)), None) => {
                self.folder = folder;
                Err(error)
            }
            (None, None) => Err(self.absent()),
        }
    }

    /// Lets it belong to the place that a person named, if it was found there.
    fn settle(
        &mut self,
        place: &SpoolPlace,
        (mut held, whose): (Held, Whose),
    ) -> Result<(), SpoolError> {
        if !place.is_named || self.folder.parent() != Some(&place.dir) {
            return Ok(());
        }
        if whose == Whose::Anothers {
            let named = (&*place.location(), self.turn);
            held.name(&self.folder, named, place.durable.as_ref())?;
        }
        self.beside = place.owner();
        Ok(())
    }

    fn absent(&self) -> SpoolError {
        let source = io::Error::new(io::ErrorKind::NotFound, "there is no such folder");
        SpoolError::Io { path: self.folder.clone(), source }
    }

    /// The same, where its folder is now; none if it is not there, or not surely this repository's.
    #[must_use]
    pub fn located(&self, place: &SpoolPlace) -> Option<Self> {
        let is_ours = |folder: &PathBuf| folder.is_dir() && place.claim(self, folder).is_ok();
        let mut there = place.candidates(self).into_iter().filter(is_ours);
        there.next().map(|folder| Self { folder, ..self.clone() })
    }
}
