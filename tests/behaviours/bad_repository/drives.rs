//! Places that hold no repository, or something else; drives that are full or read-only.
//!
//! Invariant: what cannot be written is said with what to do, and what was saved before stays.

use std::fs;

use super::super::support::{DATE, Mounted, TestRepository, WEEK, fake, noise, text};
use super::Two;

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
    ran.says(&[
        "no space is left in",
        text(&target),
        "next: delete the folder whose name ends with .unfinished",
    ]);
}
