//! A phone that fails, is odd, or is left alone; a drive that is full; an owner who changes their mind.
//!
//! Invariant: each ends with the code and the words for it, what came is kept, and the next run goes on from there.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russet_testkit::device::{Passcode, Preset, Script, State};
use serde_json::Value;

use super::super::support::{Mounted, Running, TestRepository};
use super::cuts::{Before, calm};
use super::middle::{Act, Middle};
use super::{Scene, TestPhone, id};

/// `domain-path` of some files that a phone sends, the largest first.
fn names(phone: &TestPhone, count: usize) -> Vec<String> {
    let mut files: Vec<_> = phone.truth().files.into_iter().collect();
    files.sort_by_key(|(_, (_, len))| std::cmp::Reverse(*len));
    files.into_iter().take(count).map(|((domain, path), _)| format!("{domain}-{path}")).collect()
}

/// What the phone planned to send.
fn planned_count(phone: &TestPhone) -> u64 {
    phone.noted("space").pop().unwrap()["files"].as_u64().unwrap()
}

#[test]
fn files_that_the_phone_cannot_read_are_named_and_alone_are_sent_again() {
    let before = Before::first(TestPhone::paired());
    let (scene, phone) = before.copy();
    let unreadable = names(&phone, 2);
    let script = || Script { unreadable: unreadable.clone(), ..calm() };
    let ran = scene.backup(&phone, script(), &[]).code(1);
    let ran =
        ran.says(&["error: ", "104", "next: unlock the iPhone", "only what is missing is sent"]);
    for name in &unreadable {
        // The domain may have a dash in it; the phone puts a slash behind it.
        let path = name.split_once('/').unwrap().1;
        ran.says_of(path, "Operation not permitted");
    }
    assert!(scene.draft_count() > 0);
    before.assert_kept(&scene);
    let again = scene.backup(&phone, script(), &[]).code(1);
    assert_eq!(planned_count(&phone), 2);
    again.says(&["the same files failed the last time", "--restart", "restart the iPhone"]);
    // It is not tried a third time on what may be what fails.
    let third = scene.backup(&phone, calm(), &[]).code(0);
    assert!(third.stdout.contains("ended with an error 2 times"), "{}", third.stdout);
    scene.assert_restores(id(&third.summary()), &before.truth);
    assert_eq!(scene.draft_count(), 0);
    phone.assert_no_violation();
}

#[test]
fn a_file_that_can_be_read_the_second_time_is_all_that_is_sent() {
    let before = Before::second(TestPhone::paired());
    let (scene, phone) = before.copy();
    // Of the files that changed one must fail.
    let old = &before.kept.as_ref().unwrap().1;
    let changed =
        before.truth.files.iter().find(|(name, file)| old.files.get(*name) != Some(*file));
    let ((domain, path), _) = changed.unwrap();
    let script = Script { unreadable: vec![format!("{domain}-{path}")], ..calm() };
    scene.backup(&phone, script, &[]).code(1).says(&["104"]);
    before.assert_kept(&scene);
    before.assert_next(&scene, &phone);
    assert_eq!(planned_count(&phone), 1);
}

#[test]
fn a_passcode_that_never_comes_ends_with_15_and_costs_nothing_that_came() {
    let before = Before::first(TestPhone::paired());
    let (scene, phone) = before.copy();
    let script = Script { cut_after_files: Some(before.file_count() / 2), ..calm() };
    scene.backup(&phone, script, &[]).code(17);
    // However often: it says nothing against what the phone sent.
    for _ in 0..3 {
        let ran =
            scene.backup(&phone, Script { passcode: Passcode::Never, ..calm() }, &[]).code(15);
        ran.says(&["208", "next: the passcode was not entered on the iPhone in time"]);
    }
    let summary = before.assert_next(&scene, &phone);
    assert_eq!(summary["resumed"], true);
    let planned = planned_count(&phone);
    assert!(planned * 10 < before.file_count() * 7, "{planned} of {}", before.file_count());
}

#[test]
fn a_phone_with_odd_habits_is_backed_up_as_any_other() {
    let odd = [
        Script { duplicates: true, repeated_moves: true, unknown_message: true, ..calm() },
        Script { block_len: 333, batch_count: 1, ..calm() },
        Script { block_len: (1 << 20) + 1, batch_count: 10_000, ..calm() },
    ];
    let bytewise = Script { block_len: 2, ..calm() };
    let tiny = TestPhone::with(State::new(110, Preset::Many(40)));
    let cases = odd.into_iter().map(|script| (script, TestPhone::paired()));
    for (script, phone) in cases.chain([(bytewise, tiny)]) {
        let scene = Scene::new();
        let mut weeks = Vec::new();
        for _ in 0..2 {
            let ran = scene.backup(&phone, script.clone(), &[]).code(0);
            let asked = ran.stdout.contains("the phone asked something unknown");
            assert_eq!(asked, script.unknown_message, "{}", ran.stdout);
            weeks.push((id(&ran.summary()).to_owned(), phone.truth()));
            phone.advance();
        }
        for (snapshot, truth) in &weeks {
            scene.assert_restores(snapshot, truth);
        }
        phone.assert_no_violation();
    }
}

#[test]
fn an_estimate_that_no_phone_can_need_is_not_believed() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let script = Script { extra_need: 11 << 40, ..calm() };
    let summary = scene.backup(&phone, script, &[]).code(0).summary();
    scene.assert_restores(id(&summary), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn a_phone_that_finds_no_room_and_asks_for_none_ends_with_16() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let script = Script { extra_need: 11 << 40, purge: false, ..calm() };
    let ran = scene.backup(&phone, script, &[]).code(16);
    ran.says(&["error: ", "105", "next: free space on the drive"]);
    assert!(scene.repository.snapshots().is_empty());
}

/// A repository on a drive of its own. None where that is not permitted.
fn on_a_drive(len: u64) -> Option<(Scene, Arc<Mounted>)> {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("repository");
    std::fs::create_dir(&place).unwrap();
    let drive = Mounted::drive(len, &place)?;
    let repository = TestRepository::at(dir, "repository");
    Some((Scene { repository }, Arc::new(drive)))
}

/// What a capture leaves free on a drive, and what the phone wants beyond what it sends.
const RESERVE_LEN: u64 = 512 << 20;
const SPARE_LEN: u64 = 128 << 20;

#[test]
fn a_drive_that_is_too_small_is_told_before_anything_is_sent() {
    let Some((scene, drive)) = on_a_drive(RESERVE_LEN + (100 << 20)) else { return };
    let phone = TestPhone::paired();
    let ran = scene.backup(&phone, calm(), &[]).code(16);
    ran.says(&["error: ", "105", "next: free space on the drive"]);
    assert!(phone.noted("uploaded").is_empty());
    drive.again(&format!("size={}", RESERVE_LEN + SPARE_LEN + (100 << 20)));
    let summary = scene.backup_well(&phone);
    scene.assert_restores(id(&summary), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn a_drive_that_fills_up_stops_the_backup_which_goes_on_when_there_is_room() {
    let large = RESERVE_LEN + SPARE_LEN + (100 << 20);
    let Some((scene, drive)) = on_a_drive(large) else { return };
    let phone = TestPhone::paired();
    let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
    let shrinking = Arc::clone(&drive);
    let shrink = move || shrinking.again(&format!("size={RESERVE_LEN}"));
    let half = phone.truth().len() / 2;
    middle.after(0, half, Act::Call(Box::new(shrink)));
    let ran = scene.run(&middle.address(), &["backup", "--json"]).code(16);
    ran.says(&["error: the drive is full", "next: free some space", "it goes on where it stopped"]);
    assert!(scene.draft_count() > 0);
    assert!(scene.repository.snapshots().is_empty());
    let planned = planned_count(&phone);
    drive.again(&format!("size={large}"));
    let summary = scene.backup(&phone, calm(), &[]).code(0).summary();
    assert_eq!(summary["resumed"], true);
    assert!(planned_count(&phone) < planned, "everything was sent again");
    scene.assert_restores(id(&summary), &phone.truth());
    assert_eq!(scene.draft_count(), 0);
    scene.repository.assert_sound();
}

#[test]
fn ctrl_c_lets_go_of_the_phone_and_keeps_what_came() {
    let before = Before::first(TestPhone::paired());
    let (scene, phone) = before.copy();
    let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
    let (reached, half) = channel();
    let (go_on, gone_on) = channel::<()>();
    let gone_on = Mutex::new(gone_on);
    let wait = move || {
        reached.send(()).unwrap();
        let _signalled = gone_on.lock().unwrap().recv();
    };
    middle.after(0, before.link_len() / 2, Act::Call(Box::new(wait)));
    let running = Running::start(scene.command(&middle.address(), &["backup", "--json"]));
    half.recv_timeout(Duration::from_secs(60)).unwrap();
    running.signal("INT");
    std::thread::sleep(Duration::from_millis(500));
    go_on.send(()).unwrap();
    let ran = running.wait().code(130);
    ran.says(&["error: stopped as asked; what came so far is kept", "next: run the same command"]);
    assert!(scene.draft_count() > 0);
    before.assert_kept(&scene);
    assert_let_go(&phone);
    let summary = before.assert_next(&scene, &phone);
    assert_eq!(summary["resumed"], true);
}

#[test]
fn ctrl_c_while_the_passcode_is_waited_for_ends_at_once() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let address = phone.serve(Script { passcode: Passcode::After(600_000), ..calm() });
    scene.run(&address, &["pair"]).code(0);
    let running = Running::start(scene.command(&address, &["backup"]));
    running.wait_for("passcode");
    running.signal("INT");
    // The passcode never comes: to end at all is to end before it.
    running.wait().code(130);
    phone.assert_no_violation();
}

fn assert_let_go(phone: &TestPhone) {
    let is_goodbye = |request: &Value| request[0] == "DLMessageDisconnect";
    // A phone in the midst of a batch finds the link closed before it comes to read the goodbye.
    let is_free =
        || phone.noted("request").iter().any(is_goodbye) || !phone.noted("failed").is_empty();
    let started = std::time::Instant::now();
    while !is_free() {
        assert!(started.elapsed() < Duration::from_secs(60), "the phone was left waiting");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_row_without_its_file_makes_the_snapshot_incomplete_and_the_next_backup_full() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let first = scene.backup_well(&phone);
    let week = phone.truth();
    phone.advance();
    let now = phone.truth();
    let changed = now.files.iter().find(|(name, _)| !week.files.contains_key(*name));
    let ((domain, path), _) = changed.expect("a new file each week");
    let script = Script { missing_file: Some(format!("{domain}-{path}")), ..calm() };
    let ran = scene.backup(&phone, script, &[]).code(3);
    let ran = ran.says(&[]);
    let second = ran.summary();
    assert_eq!(second["verdict"], "incomplete");
    assert_eq!(second["problem_count"], 1);
    let problem = ran.messages().into_iter().find(|m| m["message_type"] == "problem").unwrap();
    assert!(problem["item"].as_str().unwrap().contains(path.as_str()), "{problem}");
    // It never stands for the phone while a complete one exists.
    scene.assert_restores("latest", &week);
    let third = scene.backup(&phone, calm(), &[]).code(0);
    assert!(third.stdout.contains("the last backup of this phone was incomplete"));
    assert_eq!(phone.noted("plan").pop().unwrap()["is_full"], true);
    let third = third.summary();
    assert_eq!(third["verdict"], "complete");
    scene.assert_restores("latest", &now);
    scene.assert_restores(id(&third), &now);
    scene.assert_restores(id(&first), &week);
    scene.repository.assert_sound();
}

#[test]
fn a_phone_that_says_it_is_done_before_it_is_makes_no_snapshot() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    scene.backup_well(&phone);
    let before = scene.repository.snapshots();
    phone.advance();
    let script = Script { ends_early: true, ..calm() };
    let ran = scene.backup(&phone, script, &[]).code(1);
    ran.says(&["error: the phone said that it is done, but its backup is in the state \"moving\""]);
    assert_eq!(scene.repository.snapshots(), before);
    let summary = scene.backup_well(&phone);
    scene.assert_restores(id(&summary), &phone.truth());
}

#[test]
fn files_that_come_through_a_scratch_folder_stand_where_the_phone_moved_them() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let ran = scene.backup(&phone, Script { b_paths: true, ..calm() }, &[]).code(0);
    scene.assert_restores(id(&ran.summary()), &phone.truth());
    scene.repository.assert_sound();
}

#[test]
fn names_that_lead_out_of_the_phones_folder_are_refused_and_the_backup_goes_on() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let ran = scene.backup(&phone, Script { hostile_names: true, ..calm() }, &[]).code(0);
    scene.assert_restores(id(&ran.summary()), &phone.truth());
    assert_eq!(phone.noted("violation").len(), 0);
}
