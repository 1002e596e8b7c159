//! Several phones at once.
//!
//! Invariant: what befalls one phone is not felt by another.

use std::collections::BTreeSet;

use super::cuts::calm;
use super::middle::{Act, Middle};
use super::{Scene, TestPhone};

/// Two phones behind one daemon.
struct Two {
    scene: Scene,
    phones: [TestPhone; 2],
}

impl Two {
    fn new() -> Self {
        Self { scene: Scene::new(), phones: [TestPhone::paired(), TestPhone::new(91)] }
    }

    fn middle(&self) -> Middle {
        let both: Vec<_> = self.phones.iter().map(|p| (p.udid(), p.serve(calm()))).collect();
        Middle::new(&both)
    }

    /// Which phones have a snapshot, each of which comes back.
    fn assert_snapshots(&self, wanted: &[usize]) {
        let mut found = BTreeSet::new();
        for snapshot in self.scene.repository.snapshots() {
            let at = self.phones.iter().position(|p| snapshot["udid"] == p.udid()).unwrap();
            let word = snapshot["snapshot_id"].as_str().unwrap();
            self.scene.assert_restores(word, &self.phones[at].truth());
            found.insert(at);
        }
        assert_eq!(found, wanted.iter().copied().collect());
    }
}

#[test]
fn all_phones_are_backed_up_at_once_and_each_comes_back() {
    let two = Two::new();
    let middle = two.middle();
    for phone in &two.phones {
        two.scene.run(&middle.address(), &["pair", &phone.udid()]).code(0);
    }
    let ran = two.scene.run(&middle.address(), &["backup", "--all", "--json"]).code(0);
    let summaries = ran.messages().into_iter().filter(|m| m["message_type"] == "summary");
    assert_eq!(summaries.count(), 2);
    // Both are called "Blue iPhone": whoever is asked for a passcode knows which one asks.
    let told = ran.messages().into_iter().filter(|m| m["message_type"] == "prompt");
    let told: BTreeSet<_> =
        told.map(|m| (m["device"].to_string(), m["udid"].to_string())).collect();
    let wanted = two.phones.iter().map(TestPhone::udid).map(|udid| {
        let called = format!("\"Blue iPhone (…{})\"", &udid[udid.len() - 4..]);
        (called, format!("\"{udid}\""))
    });
    assert_eq!(told, wanted.collect());
    two.assert_snapshots(&[0, 1]);
    assert_eq!(two.scene.draft_count(), 0);
    two.scene.repository.assert_sound();
    for phone in &two.phones {
        phone.assert_no_violation();
        phone.advance();
    }
    two.scene.run(&middle.address(), &["backup", "--all"]).code(0);
    assert_eq!(two.scene.repository.snapshots().len(), 4);
    two.scene.repository.assert_sound();
}

#[test]
fn one_phone_of_two_that_is_cut_off_does_not_keep_the_other_from_its_snapshot() {
    let two = Two::new();
    let middle = two.middle();
    for phone in &two.phones {
        two.scene.run(&middle.address(), &["pair", &phone.udid()]).code(0);
    }
    for cut in [0, 1] {
        // The second time the other has little left to send.
        let len = if cut == 0 { two.phones[0].truth().len() / 2 } else { 200 << 10 };
        let middle = two.middle();
        middle.after(cut, len, Act::Cut);
        let ran = two.scene.run(&middle.address(), &["backup", "--all", "--json"]).code(17);
        let udid = two.phones[cut].udid();
        let whose = format!("Blue iPhone (…{}): error: ", &udid[udid.len() - 4..]);
        ran.says(&[&format!("{whose}the link to the phone was lost")]);
        if cut == 0 {
            two.assert_snapshots(&[1]);
        }
        assert!(two.scene.draft_count() > 0);
        two.scene.repository.assert_sound();
    }
    two.assert_snapshots(&[0, 1]);
    two.scene.run(&two.middle().address(), &["backup", "--all"]).code(0);
    two.assert_snapshots(&[0, 1]);
    assert_eq!(two.scene.draft_count(), 0);
    two.scene.repository.assert_sound();
    two.phones.iter().for_each(TestPhone::assert_no_violation);
}

#[test]
fn of_several_phones_one_must_be_named_by_what_only_it_has() {
    let two = Two::new();
    let middle = two.middle();
    let [first, second] = two.phones.each_ref().map(TestPhone::udid);
    two.scene.run(&middle.address(), &["backup"]).code(14).says(&["several iPhones", "--all"]);
    two.scene.run(&middle.address(), &["pair"]).code(14).says(&["several iPhones"]);
    for udid in [&first, &second] {
        two.scene.run(&middle.address(), &["pair", udid]).code(0);
    }
    let ran = two.scene.run(&middle.address(), &["backup", "Blue iPhone"]).code(14);
    ran.says(&["several connected iPhones are called", "by its UDID"]);
    two.scene.run(&middle.address(), &["backup", &second]).code(0);
    two.assert_snapshots(&[1]);
    two.scene.run(&middle.address(), &["backup", &first, &second]).code(0);
    two.assert_snapshots(&[0, 1]);
}

#[test]
fn a_drive_that_goes_away_in_the_middle_is_told_as_that() {
    for sent_len in [1_000_000, 6_000_000] {
        let (scene, phone) = (Scene::new(), TestPhone::paired());
        let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
        let (there, away) = (scene.repository.path().to_owned(), scene.repository.beside("away"));
        let (from, to) = (there.clone(), away.clone());
        let unplug = move || std::fs::rename(from, to).unwrap();
        middle.after(0, sent_len, Act::Call(Box::new(unplug)));
        let ran = scene.run(&middle.address(), &["backup"]).code(17);
        let ran = ran.says(&["is not connected any more", "next: plug the drive in again"]);
        assert!(!ran.stderr.contains("refused :"), "{}", ran.stderr);
        std::fs::rename(&away, &there).unwrap();
        scene.backup_well(&phone);
    }
}
