//! Recognising a backup folder: whose it is, of when, and whether it is whole.
//!
//! Invariant: a folder is refused only for what would make its snapshot worthless or misleading; each reason says what is wrong
//! with which file. Reads the small lists, not the payload.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::apple::{
    BackupDate, BackupKind, DateFacts, FolderName, Info, ManifestPlist, PlistError, RootFile,
    Status, Udid, backup_date, look_at,
};

/// Longest property list that is read, in bytes; the longest known has 10 MB.
pub const PLIST_LEN_MAX: u64 = 64 << 20;

/// A folder that holds a backup.
#[derive(Debug)]
pub struct BackupFolder {
    /// Where.
    pub path: PathBuf,
    /// Whose.
    pub udid: Udid,
    /// Of when.
    pub date: BackupDate,
    /// Its name, if it is of Apple's forms.
    pub name: Option<String>,
    /// Info.plist, if it could be read.
    pub info: Option<Info>,
    /// Manifest.plist, if it could be read.
    pub manifest: Option<ManifestPlist>,
    /// Status.plist, if it could be read.
    pub status: Option<Status>,
    /// Of iOS 9 or older: no Manifest.db.
    pub is_mbdb: bool,
    /// Why it is not whole; empty for a finished backup.
    pub lacks: Vec<(String, String)>,
}

/// Why a folder is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It is not there.
    #[error("there is no folder {}", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// Nothing in it is of a backup.
    #[error("{} is not a backup folder: it has neither Manifest.db nor Info.plist, Manifest.plist or Status.plist", path.display())]
    NotABackup {
        /// Where.
        path: PathBuf,
    },
    /// The system forbids it.
    #[error("{} may not be read by this program", path.display())]
    Forbidden {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not finished or not whole.
    #[error("the backup in {} is not complete: {}", path.display(), lacks.iter().map(|(file, why)| format!("{file} {why}")).collect::<Vec<_>>().join("; "))]
    Incomplete {
        /// Where.
        path: PathBuf,
        /// Files and what is wrong with them.
        lacks: Vec<(String, String)>,
    },
    /// Nothing tells which phone it is of.
    #[error("nothing in {} tells which phone it is of: neither its name, nor Info.plist, nor Manifest.plist", path.display())]
    NoUdid {
        /// Where.
        path: PathBuf,
    },
    /// It cannot be read.
    #[error("could not read {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl FolderError {
    fn io(path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path },
            io::ErrorKind::PermissionDenied => Self::Forbidden { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// Finds the backup folders that a path means: itself, or those in it and in its folders. A folder is looked into two levels
/// deep and no deeper: a drive full of files must not be read through, and a link must not lead in circles.
///
/// # Errors
/// It cannot be read, or there is nothing of a backup in it.
pub fn find_backups(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let kind = look_at(path).map_err(|e| FolderError::io(path, e))?;
    if is_backup(&kind) {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut found = Vec::new();
    for child in folders_in(path).map_err(|e| FolderError::io(path, e))? {
        if means_backup(&child) {
            found.push(child);
        } else if let Ok(below) = folders_in(&child) {
            found.extend(below.into_iter().filter(|folder| means_backup(folder)));
        }
    }
    if found.is_empty() {
        return Err(FolderError::NotABackup { path: path.to_path_buf() });
    }
    found.sort();
    Ok(found)
}

fn folders_in(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for child in fs::read_dir(path)? {
        let child = child?.path();
        if fs::metadata(&child).is_ok_and(|m| m.is_dir()) {
            folders.push(child);
        }
    }
    Ok(folders)
}

/// Named like a backup, or holding one.
fn means_backup(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str());
    name.and_then(FolderName::parse).is_some() || look_at(folder).is_ok_and(|kind| is_backup(&kind))
}

/// Any of Apple's four files makes it one; whether it is whole is another question.
fn is_backup(kind: &BackupKind) -> bool {
    !matches!(kind, BackupKind::NotABackup { missing } if missing.len() == 4)
}

/// Looks at one folder.
///
/// # Errors
/// It is not one that can be taken. With `allow_incomplete` an unfinished one can.
pub fn look(
    path: &Path,
    allow_incomplete: bool,
    zone: &TimeZone,
) -> Result<BackupFolder, FolderError> {
    let kind = look_at(path).map_err(|e| FolderError::io(path, e))?;
    if !is_backup(&kind) {
        return Err(FolderError::NotABackup { path: path.to_path_buf() });
    }
    let is_mbdb = matches!(kind, BackupKind::Mbdb { .. });
    let mut lacks = Vec::new();
    let info = read(path, RootFile::InfoPlist, Info::parse, &mut lacks)?;
    let manifest = read(path, RootFile::ManifestPlist, ManifestPlist::parse, &mut lacks)?;
    let status = read(path, RootFile::StatusPlist, Status::parse, &mut lacks)?;
    if let BackupKind::NotABackup { missing } = &kind
        && missing.contains(&RootFile::ManifestDb)
    {
        lacks.push(("Manifest.db".to_owned(), "is missing".to_owned()));
    }
    if let Some(status) = status.as_ref().filter(|s| !s.is_finished()) {
        let state = status.snapshot_state.as_deref().unwrap_or("nothing");
        let why = format!("says \"{}\", not \"finished\"", state.escape_default());
        lacks.push(("Status.plist".to_owned(), why));
    }
    let name = path.file_name().and_then(|n| n.to_str()).map(str::to_owned);
    let folder_name = name.as_deref().and_then(FolderName::parse);
    let udid = folder_name
        .as_ref()
        .map(|n| n.udid.clone())
        .or_else(|| info.as_ref()?.target_identifier.as_deref().and_then(Udid::parse))
        .or_else(|| manifest.as_ref()?.unique_device_id.as_deref().and_then(Udid::parse))
        .ok_or_else(|| FolderError::NoUdid { path: path.to_path_buf() })?;
    if !lacks.is_empty() && !allow_incomplete {
        return Err(FolderError::Incomplete { path: path.to_path_buf(), lacks });
    }
    let facts = DateFacts {
        status: status.as_ref(),
        manifest: manifest.as_ref(),
        info: info.as_ref(),
        folder_name: folder_name.as_ref(),
        modified: modified(path),
    };
    let date = backup_date(facts, zone).unwrap_or(BackupDate {
        at: Timestamp::UNIX_EPOCH,
        source: crate::apple::DateSource::FileTime,
    });
    let path = path.to_path_buf();
    Ok(BackupFolder { path, udid, date, name, info, manifest, status, is_mbdb, lacks })
}

/// When Manifest.db, or else the folder, was last written.
fn modified(path: &Path) -> Option<Timestamp> {
    let of = |path: &Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let time = of(&path.join(RootFile::ManifestDb.name())).or_else(|| of(path))?;
    Timestamp::try_from(time).ok()
}

fn read<T>(
    dir: &Path,
    file: RootFile,
    parse: impl Fn(&[u8]) -> Result<T, PlistError>,
    lacks: &mut Vec<(String, String)>,
) -> Result<Option<T>, FolderError> {
    let path = dir.join(file.name());
    // Looked at before it is opened: opening a pipe would wait for ever.
    let opened = match fs::metadata(&path)
        .and_then(|m| m.is_file().then(|| fs::File::open(&path)).transpose())
    {
        Ok(Some(opened)) => opened,
        Ok(None) => {
            lacks.push((file.name().to_owned(), "is not a file".to_owned()));
            return Ok(None);
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            lacks.push((file.name().to_owned(), "is missing".to_owned()));
            return Ok(None);
        }
        Err(error) => return Err(FolderError::io(&path, error)),
    };
    let mut bytes = Vec::new();
    opened
        .take(PLIST_LEN_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| FolderError::io(&path, e))?;
    match parse(&bytes) {
        Ok(parsed) => Ok(Some(parsed)),
        Err(error) => {
            lacks.push((file.name().to_owned(), format!("cannot be read: {error}")));
            Ok(None)
        }
    }
}
