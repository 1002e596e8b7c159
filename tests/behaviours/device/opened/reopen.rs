//! Snapshots that are stored as a phone encrypted them, opened later.

use super::*;

#[test]
fn a_snapshot_is_opened_in_place_and_comes_back_the_same() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let mut weeks = Vec::new();
    for week in 0..2 {
        if week > 0 {
            phone.advance();
        }
        let summary = backup_closed(&scene, &phone, Script::default());
        weeks.push((scene.repository.restore("latest"), phone.truth(), id(&summary).to_owned()));
    }
    scene.repository.ok(&["pin", "latest"]);
    scene.repository.ok(&["tag", "latest", "holiday"]);
    let before = scene.repository.snapshots();
    let wrong = password_file(&scene, "wrong");
    scene.repository.run(&["reopen", "--phone-password-file", &wrong]).code(22);
    assert_eq!(scene.repository.snapshots(), before);

    let right = password_file(&scene, super::super::PHONE_PASSWORD);
    let args = ["reopen", "--json", "--phone-password-file", &right];
    let summary = scene.repository.run(&args).code(0).summary();
    assert_eq!(summary["opened_count"], 2);
    assert!(summary["prunable_len"].as_u64().unwrap() > 1_000_000, "{summary}");
    let after = scene.repository.snapshots();
    let said_of = |snapshots: &[Value]| -> Vec<Value> {
        let about = |s: &Value| serde_json::json!([s["time"], s["udid"], s["tags"], s["pinned"]]);
        snapshots.iter().map(about).collect()
    };
    assert_eq!(said_of(&after), said_of(&before));
    for (word, (folder, truth, old)) in ["latest~1", "latest"].iter().zip(&weeks) {
        assert_same_bytes(&scene.repository.restore(word), folder);
        assert_readable(&scene, word, truth);
        scene.repository.run(&["ls", old]).code(1);
    }
    let len = scene.repository.pack_len();
    scene.repository.ok(&["--yes", "prune", "--max-unused", "0%"]);
    assert!(scene.repository.pack_len() * 2 < len);
    scene.repository.assert_sound();
    assert_eq!(scene.repository.run(&args).code(0).summary()["opened_count"], 0);
    // And the phone goes on from there.
    phone.advance();
    let next = scene.backup_well(&phone);
    assert_all_opened(&next);
    assert!(next["received_len"].as_u64().unwrap() < phone.truth().len() / 2, "{next}");
    assert_nothing_left(&scene);
}

#[test]
fn an_imported_folder_is_opened_with_all_that_lay_in_it() {
    let scene = Scene::new();
    let encryption =
        russet_testkit::Encryption::Password { password: "pear".to_owned(), iterations: 1 };
    let parent = scene.repository.folder("backups");
    let folder = russet_testkit::FakeBackup::new("00008110-0001A2B3C4D5E6F7")
        .file("HomeDomain", "Library/a", vec![7; 100_000])
        .file("CameraRollDomain", "Media/b", "b")
        .directory("HomeDomain", "Library")
        .encryption(encryption)
        .write_to(&parent);
    fs::write(folder.join("of the owner.txt"), "a letter").unwrap();
    fs::create_dir(folder.join("Snapshot")).unwrap();
    fs::write(folder.join("Snapshot/left"), "over").unwrap();
    scene.repository.import(&folder);
    let right = password_file(&scene, "pear");
    let args = ["reopen", "latest", "--json", "--phone-password-file", &right];
    let summary = scene.repository.run(&args).code(0).summary();
    assert_eq!(summary["opened_count"], 1);
    scene.repository.assert_restores("latest", &folder);
    let ran = scene.repository.run(&["cat", "latest", "CameraRollDomain/Media/b"]).code(0);
    assert_eq!(ran.bytes, b"b");
    // The same folder is known, opened as it is.
    let args = ["import", "--json", text(&folder), "--phone-password-file", &right];
    assert_eq!(scene.repository.run(&args).code(0).summary()["new"], false);
}

#[test]
fn what_its_phone_has_not_sent_is_told_and_left_to_the_next_backup() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let script = Script { cut_after_len: Some(5_000_000), ..Script::default() };
    scene.backup(&phone, script, &[SEGMENT_LEN]).code(17);
    let right = password_file(&scene, super::super::PHONE_PASSWORD);
    let args = ["reopen", "--phone-password-file", &right];
    let ran = scene.repository.run(&args).code(0);
    for words in ["has not sent everything", "`russet backup` goes on there"] {
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
    }
    assert_eq!(ran.stdout.lines().count(), 1, "{}", ran.stdout);
    let ran = scene.repository.run(&[&args[..], &["--json"]].concat()).code(0);
    assert_eq!(told(&ran), ["interrupted"], "{}", ran.stdout);
    scene.repository.run(&["snapshots"]).code(0).says(&["`russet backup` goes on there"]);
    let doctor = scene.run(&phone.serve(Script::default()), &["doctor"]).code(0).stdout;
    assert!(doctor.contains("! interrupted backups: 1 of which"), "{doctor}");
    assert_eq!(scene.backup_well(&phone)["resumed"], true);
    let ran = scene.repository.run(&args).code(0);
    assert_eq!(ran.stdout, "Nothing is stored as an iPhone encrypted it.\n");
}

#[test]
fn a_snapshot_that_shows_as_incomplete_once_it_is_opened_is_told_as_that() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let truth = phone.truth();
    let ((domain, path), _) = truth.files.iter().next().unwrap();
    let script = Script { missing_file: Some(format!("{domain}-{path}")), ..Script::default() };
    let closed = backup_closed(&scene, &phone, script);
    assert_eq!(closed["verdict"], "unchecked", "nobody can read its list");
    let right = password_file(&scene, super::super::PHONE_PASSWORD);
    let ran = scene.repository.run(&["reopen", "--phone-password-file", &right]).code(3);
    assert!(ran.stdout.starts_with("! Snapshot "), "{}", ran.stdout);
    ran.says(&["It is INCOMPLETE: 1 thing", path]);
}
