//! A repository on a drive, the backups that went into it, and both ways to it: the program and `russet::ops`.
//!
//! Invariant: everything lies in one temporary folder and comes from seeds. [`Drive::assert_comes_back`] is the one
//! judge of "the backup comes back": byte for byte, or every lack named.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use russet::apple::Passwords;
use russet::observe::{Collecting, Told};
use russet::ops::import::{self, ImportOptions, Imported, Outcome};
use russet::ops::open::{OpenError, OpenOptions, Opened, open};
use russet::ops::restore::{RestoreOptions, Restored, restore};
use russet::ops::verify::{Depth, Report, verify};
use russet::snapshot::{Snapshot, record};
use russet_store::ambient::System;
use russet_store::backend::{Backend, Durability, LocalBackend};
use russet_store::config::Purpose;
use russet_store::ids::RecordId;
use russet_store::seal::{Password, SlotSecret};
use russet_testkit::compare::{Difference, same_folder};
use russet_testkit::repository::{PASSWORD, create_quick};
use russet_testkit::{FakeBackup, Random};

pub(super) const UDID: &str = "00008110-000A1B2C3D4E5F60";
const FIRST_DATE: u64 = 1_760_000_000;
const WEEK_SECS: u64 = 604_800;

/// Whether the long series are wanted.
pub(super) fn soak() -> bool {
    std::env::var_os("RUSSET_SOAK").is_some()
}

/// Adds a figure to the report of a long run: RUSSET_SOAK names its file if it has a slash.
pub(super) fn tell_soak(line: &str) {
    let Some(report) = std::env::var_os("RUSSET_SOAK").map(std::path::PathBuf::from) else {
        return;
    };
    if report.components().count() < 2 {
        return;
    }
    let mut file = fs::OpenOptions::new().append(true).create(true).open(report).unwrap();
    std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes()).unwrap();
}

/// Noise of a seed.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Random::of_parts(&[4711, seed]).fill(&mut bytes);
    bytes
}

/// The backup of a small phone in a week: some files stay, some change, one is new.
pub(super) fn week(number: u64) -> FakeBackup {
    let date = FIRST_DATE + number * WEEK_SECS;
    let mut database = noise(1, 90_000);
    let changed = usize::try_from(number).unwrap() * 4096 % 80_000;
    database[changed..changed + 4096].copy_from_slice(&noise(100 + number, 4096));
    FakeBackup::new(UDID)
        .device_name("Blue iPhone")
        .date(date)
        .file("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.HEIC", noise(2, 150_000))
        .file("HomeDomain", "Library/Notes/same.txt", "the same words each week ".repeat(300))
        .file("HomeDomain", "Library/empty", "")
        .file_at("HomeDomain", "Library/SMS/sms.db", database, date - 60)
        .file_at("AppDomain-org.example", "Documents/week", noise(200 + number, 20_000), date - 50)
        .file_at("WirelessDomain", "Library/calls", format!("calls of week {number}"), date - 40)
}

/// A folder with a repository, a host's cache and backups.
pub(super) struct Drive {
    folder: tempfile::TempDir,
}

/// What the program did.
#[derive(Debug)]
pub(super) struct Ran {
    /// Exit code; None if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Drive {
    /// An empty repository that opens quickly.
    pub(super) fn new() -> Self {
        let drive = Self { folder: tempfile::tempdir().unwrap() };
        fs::write(drive.path("password"), PASSWORD).unwrap();
        let backend = LocalBackend::create(&drive.repo(), Durability { read_back: false }).unwrap();
        let backend: Arc<dyn Backend> = Arc::new(backend);
        create_quick(&backend, &System, russet::ops::init::documents()).unwrap();
        drive
    }

    /// With the backups of so many weeks in it. Gives their folders.
    pub(super) fn with_weeks(count: u64) -> (Self, Vec<PathBuf>) {
        let drive = Self::new();
        let backups: Vec<PathBuf> = (0..count).map(|n| drive.write_week(n)).collect();
        for backup in &backups {
            drive.import(&drive.repo(), backup);
        }
        (drive, backups)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.path("cache")
    }

    /// Writes the backup of a week, once.
    pub(super) fn write_week(&self, number: u64) -> PathBuf {
        self.write(&format!("week{number}"), &week(number))
    }

    /// Writes a backup below a folder of its own, once.
    pub(super) fn write(&self, name: &str, backup: &FakeBackup) -> PathBuf {
        let parent = self.path("backups").join(name);
        if parent.exists() { parent.join(UDID) } else { backup.write_to(&parent) }
    }

    /// The program, on a repository, with the host's cache.
    pub(super) fn russet(&self, repo: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_russet"));
        self.environment(&mut command, repo);
        command
    }

    /// What the program finds in its environment.
    pub(super) fn environment(&self, command: &mut Command, repo: &Path) {
        command
            .env("RUSSET_CACHE_DIR", self.cache())
            .env("RUSSET_PASSWORD_FILE", self.path("password"))
            .env("RUSSET_REPOSITORY", repo)
            .env("RUSSET_CONFIG", self.path("no configuration"))
            .env("RUST_BACKTRACE", "0");
    }

    /// Opens through `ops`.
    pub(super) fn open(
        &self,
        repo: &Path,
        cache_dir: Option<PathBuf>,
        purpose: Purpose,
    ) -> Result<(Opened, Told), OpenError> {
        let options = OpenOptions {
            location: repo.to_path_buf(),
            cache_dir,
            read_back: false,
            // A process that another test starts holds our locks until it has become another program.
            retry_lock: Duration::from_secs(10),
        };
        let secret = SlotSecret::Password(Password::new(PASSWORD).unwrap());
        let observer = Collecting::default();
        let opened = open(&options, &secret, purpose, purpose == Purpose::Write, &observer)?;
        Ok((opened, observer.told()))
    }

    /// Imports one folder without a cache; it must work and give a whole snapshot.
    pub(super) fn import(&self, repo: &Path, backup: &Path) -> RecordId {
        self.import_with(repo, backup, None, &ImportOptions::default())
    }

    /// As [`Drive::import`], with a cache and options. A folder that is archived gives the snapshot that holds it.
    pub(super) fn import_with(
        &self,
        repo: &Path,
        backup: &Path,
        cache: Option<PathBuf>,
        options: &ImportOptions,
    ) -> RecordId {
        let (mut opened, _) = self.open(repo, cache, Purpose::Write).unwrap();
        match self.import_into(&mut opened, backup, options).outcome.unwrap() {
            Outcome::New { snapshot, .. } => {
                assert!(snapshot.is_good(), "{:?}", snapshot.record.problems);
                snapshot.id
            }
            Outcome::Known { snapshot } => snapshot,
            Outcome::Would { .. } => panic!("nobody asked for a dry run"),
        }
    }

    pub(super) fn import_into(
        &self,
        opened: &mut Opened,
        backup: &Path,
        options: &ImportOptions,
    ) -> Imported {
        let (found, refused) = import::find(&[backup.to_path_buf()], options, &TimeZone::UTC);
        assert!(refused.is_empty(), "{refused:?}");
        let observer = Collecting::default();
        let (sources, _) = import::unlock(found, &mut Passwords::default());
        let mut done = import::import(opened, &sources, options, &observer, &|| false).unwrap();
        assert_eq!(done.len(), 1);
        done.remove(0)
    }

    /// Restores into a fresh folder, which is compared and removed again. Nothing in it may differ from the backup but
    /// by lacking, and every lack must have been told. Gives what was told of it.
    pub(super) fn restored(&self, opened: &Opened, snapshot: &Snapshot, backup: &Path) -> Lacks {
        let target = tempfile::tempdir_in(self.folder.path()).unwrap();
        let options = RestoreOptions { target: target.path().to_path_buf(), zone: TimeZone::UTC };
        let observer = Collecting::default();
        let done = restore(&opened.repository, snapshot, &options, &observer, &|| false).unwrap();
        let problems = observer.told().problems;
        let mut missing = 0;
        for difference in same_folder(backup, &done.folder).err().unwrap_or_default() {
            let Difference::OnlyInFirst(path) = &difference else {
                panic!("a restore left something else than was captured: {difference}");
            };
            missing += 1;
            let path = path.to_str().unwrap();
            let named = problems.iter().any(|(item, _)| item.contains(path));
            assert!(named || done.listing_lost_count > 0, "{path} is missing and nobody was told");
        }
        // A part of the listing may have held nothing but folders that are made anyway for what lies in them.
        let told = done.lost_count + done.listing_lost_count;
        assert!(missing == 0 || told > 0, "{missing} missing, and nobody was told: {problems:?}");
        assert!(missing > 0 || done.lost_count == 0, "lost, and yet all is there: {problems:?}");
        Lacks { done, problems }
    }

    /// Every one of these snapshots is there and comes back byte for byte, and the repository is sound.
    pub(super) fn assert_comes_back(
        &self,
        repo: &Path,
        cache: Option<PathBuf>,
        backups: &[PathBuf],
    ) {
        self.assert_restores(repo, cache.clone(), backups);
        let report = self.verify(repo, cache);
        assert!(report.is_sound(), "{:#?} {:#?}", report.damages, report.hits);
    }

    /// Every one of these backups comes back byte for byte.
    pub(super) fn assert_restores(&self, repo: &Path, cache: Option<PathBuf>, backups: &[PathBuf]) {
        let (opened, _) = self.open(repo, cache, Purpose::Read).unwrap();
        let (snapshots, odd) = record::all(&opened.repository);
        assert!(odd.is_empty(), "{odd:?}");
        for backup in backups {
            let whole = snapshots.iter().any(|snapshot| {
                snapshot.record.backup_time == date_of(backup)
                    && self.restored(&opened, snapshot, backup).are_none()
            });
            assert!(whole, "no snapshot gives {} back", backup.display());
        }
    }

    pub(super) fn verify(&self, repo: &Path, cache: Option<PathBuf>) -> Report {
        let (opened, _) = self.open(repo, cache, Purpose::Check).unwrap();
        verify(&opened.repository, Depth::ReadData, &Collecting::default()).unwrap()
    }
}

/// What a restore could not give back.
#[derive(Debug)]
pub(super) struct Lacks {
    pub(super) done: Restored,
    pub(super) problems: Vec<(String, String)>,
}

impl Lacks {
    pub(super) fn are_none(&self) -> bool {
        self.done.lost_count + self.done.listing_lost_count == 0
    }

    /// The files, as a person knows them.
    pub(super) fn files(&self) -> BTreeSet<String> {
        let files = self.problems.iter().filter(|(item, _)| item != "listing");
        files.map(|(item, _)| item.split(" (").next().unwrap_or_default().to_owned()).collect()
    }
}

/// When a backup was made.
pub(super) fn date_of(backup: &Path) -> i64 {
    let options = ImportOptions::default();
    let (found, _) = import::find(&[backup.to_path_buf()], &options, &TimeZone::UTC);
    found.first().unwrap().date.at.as_second()
}

/// Runs a command to its end.
pub(super) fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs a command that must work.
#[track_caller]
pub(super) fn run_well(command: &mut Command) -> Ran {
    let ran = run(command);
    assert_eq!(ran.code, Some(0), "{command:?}\n{}\n{}", ran.stdout, ran.stderr);
    ran
}

/// Makes `to` what `from` is; what was there before is gone.
pub(super) fn copy_over(from: &Path, to: &Path) {
    if to.exists() {
        fs::remove_dir_all(to).unwrap();
    }
    if from.exists() {
        copy_into(from, to);
    }
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}
