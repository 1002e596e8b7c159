//! Drives that lost, changed or mixed up files, are full, read-only, or used by somebody else.
//!
//! What must hold each time: nothing is lost that the damage did not hit, and what it hit is named.

mod caches;
mod drives;
mod packs;
mod processes;
mod small_files;

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use russet_testkit::damage::flip_bit;

use super::support::{DATE, TestRepository, WEEK, fake, noise};

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
