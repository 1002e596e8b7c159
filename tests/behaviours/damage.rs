//! Damage to the files of a repository: what it costs, what is said about it, what heals.
//!
//! Invariant: no damage to a file ever brings a wrong byte back; what is lost is named, by verify before and by restore
//! after, in the same words; what stands three times heals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use russet::observe::Collecting;
use russet::ops::import::ImportOptions;
use russet::ops::verify::{Depth, Report, verify};
use russet::snapshot::record;
use russet_store::config::Purpose;
use russet_testkit::damage::{all_files, flip_bit, remove, truncate, zero_sector};

use super::drive::{Drive, copy_over, date_of, soak, tell_soak};

/// One way to spoil a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Flip(u64),
    Halve,
    Empty,
    Zero(u64),
    Remove,
}

impl Harm {
    /// The ways that make sense for a file of this length. Flips hit a pack's header, salt, first blob, middle, and
    /// directory.
    fn all(name: &str, len: u64) -> Vec<Self> {
        let mut all = vec![Self::Flip(len / 2), Self::Halve, Self::Empty, Self::Zero(len / 1024)];
        all.push(Self::Remove);
        if name.starts_with("packs/") {
            all.extend([0, 50, 97, len - 4000, len - 1].map(Self::Flip));
            all.push(Self::Zero(0));
            all.push(Self::Zero(len / 512 - 1));
        }
        all
    }

    fn apply(self, path: &Path) {
        let len = fs::metadata(path).unwrap().len();
        match self {
            Self::Flip(at) => flip_bit(path, at, 3).unwrap(),
            Self::Halve => truncate(path, len / 2).unwrap(),
            Self::Empty => truncate(path, 0).unwrap(),
            Self::Zero(sector) => zero_sector(path, sector).unwrap(),
            Self::Remove => remove(path).unwrap(),
        }
    }
}

/// Files below a repository, by name.
fn files(repo: &Path) -> Vec<(String, PathBuf)> {
    let name = |path: &PathBuf| path.strip_prefix(repo).unwrap().to_str().unwrap().to_owned();
    all_files(repo).unwrap().into_iter().map(|path| (name(&path), path)).collect()
}

/// Nothing depends on these, so that nothing is said about them.
fn is_for_people(name: &str) -> bool {
    name == "RUSSET.txt" || name.starts_with("docs/") || name == "lock"
}

/// What verify says would be lost is what restore then does not give back; everything else comes back.
fn assert_told_truly(drive: &Drive, repo: &Path, backups: &[PathBuf]) -> Report {
    let (opened, _) = drive.open(repo, None, Purpose::Check).unwrap();
    let report = verify(&opened.repository, Depth::ReadData, &Collecting::default()).unwrap();
    drop(opened);
    let (opened, _) = drive.open(repo, None, Purpose::Read).unwrap();
    let (snapshots, odd) = record::all(&opened.repository);
    assert_eq!((snapshots.len(), odd.len()), (backups.len(), 0));
    let mut hits: BTreeMap<String, _> =
        report.hits.iter().map(|hit| (hit.snapshot.clone(), hit)).collect();
    for snapshot in &snapshots {
        let backup = backups.iter().find(|b| date_of(b) == snapshot.record.backup_time).unwrap();
        let lacks = drive.restored(&opened, snapshot, backup);
        match hits.remove(&snapshot.short_id()) {
            None => assert!(lacks.are_none(), "verify did not foresee {lacks:?}"),
            Some(hit) => {
                let told = (hit.file_count, hit.listing_count);
                assert_eq!(told, (lacks.done.lost_count, lacks.done.listing_lost_count));
                let files: BTreeSet<String> = hit.files.iter().cloned().collect();
                assert_eq!(files, lacks.files());
            }
        }
    }
    report
}

#[test]
fn damage_to_any_file_is_named_and_costs_what_verify_says() {
    let (drive, backups) = Drive::with_weeks(3);
    let work = drive.path("damaged");
    let (mut cases, mut hits) = (0, 0);
    for (name, path) in files(&drive.repo()) {
        let len = fs::metadata(&path).unwrap().len();
        for harm in Harm::all(&name, len) {
            copy_over(&drive.repo(), &work);
            harm.apply(&work.join(&name));
            let case = format!("{name}, {harm:?}");
            let told = std::panic::catch_unwind(|| assert_told_truly(&drive, &work, &backups));
            let report = told.unwrap_or_else(|_| panic!("see above: {case}"));
            // A segment is a copy of what packs hold: that one is gone nobody can see, nor need.
            let silent =
                is_for_people(&name) || (name.starts_with("index/") && harm == Harm::Remove);
            let named = report.damages.iter().any(|damage| damage.what.contains(&name));
            assert_eq!(named, !silent, "{case}: {:?}", report.damages);
            assert_eq!(report.is_sound(), silent, "{case}: {:?}", report.damages);
            assert!(name.starts_with("packs/") || report.hits.is_empty(), "{case}: {report:?}");
            if harm == Harm::Flip(len - 1) {
                assert!(report.hits.is_empty(), "a segment has the directory too: {report:?}");
            }
            hits += report.hits.len();
            cases += 1;
        }
    }
    assert!(cases > 150 && hits > 30, "{cases} cases, {hits} hits");
    tell_soak(&format!("damage to each file: {cases} cases, {hits} snapshots hit and told truly"));
}

#[test]
fn a_flipped_bit_in_the_padding_of_a_pack_is_named_and_costs_nothing() {
    let (drive, backups) = Drive::with_weeks(2);
    let work = drive.path("damaged");
    let (opened, _) = drive.open(&drive.repo(), None, Purpose::Read).unwrap();
    let mut padded = 0;
    for (pack, len) in opened.repository.packs() {
        let name = russet_store::layout::pack_name(&pack);
        let entries = opened.repository.read_directory(&pack, len).unwrap();
        let end = entries.iter().map(|e| u64::from(e.offset + e.sealed_len)).max().unwrap();
        if end.is_multiple_of(4096) {
            continue;
        }
        padded += 1;
        copy_over(&drive.repo(), &work);
        flip_bit(&work.join(name.as_str()), end, 0).unwrap();
        let report = assert_told_truly(&drive, &work, &backups);
        let told: Vec<&str> = report.damages.iter().map(|d| d.what.as_str()).collect();
        assert_eq!(told, [name.as_str()]);
        assert!(report.hits.is_empty(), "{:?}", report.hits);
    }
    assert!(padded > 2, "{padded} packs with padding");
}

/// The names of what stands three times, each with its three names.
fn tripled(repo: &Path) -> Vec<[String; 3]> {
    let main = |name: &str| {
        ["keys/", "snapshots/", "log/"].iter().any(|dir| name.starts_with(dir)) || name == "config"
    };
    let names = files(repo).into_iter().map(|(name, _)| name).filter(|name| main(name));
    names.map(|name| [name.clone(), format!("copy1/{name}"), format!("copy2/{name}")]).collect()
}

#[test]
fn what_stands_three_times_heals_at_the_next_import() {
    let (drive, mut backups) = Drive::with_weeks(2);
    let pinned = ImportOptions { pin: true, ..ImportOptions::default() };
    backups.push(drive.write_week(2));
    drive.import_with(&drive.repo(), &backups[2], None, &pinned);
    backups.push(drive.write_week(3));
    let work = drive.path("damaged");
    let harms = [Harm::Flip(100), Harm::Halve, Harm::Empty, Harm::Zero(0), Harm::Remove];
    for (at, names) in tripled(&drive.repo()).iter().enumerate() {
        for (turn, harm) in harms.iter().enumerate() {
            if !soak() && turn != at % harms.len() {
                continue;
            }
            for spoiled in [vec![0], vec![at % 2 + 1], vec![at % 3, (at + 1) % 3]] {
                copy_over(&drive.repo(), &work);
                spoiled.iter().for_each(|copy| harm.apply(&work.join(&names[*copy])));
                let told = drive.verify(&work, None);
                assert!(told.damages.iter().all(|d| d.heals) && told.hits.is_empty(), "{told:?}");
                assert_eq!(told.damages.len(), spoiled.len(), "{names:?} {harm:?}: {told:?}");
                drive.import(&work, &backups[3]);
                let copies = names.each_ref().map(|name| fs::read(work.join(name)).unwrap());
                let good = fs::read(drive.repo().join(&names[0])).unwrap();
                assert!(copies.iter().all(|copy| *copy == good), "{names:?} {harm:?} {spoiled:?}");
                let after = drive.verify(&work, None);
                assert!(after.is_sound(), "{names:?} {harm:?} {spoiled:?}: {:?}", after.damages);
            }
        }
    }
    drive.assert_comes_back(&work, None, &backups);
}

#[test]
fn a_damaged_index_segment_is_made_anew_at_the_next_import() {
    let (drive, mut backups) = Drive::with_weeks(2);
    backups.push(drive.write_week(2));
    let work = drive.path("damaged");
    for (name, path) in files(&drive.repo()) {
        if !name.starts_with("index/") {
            continue;
        }
        for harm in Harm::all(&name, fs::metadata(path).unwrap().len()) {
            copy_over(&drive.repo(), &work);
            harm.apply(&work.join(&name));
            drive.import(&work, &backups[2]);
            drive.assert_comes_back(&work, None, &backups);
        }
    }
}

#[test]
fn a_lost_pack_is_stored_again_from_a_backup_folder_that_is_still_there() {
    let (drive, backups) = Drive::with_weeks(2);
    let work = drive.path("damaged");
    for (name, _) in files(&drive.repo()).into_iter().filter(|(name, _)| name.starts_with("packs/"))
    {
        for force in [false, true] {
            copy_over(&drive.repo(), &work);
            remove(&work.join(&name)).unwrap();
            let options = ImportOptions { force, ..ImportOptions::default() };
            for backup in &backups {
                drive.import_with(&work, backup, None, &options);
            }
            drive.assert_comes_back(&work, None, &backups);
        }
    }
}

#[test]
fn an_index_on_the_computer_that_is_gone_or_garbled_makes_no_difference() {
    let (drive, mut backups) = Drive::with_weeks(2);
    let cache = Some(drive.cache());
    drive.assert_comes_back(&drive.repo(), cache.clone(), &backups);
    backups.push(drive.write_week(2));
    let (work, warm) = (drive.path("work"), drive.path("warm"));
    copy_over(&drive.cache(), &warm);
    let names: Vec<String> = files(&warm).into_iter().map(|(name, _)| name).collect();
    assert!(names.iter().any(|name| name.ends_with(".sst")), "the cache is not warm: {names:?}");
    for name in &names {
        let len = fs::metadata(warm.join(name)).unwrap().len();
        let harms = match len {
            0 => vec![Harm::Remove],
            1 => vec![Harm::Flip(0), Harm::Empty, Harm::Remove],
            _ => vec![Harm::Flip(len / 2), Harm::Halve, Harm::Empty, Harm::Remove],
        };
        for harm in harms {
            copy_over(&warm, &drive.cache());
            copy_over(&drive.repo(), &work);
            harm.apply(&drive.cache().join(name));
            let tried = std::panic::catch_unwind(|| {
                drive.assert_restores(&work, cache.clone(), &backups[..2]);
                drive.import_with(&work, &backups[2], cache.clone(), &ImportOptions::default());
                drive.assert_comes_back(&work, cache.clone(), &backups);
            });
            assert!(tried.is_ok(), "see above: {name}, {harm:?}");
        }
    }
    copy_over(&drive.path("nothing"), &drive.cache());
    drive.assert_comes_back(&work, cache, &backups);
}

#[test]
fn a_snapshot_whose_record_is_lost_in_all_copies_is_found_in_its_pack() {
    let (drive, mut backups) = Drive::with_weeks(2);
    backups.push(drive.write_week(2));
    let work = drive.path("damaged");
    let record = |names: &[String; 3]| names[0].starts_with("snapshots/");
    for names in tripled(&drive.repo()).iter().filter(|names| record(names)) {
        for harm in [Harm::Flip(100), Harm::Empty] {
            copy_over(&drive.repo(), &work);
            names.iter().for_each(|name| harm.apply(&work.join(name)));
            drive.assert_restores(&work, None, &backups[..2]);
            assert!(!drive.verify(&work, None).is_sound(), "{names:?} {harm:?}");
            drive.import(&work, &backups[2]);
            names.iter().for_each(|name| assert!(work.join(name).is_file(), "{name} {harm:?}"));
            drive.assert_comes_back(&work, None, &backups);
        }
    }
}
