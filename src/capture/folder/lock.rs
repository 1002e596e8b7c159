//! Whether a folder is encrypted by the phone, and what opens it.
//!
//! Invariant: nothing is written and no file's content is looked at; a folder that cannot be opened is one that is kept as it is,
//! with the reason. Only a password that is wrong is an error: whoever gave it wants to know before the work begins.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::super::kept::Kept;
use super::look::{BackupFolder, PLIST_LEN_MAX};
use crate::apple::{
    BackupKeys, KeybagError, KeybagId, LockedKeys, Passwords, PhonePassword, RootFile, UnlockError,
    WrongPassword,
};

/// What the phone's encryption of a folder comes to.
pub enum Lock {
    /// It is not encrypted.
    None,
    /// It is, and stays so.
    Kept(Kept),
    /// Its files can be opened.
    Open(Box<Unlocked>),
}

/// What opens a folder.
pub struct Unlocked {
    /// Its keys.
    pub keys: BackupKeys,
    /// Its keybag.
    pub keybag: KeybagId,
    /// The password that opened it.
    pub password: PhonePassword,
}

/// Tries passwords on a folder. Takes seconds for each password and each set of salts.
///
/// # Errors
/// No password opens the folder's keybag.
pub fn unlock(folder: &BackupFolder, passwords: &mut Passwords) -> Result<Lock, WrongPassword> {
    if !is_encrypted(folder) {
        return Ok(Lock::None);
    }
    if folder.is_mbdb {
        return Ok(Lock::Kept(Kept::Old));
    }
    let locked = match read_start(&folder.path, RootFile::ManifestPlist, PLIST_LEN_MAX + 1) {
        Ok(bytes) => LockedKeys::parse(&bytes),
        Err(error) => return Ok(Lock::Kept(Kept::Io(error))),
    };
    let locked = match locked {
        Ok(locked) => locked,
        Err(KeybagError::Old) => return Ok(Lock::Kept(Kept::Old)),
        Err(error) => return Ok(Lock::Kept(Kept::Keybag(error))),
    };
    // In the clear, as iOS 10.0 and 10.1 left it.
    let is_clear = match read_start(&folder.path, RootFile::ManifestDb, 16) {
        Ok(start) => start == b"SQLite format 3\0",
        Err(error) => return Ok(Lock::Kept(Kept::Io(error))),
    };
    if passwords.is_empty() {
        return Ok(Lock::Kept(if is_clear { Kept::Old } else { Kept::NoPassword }));
    }
    let keys = match locked.unlock(passwords) {
        Ok(keys) => keys,
        // What the repository remembers was worth a try; nobody was wrong.
        Err(UnlockError::Password(_)) if passwords.none_given() => {
            return Ok(Lock::Kept(Kept::NoPassword));
        }
        Err(UnlockError::Password(wrong)) => return Err(wrong),
        Err(UnlockError::ManifestKey) if is_clear => return Ok(Lock::Kept(Kept::Old)),
        Err(UnlockError::ManifestKey) => return Ok(Lock::Kept(Kept::ManifestKey)),
    };
    let password = passwords.that_opens(&locked.keybag).ok_or(WrongPassword)?;
    let unlocked = Unlocked { keys, keybag: locked.keybag.id(), password };
    Ok(if is_clear { Lock::Kept(Kept::Old) } else { Lock::Open(Box::new(unlocked)) })
}

fn is_encrypted(folder: &BackupFolder) -> bool {
    folder.manifest.as_ref().and_then(|m| m.is_encrypted) == Some(true)
}

/// The keybag of an encrypted folder, if it has one that can be used.
#[must_use]
pub fn keybag_of(folder: &BackupFolder) -> Option<KeybagId> {
    if !is_encrypted(folder) {
        return None;
    }
    let plist = read_start(&folder.path, RootFile::ManifestPlist, PLIST_LEN_MAX + 1).ok()?;
    LockedKeys::parse(&plist).ok().map(|locked| locked.keybag.id())
}

fn read_start(folder: &Path, file: RootFile, len_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(&folder.join(file.name()))?.take(len_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Opens what was a file when the folder was listed. A pipe that took its place would never answer, and a link would lead out
/// of the folder.
pub(super) fn open_file(path: &Path) -> io::Result<File> {
    if !std::fs::symlink_metadata(path)?.is_file() {
        return Err(io::Error::other("it is no longer a file"));
    }
    File::open(path)
}
