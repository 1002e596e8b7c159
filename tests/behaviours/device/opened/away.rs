//! What goes away while a backup waits for its keys, or is opened: the phone, the right to write, the list of the files.
//!
//! Invariant: nothing that is here is lost for it, and no snapshot stands for a phone whose list of files is not in it.

use std::path::Path;
use std::sync::Arc;

use super::super::super::support::{Mounted, Running};
use super::*;
use russet_testkit::device::Server;

/// A backup that waits: nothing opened it.
fn waiting(spool: Option<&Path>) -> (Scene, TestPhone) {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = password_file(&scene, "wrong");
    let mut args = vec!["--phone-password-file", &wrong, SEGMENT_LEN];
    args.extend(spool.iter().flat_map(|dir| ["--spool", text(dir)]));
    scene.backup(&phone, Script::default(), &args).code(22);
    (scene, phone)
}

/// Cuts off the end of the spool, which the phone sent last: its Manifest.db.
fn lose_the_list(scene: &Scene) {
    let last = segments(scene).pop().unwrap();
    fs::File::options().write(true).open(last).unwrap().set_len(100).unwrap();
}

/// Changes a bit of the phone's Manifest.db.
fn spoil_the_list(scene: &Scene) {
    let last = segments(scene).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    let at = bytes.len() - 100;
    bytes[at] ^= 1;
    fs::write(&last, bytes).unwrap();
}

#[test]
fn without_the_list_of_its_files_a_backup_that_waits_is_kept_until_a_person_gives_it_up() {
    let (scene, phone) = waiting(None);
    lose_the_list(&scene);
    let before = segments(&scene);
    let asked = phone.noted("plan");
    for _ in 0..2 {
        let ran = scene.backup(&phone, Script::default(), &[]).code(3);
        for what in ["all that waits is kept", "--restart"] {
            assert!(ran.stdout.contains(what), "{}", ran.stdout);
        }
        assert_eq!((segments(&scene), scene.draft_count()), (before.clone(), 1));
        assert_eq!(phone.noted("plan"), asked);
    }
    let summary = scene.backup(&phone, Script::default(), &["--restart"]).code(0).summary();
    assert_all_opened(&summary);
    assert_eq!(scene.repository.snapshots().len(), 1);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_nothing_left(&scene);
    phone.assert_no_violation();
}

#[test]
fn a_backup_that_waits_is_made_once_its_list_is_put_back() {
    let lost_segment = |scene: &Scene| fs::remove_file(segments(scene).pop().unwrap()).unwrap();
    let lose: [fn(&Scene); 3] = [lose_the_list, spoil_the_list, lost_segment];
    for lose in lose {
        let (scene, phone) = waiting(None);
        let good: Vec<_> =
            segments(&scene).into_iter().map(|path| (fs::read(&path).unwrap(), path)).collect();
        lose(&scene);
        for opening in [&["reopen"][..], &["backup"]] {
            let ran = scene.run(NO_PHONE, opening).code(3);
            ran.says(&["all that waits is kept", "drive of the spool sound?", "--restart"]);
            assert!(scene.repository.snapshots().is_empty());
            assert_eq!((spools(&scene).len(), scene.draft_count()), (1, 1));
        }
        good.into_iter().for_each(|(bytes, path)| fs::write(path, bytes).unwrap());
        let summary = scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary();
        assert_all_opened(&summary);
        scene.assert_restores(id(&summary), &phone.truth().encrypted());
        assert_nothing_left(&scene);
    }
}

#[test]
fn a_backup_whose_list_is_lost_is_not_stored_as_it_is_either() {
    let (scene, _phone) = waiting(None);
    spoil_the_list(&scene);
    let ran = scene.run(NO_PHONE, &["reopen", "--store-encrypted"]).code(3);
    ran.says(&["all that waits is kept"]);
    assert!(scene.repository.snapshots().is_empty());
    assert_eq!((spools(&scene).len(), scene.draft_count()), (1, 1));
}

#[test]
fn a_week_whose_list_is_lost_leaves_the_week_before_it() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let first = phone.truth();
    let args = ["--no-remember", SEGMENT_LEN];
    scene.backup(&phone, Script::default(), &args).code(0);
    phone.advance();
    let wrong = password_file(&scene, "wrong");
    let wrong = ["--phone-password-file", &wrong, SEGMENT_LEN];
    scene.backup(&phone, Script::default(), &wrong).code(22);
    lose_the_list(&scene);
    scene.backup(&phone, Script::default(), &[]).code(3);
    let summary = scene.backup(&phone, Script::default(), &["--restart"]).code(0).summary();
    assert_all_opened(&summary);
    assert_eq!(scene.repository.snapshots().len(), 2);
    scene.assert_restores("latest~1", &first.encrypted());
    scene.assert_restores("latest", &phone.truth().encrypted());
    scene.repository.assert_sound();
}

#[test]
fn a_spool_that_can_only_be_read_any_more_keeps_the_backup_for_another_run() {
    let dir = tempfile::tempdir().unwrap();
    // As much as the phone may hold. Few of these bytes are ever written.
    let Some(drive) = Mounted::drive(1 << 38, dir.path()) else { return };
    let (scene, phone) = waiting(Some(dir.path()));
    drive.again("ro");
    let ran = scene.run(NO_PHONE, &["backup"]).code(1);
    let ran = ran.says(&["the spool", "Read-only file system", "connected and writable"]);
    ran.says(&["nothing that came is given up", "goes on with what waits there"]);
    assert_eq!(scene.draft_count(), 1);
    assert!(scene.repository.snapshots().is_empty());
    drive.again("rw");
    let summary = scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary();
    assert_all_opened(&summary);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_nothing_left(&scene);
}

#[test]
fn where_no_spool_can_be_made_nothing_is_said_to_wait() {
    let dir = tempfile::tempdir().unwrap();
    let Some(drive) = Mounted::drive(1 << 38, dir.path()) else { return };
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    drive.again("ro");
    let address = phone.serve(Script::default());
    let ran = scene.run(&address, &["backup", "--spool", text(dir.path())]).code(1);
    let ran = ran.says(&["Read-only file system", "nothing was begun"]);
    assert!(!ran.stderr.contains("waits"), "{}", ran.stderr);
    assert_eq!(phone.noted("plan"), Vec::<Value>::new());
    assert_nothing_left(&scene);
}

#[test]
fn a_drive_that_is_too_small_is_told_with_all_that_is_free_on_it() {
    let dir = tempfile::tempdir().unwrap();
    // Less than what is never used.
    let Some(_drive) = Mounted::drive(300 << 20, dir.path()) else { return };
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let free_len = russet_store::backend::beside::free_len(dir.path()).unwrap().unwrap();
    let address = phone.serve(Script::default());
    let ran = scene.run(&address, &["backup", "--spool", text(dir.path())]).code(16);
    let free = russet::observe::size(free_len);
    assert!(!free.starts_with('0'), "{free}");
    ran.says(&[&format!("{free} free (536.8 MB always stay free)")]);
}

/// Pulls the cable as soon as that is allowed. None: there was a snapshot already.
fn unplugged() -> Option<(Scene, TestPhone)> {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let server =
        Server::start(vec![Arc::new(phone.opened(Script::default()))], "127.0.0.1:0").unwrap();
    let command = scene.command(server.address(), &["backup", SEGMENT_LEN]);
    let running = Running::start(command);
    running.wait_for("the phone may be unplugged now");
    running.signal("STOP");
    let is_made = fs::read_dir(scene.repository.path().join("snapshots"))
        .is_ok_and(|mut records| records.next().is_some());
    drop(server);
    running.signal("CONT");
    running.wait().code(0);
    assert_nothing_left(&scene);
    scene.assert_restores("latest", &phone.truth().encrypted());
    (!is_made).then_some((scene, phone))
}

#[test]
fn a_phone_that_is_unplugged_once_that_is_allowed_is_not_missed() {
    let (scene, phone) = (0..20).find_map(|_| unplugged()).expect("it was never quick enough");
    let snapshots = scene.repository.snapshots();
    assert_eq!((snapshots.len(), &snapshots[0]["verdict"]), (1, &"complete".into()));
    assert_readable(&scene, "latest", &phone.truth());
    phone.assert_no_violation();
}
