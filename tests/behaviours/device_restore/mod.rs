//! `russet restore --to-phone` and `russet phone-password` against the scripted phone.
//!
//! Invariant: what is on a phone is what `ScriptedPhone::write_truth` says, and whether russet kept to the protocol is what its
//! journal says. A phone that is served goes on in threads of this process; its folder is what a test keeps.

mod broken;
mod password;
mod refused;
mod safety;
mod weeks;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use russet_testkit::device::{Listener, Preset, Script, ScriptedPhone, State, serve};
use serde_json::Value;
use tempfile::TempDir;

use super::support::{Ran, TestRepository, run};

/// SHA-256 and length of each file on a phone, by domain and path.
type Truth = BTreeMap<(String, String), (String, u64)>;

/// A phone of about 10 MB in about 400 files.
struct Handset {
    dir: TempDir,
    served: AtomicU32,
}

impl Handset {
    fn new(seed: u64) -> Self {
        Self::with(seed, None)
    }

    /// One that encrypts its backups.
    fn encrypted(seed: u64, password: &str) -> Self {
        Self::with(seed, Some(password))
    }

    fn with(seed: u64, password: Option<&str>) -> Self {
        let handset = Self { dir: tempfile::tempdir().unwrap(), served: AtomicU32::new(0) };
        let mut state = State::new(seed, Preset::Small);
        state.password = password.map(str::to_owned);
        ScriptedPhone::open(&handset.folder(), state, Script::default()).unwrap();
        handset
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("phone")
    }

    fn state(&self) -> State {
        State::load(&self.folder()).unwrap().unwrap()
    }

    fn opened(&self, script: Script) -> ScriptedPhone {
        ScriptedPhone::open(&self.folder(), self.state(), script).unwrap()
    }

    /// Serves it under a script, on a socket of its own. Gives the address.
    fn serve(&self, script: Script) -> String {
        let number = self.served.fetch_add(1, Ordering::Relaxed);
        let socket = self.dir.path().join(format!("mux{number}"));
        let phone = Arc::new(self.opened(script));
        let listener = Listener::bind(socket.to_str().unwrap()).unwrap();
        let address = listener.address().unwrap();
        std::thread::spawn(move || serve(&phone, &listener));
        address
    }

    fn advance(&self) {
        let mut state = self.state();
        state.week += 1;
        state.save(&self.folder()).unwrap();
    }

    fn erase(&self) {
        self.opened(Script::default()).erase().unwrap();
    }

    fn truth(&self) -> Truth {
        let mut lines = Vec::new();
        self.opened(Script::default()).write_truth(&mut lines).unwrap();
        let text = String::from_utf8(lines).unwrap();
        text.lines()
            .map(|line| {
                let line: Value = serde_json::from_str(line).unwrap();
                let word = |key: &str| line[key].as_str().unwrap().to_owned();
                let len = line["size"].as_u64().unwrap();
                ((word("domain"), word("path")), (word("sha256"), len))
            })
            .collect()
    }

    /// What it noted of one kind, oldest first.
    fn noted(&self, event: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.folder().join("journal.jsonl")).unwrap();
        // A phone that is at work may be writing its last line.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == event).map(|line| line["detail"].clone()).collect()
    }

    /// No host ever broke the protocol.
    #[track_caller]
    fn assert_no_violation(&self) {
        assert_eq!(self.noted("violation"), Vec::<Value>::new());
    }

    /// Whether the list of apps to fetch lies in its media folder.
    fn lists_apps(&self) -> bool {
        self.folder().join("afc/iTunesRestore/RestoreApplications.plist").exists()
    }
}

/// A repository, and phones beside it.
struct Desk {
    repository: TestRepository,
}

impl Desk {
    fn new() -> Self {
        Self { repository: TestRepository::new() }
    }

    fn command(&self, address: &str, args: &[&str]) -> Command {
        let mut command = self.repository.command(args);
        command.env("USBMUXD_SOCKET_ADDRESS", address);
        command
    }

    fn run(&self, address: &str, args: &[&str]) -> Ran {
        run(self.command(address, args))
    }

    /// Backs a phone up, wants a snapshot without a lack, and gives its id.
    #[track_caller]
    fn backup(&self, phone: &Handset) -> String {
        let ran = self
            .run(&phone.serve(Script::default()), &["backup", "--json", "--store-encrypted"])
            .code(0);
        ran.summary()["snapshot_id"].as_str().unwrap().to_owned()
    }

    /// Lets a phone under a script restore a snapshot, without a safety snapshot.
    fn restore(&self, phone: &Handset, script: Script, snapshot: &str, args: &[&str]) -> Ran {
        let always = ["restore", snapshot, "--yes", "--json", "--no-safety-backup"];
        self.run(&phone.serve(script), &[&always[..], args, &["--to-phone"]].concat())
    }

    /// The same, and it must go well.
    #[track_caller]
    fn restore_well(&self, phone: &Handset, snapshot: &str, args: &[&str]) -> Ran {
        self.restore(phone, Script::default(), snapshot, args).code(0)
    }

    /// A file with a password, by its path.
    fn password_file(&self, password: &str) -> String {
        let path = self.repository.beside(&format!("phone password {password}"));
        fs::write(&path, format!("{password}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// Names what differs, not four hundred files.
#[track_caller]
fn assert_same(found: &Truth, expected: &Truth) {
    let differing = |a: &Truth, b: &Truth| -> Vec<(String, String)> {
        a.iter()
            .filter(|(key, file)| b.get(key) != Some(file))
            .map(|(key, _)| key.clone())
            .collect()
    };
    assert_eq!(differing(found, expected), [], "on the phone, and not expected so");
    assert_eq!(differing(expected, found), [], "expected, and not on the phone so");
}
