//! Restores that end in the middle: the phone is as it was, or nobody claims to know better.

use super::*;

#[test]
fn a_cut_leaves_the_phone_as_it_was_and_the_next_attempt_ends_well() {
    let (desk, phone) = (Desk::new(), Handset::new(51));
    let (snapshot, truth) = (desk.backup(&phone), phone.truth());
    phone.advance();
    let before = phone.truth();
    for cut_after_downloads in [0, 2, 5, 77, 200] {
        let script = Script { cut_after_downloads: Some(cut_after_downloads), ..Script::default() };
        let ran = desk.restore(&phone, script, &snapshot, &["--remove-items"]).code(17);
        ran.says(&["the link to the phone was lost while", "it begins anew"]);
        // The list of apps may stay: with the link gone nobody can take it away, and the next restore writes it anew.
        assert_same(&phone.truth(), &before);
    }
    desk.restore_well(&phone, &snapshot, &["--remove-items"]);
    assert_same(&phone.truth(), &truth);
    phone.assert_no_violation();
}

#[test]
fn a_phone_that_restarts_without_an_answer_is_no_success() {
    let (desk, phone) = (Desk::new(), Handset::new(52));
    let (snapshot, truth) = (desk.backup(&phone), phone.truth());
    phone.erase();
    let script = Script { silent_reboot: true, ..Script::default() };
    let ran = desk.restore(&phone, script, &snapshot, &[]).code(17);
    ran.says(&["it is probably restarting now", "next: wait until the iPhone has started"]);
    assert_same(&phone.truth(), &truth);
    assert!(phone.lists_apps(), "a phone that starts anew reads it");
}

#[test]
fn damage_that_shows_on_the_way_is_named() {
    let (desk, phone) = (Desk::new(), Handset::new(53));
    let snapshot = desk.backup(&phone);
    phone.advance();
    let before = phone.truth();
    let packs = desk.repository.files("packs");
    let largest = packs.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(largest).unwrap();
    for quarter in 1..4 {
        let at = bytes.len() * quarter / 4;
        bytes[at] ^= 1;
    }
    fs::write(largest, bytes).unwrap();
    let ran = desk.restore(&phone, Script::default(), &snapshot, &[]).code(20);
    ran.says(&["the phone ended the restore with error", "could not be sent: ", "russet verify"]);
    assert_same(&phone.truth(), &before);
    // What is there and cannot be read is never called missing, though this phone cannot know which of the two it is.
    let judged = phone.noted("violation");
    assert!(!judged.is_empty());
    for violation in judged {
        assert_eq!(violation["rule"], "a missing file is -6");
        assert_eq!(violation["detail"][1], -11);
    }
}
