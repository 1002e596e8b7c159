//! What a run sends: the files that changed since the base, and what that costs on the host.
//!
//! Invariant: a file whose row in the base has the same mtime is not sent. A file that an earlier run left in Snapshot
//! is not sent again: by name only, as on a real phone.

use super::super::error::DeviceError;
use super::super::host_files::ON;
use super::base::{FileId, file_id_of};
use super::{Backup, SCRATCH, shards};
use crate::item::{Item, What};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// What the host must have free beyond the upload.
const SPARE_LEN: u64 = 128 * 1024 * 1024;
/// What the phone asks for beyond its need when it wants room made.
const PURGE_EXTRA_LEN: u64 = 2 * 1024 * 1024 * 1024;

/// What is to be sent.
pub(super) struct Plan {
    /// Places in `items` of the files to send now.
    pub(super) send: Vec<usize>,
    /// Places of those that an earlier run sent already.
    pub(super) sent: Vec<usize>,
    /// Both, in scan order.
    pub(super) all: Vec<usize>,
    /// Stored bytes of `send`.
    pub(super) len: u64,
}

impl Backup<'_, '_> {
    pub(super) fn plan(&self, present: &BTreeMap<String, u64>) -> Plan {
        let mut plan = Plan { send: Vec::new(), sent: Vec::new(), all: Vec::new(), len: 0 };
        for (index, item) in self.items.iter().enumerate() {
            let What::File(content) = &item.what else { continue };
            if self.is_missing(item) || self.is_reused(item) {
                continue;
            }
            if present.contains_key(&item.id()) {
                plan.sent.push(index);
            } else {
                plan.send.push(index);
                plan.len += self.stored_len(content.len().unwrap_or(0));
            }
            plan.all.push(index);
        }
        plan
    }

    /// Whether the base has the file as it is now.
    pub(super) fn is_reused(&self, item: &Item) -> bool {
        let Some(base) = &self.base else { return false };
        let known = file_id_of(&item.id()).and_then(|id| base.files.get(&id));
        matches!(item.what, What::File(_)) && known == Some(&item.modified)
    }

    /// Whether the script wants this file to have a row and no payload.
    pub(super) fn is_missing(&self, item: &Item) -> bool {
        self.phone.script.missing_file.as_ref().is_some_and(|name| *name == item.full_name())
    }

    fn stored_len(&self, len: u64) -> u64 {
        if self.state.password.is_some() { (len / 16 + 1) * 16 } else { len }
    }

    pub(super) fn check_space(&mut self, plan: &Plan) -> Result<(), DeviceError> {
        let need = plan.len + SPARE_LEN + self.phone.script.extra_need;
        let mut free = self.host.free_space()?;
        if free <= need && self.phone.script.purge {
            // A host that says that it could is asked again, whatever it says that it freed.
            if self.host.purge(need - free + PURGE_EXTRA_LEN)? {
                free = self.host.free_space()?;
            }
        }
        let detail = json!({ "need": need, "free": free, "files": plan.send.len() });
        self.phone.journal.note(ON, "space", &detail);
        if free <= need {
            return Err(DeviceError::Refused { code: 105, text: "Insufficient free disk space" });
        }
        Ok(())
    }

    pub(super) fn make_directories(&mut self) -> Result<(), DeviceError> {
        for name in shards() {
            let path = self.path(&name);
            self.host.create_directory(&path)?;
        }
        let path = self.path("Snapshot");
        self.host.create_directory(&path)?;
        if self.phone.script.b_paths {
            self.host.create_directory(SCRATCH)?;
        }
        for name in shards() {
            let path = self.path(&format!("Snapshot/{name}"));
            self.host.create_directory(&path)?;
        }
        Ok(())
    }

    /// Removes what another upload left behind; nothing of it is there afterwards.
    pub(super) fn clear_snapshot(
        &mut self,
        snapshot: &BTreeMap<String, u64>,
    ) -> Result<BTreeMap<String, u64>, DeviceError> {
        if !snapshot.is_empty() {
            let places = self.upload_places();
            self.host.remove_items(&places)?;
        }
        Ok(BTreeMap::new())
    }

    /// The directories that uploads go to.
    pub(super) fn upload_places(&self) -> Vec<String> {
        let snapshot = self.path("Snapshot");
        if self.phone.script.b_paths { vec![snapshot, SCRATCH.to_owned()] } else { vec![snapshot] }
    }

    /// File ids of everything on the phone that is kept.
    pub(super) fn own_ids(&self) -> BTreeSet<FileId> {
        let is_kept = |item: &&Item| matches!(item.what, What::File(_)) && !self.is_missing(item);
        let files = self.items.iter().filter(is_kept);
        files.filter_map(|item| file_id_of(&item.id())).collect()
    }
}
