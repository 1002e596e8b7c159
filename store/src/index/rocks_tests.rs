//! The cache on disk: the same answers as a list of packs, over reopening, crashes and damage.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use super::super::history_tests::{
    Model, Step, apply, assert_agrees, blob_id, copies_are_bounded, expected, pack_id, spot, steps,
};
use super::*;
use proptest::prelude::*;

const OURS: &[u8] = b"repository 1";

fn open(folder: &Path) -> (RocksIndex, Opened) {
    RocksIndex::open(folder, OURS).unwrap()
}

fn fresh(why: FreshReason) -> Opened {
    Opened::Fresh { why }
}

/// A closed cache with one pack of one blob.
fn closed_with_one_pack(folder: &Path) {
    let (index, _) = open(folder);
    index.insert_pack(&pack_id(1), 7, &[(blob_id(1), spot(1))]).unwrap();
}

/// Of blobs only: the engine writes out what is in memory for the range it compacts, and records of packs
/// shall stay there.
fn compact_blobs(index: &RocksIndex) {
    index.db.compact_range(Some([BLOB_TAG]), Some([BLOB_TAG + 1]));
}

/// What a process that dies now leaves: the files as they are.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_cache_agrees_with_a_list_of_packs_also_when_reopened(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let (mut index, mut model) = (open(folder.path()).0, Model::new());
        for step in &steps {
            if let Step::Reopen = step {
                drop(index);
                let (again, opened) = open(folder.path());
                assert_eq!(opened, Opened::Kept);
                index = again;
            }
            apply(step, &index, &mut model);
            assert_agrees(&index, &model);
        }
    }

    #[test]
    fn a_process_that_dies_leaves_the_state_of_some_moment_since_the_last_flush(
        steps in steps(),
        moments in prop::collection::vec(any::<prop::sample::Index>(), 1..4),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (index, _) = open(&folder.path().join("live"));
        let (mut model, mut since_flush) = (Model::new(), vec![Model::new()]);
        let moments: HashSet<usize> = moments.iter().map(|m| m.index(steps.len() + 1)).collect();
        for (moment, step) in steps.iter().enumerate() {
            apply(step, &index, &mut model);
            // What compaction removes too early is missing after the crash.
            if moment % 3 == 0 {
                compact_blobs(&index);
            }
            if matches!(step, Step::Flush | Step::Clear) {
                since_flush.clear();
            }
            since_flush.push(model.clone());
            if moments.contains(&moment) {
                let dead = folder.path().join(format!("dead{moment}"));
                copy(&folder.path().join("live"), &dead);
                let (left, opened) = open(&dead);
                assert_eq!(opened, Opened::Kept);
                let packs = left.packs().unwrap();
                let is_it = |m: &&Model| m.iter().map(|(p, (len, _))| (*p, *len)).eq(packs.clone());
                let states: Vec<&Model> = since_flush.iter().filter(is_it).collect();
                assert!(!states.is_empty(), "packs of no moment");
                let answers = |blob| left.lookup(&blob_id(blob)).unwrap();
                let same = |m: &&Model| (0..13).all(|blob| answers(blob) == expected(m, blob));
                assert!(states.iter().any(same), "the packs are named, their blobs are not there");
            }
        }
    }

    #[test]
    fn a_changed_byte_anywhere_gives_a_fresh_cache_an_error_or_the_right_answer(
        file: prop::sample::Index,
        at: prop::sample::Index,
        change in 1..=255_u8,
        is_cut: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        closed_with_one_pack(folder.path());
        let engine = folder.path().join(ENGINE_NAME);
        let mut files: Vec<_> =
            fs::read_dir(&engine).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let path = file.get(&files);
        let mut bytes = fs::read(path).unwrap();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            if is_cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= change;
            }
            fs::write(path, bytes).unwrap();
        }
        let (index, opened) = open(folder.path());
        let packs = index.packs().unwrap();
        let is_named = packs == [(pack_id(1), 7)];
        // A table of contents cut at the right place is that of an earlier moment: fewer packs, none wrong.
        assert!(is_named || packs.is_empty(), "{packs:?}");
        assert!(opened == Opened::Kept || packs.is_empty());
        match index.lookup(&blob_id(1)) {
            Ok(places) if is_named => assert_eq!(places, [spot(1).within(pack_id(1))]),
            Ok(places) => assert_eq!(places, []),
            Err(IndexError::Damaged { .. }) => {
                drop(index);
                assert_eq!(open(folder.path()).1, fresh(FreshReason::Damaged));
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_cache_that_is_not_there_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let (_index, opened) = open(&folder.path().join("deep/er"));
    assert_eq!(opened, fresh(FreshReason::Absent));
}

#[test]
fn the_cache_of_another_repository_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    closed_with_one_pack(folder.path());
    let (index, opened) = RocksIndex::open(folder.path(), b"repository 2").unwrap();
    assert_eq!(opened, fresh(FreshReason::OtherRepository));
    assert_eq!(index.lookup(&blob_id(1)).unwrap(), []);
    assert_eq!(index.packs().unwrap(), []);
}

#[test]
fn a_cache_of_another_version_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    closed_with_one_pack(folder.path());
    let db = open_engine(&folder.path().join(ENGINE_NAME), &Arc::default()).unwrap();
    db.put(IDENTITY_KEY, b"russet index 2\0repository 1").unwrap();
    drop(db);
    let (index, opened) = open(folder.path());
    assert_eq!(opened, fresh(FreshReason::OtherVersion));
    assert_eq!(index.lookup(&blob_id(1)).unwrap(), []);
}

#[test]
fn a_cache_that_was_never_finished_or_is_something_else_is_made_anew() {
    let spoil: [fn(&Path); 5] = [
        |engine| fs::remove_file(engine.join("CURRENT")).unwrap(),
        |engine| {
            fs::remove_dir_all(engine).unwrap();
            fs::write(engine, b"a file").unwrap();
        },
        |engine| {
            fs::remove_dir_all(engine).unwrap();
            fs::create_dir(engine).unwrap();
            fs::write(engine.join("CURRENT"), b"MANIFEST-000001\n").unwrap();
        },
        |engine| {
            let db = open_engine(engine, &Arc::default()).unwrap();
            db.delete(IDENTITY_KEY).unwrap();
        },
        |engine| {
            for entry in fs::read_dir(engine).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "sst") {
                    fs::remove_file(path).unwrap();
                }
            }
        },
    ];
    for (index, spoil) in spoil.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        closed_with_one_pack(folder.path());
        spoil(&folder.path().join(ENGINE_NAME));
        assert_eq!(open(folder.path()).1, fresh(FreshReason::Damaged), "case {index}");
        assert_eq!(open(folder.path()).1, Opened::Kept, "case {index} again");
    }
}

#[test]
fn what_else_lies_in_the_cache_folder_stays() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("letter.txt"), b"mine").unwrap();
    drop(RocksIndex::open(folder.path(), b"repository 2").unwrap());
    drop(open(folder.path()));
    assert_eq!(fs::read(folder.path().join("letter.txt")).unwrap(), b"mine");
}

#[test]
fn a_cache_in_use_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (index, _) = open(folder.path());
    index.insert_pack(&pack_id(1), 7, &[(blob_id(1), spot(1))]).unwrap();
    assert!(matches!(RocksIndex::open(folder.path(), OURS), Err(IndexError::Busy)));
    assert!(matches!(RocksIndex::open(folder.path(), b"repository 2"), Err(IndexError::Busy)));
    // Where the system knows no locks, the engine's own must do.
    let engine = folder.path().join(ENGINE_NAME);
    assert!(matches!(open_existing(&engine, OURS), Err(IndexError::Busy)));
    assert_eq!(index.lookup(&blob_id(1)).unwrap().len(), 1);
}

#[test]
fn the_cache_answers_with_a_bounded_number_of_copies_and_loses_none() {
    let folder = tempfile::tempdir().unwrap();
    copies_are_bounded(&open(folder.path()).0);
}

#[test]
fn compaction_gives_back_what_forgotten_packs_took_once_that_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    closed_with_one_pack(folder.path());
    let (index, _) = open(folder.path());
    index.forget_pack(&pack_id(1)).unwrap();
    assert_eq!(index.lookup(&blob_id(1)).unwrap(), []);
    index.flush().unwrap();
    compact_blobs(&index);
    assert_eq!(index.db.get(blob_key(&blob_id(1))).unwrap(), None);
}

#[test]
fn compaction_takes_nothing_whose_pack_a_crash_could_bring_back() {
    let folder = tempfile::tempdir().unwrap();
    let (live, dead) = (folder.path().join("live"), folder.path().join("dead"));
    closed_with_one_pack(&live);
    let (index, _) = open(&live);
    index.forget_pack(&pack_id(1)).unwrap();
    compact_blobs(&index);
    copy(&live, &dead);
    let (left, opened) = open(&dead);
    assert_eq!(opened, Opened::Kept);
    assert_eq!(left.packs().unwrap(), [(pack_id(1), 7)], "the crash was to lose the removal");
    assert_eq!(left.lookup(&blob_id(1)).unwrap(), [spot(1).within(pack_id(1))]);
}

#[test]
fn an_entry_that_does_not_decode_is_told_and_the_cache_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    closed_with_one_pack(folder.path());
    let (index, _) = open(folder.path());
    index.db.put(blob_key(&blob_id(1)), [0; COPIED_LEN + 1]).unwrap();
    assert!(matches!(index.lookup(&blob_id(1)), Err(IndexError::Damaged { .. })));
    assert!(matches!(index.lookup_many(&[blob_id(1)]), Err(IndexError::Damaged { .. })));
    drop(index);
    assert_eq!(open(folder.path()).1, fresh(FreshReason::Damaged));
}
