//! What is in the way is found before anything of the phone changes, and is told.

use russet_testkit::FakeBackup;

use super::super::support::{UDID, fake, text};
use super::*;

/// Nothing was asked of its backup service, and it is as it was.
#[track_caller]
fn assert_left_alone(phone: &Handset, before: &Truth) {
    assert_same(&phone.truth(), before);
    assert_eq!(phone.noted("fetched"), Vec::<Value>::new());
    assert!(!phone.lists_apps());
}

/// Imports a backup whatever it lacks; gives the id of its snapshot.
fn adopt(desk: &Desk, backup: &FakeBackup) -> String {
    let folder = backup.write_to(desk.repository.folder("source"));
    desk.repository.run(&["import", "--json", "--allow-incomplete", text(&folder)]);
    desk.repository.snapshots()[0]["snapshot_id"].as_str().unwrap().to_owned()
}

#[test]
fn an_incomplete_snapshot() {
    let (desk, phone) = (Desk::new(), Handset::new(41));
    let snapshot = adopt(&desk, &fake().row_without_payload("HomeDomain", "Library/gone"));
    let before = phone.truth();
    let ran = desk.restore(&phone, Script::default(), &snapshot, &[]).code(1);
    ran.says(&["the snapshot is incomplete", "next: choose another snapshot"]);
    assert_left_alone(&phone, &before);
}

#[test]
fn a_snapshot_of_a_newer_ios() {
    let (desk, phone) = (Desk::new(), Handset::new(42));
    let info = format!(
        "<plist><dict><key>Product Version</key><string>99.0</string><key>Target Identifier</key><string>{UDID}</string></dict></plist>"
    );
    let manifest = "<plist><dict><key>IsEncrypted</key><false/><key>Version</key><string>10.0</string><key>Lockdown</key><dict><key>ProductVersion</key><string>99.0</string></dict></dict></plist>";
    let snapshot = adopt(&desk, &fake().raw("Info.plist", info).raw("Manifest.plist", manifest));
    let before = phone.truth();
    let ran = desk.restore(&phone, Script::default(), &snapshot, &[]).code(1);
    ran.says(&["has iOS 18.6.2, and the snapshot is of iOS 99.0", "203"]);
    assert_left_alone(&phone, &before);
}

#[test]
fn find_my() {
    let (desk, phone) = (Desk::new(), Handset::new(43));
    let (snapshot, before) = (desk.backup(&phone), phone.truth());
    let script = Script { find_my: true, ..Script::default() };
    let ran = desk.restore(&phone, script, &snapshot, &[]).code(1);
    ran.says(&["Find My is on", "next: turn Find My off", "211"]);
    assert_left_alone(&phone, &before);
}

#[test]
fn a_snapshot_that_misses_a_pack() {
    let (desk, phone) = (Desk::new(), Handset::new(44));
    let (snapshot, before) = (desk.backup(&phone), phone.truth());
    let packs = desk.repository.files("packs");
    let largest = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::remove_file(largest).unwrap();
    let ran = desk.restore(&phone, Script::default(), &snapshot, &[]).code(20);
    ran.says(&["are missing from the repository", "it misses pieces: ", "russet verify"]);
    assert_left_alone(&phone, &before);
}

#[test]
fn without_a_word_that_it_is_meant() {
    let (desk, phone) = (Desk::new(), Handset::new(45));
    let (snapshot, before) = (desk.backup(&phone), phone.truth());
    let address = phone.serve(Script::default());
    let ran = desk.run(&address, &["restore", &snapshot, "--no-safety-backup", "--to-phone"]);
    ran.code(2).says(&["no terminal", "next: run it again with `--yes`"]);
    assert_left_alone(&phone, &before);
}

#[test]
fn an_encrypted_snapshot_without_a_password() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(46, "x"));
    let (snapshot, before) = (desk.backup(&phone), phone.truth());
    let ran = desk.restore(&phone, Script::default(), &snapshot, &[]).code(2);
    ran.says(&["--phone-password-file", "RUSSET_PHONE_PASSWORD_FILE"]);
    assert_left_alone(&phone, &before);
}

#[test]
fn an_encrypted_snapshot_with_the_wrong_password() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(47, "right"));
    let (snapshot, before) = (desk.backup(&phone), phone.truth());
    let wrong = desk.password_file("wrong");
    let args = ["--phone-password-file", wrong.as_str()];
    let ran = desk.restore(&phone, Script::default(), &snapshot, &args).code(22);
    ran.says(&["not the iPhone backup password", "of its day", "nothing was done"]);
    assert_left_alone(&phone, &before);
    phone.assert_no_violation();
}

#[test]
fn another_phone_than_the_one_that_is_meant() {
    let (desk, phone) = (Desk::new(), Handset::new(48));
    let snapshot = desk.backup(&phone);
    let address = phone.serve(Script::default());
    let ran = desk.run(&address, &["restore", &snapshot, "--yes", "--to-phone", "Red iPhone"]);
    ran.code(14).says(&["no connected iPhone is called \"Red iPhone\""]);
    let ran = desk.run(&address, &["restore", "7777", "--yes", "--to-phone", "blue iphone"]);
    ran.code(1).says(&["no snapshot fits \"7777\""]);
    assert_eq!(desk.repository.snapshots().len(), 1);
}

#[test]
fn options_of_a_phone_without_a_phone() {
    let desk = Desk::new();
    let ran = desk.repository.run(&["restore", "latest", "--target", "x", "--remove-items"]);
    ran.code(2).says(&["cannot be used with '--remove-items'"]);
    desk.repository.run(&["restore", "latest"]).code(2).says(&["--target"]);
    let both = ["restore", "latest", "--target", "x", "--to-phone"];
    desk.repository.run(&both).code(2).says(&["cannot be used with"]);
}
