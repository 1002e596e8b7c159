//! What a phone encrypted is opened, once its list of files with their keys is here.
//!
//! Invariant: each file of the draft is afterwards in the repository, opened if it was proved to come back to the byte, else as it
//! came; none waits in the spool any more. A segment of the spool goes only after a checkpoint that does without it. A file that
//! cannot be read back is left out and named, never half kept.

use russet_store::session::Session;

use super::draft::{Found, FoundFile};
use super::finish::{Index, each_row};
use super::host::{Host, HostError, Restored};
use super::spool::SpoolError;
use crate::apple::{
    BackupKeys, FileKey, KeybagError, LockedKeys, MbFile, Passwords, RootFile, UnlockError,
    WrongPassword,
};
use crate::capture::catalogue::file_id_of;
use crate::capture::damage;
use crate::capture::file_keys::FileKeys;
use crate::capture::kept::Kept;
use crate::capture::opener::KeptCounts;
use crate::observe::{Observer, Phase};
use crate::snapshot::record::Problem;

/// At most so much is opened between two checkpoints.
const CHECKPOINT_LEN: u64 = 1 << 30;

/// What passwords made of a backup.
pub enum Unlocked {
    /// Its files can be opened.
    Open(Box<BackupKeys>),
    /// They stay as they are.
    Kept(Kept),
}

impl Unlocked {
    /// Whether its files can be opened.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// What is damaged of the backup's keys.
    pub(super) fn damage(&self, manifest_plist: &[u8]) -> Option<Problem> {
        match self {
            Self::Open(keys) => damage::of_classes(keys),
            // Nobody had to look at it so far.
            Self::Kept(Kept::NoPassword) => match LockedKeys::parse(manifest_plist) {
                Ok(_) | Err(KeybagError::Old) => None,
                Err(error) => Some(damage::of_keybag(&error)),
            },
            Self::Kept(why) => why.is_damage().then(|| damage::of_keybag(why)),
        }
    }

    pub(super) fn keys(self) -> Option<Box<BackupKeys>> {
        match self {
            Self::Open(keys) => Some(keys),
            Self::Kept(_) => None,
        }
    }
}

/// Tries passwords on the keybag of a backup. Takes seconds for each password and each set of salts.
///
/// # Errors
/// No password opens it.
pub fn unlock(manifest_plist: &[u8], passwords: &mut Passwords) -> Result<Unlocked, WrongPassword> {
    let kept = |why| Ok(Unlocked::Kept(why));
    let locked = match LockedKeys::parse(manifest_plist) {
        Ok(locked) => locked,
        Err(KeybagError::Old) => return kept(Kept::Old),
        Err(error) => return kept(Kept::Keybag(error)),
    };
    match locked.unlock(passwords) {
        Ok(keys) => Ok(Unlocked::Open(Box::new(keys))),
        Err(UnlockError::ManifestKey) => kept(Kept::ManifestKey),
        Err(UnlockError::Password(wrong)) => Err(wrong),
    }
}

/// What came of opening.
#[derive(Debug, Default)]
pub(super) struct OpenedFiles {
    /// Files that stay as they are, in words; none did if it is empty.
    pub(super) kept: KeptCounts,
    /// Files that waited and cannot be read back.
    pub(super) lost: Vec<Problem>,
    /// What is damaged of the phone's list.
    pub(super) damage: Vec<Problem>,
}

/// A file that is to be opened, or only to be taken out of the spool.
struct Wanted {
    path: Box<[u8]>,
    len: u64,
    /// Where it waits; the others stand in the base.
    at: Option<u64>,
}

struct Work<'a, 'k, 'h, 'f, 's, 'r> {
    host: &'a mut Host<'h, 'f, 's, 'r>,
    keys: FileKeys<'k>,
    done: OpenedFiles,
    observer: &'a dyn Observer,
    stop: &'a dyn Fn() -> bool,
    /// Segment of the spool that is being emptied.
    segment: Option<u64>,
    /// Bytes since the last checkpoint.
    unsaved_len: u64,
}

/// Opens all that has a key, and empties the spool.
///
/// # Errors
/// Nothing more can be stored, or `stop` said so: what is done is kept by the next checkpoint.
pub(super) fn open_files(
    host: &mut Host<'_, '_, '_, '_>,
    session: &Session<'_>,
    keys: Option<&BackupKeys>,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<OpenedFiles, HostError> {
    if keys.is_none() && host.spool().is_none() {
        return Ok(OpenedFiles::default());
    }
    let (keys, done) = (FileKeys::new(keys), OpenedFiles::default());
    let mut work = Work { host, keys, done, observer, stop, segment: None, unsaved_len: 0 };
    work.list(session)?;
    let wanted = work.wanted()?;
    let first = wanted.first().and_then(|file| file.at).zip(work.host.spool());
    work.segment = first.map(|(at, spool)| at / spool.segment_len);
    let (len, count) = (wanted.iter().map(|file| file.len).sum(), wanted.len() as u64);
    observer.begin(Phase::Opening, len, count);
    for file in &wanted {
        work.open(file)?;
    }
    work.finish()
}

impl Work<'_, '_, '_, '_, '_, '_> {
    /// Opens Manifest.db, and takes the keys in it.
    fn list(&mut self, session: &Session<'_>) -> Result<(), HostError> {
        let Some(key) = self.keys.manifest().map(|key| FileKey::from_bytes(key.as_bytes())) else {
            return Ok(());
        };
        let path = RootFile::ManifestDb.name().as_bytes();
        let is_opened = |found| matches!(found, Some(Found::File(FoundFile { packed, .. })) if packed.is_opened());
        if !is_opened(self.host.draft()?.tree().get(path)) {
            match self.host.restore(path, Some(&key))? {
                Restored::Opened => {}
                Restored::Kept(why) => why.into_iter().for_each(|why| {
                    self.done.kept.add(why);
                    let why = format!("does not open with its key: {why}");
                    let path = RootFile::ManifestDb.name().to_owned();
                    self.done.damage.push(Problem { path, why });
                }),
                Restored::Lost(error) => self.lost(path, error)?,
            }
        }
        self.host.drain()?;
        self.host.settle()?;
        let keys = &mut self.keys;
        if let Err(why) = each_row(self.host.draft()?, session, Index::PassOver, &mut |row| {
            let file = MbFile::parse(&row.file).ok();
            keys.add(row, file.as_ref());
        }) {
            self.observer.remark(&format!(
                "the phone's list of files cannot be read, so that not all of them can be opened: {why}"
            ));
        }
        Ok(())
    }

    /// What waits, in the order in which it lies, and then what stands in the base as it came.
    fn wanted(&mut self) -> Result<Vec<Wanted>, HostError> {
        let mut wanted = Vec::new();
        for (path, file) in self.host.draft()?.tree().files() {
            let at = file.packed.spooled();
            let has_key = file_id_of(path).is_some_and(|id| self.keys.of(&id).is_some());
            if file.packed.is_opened() {
                continue;
            }
            match file_id_of(path).filter(|_| self.keys.are_open() && !has_key) {
                // Nothing is there to be opened.
                Some(_) if file.packed.is_empty() => {}
                Some(id) if self.keys.knows(&id) => self.done.kept.no_key += 1,
                Some(_) => self.done.kept.no_row += 1,
                None => {}
            }
            if at.is_some() || has_key {
                wanted.push(Wanted { path: path.into(), len: file.packed.len(), at });
            }
        }
        wanted.sort_by_key(|file| (file.at.is_none(), file.at));
        Ok(wanted)
    }

    fn open(&mut self, file: &Wanted) -> Result<(), HostError> {
        if (self.stop)() {
            return Err(HostError::Stopped);
        }
        let segment = file.at.zip(self.host.spool()).map(|(at, spool)| at / spool.segment_len);
        if segment != self.segment || self.unsaved_len >= CHECKPOINT_LEN {
            // All that lies before this file is opened.
            self.host.release(file.at.unwrap_or(u64::MAX))?;
            (self.segment, self.unsaved_len) = (segment, 0);
        }
        let key = file_id_of(&file.path).and_then(|id| self.keys.of(&id));
        match self.host.restore(&file.path, key)? {
            Restored::Opened | Restored::Kept(None) => {}
            Restored::Kept(Some(why)) => self.done.kept.add(why),
            Restored::Lost(error) if file.at.is_some() => self.lost(&file.path, error)?,
            Restored::Lost(_) => self.done.kept.unread += 1,
        }
        self.unsaved_len += file.len;
        self.observer.advance(file.len, 1);
        Ok(())
    }

    /// Leaves out a file whose bytes are not what was put into the spool.
    ///
    /// # Errors
    /// The system could not read it: it may be whole, and is read again by the next run. Or it is the phone's list: without that
    /// nothing of what came is a backup.
    fn lost(&mut self, path: &[u8], error: std::io::Error) -> Result<(), HostError> {
        if let (Some(_), Some(spool)) = (error.raw_os_error(), self.host.spool()) {
            // A segment that is missing where its folder is does not come back with a drive.
            if error.kind() != std::io::ErrorKind::NotFound || !spool.folder.is_dir() {
                return Err(SpoolError::Io { path: spool.folder.clone(), source: error }.into());
            }
        }
        if path == RootFile::ManifestDb.name().as_bytes() {
            return Err(HostError::ListLost(error));
        }
        let path_shown = String::from_utf8_lossy(path).into_owned();
        let why = format!("waited in the spool, and cannot be read back: {error}");
        self.observer.problem(&path_shown, &why);
        self.done.lost.push(Problem { path: path_shown, why });
        self.host.take_away(path)
    }

    fn finish(mut self) -> Result<OpenedFiles, HostError> {
        self.host.release(u64::MAX)?;
        self.done.damage.extend(damage::of_rows(self.done.kept.no_key));
        Ok(self.done)
    }
}
