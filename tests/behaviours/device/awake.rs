//! The computer is kept awake while a phone is at the other end.
//!
//! Invariant: the tool that does it is a stand-in found first, under the names of Linux and macOS; what it writes down is judged.
#![cfg(any(target_os = "linux", target_os = "macos"))]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use russet_testkit::device::Script;

use super::super::support::Running;
use super::cuts::calm;
use super::{Scene, TestPhone, id};

/// Writes down what it was asked for and whether it knows a secret, runs what follows the options, and writes down its end.
const TOOL: &str = r#"#!/bin/sh
said=$(dirname "$0")/said
asked="held $* password=${RUSSET_PASSWORD-none}"
while [ "${1#-}" != "$1" ]; do shift; done
echo "$asked" >>"$said"
"$@"
echo gone >>"$said"
"#;

struct Tool(tempfile::TempDir);

impl Tool {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["systemd-inhibit", "caffeinate"] {
            let path = dir.path().join(name);
            fs::write(&path, TOOL).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self(dir)
    }

    /// The same command, that finds it first.
    fn found_by(&self, mut command: Command) -> Command {
        let others = std::env::var_os("PATH").unwrap_or_default();
        let all =
            std::iter::once(PathBuf::from(self.0.path())).chain(std::env::split_paths(&others));
        command.env("PATH", std::env::join_paths(all).unwrap());
        command
    }

    fn said(&self) -> String {
        fs::read_to_string(self.0.path().join("said")).unwrap_or_default()
    }

    #[track_caller]
    fn says_soon(&self, words: &str) {
        let started = Instant::now();
        while !self.said().contains(words) {
            assert!(started.elapsed() < Duration::from_secs(60), "{words}? {}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A backup that waits for a phone which says nothing more.
fn waiting(scene: &Scene, phone: &TestPhone, tool: &Tool) -> Running {
    let script = Script { silent_at: Some("asked".to_owned()), ..calm() };
    let mut command = tool.found_by(scene.command(&phone.serve(script), &["backup"]));
    command.env("RUSSET_PASSWORD", "in the way");
    let running = Running::start(command);
    tool.says_soon("held ");
    assert!(!tool.said().contains("gone"), "{}", tool.said());
    running
}

#[test]
fn the_computer_is_kept_awake_until_a_backup_has_ended() {
    let (scene, phone, tool) = (Scene::new(), TestPhone::paired(), Tool::new());
    let running = waiting(&scene, &phone, &tool);
    running.signal("INT");
    running.wait().code(130);
    assert!(tool.said().ends_with("gone\n"), "{}", tool.said());
    assert!(tool.said().contains(" password=none"), "{}", tool.said());
    let options =
        if cfg!(target_os = "linux") { "--what=idle:sleep --mode=block" } else { "-i -m -s" };
    assert!(tool.said().contains(options), "{}", tool.said());
}

#[test]
fn the_computer_may_sleep_once_russet_is_killed() {
    let (scene, phone, tool) = (Scene::new(), TestPhone::paired(), Tool::new());
    let running = waiting(&scene, &phone, &tool);
    running.signal("KILL");
    tool.says_soon("gone");
}

#[test]
fn the_computer_is_kept_awake_while_a_phone_is_restored() {
    let (scene, phone, tool) = (Scene::new(), TestPhone::paired(), Tool::new());
    let snapshot = scene.backup_well(&phone);
    let args = ["restore", id(&snapshot), "--yes", "--no-safety-backup", "--to-phone"];
    super::super::support::run(tool.found_by(scene.command(&phone.serve(calm()), &args))).code(0);
    assert_eq!(tool.said().matches("held ").count(), 1);
    assert_eq!(tool.said().matches("gone").count(), 1);
}

#[test]
fn without_the_tool_the_backup_is_made_and_one_note_says_what_may_happen() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let mut command = scene.command(&phone.serve(calm()), &["backup"]);
    command.env("PATH", Path::new("/nonexistent"));
    let ran = super::super::support::run(command).code(0);
    assert_eq!(
        ran.stderr.matches("note: this computer may fall asleep").count(),
        1,
        "{}",
        ran.stderr
    );
}
