//! russet killed at any moment of a backup.
//!
//! Invariant: afterwards the repository is sound, what was there comes back, and the next backup is the phone; between them
//! `prune` gives nothing away that the next run needs.

use std::process::{Command, Stdio};
use std::time::Duration;

use russet_testkit::Random;
use russet_testkit::device::Script;

use super::super::drive::{soak, tell_soak};
use super::cuts::{Before, calm};
use super::{Scene, TestPhone, id};

/// Kills the command after a while. Whether it was still at work.
fn kill_after(mut command: Command, delay: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// What was there comes back, and the next run is right; every other time after a `prune` of all that nobody needs.
fn assert_survived(before: &Before, scene: &Scene, phone: &TestPhone, prunes: bool) {
    scene.repository.assert_sound();
    if prunes {
        scene.repository.ok(&["--yes", "prune", "--max-unused", "0%"]);
    }
    if let Some((snapshot, truth)) = &before.kept {
        scene.assert_restores(snapshot, truth);
    }
    let had_draft = scene.draft_count() > 0;
    let ended = scene.repository.snapshots().len() > usize::from(before.kept.is_some());
    let ran = scene.backup(phone, calm(), &[]).code(0);
    assert!(!ran.stdout.contains("cannot be gone on with"), "{}", ran.stdout);
    assert!(!ran.stdout.contains("is damaged"), "{}", ran.stdout);
    let summary = ran.summary();
    // A kill after the snapshot was made may leave its draft, which is of no more use; one before the first file leaves an
    // empty one, with nothing to go on with.
    assert!(summary["resumed"] == false || (had_draft && !ended), "{summary}");
    scene.assert_restores(id(&summary), &before.truth);
    assert_eq!(scene.draft_count(), 0);
    scene.repository.assert_sound();
    phone.assert_no_violation();
}

fn killed_at_any_moment(what: &str, before: &Before, count: u32, seed: u64) {
    let mut random = Random::of_parts(&[9, seed]);
    let (mut killed, mut drafts) = (0, 0);
    for at in 0..count {
        let (scene, phone) = before.copy();
        let command = scene.command(&phone.serve(calm()), &["backup"]);
        let share = (f64::from(at) + random.unit()) / f64::from(count);
        killed += u32::from(kill_after(command, Duration::from_secs_f64(before.seconds * share)));
        drafts += u32::from(scene.draft_count() > 0);
        assert_survived(before, &scene, &phone, at % 2 == 0);
    }
    // A run that is quicker than the one that was measured ends before a late kill.
    assert!(killed * 2 > count, "{killed} of {count} kills hit a living process");
    assert!(drafts > 0 || count < 4, "no kill hit a backup that had begun");
    tell_soak(&format!("device: {what}: {killed} kills hit it at work, {drafts} left a draft"));
}

#[test]
fn a_first_backup_killed_at_any_moment_costs_nothing() {
    let before = Before::first(TestPhone::paired());
    killed_at_any_moment("first backup", &before, if soak() { 100 } else { 4 }, 1);
}

#[test]
fn a_second_backup_killed_at_any_moment_costs_nothing() {
    let before = Before::second(TestPhone::paired());
    killed_at_any_moment("second backup", &before, if soak() { 100 } else { 4 }, 2);
}

#[test]
fn an_encrypted_backup_killed_at_any_moment_costs_nothing() {
    let before = Before::second(TestPhone::paired_encrypted());
    killed_at_any_moment("encrypted backup", &before, if soak() { 50 } else { 2 }, 3);
}

#[test]
fn a_run_that_goes_on_with_a_draft_may_be_killed_too() {
    let before = Before::first(TestPhone::paired());
    let mut random = Random::of_parts(&[10]);
    for _ in 0..if soak() { 50 } else { 2 } {
        let (scene, phone) = before.copy();
        let script = Script { cut_after_files: Some(9), ..calm() };
        scene.backup(&phone, script, &[]).code(17);
        for _ in 0..2 {
            let command = scene.command(&phone.serve(calm()), &["backup"]);
            kill_after(command, Duration::from_secs_f64(before.seconds * random.unit()));
        }
        assert_survived(&before, &scene, &phone, false);
    }
}
