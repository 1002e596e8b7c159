//! What happens to the process: passwords it is not given, other writers, streams that are closed, signals.
//!
//! Invariant: it ends with a code and a message of its own, and the next run completes what this one did not.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use russet_store::backend::{Backend, Durability, LocalBackend};

use super::super::support::{
    DATE, Ran, Running, TestRepository, WEEK, bare, fake, noise, run, text,
};
use super::Two;

#[test]
fn a_wrong_password_is_told_with_code_12() {
    let two = Two::new();
    fs::write(two.repository.beside("password"), "wrong horse").unwrap();
    let ran = two.repository.run(&["snapshots"]).code(12);
    ran.says(&["wrong repository password", "`--recovery-file`"]);
}

fn lock(repository: &TestRepository) -> impl Sized + use<> {
    let backend = LocalBackend::open(&repository.path(), Durability { read_back: false }).unwrap();
    let lock = backend.lock_exclusive().unwrap();
    (backend, lock)
}

#[test]
fn a_second_writer_is_refused_and_told_who_writes_while_readers_read() {
    let two = Two::new();
    let held = lock(&two.repository);
    let ran = two.repository.run(&["import", text(&two.folders[0])]).code(11);
    let who = format!("process {}", std::process::id());
    ran.says(&["is being written to by", &who, "next: wait for it", "--retry-lock"]);
    two.assert_whole();
    two.repository.assert_sound();
    drop(held);
    two.import_another();
}

#[test]
fn readers_beside_each_other_share_no_index_and_answer_alike() {
    let two = Two::new();
    let start = || Running::start(two.repository.command(&["verify", "--read-data", "--json"]));
    let running: Vec<Running> = (0..4).map(|_| start()).collect();
    for each in running {
        assert_eq!(each.wait().code(0).summary()["snapshot_count"], 2);
    }
}

#[test]
fn a_folder_imported_twice_at_once_is_archived_once() {
    let two = Two::new();
    let folder = fake().date(DATE + 2 * WEEK).file("HomeDomain", "Library/c", "c");
    let folder = folder.write_to(two.repository.folder("c"));
    let args = ["import", "--json", "--retry-lock", "50s", text(&folder)];
    let running: Vec<Running> =
        (0..3).map(|_| Running::start(two.repository.command(&args))).collect();
    let new = running.into_iter().map(|each| each.wait().code(0).summary());
    assert_eq!(new.filter(|summary| summary["new"] == true).count(), 1);
    assert_eq!(two.repository.snapshots().len(), 3);
    two.repository.assert_restores("latest", &folder);
    two.repository.assert_sound();
}

#[test]
fn a_second_writer_waits_as_long_as_it_was_told_to() {
    let two = Two::new();
    let held = lock(&two.repository);
    let args = ["import", "--retry-lock", "50s", text(&two.folders[0])];
    let running = Running::start(two.repository.command(&args));
    running.wait_for("waiting for another writer");
    drop(held);
    running.wait().code(0);
}

#[test]
fn a_closed_stdout_is_no_panic() {
    let two = Two::new();
    let target = two.repository.folder("target");
    let photo = "CameraRollDomain/Media/new.JPG";
    let commands: [&[&str]; 9] = [
        &["ls", "latest"],
        &["ls", "latest", "--json"],
        &["cat", "latest", photo],
        &["snapshots"],
        &["stats"],
        &["verify"],
        &["restore", "latest", "--target", text(&target)],
        &["import", text(&two.folders[0])],
        &["--help"],
    ];
    for args in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = two.repository.command(args);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 141)), "{args:?}: {:?}", output.status);
        assert!(said.is_empty(), "{args:?}: {said}");
    }
}

/// Runs with a stdout that nobody reads.
fn unread(repository: &TestRepository, args: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    repository.command(args).stdout(writer).stderr(Stdio::null()).status().unwrap().code()
}

#[test]
fn a_closed_stdout_hides_neither_damage_nor_what_is_missing() {
    let two = Two::new();
    let folder = fake().date(DATE + 4 * WEEK).row_without_payload("HomeDomain", "Library/gone");
    let folder = folder.write_to(two.repository.folder("c"));
    for args in [&["import", text(&folder)][..], &["import", "--json", text(&folder)]] {
        assert_eq!(unread(&two.repository, args), Some(3), "{args:?}");
    }
    fs::remove_file(two.new_pack()).unwrap();
    for args in [&["verify"][..], &["verify", "--json"]] {
        assert_eq!(unread(&two.repository, args), Some(20), "{args:?}");
    }
    let target = two.repository.folder("target");
    let args = ["restore", "latest", "--json", "--target", text(&target)];
    assert_eq!(unread(&two.repository, &args), Some(3));
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let two = Two::new();
    for args in [&["ls", "latest"][..], &["cat", "latest", "HomeDomain/Library/a.db"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = two.repository.command(args);
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("could not write to stdout"), "{args:?}: {said}");
    }
}

#[test]
fn without_a_password_or_a_terminal_the_ways_to_give_one_are_named() {
    let two = Two::new();
    let mut command = two.repository.command(&["snapshots"]);
    command.env_remove("RUSSET_PASSWORD_FILE");
    let ran = run(command).code(2);
    ran.says(&["no repository password was given", "`--password-file FILE`"]);
    let missing = two.repository.beside("missing");
    let ran = two.repository.run(&["--password-file", text(&missing), "snapshots"]).code(2);
    ran.says(&["could not read the password file", text(&missing)]);
    let ran = run(bare(&["snapshots"])).code(2);
    ran.says(&["no repository was named", "next: use `--repo FOLDER`"]);
}

/// A backup of 120 MB, far more than one pack holds.
fn large(repository: &TestRepository) -> PathBuf {
    let mut backup = fake().date(DATE + 3 * WEEK);
    for number in 0..30 {
        let name = format!("Media/{number}.MOV");
        backup = backup.file("CameraRollDomain", &name, noise(100 + number, 4 << 20));
    }
    backup.write_to(repository.folder("large"))
}

/// An import that a signal ended. A quick machine may be done before the signal comes: then another one is tried.
fn stopped_by(signal: &str) -> Ran {
    (0..10).find_map(|_| signalled(signal)).expect("ten imports were done before a signal came")
}

/// None: it was done first.
fn signalled(signal: &str) -> Option<Ran> {
    let two = Two::new();
    let folder = large(&two.repository);
    let before = two.repository.files("packs").len();
    let running = Running::start(two.repository.command(&["import", text(&folder)]));
    let is_pack = |path: &PathBuf| path.file_name().unwrap().len() == 64;
    let packs = || two.repository.files("packs").iter().filter(|p| is_pack(p)).count();
    while packs() <= before {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.signal(signal);
    let ran = running.wait();
    if ran.exit == Some(0) {
        return None;
    }
    assert_eq!(two.repository.snapshots().len(), 2);
    two.assert_whole();
    two.repository.import(&folder);
    two.repository.assert_restores("latest", &folder);
    two.repository.assert_sound();
    Some(ran)
}

#[test]
fn a_signal_stops_an_import_and_the_next_one_completes() {
    for signal in ["INT", "TERM"] {
        let ran = stopped_by(signal).code(130);
        ran.says(&[
            "stopped as asked",
            "nothing that was saved before is affected",
            "next: run the same",
        ]);
    }
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    assert_eq!(stopped_by("KILL").exit, None);
}

#[test]
fn a_password_file_with_nothing_in_it_is_refused() {
    let two = Two::new();
    let path = two.repository.beside("password");
    fs::File::create(&path).unwrap().write_all(b"\n").unwrap();
    let ran = two.repository.run(&["snapshots"]);
    assert!(matches!(ran.exit, Some(2 | 12)), "{:?} {}", ran.exit, ran.stderr);
}
