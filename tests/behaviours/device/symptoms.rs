//! What a person sees when a phone, its owner or its manager is in the way: each symptom that is known of working clients, the exit
//! code, and the words that say what to do.
//!
//! Invariant: every symptom known has a row, and a row without a run says why it has none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use russet_testkit::device::{Passcode, Script};

use super::super::drive::{soak, tell_soak};
use super::super::support::{Ran, Running};
use super::cuts::calm;
use super::{Scene, TestPhone, id};

/// What is run to see a symptom.
enum Seen {
    /// `russet pair` with a phone that was never paired.
    Pair(Script),
    /// `russet backup` with a phone that is paired.
    Backup(Script),
    /// The same, and the request for a backup ends with this number.
    Ends(i64),
    /// A restore to the phone that ends with this number.
    RestoreEnds(i64),
    /// Not by a script of one run; where else, or why not.
    Elsewhere(&'static str),
}

use Seen::{Backup, Elsewhere, Ends, Pair, RestoreEnds};

/// The symptom, how it is seen, the exit code, the words.
type Row = (&'static str, Seen, i32, &'static [&'static str]);

fn trust() -> [Row; 7] {
    let locked = Script { locked: true, ..calm() };
    let denied = Script { deny_pairing: true, ..calm() };
    let waiting = Script { trust_polls: 1000, ..calm() };
    [
        (
            "InvalidHostID: no longer trusted",
            Elsewhere("a_phone_that_forgot_this_computer_asks_again_and_is_backed_up, below"),
            0,
            &[],
        ),
        ("PasswordProtected when pairing", Pair(locked), 15, &["the phone is locked", "unlock"]),
        ("PairingDialogResponsePending", Pair(waiting), 15, &["Trust", "next: tap Trust"]),
        ("UserDeniedPairing", Pair(denied), 15, &["next: plug the iPhone in again to be asked"]),
        ("1: locked since it was started", Ends(1), 15, &["next: unlock the iPhone once after"]),
        ("3: snapshot exists", Ends(3), 1, &["left something behind", "restart the iPhone"]),
        ("4: no such file", Ends(4), 1, &["next: run it again with `--full`"]),
    ]
}

fn troubles() -> [Row; 17] {
    let cable = &["next: unlock the iPhone, check the cable", "it goes on where it stopped"];
    let never = Script { passcode: Passcode::Never, ..calm() };
    let managed = Script { requires_encryption: true, ..calm() };
    let full = Script { extra_need: 900 << 30, purge: false, ..calm() };
    let cut = Script { cut_after_files: Some(2), ..calm() };
    [
        ("25: restored from iCloud", Ends(25), 1, &["still being restored from iCloud: wait"]),
        ("100: I/O", Ends(100), 17, cable),
        ("101: I/O", Ends(101), 17, cable),
        ("102: link", Ends(102), 17, cable),
        ("103: reading properties", Ends(103), 17, cable),
        ("104: errors uploading", Ends(104), 1, &["next: unlock the iPhone, leave it unlocked"]),
        ("105: no room on the host", Backup(full), 16, &["105", "next: free space on the drive"]),
        ("106: no room on the phone", Ends(106), 16, &["next: free space on the iPhone"]),
        ("202: cancelled", Ends(202), 15, &["it was cancelled on the iPhone"]),
        ("203: newer iOS", Ends(203), 1, &["next: update the iPhone"]),
        ("205: files not in backup", Ends(205), 1, &["next: run it again with `--full`"]),
        ("207: encryption required", Backup(managed), 1, &["207", "russet phone-password enable"]),
        ("208: passcode not entered", Backup(never), 15, &["208", "the passcode was not entered"]),
        ("209: forbidden", Ends(209), 1, &["next: whoever manages this iPhone forbids backups"]),
        ("EOF in the middle", Backup(cut), 17, &["the link to the phone was lost", "plug the"]),
        (
            "version exchange: no common version",
            Elsewhere(
                "a fault of clients of 2019 alone; russet takes the phone's version (link/tests/greeting.rs)",
            ),
            0,
            &[],
        ),
        (
            "hangs at 0 %",
            Elsewhere(
                "it is the passcode sheet, which is told (pairing.rs); a phone that is silent: below",
            ),
            0,
            &[],
        ),
    ]
}

fn restores() -> [Row; 10] {
    let manager = &["next: whoever manages this iPhone forbids restores"];
    [
        ("restore 105: phone full", RestoreEnds(105), 16, &["next: free space on the iPhone"]),
        ("restore 106: phone full", RestoreEnds(106), 16, &["next: free space on the iPhone"]),
        ("restore 203: newer iOS", RestoreEnds(203), 1, &["the snapshot is of a newer iOS"]),
        ("restore 204: nothing complete", RestoreEnds(204), 1, &["never finished: choose another"]),
        ("restore 205: files missing", RestoreEnds(205), 1, &["at odds with itself", "verify"]),
        ("restore 207: wrong password", RestoreEnds(207), 22, &["of the day of that snapshot"]),
        ("restore 209: forbidden", RestoreEnds(209), 1, manager),
        ("restore 210: no account state", RestoreEnds(210), 1, manager),
        ("restore 211: Find My", RestoreEnds(211), 1, &["next: turn Find My off"]),
        ("restore 212: Setup Assistant", RestoreEnds(212), 1, &["the first steps of setting up"]),
    ]
}

fn ends(request: &str, code: i64) -> Script {
    Script { ends_with: BTreeMap::from([(request.to_owned(), code)]), ..calm() }
}

fn look(rows: impl IntoIterator<Item = Row>) {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let snapshot = scene.backup_well(&phone);
    let restore = ["restore", id(&snapshot), "--yes", "--no-safety-backup", "--to-phone"];
    let truth = phone.truth();
    for (symptom, seen, exit, words) in rows {
        let (ran, number): (Ran, _) = match seen {
            Pair(script) => {
                let new = TestPhone::new(61);
                (scene.run(&new.serve(script), &["pair", "--timeout", "2s"]), None)
            }
            Backup(script) => (scene.run(&phone.serve(script), &["backup"]), None),
            Ends(code) => (scene.run(&phone.serve(ends("Backup", code)), &["backup"]), Some(code)),
            RestoreEnds(code) => {
                (scene.run(&phone.serve(ends("Restore", code)), &restore), Some(code))
            }
            Elsewhere(why) => {
                assert!(!why.is_empty(), "{symptom}");
                continue;
            }
        };
        assert_eq!(ran.exit, Some(exit), "{symptom}:\n{}", ran.stderr);
        // Apple's own number is what people search for.
        let number = number.map(|number| number.to_string());
        ran.says(words).says(&number.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(scene.repository.snapshots().len(), 1, "{symptom}");
        assert_eq!(phone.truth(), truth, "{symptom}");
    }
}

#[test]
fn what_stands_between_a_phone_and_this_computer_is_told_with_what_to_do() {
    look(trust());
}

#[test]
fn what_ends_a_backup_is_told_with_what_to_do() {
    look(troubles());
}

#[test]
fn what_ends_a_restore_is_told_with_what_to_do() {
    look(restores());
}

#[test]
fn a_phone_that_forgot_this_computer_asks_again_and_is_backed_up() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let mut state = phone.state();
    state.hosts.clear();
    state.save(&phone.folder()).unwrap();
    let denied = Script { deny_pairing: true, ..calm() };
    scene.run(&phone.serve(denied), &["backup"]).code(15).says(&["to be asked anew"]);
    let summary = scene.backup(&phone, calm(), &[]).code(0).summary();
    scene.assert_restores(id(&summary), &phone.truth());
}

const MOMENTS: [&str; 5] = ["asked", "uploading", "moving", "removing", "finished"];

/// A backup of a phone that says nothing more, once it says nothing more.
fn silent(moment: &str) -> (Scene, TestPhone, Running) {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let script = Script { silent_at: Some(moment.to_owned()), ..calm() };
    let running = Running::start(scene.command(&phone.serve(script), &["backup"]));
    let started = Instant::now();
    while phone.noted("silent").is_empty() {
        assert!(started.elapsed() < Duration::from_secs(50), "never silent at {moment}");
        std::thread::sleep(Duration::from_millis(10));
    }
    (scene, phone, running)
}

#[track_caller]
fn assert_gone_on_with(scene: &Scene, phone: &TestPhone) {
    assert!(scene.repository.snapshots().is_empty());
    let summary = scene.backup_well(phone);
    scene.assert_restores(id(&summary), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn a_phone_that_falls_silent_can_be_left_at_any_phase() {
    for moment in MOMENTS {
        let (scene, phone, running) = silent(moment);
        running.signal("INT");
        running.wait().code(130).says(&["stopped as asked", "next: run the same command again"]);
        assert_gone_on_with(&scene, &phone);
    }
}

/// The patience is long, for an owner may look for the passcode: ten minutes, which only a long run waits for.
#[test]
fn a_phone_that_stays_silent_is_given_up_at_any_phase() {
    if !soak() {
        return;
    }
    std::thread::scope(|scope| {
        for moment in MOMENTS {
            scope.spawn(move || {
                let (scene, phone, running) = silent(moment);
                let started = Instant::now();
                let ran = running.wait_for_so_long(Duration::from_secs(900)).code(17);
                ran.says(&["error: ", "next: plug the iPhone in again"]);
                let secs = started.elapsed().as_secs();
                tell_soak(&format!("device: silent at {moment}: given up after {secs} s"));
                assert_gone_on_with(&scene, &phone);
            });
        }
    });
}
