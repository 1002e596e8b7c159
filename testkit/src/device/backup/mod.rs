//! A backup, as the phone drives it: what the host has, what to send, the phases, the check at the end.
//!
//! Invariant: each phase is told in Status.plist before it begins, and the tree at each point is one from which a later
//! run can go on. Keys and ids are drawn for (seed, run, purpose, file id), never in the order of messages.

mod base;
mod hostile;
mod phases;
mod plan;
mod survey;

use super::error::DeviceError;
use super::host_files::{HostFiles, Listed, ON};
use super::state::{State, Unfinished};
use super::{ScriptedPhone, disk};
use crate::item::Item;
use crate::keybag::{Key, Keybag};
use crate::plists;
use crate::random::Random;
use base::Base;
use plist::{Dictionary, Value};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Cursor;
use tempfile::TempDir;

/// The snapshot state that ends a good backup.
const FINISHED: &str = "finished";
/// Where some versions upload to, with the script's `b_paths`: it looks absolute, and hosts take it from the root.
const SCRATCH: &str = "/.b/1";

/// One run.
struct Backup<'a, 'b> {
    host: &'b mut HostFiles<'a>,
    phone: &'a ScriptedPhone,
    udid: String,
    state: State,
    /// The run whose keys are used: an earlier one if its upload is gone on with.
    run: u64,
    uuid: String,
    is_full: bool,
    items: Vec<Item>,
    keybag: Option<Keybag>,
    base: Option<Base>,
    work: TempDir,
}

/// Answers `Backup`.
pub(crate) fn run(host: &mut HostFiles<'_>, request: &Dictionary) -> Result<(), DeviceError> {
    let phone = host.phone;
    let options = request.get("Options").and_then(Value::as_dictionary);
    let is_forced = options
        .and_then(|options| options.get("ForceFullBackup"))
        .and_then(Value::as_boolean)
        .unwrap_or(false);
    phone.change(|state| state.run += 1)?;
    let state = phone.state()?;
    let run = state.run;
    host.begin(&state);
    let mut backup = Backup {
        udid: phone.udid().to_owned(),
        items: disk::items(phone)?,
        uuid: Random::of_parts(&[state.seed, run, 0x7575_6964]).uuid(),
        is_full: true,
        keybag: None,
        base: None,
        work: disk::work_folder(&phone.folder)?,
        host,
        phone,
        state,
        run,
    };
    backup.go(is_forced)
}

impl Backup<'_, '_> {
    fn go(&mut self, is_forced: bool) -> Result<(), DeviceError> {
        let status = self.read_status()?;
        self.host.create_directory(&self.udid)?;
        let snapshot = self.list_tree()?;
        if self.phone.script.unknown_message {
            self.host.unknown()?;
        }
        let earlier = self.earlier_run(status.as_ref());
        let is_forced = is_forced || self.state.full_next;
        let phase = status.as_ref().map(snapshot_state).unwrap_or_default().to_owned();
        match (&earlier, phase.as_str()) {
            (Some(earlier), "moving" | "removing") if !is_forced => {
                self.uuid.clone_from(&earlier.uuid);
                return self.redo_moves(&snapshot);
            }
            (Some(earlier), "uploading") if !is_forced => {
                self.run = earlier.run;
                self.uuid.clone_from(&earlier.uuid);
            }
            _ => {}
        }
        let resumes = self.run != self.state.run;
        if !is_forced
            && let Some(status) = &status
            && (phase == FINISHED || resumes)
        {
            self.base = self.load_base(status, resumes)?;
        }
        self.is_full = self.base.is_none();
        let detail = json!({ "run": self.run, "is_full": self.is_full, "resumes": resumes });
        self.phone.journal.note(ON, "plan", &detail);
        self.keybag = self.own_keybag()?;
        let present = if resumes { snapshot } else { self.clear_snapshot(&snapshot)? };
        let plan = self.plan(&present);
        self.check_space(&plan)?;
        self.make_directories()?;
        self.remember(true)?;
        self.write_status("uploading")?;
        if self.phone.script.hostile_names {
            self.ask_hostile_things()?;
        }
        if self.phone.script.survey.is_some() {
            self.ask_survey()?;
        }
        self.upload(&plan)?;
        self.write_status("moving")?;
        if self.phone.script.ends_early {
            return Ok(());
        }
        self.move_in(&plan.all)?;
        self.write_status("removing")?;
        self.remove_stale()?;
        self.write_status(FINISHED)?;
        self.verify()?;
        self.remember(false)?;
        self.phone.change(|state| state.full_next = false)?;
        Ok(())
    }

    /// Keeps what a later run needs to go on, or forgets it.
    fn remember(&self, is_unfinished: bool) -> Result<(), DeviceError> {
        let unfinished =
            is_unfinished.then(|| Unfinished { uuid: self.uuid.clone(), run: self.run });
        self.phone.change(|state| state.unfinished = unfinished)
    }

    fn earlier_run(&self, status: Option<&Dictionary>) -> Option<Unfinished> {
        let uuid = status?.get("UUID")?.as_string()?;
        self.state.unfinished.clone().filter(|unfinished| unfinished.uuid == uuid)
    }

    fn read_status(&mut self) -> Result<Option<Dictionary>, DeviceError> {
        let path = self.path("Status.plist");
        let bytes = self.read_small(&path)?;
        Ok(bytes.and_then(|bytes| {
            Value::from_reader(Cursor::new(bytes)).ok().and_then(Value::into_dictionary)
        }))
    }

    fn read_small(&mut self, path: &str) -> Result<Option<Vec<u8>>, DeviceError> {
        let mut bytes = Vec::new();
        let fetched = self.host.download(&[path.to_owned()], |_, part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        let is_whole = matches!(fetched.first(), Some(super::host_files::Fetched::Whole(_)));
        Ok(is_whole.then_some(bytes))
    }

    /// Lists all that is there; `held` gets the tree, the answer is the file ids in Snapshot.
    fn list_tree(&mut self) -> Result<BTreeMap<String, u64>, DeviceError> {
        let root = self.host.list(&self.udid.clone())?;
        self.list_shards("", &root)?;
        let mut snapshot = BTreeMap::new();
        if root.get("Snapshot").is_some_and(|entry| entry.is_dir) {
            let path = self.path("Snapshot");
            let inner = self.host.list(&path)?;
            self.list_shards("Snapshot/", &inner)?;
            let below = format!("{path}/");
            for (name, len) in &self.host.held {
                if let Some(rest) = name.strip_prefix(&below) {
                    let id = rest.rsplit('/').next().unwrap_or(rest);
                    snapshot.insert(id.to_owned(), *len);
                }
            }
        }
        if self.phone.script.b_paths && self.state.unfinished.is_some() {
            for (id, entry) in self.host.list(SCRATCH)? {
                self.host.held.insert(format!("{SCRATCH}/{id}"), entry.len);
                snapshot.insert(id, entry.len);
            }
        }
        Ok(snapshot)
    }

    fn list_shards(
        &mut self,
        prefix: &str,
        listing: &BTreeMap<String, Listed>,
    ) -> Result<(), DeviceError> {
        for (name, entry) in listing {
            let path = self.path(&format!("{prefix}{name}"));
            if !entry.is_dir {
                self.host.held.insert(path, entry.len);
            } else if is_shard(name) {
                for (id, entry) in self.host.list(&path)? {
                    if !entry.is_dir {
                        self.host.held.insert(format!("{path}/{id}"), entry.len);
                    }
                }
            }
        }
        Ok(())
    }

    fn own_keybag(&self) -> Result<Option<Keybag>, DeviceError> {
        let Some(password) = &self.state.password else { return Ok(None) };
        if let Some(base) = &self.base {
            return Ok(Keybag::open(&base.keybag, password.as_bytes()));
        }
        let mut keys = self.random(0x6b65_7973, "");
        let mut salts = self.random(0x7361_6c74, password);
        Ok(Some(Keybag::new(&mut keys, &mut salts, password.as_bytes(), self.state.iterations)?))
    }

    fn random(&self, purpose: u64, name: &str) -> Random {
        Random::of_parts(&[self.state.seed, self.run, purpose, plists::hash(name)])
    }

    fn file_key(&self, id: &str) -> Option<Key> {
        self.keybag.as_ref().map(|_| self.random(0x6669_6c65, id).array())
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.udid)
    }

    /// Where a payload lies, below the backup's root.
    fn place(&self, id: &str) -> String {
        self.path(&format!("{}/{id}", id.get(..2).unwrap_or("xx")))
    }

    fn snapshot_place(&self, id: &str) -> String {
        if self.phone.script.b_paths {
            return format!("{SCRATCH}/{id}");
        }
        self.path(&format!("Snapshot/{}/{id}", id.get(..2).unwrap_or("xx")))
    }
}

fn snapshot_state(status: &Dictionary) -> &str {
    status.get("SnapshotState").and_then(Value::as_string).unwrap_or_default()
}

fn is_shard(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The 256 names.
fn shards() -> impl Iterator<Item = String> {
    (0..=255_u8).map(|number| format!("{number:02x}"))
}
