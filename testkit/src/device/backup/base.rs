//! The last backup on the host, if this run can build on it.
//!
//! Invariant: a base is whole: every row of a file has its payload in the listing, and an encrypted one opens with the
//! phone's password. Anything less makes the run a full one, silently, as on a real phone.

use super::super::cipher::decrypted;
use super::super::error::DeviceError;
use super::super::host_files::{Fetched, ON};
use super::super::manifest::{self, Archived};
use super::{Backup, FINISHED, snapshot_state};
use crate::keybag::Keybag;
use plist::{Dictionary, Value};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

/// What is known of the last backup.
pub(super) struct Base {
    /// Rows by file id.
    pub(super) rows: BTreeMap<String, BaseRow>,
    /// `BackupKeyBag`, empty if unencrypted.
    pub(super) keybag: Vec<u8>,
}

/// One row of the last backup.
pub(super) struct BaseRow {
    pub(super) is_file: bool,
    pub(super) modified: i64,
    pub(super) blob: Vec<u8>,
}

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
        let mut rows = BTreeMap::new();
        let read = manifest::read(&plain, |row| {
            let modified = Archived::read(&row.blob).and_then(|file| file.number("LastModified"));
            let modified = modified.ok_or(DeviceError::Breach { rule: "rows are archives" })?;
            rows.insert(row.id, BaseRow { is_file: row.flags == 1, modified, blob: row.blob });
            Ok(())
        });
        if let Err(error) = read {
            let detail = super::super::mobilebackup2::chain(&error);
            self.phone.journal.note(ON, "no base", &detail);
            return self.no_base("Manifest.db is not readable");
        }
        let missing = rows
            .iter()
            .find(|(id, row)| row.is_file && !self.host.held.contains_key(&self.place(id)));
        if let Some((id, _)) = missing {
            self.phone.journal.note(ON, "no base", &json!(["a payload is missing", id]));
            return Ok(None);
        }
        Ok(Some(Base { rows, keybag }))
    }

    fn no_base(&self, reason: &str) -> Result<Option<Base>, DeviceError> {
        self.phone.journal.note(ON, "no base", &json!(reason));
        Ok(None)
    }
}
