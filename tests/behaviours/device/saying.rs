//! What a person is told beside a backup: when the phone may go, and what russet does with its password.
//!
//! Invariant: what is said is true at the moment it is said, and stands on stderr unless it is the answer.

use russet_testkit::device::Script;

use super::super::support::{Ran, run};
use super::{Scene, TestPhone};

const UNPLUG: &str = "You can unplug the phone.";
const KEPT: &str = "the iPhone backup password is kept in the repository";

/// A backup of a phone that encrypts, which waits for the right password.
fn waiting() -> (Scene, TestPhone) {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = scene.repository.beside("wrong");
    std::fs::write(&wrong, "wrong").unwrap();
    let args = ["--phone-password-file", wrong.to_str().unwrap()];
    scene.backup(&phone, Script::default(), &args).code(22);
    (scene, phone)
}

#[test]
fn the_phone_may_go_only_after_the_backup_that_needs_it() {
    let (scene, phone) = waiting();
    let told = "the phone may be unplugged now";
    let ran = scene.run(&phone.serve(Script::default()), &["backup"]).code(0).says(&[told]);
    let said = ran.stdout;
    assert_eq!(said.lines().filter(|line| line.starts_with("✓ Snapshot")).count(), 2, "{said}");
    assert!(!said.contains(UNPLUG), "said twice: {said}");
    let quiet = ["--quiet", "backup"];
    let said = scene.run(&phone.serve(Script::default()), &quiet).code(0).stdout;
    assert_eq!(said.lines().last().map(str::trim), Some(UNPLUG), "{said}");
}

#[test]
fn a_phone_that_does_not_encrypt_may_go_at_the_end() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let ran = scene.run(&phone.serve(Script::default()), &["backup"]).code(0);
    assert_eq!(ran.stdout.lines().last().map(str::trim), Some(UNPLUG), "{}", ran.stdout);
    assert!(!ran.stderr.contains("may be unplugged now"), "{}", ran.stderr);
}

#[test]
fn nobody_is_told_to_unplug_a_phone_that_is_not_there() {
    let (scene, _phone) = waiting();
    let mut command = scene.repository.command(&["reopen"]);
    command.env("RUSSET_PHONE_PASSWORD_FILE", scene.phone_password_file());
    let said = run(command).code(0).stdout;
    assert!(said.contains("✓ Snapshot") && !said.contains("unplug"), "{said}");
}

#[test]
fn notes_are_said_without_progress_and_hidden_by_quiet_alone() {
    let backup = |options: &[&str]| {
        let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
        let args = [options, &["backup"]].concat();
        scene.run(&phone.serve(Script::default()), &args).code(0)
    };
    let ran = backup(&["--no-progress"]);
    assert!(ran.stderr.contains(KEPT) && !ran.stdout.contains(KEPT), "{}", ran.stderr);
    let ran = backup(&["--quiet"]);
    assert!(!ran.stderr.contains("note: "), "{}", ran.stderr);
    let ran = backup(&["--no-progress", "--json"]);
    let notes = ran.messages().into_iter().filter(|message| message["message_type"] == "remark");
    let kept = notes.filter(|note| note["text"].as_str().is_some_and(|text| text.contains(KEPT)));
    assert_eq!(kept.count(), 1, "{}", ran.stdout);
    assert!(!ran.stderr.contains(KEPT), "{}", ran.stderr);
}

fn file(scene: &Scene, password: &str) -> String {
    let path = scene.repository.beside(&format!("password {password}"));
    std::fs::write(&path, password).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A command of a scene to which nobody gives a password of the phone.
fn without_password(scene: &Scene, phone: &TestPhone, script: Script, args: &[&str]) -> Ran {
    let mut command = scene.command(&phone.serve(script), args);
    command.env_remove("RUSSET_PHONE_PASSWORD_FILE");
    run(command)
}

#[test]
fn a_change_takes_the_old_password_from_the_repository_and_keeps_the_new_one() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    scene.backup_well(&phone);
    let new = file(&scene, "a new one");
    let args = ["phone-password", "change", "--new-password-file", &new];
    let ran = without_password(&scene, &phone, Script::default(), &args).code(0);
    ran.says(&["until now is taken from the repository", "new iPhone backup password is kept"]);
    assert_eq!(phone.state().password.as_deref(), Some("a new one"));
    let args = ["phone-password", "disable", "--yes-really"];
    without_password(&scene, &phone, Script::default(), &args).code(0);
    assert_eq!(phone.state().password, None);
    phone.assert_no_violation();
}

#[test]
fn a_new_password_that_is_not_kept_is_told_with_what_that_costs() {
    let not_rewrapped = Script { rewrap: false, ..Script::default() };
    for (script, option, words) in [
        (Script::default(), Some("--no-remember"), "is NOT kept"),
        (not_rewrapped, None, "is not kept yet"),
    ] {
        let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
        scene.backup_well(&phone);
        let new = file(&scene, "a new one");
        let mut args = vec!["phone-password", "change", "--new-password-file", &new];
        args.extend(option);
        without_password(&scene, &phone, script.clone(), &args).code(0).says(&[words]);
        phone.advance();
        without_password(&scene, &phone, script, &["backup"]).code(22);
    }
}

#[test]
fn a_kept_password_that_is_not_the_phones_any_more_is_told_with_its_date() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    scene.backup_well(&phone);
    let mut state = phone.state();
    state.password = Some("changed elsewhere".to_owned());
    state.save(&phone.folder()).unwrap();
    let new = file(&scene, "a new one");
    let args = ["phone-password", "change", "--new-password-file", &new];
    let ran = without_password(&scene, &phone, Script::default(), &args).code(22);
    ran.says(&["that the repository keeps since 20", "next: nothing was changed"]);
    assert_eq!(phone.state().password.as_deref(), Some("changed elsewhere"));
}

#[test]
fn a_password_that_does_not_open_the_last_backup_is_named_by_where_it_comes_from() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    scene.backup(&phone, Script::default(), &["--no-remember"]).code(0);
    let wrong = file(&scene, "wrong");
    phone.advance();
    let args = ["backup", "--phone-password-file", &wrong];
    let ran = without_password(&scene, &phone, Script::default(), &args).code(22);
    ran.says(&[
        "the iPhone backup password that was given does not open this iPhone's last backup, of 20",
        "what it sends is kept all the same",
    ]);
    // Only one of another day is kept.
    let scene = Scene::new();
    scene.backup_well(&phone);
    let mut state = phone.state();
    (state.password, state.full_next) = (Some("another".to_owned()), true);
    state.save(&phone.folder()).unwrap();
    phone.advance();
    let args = ["backup", "--no-remember", "--phone-password-file", &file(&scene, "another")];
    without_password(&scene, &phone, Script::default(), &args).code(0);
    phone.advance();
    let ran = without_password(&scene, &phone, Script::default(), &["backup"]).code(22);
    ran.says(&["password that the repository keeps since 20", "does not open this iPhone's last"]);
}

#[test]
fn the_day_of_a_backup_is_told_as_it_is_where_the_person_is() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    scene.backup(&phone, Script::default(), &["--no-remember"]).code(0);
    phone.advance();
    let wrong = file(&scene, "wrong");
    let there = |args: &[&str]| {
        let mut command = scene.command(&phone.serve(Script::default()), args);
        command.env("TZ", "<+14>-14");
        run(command)
    };
    let listed = there(&["snapshots"]).code(0).stdout;
    let shown: Vec<&str> = listed.lines().last().unwrap().split_whitespace().collect();
    let ran = there(&["backup", "--phone-password-file", &wrong]).code(22);
    ran.says_of(
        "does not open this iPhone's last backup",
        &format!("of {} {}", shown[1], shown[2]),
    );
}

#[test]
fn doctor_tells_of_backups_that_wait() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let doctor = || scene.run("/nowhere/mux", &["doctor"]).code(1).stdout;
    assert!(!doctor().contains("waiting backups"));
    let args = ["--phone-password-file", &file(&scene, "wrong")];
    scene.backup(&phone, Script::default(), &args).code(22);
    let said = doctor();
    let line = said.lines().position(|line| line.starts_with("! waiting backups: 1 ")).unwrap();
    assert!(said.lines().nth(line + 1).unwrap().contains("`russet reopen"), "{said}");
}

#[test]
fn a_draft_that_outlived_its_snapshot_waits_for_nothing() {
    let (scene, _phone) = waiting();
    let drafts = scene.repository.path().join("drafts");
    let kept = scene.repository.beside("drafts");
    super::copy_over(&drafts, &kept);
    let waits = || scene.repository.run(&["snapshots"]).code(0).stderr.contains(" waits for its");
    assert!(waits());
    scene.run("/nowhere/mux", &["reopen"]).code(0);
    // As after a kill before the last that a run does: the spool is gone, and the draft is not.
    super::copy_over(&kept, &drafts);
    assert!(!waits(), "its snapshot is there");
    let doctor = scene.run("/nowhere/mux", &["doctor"]).code(1).stdout;
    assert!(!doctor.contains("waiting backups"), "{doctor}");
    scene.run("/nowhere/mux", &["reopen"]).code(0);
    assert_eq!((scene.draft_count(), scene.repository.snapshots().len()), (0, 1));
}
