//! Backup folders go in and come back as they were.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use russet::observe::Collecting;
use russet::ops::restore::{RestoreError, RestoreOptions, restore};
use russet::snapshot::record;
use russet_testkit::{Encryption, FakeBackup, Phone, PhoneOptions, assert_same_backup};

use super::support::{DATE, TestRepository, UDID, WEEK, differences, fake, noise, stored, text};

fn time(secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
}

fn set_time(path: &Path, secs: u64) {
    let file = File::open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(time(secs))).unwrap();
}

#[test]
fn every_week_of_a_phone_comes_back_identical() {
    let repository = TestRepository::new();
    let mut phone = Phone::new(PhoneOptions::small()).unwrap();
    let mut weeks = Vec::new();
    for week in 0..3 {
        let parent = repository.folder(&format!("week{week}"));
        let folder = phone.write_backup(&parent, &Encryption::None).unwrap();
        weeks.push((repository.import(&folder), folder));
        phone.advance_week().unwrap();
    }
    for (id, folder) in &weeks {
        repository.assert_restores(id, folder);
    }
    repository.assert_sound();
}

#[test]
fn a_restore_that_ends_early_leaves_nothing_that_looks_like_a_backup() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("original"));
    repository.import(&folder);
    let (opened, target) = (repository.open(), repository.folder("target"));
    let (snapshots, _) = record::all(&opened.repository);
    let options = RestoreOptions { target: target.clone(), zone: TimeZone::UTC };
    let names = || {
        let mut names: Vec<String> = fs::read_dir(&target)
            .unwrap()
            .map(|child| child.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let first = format!("{UDID}.unfinished");
    for left in [vec![first.clone()], vec![first.clone(), format!("{first}-2")]] {
        let observer = Collecting::default();
        let stopped = restore(&opened.repository, &snapshots[0], &options, &observer, &|| true);
        assert!(matches!(stopped, Err(RestoreError::Stopped)), "{stopped:?}");
        assert_eq!(names(), left);
    }
    repository.ok(&["restore", "latest", "--target", text(&target)]);
    assert_eq!(names(), [UDID.to_owned(), first.clone(), format!("{first}-2")]);
    assert_same_backup(&folder, &target.join(UDID));
}

#[test]
fn an_encrypted_backup_is_carried_verbatim_and_said_to_be_unchecked() {
    let repository = TestRepository::new();
    let password = Encryption::Password { password: "phone".to_owned(), iterations: 10 };
    let folder = fake().encryption(password).write_to(repository.folder("a"));
    let ran = repository.run(&["import", text(&folder)]).code(0);
    ran.says(&["Manifest.db is encrypted by the phone", "not checked"]);
    assert_eq!(repository.snapshots()[0]["verdict"], "unchecked");
    assert_eq!(repository.snapshots()[0]["encrypted"], true);
    repository.assert_restores("latest", &folder);
}

#[test]
fn files_that_apple_does_not_know_and_empty_folders_come_back() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    repository.import(&folder);
    let back = repository.restore("latest");
    assert_same_backup(&folder, &back);
    assert!(back.join("Snapshot").is_dir());
    assert!(back.join("_BackupExplorer/x").is_file() && back.join(".DS_Store").is_file());
}

#[test]
fn importing_changes_nothing_in_the_folder() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    let twin = fake().write_to(repository.folder("b"));
    repository.import(&folder);
    assert_same_backup(&twin, &folder);
}

#[test]
fn folders_are_taken_oldest_first_whatever_their_order() {
    let repository = TestRepository::new();
    let parent = repository.folder("MobileSync");
    for (week, name) in [(2, "20260118-010203"), (0, "20260104-010203"), (1, "20260111-010203")] {
        let backup = fake().date(DATE + week * WEEK).write_to(&parent);
        fs::rename(backup, parent.join(format!("{UDID}-{name}"))).unwrap();
    }
    let current = fake().date(DATE + 3 * WEEK).write_to(&parent);
    let ran = repository.run(&["import", text(&parent), "--json"]).code(0);
    let times: Vec<String> =
        ran.messages().iter().filter_map(|m| Some(m["time"].as_str()?.to_owned())).collect();
    assert_eq!(times.len(), 4, "{}", ran.stdout);
    assert!(times.is_sorted(), "{times:?}");
    repository.assert_restores("latest", &current);
    repository.assert_restores("latest~3", &parent.join(format!("{UDID}-20260104-010203")));
}

#[test]
fn an_archived_folder_adds_nothing_and_is_named_even_when_forced() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    let id = repository.import(&folder);
    let (before, files) = (repository.pack_len(), repository.files("").len());
    let again = repository.ok(&["import", text(&folder)]);
    assert!(again.contains(&format!("archived already, as snapshot {}", &id[..8])), "{again}");
    assert_eq!(repository.files("").len(), files);
    repository.ok(&["import", "--force", text(&folder)]);
    assert!(repository.pack_len() - before <= 64 << 10);
    assert_eq!(repository.snapshots().len(), 1);
}

#[test]
fn a_dry_run_says_what_would_be_taken_and_writes_nothing() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    let said = repository.ok(&["import", "-n", text(&folder)]);
    assert!(said.contains("would be taken") && said.contains("Test iPhone, 2026-01-04"), "{said}");
    assert!(repository.snapshots().is_empty());
}

#[test]
fn backups_are_found_two_levels_below_a_folder_and_no_deeper() {
    let repository = TestRepository::new();
    fake().write_to(repository.folder("drive/old phones"));
    repository.run(&["import", text(&repository.beside("drive"))]).code(0);
    assert_eq!(repository.snapshots().len(), 1);
    fake().write_to(repository.folder("deep/one/two"));
    let ran = repository.run(&["import", text(&repository.beside("deep"))]).code(1);
    ran.says(&["is not a backup folder", "one or two above it"]);
}

#[test]
fn a_link_to_the_folder_of_backups_leads_to_them() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("drive"));
    let link = repository.beside("Backup");
    std::os::unix::fs::symlink(repository.beside("drive"), &link).unwrap();
    repository.import(&link);
    let other = repository.beside(UDID);
    std::os::unix::fs::symlink(&folder, &other).unwrap();
    let said = repository.ok(&["import", text(&other)]);
    assert!(said.contains("archived already"), "{said}");
    repository.assert_restores("latest", &folder);
}

#[test]
fn times_before_1970_far_ahead_and_of_nanoseconds_come_back() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    let moments = [
        SystemTime::UNIX_EPOCH - Duration::new(86_400, 500_000_000),
        SystemTime::UNIX_EPOCH + Duration::new(1, 999_999_999),
        SystemTime::UNIX_EPOCH + Duration::new(10_000_000_000, 1),
        SystemTime::UNIX_EPOCH,
    ];
    for (number, moment) in moments.into_iter().enumerate() {
        let path = folder.join(format!("file {number}"));
        fs::write(&path, "x").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_times(FileTimes::new().set_modified(moment)).unwrap();
    }
    repository.import(&folder);
    repository.assert_restores("latest", &folder);
    repository.ok(&["ls", "--long", "latest"]);
}

/// Folder, the witness, the date.
fn assert_dated(backup: FakeBackup, name: Option<&str>, source: &str, date: &str) {
    let repository = TestRepository::new();
    let mut folder = backup.write_to(repository.folder("a"));
    for list in ["Manifest.db", ""] {
        if folder.join(list).exists() {
            set_time(&folder.join(list), DATE - 10 * 86_400);
        }
    }
    if let Some(name) = name {
        let other = folder.with_file_name(name);
        fs::rename(&folder, &other).unwrap();
        folder = other;
    }
    repository.run(&["import", "--allow-incomplete", text(&folder)]);
    let snapshot = &repository.snapshots()[0];
    assert_eq!(snapshot["time_source"], source);
    assert!(snapshot["time"].as_str().unwrap().starts_with(date), "{snapshot}");
}

#[test]
fn the_date_is_the_best_witness_s() {
    let archived = format!("{UDID}-20251224-180000");
    let mut backup = fake();
    assert_dated(backup.clone(), Some(&archived), "status", "2026-01-04T00:20:30");
    backup = backup.without("Status.plist");
    assert_dated(backup.clone(), Some(&archived), "manifest", "2026-01-04T00:20:30");
    backup = backup.without("Manifest.plist");
    assert_dated(backup.clone(), Some(&archived), "info", "2026-01-04T00:20:30");
    backup = backup.without("Info.plist");
    assert_dated(backup.clone(), Some(&archived), "folder", "2025-12-24T18:00:00");
    assert_dated(backup, None, "file", "2025-12-25T00:20:30");
}

#[test]
fn nothing_is_restored_into_the_repository() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    let before = repository.files("");
    let inside = repository.path().join("new").join("folder");
    repository
        .run(&["restore", "latest", "--target", text(&inside)])
        .code(1)
        .says(&["lies inside the repository", "next: restore to a folder outside"]);
    assert_eq!(repository.files(""), before);
}

#[test]
fn a_second_restore_goes_beside_the_first_and_a_third_is_refused() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    repository.import(&folder);
    let target = repository.folder("target");
    let restore = ["restore", "latest", "--target", text(&target)];
    repository.ok(&restore);
    repository.ok(&restore);
    let second = target.join(format!("{UDID}-20260104-002030"));
    assert_same_backup(&folder, &target.join(UDID));
    assert_same_backup(&folder, &second);
    fs::write(second.join("mine"), "mine").unwrap();
    repository.run(&restore).code(1).says(&[
        "exists already",
        UDID,
        "nothing is overwritten",
        "next: restore to another folder",
    ]);
    assert_eq!(fs::read(second.join("mine")).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&target).unwrap().count(), 2);
}

#[test]
fn two_folders_with_lists_of_equal_length_and_time_each_come_back_as_themselves() {
    let repository = TestRepository::new();
    // Same lengths everywhere, same second everywhere; only bytes differ.
    let backup = |letter: &str, file: &str| {
        fake().file("HomeDomain", "Library/same", file).device_name(&format!("Phone {letter}"))
    };
    let first = backup("A", "aaaa").write_to(repository.folder("a"));
    let second = backup("B", "bbbb").write_to(repository.folder("b"));
    for list in ["Info.plist", "Status.plist", "Manifest.plist", "Manifest.db"] {
        let facts = |folder: &Path| {
            let metadata = fs::metadata(folder.join(list)).unwrap();
            (metadata.len(), metadata.modified().unwrap())
        };
        assert_eq!(facts(&first), facts(&second), "{list}");
    }
    let ids = [repository.import(&first), repository.import(&second)];
    assert_ne!(ids[0], ids[1]);
    repository.assert_restores(&ids[0], &first);
    repository.assert_restores(&ids[1], &second);
}

#[test]
fn a_file_of_unchanged_length_and_time_is_read_again_if_its_row_changed() {
    let repository = TestRepository::new();
    let name = ("HomeDomain", "Library/same");
    let first = fake().file(name.0, name.1, "aaaa").write_to(repository.folder("a"));
    let second = fake().date(DATE + WEEK).file(name.0, name.1, "bbbb");
    let second = second.write_to(repository.folder("b"));
    let path = stored(name.0, name.1);
    let of = |folder: &Path| fs::metadata(folder.join(&path)).unwrap().modified().unwrap();
    assert_eq!(of(&first), of(&second));
    repository.import(&first);
    repository.import(&second);
    repository.assert_restores("latest", &second);
    repository.assert_restores("latest~1", &first);
}

#[test]
fn files_that_did_not_change_are_not_read_again() {
    let repository = TestRepository::new();
    let first = fake().write_to(repository.folder("a"));
    let second = fake().date(DATE + WEEK).write_to(repository.folder("b"));
    repository.import(&first);
    let ran = repository.run(&["import", "--json", text(&second)]).code(0);
    assert_eq!(ran.summary()["unchanged_count"], 3);
    repository.assert_restores("latest", &second);
}

#[test]
fn a_week_that_changes_little_stores_little() {
    let repository = TestRepository::new();
    let backup = fake().file("CameraRollDomain", "Media/2.JPG", noise(2, 3_000_000));
    repository.import(&backup.clone().write_to(repository.folder("a")));
    let before = repository.pack_len();
    let next = backup.date(DATE + WEEK).file("HomeDomain", "Library/new", "new");
    repository.import(&next.write_to(repository.folder("b")));
    assert!(repository.pack_len() - before < 100_000, "{}", repository.pack_len() - before);
}

#[test]
fn a_backup_from_the_future_is_not_the_latest() {
    let repository = TestRepository::new();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let future = fake().date(now + 400 * 86_400).write_to(repository.folder("a"));
    let sane = fake().write_to(repository.folder("b"));
    repository.import(&future);
    repository.import(&sane);
    repository.assert_restores("latest", &sane);
    assert!(!differences(&future, &sane).is_empty());
}

#[test]
fn several_refused_folders_are_all_named_and_the_good_one_is_taken() {
    let repository = TestRepository::new();
    let good = fake().write_to(repository.folder("a"));
    let bad = fake().snapshot_state("moving").write_to(repository.folder("b"));
    let missing = repository.beside("nowhere");
    let args = ["import", text(&bad), text(&missing), text(&good)];
    let ran = repository.run(&args).code(1);
    assert!(ran.stdout.contains("Snapshot"), "{}", ran.stdout);
    ran.says(&[text(&bad), text(&missing)]);
    repository.assert_restores("latest", &good);
    let ran = repository.run(&args[..3]).code(1);
    ran.says(&[text(&bad), text(&missing)]);
}
