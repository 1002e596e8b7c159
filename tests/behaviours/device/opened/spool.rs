//! The spool: too small, torn, damaged, gone.

use russet_testkit::device::Passcode;

use super::*;

/// A backup that waits: nothing opened it.
fn waiting() -> (Scene, TestPhone) {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = password_file(&scene, "wrong");
    let args = ["--phone-password-file", &wrong, SEGMENT_LEN];
    scene.backup(&phone, Script::default(), &args).code(22);
    (scene, phone)
}

/// A backup that was cut off with files in the spool.
fn cut_off() -> (Scene, TestPhone) {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let script = Script { cut_after_len: Some(5_000_000), ..Script::default() };
    scene.backup(&phone, script, &[SEGMENT_LEN]).code(17);
    assert!(segments(&scene).len() > 2);
    (scene, phone)
}

#[test]
fn a_drive_that_is_plainly_too_small_is_refused_before_the_phone_begins() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let script = Script { used_len: Some(1 << 50), ..Script::default() };
    let ran = scene.backup(&phone, script.clone(), &[]).code(16);
    ran.says(&["--spool DIR"]);
    assert_eq!(phone.noted("plan"), Vec::<Value>::new());
    assert_nothing_left(&scene);
    // Where nothing waits, nothing is too small.
    backup_closed(&scene, &phone, script);
}

#[test]
fn a_spool_elsewhere_is_found_again_by_a_command_that_does_not_name_it() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let dir = scene.repository.folder("elsewhere");
    let args = ["--spool", text(&dir), SEGMENT_LEN];
    let script = Script { cut_after_files: Some(40), ..Script::default() };
    scene.backup(&phone, script, &args).code(17);
    assert_eq!((fs::read_dir(&dir).unwrap().count(), spools(&scene).len()), (1, 0));
    let summary = scene.backup_well(&phone);
    assert_eq!(summary["resumed"], true);
    assert_all_opened(&summary);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    assert_nothing_left(&scene);
}

#[test]
fn a_folder_for_the_spool_is_made_where_its_parent_is_there() {
    use std::os::unix::fs::PermissionsExt;
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let dir = scene.repository.folder("parent").join("new");
    let nowhere = dir.join("away").join("new");
    let file = scene.repository.beside("a file");
    fs::write(&file, "").unwrap();
    for (dir, why) in [(&nowhere, "is to lie in is not there"), (&file, "it is not a folder")] {
        let ran = scene.backup(&phone, Script::default(), &["--spool", text(dir)]).code(1);
        ran.says(&[&format!("could not use the folder {} for the spool: ", text(dir)), why]);
    }
    assert_eq!(phone.noted("plan"), Vec::<Value>::new());
    scene.backup(&phone, Script::default(), &["--spool", text(&dir), SEGMENT_LEN]).code(0);
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700);
    assert_nothing_left(&scene);
}

/// Mounts the drive of the repository elsewhere: what lies on it is the same.
fn move_drive(scene: &Scene, name: &str) -> PathBuf {
    let to = scene.repository.folder(name);
    for path in spools(scene).into_iter().chain([scene.repository.path()]) {
        fs::rename(&path, to.join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// A command on the repository of a drive that is mounted there.
fn run_there(scene: &Scene, there: &Path, address: &str, args: &[&str]) -> Ran {
    let mut command = scene.command(address, args);
    command.env("RUSSET_REPOSITORY", there.join("repository"));
    run(command)
}

/// A drive with a repository and nothing else.
#[track_caller]
fn assert_only_repository(scene: &Scene, there: &Path) {
    let names: Vec<_> =
        fs::read_dir(there).unwrap().map(|child| child.unwrap().file_name()).collect();
    assert_eq!(names, ["repository"]);
    fs::rename(there.join("repository"), scene.repository.path()).unwrap();
    assert_nothing_left(scene);
}

#[test]
fn a_drive_that_is_mounted_elsewhere_brings_along_what_was_interrupted() {
    let (scene, phone) = cut_off();
    let there = move_drive(&scene, "elsewhere");
    // What is written now says where it is now: the place of that day is not looked at again.
    let script = Script { cut_after_len: Some(2_000_000), ..Script::default() };
    run_there(&scene, &there, &phone.serve(script), &["backup"]).code(17);
    assert_eq!(spools(&scene), Vec::<PathBuf>::new());
    let moved = scene.repository.folder("without its spool");
    fs::rename(there.join("repository"), moved.join("repository")).unwrap();
    let address = phone.serve(Script::default());
    let named = ["backup", "--json", "--spool", there.to_str().unwrap()];
    run_there(&scene, &moved, &address, &["backup"]).code(13);
    let summary = run_there(&scene, &moved, &address, &named).code(0).summary();
    assert_eq!(summary["resumed"], true);
    assert_all_opened(&summary);
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    assert_only_repository(&scene, &moved);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    phone.assert_no_violation();
}

#[test]
fn an_interrupted_backup_waits_for_the_drive_of_its_spool() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let dir = scene.repository.folder("another drive");
    let script = Script { cut_after_len: Some(5_000_000), ..Script::default() };
    let spool = ["--spool", dir.to_str().unwrap(), SEGMENT_LEN];
    scene.backup(&phone, script, &spool).code(17);
    let away = scene.repository.beside("away");
    fs::rename(&dir, &away).unwrap();
    scene.backup(&phone, Script::default(), &[]).code(13).says(&["is the drive of the spool"]);
    fs::rename(&away, &dir).unwrap();
    let summary = scene.backup(&phone, Script::default(), &[]).code(0).summary();
    assert_eq!(summary["resumed"], true);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn a_copy_beside_the_repository_gives_up_nothing_of_the_original() {
    let (scene, phone) = waiting();
    let copy = scene.repository.beside("copy of it");
    super::super::copy_over(&scene.repository.path(), &copy);
    for command in [&["--yes", "prune", "--drop-drafts"][..], &["reopen"]] {
        let mut command = scene.command(NO_PHONE, command);
        command.env("RUSSET_REPOSITORY", &copy);
        run(command);
        assert_eq!(spools(&scene).len(), 1);
    }
    let summary = scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary();
    assert_all_opened(&summary);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
}

#[test]
fn what_waits_is_given_up_only_when_the_new_backup_begins() {
    let (scene, phone) = waiting();
    let too_much = Script { used_len: Some(1 << 50), ..Script::default() };
    scene.backup(&phone, too_much, &["--restart"]).code(16);
    assert_eq!(spools(&scene).len(), 1);
    let summary = scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary();
    assert_all_opened(&summary);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
}

#[test]
fn a_drive_that_is_mounted_elsewhere_brings_along_what_waits() {
    let (scene, phone) = waiting();
    let there = move_drive(&scene, "elsewhere");
    let summary = run_there(&scene, &there, NO_PHONE, &["backup", "--json"]).code(0).summary();
    assert_all_opened(&summary);
    assert_only_repository(&scene, &there);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
}

#[test]
fn what_is_given_up_goes_with_its_spool_wherever_the_drive_is() {
    let (scene, _phone) = waiting();
    let there = move_drive(&scene, "elsewhere");
    run_there(&scene, &there, NO_PHONE, &["--yes", "prune", "--drop-drafts"]).code(0);
    assert_only_repository(&scene, &there);
}

#[test]
fn a_spool_stays_where_it_is_if_another_folder_is_named_and_that_is_said() {
    for (scene, phone) in [cut_off(), waiting()] {
        let dir = scene.repository.folder("elsewhere");
        let ran = scene.backup(&phone, Script::default(), &["--spool", text(&dir)]).code(0);
        assert_eq!(ran.stdout.matches("stays there").count(), 1, "{}", ran.stdout);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
        assert_nothing_left(&scene);
    }
}

#[test]
fn a_spool_that_was_moved_is_found_where_a_person_says() {
    let (scene, phone) = cut_off();
    let spool = spools(&scene).pop().unwrap();
    let dir = scene.repository.folder("elsewhere");
    fs::rename(&spool, dir.join(spool.file_name().unwrap())).unwrap();
    let args = ["--spool", text(&dir), SEGMENT_LEN];
    let ran = scene.backup(&phone, Script::default(), &args).code(0);
    assert_eq!(ran.summary()["resumed"], true);
    assert!(!ran.stdout.contains("stays there"), "{}", ran.stdout);
    assert_all_opened(&ran.summary());
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    assert_nothing_left(&scene);
}

#[test]
fn a_spool_in_which_nothing_waits_yet_is_made_where_a_person_says_now() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let script = Script { passcode: Passcode::Never, ..Script::default() };
    assert_ne!(scene.backup(&phone, script, &[]).exit, Some(0));
    assert_eq!((spools(&scene).len(), segments(&scene).len()), (1, 0));
    let dir = scene.repository.folder("elsewhere");
    let args = ["--spool", text(&dir), SEGMENT_LEN];
    let script = Script { cut_after_len: Some(5_000_000), ..Script::default() };
    let ran = scene.backup(&phone, script, &args).code(17);
    assert!(!ran.stdout.contains("stays there"), "{}", ran.stdout);
    assert_eq!((fs::read_dir(&dir).unwrap().count(), spools(&scene).len()), (1, 0));
    assert_all_opened(&scene.backup_well(&phone));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    assert_nothing_left(&scene);
}

#[test]
fn a_torn_tail_is_cut_and_told_and_the_backup_goes_on() {
    let (scene, phone) = cut_off();
    let last = segments(&scene).pop().unwrap();
    let mut bytes = fs::read(&last).unwrap();
    bytes.extend_from_slice(&[7; 70_000]);
    fs::write(&last, bytes).unwrap();
    fs::write(last.with_file_name("00000099"), "torn").unwrap();
    let ran = scene.backup(&phone, Script::default(), &[SEGMENT_LEN]).code(0);
    assert!(ran.stdout.contains("70.0 kB that were not yet safe"), "{}", ran.stdout);
    let summary = ran.summary();
    assert_eq!(summary["resumed"], true);
    assert_all_opened(&summary);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_nothing_left(&scene);
    phone.assert_no_violation();
}

#[test]
fn a_segment_that_lost_its_end_makes_the_backup_begin_anew() {
    let (scene, phone) = cut_off();
    let first = segments(&scene).remove(0);
    fs::File::options().write(true).open(&first).unwrap().set_len(70_000).unwrap();
    let ran = scene.backup(&phone, Script::default(), &[]).code(0);
    assert!(ran.stdout.contains("cannot be gone on with"), "{}", ran.stdout);
    assert_all_opened(&ran.summary());
    assert_nothing_left(&scene);
}

#[test]
fn damage_in_a_backup_that_waits_costs_the_files_it_hit_and_is_told() {
    let (scene, phone) = waiting();
    let third = segments(&scene).remove(2);
    let mut bytes = fs::read(&third).unwrap();
    bytes[200_000] ^= 1;
    fs::write(&third, bytes).unwrap();
    let summary = scene.run(NO_PHONE, &["backup", "--json"]).code(3).summary();
    assert_eq!(summary["verdict"], "incomplete");
    assert!(summary["problem_count"].as_u64().unwrap() > 0, "{summary}");
    assert_nothing_left(&scene);
    // It is no base: the phone is asked for everything, and nothing is missing then.
    let next = scene.backup_well(&phone);
    assert_all_opened(&next);
    scene.assert_restores(id(&next), &phone.truth().encrypted());
}

#[test]
fn a_spool_whose_drive_is_away_is_waited_for() {
    let (scene, _phone) = waiting();
    let spool = spools(&scene).pop().unwrap();
    let away = scene.repository.beside("away");
    fs::rename(&spool, &away).unwrap();
    scene.run(NO_PHONE, &["backup"]).code(13).says(&["spool"]);
    assert_eq!(scene.draft_count(), 1);
    fs::rename(&away, &spool).unwrap();
    assert_all_opened(&scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary());
    assert_nothing_left(&scene);
}

#[test]
fn a_copy_of_the_repository_leaves_the_spool_of_the_other_alone() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let shared = scene.repository.folder("shared");
    let spool = ["--spool", shared.to_str().unwrap(), SEGMENT_LEN];
    let (clone, other) = (scene.copy(), phone.copy());
    let wrong = password_file(&scene, "wrong");
    let args = [&["--phone-password-file", &wrong][..], &spool].concat();
    scene.backup(&phone, Script::default(), &args).code(22);
    let one = || fs::read_dir(&shared).unwrap().count();
    assert_eq!(one(), 1);

    let ran = clone.backup(&other, Script::default(), &spool).code(0);
    assert_all_opened(&ran.summary());
    assert_eq!(one(), 1);
    // It is said once, with what it costs and what can be done.
    let folder = fs::read_dir(&shared).unwrap().next().unwrap().unwrap().path();
    let files = russet_testkit::damage::all_files(&folder).unwrap();
    let len: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    let about = format!("{} holds {}", folder.display(), russet::observe::size(len));
    assert_eq!(ran.stdout.matches(&about).count(), 1, "{}", ran.stdout);
    assert!(ran.stdout.contains("another copy of this repository may need it"));

    let summary = scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary();
    assert_all_opened(&summary);
    scene.assert_restores(id(&summary), &phone.truth().encrypted());
    assert_eq!(one(), 0);
}

/// Copies of one repository with one draft, whose spool a person put into a folder that both name.
fn shared(script: Script, exit: i32, password: &str) -> (Scene, TestPhone, Scene, PathBuf) {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let shared = scene.repository.folder("shared");
    let password = password_file(&scene, password);
    let args = [
        "--spool",
        text(&shared),
        SEGMENT_LEN,
        "--no-remember",
        "--phone-password-file",
        &password,
    ];
    scene.backup(&phone, script, &args).code(exit);
    let copy = scene.copy();
    (scene, phone, copy, shared)
}

/// Every byte in a folder, by path.
fn bytes_in(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = russet_testkit::damage::all_files(folder).unwrap();
    files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_copy_that_has_the_same_draft_touches_nothing_of_what_waits_in_a_shared_folder() {
    let cut = Script { cut_after_len: Some(5_000_000), ..Script::default() };
    for (script, exit, password) in
        [(Script::default(), 22, "wrong"), (cut, 17, super::super::PHONE_PASSWORD)]
    {
        let (scene, phone, copy, shared) = shared(script, exit, password);
        let named = ["--spool", text(&shared)];
        let before = bytes_in(&shared);
        for args in [&named[..], &[]] {
            let other = phone.copy();
            let ran = copy.backup(&other, Script::default(), args).code(1);
            let words = ran.stdout.clone() + &ran.stderr;
            for what in ["another copy of this repository", "`owner`", "--restart"] {
                assert!(words.contains(what), "{what}: {words}");
            }
            assert_eq!(other.noted("plan"), phone.noted("plan"));
            copy.run(NO_PHONE, &["reopen"]);
            assert!(bytes_in(&shared) == before);
            assert_eq!(copy.draft_count(), 1);
        }
        // A person gives it up for the copy alone.
        let other = phone.copy();
        let args = [&["--restart"], &named[..]].concat();
        assert_all_opened(&copy.backup(&other, Script::default(), &args).code(0).summary());
        assert!(bytes_in(&shared) == before);
        assert_eq!(copy.draft_count(), 0);
        let summary = scene.backup_well(&phone);
        assert_all_opened(&summary);
        scene.assert_restores("latest", &phone.truth().encrypted());
        assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
        assert_nothing_left(&scene);
    }
}

#[test]
fn drafts_that_a_copy_drops_leave_what_waits_in_a_shared_folder() {
    let (scene, phone, copy, shared) = shared(Script::default(), 22, "wrong");
    let before = bytes_in(&shared);
    copy.run(NO_PHONE, &["--yes", "prune", "--drop-drafts"]).code(0);
    assert_eq!(copy.draft_count(), 0);
    assert!(bytes_in(&shared) == before);
    assert_all_opened(&scene.run(NO_PHONE, &["backup", "--json"]).code(0).summary());
    scene.assert_restores("latest", &phone.truth().encrypted());
}

#[test]
fn a_repository_that_was_moved_takes_what_waits_elsewhere_once_a_person_says_so() {
    let (scene, phone, _, shared) = shared(Script::default(), 22, "wrong");
    let there = move_drive(&scene, "elsewhere");
    let backup = || run_there(&scene, &there, NO_PHONE, &["backup", "--json"]);
    backup().code(1);
    let owner = fs::read_dir(&shared).unwrap().next().unwrap().unwrap().path().join("owner");
    fs::remove_file(owner).unwrap();
    assert_all_opened(&backup().code(0).summary());
    assert_only_repository(&scene, &there);
    scene.assert_restores("latest", &phone.truth().encrypted());
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
}

#[test]
fn a_repository_that_was_renamed_is_told_once_where_its_spool_lies() {
    let (scene, phone) = cut_off();
    let there = scene.repository.beside("renamed");
    fs::rename(scene.repository.path(), &there).unwrap();
    let backup = |script: Script, args: &[&str]| {
        let args = [&["backup", "--json"], args].concat();
        let mut command = scene.command(&phone.serve(script), &args);
        command.env("RUSSET_REPOSITORY", &there);
        run(command)
    };
    backup(Script::default(), &[]).code(13).says(&["there is no such folder"]);
    let cut = Script { cut_after_len: Some(2_000_000), ..Script::default() };
    backup(cut, &["--spool", text(&scene.repository.beside(""))]).code(17);
    let summary = backup(Script::default(), &[]).code(0).summary();
    assert_eq!(summary["resumed"], true);
    assert_all_opened(&summary);
    fs::rename(&there, scene.repository.path()).unwrap();
    scene.assert_restores("latest", &phone.truth().encrypted());
    assert_nothing_left(&scene);
}

#[test]
fn a_change_of_the_password_finds_what_was_interrupted_where_a_person_says() {
    let (scene, phone) = cut_off();
    let spool = spools(&scene).pop().unwrap();
    let dir = scene.repository.folder("elsewhere");
    fs::rename(&spool, dir.join(spool.file_name().unwrap())).unwrap();
    let old = password_file(&scene, super::super::PHONE_PASSWORD);
    let new = password_file(&scene, "new");
    let args =
        ["phone-password", "change", "--old-password-file", &old, "--new-password-file", &new];
    let address = phone.serve(Script::default());
    scene.run(&address, &args).code(13).says(&["--spool DIR"]);
    scene.run(&address, &[&args[..], &["--spool", text(&dir)]].concat()).code(0);
    assert_eq!(phone.state().password.as_deref(), Some("new"));
}
