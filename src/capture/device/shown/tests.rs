//! What a phone may do while it is restored, without a phone.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use russet_store::ambient::Ambient;
use russet_store::backend::{Backend, MemoryBackend};
use russet_store::config::Purpose;
use russet_store::ids::RecordId;
use russet_store::log::SnapshotState;
use russet_store::seal::BlobType;
use russet_store::session::Session;
use russet_testkit::repository::{Seeded, create_quick, open_quick};

use super::*;
use crate::observe::Collecting;
use crate::snapshot::entry::Entry;
use crate::snapshot::record::SnapshotRecord;
use crate::snapshot::tree::{TreeBuilder, fold_ids};

const UDID: &str = "00008110-000A1B2C3D4E5F60";
const ID: &str = "aa00000000000000000000000000000000000000";
const BYTES: &[u8] = b"what the phone once stored";

fn at(path: &str) -> DevicePath {
    DevicePath::parse(path.as_bytes()).unwrap()
}

fn repository() -> Repository {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(7));
    create_quick(&backend, ambient.as_ref(), Vec::new()).unwrap();
    open_quick(&backend, &ambient, Purpose::Write).unwrap()
}

fn entry(session: &Session<'_>, stored_path: &str, bytes: &[u8]) -> Entry {
    let id = session.put(BlobType::Data, bytes.to_vec()).unwrap();
    let hash = *blake3::hash(bytes).as_bytes();
    let content = fold_ids(session, bytes.len() as u64, hash, vec![id]).unwrap();
    Entry {
        domain: Vec::new(),
        relative_path: Vec::new(),
        stored_path: stored_path.as_bytes().to_vec(),
        mtime_secs: 1,
        mtime_nanos: 0,
        row: None,
        what: What::File(content),
    }
}

/// A snapshot of one payload and an Info.plist, as a phone of that UDID is said to have made it.
fn snapshot(repository: &Repository, udid: &str) -> Snapshot {
    let session = Session::begin(repository, None).unwrap();
    let mut builder = TreeBuilder::new(&session);
    builder.push(&entry(&session, "Info.plist", b"<plist/>")).unwrap();
    builder.push(&entry(&session, &format!("aa/{ID}"), BYTES)).unwrap();
    let tree = builder.finish().unwrap();
    session.settle().unwrap();
    let json = serde_json::json!({
        "v": 1, "tree": tree, "udid": udid, "backup_time": 1, "backup_time_source": "status", "captured": 1,
        "kind": "usb", "verdict": "complete", "writer": "00000000000000000000000000000000", "seq": 1,
    });
    let record: SnapshotRecord = serde_json::from_value(json).unwrap();
    Snapshot { id: RecordId::decode([1; 32]), record, state: SnapshotState::default() }
}

fn with(test: impl FnOnce(&mut Shown<'_>)) {
    let repository = repository();
    let snapshot = snapshot(&repository, UDID);
    let observer = Collecting::default();
    test(&mut Shown::new(&repository, &snapshot, &observer).unwrap());
}

fn read(shown: &mut Shown<'_>, path: &str) -> Result<Vec<u8>, FileErrorKind> {
    let mut bytes = Vec::new();
    shown.download(&at(path)).map_err(|error| error.kind)?.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

fn len_of(shown: &mut Shown<'_>, folder: &str, wanted: &str) -> Option<u64> {
    let mut found = None;
    let listed = shown.list(&at(folder), &mut |name, listed| {
        if name == wanted.as_bytes() {
            found = Some(listed.len);
        }
    });
    listed.ok().and(found)
}

#[test]
fn a_phone_reads_the_snapshot_under_its_own_folder() {
    with(|shown| {
        assert_eq!(read(shown, &format!("{UDID}/aa/{ID}")).unwrap(), BYTES);
        assert_eq!(read(shown, &format!("aa/{ID}")), Err(FileErrorKind::NotFound));
        assert_eq!(read(shown, &format!("{UDID}/aa")), Err(FileErrorKind::IsADirectory));
        assert_eq!(len_of(shown, &format!("{UDID}/aa"), ID), Some(BYTES.len() as u64));
    });
}

#[test]
fn everything_was_sent_only_once_each_payload_went_whole() {
    with(|shown| {
        let path = at(&format!("{UDID}/aa/{ID}"));
        read(shown, &format!("{UDID}/Info.plist")).unwrap();
        shown.download(&path).unwrap().read_exact(&mut [0; 5]).unwrap();
        assert!(!shown.is_all_sent());
        read(shown, &format!("{UDID}/aa/{ID}")).unwrap();
        assert!(shown.is_all_sent());
    });
}

#[test]
fn what_the_phone_writes_is_read_back_moved_and_gone_with_the_draft() {
    let repository = repository();
    let snapshot = snapshot(&repository, UDID);
    let observer = Collecting::default();
    let mut shown = Shown::new(&repository, &snapshot, &observer).unwrap();
    let (status, moved) = (format!("{UDID}/Status.plist"), format!("{UDID}/Snapshot/Status.plist"));
    shown.upload(&at(&status), &mut &b"uploading"[..]).unwrap();
    shown.rename(&at(&status), &at(&moved)).unwrap();
    assert_eq!(read(&mut shown, &moved).unwrap(), b"uploading");
    assert_eq!(read(&mut shown, &status), Err(FileErrorKind::NotFound));
    shown.remove(&at(&format!("{UDID}/aa"))).unwrap();
    assert_eq!(read(&mut shown, &format!("{UDID}/aa/{ID}")), Err(FileErrorKind::NotFound));
    drop(shown);
    let mut again = Shown::new(&repository, &snapshot, &observer).unwrap();
    assert_eq!(read(&mut again, &format!("{UDID}/aa/{ID}")).unwrap(), BYTES);
    assert_eq!(read(&mut again, &moved), Err(FileErrorKind::NotFound));
}

#[test]
fn a_copy_of_the_backup_beside_it_reads_like_it() {
    with(|shown| {
        let copy = format!("{UDID}-20260101-000000");
        shown.copy(&at(UDID), &at(&copy)).unwrap();
        assert_eq!(read(shown, &format!("{copy}/aa/{ID}")).unwrap(), BYTES);
    });
}

#[test]
fn a_large_file_of_the_phones_is_there_in_its_length_and_is_not_kept() {
    with(|shown| {
        let path = format!("{UDID}/large");
        let len = HELD_FILE_LEN_MAX + 1;
        shown.upload(&at(&path), &mut vec![5; len].as_slice()).unwrap();
        assert_eq!(len_of(shown, UDID, "large"), Some(len as u64));
        assert_eq!(read(shown, &path), Err(FileErrorKind::Refused));
        assert_eq!(shown.held_len, 0);
    });
}

#[test]
fn many_files_of_the_phones_take_no_more_memory_than_allowed() {
    with(|shown| {
        for number in 0..70_u8 {
            let bytes = vec![number; HELD_FILE_LEN_MAX];
            shown.upload(&at(&format!("x/{number}")), &mut bytes.as_slice()).unwrap();
        }
        assert_eq!(shown.held_len, HELD_LEN_MAX);
        assert_eq!(read(shown, "x/0").unwrap().len(), HELD_FILE_LEN_MAX);
        assert_eq!(read(shown, "x/69"), Err(FileErrorKind::Refused));
        assert_eq!(len_of(shown, "x", "69"), Some(HELD_FILE_LEN_MAX as u64));
    });
}

#[test]
fn a_udid_that_is_no_name_of_a_folder_is_refused() {
    let repository = repository();
    let observer = Collecting::default();
    for udid in ["", "..", ".", "a/b", "/a", "a\0"] {
        let snapshot = snapshot(&repository, udid);
        let shown = Shown::new(&repository, &snapshot, &observer);
        assert!(matches!(shown.err(), Some(ShowError::Udid(_))), "{udid:?}");
    }
}
