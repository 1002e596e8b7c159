//! Copies of config, keys, records, log and index that are lost, damaged, foreign or newer.
//!
//! Invariant: one copy that opens is enough, and the others heal from it; without any, what is lost is named.

use std::fs;
use std::path::PathBuf;

use super::super::support::{TestRepository, text};
use super::{HARMS, Two};

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
