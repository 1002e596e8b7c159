//! The iPhone backup password: wrong, forgotten, changed, or none.

use std::fs;

use russet_testkit::device::Script;

use super::*;

/// What the phone was told to begin so far.
fn request_count(phone: &TestPhone) -> usize {
    phone.noted("plan").len()
}

#[test]
fn a_wrong_password_keeps_all_that_came_and_the_right_one_needs_no_phone() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = password_file(&scene, "a wrong one");
    let args = ["--phone-password-file", &wrong, SEGMENT_LEN];
    let ran = scene.backup(&phone, Script::default(), &args).code(22);
    assert!(!ran.stdout.contains("a wrong one") && !ran.stderr.contains("a wrong one"));
    assert!(scene.repository.snapshots().is_empty() && segments(&scene).len() > 3);
    scene.repository.ok(&["--yes", "prune", "--max-unused", "0%"]);
    let asked = request_count(&phone);

    // The phone is asked nothing while its last backup waits.
    let args = ["--phone-password-file", &wrong];
    scene.backup(&phone, Script::default(), &args).code(22);
    assert_eq!((request_count(&phone), scene.draft_count()), (asked, 1));

    let summary = scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary();
    assert_all_opened(&summary);
    assert_nothing_left(&scene);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_readable(&scene, id(&summary), &phone.truth());
    phone.advance();
    assert_all_opened(&scene.backup_well(&phone));
    phone.assert_no_violation();
}

#[test]
fn reopen_makes_the_snapshot_that_waits_and_may_store_it_as_it_is() {
    let wrong_first = || {
        let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
        let wrong = password_file(&scene, "wrong");
        let args = ["--phone-password-file", &wrong, SEGMENT_LEN];
        scene.backup(&phone, Script::default(), &args).code(22);
        (scene, phone, wrong)
    };
    let (scene, phone, wrong) = wrong_first();
    let ran = scene.repository.run(&["reopen", "--phone-password-file", &wrong]).code(22);
    ran.says(&["Blue iPhone: error"]);
    // None is given: that is wrong usage, as for the repository password.
    scene.repository.run(&["reopen"]).code(2).says(&["no iPhone backup password was given"]);
    let right = password_file(&scene, super::super::PHONE_PASSWORD);
    let args = ["reopen", "--json", "--phone-password-file", &right];
    let summary = scene.repository.run(&args).code(0).summary();
    assert_all_opened(&summary);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_nothing_left(&scene);

    let (scene, phone, wrong) = wrong_first();
    let args = ["reopen", "--json", "--store-encrypted", "--phone-password-file", &wrong];
    // What is stored as it is, because that was asked for, is not tried once more.
    let ran = scene.repository.run(&args).code(0);
    assert_eq!(told(&ran), ["summary"], "{}", ran.stdout);
    assert_eq!(ran.summary()["opened"], 0);
    scene.assert_restores(id(&ran.summary()), &phone.truth().encrypted());
    assert_nothing_left(&scene);
}

#[test]
fn a_spool_that_cannot_be_read_for_a_while_costs_nothing() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = password_file(&scene, "wrong");
    scene
        .backup(&phone, Script::default(), &["--phone-password-file", &wrong, SEGMENT_LEN])
        .code(22);
    let segment = segments(&scene)[2].clone();
    let aside = segment.with_extension("aside");
    fs::rename(&segment, &aside).unwrap();
    std::os::unix::fs::symlink(&segment, &segment).unwrap();
    let right = password_file(&scene, super::super::PHONE_PASSWORD);
    let args = ["reopen", "--json", "--phone-password-file", &right];
    let ran = scene.repository.run(&args);
    assert!(ran.exit != Some(0) && scene.repository.snapshots().is_empty(), "{}", ran.stdout);
    ran.says(&["the spool", "is the drive of the spool connected"]);
    assert_eq!(scene.draft_count(), 1);
    scene.repository.run(&["snapshots"]).code(0).says(&["waits for its iPhone backup password"]);

    fs::remove_file(&segment).unwrap();
    fs::rename(&aside, &segment).unwrap();
    let summary = scene.repository.run(&args).code(0).summary();
    assert_all_opened(&summary);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_nothing_left(&scene);
}

#[test]
fn a_backup_that_waits_can_be_thrown_away() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = password_file(&scene, "wrong");
    scene.backup(&phone, Script::default(), &["--phone-password-file", &wrong]).code(22);
    let copy = spools(&scene);
    assert_eq!(copy.len(), 1);
    let again = ["--restart", "--no-remember"];
    let summary = scene.backup(&phone, Script::default(), &again).code(0).summary();
    assert_all_opened(&summary);
    assert_nothing_left(&scene);

    scene.backup(&phone, Script::default(), &["--phone-password-file", &wrong]).code(22);
    scene.repository.ok(&["--yes", "prune", "--drop-drafts"]);
    assert_nothing_left(&scene);
}

#[test]
fn without_a_password_the_first_encrypted_backup_wants_a_word_and_the_next_goes_on() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let ran = without_password(&scene, &phone.serve(Script::default()), &["backup"]).code(2);
    ran.says(&["--phone-password-file", "--store-encrypted"]);
    assert_eq!(request_count(&phone), 0);
    assert_eq!(spools(&scene), Vec::<PathBuf>::new());
    backup_closed(&scene, &phone, Script::default());
    phone.advance();
    let ran = without_password(&scene, &phone.serve(Script::default()), &["backup", "--json"]);
    let ran = ran.code(0);
    assert!(ran.stdout.contains("stored as the phone encrypted it"), "{}", ran.stdout);
    assert_eq!(ran.summary()["opened"], 0);
    scene.assert_restores("latest", &phone.truth().encrypted());
    // Once it was opened, nobody gives that up by forgetting a file.
    phone.advance();
    scene.backup(&phone, Script::default(), &["--no-remember"]).code(0);
    without_password(&scene, &phone.serve(Script::default()), &["backup"]).code(2);
}

#[test]
fn a_password_that_opened_a_backup_is_remembered_and_opens_the_next() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let ran = scene.backup(&phone, Script::default(), &[]).code(0);
    assert!(ran.stdout.contains("is kept in the repository, sealed"), "{}", ran.stdout);
    phone.advance();
    let ran = without_password(&scene, &phone.serve(Script::default()), &["backup", "--json"]);
    assert_all_opened(&ran.code(0).summary());
}

fn a_new_password_between_weeks(script: &Script) {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let first = scene.backup_well(&phone);
    let truth = phone.truth();
    let (old, new) =
        (password_file(&scene, super::super::PHONE_PASSWORD), password_file(&scene, "a new one"));
    let args =
        ["phone-password", "change", "--old-password-file", &old, "--new-password-file", &new];
    let changed = scene.run(&phone.serve(script.clone()), &[&args[..], &["--json"]].concat());
    let changed = changed.code(0).summary();
    assert_eq!(changed["password_remembered"], script.rewrap);
    phone.advance();
    if script.rewrap {
        // The phone showed what the new one opens: it is kept, and whatever else is given does not matter.
        let second = scene.backup_well(&phone);
        assert_all_opened(&second);
        scene.assert_restores(id(&second), &phone.truth().encrypted());
        scene.assert_restores(id(&first), &truth.encrypted());
        phone.assert_no_violation();
        return;
    }
    // What opened last week does not open this one: that is found out when all is here.
    scene.backup(&phone, script.clone(), &[]).code(22);
    let args = ["backup", "--json", "--phone-password-file", &new];
    let second = scene.run(NO_PHONE, &args).code(0).summary();
    assert_all_opened(&second);
    assert_readable(&scene, id(&second), &phone.truth());
    scene.assert_restores(id(&second), &phone.truth().encrypted());
    scene.assert_restores(id(&first), &truth.encrypted());
    assert_nothing_left(&scene);
    phone.assert_no_violation();
}

#[test]
fn a_password_that_is_changed_between_weeks_opens_the_weeks_after() {
    a_new_password_between_weeks(&Script::default());
}

#[test]
fn a_password_change_that_makes_the_next_backup_full_costs_its_keys_only() {
    a_new_password_between_weeks(&Script { rewrap: false, ..Script::default() });
}

#[test]
fn neither_password_nor_keys_nor_what_was_opened_stand_beside_the_seal() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = password_file(&scene, "wrong");
    let args = ["--phone-password-file", &wrong, SEGMENT_LEN, "-vv"];
    scene.backup(&phone, Script::default(), &args).code(22);
    let in_spool: Vec<Vec<u8>> =
        segments(&scene).iter().map(|path| fs::read(path).unwrap()).collect();
    let ran = scene.run(NO_PHONE, &["backup", "--json", "-vv"]).code(0);
    let folder = scene.repository.restore("latest");
    // What Apple encrypted is as unknown to whoever finds a spool as what is in it.
    let payloads = bytes_of(&folder);
    let large = payloads.keys().filter(|name| name.len() == 43).take(40);
    let mut looked_count = 0;
    for name in large {
        let bytes = fs::read(folder.join(name)).unwrap();
        let Some(part) = bytes.get(..16) else { continue };
        for stored in &in_spool {
            assert!(!stored.windows(16).any(|window| window == part), "{name} is in the spool");
        }
        looked_count += 1;
    }
    assert!(looked_count > 10);
    for said in [&ran.stdout, &ran.stderr] {
        assert!(!said.contains(super::super::PHONE_PASSWORD), "{said}");
    }
    let phone_password = super::super::PHONE_PASSWORD.as_bytes();
    for path in scene.repository.files("") {
        let bytes = fs::read(&path).unwrap();
        let found = bytes.windows(phone_password.len()).any(|window| window == phone_password);
        assert!(!found, "{}", path.display());
    }
}

#[test]
fn a_phone_whose_keybag_is_damaged_is_kept_and_told() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let script = Script { damaged_keybag: true, ..Script::default() };
    let ran = scene.backup(&phone, script, &[]).code(3);
    for word in ["Manifest.plist", "the keys of class 3 do not open"] {
        assert!(ran.stdout.contains(word), "{}", ran.stdout);
    }
    assert_nothing_left(&scene);
    let verified = scene.repository.run(&["verify"]).code(3);
    assert!(verified.stdout.contains("1 key in its Manifest.plist is damaged"));
    // A whole one takes its place.
    assert_all_opened(&scene.backup_well(&phone));
}
