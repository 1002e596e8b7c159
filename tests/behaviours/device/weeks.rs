//! Good weeks: full and incremental backups of a phone that changes, plain and encrypted, over each kind of base.

use std::fs;
use std::path::Path;

use russet_testkit::device::{Script, ScriptedPhone};
use serde_json::Value;

use super::super::drive::{soak, tell_soak};
use super::super::support::text;
use super::truth::{Truth, dictionary, sha256_of};
use super::{PHONE_PASSWORD, Scene, TestPhone, id};

/// What the phone said that it would do, one for each run.
fn plans(phone: &TestPhone) -> Vec<Value> {
    phone.noted("plan")
}

fn received_len(summary: &Value) -> u64 {
    summary["received_len"].as_u64().unwrap()
}

/// Four weeks of a phone. Every week is exactly the phone of that week, also after the others came.
fn four_weeks(phone: &TestPhone, seen: impl Fn(Truth) -> Truth, verdict: &str) -> Scene {
    let scene = Scene::new();
    let mut weeks = Vec::new();
    let mut last = None;
    for week in 0..4 {
        if week > 0 {
            phone.advance();
        }
        let summary = scene.backup_well(phone);
        assert_eq!(summary["verdict"], verdict);
        let truth = seen(phone.truth());
        assert!(last.as_ref() != Some(&truth), "nothing changed in week {week}");
        let plan = plans(phone).pop().unwrap();
        assert_eq!(plan["is_full"], week == 0, "{plan}");
        let part = received_len(&summary) * 100 / truth.len();
        if week > 0 {
            // Manifest.db comes whole each week.
            assert!(part < 60, "{part} % of the phone was sent in week {week}");
        }
        assert_eq!(scene.draft_count(), 0);
        last = Some(truth.clone());
        weeks.push((id(&summary).to_owned(), truth));
    }
    for (snapshot, truth) in &weeks {
        scene.assert_restores(snapshot, truth);
    }
    let gone = |(_, from): &(String, Truth), (_, to): &(String, Truth)| {
        from.files.keys().any(|name| !to.files.contains_key(name))
    };
    assert!(weeks.windows(2).any(|two| gone(&two[0], &two[1])), "no file was ever removed");
    scene.repository.assert_sound();
    phone.assert_no_violation();
    scene
}

#[test]
fn four_weeks_of_a_phone_come_back_each_as_it_was() {
    let seeds = if soak() { 20..40 } else { 20..21 };
    for seed in seeds.clone() {
        four_weeks(&TestPhone::new(seed), |truth| truth, "complete");
    }
    tell_soak(&format!("device: four weeks of {} phones", seeds.count()));
}

#[test]
fn four_weeks_of_a_phone_that_encrypts_come_back_each_as_it_was() {
    let phone = TestPhone::paired_encrypted();
    let scene = four_weeks(&phone, Truth::encrypted, "complete");
    // Whoever has the phone's password can open what came back.
    let (other, folder) = (Scene::new(), scene.repository.restore("latest"));
    let password = other.repository.beside("the phone's password");
    fs::write(&password, phone.state().password.unwrap()).unwrap();
    let args = ["import", "--json", text(&folder), "--phone-password-file", text(&password)];
    let summary = other.repository.run(&args).code(0).summary();
    assert_eq!(summary["verdict"], "complete", "{summary}");
    let files = phone.truth().files;
    for ((domain, path), (sha256, _)) in files.iter().step_by(files.len() / 8) {
        let ran = other.repository.run(&["cat", "latest", &format!("{domain}/{path}")]).code(0);
        assert_eq!(&sha256_of(&ran.bytes), sha256, "{domain}/{path}");
    }
}

#[test]
fn an_unchanged_phone_sends_its_list_and_nothing_else() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let first = scene.backup_well(&phone);
    let before = scene.repository.pack_len();
    let second = scene.backup_well(&phone);
    assert_ne!(id(&first), id(&second));
    let space = phone.noted("space").pop().unwrap();
    assert_eq!(space["files"], 0, "{space}");
    let folder = scene.repository.restore("latest");
    let manifest = fs::metadata(folder.join("Manifest.db")).unwrap().len();
    assert!(received_len(&second) < manifest + (64 << 10));
    assert!(scene.repository.pack_len() - before < 256 << 10);
    phone.truth().assert_in(&folder);
}

#[test]
fn a_full_backup_asks_for_everything_and_stores_nothing_twice() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let first = scene.backup_well(&phone);
    let before = scene.repository.pack_len();
    let second = scene.backup(&phone, Script::default(), &["--full"]).code(0).summary();
    assert_eq!(plans(&phone).pop().unwrap()["is_full"], true);
    assert!(received_len(&second) > phone.truth().len());
    assert!(scene.repository.pack_len() - before < 256 << 10);
    scene.assert_restores(id(&first), &phone.truth());
    scene.assert_restores(id(&second), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn a_full_backup_of_a_later_week_holds_nothing_of_the_week_before() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    scene.backup_well(&phone);
    for _ in 0..3 {
        phone.advance();
    }
    let second = scene.backup(&phone, Script::default(), &["--full"]).code(0).summary();
    scene.assert_restores(id(&second), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn labels_are_put_on_the_new_snapshot_alone() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    scene.backup_well(&phone);
    let args = ["--tag", "before-ios", "--note", "the last of the old", "--pin"];
    scene.backup(&phone, Script::default(), &args).code(0);
    let [first, second] = <[Value; 2]>::try_from(scene.repository.snapshots()).unwrap();
    assert_eq!(second["tags"], serde_json::json!(["before-ios"]));
    assert_eq!(second["note"], "the last of the old");
    assert_eq!(second["pinned"], true);
    assert_eq!((&first["pinned"], &first["tags"]), (&false.into(), &serde_json::json!([])));
}

/// A backup as Finder makes it, with what other tools leave beside it.
fn finder_folder(scene: &Scene, phone: &TestPhone) -> std::path::PathBuf {
    let other = Scene::new();
    other.backup_well(phone);
    let folder = other.repository.restore("latest");
    let place = scene.repository.folder("finder").join(phone.udid());
    super::copy_over(&folder, &place);
    fs::write(place.join(".DS_Store"), "Finder's own").unwrap();
    fs::create_dir(place.join("_unback_")).unwrap();
    fs::write(place.join("_unback_/x"), "a tool's own").unwrap();
    place
}

#[test]
fn an_imported_folder_is_what_the_first_backup_builds_on() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let folder = finder_folder(&scene, &phone);
    let imported = scene.repository.import(&folder);
    let truth = phone.truth();
    phone.advance();
    let ran = scene.backup(&phone, Script::default(), &[]).code(0);
    assert!(ran.stdout.contains("what changed since the imported backup"), "{}", ran.stdout);
    assert_eq!(plans(&phone).pop().unwrap()["is_full"], false);
    let summary = ran.summary();
    assert!(received_len(&summary) < phone.truth().len() * 6 / 10);
    scene.assert_restores(id(&summary), &phone.truth());
    // The import keeps what lay beside Apple's files; the capture never had it.
    let again = scene.repository.restore(&imported);
    assert!(again.join("_unback_/x").exists());
    assert_eq!(super::super::support::differences(&folder, &again), Vec::<String>::new());
    assert_ne!(truth, phone.truth());
    phone.assert_no_violation();
}

#[test]
fn the_imported_folder_is_not_built_on_once_the_phone_was_captured() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let folder = finder_folder(&scene, &phone);
    scene.backup_well(&phone);
    phone.advance();
    // Newer than the capture by its own date.
    let mut status = dictionary(&folder.join("Status.plist"));
    let date = std::time::SystemTime::now() + std::time::Duration::from_secs(1000);
    status.insert("Date".into(), plist::Value::Date(date.into()));
    plist::Value::Dictionary(status).to_file_binary(folder.join("Status.plist")).unwrap();
    scene.repository.run(&["import", text(&folder)]).code(0);
    let summary = scene.backup_well(&phone);
    scene.assert_restores(id(&summary), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn a_base_that_lost_a_pack_is_not_built_on_and_the_phone_is_asked_for_everything() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    scene.backup_well(&phone);
    let largest = |path: &std::path::PathBuf| fs::metadata(path).unwrap().len();
    let pack = scene.repository.files("packs").into_iter().max_by_key(largest).unwrap();
    fs::remove_file(pack).unwrap();
    let ran = scene.backup(&phone, Script::default(), &[]).code(0);
    assert!(ran.stdout.contains("is damaged"), "{}", ran.stdout);
    assert_eq!(plans(&phone).pop().unwrap()["is_full"], true);
    scene.assert_restores(id(&ran.summary()), &phone.truth());
}

#[test]
fn turning_encryption_on_makes_the_next_backup_full_and_whole() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let first = scene.backup_well(&phone);
    let plain = phone.truth();
    let mut state = phone.state();
    state.password = Some(PHONE_PASSWORD.to_owned());
    state.save(&phone.folder()).unwrap();
    phone.advance();
    let second = scene.backup_well(&phone);
    assert_eq!(second["encrypted"], true);
    assert_eq!(plans(&phone).pop().unwrap()["is_full"], true);
    scene.assert_restores(id(&first), &plain);
    scene.assert_restores(id(&second), &phone.truth().encrypted());
    phone.assert_no_violation();
}

/// A phone that is erased and written anew by somebody else's hand is the judge of this file too.
#[test]
fn the_judge_sees_a_byte_that_changed_a_file_too_many_and_one_that_lacks() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    scene.backup_well(&phone);
    let folder = scene.repository.restore("latest");
    let truth = Truth::of(&phone_of(&phone));
    truth.assert_in(&folder);
    let ((domain, path), _) = truth.files.iter().find(|(_, (_, len))| *len > 0).unwrap();
    let stored = folder.join(super::super::support::stored(domain, path));
    let whole = fs::read(&stored).unwrap();
    let mut changed = whole.clone();
    changed[0] ^= 1;
    fs::write(&stored, changed).unwrap();
    assert_seen(&truth, &folder);
    fs::remove_file(&stored).unwrap();
    assert_seen(&truth, &folder);
    fs::write(&stored, whole).unwrap();
    truth.assert_in(&folder);
    fs::write(folder.join("00").join("0".repeat(40)), "").unwrap();
    assert_seen(&truth, &folder);
}

fn phone_of(phone: &TestPhone) -> ScriptedPhone {
    phone.opened(Script::default())
}

fn assert_seen(truth: &Truth, folder: &Path) {
    let judged = std::panic::catch_unwind(|| truth.assert_in(folder));
    assert!(judged.is_err(), "the judge is blind");
}
