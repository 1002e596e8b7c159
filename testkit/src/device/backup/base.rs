//! The last backup on the host, if this run can build on it.
//!
//! Invariant: a base is whole: every row of a file has its payload in the listing, and an encrypted one opens with the
//! phone's password. Anything less makes the run a full one, silently, as on a real phone.

use super::super::cipher::decrypted;
use super::super::error::DeviceError;
use super::super::host_files::{Fetched, ON};
use super::super::manifest::{Archived, Rows};
use super::super::usbmuxd::bytes_of;
use super::{Backup, FINISHED, snapshot_state};
use crate::keybag::Keybag;
use plist::{Dictionary, Value};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// A file id as its bytes: a million of them fit in memory.
pub(super) type FileId = [u8; 20];

/// What is known of the last backup. Its rows stay on disk.
pub(super) struct Base {
    /// `LastModified` of each file, by file id.
    pub(super) files: BTreeMap<FileId, i64>,
    /// `BackupKeyBag`, empty if unencrypted.
    pub(super) keybag: Vec<u8>,
    rows: Rows,
}

impl Base {
    /// The blob of a file's row.
    pub(super) fn blob(&self, id: &str) -> Result<Vec<u8>, DeviceError> {
        self.rows.blob(id)
    }
}

/// The bytes of a file id; none if it is none.
pub(super) fn file_id_of(hex: &str) -> Option<FileId> {
    bytes_of(hex)?.try_into().ok()
}

type RowsRead = (Rows, BTreeMap<FileId, i64>, Option<String>);

impl Backup<'_, '_> {
    /// The last backup, or none with the reason in the journal.
    pub(super) fn load_base(
        &mut self,
        status: &Dictionary,
        resumes: bool,
    ) -> Result<Option<Base>, DeviceError> {
        let version = status.get("Version").and_then(Value::as_string);
        if version != Some("3.3") || !(resumes || snapshot_state(status) == FINISHED) {
            return self.no_base("the status is of another version or state");
        }
        let paths = [self.path("Manifest.plist"), self.path("Manifest.db")];
        let list = if resumes && !self.host.held.contains_key(&paths[0]) {
            return self.no_base("the first backup was not finished");
        } else {
            paths
        };
        let database = self.work.path().join("base.db");
        let mut files = [Vec::new(), Vec::new()];
        let mut sink = BufWriter::new(File::create(&database)?);
        let fetched =
            self.host.download(&list, |index, bytes| match (index, files.first_mut()) {
                (0, Some(plist)) => {
                    plist.extend_from_slice(bytes);
                    Ok(())
                }
                _ => sink.write_all(bytes),
            })?;
        sink.flush()?;
        let [manifest, _] = files;
        if fetched.first() == Some(&Fetched::Whole(0)) {
            let was_full = status.get("IsFullBackup").and_then(Value::as_boolean) == Some(true);
            if was_full {
                return self.no_base("Manifest.plist is empty");
            }
            return Err(DeviceError::Refused { code: 205, text: "zero-length data" });
        }
        if fetched.contains(&Fetched::Failed) {
            return self.no_base("a manifest is missing");
        }
        let Some(manifest) = Value::from_reader(std::io::Cursor::new(manifest))
            .ok()
            .and_then(Value::into_dictionary)
        else {
            return self.no_base("Manifest.plist is not readable");
        };
        self.open_base(&manifest, &database)
    }

    fn open_base(
        &mut self,
        manifest: &Dictionary,
        database: &Path,
    ) -> Result<Option<Base>, DeviceError> {
        let is_encrypted = manifest.get("IsEncrypted").and_then(Value::as_boolean) == Some(true);
        if is_encrypted != self.state.password.is_some() {
            return self.no_base("encryption was switched");
        }
        let data = |key| manifest.get(key).and_then(Value::as_data).unwrap_or_default().to_vec();
        let mut keybag = Vec::new();
        let mut plain = database.to_path_buf();
        if let Some(password) = &self.state.password {
            keybag = data("BackupKeyBag");
            let key = Keybag::open(&keybag, password.as_bytes())
                .and_then(|keybag| keybag.unwrap(&data("ManifestKey")));
            let Some(key) = key else {
                return self.no_base("the keybag does not open with the phone's password");
            };
            plain = decrypted(database, &key)?;
        }
        match self.read_rows(&plain) {
            Ok((rows, files, None)) => Ok(Some(Base { files, keybag, rows })),
            Ok((_, _, Some(id))) => {
                self.phone.journal.note(ON, "no base", &json!(["a payload is missing", id]));
                Ok(None)
            }
            Err(error) => {
                let detail = super::super::mobilebackup2::chain(&error);
                self.phone.journal.note(ON, "no base", &detail);
                self.no_base("Manifest.db is not readable")
            }
        }
    }

    /// The rows, the files among them, and the first of these that the host does not have.
    fn read_rows(&self, database: &Path) -> Result<RowsRead, DeviceError> {
        let rows = Rows::open(database)?;
        let (mut files, mut missing) = (BTreeMap::new(), None);
        rows.each(|row| {
            let damaged = || DeviceError::Breach { rule: "rows are archives" };
            let modified = Archived::read(&row.blob).and_then(|file| file.number("LastModified"));
            let (modified, id) = modified.zip(file_id_of(&row.id)).ok_or_else(damaged)?;
            if row.flags == 1 {
                files.insert(id, modified);
                if missing.is_none() && !self.host.held.contains_key(&self.place(&row.id)) {
                    missing = Some(row.id);
                }
            }
            Ok(())
        })?;
        Ok((rows, files, missing))
    }

    fn no_base(&self, reason: &str) -> Result<Option<Base>, DeviceError> {
        self.phone.journal.note(ON, "no base", &json!(reason));
        Ok(None)
    }
}
