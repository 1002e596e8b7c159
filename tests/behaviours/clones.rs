//! Several drives with one repository, and drives that went back in time.
//!
//! Invariant: the index on the computer never answers with what another drive holds; what is missing from a drive is
//! said; two records of one repository never have the same writer and number; and nothing that is named and absent lets
//! a prune begin.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use russet_store::config::Purpose;
use russet_store::ids::{RecordId, WriterId};
use russet_store::log::Link;
use russet_store::seal::BlobType;

use super::drive::{Drive, Ran, copy_over, run, run_well};

fn import(drive: &Drive, repo: &Path, backup: &Path) -> Ran {
    run_well(drive.russet(repo).arg("import").arg(backup))
}

fn verify_data(drive: &Drive, repo: &Path) -> Ran {
    run_well(drive.russet(repo).args(["verify", "--read-data"]))
}

fn says_older(ran: &Ran) -> bool {
    ran.stderr.to_lowercase().contains("older")
}

/// Every record of a repository by writer and number. Panics if two have the same.
fn chain(drive: &Drive, repo: &Path) -> BTreeMap<(WriterId, u64), RecordId> {
    let (opened, _) = drive.open(repo, None, Purpose::Read).unwrap();
    let mut chain = BTreeMap::new();
    let mut enter = |link: &Link, id: RecordId| {
        let other = chain.insert((link.writer, link.seq), id);
        assert_eq!(other, None, "two records of writer {} number {}", link.writer, link.seq);
    };
    for (id, record) in opened.repository.log() {
        enter(&record.link, id);
    }
    for snapshot in opened.repository.snapshots() {
        enter(&serde_json::from_slice::<Link>(&snapshot.content).unwrap(), snapshot.id);
    }
    chain
}

/// No record of one drive has writer and number of another record of the other.
fn assert_one_story(drive: &Drive, a: &Path, b: &Path) {
    let (a, b) = (chain(drive, a), chain(drive, b));
    for (place, id) in &a {
        assert!(
            b.get(place).is_none_or(|other| other == id),
            "the drives' chains fork at {place:?}"
        );
    }
}

/// Weeks 0 to 5, the first two of them on two equal drives.
fn two_drives() -> (Drive, Vec<PathBuf>, PathBuf) {
    let drive = Drive::new();
    let backups: Vec<PathBuf> = (0..6).map(|n| drive.write_week(n)).collect();
    import(&drive, &drive.repo(), &backups[0]);
    import(&drive, &drive.repo(), &backups[1]);
    let clone = drive.path("clone");
    copy_over(&drive.repo(), &clone);
    (drive, backups, clone)
}

#[test]
fn two_drives_of_one_repository_take_turns_at_two_paths() {
    let (drive, backups, clone) = two_drives();
    let repo = drive.repo();
    for backup in &backups[2..] {
        import(&drive, &repo, backup);
        verify_data(&drive, &clone);
        import(&drive, &clone, backup);
        verify_data(&drive, &repo);
        assert_one_story(&drive, &repo, &clone);
    }
    for place in [&repo, &clone] {
        drive.assert_comes_back(place, Some(drive.cache()), &backups);
        drive.assert_comes_back(place, None, &backups);
    }
}

#[test]
fn two_drives_of_one_repository_take_turns_at_one_path() {
    let (drive, backups, shelf) = two_drives();
    let (repo, hand) = (drive.repo(), drive.path("hand"));
    for backup in &backups[2..] {
        let ran = import(&drive, &repo, backup);
        assert!(!says_older(&ran), "nothing changed hands: {}", ran.stderr);
        fs::rename(&repo, &hand).unwrap();
        fs::rename(&shelf, &repo).unwrap();
        fs::rename(&hand, &shelf).unwrap();
        // The drive that comes from the shelf lacks what the other got last.
        let ran = import(&drive, &repo, backup);
        assert!(says_older(&ran), "{}", ran.stderr);
        verify_data(&drive, &repo);
        assert_one_story(&drive, &repo, &shelf);
    }
    for place in [&repo, &shelf] {
        drive.assert_comes_back(place, Some(drive.cache()), &backups);
    }
}

#[test]
fn a_drive_that_went_back_in_time_is_named_and_goes_on() {
    let (drive, backups, older) = two_drives();
    let repo = drive.repo();
    import(&drive, &repo, &backups[2]);
    import(&drive, &repo, &backups[3]);
    let lost = drive.path("lost");
    copy_over(&repo, &lost);
    copy_over(&older, &repo);
    let ran = verify_data(&drive, &repo);
    assert!(ran.stderr.contains("OLDER"), "{}", ran.stderr);
    let ran = import(&drive, &repo, &backups[4]);
    assert!(ran.stderr.contains("OLDER"), "{}", ran.stderr);
    assert_one_story(&drive, &repo, &lost);
    let ran = import(&drive, &repo, &backups[5]);
    assert!(!says_older(&ran), "what was accepted is said again: {}", ran.stderr);
    let kept = [&backups[..2], &backups[4..]].concat();
    drive.assert_comes_back(&repo, Some(drive.cache()), &kept);
    drive.assert_comes_back(&repo, None, &kept);
}

#[test]
fn a_prune_after_a_drive_went_back_in_time_keeps_all_that_is_there() {
    let (drive, backups, older) = two_drives();
    let repo = drive.repo();
    import(&drive, &repo, &backups[2]);
    import(&drive, &repo, &backups[3]);
    copy_over(&older, &repo);
    import(&drive, &repo, &backups[4]);
    run_well(drive.russet(&repo).args(["--yes", "forget", "latest~2", "--prune"]));
    run_well(drive.russet(&repo).args(["--yes", "prune", "--max-unused", "0%"]));
    let kept = [backups[1].clone(), backups[4].clone()];
    drive.assert_comes_back(&repo, Some(drive.cache()), &kept);
    drive.assert_comes_back(&repo, None, &kept);
}

#[test]
fn a_snapshot_record_that_somebody_removed_is_named_and_stops_a_prune() {
    let (drive, backups, _) = two_drives();
    let repo = drive.repo();
    import(&drive, &repo, &backups[2]);
    let (opened, _) = drive.open(&repo, None, Purpose::Read).unwrap();
    let (snapshots, _) = russet::snapshot::record::all(&opened.repository);
    // Their copies in packs are spoiled too, or they would be found there.
    for (pack, len) in opened.repository.packs() {
        let entries = opened.repository.read_directory(&pack, len).unwrap();
        let name = russet_store::layout::pack_name(&pack);
        for entry in entries.iter().filter(|e| e.blob_type == BlobType::Record) {
            let at = u64::from(entry.offset);
            russet_testkit::damage::flip_bit(&repo.join(name.as_str()), at, 0).unwrap();
        }
    }
    drop(opened);
    let id = snapshots[1].id.to_string();
    for root in ["", "copy1/", "copy2/"] {
        fs::remove_file(repo.join(format!("{root}snapshots/{id}"))).unwrap();
    }
    let ran = run(drive.russet(&repo).args(["verify", "--read-data"]));
    assert_eq!(ran.code, Some(20), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(&id), "{}", ran.stdout);
    let before = packs(&repo);
    let ran = run(drive.russet(&repo).args(["--yes", "prune", "--max-unused", "0%"]));
    assert_eq!(ran.code, Some(20), "{}\n{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains(&id), "{}", ran.stderr);
    assert_eq!(packs(&repo), before);
    drive.assert_restores(&repo, None, &[backups[0].clone(), backups[2].clone()]);
}

fn packs(repo: &Path) -> Vec<PathBuf> {
    russet_testkit::damage::all_files(&repo.join("packs")).unwrap()
}

#[test]
fn a_snapshot_that_another_computer_forgot_is_no_alarm() {
    let (drive, backups, _) = two_drives();
    let repo = drive.repo();
    let other = drive.path("cache of another computer");
    let elsewhere = ["--yes", "--cache-dir", other.to_str().unwrap()];
    run_well(drive.russet(&repo).args(elsewhere).args(["forget", "latest"]));
    let ran = import(&drive, &repo, &backups[2]);
    assert!(!says_older(&ran), "{}", ran.stderr);
    let ran = run_well(drive.russet(&repo).args(elsewhere).arg("verify"));
    assert!(!says_older(&ran), "{}", ran.stderr);
}
