//! Packs that are lost, damaged, swapped or foreign, and files that are not ours.
//!
//! Invariant: a damaged pack costs its own files, which are named; nothing wrong is ever restored.

use std::fs;

use russet_testkit::damage::flip_bit;

use super::super::support::{differences, stored, text};
use super::{HARMS, Two};

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
