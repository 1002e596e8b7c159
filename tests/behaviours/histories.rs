//! Long lives of a repository, drawn from seeds, against the folders that went into it.
//!
//! Invariant: after any order of imports, restores, forgettings, prunes, damage that is redundant, lost caches and
//! changed drives, every snapshot that was not forgotten comes back byte for byte, and the repository is sound.

use std::collections::BTreeMap;
use std::path::PathBuf;

use russet::observe::Collecting;
use russet::ops::forget::{Drafts, forget, plan, prune};
use russet::ops::import::ImportOptions;
use russet::ops::mark;
use russet::ops::verify::{Depth, verify};
use russet::snapshot::{Snapshot, record};
use russet_store::config::Purpose;
use russet_store::ids::RecordId;
use russet_testkit::damage::{all_files, flip_bit, remove, truncate};
use russet_testkit::{FakeBackup, Random};

use super::drive::{Drive, UDID, copy_over, noise, soak, tell_soak};

const STEP_COUNT: usize = 20;
const FILE_COUNT: usize = 12;
const DATE: u64 = 1_760_000_000;

/// One life, with what it must remember.
struct Life {
    drive: Drive,
    random: Random,
    /// Contents of the phone's files: a seed and a length.
    phone: Vec<(u64, usize)>,
    week: u64,
    /// Snapshots that were not forgotten, and the folders they came from.
    kept: BTreeMap<RecordId, PathBuf>,
    told: Vec<String>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random::of_parts(&[31, seed]);
        let phone = (0..FILE_COUNT).map(|_| fresh(&mut random)).collect();
        let (drive, kept, told) = (Drive::new(), BTreeMap::new(), Vec::new());
        Self { drive, random, phone, week: 0, kept, told }
    }

    /// With the computer's cache, mostly.
    fn cache(&mut self) -> Option<PathBuf> {
        (!self.random.chance(0.2)).then(|| self.drive.cache())
    }

    fn step(&mut self) {
        match self.random.below(13) {
            0..4 => self.import(),
            4 => self.import_again(),
            5..7 => self.restore(),
            7 => self.forget(),
            8 => self.prune(),
            9 => self.spoil_copy(),
            10 => self.lose_cache(),
            11 => self.pin(),
            _ => self.verify(),
        }
    }

    fn import(&mut self) {
        let changes = self.random.below(4);
        for _ in 0..changes {
            let at = self.random.index(FILE_COUNT);
            self.phone[at] = fresh(&mut self.random);
        }
        self.week += 1;
        let date = DATE + self.week * 604_800;
        let mut backup = FakeBackup::new(UDID).date(date);
        for (at, (seed, len)) in self.phone.iter().enumerate() {
            // The time of a file that did not change stays: its seed gives it.
            let path = format!("Library/file{at}");
            backup = backup.file_at("HomeDomain", &path, noise(*seed, *len), DATE + seed % 10_000);
        }
        let folder = self.drive.write(&format!("week{}", self.week), &backup);
        let force = self.random.chance(0.3);
        self.told.push(format!("import week {}, {changes} changes, force {force}", self.week));
        let cache = self.cache();
        let options = ImportOptions { force, ..ImportOptions::default() };
        let id = self.drive.import_with(&self.drive.repo(), &folder, cache, &options);
        assert!(self.kept.insert(id, folder).is_none(), "a new week gave an old snapshot");
    }

    /// A folder that is there already gives nothing new.
    fn import_again(&mut self) {
        let Some((id, folder)) = self.pick() else { return };
        self.told.push(format!("import {} again", folder.display()));
        let cache = self.cache();
        let options = ImportOptions { force: self.random.chance(0.5), ..ImportOptions::default() };
        let again = self.drive.import_with(&self.drive.repo(), &folder, cache, &options);
        assert_eq!(again, id, "a folder that is archived was taken again");
    }

    fn pick(&mut self) -> Option<(RecordId, PathBuf)> {
        let at = self.random.index(self.kept.len());
        self.kept.iter().nth(at).map(|(id, folder)| (*id, folder.clone()))
    }

    fn restore(&mut self) {
        let Some((id, folder)) = self.pick() else { return };
        self.told.push(format!("restore {}", folder.display()));
        let cache = self.cache();
        self.drive.assert_restores(&self.drive.repo(), cache, &[folder]);
        assert!(self.snapshots().iter().any(|snapshot| snapshot.id == id));
    }

    fn snapshots(&self) -> Vec<Snapshot> {
        let (opened, _) = self.drive.open(&self.drive.repo(), None, Purpose::Read).unwrap();
        record::all(&opened.repository).0
    }

    fn forget(&mut self) {
        if self.kept.len() < 2 {
            return;
        }
        let Some((id, folder)) = self.pick() else { return };
        self.told.push(format!("forget {}", folder.display()));
        let cache = self.cache();
        let (mut opened, _) = self.drive.open(&self.drive.repo(), cache, Purpose::Write).unwrap();
        let (mut snapshots, _) = record::all(&opened.repository);
        snapshots.retain(|snapshot| snapshot.id == id);
        let pinned = snapshots[0].state.pinned;
        let done = forget(&mut opened, &snapshots, &Collecting::default());
        assert_eq!(done.is_err(), pinned, "{done:?}");
        if !pinned {
            self.kept.remove(&id);
        }
    }

    fn prune(&mut self) {
        let share = if self.random.chance(0.5) { 0.0 } else { 0.05 };
        self.told.push(format!("prune to {share}"));
        let cache = self.cache();
        let (mut opened, _) = self.drive.open(&self.drive.repo(), cache, Purpose::Write).unwrap();
        let observer = Collecting::default();
        let plan = plan(&opened.repository, &[], share, Drafts::Keep, &observer).unwrap();
        prune(&mut opened, plan, &observer, &|| false).unwrap();
    }

    fn pin(&mut self) {
        let Some((id, _)) = self.pick() else { return };
        let on = self.random.chance(0.5);
        self.told.push(format!("pin {id} {on}"));
        let cache = self.cache();
        let (mut opened, _) = self.drive.open(&self.drive.repo(), cache, Purpose::Write).unwrap();
        mark::pin(&mut opened, id, on).unwrap();
        opened.remember(&Collecting::default());
    }

    /// One copy of something that stands three times, or a segment. The next step mends it: two spoiled copies of one
    /// file would be a choice of the dice, not a test.
    fn spoil_copy(&mut self) {
        let repo = self.drive.repo();
        let redundant = |path: &PathBuf| {
            let name = path.strip_prefix(&repo).unwrap().to_str().unwrap().to_owned();
            name.starts_with("copy1/")
                || name.starts_with("index/")
                || name.starts_with("snapshots/")
        };
        let files: Vec<PathBuf> = all_files(&repo).unwrap().into_iter().filter(redundant).collect();
        let Some(path) = files.get(self.random.index(files.len())) else { return };
        let len = path.metadata().unwrap().len();
        match self.random.below(3) {
            0 => flip_bit(path, self.random.below(len), 5).unwrap(),
            1 => truncate(path, self.random.below(len)).unwrap(),
            _ => remove(path).unwrap(),
        }
        self.told.push(format!("spoil {}", path.display()));
        self.restore();
        self.import();
    }

    fn lose_cache(&mut self) {
        self.told.push("lose the cache".to_owned());
        copy_over(&self.drive.path("nothing"), &self.drive.cache());
    }

    fn verify(&mut self) {
        self.told.push("verify".to_owned());
        let cache = self.cache();
        let (opened, _) = self.drive.open(&self.drive.repo(), cache, Purpose::Check).unwrap();
        let report = verify(&opened.repository, Depth::ReadData, &Collecting::default()).unwrap();
        assert!(report.is_sound(), "{report:?}");
    }

    fn end(&mut self) {
        let folders: Vec<PathBuf> = self.kept.values().cloned().collect();
        self.drive.assert_comes_back(&self.drive.repo(), Some(self.drive.cache()), &folders);
        self.drive.assert_comes_back(&self.drive.repo(), None, &folders);
        let there: Vec<RecordId> = self.snapshots().iter().map(|snapshot| snapshot.id).collect();
        assert_eq!(there.len(), self.kept.len(), "{there:?}");
    }
}

/// The content of a file: now and then none, mostly small, sometimes several chunks.
fn fresh(random: &mut Random) -> (u64, usize) {
    let seed = 1000 + random.below(1 << 40);
    let len = match random.below(8) {
        0 => 0,
        1..6 => random.between(1..=30_000),
        _ => random.between(100_000..=600_000),
    };
    (seed, usize::try_from(len).unwrap())
}

#[test]
fn whatever_happened_every_snapshot_that_was_kept_comes_back() {
    let count = if soak() { 100 } else { 8 };
    for seed in 0..count {
        let mut life = Life::new(seed);
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            life.import();
            for _ in 0..STEP_COUNT {
                life.step();
            }
            life.end();
        }));
        assert!(lived.is_ok(), "see above; history {seed}:\n  {}", life.told.join("\n  "));
    }
    tell_soak(&format!(
        "random histories of import, restore, forget, prune: {count}, {STEP_COUNT} steps each"
    ));
}
