//! What a run sends: the files that changed since the base, and what that costs on the host.
//!
//! Invariant: a file whose row in the base has the same mtime is not sent. A file that an earlier run left in Snapshot
//! is not sent again: by name only, as on a real phone.

use super::super::error::DeviceError;
use super::super::host_files::ON;
use super::{Backup, shards};
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
    /// File ids of both, in scan order.
    pub(super) all_ids: Vec<String>,
    /// Stored bytes of `send`.
    pub(super) len: u64,
}

impl Backup<'_, '_> {
    pub(super) fn plan(&self, present: &BTreeMap<String, u64>) -> Plan {
        let mut plan = Plan { send: Vec::new(), sent: Vec::new(), all_ids: Vec::new(), len: 0 };
        for (index, item) in self.items.iter().enumerate() {
            let What::File(content) = &item.what else { continue };
            let name = || format!("{}-{}", item.domain, item.path);
            let unsent = &self.phone.script.unsent;
            if self.reused(item).is_some() || (!unsent.is_empty() && unsent.contains(&name())) {
                continue;
            }
            let id = item.id();
            if present.contains_key(&id) {
                plan.sent.push(index);
            } else {
                plan.send.push(index);
                plan.len += self.stored_len(content.len().unwrap_or(0));
            }
            plan.all_ids.push(id);
        }
        plan
    }

    /// The blob of the base's row, if the file is unchanged.
    pub(super) fn reused(&self, item: &Item) -> Option<&[u8]> {
        let row = self.base.as_ref()?.rows.get(&item.id())?;
        (row.is_file && row.modified == item.modified).then_some(row.blob.as_slice())
    }

    fn stored_len(&self, len: u64) -> u64 {
        if self.state.password.is_some() { (len / 16 + 1) * 16 } else { len }
    }

    pub(super) fn check_space(&mut self, plan: &Plan) -> Result<(), DeviceError> {
        let need = plan.len + SPARE_LEN + self.phone.script.extra_need;
        let mut free = self.host.free_space()?;
        if free <= need && self.phone.script.purge {
            let freed = self.host.purge(need - free + PURGE_EXTRA_LEN)?;
            if freed > 0 {
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
            let path = self.path("Snapshot");
            self.host.remove_items(&[path])?;
        }
        Ok(BTreeMap::new())
    }

    /// File ids of everything on the phone.
    pub(super) fn own_ids(&self) -> BTreeSet<String> {
        let files = self.items.iter().filter(|item| matches!(item.what, What::File(_)));
        files.map(Item::id).collect()
    }
}
