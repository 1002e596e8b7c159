//! A phone made of threads: usbmuxd, lockdown, and the services a backup and a restore need, on one socket.
//!
//! Invariant: what the phone does follows from its folder and its script alone, and everything it is asked and answers
//! is in its journal. It is held to what real clients accept (interop/device). Must not share code with the program
//! under test: only `testkit` knows how a phone speaks.

mod afc;
mod app_services;
mod backup;
mod cipher;
mod disk;
mod error;
mod heartbeat;
mod host_files;
mod journal;
mod link;
mod lockdown;
mod manifest;
mod mobilebackup2;
mod notification_proxy;
mod password;
mod restore;
mod script;
mod server;
mod state;
mod tls;
mod usbmuxd;
mod values;
mod wires;

pub use error::DeviceError;
pub use journal::{Event, Journal};
pub use script::{Connection, Passcode, Script};
pub use server::{Listener, Server, serve, serve_all};
pub use state::{Host, Preset, State, Unfinished};

use crate::phone::{Phone, PhoneOptions};
use crate::plists::Device;
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wires::{Sort, Wires};

/// A scripted phone: what all its conversations share.
pub struct ScriptedPhone {
    folder: PathBuf,
    script: Script,
    journal: Journal,
    device: Device,
    state: Mutex<State>,
    generated: Mutex<Option<Phone>>,
    ports: Mutex<Ports>,
    /// Who observes which notification.
    observers: Mutex<Vec<(String, Sender<String>)>>,
    /// Open locks of AFC: the path and the connection that holds it.
    locks: Mutex<BTreeMap<PathBuf, u64>>,
    /// `Pair` requests answered with "the dialog is up".
    polls: Mutex<u32>,
    /// Sockets that belong to services of this phone.
    wires: Arc<Wires>,
    /// Answers of hosts to heartbeats.
    polo_count: AtomicU64,
    /// Whether a thread looks after the services over the network.
    is_watched: Mutex<bool>,
    /// Whether the phone is to stop what it does; pauses end then.
    halted: (Mutex<bool>, Condvar),
}

/// Services that were started and wait for their connection.
#[derive(Default)]
struct Ports {
    last: u16,
    waiting: BTreeMap<u16, Started>,
}

struct Started {
    service: String,
    tls: Option<Arc<ServerConfig>>,
}

impl ScriptedPhone {
    /// Opens the phone in `folder`, or makes one there.
    pub fn open(folder: &Path, new: State, script: Script) -> Result<Self, DeviceError> {
        std::fs::create_dir_all(folder)?;
        let state = State::load(folder)?.unwrap_or(new);
        state.save(folder)?;
        let options = options_of(&state);
        let device = Device::new(options.udid, options.name);
        Ok(Self {
            folder: folder.to_path_buf(),
            script,
            journal: Journal::open(&folder.join("journal.jsonl"))?,
            device,
            state: Mutex::new(state),
            generated: Mutex::new(None),
            ports: Mutex::new(Ports { last: 49_151, waiting: BTreeMap::new() }),
            observers: Mutex::new(Vec::new()),
            locks: Mutex::new(BTreeMap::new()),
            polls: Mutex::new(0),
            wires: Arc::default(),
            polo_count: AtomicU64::new(0),
            is_watched: Mutex::new(false),
            halted: (Mutex::new(false), Condvar::new()),
        })
    }

    /// Its id, as hosts see it.
    pub fn udid(&self) -> &str {
        &self.device.udid
    }

    /// The folder that holds it.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All that the journal has, of earlier times too.
    pub fn events(&self) -> Result<Vec<Event>, DeviceError> {
        journal::read(&self.journal_path())
    }

    /// The rules that hosts broke, in order.
    pub fn violations(&self) -> Result<Vec<Event>, DeviceError> {
        let mut events = self.events()?;
        events.retain(|event| event.event == "violation");
        Ok(events)
    }

    /// Lets a week pass.
    pub fn advance(&self) -> Result<(), DeviceError> {
        self.change(|state| state.week += 1)
    }

    /// Lets a week pass in which nothing on the phone changes.
    pub fn rest(&self) -> Result<(), DeviceError> {
        self.change(|state| {
            state.week += 1;
            state.quiet_weeks.insert(state.week);
        })
    }

    fn journal_path(&self) -> PathBuf {
        self.folder.join("journal.jsonl")
    }

    /// Writes one JSON line for each file on the phone, by domain and path: as `russet-phone` tells the truth.
    pub fn write_truth(&self, sink: &mut dyn Write) -> Result<(), DeviceError> {
        disk::write_truth(self, sink)
    }

    /// Takes everything off the phone but its pairings.
    pub fn erase(&self) -> Result<(), DeviceError> {
        disk::replace_restored(&self.folder, &[])?;
        self.change(|state| state.is_generated = false)
    }

    /// A copy of the state as it is on disk: another process may have let a week pass.
    pub fn state(&self) -> Result<State, DeviceError> {
        let mut own = locked(&self.state);
        if let Some(saved) = State::load(&self.folder)? {
            *own = saved;
        }
        Ok(own.clone())
    }

    /// Changes the state and saves it.
    fn change<T>(&self, how: impl FnOnce(&mut State) -> T) -> Result<T, DeviceError> {
        let mut own = locked(&self.state);
        if let Some(saved) = State::load(&self.folder)? {
            *own = saved;
        }
        let answer = how(&mut own);
        own.save(&self.folder)?;
        Ok(answer)
    }

    /// Ends every service: the cable was pulled.
    fn unplug(&self) {
        let count = self.wires.end(&[Sort::Usb, Sort::Network]);
        self.journal.note("usbmuxd", "unplugged", &serde_json::json!({ "services": count }));
    }

    /// Ends pauses, or lets there be pauses again.
    fn halt(&self, is_over: bool) {
        let (halted, changed) = &self.halted;
        *locked(halted) = is_over;
        changed.notify_all();
    }

    /// Lets time pass; less if the phone is halted. True if it is.
    fn pause(&self, how_long: Duration) -> bool {
        let (halted, changed) = &self.halted;
        let waited = changed.wait_timeout_while(locked(halted), how_long, |halted| !*halted);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Tells everyone who observes `name`.
    fn notify(&self, name: &str) {
        self.journal.note("notification_proxy", "posted", &serde_json::json!(name));
        locked(&self.observers)
            .retain(|(wanted, sender)| wanted != name || sender.send(name.to_owned()).is_ok());
    }
}

fn options_of(state: &State) -> PhoneOptions {
    match state.preset {
        Preset::Small => PhoneOptions::small(),
        Preset::Demo => PhoneOptions::demo(),
        Preset::Many(count) => PhoneOptions::many_files(count),
        Preset::Bench(len) => PhoneOptions::bench(len),
        Preset::Million => PhoneOptions::many_files(1_000_000),
        Preset::Huge(len) => PhoneOptions::huge(len),
    }
    .with_seed(state.seed)
}

/// A thread that died holding a lock has left nothing half changed: every change is one assignment.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
