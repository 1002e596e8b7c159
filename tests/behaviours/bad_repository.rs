//! Drives that lost, changed or mixed up files, are full, read-only, or used by somebody else.
//!
//! What must hold each time: nothing is lost that the damage did not hit, and what it hit is named.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use russet_store::backend::{Backend, Durability, LocalBackend};
use russet_testkit::damage::flip_bit;

use super::support::{
    DATE, Mounted, Ran, Running, TestRepository, WEEK, bare, differences, fake, noise, run, stored,
    text,
};

/// A repository with two weeks of a phone, and their folders. Only the second has `Media/new.JPG`.
struct Two {
    repository: TestRepository,
    folders: [PathBuf; 2],
}

impl Two {
    fn new() -> Self {
        let repository = TestRepository::new();
        let first = fake().write_to(repository.folder("a"));
        let second = fake()
            .date(DATE + WEEK)
            .file("CameraRollDomain", "Media/new.JPG", noise(9, 200_000))
            .write_to(repository.folder("b"));
        repository.import(&first);
        repository.import(&second);
        Self { repository, folders: [first, second] }
    }

    /// Both weeks come back.
    #[track_caller]
    fn assert_whole(&self) {
        self.repository.assert_restores("latest~1", &self.folders[0]);
        self.repository.assert_restores("latest", &self.folders[1]);
    }

    /// The pack that holds the second week's photo: the one that only came with it and is longest.
    fn new_pack(&self) -> PathBuf {
        let packs = self.repository.files("packs");
        let long = |path: &&PathBuf| fs::metadata(path).unwrap().len() / 100_000 == 2;
        packs.iter().find(long).unwrap().clone()
    }

    /// Something new comes in, so that whatever heals at the next import does.
    #[track_caller]
    fn import_another(&self) {
        let backup = fake().date(DATE + 2 * WEEK);
        let folder =
            backup.write_to(tempfile::tempdir_in(self.repository.beside("")).unwrap().keep());
        self.repository.import(&folder);
        self.repository.assert_restores("latest", &folder);
        let id = self.repository.snapshots().last().unwrap()["snapshot_id"].clone();
        self.repository.ok(&["forget", "--yes", id.as_str().unwrap()]);
    }
}

type Harm = fn(&Path);

const HARMS: [(&str, Harm); 5] = [
    ("removed", |path| fs::remove_file(path).unwrap()),
    ("empty", |path| fs::write(path, "").unwrap()),
    ("cut", |path| {
        let len = fs::metadata(path).unwrap().len();
        russet_testkit::damage::truncate(path, len / 2).unwrap();
    }),
    ("flipped", |path| flip_bit(path, fs::metadata(path).unwrap().len() / 2, 3).unwrap()),
    ("foreign", |path| fs::write(path, noise(77, 5000)).unwrap()),
];

#[test]
fn any_one_damaged_copy_of_a_small_file_costs_nothing_and_heals() {
    let two = Two::new();
    for room in ["config", "keys", "snapshots", "log", "index"] {
        for root in ["", "copy1/", "copy2/"] {
            let place = two.repository.path().join(format!("{root}{room}"));
            if !place.exists() {
                continue;
            }
            let path = match place.is_dir() {
                true => russet_testkit::damage::all_files(&place).unwrap()[0].clone(),
                false => place,
            };
            let (what, harm) = HARMS[(room.len() + root.len()) % HARMS.len()];
            harm(&path);
            two.assert_whole();
            let verify = two.repository.run(&["verify"]);
            if room != "index" {
                let name = path.file_name().unwrap().to_str().unwrap();
                assert!(verify.stdout.contains(name), "{what} {room}: {}", verify.stdout);
                assert!(verify.stdout.contains("heals by itself"), "{}", verify.stdout);
                verify.code(20);
            }
            two.import_another();
            two.repository.assert_sound();
            two.assert_whole();
        }
    }
}

#[test]
fn every_harm_to_the_first_copy_of_everything_is_read_around() {
    for (what, harm) in HARMS {
        let two = Two::new();
        for room in ["config", "keys", "snapshots", "index"] {
            let place = two.repository.path().join(room);
            let paths = match place.is_dir() {
                true => russet_testkit::damage::all_files(&place).unwrap(),
                false => vec![place],
            };
            paths.iter().for_each(|path| harm(path));
        }
        two.assert_whole();
        two.repository.run(&["verify"]).code(20);
        two.import_another();
        two.repository.assert_sound();
        assert_eq!(two.repository.snapshots().len(), 2, "{what}");
    }
}

/// The three copies of a file of a room.
fn copies(repository: &TestRepository, room: &str, name: &str) -> [PathBuf; 3] {
    ["", "copy1/", "copy2/"].map(|root| repository.path().join(format!("{root}{room}/{name}")))
}

#[test]
fn a_snapshot_lost_in_all_copies_is_told_and_found_again_in_its_pack() {
    for (what, harm) in &HARMS[1..] {
        let two = Two::new();
        let id = two.repository.snapshots()[0]["snapshot_id"].as_str().unwrap().to_owned();
        for copy in copies(&two.repository, "snapshots", &id) {
            harm(&copy);
        }
        let ran = two.repository.run(&["verify"]).code(20);
        assert!(ran.stdout.contains(&id), "{what}: {}", ran.stdout);
        two.repository.run(&["snapshots"]).code(0).says(&["found again in a pack", &id]);
        two.assert_whole();
        two.repository.run(&["prune"]).code(0);
        two.repository.run(&["verify", "--read-data"]).code(0);
        two.assert_whole();
    }
}

#[test]
fn a_snapshot_that_vanished_is_found_again_in_its_pack() {
    let two = Two::new();
    let id = two.repository.snapshots()[0]["snapshot_id"].as_str().unwrap().to_owned();
    for copy in copies(&two.repository, "snapshots", &id) {
        fs::remove_file(copy).unwrap();
    }
    two.repository.run(&["snapshots"]).code(0).says(&["found again in a pack", &id]);
    two.repository.run(&["prune"]).code(0);
    two.assert_whole();
    assert!(copies(&two.repository, "snapshots", &id).iter().all(|copy| copy.is_file()));
}

#[test]
fn keys_lost_in_all_copies_are_told_as_damage() {
    let two = Two::new();
    let keys = |root: &str| two.repository.path().join(root).join("keys");
    for root in ["", "copy1", "copy2"] {
        for path in russet_testkit::damage::all_files(&keys(root)).unwrap() {
            fs::write(path, "").unwrap();
        }
    }
    let ran = two.repository.run(&["snapshots"]).code(20);
    ran.says(&["no keyslot of the repository can be read", "next: another copy", "keys/"]);
}

#[test]
fn a_config_lost_in_all_copies_leaves_a_repository_that_can_be_read() {
    let two = Two::new();
    for root in ["", "copy1/", "copy2/"] {
        fs::remove_file(two.repository.path().join(format!("{root}config"))).unwrap();
    }
    two.assert_whole();
    let ran = two.repository.run(&["import", text(&two.folders[0])]).code(20);
    ran.says(&["all copies of the config are lost", "can still be read", "next: "]);
    assert!(two.repository.run(&["snapshots"]).code(0).stderr.contains("read, not written"));
}

#[test]
fn copies_of_the_config_from_another_repository_hide_nothing() {
    let (two, other) = (Two::new(), TestRepository::new());
    fs::copy(other.path().join("config"), two.repository.path().join("config")).unwrap();
    two.assert_whole();
    two.import_another();
    two.repository.assert_sound();
}

#[test]
fn a_keyslot_of_another_repository_with_the_same_password_hides_nothing() {
    let (two, other) = (Two::new(), TestRepository::new());
    for path in other.files("keys") {
        fs::copy(&path, two.repository.path().join("keys").join(path.file_name().unwrap()))
            .unwrap();
    }
    two.assert_whole();
    let list = two.repository.ok(&["key", "list"]);
    assert_eq!(list.lines().count(), 2, "{list}");
}

/// Puts another config in place of all three.
fn rewrite_config(repository: &TestRepository, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(repository.path().join("config")).unwrap();
    change(&mut bytes);
    for root in ["", "copy1/", "copy2/"] {
        fs::write(repository.path().join(format!("{root}config")), &bytes).unwrap();
    }
}

#[test]
fn a_newer_format_is_refused_before_a_password_is_asked_for() {
    let two = Two::new();
    rewrite_config(&two.repository, |bytes| {
        bytes[9] = 2;
        let sum = blake3::hash(&bytes[..40]);
        bytes[40..48].copy_from_slice(&sum.as_bytes()[..8]);
    });
    let ran = two.repository.run(&["snapshots"]).code(1);
    ran.says(&["has format 2; this program knows format 1", "next: install a newer russet"]);
}

#[test]
fn a_damaged_pack_costs_its_own_files_which_are_named() {
    for (what, harm) in HARMS {
        let two = Two::new();
        let pack = two.new_pack();
        harm(&pack);
        two.repository.assert_restores("latest~1", &two.folders[0]);
        let target = two.repository.folder("target");
        let ran = two.repository.run(&["restore", "latest", "--target", text(&target)]).code(3);
        let back = fs::read_dir(&target).unwrap().next().unwrap().unwrap().path();
        let lost = differences(&two.folders[1], &back);
        assert!(lost.iter().all(|each| each.ends_with("missing in the second")), "{lost:?}");
        let photo = stored("CameraRollDomain", "Media/new.JPG");
        assert!(lost.iter().any(|each| each.starts_with(&photo)), "{what}: {lost:?}");
        // The lists of that week lie in the same pack; a flipped bit costs the photo alone.
        assert_eq!(lost.len(), if what == "flipped" { 1 } else { 5 }, "{lost:?}");
        let count = format!("could not restore {} file", lost.len());
        ran.says(&[&count, "Media/new.JPG", "the rest is in", "next: "]);
        let ran = two.repository.run(&["verify", "--read-data"]).code(20);
        assert!(ran.stdout.contains("CameraRollDomain/Media/new.JPG"), "{what}: {}", ran.stdout);
        let ran = two.repository.run(&["cat", "latest", "CameraRollDomain/Media/new.JPG"]);
        ran.code(20).says(&["error: ", "next: `russet verify --read-data`"]);
        let before = two.repository.files("packs");
        let ran = two.repository.run(&["prune"]);
        if what != "flipped" {
            ran.code(20).says(&["nothing is deleted"]);
        }
        assert_eq!(two.repository.files("packs"), before, "{what}");
    }
}

#[test]
fn a_lost_pack_comes_back_with_the_folder_it_came_from() {
    let two = Two::new();
    for pack in two.repository.files("packs") {
        fs::remove_file(pack).unwrap();
    }
    for folder in &two.folders {
        let said = two.repository.run(&["import", text(folder)]).code(0);
        said.says(&["were lost from the repository and have been stored again"]);
    }
    two.assert_whole();
    two.repository.assert_sound();
    assert_eq!(two.repository.snapshots().len(), 2);
}

#[test]
fn what_has_rotted_is_stored_again_by_a_forced_import() {
    let two = Two::new();
    for pack in two.repository.files("packs") {
        // Past the head, within the first blob: the pack is still read, that blob is not.
        flip_bit(&pack, 100, 3).unwrap();
    }
    two.repository.run(&["verify", "--read-data"]).code(20).says(&["would not come back"]);
    two.repository.run(&["import", text(&two.folders[0])]);
    let ran = two.repository.run(&["verify", "--read-data"]).code(20);
    assert!(ran.stdout.contains("would not come back"), "an ordinary import trusts what is listed");
    for folder in &two.folders {
        two.repository.run(&["import", "--force", text(folder)]).code(0);
    }
    two.assert_whole();
    let ran = two.repository.run(&["verify", "--read-data"]).code(20);
    assert!(!ran.stdout.contains("would not come back"), "{}", ran.stdout);
}

#[test]
fn two_packs_under_each_others_names_restore_nothing_wrong() {
    let two = Two::new();
    let packs = two.repository.files("packs");
    let (first, second) = (
        two.new_pack(),
        packs.iter().max_by_key(|p| fs::metadata(p).unwrap().len()).unwrap().clone(),
    );
    let aside = two.repository.beside("aside");
    fs::rename(&first, &aside).unwrap();
    fs::rename(&second, &first).unwrap();
    fs::rename(&aside, &second).unwrap();
    let ran = two.repository.run(&["verify", "--read-data"]).code(20);
    for pack in [&first, &second] {
        let name = pack.file_name().unwrap().to_str().unwrap();
        assert!(ran.stdout.contains(name), "{}", ran.stdout);
    }
    let target = two.repository.folder("target");
    let ran = two.repository.run(&["restore", "latest", "--target", text(&target)]);
    assert!(matches!(ran.exit, Some(0 | 3)), "{}", ran.stderr);
    let back = fs::read_dir(&target).unwrap().next().unwrap().unwrap().path();
    for difference in differences(&two.folders[1], &back) {
        assert!(difference.ends_with("missing in the second"), "{difference}");
    }
}

#[test]
fn packs_and_snapshots_of_another_repository_are_not_taken_for_ours() {
    let (two, other) = (Two::new(), Two::new());
    for room in ["packs", "snapshots", "index", "log"] {
        if !other.repository.path().join(room).exists() {
            continue;
        }
        for path in other.repository.files(room) {
            let below = path.strip_prefix(other.repository.path()).unwrap();
            let to = two.repository.path().join(below);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&path, to).unwrap();
        }
    }
    two.assert_whole();
    assert_eq!(
        two.repository.snapshots().iter().filter(|m| m["message_type"] == "snapshot").count(),
        2
    );
    let before = two.repository.files("").len();
    two.repository.run(&["prune"]).code(20).says(&["nothing may be deleted"]);
    assert_eq!(two.repository.files("").len(), before);
    two.repository.run(&["verify"]).code(20);
    two.import_another();
    two.assert_whole();
}

#[test]
fn files_that_are_not_ours_are_counted_and_never_touched() {
    let two = Two::new();
    let names = [
        "._config",
        ".DS_Store",
        "notes.txt",
        "packs/._00",
        "packs/ab/readme",
        "keys/x",
        "snapshots/Thumbs.db",
    ];
    for name in names {
        let path = two.repository.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, name).unwrap();
    }
    let info = two.repository.ok(&["repo", "info"]);
    assert!(info.contains("Other files  7, ignored"), "{info}");
    two.import_another();
    two.repository.ok(&["prune", "--max-unused", "0%"]);
    two.repository.assert_sound();
    two.assert_whole();
    for name in names {
        assert_eq!(fs::read(two.repository.path().join(name)).unwrap(), name.as_bytes());
    }
}

#[test]
fn a_lost_or_garbled_cache_costs_nothing() {
    let two = Two::new();
    let cache = two.repository.beside("cache");
    fs::remove_dir_all(&cache).unwrap();
    two.assert_whole();
    for path in russet_testkit::damage::all_files(&cache).unwrap() {
        fs::write(path, noise(5, 3000)).unwrap();
    }
    two.assert_whole();
    two.import_another();
    for path in russet_testkit::damage::all_files(&cache).unwrap() {
        fs::write(path, "").unwrap();
    }
    two.assert_whole();
    two.import_another();
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "a file where the cache should be").unwrap();
    two.assert_whole();
    two.import_another();
    two.repository.assert_sound();
}

#[test]
fn the_cache_of_another_repository_answers_for_nothing_of_ours() {
    let (two, other) = (Two::new(), Two::new());
    let of = |repository: &TestRepository| {
        let cache = repository.beside("cache");
        fs::read_dir(cache).unwrap().next().unwrap().unwrap().path()
    };
    let (ours, theirs) = (of(&two.repository), of(&other.repository));
    fs::remove_dir_all(&ours).unwrap();
    fs::rename(theirs, ours).unwrap();
    two.assert_whole();
    two.import_another();
    two.repository.assert_sound();
}

#[test]
fn another_computers_cache_follows_what_was_pruned_here() {
    let two = Two::new();
    let there = two.repository.beside("another cache");
    let at_there =
        |args: &[&str]| two.repository.run(&[&["--cache-dir", text(&there)], args].concat());
    at_there(&["verify"]).code(0);
    two.repository.ok(&["forget", "--yes", "--prune", "latest~1"]);
    two.repository.ok(&["prune", "--max-unused", "0%"]);
    at_there(&["verify", "--read-data"]).code(0);
    at_there(&["import", "--force", text(&two.folders[0])]).code(0);
    two.assert_whole();
    two.repository.assert_sound();
}

fn copy_tree(from: &Path, to: &Path) {
    for path in russet_testkit::damage::all_files(from).unwrap() {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

#[test]
fn an_older_copy_of_the_drive_is_told_and_can_be_used() {
    let two = Two::new();
    let aside = two.repository.folder("aside");
    copy_tree(&two.repository.path(), &aside);
    let third = fake().date(DATE + 2 * WEEK).file("HomeDomain", "Library/third", "third");
    let third = third.write_to(two.repository.folder("c"));
    two.repository.import(&third);
    fs::remove_dir_all(two.repository.path()).unwrap();
    fs::rename(aside, two.repository.path()).unwrap();
    let ran = two.repository.run(&["snapshots"]).code(0);
    ran.says(&["this drive is OLDER than when this computer last saw it"]);
    two.assert_whole();
    two.repository.import(&third);
    two.repository.assert_restores("latest", &third);
    two.repository.assert_sound();
    let ran = two.repository.run(&["snapshots"]).code(0);
    assert!(!ran.stderr.contains("OLDER"), "{}", ran.stderr);
}

#[test]
fn nothing_of_a_repository_is_called_so_with_code_10() {
    let repository = TestRepository::new();
    let empty = repository.folder("empty");
    for path in [&empty, &repository.beside("nowhere")] {
        let ran = repository.run(&["--repo", text(path), "snapshots"]).code(10);
        ran.says(&["there is no repository at", text(path), "next: is the drive connected"]);
    }
    let file = repository.beside("file");
    fs::write(&file, "x").unwrap();
    let ran = repository.run(&["--repo", text(&file), "snapshots"]);
    assert!(matches!(ran.exit, Some(10 | 13)), "{:?}", ran.exit);
    ran.says(&[text(&file), "next: "]);
}

#[test]
fn init_takes_no_folder_that_holds_something() {
    let two = Two::new();
    let before = two.repository.files("");
    two.repository.run(&["init"]).code(1).says(&["already holds a repository"]);
    assert_eq!(two.repository.files(""), before);
    let photos = two.repository.folder("photos");
    fs::write(photos.join("1.jpg"), "x").unwrap();
    let ran = two.repository.run(&["init", text(&photos)]).code(1);
    ran.says(&["is not empty and holds no repository", "next: name a new folder"]);
    assert_eq!(fs::read_dir(photos).unwrap().count(), 1);
}

#[test]
fn a_wrong_password_is_told_with_code_12() {
    let two = Two::new();
    fs::write(two.repository.beside("password"), "wrong horse").unwrap();
    let ran = two.repository.run(&["snapshots"]).code(12);
    ran.says(&["wrong repository password", "`--recovery-file`"]);
}

fn lock(repository: &TestRepository) -> impl Sized + use<> {
    let backend = LocalBackend::open(&repository.path(), Durability { read_back: false }).unwrap();
    let lock = backend.lock_exclusive().unwrap();
    (backend, lock)
}

#[test]
fn a_second_writer_is_refused_and_told_who_writes_while_readers_read() {
    let two = Two::new();
    let held = lock(&two.repository);
    let ran = two.repository.run(&["import", text(&two.folders[0])]).code(11);
    let who = format!("process {}", std::process::id());
    ran.says(&["is being written to by", &who, "next: wait for it", "--retry-lock"]);
    two.assert_whole();
    two.repository.assert_sound();
    drop(held);
    two.import_another();
}

#[test]
fn readers_beside_each_other_share_no_index_and_answer_alike() {
    let two = Two::new();
    let start = || Running::start(two.repository.command(&["verify", "--read-data", "--json"]));
    let running: Vec<Running> = (0..4).map(|_| start()).collect();
    for each in running {
        assert_eq!(each.wait().code(0).summary()["snapshot_count"], 2);
    }
}

#[test]
fn a_folder_imported_twice_at_once_is_archived_once() {
    let two = Two::new();
    let folder = fake().date(DATE + 2 * WEEK).file("HomeDomain", "Library/c", "c");
    let folder = folder.write_to(two.repository.folder("c"));
    let args = ["import", "--json", "--retry-lock", "50s", text(&folder)];
    let running: Vec<Running> =
        (0..3).map(|_| Running::start(two.repository.command(&args))).collect();
    let new = running.into_iter().map(|each| each.wait().code(0).summary());
    assert_eq!(new.filter(|summary| summary["new"] == true).count(), 1);
    assert_eq!(two.repository.snapshots().len(), 3);
    two.repository.assert_restores("latest", &folder);
    two.repository.assert_sound();
}

#[test]
fn a_second_writer_waits_as_long_as_it_was_told_to() {
    let two = Two::new();
    let held = lock(&two.repository);
    let args = ["import", "--retry-lock", "50s", text(&two.folders[0])];
    let running = Running::start(two.repository.command(&args));
    running.wait_for("waiting for another writer");
    drop(held);
    running.wait().code(0);
}

#[test]
fn a_read_only_drive_can_be_read_and_says_why_it_is_not_written() {
    let two = Two::new();
    let path = two.repository.path();
    let Some(mounted) = Mounted::bind(&path, &path) else { return };
    mounted.again("ro,bind");
    two.assert_whole();
    two.repository.assert_sound();
    two.repository.ok(&["ls", "latest"]);
    let cat = two.repository.run(&["cat", "latest", "HomeDomain/Library/a.db"]).code(0);
    assert_eq!(cat.bytes, b"alpha");
    let before = two.repository.files("");
    for args in [&["import", text(&two.folders[0])][..], &["pin", "latest"], &["prune"]] {
        let ran = two.repository.run(args).code(1);
        ran.says(&["is read-only", "next: make the drive writable"]);
    }
    assert_eq!(two.repository.files(""), before);
}

#[test]
fn a_full_drive_stops_the_import_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("repository");
    fs::create_dir(&place).unwrap();
    let Some(drive) = Mounted::drive(3 << 20, &place) else { return };
    let repository = TestRepository::at(dir, "repository");
    let small = fake().write_to(repository.folder("a"));
    repository.import(&small);
    let large = fake().date(DATE + WEEK).file("CameraRollDomain", "Media/2.JPG", noise(2, 6 << 20));
    let large = large.write_to(repository.folder("b"));
    for _ in 0..2 {
        let ran = repository.run(&["import", text(&large)]).code(16);
        ran.says(&["error: ", "no space is left", "next: free some space on the drive"]);
        repository.assert_restores("latest", &small);
    }
    drive.again(&format!("size={}", 40 << 20));
    repository.import(&large);
    repository.assert_restores("latest", &large);
    repository.assert_sound();
    drop(drive);
}

#[test]
fn a_restore_to_a_full_drive_says_so() {
    let two = Two::new();
    let target = two.repository.folder("target");
    let Some(_drive) = Mounted::drive(100 << 10, &target) else { return };
    let ran = two.repository.run(&["restore", "latest", "--target", text(&target)]).code(16);
    ran.says(&["no space is left in", text(&target), "next: delete the unfinished folder"]);
}

#[test]
fn a_closed_stdout_is_no_panic() {
    let two = Two::new();
    let target = two.repository.folder("target");
    let photo = "CameraRollDomain/Media/new.JPG";
    let commands: [&[&str]; 9] = [
        &["ls", "latest"],
        &["ls", "latest", "--json"],
        &["cat", "latest", photo],
        &["snapshots"],
        &["stats"],
        &["verify"],
        &["restore", "latest", "--target", text(&target)],
        &["import", text(&two.folders[0])],
        &["--help"],
    ];
    for args in commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = two.repository.command(args);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(matches!(output.status.code(), Some(0 | 141)), "{args:?}: {:?}", output.status);
        assert!(said.is_empty(), "{args:?}: {said}");
    }
}

/// Runs with a stdout that nobody reads.
fn unread(repository: &TestRepository, args: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    repository.command(args).stdout(writer).stderr(Stdio::null()).status().unwrap().code()
}

#[test]
fn a_closed_stdout_hides_neither_damage_nor_what_is_missing() {
    let two = Two::new();
    let folder = fake().date(DATE + 4 * WEEK).row_without_payload("HomeDomain", "Library/gone");
    let folder = folder.write_to(two.repository.folder("c"));
    for args in [&["import", text(&folder)][..], &["import", "--json", text(&folder)]] {
        assert_eq!(unread(&two.repository, args), Some(3), "{args:?}");
    }
    fs::remove_file(two.new_pack()).unwrap();
    for args in [&["verify"][..], &["verify", "--json"]] {
        assert_eq!(unread(&two.repository, args), Some(20), "{args:?}");
    }
    let target = two.repository.folder("target");
    let args = ["restore", "latest", "--json", "--target", text(&target)];
    assert_eq!(unread(&two.repository, &args), Some(3));
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let two = Two::new();
    for args in [&["ls", "latest"][..], &["cat", "latest", "HomeDomain/Library/a.db"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = two.repository.command(args);
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("could not write to stdout"), "{args:?}: {said}");
    }
}

#[test]
fn without_a_password_or_a_terminal_the_ways_to_give_one_are_named() {
    let two = Two::new();
    let mut command = two.repository.command(&["snapshots"]);
    command.env_remove("RUSSET_PASSWORD_FILE");
    let ran = run(command).code(2);
    ran.says(&["no repository password was given", "`--password-file FILE`"]);
    let missing = two.repository.beside("missing");
    let ran = two.repository.run(&["--password-file", text(&missing), "snapshots"]).code(2);
    ran.says(&["could not read the password file", text(&missing)]);
    let ran = run(bare(&["snapshots"])).code(2);
    ran.says(&["no repository was named", "next: use `--repo FOLDER`"]);
}

/// A backup of 120 MB, far more than one pack holds.
fn large(repository: &TestRepository) -> PathBuf {
    let mut backup = fake().date(DATE + 3 * WEEK);
    for number in 0..30 {
        let name = format!("Media/{number}.MOV");
        backup = backup.file("CameraRollDomain", &name, noise(100 + number, 4 << 20));
    }
    backup.write_to(repository.folder("large"))
}

/// An import that a signal ended. A quick machine may be done before the signal comes: then another one is tried.
fn stopped_by(signal: &str) -> Ran {
    (0..10).find_map(|_| signalled(signal)).expect("ten imports were done before a signal came")
}

/// None: it was done first.
fn signalled(signal: &str) -> Option<Ran> {
    let two = Two::new();
    let folder = large(&two.repository);
    let before = two.repository.files("packs").len();
    let running = Running::start(two.repository.command(&["import", text(&folder)]));
    let is_pack = |path: &PathBuf| path.file_name().unwrap().len() == 64;
    let packs = || two.repository.files("packs").iter().filter(|p| is_pack(p)).count();
    while packs() <= before {
        std::thread::sleep(Duration::from_millis(1));
    }
    running.signal(signal);
    let ran = running.wait();
    if ran.exit == Some(0) {
        return None;
    }
    assert_eq!(two.repository.snapshots().len(), 2);
    two.assert_whole();
    two.repository.import(&folder);
    two.repository.assert_restores("latest", &folder);
    two.repository.assert_sound();
    Some(ran)
}

#[test]
fn a_signal_stops_an_import_and_the_next_one_completes() {
    for signal in ["INT", "TERM"] {
        let ran = stopped_by(signal).code(130);
        ran.says(&[
            "stopped as asked",
            "nothing that was saved before is affected",
            "next: run the same",
        ]);
    }
}

#[test]
fn a_kill_in_the_middle_loses_nothing() {
    assert_eq!(stopped_by("KILL").exit, None);
}

#[test]
fn a_password_file_with_nothing_in_it_is_refused() {
    let two = Two::new();
    let path = two.repository.beside("password");
    fs::File::create(&path).unwrap().write_all(b"\n").unwrap();
    let ran = two.repository.run(&["snapshots"]);
    assert!(matches!(ran.exit, Some(2 | 12)), "{:?} {}", ran.exit, ran.stderr);
}
