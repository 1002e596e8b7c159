//! Records: sealed files that were changed, and sealed contents that are not what they should be.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::snapshot::SnapshotRecord;
use russet_fuzz::{Small, mended, small};
use russet_store::header::Kind;
use russet_store::ids::RecordId;
use russet_store::log::{LogRecord, fold};
use std::cell::OnceCell;

thread_local! {
    static SMALL: OnceCell<Small> = const { OnceCell::new() };
}

fuzz_target!(|data: &[u8]| {
    SMALL.with(|slot| {
        let repository = &slot.get_or_init(small).repository;
        let mut file = data.to_vec();
        if let Some(id) = file.get_mut(16..32) {
            id.copy_from_slice(repository.id().as_bytes());
        }
        // Nobody without the key makes a record that opens.
        assert!(repository.open_record(Kind::Log, &mended(&file, 7)).is_err());
        if let Ok(sealed) = repository.seal_record(Kind::Log, data) {
            assert_eq!(
                repository.open_record(Kind::Log, &sealed).expect("it was just sealed"),
                data
            );
            assert!(repository.open_record(Kind::Snapshot, &sealed).is_err());
        }
    });
    if let Ok(record) = serde_json::from_slice::<SnapshotRecord>(data) {
        let text = serde_json::to_vec(&record).expect("a record is JSON");
        assert_eq!(
            serde_json::from_slice::<SnapshotRecord>(&text).expect("and comes back"),
            record
        );
    }
    // Each line a log record: the fold is the same from both ends.
    let mut records = Vec::new();
    for (at, line) in data.split(|byte| *byte == b'\n').enumerate().take(64) {
        if let Ok(record) = serde_json::from_slice::<LogRecord>(line) {
            records.push((RecordId::decode([at as u8; 32]), record));
        }
    }
    let forwards = fold(&records);
    records.reverse();
    assert_eq!(fold(&records), forwards);
});
