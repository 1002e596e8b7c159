//! Snapshots that are forgotten, and the space that comes back.
//!
//! Invariant: what was not named stays, byte for byte; what is pinned cannot be named.

use std::fs;

use super::Shelf;

#[test]
fn a_forgotten_snapshot_is_gone_and_its_space_comes_back() {
    let shelf = Shelf::new();
    let before = shelf.repository.pack_len();
    let said = shelf.repository.ok(&["forget", "--dry-run", &shelf.ids[0]]);
    assert!(said.contains("would forget snapshot") && said.contains("Old iPad"), "{said}");
    assert_eq!(shelf.repository.snapshots().len(), 4);
    let ran = shelf.repository.run(&["forget", &shelf.ids[0]]).code(2);
    ran.says(&["this needs a yes", "next: run it again with `--yes`"]);
    assert_eq!(shelf.repository.snapshots().len(), 4);
    shelf.repository.ok(&["forget", "--yes", &shelf.ids[0]]);
    assert_eq!(shelf.repository.snapshots().len(), 3);
    assert_eq!(shelf.repository.pack_len(), before);
    shelf.repository.ok(&["prune", "--dry-run"]);
    assert_eq!(shelf.repository.pack_len(), before);
    shelf.repository.ok(&["prune"]);
    assert!(shelf.repository.pack_len() < before - 100_000);
    for (id, folder) in shelf.ids.iter().zip(&shelf.folders).skip(1) {
        shelf.repository.assert_restores(id, folder);
    }
    shelf.repository.run(&["ls", &shelf.ids[0]]).code(1);
    shelf.repository.assert_sound();
}

#[test]
fn a_prune_that_moves_blobs_keeps_every_byte() {
    let shelf = Shelf::new();
    shelf.repository.ok(&["forget", "--yes", &shelf.ids[1], &shelf.ids[3]]);
    shelf.repository.ok(&["prune", "--max-unused", "0%"]);
    shelf.repository.assert_restores(&shelf.ids[0], &shelf.folders[0]);
    shelf.repository.assert_restores(&shelf.ids[2], &shelf.folders[2]);
    shelf.repository.assert_sound();
    fs::remove_dir_all(shelf.repository.beside("cache")).unwrap();
    shelf.repository.assert_restores(&shelf.ids[2], &shelf.folders[2]);
    let before = shelf.repository.pack_len();
    shelf.repository.ok(&["prune", "--max-unused", "0%"]);
    assert_eq!(shelf.repository.pack_len(), before);
}

#[test]
fn a_pinned_snapshot_is_not_forgotten_nor_are_those_named_with_it() {
    let shelf = Shelf::new();
    shelf.repository.ok(&["pin", &shelf.ids[1]]);
    let args = ["forget", "--yes", &shelf.ids[0], &shelf.ids[1]];
    let ran = shelf.repository.run(&args).code(1);
    ran.says(&["is pinned", "next: `russet unpin` first", "nothing was forgotten"]);
    assert_eq!(shelf.repository.snapshots().len(), 4);
}

#[test]
fn after_all_is_forgotten_a_folder_can_be_archived_again() {
    let shelf = Shelf::new();
    let ids: Vec<&str> = shelf.ids.iter().map(String::as_str).collect();
    shelf.repository.ok(&[&["forget", "--yes", "--prune"], &ids[..]].concat());
    assert!(shelf.repository.files("packs").is_empty());
    let ran = shelf.repository.run(&["restore", "latest", "--target", "/proc/nowhere"]).code(1);
    ran.says(&["the repository holds no snapshots yet"]);
    shelf.repository.import(&shelf.folders[1]);
    shelf.repository.assert_restores("latest", &shelf.folders[1]);
    shelf.repository.assert_sound();
}
