//! Caches that are lost, garbled or of another repository, and a drive older than what this computer saw of it.
//!
//! Invariant: a cache may cost time, never an answer.

use std::fs;
use std::path::Path;

use super::super::support::{DATE, TestRepository, WEEK, fake, noise, text};
use super::Two;

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
