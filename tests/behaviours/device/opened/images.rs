//! A power cut at any moment of a second backup of a phone that encrypts: what is left of the repository and of the spool beside
//! it, of writes that were not synced any subset.
//!
//! Invariant: whatever is left, the backup before is whole, every file of the draft can be read to its last byte, and a backup that
//! its phone has finished becomes a whole snapshot without it.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use plist::Value;
use russet::apple::{Passwords, PhonePassword};
use russet::capture::device::connect::{Muxer, MuxerAddress, Phone};
use russet::capture::device::draft::{Draft, FileNode};
use russet::capture::device::record;
use russet::capture::device::spool::{Spool, SpoolRecord, Spooled};
use russet::capture::stored::StoredReader;
use russet::observe::Collecting;
use russet::ops::backup::{BackupOptions, Job, backup, finish_waiting};
use russet::ops::open::Opened;
use russet::ops::phone_keys::{Answer, PhoneKeys, Unopened};
use russet::ops::verify::{Depth, verify};
use russet::snapshot::record as snapshots;
use russet_store::ambient::Ambient;
use russet_store::backend::Backend;
use russet_store::config::Purpose;
use russet_store::repository::Repository;
use russet_testkit::repository::{Seeded, create_quick, open_quick};

use super::super::super::drive::{soak, tell_soak};
use super::super::PHONE_PASSWORD;
use super::super::cuts::calm;
use super::super::images::assert_no_newer;
use super::super::photographed::{Image, Photographed};
use super::super::truth::Truth;
use super::TestPhone;

/// So many are looked at where not all are.
const IMAGE_COUNT: usize = 36;

/// The password of the phone, and where its spool is.
fn keys<'a>(dir: &Path, nobody: &'a russet::ops::phone_keys::Ask<'a>) -> PhoneKeys<'a> {
    let passwords = Passwords::new(vec![PhonePassword::new(PHONE_PASSWORD).unwrap()]);
    let mut keys = PhoneKeys::new(passwords, nobody, Unopened::Refuse, &dir.join("repository"));
    keys.spool.segment_len = 256 << 10;
    keys
}

/// Backs a phone up, with a spool in `dir`.
fn back_up(opened: &mut Opened, address: &str, dir: &Path, drive: Option<&Arc<Photographed>>) {
    let observer = Collecting::default();
    let muxer = Muxer::new(MuxerAddress::parse(address).unwrap()).unwrap();
    let phone = Phone::connect(&muxer, &muxer.list().unwrap().remove(0)).unwrap();
    let nobody = |_: russet::ops::phone_keys::Asked<'_>| Answer::Nobody;
    let mut keys = keys(dir, &nobody);
    if let Some(drive) = drive {
        keys.spool.durable = drive.clone();
    }
    let job =
        Job { phone, called: "it".to_owned(), observer: &observer, cancelled: Arc::default() };
    let options = BackupOptions::default();
    let done = backup(opened, vec![job], &options, &keys, &observer, &|| false).unwrap();
    assert!(done.into_iter().all(|made| made.unwrap().snapshot.is_good()));
}

/// The stored bytes of a file of a draft, each checked, and all of them.
fn stored(repository: &Repository, spool: Option<&mut Spool>, node: &FileNode) -> Vec<u8> {
    let content = &node.content;
    let mut bytes = Vec::new();
    match node.spooled {
        Some(at) => {
            let file = Spooled { at, len: content.len, hash: content.hash };
            spool.unwrap().reader(&file).unwrap().read_to_end(&mut bytes).unwrap();
        }
        None => {
            StoredReader::new(repository, content).read_to_end(&mut bytes).unwrap();
        }
    }
    assert_eq!(bytes.len() as u64, content.len);
    bytes
}

/// Reads every file of a draft whose phone has not finished it. Gives what its Status.plist says, if it came with this backup.
fn read_draft(
    opened: &Opened,
    draft: &Draft,
    record: Option<SpoolRecord>,
    place: &PhoneKeys<'_>,
    week: &Week,
) -> String {
    let ambient = opened.repository.ambient();
    let mut spool =
        record.map(|record| Spool::resume(record, &place.spool, Arc::clone(ambient)).unwrap().0);
    let (mut paths, mut status) = (BTreeSet::new(), Vec::new());
    for (path, file) in draft.tree().files() {
        let bytes = stored(&opened.repository, spool.as_mut(), &file.packed.decode());
        if path == b"Status.plist" {
            status = bytes;
        }
        paths.insert(String::from_utf8(path.to_vec()).unwrap());
    }
    if status == week.status_before {
        return "nothing told".to_owned();
    }
    let status = Value::from_reader(std::io::Cursor::new(status)).unwrap();
    let state = status.into_dictionary().unwrap()["SnapshotState"].as_string().unwrap().to_owned();
    assert_no_newer(&state, &paths, &week.truth);
    state
}

/// What a phone is in a week, and what it said the week before.
struct Week {
    truth: Truth,
    status_before: Vec<u8>,
}

/// Looks at what a power cut left, and goes on from there without the phone. Gives how far the backup was.
fn look(image: Image, ambient: &Arc<dyn Ambient>, week: &Week) -> String {
    let dir = tempfile::tempdir().unwrap();
    image.spool.write_to(dir.path());
    let backend: Arc<dyn Backend> = Arc::new(image.repository);
    let mut opened = Opened::of(open_quick(&backend, ambient, Purpose::Write).unwrap());
    let nobody = |_: russet::ops::phone_keys::Asked<'_>| Answer::Nobody;
    let keys = keys(dir.path(), &nobody);
    let (drafts, odd_count) = record::all(&opened.repository);
    assert_eq!(odd_count, 0, "a checkpoint that cannot be read");
    assert!(drafts.len() <= 1);
    let before = snapshots::all(&opened.repository).0.len();
    let mut state = match before {
        1 => "no draft".to_owned(),
        _ => "there".to_owned(),
    };
    for mut found in drafts {
        if found.record.received.is_some() {
            state = if before == 1 { "received" } else { "there, and its draft" }.to_owned();
            continue;
        }
        let draft = record::load(&opened.repository, &mut found.record, &keys.spool).unwrap();
        let spool = found.record.spool;
        let is_here = |spool: &SpoolRecord| spool.end == 0 || spool.folder.starts_with(&dir);
        assert!(spool.as_ref().is_none_or(is_here), "another spool than that of the image");
        state = read_draft(&opened, &draft, spool, &keys, week);
    }
    let (observer, options) = (Collecting::default(), BackupOptions::default());
    let made = finish_waiting(&mut opened, &options, &keys, &observer, &|| false).unwrap();
    for made in made.into_iter().map(|done| done.result) {
        let made = made.unwrap();
        assert!(made.snapshot.is_good(), "{:?}", made.snapshot.record.problems);
        assert_eq!(made.kept_count, 0);
    }
    let wanted = if state == "received" || before == 2 { 2 } else { 1 };
    assert_eq!(snapshots::all(&opened.repository).0.len(), wanted, "{state}");
    let report = verify(&opened.repository, Depth::ReadData, &observer).unwrap();
    assert_eq!((report.snapshot_count, &report.hits[..]), (wanted as u64, &[][..]), "{state}");
    state
}

#[test]
fn a_power_cut_in_the_second_backup_of_an_encrypting_phone_costs_what_was_not_durable() {
    let phone = TestPhone::paired_encrypted();
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(32));
    let drive = Photographed::new(7, if soak() { 4 } else { 1 });
    let backend: Arc<dyn Backend> = drive.clone();
    create_quick(&backend, ambient.as_ref(), Vec::new()).unwrap();
    let mut opened = Opened::of(open_quick(&backend, &ambient, Purpose::Write).unwrap());
    let dir = tempfile::tempdir().unwrap();
    back_up(&mut opened, &phone.serve(calm()), dir.path(), None);
    let status_before = status(&opened.repository);
    phone.advance();
    drive.begin();
    back_up(&mut opened, &phone.serve(calm()), dir.path(), Some(&drive));
    let images = drive.take_images();
    let week = Week { truth: phone.truth(), status_before };
    let (all_count, spool_count) =
        (images.len(), images.iter().filter(|image| image.spool.segment_count() > 1).count());
    assert!(spool_count > IMAGE_COUNT, "{spool_count} of {all_count} with a spool");
    let step = if soak() { 1 } else { all_count.div_ceil(IMAGE_COUNT) };
    // And the last: the snapshot is there, and its draft gone.
    let is_wanted = |at: usize| at.is_multiple_of(step) || at + 1 == all_count;
    let looked_at = images.into_iter().enumerate().filter(|(at, _)| is_wanted(*at));
    let states: BTreeSet<String> =
        looked_at.map(|(_, image)| look(image, &ambient, &week)).collect();
    for state in ["received", "there"] {
        assert!(states.contains(state), "{states:?}");
    }
    if soak() {
        let told = ["finished", "moving", "nothing told", "removing", "uploading"];
        assert!(told.iter().all(|state| states.contains(*state)), "{states:?}");
    }
    tell_soak(&format!("device: {all_count} images of a power cut in a second encrypted backup"));
}

/// Status.plist of the newest snapshot.
fn status(repository: &Repository) -> Vec<u8> {
    let (all, _) = snapshots::all(repository);
    let root = all.last().unwrap().record.tree;
    let entries = russet::snapshot::TreeWalk::new(repository, root).map(|entry| entry.unwrap());
    let found = entries.into_iter().find(|entry| entry.stored_path == b"Status.plist").unwrap();
    let russet::snapshot::What::File(content) = found.what else { panic!("no file") };
    let mut bytes = Vec::new();
    StoredReader::new(repository, &content).read_to_end(&mut bytes).unwrap();
    bytes
}
