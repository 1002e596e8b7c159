//! russet killed while an encrypted phone sends, and while what it sent is opened.
//!
//! Invariant: the moments are things that can be seen on the drive; a moment that passed too quickly is tried again.

use std::process::{Command, Stdio};

use super::*;

/// Kills a command once something is so. Whether it was still at work.
fn kill_when(mut command: Command, is_so: &dyn Fn() -> bool) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    loop {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if is_so() {
            child.kill().unwrap();
            return child.wait().unwrap().code().is_none();
        }
        std::thread::yield_now();
    }
}

/// What is to be seen on the drive.
type Moment = fn(&Scene) -> bool;

fn first_segment(scene: &Scene) -> bool {
    !segments(scene).is_empty()
}

fn fourth_segment(scene: &Scene) -> bool {
    segments(scene).len() > 3
}

/// The first segments are opened and gone, and others wait.
fn opening(scene: &Scene) -> bool {
    let names = segments(scene);
    let first = names.first().and_then(|path| path.file_name()?.to_str());
    first.is_some_and(|name| name >= "00000003")
}

fn record_is_there(scene: &Scene) -> bool {
    let copies = scene.repository.path().join("snapshots");
    fs::read_dir(copies).is_ok_and(|mut copies| copies.next().is_some())
}

fn killed(what: Moment) -> (Scene, TestPhone) {
    for _ in 0..20 {
        let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
        let args = ["backup", SEGMENT_LEN];
        let command = scene.command(&phone.serve(Script::default()), &args);
        if kill_when(command, &|| what(&scene)) {
            return (scene, phone);
        }
    }
    panic!("it was never to be seen");
}

#[test]
fn killed_while_the_phone_sends_the_next_backup_goes_on() {
    for what in [first_segment, fourth_segment] {
        let (scene, phone) = killed(what);
        scene.repository.assert_sound();
        let summary = scene.backup_well(&phone);
        assert_all_opened(&summary);
        scene.assert_restores(id(&summary), &phone.truth().encrypted());
        assert_nothing_left(&scene);
        phone.assert_no_violation();
    }
}

#[test]
fn killed_while_files_are_opened_the_next_command_needs_no_phone() {
    let (scene, phone) = killed(opening);
    scene.repository.assert_sound();
    assert!(scene.repository.snapshots().is_empty());
    // Once more, in the middle of what is left.
    let before = segments(&scene).len();
    let command = scene.command(NO_PHONE, &["backup"]);
    kill_when(command, &|| segments(&scene).len() < before);
    scene.repository.ok(&["--yes", "prune", "--max-unused", "0%"]);
    let ran = scene.run(NO_PHONE, &["backup", "--json"]);
    if ran.exit == Some(0) {
        assert_all_opened(&ran.summary());
    }
    assert_nothing_left(&scene);
    scene.assert_restores("latest", &phone.truth().encrypted());
    assert_readable(&scene, "latest", &phone.truth());
    scene.repository.assert_sound();
}

#[test]
fn killed_once_the_record_is_there_the_next_backup_leaves_nothing_behind() {
    let (scene, phone) = killed(record_is_there);
    scene.backup_well(&phone);
    assert_nothing_left(&scene);
    let count = scene.repository.snapshots().len();
    assert_eq!(count, 2, "no snapshot is made twice");
    scene.assert_restores("latest", &phone.truth().encrypted());
    scene.repository.assert_sound();
}
