//! Any dated snapshot comes back to a phone, and leaves there what it should.

use russet_testkit::{Encryption, FakeBackup};

use super::super::support::{UDID, noise, text};
use super::*;

/// A phone of four weeks: each week's snapshot and files.
fn four_weeks(desk: &Desk, phone: &Handset) -> Vec<(String, Truth)> {
    let mut weeks = Vec::new();
    for week in 0..4 {
        if week > 0 {
            phone.advance();
        }
        weeks.push((desk.backup(phone), phone.truth()));
    }
    weeks
}

#[test]
fn each_of_four_weeks_is_left_alone_on_an_erased_phone_or_with_removal() {
    let (desk, phone) = (Desk::new(), Handset::new(31));
    let weeks = four_weeks(&desk, &phone);
    assert!(weeks[0].1 != weeks[3].1, "a phone that never changes proves nothing");
    for (week, truth) in &weeks {
        desk.restore_well(&phone, week, &["--remove-items"]);
        assert_same(&phone.truth(), truth);
    }
    for (week, truth) in weeks.iter().rev() {
        phone.erase();
        desk.restore_well(&phone, week, &["--no-keep-settings", "--system"]);
        assert_same(&phone.truth(), truth);
    }
    assert!(phone.lists_apps());
    phone.assert_no_violation();
    assert_eq!(desk.repository.snapshots().len(), 4, "a restore adds none");
    desk.repository.assert_sound();
}

#[test]
fn on_a_phone_in_use_what_else_was_there_stays() {
    let (desk, phone) = (Desk::new(), Handset::new(32));
    let first = desk.backup(&phone);
    let mut expected = phone.truth();
    phone.advance();
    phone.advance();
    let now = phone.truth();
    desk.restore_well(&phone, &first, &[]);
    let count_before = expected.len();
    for (key, file) in now {
        expected.entry(key).or_insert(file);
    }
    assert!(expected.len() > count_before, "the phone had nothing of its own");
    assert_same(&phone.truth(), &expected);
    phone.assert_no_violation();
}

#[test]
fn another_phone_becomes_what_the_first_one_was() {
    let (desk, old, new) = (Desk::new(), Handset::new(33), Handset::new(34));
    let snapshot = desk.backup(&old);
    let ran = desk.restore_well(&new, &snapshot, &["--remove-items"]);
    assert_eq!(ran.summary()["udid"], new.opened(Script::default()).udid());
    assert_same(&new.truth(), &old.truth());
    new.assert_no_violation();
}

#[test]
fn an_encrypted_week_comes_back_with_the_password_of_its_day() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(35, "of that day"));
    let (snapshot, truth) = (desk.backup(&phone), phone.truth());
    phone.erase();
    let right = desk.password_file("of that day");
    desk.restore_well(&phone, &snapshot, &["--phone-password-file", &right]);
    assert_same(&phone.truth(), &truth);
    phone.erase();
    let args = ["restore", &snapshot, "--yes", "--no-safety-backup", "--to-phone"];
    let mut command = desk.command(&phone.serve(Script::default()), &args);
    command.env("RUSSET_PHONE_PASSWORD_FILE", &right);
    run(command).code(0);
    assert_same(&phone.truth(), &truth);
    phone.assert_no_violation();
}

#[test]
fn an_imported_backup_that_was_opened_goes_to_a_phone_as_it_was_encrypted() {
    let (desk, phone) = (Desk::new(), Handset::new(38));
    let folder = FakeBackup::new(UDID)
        .file("HomeDomain", "Library/a.db", "alpha")
        .file("CameraRollDomain", "Media/DCIM/1.JPG", noise(1, 300_000))
        .encryption(Encryption::Password { password: "of that day".to_owned(), iterations: 10 })
        .write_to(desk.repository.folder("source"));
    let password = desk.password_file("of that day");
    let args = ["import", "--json", text(&folder), "--phone-password-file", &password];
    let summary = desk.repository.run(&args).code(0).summary();
    let opened = desk.repository.snapshots()[0]["counts"]["opened"].as_u64();
    assert!(opened.is_some_and(|count| count >= 2), "nothing was opened: {opened:?}");
    let snapshot = summary["snapshot_id"].as_str().unwrap();
    desk.restore_well(&phone, snapshot, &["--remove-items", "--phone-password-file", &password]);
    let found: Vec<_> =
        phone.truth().into_iter().map(|((_, path), (_, len))| (path, len)).collect();
    let expected = [("Media/DCIM/1.JPG".to_owned(), 300_000), ("Library/a.db".to_owned(), 5)];
    assert_eq!(found, expected);
    phone.assert_no_violation();
}

#[test]
fn a_phone_is_asked_for_what_was_typed_and_never_for_a_copy_on_this_side() {
    let (desk, phone) = (Desk::new(), Handset::new(36));
    let snapshot = desk.backup(&phone);
    desk.restore_well(&phone, &snapshot, &[]);
    desk.restore_well(
        &phone,
        &snapshot,
        &["--no-keep-settings", "--system", "--no-reboot", "--remove-items"],
    );
    let requests = phone.noted("request");
    let restores: Vec<&Value> = requests
        .iter()
        .filter(|request| request[1]["MessageName"] == "Restore")
        .map(|request| &request[1]["Options"])
        .collect();
    let wanted = |keep: bool, system: bool, reboot: bool, remove: bool| {
        serde_json::json!({
            "RestoreDontCopyBackup": true, "RestorePreserveSettings": keep, "RestoreSystemFiles": system,
            "RestoreShouldReboot": reboot, "RemoveItemsNotRestored": remove,
        })
    };
    assert_eq!(restores, [&wanted(true, false, true, false), &wanted(false, true, false, true)]);
}

#[test]
fn a_phone_that_asks_everything_twice_is_restored_all_the_same() {
    let (desk, phone) = (Desk::new(), Handset::new(37));
    let (snapshot, truth) = (desk.backup(&phone), phone.truth());
    phone.erase();
    let script = Script { duplicates: true, batch_count: 7, ..Script::default() };
    desk.restore(&phone, script, &snapshot, &[]).code(0);
    assert_same(&phone.truth(), &truth);
    phone.assert_no_violation();
}
