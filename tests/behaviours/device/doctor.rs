//! `russet doctor`, with a phone at hand and without.

use std::fs;

use russet_testkit::device::Script;

use super::cuts::calm;
use super::{Scene, TestPhone};

#[test]
fn a_phone_that_is_fine_is_told_line_by_line_and_a_report_names_nobody() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let address = phone.serve(calm());
    let report = scene.repository.beside("report");
    let args = ["doctor", "--report", report.to_str().unwrap()];
    let ran = scene.run(&address, &args).code(0);
    for words in [
        "✓ mux daemon: answers",
        "✓ Blue iPhone: trust: trusts this computer, by cable",
        "✓ Blue iPhone: iOS: 18.6.2",
        "✓ Blue iPhone: battery: 80 %",
        "✓ Blue iPhone: encryption: the phone encrypts its backups",
        "✓ repository: opens, and holds 0 snapshots",
        "- Blue iPhone: its password: there is no encrypted snapshot of it yet",
    ] {
        assert!(ran.stdout.contains(words), "{words}\n{}", ran.stdout);
    }
    let report = fs::read_to_string(report).unwrap();
    assert!(report.contains("✓ iOS: 18.6.2"), "{report}");
    let path = scene.repository.path();
    for private in ["Blue iPhone", &phone.udid(), path.to_str().unwrap()] {
        assert!(!report.contains(private), "{private}\n{report}");
    }
}

#[test]
fn a_password_that_nobody_kept_is_worth_a_word_and_one_that_is_kept_is_fine() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let address = phone.serve(calm());
    scene.run(&address, &["backup", "--no-remember"]).code(0);
    let before = scene.run(&address, &["doctor"]).code(0).stdout;
    assert!(before.contains("! Blue iPhone: its password:"), "{before}");
    assert!(before.contains("russet phone-password remember "), "{before}");
    scene.run(&address, &["phone-password", "remember", "latest"]).code(0);
    let after = scene.run(&address, &["doctor"]).code(0).stdout;
    assert!(after.contains("✓ Blue iPhone: its password: the one of its newest"), "{after}");
}

#[test]
fn what_is_in_the_way_is_told_with_what_to_do_and_ends_with_1() {
    let scene = Scene::new();
    let nowhere = scene.repository.beside("no daemon");
    let ran = scene.run(nowhere.to_str().unwrap(), &["doctor"]).code(1);
    assert!(ran.stdout.contains("✗ mux daemon:"), "{}", ran.stdout);
    if cfg!(target_os = "linux") {
        assert!(ran.stdout.contains("install it: `apt install usbmuxd`"), "{}", ran.stdout);
    }

    let untrusted = TestPhone::new(71);
    let ran = scene.run(&untrusted.serve(Script::default()), &["doctor"]).code(1);
    assert!(
        ran.stdout.contains("trust: ") && ran.stdout.contains("`russet pair`"),
        "{}",
        ran.stdout
    );

    let phone = TestPhone::paired();
    let locked = phone.serve(Script { locked: true, ..calm() });
    let ran = scene.run(&locked, &["doctor"]).code(0);
    assert!(ran.stdout.contains("! Blue iPhone: lock: the phone is locked"), "{}", ran.stdout);
    assert!(ran.stdout.contains("! Blue iPhone: encryption: the phone does not"), "{}", ran.stdout);

    let managed = phone.serve(Script { requires_encryption: true, ..calm() });
    let ran = scene.run(&managed, &["doctor"]).code(1);
    assert!(ran.stdout.contains("whoever manages it demands that"), "{}", ran.stdout);

    let args = ["--repo", "/nonexistent/drive", "doctor"];
    let ran = scene.run(&phone.serve(calm()), &args).code(1);
    assert!(ran.stdout.contains("is the drive connected, and the path right?"), "{}", ran.stdout);
}
