//! The snapshot that is made of a phone before it is written to.

use super::*;

fn restore(desk: &Desk, phone: &Handset, script: Script, snapshot: &str) -> Ran {
    let args = ["restore", snapshot, "--yes", "--json", "--remove-items", "--to-phone"];
    desk.run(&phone.serve(script), &args)
}

#[test]
fn a_phone_is_backed_up_before_and_that_snapshot_brings_it_back() {
    let (desk, phone) = (Desk::new(), Handset::new(61));
    let (first, first_truth) = (desk.backup(&phone), phone.truth());
    phone.advance();
    let now = phone.truth();
    let ran = restore(&desk, &phone, Script::default(), &first).code(0);
    assert_same(&phone.truth(), &first_truth);
    let snapshots = desk.repository.snapshots();
    let [_, safety] = snapshots.as_slice() else { panic!("{snapshots:?}") };
    assert_eq!(safety["tags"], serde_json::json!(["before-restore"]));
    let told = ran.messages();
    assert!(told.iter().any(
        |m| m["message_type"] == "safety_snapshot" && m["snapshot_id"] == safety["snapshot_id"]
    ));
    let ls = desk.run("unix:/nowhere", &["ls", "latest"]).code(0);
    ls.says_of(&safety["snapshot_id"].as_str().unwrap()[..8], "is newer: the safety backup");
    desk.restore_well(&phone, safety["snapshot_id"].as_str().unwrap(), &["--remove-items"]);
    assert_same(&phone.truth(), &now);
    phone.assert_no_violation();
}

#[test]
fn the_password_that_is_given_opens_the_safety_backup_too() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(64, "one"));
    let first = desk.backup(&phone);
    let file = desk.password_file("one");
    let args = ["restore", &first, "--yes", "--phone-password-file", &file, "--to-phone"];
    desk.run(&phone.serve(Script::default()), &args).code(0);
    let snapshots = desk.repository.snapshots();
    let opened: Vec<_> = snapshots.iter().map(|s| s["opened"].clone()).collect();
    assert_eq!(opened, [false, true]);
}

#[test]
fn latest_is_still_the_same_after_an_attempt_that_failed() {
    let (desk, phone) = (Desk::new(), Handset::new(62));
    let (_, truth) = (desk.backup(&phone), phone.truth());
    phone.erase();
    // So many files that the backup before does not need them, and the restore does.
    let cut = Script { cut_after_downloads: Some(60), ..Script::default() };
    restore(&desk, &phone, cut, "latest").code(17);
    assert!(phone.truth().is_empty());
    restore(&desk, &phone, Script::default(), "latest").code(0);
    assert_same(&phone.truth(), &truth);
}

#[test]
fn a_phone_that_cannot_be_backed_up_is_not_written_to() {
    let (desk, phone) = (Desk::new(), Handset::new(63));
    let first = desk.backup(&phone);
    phone.advance();
    let before = phone.truth();
    let cut = Script { cut_after_files: Some(1), ..Script::default() };
    restore(&desk, &phone, cut, &first)
        .code(17)
        .says(&["nothing on the iPhone was changed", "cause: the connection ended"]);
    assert_same(&phone.truth(), &before);
    assert_eq!(phone.noted("fetched"), Vec::<Value>::new());
    assert_eq!(desk.repository.snapshots().len(), 1);
}

#[test]
fn what_is_sent_for_the_safety_backup_waits_where_a_person_says() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(65, "one"));
    let first = desk.backup(&phone);
    phone.advance();
    let (file, dir) = (desk.password_file("one"), desk.repository.folder("drive").join("spool"));
    let spool = ["--spool", dir.to_str().unwrap()];
    let args = ["restore", &first, "--yes", "--phone-password-file", &file, "--to-phone"];
    let args = [&args[..], &spool].concat();
    let cut = Script { cut_after_files: Some(1), ..Script::default() };
    desk.run(&phone.serve(cut), &args).code(17);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    desk.run(&phone.serve(Script::default()), &args).code(0);
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);
    // Where no backup is made, none waits.
    let none = [&args[..], &["--no-safety-backup"]].concat();
    desk.run(&phone.serve(Script::default()), &none).code(2);
}
