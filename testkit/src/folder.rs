//! The folder of one backup: `<parent>/<UDID>/` with payloads in their shards and the root files.
//!
//! Invariant: nothing existing is overwritten; each file and folder ends with the mtime that was asked for, so that two
//! runs of the same seed give the same folder. Does not know what a phone is.

use crate::content::Content;
use crate::keybag::Key;
use crate::payload::Payload;
use crate::write_error::WriteError;
use std::collections::BTreeSet;
use std::fs::{File, FileTimes};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A backup folder being written.
pub(crate) struct BackupFolder {
    root: PathBuf,
    folders: BTreeSet<PathBuf>,
}

impl BackupFolder {
    /// Creates `<parent>/<udid>`, which must not exist; `parent` is made if needed.
    pub(crate) fn create(parent: &Path, udid: &str) -> Result<Self, WriteError> {
        std::fs::create_dir_all(parent).map_err(WriteError::io(parent))?;
        let root = parent.join(udid);
        std::fs::create_dir(&root).map_err(WriteError::io(&root))?;
        Ok(Self { root, folders: BTreeSet::new() })
    }

    /// Writes the payload of a row; the answer is its SHA-1.
    pub(crate) fn payload(
        &mut self,
        file_id: &str,
        content: &Content,
        key: Option<&Key>,
        modified: SystemTime,
    ) -> Result<[u8; 20], WriteError> {
        let shard = file_id.get(..2).unwrap_or("xx");
        self.file(&format!("{shard}/{file_id}"), content, key, modified)
    }

    /// Writes any file under the root, with the folders it needs.
    pub(crate) fn file(
        &mut self,
        name: &str,
        content: &Content,
        key: Option<&Key>,
        modified: SystemTime,
    ) -> Result<[u8; 20], WriteError> {
        let path = self.root.join(name);
        if let Some(folder) = Path::new(name).parent() {
            self.folder(folder)?;
        }
        let mut payload = Payload::create(&path, key)?;
        content.copy_to(&mut payload).map_err(WriteError::io(&path))?;
        payload.finish(modified)
    }

    /// Makes a folder under the root.
    pub(crate) fn folder(&mut self, name: &Path) -> Result<(), WriteError> {
        if name.as_os_str().is_empty() || self.folders.contains(name) {
            return Ok(());
        }
        let path = self.root.join(name);
        std::fs::create_dir_all(&path).map_err(WriteError::io(&path))?;
        self.folders.extend(
            name.ancestors().filter(|each| !each.as_os_str().is_empty()).map(Path::to_path_buf),
        );
        Ok(())
    }

    /// Gives every folder its mtime and ends.
    pub(crate) fn finish(self, modified: SystemTime) -> Result<PathBuf, WriteError> {
        for folder in &self.folders {
            set_folder_time(&self.root.join(folder), modified)?;
        }
        set_folder_time(&self.root, modified)?;
        Ok(self.root)
    }
}

#[cfg(unix)]
fn set_folder_time(path: &Path, modified: SystemTime) -> Result<(), WriteError> {
    let times = FileTimes::new().set_modified(modified).set_accessed(modified);
    File::open(path).and_then(|folder| folder.set_times(times)).map_err(WriteError::io(path))
}

/// Windows opens folders only with a flag that std does not set; their times are left as they are.
#[cfg(not(unix))]
fn set_folder_time(_path: &Path, _modified: SystemTime) -> Result<(), WriteError> {
    Ok(())
}
