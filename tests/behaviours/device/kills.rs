//! russet killed at any moment of a backup.
//!
//! Invariant: afterwards the repository is sound, what was there comes back, and the next backup is the phone; between them
//! `prune` gives nothing away that the next run needs.

use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use russet_testkit::Random;
use russet_testkit::device::Script;

use super::super::drive::{soak, tell_soak};
use super::cuts::{Before, calm};
use super::middle::{Act, Middle};
use super::{Scene, TestPhone, id};

/// When a run is killed.
#[derive(Clone, Copy)]
enum Moment {
    /// While the phone's byte of this number waits on the link, and with it the phone.
    At(u64),
    /// So long after that byte has come, whatever russet is at by then.
    After(u64, Duration),
}

/// Kills the command at a moment. Whether it was still at work.
fn kill(mut command: Command, middle: &Middle, moment: Moment) -> bool {
    let (reached, comes) = channel();
    let (go_on, gone_on) = channel::<()>();
    let gone_on = Mutex::new(gone_on);
    let (len, delay) = match moment {
        Moment::At(len) => (len, None),
        Moment::After(len, delay) => (len, Some(delay)),
    };
    let wait = move || {
        // Nobody waits for it any more once the run has ended.
        let _ended = reached.send(());
        if delay.is_none() {
            let _killed = gone_on.lock().unwrap().recv();
        }
    };
    middle.after(0, len, Act::Call(Box::new(wait)));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while comes.recv_timeout(Duration::from_millis(5)) == Err(RecvTimeoutError::Timeout) {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
    }
    std::thread::sleep(delay.unwrap_or_default());
    child.kill().unwrap();
    let ended = child.wait().unwrap();
    drop(go_on);
    ended.code().is_none()
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

/// Three of four kills fall between the first byte of the link and its last ones, the fourth after those.
fn killed_at_any_moment(what: &str, before: &Before, count: u64, seed: u64) {
    let mut random = Random::of_parts(&[9, seed]);
    // Two runs differ by a few bytes: this many always come.
    let link_len = before.link_len() * 95 / 100;
    let (mut killed, mut drafts) = (0, 0);
    for at in 0..count {
        let (scene, phone) = before.copy();
        let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
        let command = scene.command(&middle.address(), &["backup"]);
        if at % 4 == 3 {
            let delay = Duration::from_secs_f64(before.seconds * 0.3 * random.unit());
            killed += u64::from(kill(command, &middle, Moment::After(link_len, delay)));
        } else {
            let len = link_len * at / count + random.below(link_len / count);
            assert!(kill(command, &middle, Moment::At(len)), "it ended while byte {len} was due");
            killed += 1;
        }
        drafts += u64::from(scene.draft_count() > 0);
        assert_survived(before, &scene, &phone, at % 2 == 0);
    }
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
            let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
            let command = scene.command(&middle.address(), &["backup"]);
            // What came before the cut does not come again: the last of these bytes may not be sent.
            kill(command, &middle, Moment::At(random.below(before.link_len())));
        }
        assert_survived(&before, &scene, &phone, false);
    }
}
