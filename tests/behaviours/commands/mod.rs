//! What each command answers, in words and as JSON Lines.

mod forgetting;
mod looking;
mod passwords;
mod saying;

use std::fs;
use std::path::PathBuf;

use super::support::{DATE, TestRepository, WEEK, fake, noise, text};

/// Four snapshots of two phones: two weeks of "Test iPhone", an incomplete third, and an "Old iPad" before them all.
struct Shelf {
    repository: TestRepository,
    folders: Vec<PathBuf>,
    ids: Vec<String>,
}

const IPAD: &str = "00008020-00AABBCCDDEEFF00";

impl Shelf {
    fn new() -> Self {
        let repository = TestRepository::new();
        let photo = |n: u64| noise(40 + n, 120_000);
        let ipad = russet_testkit::FakeBackup::new(IPAD)
            .device_name("Old iPad")
            .date(DATE - WEEK)
            .file("CameraRollDomain", "Media/ipad.JPG", photo(0));
        let first = fake().file("CameraRollDomain", "Media/w1.JPG", photo(1));
        let second = fake().date(DATE + WEEK).file("CameraRollDomain", "Media/w2.JPG", photo(2));
        let third = fake().date(DATE + 2 * WEEK).snapshot_state("moving");
        let mut folders = Vec::new();
        for (number, backup) in [ipad, first, second, third].into_iter().enumerate() {
            let folder = backup.write_to(repository.folder(&format!("f{number}")));
            repository.run(&["import", "--allow-incomplete", text(&folder)]);
            folders.push(folder);
        }
        let id = |m: &serde_json::Value| m["snapshot_id"].as_str().unwrap().to_owned();
        let ids = repository.snapshots().iter().map(id).collect();
        Self { repository, folders, ids }
    }

    #[track_caller]
    fn assert_means(&self, word: &str, number: usize) {
        let ran = self.repository.run(&["cat", word, "Manifest.db"]).code(0);
        let wanted = fs::read(self.folders[number].join("Manifest.db")).unwrap();
        assert!(ran.bytes == wanted, "{word} is not number {number}");
    }
}
