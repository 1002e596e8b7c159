//! The phases of a run: uploading, moving, removing, finished; and the check at the end.
//!
//! Invariant: Manifest.db is written in the scan's order, with a placeholder for what is sent later, which its row then
//! replaces: as the generator of testkit does, so that both give the same bytes.

use super::super::error::DeviceError;
use super::super::host_files::{Body, HostFiles, ON, Upload};
use super::super::{Script, disk};
use super::base::{FileId, file_id_of};
use super::plan::Plan;
use super::{Backup, is_shard};
use crate::content::Content;
use crate::item::{Item, What};
use crate::keybag::Key;
use crate::manifest_db::{ManifestDb, RowKind};
use crate::payload::Stored;
use crate::phone::Phone;
use crate::plists;
use serde_json::json;
use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// The class that Manifest.db's key is wrapped under.
const MANIFEST_CLASS: u32 = 4;

impl Backup<'_, '_> {
    fn date(&self) -> u64 {
        Phone::backup_date(self.state.week)
    }

    /// Tells the host which phase begins.
    pub(super) fn write_status(&mut self, phase: &str) -> Result<(), DeviceError> {
        let status = plists::status(self.date(), self.uuid.clone(), self.is_full, phase);
        let bytes = plists::binary(&status)?;
        self.phone.journal.note(ON, "phase", &json!(phase));
        let path = self.path("Status.plist");
        self.put(&path, &bytes)?;
        if self.phone.script.cut_at_phase.as_deref() == Some(phase) {
            return Err(DeviceError::Cut);
        }
        self.host.be_silent_at(phase)
    }

    fn put(&mut self, path: &str, bytes: &[u8]) -> Result<(), DeviceError> {
        let len = u64::try_from(bytes.len()).unwrap_or(0);
        let device_name = format!("/var/mobile/Library/Backup/{path}");
        let upload = Upload { device_name, host_path: path.to_owned(), body: Body::Bytes(bytes) };
        self.host.upload(&[upload], len).map(|_| ())
    }

    /// Sends the files of the plan, then the two manifests, all below Snapshot.
    pub(super) fn upload(&mut self, plan: &Plan) -> Result<(), DeviceError> {
        let database = ManifestDb::create(&self.work.path().join("Manifest.db"))?;
        self.write_rows(&database)?;
        let mut is_damaged = false;
        for index in &plan.sent {
            if let Some(item) = self.items.get(*index) {
                let stored = digest_of(item, self.file_key(&item.id()))?;
                self.put_row(&database, item, stored)?;
            }
        }
        let batch_count = self.phone.script.batch_count.max(1);
        for (number, part) in plan.send.chunks(batch_count).enumerate() {
            let done = share(number * batch_count, plan.send.len());
            self.host.progress = 5.0 + 85.0 * done;
            let items: Vec<Item> =
                part.iter().filter_map(|index| self.items.get(*index).cloned()).collect();
            let sent = {
                let batch: Vec<Upload<'_>> =
                    items.iter().map(|item| self.upload_of(item)).collect();
                self.host.upload(&batch, plan.len)?
            };
            for (item, sent) in items.iter().zip(sent) {
                match sent {
                    Some((digest, _)) => self.put_row(&database, item, digest)?,
                    None => is_damaged = true,
                }
            }
        }
        if is_damaged {
            return Err(DeviceError::Refused {
                code: 104,
                text: "Multiple errors uploading files",
            });
        }
        self.upload_manifests(database)
    }

    fn upload_of<'i>(&self, item: &'i Item) -> Upload<'i> {
        let id = item.id();
        let name = item.full_name();
        let body = match &item.what {
            What::File(content) if !is_unreadable(&self.phone.script, &name) => {
                let key = self.file_key(&id);
                if crate::has_digest(&item.domain) {
                    Body::Content(content, key)
                } else {
                    Body::Undigested(content, key)
                }
            }
            _ => Body::Unreadable("Operation not permitted"),
        };
        // Names are at most 4096 bytes; a path of the phone is far shorter.
        let device_name = format!("/private/var/mobile/{}/{}", item.domain, item.path);
        Upload { device_name, host_path: self.snapshot_place(&id), body }
    }

    fn write_rows(&self, database: &ManifestDb) -> Result<(), DeviceError> {
        for item in &self.items {
            let blob = match &self.base {
                Some(base) if self.is_reused(item) => base.blob(&item.id())?,
                _ => item.row(None, None)?,
            };
            database.put(&item.domain, &item.path, item.kind(), &blob)?;
        }
        // What an earlier week sent keeps its row; what is sent now gets one with digest and key.
        Ok(())
    }

    fn put_row(
        &self,
        database: &ManifestDb,
        item: &Item,
        digest: [u8; 20],
    ) -> Result<(), DeviceError> {
        let key = self.file_key(&item.id());
        let wrapped = match (&self.keybag, key) {
            (Some(keybag), Some(key)) => Some(keybag.wrap(item.class, &key)?),
            _ => None,
        };
        let mut digest = crate::has_digest(&item.domain).then_some(digest);
        if self.phone.script.wrong_digest.as_ref().is_some_and(|name| *name == item.full_name()) {
            digest = Some(Sha1::digest(b"something else").into());
        }
        Ok(database.put(&item.domain, &item.path, RowKind::File, &item.row(digest, wrapped)?)?)
    }

    fn upload_manifests(&mut self, database: ManifestDb) -> Result<(), DeviceError> {
        let key: Option<Key> =
            self.keybag.as_ref().map(|_| self.random(0x6d61_6e69, "Manifest.db").array());
        let wrapped = match (&self.keybag, &key) {
            (Some(keybag), Some(key)) => {
                Some((keybag.encoded(), keybag.wrap(MANIFEST_CLASS, key)?))
            }
            _ => None,
        };
        let apps = disk::apps(self.phone)?;
        let mut manifest =
            plists::binary(&self.phone.device.manifest(self.date(), &apps, wrapped))?;
        if self.phone.script.damaged_keybag {
            damage_keybag(&mut manifest);
        }
        let content = Content::Database(database.finish()?);
        let len = content.len()?;
        self.host.progress = 92.0;
        let path = self.path("Snapshot/Manifest.plist");
        self.put(&path, &manifest)?;
        let upload = Upload {
            device_name: "/var/mobile/Library/Backup/Manifest.db".to_owned(),
            host_path: self.path("Snapshot/Manifest.db"),
            body: Body::Undigested(&content, key),
        };
        self.host.upload(&[upload], len).map(|_| ())
    }

    /// Moves what was uploaded over the last backup.
    pub(super) fn move_in(&mut self, sent: &[usize]) -> Result<(), DeviceError> {
        let batch_count = self.phone.script.batch_count.max(1);
        self.host.progress = 95.0;
        for part in sent.chunks(batch_count) {
            let items = part.iter().filter_map(|index| self.items.get(*index));
            let ids: Vec<String> = items.map(Item::id).collect();
            self.move_batch(&ids)?;
        }
        self.move_manifests()
    }

    fn move_batch(&mut self, ids: &[String]) -> Result<(), DeviceError> {
        let moves: Vec<_> =
            ids.iter().map(|id| (self.snapshot_place(id), self.place(id))).collect();
        self.host.move_items(&moves)
    }

    fn move_manifests(&mut self) -> Result<(), DeviceError> {
        let moves: Vec<_> = ["Manifest.plist", "Manifest.db"]
            .iter()
            .map(|name| (self.path(&format!("Snapshot/{name}")), self.path(name)))
            .filter(|(from, _)| self.host.held.contains_key(from))
            .collect();
        if moves.is_empty() { Ok(()) } else { self.host.move_items(&moves) }
    }

    /// Removes payloads that no row names, and Snapshot.
    pub(super) fn remove_stale(&mut self) -> Result<(), DeviceError> {
        let own = self.own_ids();
        self.remove_all_but(&own)
    }

    fn remove_all_but(&mut self, own: &BTreeSet<FileId>) -> Result<(), DeviceError> {
        self.host.progress = 98.0;
        let below = format!("{}/", self.udid);
        let stale: Vec<String> = self
            .host
            .held
            .keys()
            .filter(|path| {
                let name = path.strip_prefix(&below).unwrap_or(path);
                name.split_once('/').is_some_and(|(shard, id)| {
                    is_shard(shard) && !file_id_of(id).is_some_and(|id| own.contains(&id))
                })
            })
            .cloned()
            .collect();
        let batch_count = self.phone.script.batch_count.max(1);
        for part in stale.chunks(batch_count) {
            self.host.remove_items(part)?;
        }
        let places = self.upload_places();
        self.host.remove_items(&places)
    }

    /// An earlier run ended while moving or removing: its moves are made again.
    pub(super) fn redo_moves(
        &mut self,
        snapshot: &BTreeMap<String, u64>,
    ) -> Result<(), DeviceError> {
        self.phone.journal.note(ON, "plan", &json!("the moves of an earlier run are made again"));
        let ids: Vec<String> = snapshot
            .keys()
            .filter(|name| !["Manifest.plist", "Manifest.db"].contains(&name.as_str()))
            .cloned()
            .collect();
        self.write_status("moving")?;
        self.host.progress = 95.0;
        for part in ids.chunks(self.phone.script.batch_count.max(1)) {
            self.move_batch(part)?;
        }
        self.move_manifests()?;
        self.write_status("removing")?;
        let own = self.ids_on_host()?;
        self.remove_all_but(&own)?;
        self.write_status(super::FINISHED)?;
        self.verify()?;
        self.remember(false)
    }

    /// File ids in the Manifest.db that the host has.
    fn ids_on_host(&mut self) -> Result<BTreeSet<FileId>, DeviceError> {
        let mut status = plist::Dictionary::new();
        status.insert("Version".into(), "3.3".into());
        let base = self.load_base(&status, true)?;
        let files = base.map(|base| base.files).ok_or(DeviceError::Refused {
            code: 205,
            text: "Manifest references files not in backup",
        })?;
        Ok(files.into_keys().collect())
    }

    /// Reads everything back that tells of the backup and compares it with what was sent.
    pub(super) fn verify(&mut self) -> Result<(), DeviceError> {
        self.host.progress = 99.0;
        let expected = std::mem::take(&mut self.host.held);
        let root = self.host.list(&self.udid.clone())?;
        self.list_shards("", &root)?;
        if !root.contains_key("Info.plist") {
            self.host.breach("Info.plist is there before the backup", &json!(0));
        }
        if root.contains_key("Snapshot") {
            self.host.breach("what was removed is gone", &json!("Snapshot"));
        }
        let listed = std::mem::take(&mut self.host.held);
        let missing = compare(self.host, &expected, &listed, &self.path("Info.plist"));
        self.host.held = expected;
        let paths = ["Status.plist", "Manifest.plist", "Manifest.db"].map(|name| self.path(name));
        self.host.download(&paths, |_, _| Ok(()))?;
        self.host.progress = 100.0;
        if missing > 0 {
            let text = "Manifest references files not in backup";
            return Err(DeviceError::Refused { code: 205, text });
        }
        Ok(())
    }
}

/// Names every difference between what the host must have and what it lists; the answer counts what is missing.
fn compare(
    host: &HostFiles<'_>,
    expected: &BTreeMap<String, u64>,
    listed: &BTreeMap<String, u64>,
    own_file: &str,
) -> usize {
    let mut missing = 0;
    for (path, len) in expected {
        match listed.get(path) {
            _ if path == own_file => {}
            None => {
                missing += 1;
                host.breach("listings name all that was uploaded", &json!(path));
            }
            Some(other) if other != len => {
                host.breach("listings give stored lengths", &json!([path, len, other]));
            }
            Some(_) => {}
        }
    }
    for path in listed.keys().filter(|path| !expected.contains_key(*path) && *path != own_file) {
        host.breach("what was removed is gone", &json!(path));
    }
    missing
}

fn is_unreadable(script: &Script, name: &str) -> bool {
    script.unreadable.iter().any(|each| each == name)
}

/// SHA-1 of what an earlier run stored; of nothing where the row has none.
fn digest_of(item: &Item, key: Option<Key>) -> Result<[u8; 20], DeviceError> {
    if !crate::has_digest(&item.domain) {
        return Ok(Sha1::digest(b"").into());
    }
    let mut stored = Stored::new(io::sink(), key.as_ref());
    if let What::File(content) = &item.what {
        content.copy_to(&mut stored)?;
    }
    Ok(stored.finish()?.1)
}

#[expect(clippy::cast_precision_loss, reason = "a rough share for a progress bar")]
fn share(done: usize, all: usize) -> f64 {
    done as f64 / all.max(1) as f64
}

/// Changes a bit of the key of class 3, the ninth in every keybag.
fn damage_keybag(manifest: &mut [u8]) {
    let keys = manifest.windows(4).enumerate().filter(|(_, tag)| *tag == b"WPKY");
    let place = keys.map(|(at, _)| at + 20).nth(8);
    if let Some(byte) = place.and_then(|at| manifest.get_mut(at)) {
        *byte ^= 1;
    }
}
