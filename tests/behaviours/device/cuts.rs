//! The link cut: at files, at bytes, at each phase. What came is kept, and the next run goes on with it.
//!
//! Invariant: whatever the moment, the snapshots of before come back and the next run ends in one that is the phone.

use std::time::{Duration, Instant};

use russet_testkit::Random;
use russet_testkit::device::Script;
use serde_json::Value;

use super::super::drive::{soak, tell_soak};
use super::super::support::Ran;
use super::middle::{Act, Middle};
use super::truth::Truth;
use super::{Scene, TestPhone, id};

/// A phone and a repository as they were before the backup that is cut, which each case gets a copy of.
pub(super) struct Before {
    pub(super) scene: Scene,
    pub(super) phone: TestPhone,
    /// The snapshot that is there already, and what was on the phone then.
    pub(super) kept: Option<(String, Truth)>,
    /// What is on the phone now.
    pub(super) truth: Truth,
    /// Bytes of files that the phone sends when nobody cuts it off, by its own log, and bytes on the link then.
    whole_len: u64,
    link_len: u64,
    file_count: u64,
    pub(super) seconds: f64,
}

impl Before {
    /// The first backup of a phone that trusts this computer already.
    pub(super) fn first(phone: TestPhone) -> Self {
        Self::new(phone, false)
    }

    /// The second backup.
    pub(super) fn second(phone: TestPhone) -> Self {
        Self::new(phone, true)
    }

    fn new(phone: TestPhone, is_second: bool) -> Self {
        let scene = Scene::new();
        let is_encrypted = phone.state().password.is_some();
        let seen = |truth: Truth| if is_encrypted { truth.encrypted() } else { truth };
        let mut kept = None;
        if is_second {
            let summary = scene.backup_well(&phone);
            kept = Some((id(&summary).to_owned(), seen(phone.truth())));
            phone.advance();
        }
        let truth = seen(phone.truth());
        let mut before = Self {
            scene,
            phone,
            kept,
            truth,
            whole_len: 0,
            link_len: 0,
            file_count: 0,
            seconds: 0.0,
        };
        let (scene, phone) = before.copy();
        let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
        let uploads_before = phone.noted("uploaded").len();
        let started = Instant::now();
        let summary = scene.run(&middle.address(), &["backup", "--json"]).code(0).summary();
        before.seconds = started.elapsed().as_secs_f64();
        before.whole_len = before.sent_len(&phone, 1);
        assert_eq!(summary["received_len"], before.whole_len, "russet counts otherwise");
        before.link_len = middle.sent_len(0);
        let uploads = phone.noted("uploaded");
        let counts = uploads[uploads_before..].iter().map(|batch| batch["count"].as_u64().unwrap());
        before.file_count = counts.sum();
        before
    }

    pub(super) fn copy(&self) -> (Scene, TestPhone) {
        (self.scene.copy(), self.phone.copy())
    }

    /// Files that the phone sends when nobody cuts it off, its lists included.
    pub(super) fn file_count(&self) -> u64 {
        self.file_count
    }

    /// Bytes on the link then.
    pub(super) fn link_len(&self) -> u64 {
        self.link_len
    }

    /// Bytes of files that a copy of the phone sent in so many backups, by its own log.
    fn sent_len(&self, phone: &TestPhone, backup_count: usize) -> u64 {
        let already = usize::from(self.kept.is_some());
        // The phone notes them when it finds the link closed, which may be a little later.
        let started = Instant::now();
        loop {
            let sent = phone.noted("sent");
            if sent.len() >= already + backup_count {
                return sent[already..].iter().map(|each| each["len"].as_u64().unwrap()).sum();
            }
            assert!(started.elapsed() < Duration::from_secs(20), "the phone did not end: {sent:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What was there before the cut is there still.
    #[track_caller]
    pub(super) fn assert_kept(&self, scene: &Scene) {
        let count = usize::from(self.kept.is_some());
        assert_eq!(scene.repository.snapshots().len(), count);
        if let Some((snapshot, truth)) = &self.kept {
            scene.assert_restores(snapshot, truth);
        }
    }

    /// The next run ends in what is on the phone, and leaves nothing behind.
    #[track_caller]
    pub(super) fn assert_next(&self, scene: &Scene, phone: &TestPhone) -> Value {
        let summary = scene.backup(phone, calm(), &[]).code(0).summary();
        scene.assert_restores(id(&summary), &self.truth);
        assert_eq!(scene.draft_count(), 0);
        scene.repository.assert_sound();
        phone.assert_no_violation();
        summary
    }
}

/// Small batches, so that a cut falls between and within them; no TLS on the services, for time.
pub(super) fn calm() -> Script {
    Script { batch_count: 32, service_tls: false, ..Script::default() }
}

#[track_caller]
fn assert_lost(ran: Ran, scene: &Scene) {
    let ran = ran.code(17).says(&["error: ", "it goes on where it stopped"]);
    assert!(ran.messages().iter().all(|message| message["message_type"] != "summary"));
    assert!(scene.draft_count() > 0, "nothing was kept to go on with");
}

/// Cuts the link after files, and looks at what the next run sends again.
fn cut_after_files(before: &Before, file_count: u64) -> u64 {
    let (scene, phone) = before.copy();
    let script = Script { cut_after_files: Some(file_count), ..calm() };
    assert_lost(scene.backup(&phone, script, &[]), &scene);
    before.assert_kept(&scene);
    let summary = before.assert_next(&scene, &phone);
    assert_eq!(summary["resumed"], true);
    before.sent_len(&phone, 2).saturating_sub(before.whole_len)
}

fn cut_at_any_file(before: &Before, count: u64, seed: u64) {
    let mut random = Random::of_parts(&[3, seed]);
    for at in 0..count {
        let share = before.file_count * at / count;
        let within = random.below((before.file_count / count).max(1));
        // Before the first file there is nothing to go on with.
        cut_after_files(before, (share + within).max(1));
    }
    tell_soak(&format!("device: {count} cuts after files, seed {seed}"));
}

#[test]
fn a_first_backup_cut_at_any_file_is_gone_on_with() {
    cut_at_any_file(&Before::first(TestPhone::paired()), if soak() { 100 } else { 4 }, 1);
}

#[test]
fn a_second_backup_cut_at_any_file_is_gone_on_with() {
    cut_at_any_file(&Before::second(TestPhone::paired()), if soak() { 100 } else { 4 }, 2);
}

#[test]
fn an_encrypted_backup_cut_at_any_file_is_gone_on_with() {
    cut_at_any_file(&Before::first(TestPhone::paired_encrypted()), if soak() { 50 } else { 2 }, 3);
    cut_at_any_file(&Before::second(TestPhone::paired_encrypted()), if soak() { 50 } else { 2 }, 4);
}

#[test]
fn a_first_backup_cut_at_nine_tenths_sends_little_again() {
    let before = Before::first(TestPhone::paired());
    for percent in [30, 60, 90] {
        let again = cut_after_files(&before, before.file_count * percent / 100);
        let limit = before.whole_len * 15 / 100;
        assert!(again <= limit, "{again} of {} after a cut at {percent} %", before.whole_len);
        tell_soak(&format!(
            "device: {again} of {} bytes sent again after a cut at {percent} %",
            before.whole_len
        ));
    }
}

#[test]
fn a_link_cut_at_any_byte_costs_nothing() {
    for (before, seed) in
        [(Before::first(TestPhone::paired()), 5), (Before::second(TestPhone::paired()), 6)]
    {
        let count = if soak() { 100 } else { 4 };
        let mut random = Random::of_parts(&[4, seed]);
        let mut lost_count = 0;
        for at in 0..count {
            let (scene, phone) = before.copy();
            let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
            let len = before.link_len * at / count + random.below(before.link_len / count);
            middle.after(0, len, Act::Cut);
            let ran = scene.run(&middle.address(), &["backup", "--json"]);
            // The bytes of a run differ a little from those of the next: the last may all have come.
            if ran.exit == Some(0) {
                continue;
            }
            let ran = ran.code(17).says(&["error: "]);
            lost_count += 1;
            assert!(!ran.stdout.contains("snapshot_id"), "{}", ran.stdout);
            before.assert_kept(&scene);
            before.assert_next(&scene, &phone);
        }
        assert!(lost_count * 10 >= count * 7, "{lost_count} of {count} cuts hit");
        tell_soak(&format!("device: {lost_count} cuts at random bytes, seed {seed}"));
    }
}

#[test]
fn a_backup_cut_at_each_phase_is_gone_on_with() {
    let befores = [
        Before::first(TestPhone::paired()),
        Before::second(TestPhone::paired()),
        Before::second(TestPhone::paired_encrypted()),
    ];
    for before in befores {
        for phase in ["uploading", "moving", "removing", "finished"] {
            let (scene, phone) = before.copy();
            let script = Script { cut_at_phase: Some(phase.to_owned()), ..calm() };
            assert_lost(scene.backup(&phone, script, &[]), &scene);
            before.assert_kept(&scene);
            let summary = before.assert_next(&scene, &phone);
            assert_eq!(summary["resumed"], true, "{phase}");
            let again = before.sent_len(&phone, 2).saturating_sub(before.whole_len);
            if phase == "finished" {
                // For the phone that was a whole backup: it makes another, and its lists are all that is new.
                assert_eq!(phone.noted("space").pop().unwrap()["files"], 0);
            } else {
                assert!(again <= 64 << 10, "{phase}: {again} of {}", before.whole_len);
            }
        }
    }
}

#[test]
fn a_backup_that_is_cut_over_and_over_ends_well() {
    let before = Before::first(TestPhone::paired());
    let (scene, phone) = before.copy();
    for round in 0..6 {
        let script = Script { cut_after_files: Some(3 + round), ..calm() };
        assert_lost(scene.backup(&phone, script, &[]), &scene);
    }
    for phase in ["moving", "moving", "removing"] {
        let script = Script { cut_at_phase: Some(phase.to_owned()), ..calm() };
        assert_lost(scene.backup(&phone, script, &[]), &scene);
    }
    before.assert_kept(&scene);
    before.assert_next(&scene, &phone);
}

#[test]
fn a_phone_that_forgot_what_it_had_sent_sends_it_anew() {
    for before in [Before::first(TestPhone::paired()), Before::second(TestPhone::paired())] {
        let (scene, phone) = before.copy();
        let script = Script { cut_after_files: Some(before.file_count / 2), ..calm() };
        assert_lost(scene.backup(&phone, script, &[]), &scene);
        let mut state = phone.state();
        state.unfinished = None;
        state.save(&phone.folder()).unwrap();
        before.assert_kept(&scene);
        before.assert_next(&scene, &phone);
    }
}

#[test]
fn a_week_that_passes_between_a_cut_and_the_next_run_is_in_the_snapshot() {
    let before = Before::second(TestPhone::paired());
    let (scene, phone) = before.copy();
    let script = Script { cut_after_files: Some(before.file_count / 2), ..calm() };
    assert_lost(scene.backup(&phone, script, &[]), &scene);
    let mut state = phone.state();
    // A real phone keeps its snapshot only so long: it begins anew.
    state.week += 1;
    state.unfinished = None;
    state.save(&phone.folder()).unwrap();
    let summary = scene.backup_well(&phone);
    scene.assert_restores(id(&summary), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn a_restart_throws_away_what_came() {
    let before = Before::first(TestPhone::paired());
    let (scene, phone) = before.copy();
    let script = Script { cut_after_files: Some(before.file_count / 2), ..calm() };
    assert_lost(scene.backup(&phone, script, &[]), &scene);
    let summary = scene.backup(&phone, calm(), &["--restart"]).code(0).summary();
    assert_eq!(summary["resumed"], false);
    scene.assert_restores(id(&summary), &before.truth);
    assert_eq!(scene.draft_count(), 0);
    phone.assert_no_violation();
}

#[test]
fn another_phone_s_draft_is_left_alone() {
    let before = Before::first(TestPhone::paired());
    let (scene, phone) = before.copy();
    let script = Script { cut_after_files: Some(before.file_count / 2), ..calm() };
    assert_lost(scene.backup(&phone, script, &[]), &scene);
    let other = TestPhone::new(76);
    let summary = scene.backup_well(&other);
    scene.assert_restores(id(&summary), &other.truth());
    assert!(scene.draft_count() > 0);
    let summary = scene.backup(&phone, calm(), &[]).code(0).summary();
    assert_eq!(summary["resumed"], true);
    scene.assert_restores(id(&summary), &before.truth);
}
