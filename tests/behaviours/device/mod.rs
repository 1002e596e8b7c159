//! `russet backup` against the scripted phone: what comes of a good day, of each fault, and of a kill.
//!
//! Invariant: a phone is judged by its own truth (`ScriptedPhone::write_truth`) and its own journal, never by what russet says of
//! it. A phone that is served goes on in threads of this process until it ends; its folder is what a test keeps.

mod awake;
mod cuts;
mod doctor;
mod errors;
mod hostile;
mod images;
mod kills;
mod middle;
mod network;
mod opened;
mod pairing;
mod photographed;
mod rotten;
mod saying;
mod several;
mod symptoms;
mod truth;
#[cfg(target_os = "linux")]
mod typed;
mod weeks;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use russet_testkit::device::{Listener, Preset, Script, ScriptedPhone, State, serve};
use serde_json::Value;
use tempfile::TempDir;

use super::support::{Ran, TestRepository, run};
use truth::Truth;

/// The password of phones that encrypt their backups.
const PHONE_PASSWORD: &str = "Bl0ssom & pips";

/// A phone in a folder, which can be served under one script after another.
struct TestPhone {
    dir: TempDir,
    served: AtomicU32,
}

impl TestPhone {
    /// About 10 MB in about 400 files.
    fn new(seed: u64) -> Self {
        Self::with(State::new(seed, Preset::Small))
    }

    fn with(state: State) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let phone = Self { dir, served: AtomicU32::new(0) };
        ScriptedPhone::open(&phone.folder(), state, Script::default()).unwrap();
        phone
    }

    /// A phone of about 10 MB in about 400 files that trusts this computer already: agreeing on that takes both sides longer
    /// than the backup.
    fn paired() -> Self {
        static PAIRED: OnceLock<TestPhone> = OnceLock::new();
        let paired = PAIRED.get_or_init(|| {
            let phone = Self::with(State::new(60, Preset::Small));
            Scene::new().run(&phone.serve(Script::default()), &["pair"]).code(0);
            phone
        });
        paired.copy()
    }

    /// The same, that encrypts its backups.
    fn paired_encrypted() -> Self {
        let phone = Self::paired();
        let mut state = phone.state();
        state.password = Some(PHONE_PASSWORD.to_owned());
        state.save(&phone.folder()).unwrap();
        phone
    }

    /// Another phone in every respect the same, in a folder of its own.
    fn copy(&self) -> Self {
        let dir = tempfile::tempdir().unwrap();
        copy_over(&self.folder(), &dir.path().join("phone"));
        Self { dir, served: AtomicU32::new(0) }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("phone")
    }

    fn opened(&self, script: Script) -> ScriptedPhone {
        ScriptedPhone::open(&self.folder(), self.state(), script).unwrap()
    }

    fn state(&self) -> State {
        State::load(&self.folder()).unwrap().unwrap()
    }

    fn udid(&self) -> String {
        self.opened(Script::default()).udid().to_owned()
    }

    /// Serves it under a script, on a socket of its own. Gives the address.
    fn serve(&self, script: Script) -> String {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        self.serve_at(self.dir.path().join(format!("mux{number}")).to_str().unwrap(), script)
    }

    fn serve_at(&self, address: &str, script: Script) -> String {
        let phone = Arc::new(self.opened(script));
        let listener = Listener::bind(address).unwrap();
        let address = listener.address().unwrap();
        std::thread::spawn(move || serve(&phone, &listener));
        address
    }

    /// Lets a week pass.
    fn advance(&self) {
        let mut state = self.state();
        state.week += 1;
        state.save(&self.folder()).unwrap();
    }

    /// What is on it.
    fn truth(&self) -> Truth {
        Truth::of(&self.opened(Script::default()))
    }

    /// Everything it saw so far.
    fn journal(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder().join("journal.jsonl")).unwrap();
        // A phone that is at work may be writing its last line.
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What it noted of one kind, oldest first.
    fn noted(&self, event: &str) -> Vec<Value> {
        let lines = self.journal().into_iter().filter(|line| line["event"] == event);
        lines.map(|line| line["detail"].clone()).collect()
    }

    /// No host ever broke the protocol.
    #[track_caller]
    fn assert_no_violation(&self) {
        assert_eq!(self.noted("violation"), Vec::<Value>::new());
    }
}

/// A repository, and phones beside it.
struct Scene {
    repository: TestRepository,
}

impl Scene {
    fn new() -> Self {
        Self { repository: TestRepository::new() }
    }

    /// The same repository on another drive, on a computer that does not know it.
    fn copy(&self) -> Self {
        Self { repository: self.repository.copy() }
    }

    /// A command that finds phones at that address.
    fn command(&self, address: &str, args: &[&str]) -> Command {
        let mut command = self.repository.command(args);
        command.env("USBMUXD_SOCKET_ADDRESS", address);
        command.env("RUSSET_PHONE_PASSWORD_FILE", self.phone_password_file());
        command
    }

    /// A file with the password of phones that encrypt.
    fn phone_password_file(&self) -> PathBuf {
        let path = self.repository.beside("phone password");
        fs::write(&path, PHONE_PASSWORD).unwrap();
        path
    }

    fn run(&self, address: &str, args: &[&str]) -> Ran {
        run(self.command(address, args))
    }

    /// Backs a phone up under a script.
    fn backup(&self, phone: &TestPhone, script: Script, args: &[&str]) -> Ran {
        let args = [&["backup", "--json"], args].concat();
        self.run(&phone.serve(script), &args)
    }

    /// Backs a phone up and wants a whole snapshot. Gives the summary.
    #[track_caller]
    fn backup_well(&self, phone: &TestPhone) -> Value {
        self.backup(phone, Script::default(), &[]).code(0).summary()
    }

    /// Checkpoints of backups that are not finished.
    fn draft_count(&self) -> usize {
        let there = self.repository.path().join("drafts").exists();
        if there { self.repository.files("drafts").len() } else { 0 }
    }

    /// A snapshot comes back as what was on the phone.
    #[track_caller]
    fn assert_restores(&self, word: &str, truth: &Truth) {
        let folder = self.repository.restore(word);
        truth.assert_in(&folder);
        fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }
}

/// What the phone's owner was asked to do.
fn prompts(ran: &Ran) -> Vec<String> {
    let all = ran.messages().into_iter().filter(|message| message["message_type"] == "prompt");
    all.map(|message| message["kind"].as_str().unwrap().to_owned()).collect()
}

/// The snapshot that a summary tells of.
#[track_caller]
fn id(summary: &Value) -> &str {
    summary["snapshot_id"].as_str().unwrap()
}

/// Makes `to` what `from` is.
fn copy_over(from: &Path, to: &Path) {
    super::drive::copy_over(from, to);
}
