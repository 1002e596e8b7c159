//! The spool: what comes back, what a crash leaves, and what hostile segments and records cost.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::io::Read;

use proptest::prelude::*;
use russet_store::ambient::System;

use super::owner::{Held, Whose};
use super::segment::SEALED_LEN;
use super::*;

const SMALL: u64 = 2 * FRAME;

fn repository() -> RepositoryId {
    RepositoryId::decode([9; 16])
}

fn spool(dir: &Path) -> Spool {
    // Where a person wants it.
    let mut place = SpoolPlace { segment_len: SMALL, ..nowhere() };
    place.put_in(dir.to_path_buf());
    Spool::create(&place, repository(), Arc::new(System)).unwrap()
}

/// Beside a repository that is nowhere.
fn nowhere() -> SpoolPlace {
    SpoolPlace::beside(Path::new("/nowhere/r"))
}

/// Beside the repository `r` in a folder.
fn beside_r(dir: &Path) -> SpoolPlace {
    SpoolPlace { segment_len: SMALL, ..SpoolPlace::beside(&dir.join("r")) }
}

fn content(number: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from((at * 7 + number * 13) % 251).unwrap()).collect()
}

fn put(spool: &mut Spool, bytes: &[u8]) -> Spooled {
    spool.append(&mut &bytes[..]).unwrap()
}

fn get(spool: &mut Spool, file: &Spooled) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    spool.reader(file).unwrap().read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn of_record(record: &SpoolRecord, file: &Spooled) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    SpoolReader::new(record, file).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn place_of(file: &Spooled) -> (u64, u64) {
    (file.at, file.len)
}

fn segment(spool: &SpoolRecord, number: u32) -> PathBuf {
    segment_path(&spool.folder, number)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn files_come_back_at_once_and_after_a_crash(lens in proptest::collection::vec((0usize..300_000, any::<bool>()), 1..8)) {
        let dir = tempfile::tempdir().unwrap();
        let mut writing = spool(dir.path());
        let mut files = Vec::new();
        let mut durable_count = 0;
        let mut record = writing.record().clone();
        for (number, (len, syncs)) in lens.iter().enumerate() {
            let bytes = content(number, *len);
            let file = put(&mut writing, &bytes);
            prop_assert_eq!(get(&mut writing, &file).unwrap(), bytes.clone());
            files.push((file, bytes));
            if *syncs {
                writing.sync().unwrap();
                record = writing.record().clone();
                durable_count = files.len();
            }
        }
        drop(writing);
        let (mut again, _) = Spool::resume(record, &nowhere(), Arc::new(System)).unwrap();
        files.truncate(durable_count);
        let places = files.iter().map(|(file, _)| place_of(file));
        again.record().holds(places).unwrap();
        let late = content(77, 100_000);
        let later = put(&mut again, &late);
        files.push((later, late));
        for (file, bytes) in &files {
            prop_assert_eq!(&get(&mut again, file).unwrap(), bytes);
        }
    }

    #[test]
    fn a_changed_byte_anywhere_is_an_error_and_never_other_bytes(at in 0usize..3 * SEALED_LEN, bit in 0u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path());
        let bytes = content(1, 180_000);
        let file = put(&mut spool, &bytes);
        spool.sync().unwrap();
        let mut at = at;
        for number in 0..2 {
            let path = segment(spool.record(), number);
            let mut stored = fs::read(&path).unwrap();
            if at < stored.len() {
                stored[at] ^= 1 << bit;
                fs::write(&path, stored).unwrap();
                prop_assert!(get(&mut spool, &file).is_err());
                break;
            }
            at -= stored.len();
        }
    }

    #[test]
    fn any_place_is_read_or_an_error(at in any::<u64>(), len in 0u64..1 << 20, end in any::<u64>(), segment_len in any::<u64>()) {
        let dir = tempfile::tempdir().unwrap();
        let mut spool = spool(dir.path());
        put(&mut spool, &content(1, 100_000));
        spool.sync().unwrap();
        let hostile = SpoolRecord { end, segment_len, ..spool.record().clone() };
        drop(spool);
        let _ = hostile.holds([(at, len), (at % 200_000, len)].into_iter());
        let file = Spooled { at, len: len + 1, hash: [0; 32] };
        prop_assert!(of_record(&hostile, &file).is_err());
        let near = Spooled { at: at % 200_000, ..file };
        prop_assert!(of_record(&hostile, &near).is_err());
        let _ = Spool::resume(hostile, &nowhere(), Arc::new(System));
    }
}

#[test]
fn what_a_crash_left_behind_the_checkpoint_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut writing = spool(dir.path());
    let kept = put(&mut writing, &content(1, 70_000));
    writing.sync().unwrap();
    let record = writing.record().clone();
    put(&mut writing, &content(2, 400_000));
    drop(writing);
    fs::write(segment(&record, 1), b"torn").unwrap();
    let before: u64 = numbers(&record.folder).unwrap().iter().map(|(_, len)| len).sum();
    let (again, cut_len) = Spool::resume(record, &nowhere(), Arc::new(System)).unwrap();
    let after: u64 = numbers(&again.record().folder).unwrap().iter().map(|(_, len)| len).sum();
    assert_eq!(before - after, cut_len);
    assert_eq!(after, frame_at(2));
    assert_eq!(of_record(again.record(), &kept).unwrap(), content(1, 70_000));
}

#[test]
fn whoever_goes_on_begins_another_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut writing = spool(dir.path());
    put(&mut writing, &content(1, 10));
    writing.sync().unwrap();
    let record = writing.record().clone();
    drop(writing);
    let before = fs::read(segment(&record, 0)).unwrap();
    let (mut again, cut_len) = Spool::resume(record, &nowhere(), Arc::new(System)).unwrap();
    let file = put(&mut again, &content(2, 10));
    again.sync().unwrap();
    assert_eq!((file.at, cut_len), (SMALL, 0));
    assert_eq!(fs::read(segment(again.record(), 0)).unwrap(), before);
}

#[test]
fn a_segment_that_is_gone_or_cut_short_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let files: Vec<Spooled> = (0..3).map(|n| put(&mut spool, &content(n, 100_000))).collect();
    spool.sync().unwrap();
    let record = spool.record();
    let lost = || match record.holds(files.iter().map(place_of)) {
        Ok(()) => 0,
        Err(SpoolError::Lost { lost_count, .. }) => lost_count,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(lost(), 0);
    let last = segment(record, 2);
    let file = fs::OpenOptions::new().write(true).open(&last).unwrap();
    file.set_len(frame_at(1) - 1).unwrap();
    assert_eq!(lost(), 1);
    fs::remove_file(segment(record, 0)).unwrap();
    assert_eq!(lost(), 3);
}

#[test]
fn a_segment_in_the_place_of_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let file = put(&mut spool, &content(1, 250_000));
    spool.sync().unwrap();
    let (one, two) = (segment(spool.record(), 0), segment(spool.record(), 1));
    let bytes = fs::read(&one).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::write(&two, bytes).unwrap();
    assert!(get(&mut spool, &file).is_err());
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_harms_no_other() {
    struct Broken(usize);
    impl Read for Broken {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.checked_sub(buffer.len()) {
                Some(left) => {
                    self.0 = left;
                    Ok(buffer.len())
                }
                None => Err(io::Error::other("the link broke")),
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let before = put(&mut spool, &content(1, 10_000));
    let broken = spool.append(&mut Broken(200_000));
    assert!(matches!(broken, Err(AppendError::Source(_))));
    let after = put(&mut spool, &content(2, 90_000));
    assert_eq!(get(&mut spool, &before).unwrap(), content(1, 10_000));
    assert_eq!(get(&mut spool, &after).unwrap(), content(2, 90_000));
}

#[test]
fn what_was_released_is_gone_and_the_rest_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let files: Vec<Spooled> = (0..4).map(|n| put(&mut spool, &content(n, 100_000))).collect();
    spool.sync().unwrap();
    spool.release(files[2].at).unwrap();
    let left = numbers(&spool.record().folder).unwrap();
    assert_eq!(left.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(get(&mut spool, &files[3]).unwrap(), content(3, 100_000));
    let record = spool.record().clone();
    drop(spool);
    record.remove().unwrap();
    assert!(!record.folder.exists());
    record.remove().unwrap();
}

#[test]
fn nothing_of_a_file_stands_in_the_spool_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let mut spool = spool(dir.path());
    let secret = b"what Apple encrypted, sixteen times over ".repeat(40);
    put(&mut spool, &secret);
    spool.sync().unwrap();
    let stored = fs::read(segment(spool.record(), 0)).unwrap();
    assert!(!stored.windows(16).any(|part| part == &secret[..16]));
    let key = *spool.record().key.as_bytes();
    assert!(!stored.windows(32).any(|part| part == key));
    assert_eq!(format!("{:?}", spool.record().key), "SpoolKey");
}

#[test]
fn of_spools_that_no_draft_names_empty_ones_go_and_others_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let known = spool(dir.path()).record().folder.clone();
    let empty = spool(dir.path()).record().folder.clone();
    // Another copy of the repository may have its draft.
    let waits = spool(dir.path()).record().folder.clone();
    fs::write(segment_path(&waits, 3), b"segment").unwrap();
    let place = beside_r(dir.path());
    let other = RepositoryId::decode([1; 16]);
    let others = Spool::create(&place, other, Arc::new(System)).unwrap().record().folder.clone();
    // Nobody else's, empty or not: its draft may be about to name it.
    let copy = SpoolPlace::beside(Path::new("/elsewhere/r"));
    let of_copy =
        |left: Vec<Leftover>| left.into_iter().map(|left| left.folder).collect::<Vec<_>>();
    let known = std::slice::from_ref(&known);
    let of_copy = of_copy(leftovers(dir.path(), &copy, repository(), known));
    assert_eq!(of_copy, std::slice::from_ref(&waits));
    let running = spool(dir.path());
    let left = leftovers(dir.path(), &nowhere(), repository(), known);
    let known = &known[0];
    assert!(running.record().folder.exists());
    let mut left: Vec<(PathBuf, String)> =
        left.into_iter().map(|left| (left.folder, format!("{:?}", left.fate))).collect();
    left.sort();
    let mut wanted = [(empty.clone(), "Removed(Ok(()))"), (waits.clone(), "Stays { len: 7 }")]
        .map(|(folder, fate)| (folder, fate.to_owned()));
    wanted.sort();
    assert_eq!(left, wanted);
    assert!(!empty.exists() && known.exists() && others.exists());
    assert_eq!(fs::read(segment_path(&waits, 3)).unwrap(), b"segment");
}

#[test]
fn a_record_keeps_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let record = spool(dir.path()).record().clone();
    let json = serde_json::to_vec(&record).unwrap();
    assert_eq!(serde_json::from_slice::<SpoolRecord>(&json).unwrap(), record);
}

/// A spool with one file in `dir`, durable, where a person named that; the file, and what is in it.
fn filled_by(place: &SpoolPlace, dir: &Path) -> (SpoolRecord, Spooled, Vec<u8>) {
    let mut place = SpoolPlace { segment_len: SMALL, ..place.clone() };
    place.put_in(dir.to_path_buf());
    let mut writing = Spool::create(&place, repository(), Arc::new(System)).unwrap();
    let bytes = content(1, 100_000);
    let file = put(&mut writing, &bytes);
    writing.sync().unwrap();
    (writing.record().clone(), file, bytes)
}

#[test]
fn a_spool_is_found_where_its_drive_is_today_and_where_a_person_says() {
    let dirs = ["then", "beside", "named"].map(|_| tempfile::tempdir().unwrap());
    let [then, beside, named] = &dirs;
    let mut place = beside_r(beside.path());
    place.put_in(named.path().to_path_buf());
    for now in &dirs {
        let (mut record, file, bytes) = filled_by(&place, then.path());
        let folder = now.path().join(record.folder.file_name().unwrap());
        fs::rename(&record.folder, &folder).unwrap();
        record.seek(&place, || [place_of(&file)].into_iter()).unwrap();
        assert_eq!(record.folder, folder);
        assert_eq!(of_record(&record, &file).unwrap(), bytes);
    }
}

#[test]
fn of_two_spools_of_one_name_the_one_that_holds_all_counts() {
    let (then, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = beside_r(beside.path());
    let (mut record, file, _) = filled_by(&place, then.path());
    let whole = record.folder.clone();
    let part = beside.path().join(whole.file_name().unwrap());
    fs::create_dir(&part).unwrap();
    fs::write(segment_path(&part, 0), "cut short").unwrap();
    record.seek(&place, || [place_of(&file)].into_iter()).unwrap();
    assert_eq!(record.folder, whole);
    // The drive of the whole one may be away.
    fs::rename(&whole, then.path().join("away")).unwrap();
    let lacks = record.seek(&place, || [place_of(&file)].into_iter()).unwrap_err();
    assert!(lacks.is_absent(), "{lacks}");
    assert_eq!(record.folder, whole);
}

/// A spool beside the repository `r` in `dir`, with one file.
fn filled_beside(dir: &Path) -> (SpoolRecord, Spooled, Vec<u8>) {
    let mut writing = Spool::create(&beside_r(dir), repository(), Arc::new(System)).unwrap();
    let bytes = content(1, 100_000);
    let file = put(&mut writing, &bytes);
    writing.sync().unwrap();
    (writing.record().clone(), file, bytes)
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for child in fs::read_dir(from).unwrap().map(|child| child.unwrap()) {
        fs::copy(child.path(), to.join(child.file_name())).unwrap();
    }
}

#[test]
fn a_copy_of_a_repository_goes_on_with_the_copy_of_its_spool() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut record, file, bytes) = filled_beside(first.path());
    let copy = second.path().join(record.folder.file_name().unwrap());
    copy_folder(&record.folder, &copy);
    let place = beside_r(second.path());
    record.seek(&place, || [place_of(&file)].into_iter()).unwrap();
    assert_eq!(record.folder, copy);
    assert_eq!(of_record(&record, &file).unwrap(), bytes);
    // From then on it says so itself.
    Spool::resume(record.clone(), &place, Arc::new(System)).unwrap();
    let whose = Held::take(&copy).unwrap().whose(&second.path().join("r")).unwrap();
    assert_eq!(whose, (Whose::Ours, 1));
}

#[test]
fn a_copy_of_a_repository_has_no_claim_on_a_spool_that_a_person_put_elsewhere() {
    let dirs = ["shared", "first", "second"].map(|_| tempfile::tempdir().unwrap());
    let [shared, first, second] = &dirs;
    let (record, file, bytes) = filled_by(&beside_r(first.path()), shared.path());
    let mut copy = beside_r(second.path());
    let refused = |copy: &SpoolPlace| {
        assert_eq!(record.located(copy), None);
        let sought = record.clone().seek(copy, || [place_of(&file)].into_iter());
        assert!(matches!(sought, Err(SpoolError::Anothers { .. })), "{sought:?}");
        let resumed = Spool::resume(record.clone(), copy, Arc::new(System)).map(drop);
        assert!(matches!(resumed, Err(SpoolError::Anothers { .. })), "{resumed:?}");
    };
    refused(&copy);
    // It names that folder in each of its runs: that says nothing of whose it is.
    copy.put_in(shared.path().to_path_buf());
    refused(&copy);
    // What the original has finished of it is not lost to the copy.
    let end = record.end;
    fs::remove_file(segment(&record, 0)).unwrap();
    refused(&copy);
    assert_eq!(record.end, end);
    // A person says that it is the same one, elsewhere.
    let (mut record, ..) = filled_by(&beside_r(first.path()), shared.path());
    fs::remove_file(record.folder.join(owner::NAME)).unwrap();
    record.seek(&copy, || [place_of(&file)].into_iter()).unwrap();
    Spool::resume(record.clone(), &copy, Arc::new(System)).unwrap();
    assert_eq!(of_record(&record, &file).unwrap(), bytes);
    let sought = record.seek(&beside_r(first.path()), || [place_of(&file)].into_iter());
    assert!(matches!(sought, Err(SpoolError::Anothers { .. })), "{sought:?}");
}

#[test]
fn nobody_touches_a_spool_at_which_somebody_is_at_work() {
    let (dir, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Two drives with copies of a repository, one after the other at the same place.
    let mut place = beside_r(dir.path());
    place.put_in(shared.path().to_path_buf());
    let mut running = Spool::create(&place, repository(), Arc::new(System)).unwrap();
    let file = put(&mut running, &content(1, 100_000));
    running.sync().unwrap();
    let record = running.record().clone();
    put(&mut running, &content(2, 400_000));
    let is_busy = |error: SpoolError| matches!(error, SpoolError::Busy { .. });
    let before = numbers(&record.folder).unwrap();
    let sought = record.clone().seek(&place, || [place_of(&file)].into_iter());
    assert!(sought.is_err_and(is_busy));
    let resumed = Spool::resume(record.clone(), &place, Arc::new(System)).map(drop);
    assert!(resumed.is_err_and(is_busy));
    assert!(record.remove().is_err_and(is_busy));
    assert_eq!(record.located(&place), None);
    assert_eq!(numbers(&record.folder).unwrap(), before);
    drop(running);
    let (_, cut_len) = Spool::resume(record, &place, Arc::new(System)).unwrap();
    assert!(cut_len > 0);
}

#[test]
fn a_draft_that_another_copy_has_left_behind_does_not_cut_what_came_since() {
    let (dir, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // Two drives with copies of a repository, in turn at the same place.
    let mut place = beside_r(dir.path());
    place.put_in(shared.path().to_path_buf());
    for place in [place, beside_r(dir.path())] {
        let mut first = Spool::create(&place, repository(), Arc::new(System)).unwrap();
        let file = put(&mut first, &content(1, 100_000));
        first.sync().unwrap();
        let second = first.record().clone();
        first.saved();
        drop(first);
        let (mut first, _) = Spool::resume(second.clone(), &place, Arc::new(System)).unwrap();
        put(&mut first, &content(2, 400_000));
        first.sync().unwrap();
        // A kill before the checkpoint harms nobody who has the one before.
        drop(first);
        let (mut first, _) = Spool::resume(second.clone(), &place, Arc::new(System)).unwrap();
        let late = put(&mut first, &content(2, 400_000));
        first.sync().unwrap();
        first.saved();
        let record = first.record().clone();
        drop(first);
        let sought = second.clone().seek(&place, || [place_of(&file)].into_iter());
        assert!(matches!(sought, Err(SpoolError::Anothers { .. })), "{sought:?}");
        let resumed = Spool::resume(second.clone(), &place, Arc::new(System)).map(drop);
        assert!(matches!(resumed, Err(SpoolError::Anothers { .. })), "{resumed:?}");
        assert_eq!(second.located(&place), None);
        let (_, cut_len) = Spool::resume(record.clone(), &place, Arc::new(System)).unwrap();
        assert_eq!(cut_len, 0);
        assert_eq!(of_record(&record, &late).unwrap(), content(2, 400_000));
    }
}

#[test]
fn an_owner_that_is_torn_or_anything_else_is_not_ours() {
    let dir = tempfile::tempdir().unwrap();
    let record = spool(dir.path()).record().clone();
    let path = record.folder.join(owner::NAME);
    let ours = fs::read(&path).unwrap();
    assert_eq!(ours.len(), 82);
    let whose = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Held::take(&record.folder).unwrap().whose(&nowhere().location()).unwrap().0
    };
    assert_eq!(whose(&ours), Whose::Ours);
    let longer = [&ours[..], b"x"].concat();
    let mut other = ours.clone();
    other[7] ^= 1;
    for bytes in [&[][..], &ours[..81], &longer, &other, &[7; 100_000]] {
        assert_eq!(whose(bytes), Whose::Anothers);
    }
}

#[test]
fn a_copy_of_a_repository_has_no_claim_on_the_spool_beside_the_original() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut own = Spool::create(&beside_r(dir.path()), repository(), Arc::new(System)).unwrap();
    let file = put(&mut own, &content(1, 70_000));
    own.sync().unwrap();
    let record = own.record().clone();
    let renamed = SpoolPlace::beside(&dir.path().join("r.copy"));
    for copy in [&renamed, &beside_r(other.path())] {
        assert_eq!(record.located(copy), None);
        let sought = record.clone().seek(copy, || [place_of(&file)].into_iter());
        assert!(sought.unwrap_err().is_absent());
    }
    drop(own);
    // A person may say that it is the same one, under another name; but not while the first is there.
    let (mut named, mut record) = (renamed.clone(), record);
    named.put_in(dir.path().to_path_buf());
    fs::create_dir(dir.path().join("r")).unwrap();
    let sought = record.clone().seek(&named, || [place_of(&file)].into_iter());
    assert!(matches!(sought, Err(SpoolError::Anothers { .. })), "{sought:?}");
    fs::remove_dir(dir.path().join("r")).unwrap();
    record.seek(&named, || [place_of(&file)].into_iter()).unwrap();
    // And says so once.
    assert_eq!(record.beside.as_deref(), Some("r.copy"));
    record.clone().seek(&renamed, || [place_of(&file)].into_iter()).unwrap();
    assert_eq!(record.located(&beside_r(dir.path())), None);
}

#[test]
fn a_spool_that_a_person_found_once_is_found_by_itself_then() {
    let (dir, moved) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut record, file, _) = filled_beside(dir.path());
    let now = beside_r(moved.path());
    let mut named = now.clone();
    named.put_in(dir.path().to_path_buf());
    let lacks = record.seek(&now, || [place_of(&file)].into_iter()).unwrap_err();
    assert!(lacks.is_absent());
    record.seek(&named, || [place_of(&file)].into_iter()).unwrap();
    assert_eq!(record.beside, None);
    record.seek(&now, || [place_of(&file)].into_iter()).unwrap();
    Spool::resume(record, &now, Arc::new(System)).unwrap();
}

#[test]
fn a_spool_that_is_away_is_told_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let (mut record, file, _) = filled_beside(dir.path());
    fs::remove_dir_all(&record.folder).unwrap();
    let absent = record.seek(&beside_r(dir.path()), || [place_of(&file)].into_iter()).unwrap_err();
    assert!(absent.is_absent());
    let why = std::error::Error::source(&absent).unwrap().to_string();
    assert_eq!(why, "there is no such folder");
}

#[test]
fn a_spool_in_which_nothing_is_durable_is_missed_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut record = spool(dir.path()).record().clone();
    fs::remove_dir_all(&record.folder).unwrap();
    let place = beside_r(dir.path());
    record.seek(&place, || [(0, 0)].into_iter()).unwrap();
    assert!(record.seek(&place, || [(0, 1)].into_iter()).is_err());
}

#[cfg(unix)]
#[test]
fn a_spool_can_be_listed_by_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let folder = spool(dir.path()).record().folder.clone();
    assert_eq!(fs::metadata(folder).unwrap().permissions().mode() & 0o777, 0o700);
}
