//! `russet phone-password`, and that the backup after it is right, whatever the phone made of the one before.

use super::*;

const OLD: &str = "old one";
const NEW: &str = "new one";

fn scripts() -> [Script; 2] {
    [true, false].map(|rewrap| Script { rewrap, ..Script::default() })
}

/// Backs the phone up; the snapshot must bring it back onto an erased phone with this password, and not be opened by another.
#[track_caller]
fn assert_next_backup_is_right(desk: &Desk, phone: &Handset, password: Option<&str>) {
    phone.advance();
    let (snapshot, truth) = (desk.backup(phone), phone.truth());
    let other = Handset::new(99);
    let file = password.map(|password| desk.password_file(password));
    let mut args = vec!["--remove-items"];
    if let Some(file) = &file {
        args.extend(["--phone-password-file", file]);
    }
    desk.restore_well(&other, &snapshot, &args);
    assert_same(&other.truth(), &truth);
    phone.assert_no_violation();
    other.assert_no_violation();
}

fn last_plan_is_full(phone: &Handset) -> bool {
    phone.noted("plan").last().unwrap()["is_full"].as_bool().unwrap()
}

#[test]
fn a_change_is_in_force_and_the_old_snapshots_open_with_the_old_password() {
    for (number, script) in scripts().into_iter().enumerate() {
        let (desk, phone) = (Desk::new(), Handset::encrypted(71, OLD));
        let (before, truth) = (desk.backup(&phone), phone.truth());
        let (old, new) = (desk.password_file(OLD), desk.password_file(NEW));
        let rewraps = script.rewrap;
        let args = [
            "phone-password",
            "change",
            "--json",
            "--old-password-file",
            &old,
            "--new-password-file",
            &new,
        ];
        let ran = desk.run(&phone.serve(script), &args).code(0);
        assert_eq!(ran.summary()["rewrapped"], rewraps);
        assert_eq!(phone.state().password.as_deref(), Some(NEW));
        assert_eq!(desk.repository.snapshots().len(), 1, "it makes no snapshot");
        let drafts = desk.repository.files("drafts").len();
        assert_eq!(drafts > 0, rewraps, "{drafts} files in drafts");
        assert_next_backup_is_right(&desk, &phone, Some(NEW));
        assert_eq!(last_plan_is_full(&phone), !rewraps);
        assert_eq!(desk.repository.files("drafts").len(), 0);
        let other = Handset::new(72 + u64::try_from(number).unwrap());
        desk.restore_well(&other, &before, &["--remove-items", "--phone-password-file", &old]);
        assert_same(&other.truth(), &truth);
        desk.repository.assert_sound();
    }
}

#[test]
fn encryption_is_switched_on_and_off_again() {
    for script in scripts() {
        let (desk, phone) = (Desk::new(), Handset::new(74));
        desk.backup(&phone);
        let new = desk.password_file(NEW);
        let address = phone.serve(script.clone());
        let status =
            || desk.run(&address, &["phone-password", "status", "--json"]).code(0).summary();
        assert_eq!(status()["encrypted"], false);
        let ran = desk.run(&address, &["phone-password", "enable", "--new-password-file", &new]);
        let ran = ran.code(0);
        assert!(ran.stdout.contains("are encrypted from now on"), "{}", ran.stdout);
        assert_eq!(status()["encrypted"], true);
        assert_next_backup_is_right(&desk, &phone, Some(NEW));
        let disable = ["phone-password", "disable", "--old-password-file", &new];
        desk.run(&address, &disable).code(2).says(&["--yes-really"]);
        assert_eq!(status()["encrypted"], true);
        desk.run(&address, &[&disable[..], &["--yes-really"]].concat()).code(0);
        assert_eq!(status()["encrypted"], false);
        assert_next_backup_is_right(&desk, &phone, None);
    }
}

#[test]
fn a_wrong_password_changes_nothing() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(75, OLD));
    desk.backup(&phone);
    let (wrong, new) = (desk.password_file("wrong"), desk.password_file(NEW));
    let address = phone.serve(Script::default());
    let args =
        ["phone-password", "change", "--old-password-file", &wrong, "--new-password-file", &new];
    desk.run(&address, &args).code(22).says(&["207", "stays as it was", "Reset All Settings"]);
    let args = ["phone-password", "disable", "--yes-really", "--old-password-file", &wrong];
    desk.run(&address, &args).code(22);
    assert_eq!(phone.state().password.as_deref(), Some(OLD));
    assert_eq!(desk.repository.files("drafts").len(), 0);
    assert_next_backup_is_right(&desk, &phone, Some(OLD));
    assert!(!last_plan_is_full(&phone));
}

#[test]
fn a_managed_phone_keeps_its_encryption_and_its_manager_is_named() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(80, OLD));
    let old = desk.password_file(OLD);
    let address = phone.serve(Script { requires_encryption: true, ..Script::default() });
    let args = ["phone-password", "disable", "--yes-really", "--old-password-file", &old];
    let ran = desk.run(&address, &args).code(1);
    ran.says(&["whoever manages this iPhone demands", "207", "nothing was changed"]);
    assert_eq!(phone.state().password.as_deref(), Some(OLD));
}

#[test]
fn what_makes_no_sense_is_told_before_a_password_is_asked_for() {
    let (desk, plain, sealed) = (Desk::new(), Handset::new(76), Handset::encrypted(77, OLD));
    let address = plain.serve(Script::default());
    for args in [&["change"][..], &["disable", "--yes-really"]] {
        let ran = desk.run(&address, &[&["phone-password"][..], args].concat()).code(1);
        ran.says(&["are not encrypted", "russet phone-password enable"]);
    }
    let address = sealed.serve(Script::default());
    let ran = desk.run(&address, &["phone-password", "enable"]).code(1);
    ran.says(&["are encrypted already", "russet phone-password change"]);
    let ran = desk.run(&address, &["phone-password", "change"]).code(2);
    ran.says(&["no terminal", "--old-password-file"]);
}

#[test]
fn a_passcode_that_is_not_entered_ends_with_15() {
    let (desk, phone) = (Desk::new(), Handset::new(78));
    let new = desk.password_file(NEW);
    let script = Script { passcode: russet_testkit::device::Passcode::Never, ..Script::default() };
    let args = ["phone-password", "enable", "--new-password-file", &new];
    let ran = desk.run(&phone.serve(script), &args).code(15);
    ran.says(&["208", "enter the passcode when it asks"]);
    assert_eq!(phone.state().password, None);
}

#[test]
fn an_interrupted_backup_is_gone_on_with_after_a_change() {
    let (desk, phone) = (Desk::new(), Handset::encrypted(79, OLD));
    desk.backup(&phone);
    phone.advance();
    let cut = Script { cut_after_files: Some(3), ..Script::default() };
    desk.run(&phone.serve(cut), &["backup"]).code(17);
    let (old, new) = (desk.password_file(OLD), desk.password_file(NEW));
    let args =
        ["phone-password", "change", "--old-password-file", &old, "--new-password-file", &new];
    desk.run(&phone.serve(Script::default()), &args).code(0);
    assert_next_backup_is_right(&desk, &phone, Some(NEW));
}

#[test]
fn a_password_that_is_kept_is_found_by_itself_and_typed_otherwise_goes_in_the_phone_s_form() {
    let (composed, decomposed) = ("\u{dc}bung", "U\u{308}bung");
    let (desk, phone) = (Desk::new(), Handset::encrypted(76, composed));
    let (snapshot, truth) = (desk.backup(&phone), phone.truth());
    let file = desk.password_file(decomposed);
    let other = Handset::new(77);
    desk.restore_well(&other, &snapshot, &["--remove-items", "--phone-password-file", &file]);
    assert_same(&other.truth(), &truth);
    let remember = ["phone-password", "remember", &snapshot, "--phone-password-file", &file];
    desk.run("unix:/nowhere", &remember).code(0);
    let another = Handset::new(78);
    desk.restore_well(&another, &snapshot, &["--remove-items"]);
    assert_same(&another.truth(), &truth);
    for phone in [phone, other, another] {
        phone.assert_no_violation();
    }
}
