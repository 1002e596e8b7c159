//! What the script makes of the phone, against a small host of its own: each fault is seen by it, and the journal tells.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first surprise"
)]

mod attached;
mod host;

use super::manifest::{Archived, Row, read};
use super::{Passcode, Preset, Script, ScriptedPhone, State, locked, values};
use host::{End, Host};
use plist::Value;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

const EDGE: &str = "HomeDomain-Library/Edge/4096.bin";

/// A phone in a folder of its own, and a host that never saw it.
struct Pair {
    folder: TempDir,
    preset: Preset,
    phone: ScriptedPhone,
    host: Host,
}

impl Pair {
    fn of(preset: Preset, script: Script) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let phone = ScriptedPhone::open(folder.path(), State::new(1, preset), script).unwrap();
        Self { folder, preset, phone, host: Host::new() }
    }

    fn tiny(script: Script) -> Self {
        Self::of(Preset::Many(40), script)
    }

    /// The same phone in another mood.
    fn with_script(self, script: Script) -> Self {
        let new = State::new(1, self.preset);
        let phone = ScriptedPhone::open(self.folder.path(), new, script).unwrap();
        Self { phone, ..self }
    }

    fn backup(&mut self) -> End {
        self.host.backup(&self.phone)
    }

    fn change_password(&mut self, words: &[(&str, &str)]) -> End {
        self.host.request(&self.phone, "ChangePassword", words)
    }

    fn broken_rules(&self) -> Vec<String> {
        let violations = self.phone.violations().unwrap();
        violations.iter().map(|event| event.rule().to_owned()).collect()
    }

    /// What the journal tells under this name.
    fn told(&self, name: &str) -> Vec<serde_json::Value> {
        let events = self.phone.events().unwrap();
        events.into_iter().filter(|event| event.event == name).map(|event| event.detail).collect()
    }

    /// Files that the last run had to send.
    fn sent_count(&self) -> u64 {
        self.told("space").last().unwrap()["files"].as_u64().unwrap()
    }

    fn news(&self, name: &str) -> Receiver<String> {
        let (sender, receiver) = channel();
        locked(&self.phone.observers).push((name.to_owned(), sender));
        receiver
    }

    fn file(&self, name: &str) -> &[u8] {
        &self.host.files[&format!("{}/{name}", self.phone.udid())]
    }

    fn row(&self, id: &str) -> Row {
        let path = self.folder.path().join("read.db");
        std::fs::write(&path, self.file("Manifest.db")).unwrap();
        let mut found = None;
        read(&path, |row| {
            found = found.take().or_else(|| (row.id == id).then_some(row));
            Ok(())
        })
        .unwrap();
        found.unwrap()
    }

    fn backup_value(&self, key: &str) -> Result<Value, &'static str> {
        let state = self.phone.state().unwrap();
        values::value(&self.phone, &state, true, Some("com.apple.mobile.backup"), Some(key))
    }
}

fn edge_id() -> String {
    let (domain, path) = EDGE.split_once('-').unwrap();
    crate::file_id(domain, path)
}

fn edge_place() -> String {
    let id = edge_id();
    format!("{}/{id}", &id[..2])
}

#[test]
fn a_phone_in_a_good_mood_breaks_nothing_and_is_backed_up() {
    let mut pair = Pair::tiny(Script::default());
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.broken_rules(), [""; 0]);
    assert_eq!(pair.file(&edge_place()).len(), 4096);
}

#[test]
fn the_link_is_cut_after_as_many_bytes_as_the_script_says_and_the_next_run_goes_on() {
    for len in [0, 1, 189, 10_000, 77_777, 250_000] {
        let script = Script { cut_after_len: Some(len), block_len: 1_000, ..Script::default() };
        let mut pair = Pair::tiny(script);
        assert_eq!(pair.backup(), End::Lost, "{len}");
        let came: usize = pair.host.block_lens.iter().sum();
        assert_eq!(came as u64, len);
        assert_eq!(pair.told("unplugged").len(), 1);
        let mut pair = pair.with_script(Script::default());
        assert_eq!(pair.backup(), End::Response(0), "{len}");
        assert_eq!(pair.broken_rules(), [""; 0]);
    }
}

#[test]
fn a_host_that_leaves_when_the_owner_cancels_hears_nothing_more() {
    let mut pair = Pair::tiny(Script { cancel_after_files: Some(20), ..Script::default() });
    let news = pair.news("com.apple.itunes-client.syncCancelRequest");
    pair.host.habits.leaves_on = Some(news);
    assert_eq!(pair.backup(), End::Left);
    assert_eq!(pair.told("cancelled"), ["the host left"]);
}

#[test]
fn a_host_that_stays_when_the_owner_cancels_is_told_202() {
    let mut pair = Pair::tiny(Script { cancel_after_files: Some(20), ..Script::default() });
    assert_eq!(pair.backup(), End::Response(202));
    assert_eq!(pair.told("cancelled"), ["the host stayed"]);
    assert_eq!(pair.broken_rules(), [""; 0]);
}

#[test]
fn the_passcode_sheet_is_told_when_it_comes_and_when_it_goes() {
    let mut pair = Pair::tiny(Script { passcode: Passcode::After(5), ..Script::default() });
    let shown = pair.news("com.apple.LocalAuthentication.ui.presented");
    let gone = pair.news("com.apple.LocalAuthentication.ui.dismissed");
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!((shown.try_iter().count(), gone.try_iter().count()), (1, 1));
    let posted = pair.told("posted");
    let order: Vec<_> =
        posted.iter().filter_map(|name| name.as_str()?.rsplit('.').next()).collect();
    assert_eq!(order, ["presented", "dismissed"]);
}

#[test]
fn a_host_that_refuses_hostile_names_gets_a_good_backup() {
    let mut pair = Pair::tiny(Script { hostile_names: true, ..Script::default() });
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.broken_rules(), [""; 0]);
    let asked = pair.told("hostile");
    for request in [
        "DLMessageUploadFiles",
        "DLMessageCreateDirectory",
        "DLMessageMoveItems",
        "DLMessageCopyItem",
        "DLMessageRemoveItems",
        "DLMessageDownloadFiles",
        "DLContentsOfDirectory",
    ] {
        let own = asked.iter().filter(|each| each["request"] == request);
        assert!(own.clone().count() >= 2, "{request}");
        assert!(own.clone().all(|each| each["code"] != 0), "{request}");
    }
    let inside = format!("{}/", pair.phone.udid());
    assert!(pair.host.files.keys().all(|path| path.starts_with(&inside)));
}

#[test]
fn a_host_that_obeys_hostile_names_breaks_a_rule_each_time() {
    let mut pair = Pair::tiny(Script { hostile_names: true, ..Script::default() });
    pair.host.habits.obeys = true;
    pair.backup();
    let rule = "names that lead out of the phone's folder are refused";
    let count = pair.broken_rules().iter().filter(|each| *each == rule).count();
    assert!(count >= 30, "{count}");
}

#[test]
fn odd_frames_carry_the_same_files() {
    let mut odd = Pair::of(Preset::Small, Script { odd_frames: true, ..Script::default() });
    let mut plain = Pair::of(Preset::Small, Script::default());
    assert_eq!((odd.backup(), plain.backup()), (End::Response(0), End::Response(0)));
    assert!(odd.host.files == plain.host.files);
    assert!(odd.host.block_lens.contains(&1));
    assert!(odd.host.block_lens.iter().any(|len| *len > 256 * 1024));
    assert!(odd.host.xml_count > 0);
    assert_eq!(plain.host.xml_count, 0);
}

#[test]
fn a_host_without_room_is_told_105_and_breaks_no_rule() {
    let mut pair = Pair::tiny(Script::default());
    pair.host.habits.room_len = Some(20_000);
    assert_eq!(pair.backup(), End::Response(105));
    assert_eq!(pair.told("the host is full").len(), 1);
    assert_eq!(pair.broken_rules(), [""; 0]);
}

#[test]
fn an_absurd_estimate_is_asked_for_and_then_the_free_space_again() {
    const ABSURD_LEN: u64 = 11_000_000_000_000;
    for (after, end) in [(1 << 50, End::Response(0)), (1 << 40, End::Response(105))] {
        let mut pair = Pair::tiny(Script { extra_need: ABSURD_LEN, ..Script::default() });
        pair.host.habits.free_lens = Some([1 << 40, after]);
        assert_eq!(pair.backup(), end);
        assert_eq!(pair.host.asked_for_room, 1);
    }
}

#[test]
fn a_missing_file_has_a_row_and_no_payload_and_the_next_run_is_full() {
    let mut pair = Pair::tiny(Script::default());
    assert_eq!(pair.backup(), End::Response(0));
    let mut pair =
        pair.with_script(Script { missing_file: Some(EDGE.to_owned()), ..Script::default() });
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.row(&edge_id()).flags, 1);
    let place = format!("{}/{}", pair.phone.udid(), edge_place());
    assert!(!pair.host.files.contains_key(&place));
    let mut pair = pair.with_script(Script::default());
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.told("no base").last().unwrap()[0], "a payload is missing");
    assert_eq!(pair.file(&edge_place()).len(), 4096);
}

#[test]
fn a_wrong_digest_is_in_the_row_and_the_payload_is_right() {
    let digests: BTreeMap<bool, (Vec<u8>, Vec<u8>)> = [false, true]
        .map(|is_wrong| {
            let wrong_digest = is_wrong.then(|| EDGE.to_owned());
            let mut pair = Pair::tiny(Script { wrong_digest, ..Script::default() });
            assert_eq!(pair.backup(), End::Response(0));
            let file = Archived::read(&pair.row(&edge_id()).blob).unwrap();
            let digest = file.object("Digest").and_then(Value::as_data).unwrap().to_vec();
            (is_wrong, (digest, Sha1::digest(pair.file(&edge_place())).to_vec()))
        })
        .into();
    assert_eq!(digests[&false].0, digests[&false].1);
    assert_ne!(digests[&true].0, digests[&true].1);
    assert_eq!(digests[&true].1, digests[&false].1);
}

#[test]
fn scratch_paths_look_absolute_and_nothing_is_left_in_them() {
    let mut pair = Pair::tiny(Script { b_paths: true, ..Script::default() });
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.broken_rules(), [""; 0]);
    let scratch = pair.host.moved_from.iter().filter(|path| path.starts_with("/.b/1/")).count();
    assert!(scratch > 40, "{scratch}");
    assert!(!pair.host.files.keys().any(|path| path.starts_with("/.b")));
}

#[test]
fn an_upload_to_scratch_paths_that_was_cut_is_gone_on_with() {
    let script = Script { b_paths: true, ..Script::default() };
    let mut pair =
        Pair::tiny(Script { cut_after_files: Some(40), batch_count: 10, ..script.clone() });
    assert_eq!(pair.backup(), End::Lost);
    let mut pair = pair.with_script(script);
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.broken_rules(), [""; 0]);
    assert_eq!(pair.told("plan").last().unwrap()["resumes"], true);
}

#[test]
fn encryption_that_is_switched_off_again_is_told_and_the_next_backup_is_plain_and_full() {
    let mut pair = Pair::tiny(Script::default());
    assert_eq!(pair.backup_value("WillEncrypt"), Err("MissingValue"));
    assert_eq!(pair.change_password(&[("NewPassword", "pear")]), End::Response(0));
    assert_eq!(pair.backup_value("WillEncrypt"), Ok(true.into()));
    assert_eq!(pair.backup(), End::Response(0));
    assert!(!pair.file("Manifest.db").starts_with(b"SQLite"));
    assert_eq!(pair.change_password(&[("OldPassword", "wrong")]), End::Response(207));
    assert_eq!(pair.change_password(&[("OldPassword", "pear")]), End::Response(0));
    assert_eq!(pair.backup_value("WillEncrypt"), Ok(false.into()));
    assert_eq!(pair.backup(), End::Response(0));
    assert!(pair.file("Manifest.db").starts_with(b"SQLite"));
    assert_eq!(pair.told("plan").last().unwrap()["is_full"], true);
}

#[test]
fn a_phone_that_must_be_encrypted_makes_no_plain_backup() {
    let mut pair = Pair::tiny(Script { requires_encryption: true, ..Script::default() });
    assert_eq!(pair.backup_value("RequiresEncryption"), Ok(true.into()));
    assert_eq!(pair.backup(), End::Response(207));
    assert_eq!(pair.change_password(&[("NewPassword", "pear")]), End::Response(0));
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.change_password(&[("OldPassword", "pear")]), End::Response(207));
}

#[test]
fn a_week_of_rest_sends_no_file_and_another_week_does() {
    let mut pair = Pair::tiny(Script::default());
    assert_eq!(pair.backup(), End::Response(0));
    pair.phone.rest().unwrap();
    assert_eq!(pair.backup(), End::Response(0));
    assert_eq!(pair.sent_count(), 0);
    pair.phone.advance().unwrap();
    assert_eq!(pair.backup(), End::Response(0));
    assert!(pair.sent_count() > 0);
    assert_eq!(pair.broken_rules(), [""; 0]);
}

#[test]
fn a_huge_phone_has_one_file_beyond_four_gib_and_none_like_another() {
    let options = crate::PhoneOptions::huge(5 << 30);
    let items = crate::Phone::new(options).unwrap().items().unwrap();
    let lens: Vec<u64> = items
        .iter()
        .filter_map(|item| match &item.what {
            crate::item::What::File(content) => content.len().ok(),
            _ => None,
        })
        .collect();
    assert_eq!(lens.iter().filter(|len| **len > u64::from(u32::MAX)).count(), 1);
    let total: u64 = lens.iter().sum();
    assert!(total.abs_diff(5 << 30) < 64 << 20, "{total}");
}

#[test]
fn two_phones_of_one_seed_in_two_folders_send_the_same() {
    let mut one = Pair::tiny(Script { hostile_names: true, ..Script::default() });
    let mut other = Pair::tiny(Script { b_paths: true, duplicates: true, ..Script::default() });
    assert_eq!((one.backup(), other.backup()), (End::Response(0), End::Response(0)));
    assert!(one.host.files == other.host.files);
}
