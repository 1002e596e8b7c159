//! A power cut at any moment of a whole backup: what is left of the draft, of writes that were not synced any subset.
//!
//! Invariant: what is left is exactly one checkpoint. Every file that it lists can be read to its last byte, and its Status.plist is
//! never newer than its tree: what it says was sent, moved or removed has been.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::time::SystemTime;

use plist::Value;
use russet::capture::device::begin::begin;
use russet::capture::device::connect::{Muxer, MuxerAddress, Phone, gather, info_plist};
use russet::capture::device::draft::Draft;
use russet::capture::device::spool::SpoolPlace;
use russet::capture::device::take::{Wish, take};
use russet::capture::device::{Link, record};
use russet::observe::Collecting;
use russet::ops::backup::BackupError;
use russet::pipeline::{Cuts, run};
use russet::snapshot::ContentReader;
use russet::snapshot::record::Device;
use russet_store::ambient::Ambient;
use russet_store::backend::{Backend, MemoryBackend};
use russet_store::config::Purpose;
use russet_store::repository::Repository;
use russet_store::session::Session;
use russet_testkit::file_id;
use russet_testkit::repository::{Seeded, create_quick, open_quick};

use super::super::drive::{soak, tell_soak};
use super::TestPhone;
use super::cuts::calm;
use super::photographed::{Image, Photographed};
use super::truth::Truth;

/// Nothing waits for keys.
pub(super) fn nowhere() -> SpoolPlace {
    SpoolPlace::beside(std::path::Path::new("/nowhere/r"))
}

/// Backs a phone up into a draft, which stays one.
fn take_from(repository: &Repository, address: &str) -> Result<(), BackupError> {
    let observer = Collecting::default();
    let muxer = Muxer::new(MuxerAddress::parse(address).unwrap())?;
    let mut phone = Phone::connect(&muxer, &muxer.list()?.remove(0))?;
    let (values, pieces) = (phone.values()?, gather(&mut phone)?);
    let udid = values.udid.clone().unwrap();
    let cuts = repository.config(Purpose::Write)?.cut.clone();
    let cuts = Cuts::new(&cuts, repository.id_keys().cut_seed())?;
    let begun = begin(repository, &[], &udid, false, &nowhere(), &observer)?;
    let mut link = Link::open(phone.start_service("com.apple.mobilebackup2", true)?)?;
    let info = |_| info_plist(&values, &pieces, Some(SystemTime::now())).ok();
    let capacity_len = values.total_data_len;
    let wish = Wish {
        udid: &udid,
        full: false,
        is_encrypted: false,
        capacity_len,
        device: &Device::default(),
        kind: "usb",
        info: &info,
    };
    let session = Session::begin(repository, None)?;
    run(&session, &cuts, |feeder| {
        take(&mut link, &wish, begun, &session, feeder, &observer)
            .map(drop)
            .map_err(BackupError::from)
    })
}

/// What a file of a draft holds, every chunk and the whole checked.
fn read(repository: &Repository, draft: &Draft, wanted: &str) -> Option<Vec<u8>> {
    let (_, file) = draft.tree().files().find(|(path, _)| *path == wanted.as_bytes())?;
    let mut bytes = Vec::new();
    let content = file.packed.decode().content;
    ContentReader::new(repository, &content).read_to_end(&mut bytes).unwrap();
    Some(bytes)
}

/// Looks at what a power cut left. Gives what its Status.plist says; none: there is no draft, or none yet.
fn look(image: MemoryBackend, ambient: &Arc<dyn Ambient>, truth: &Truth) -> Option<String> {
    let backend: Arc<dyn Backend> = Arc::new(image);
    let repository = open_quick(&backend, ambient, Purpose::Read).unwrap();
    let (drafts, odd_count) = record::all(&repository);
    assert_eq!(odd_count, 0, "a checkpoint that cannot be read");
    assert!(drafts.len() <= 1);
    let mut found = drafts.into_iter().next()?;
    let draft = record::load(&repository, &mut found.record, &nowhere()).unwrap();
    let mut paths = BTreeSet::new();
    for (path, file) in draft.tree().files() {
        let path = String::from_utf8(path.to_vec()).unwrap();
        let content = file.packed.decode().content;
        let mut reader = ContentReader::new(&repository, &content);
        let copied = std::io::copy(&mut reader, &mut std::io::sink());
        assert_eq!(copied.unwrap_or_else(|error| panic!("{path}: {error}")), content.len, "{path}");
        paths.insert(path);
    }
    let status =
        Value::from_reader(std::io::Cursor::new(read(&repository, &draft, "Status.plist")?));
    let status = status.unwrap().into_dictionary().unwrap();
    let state = status["SnapshotState"].as_string().unwrap().to_owned();
    assert_no_newer(&state, &paths, truth);
    Some(state)
}

/// What a phone has done before it tells that state has been done in the tree.
#[track_caller]
pub(super) fn assert_no_newer(state: &str, paths: &BTreeSet<String>, truth: &Truth) {
    let manifests = ["Manifest.plist", "Manifest.db"].map(str::to_owned);
    let ids = truth.files.keys().map(|(domain, path)| file_id(domain, path));
    let wanted = ids.map(|id| format!("{}/{id}", &id[..2])).chain(manifests);
    for path in wanted {
        let (is_in, is_sent) = (paths.contains(&path), paths.contains(&format!("Snapshot/{path}")));
        let holds = match state {
            "uploading" => true,
            "moving" => is_in || is_sent,
            "removing" => is_in,
            "finished" => is_in && !is_sent,
            other => panic!("no phone told {other:?}"),
        };
        assert!(holds, "{state}, and {path} is not where it says");
    }
}

#[test]
fn a_power_cut_leaves_one_checkpoint_whose_status_is_no_newer_than_its_tree() {
    let phone = TestPhone::paired();
    let truth = phone.truth();
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(31));
    let drive = Photographed::new(1, if soak() { 16 } else { 2 });
    let backend: Arc<dyn Backend> = drive.clone();
    create_quick(&backend, ambient.as_ref(), Vec::new()).unwrap();
    let repository = open_quick(&backend, &ambient, Purpose::Write).unwrap();
    drive.begin();
    take_from(&repository, &phone.serve(calm())).unwrap();
    let images = drive.take_images();
    let count = images.len();
    let look = |image: Image| look(image.repository, &ambient, &truth);
    let states: BTreeSet<_> = images.into_iter().map(look).collect();
    let wanted = [None, Some("finished"), Some("moving"), Some("removing"), Some("uploading")];
    assert_eq!(states, wanted.map(|state| state.map(str::to_owned)).into());
    tell_soak(&format!("device: {count} images of a power cut in a whole backup"));
}
