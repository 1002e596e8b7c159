//! Choosing a snapshot by what a person types: a word chooses one or says why not.
#![no_main]

use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;
use russet::snapshot::select::{of_device, select};
use russet::snapshot::{Snapshot, SnapshotRecord};
use russet_store::ids::RecordId;
use russet_store::log::SnapshotState;

// Input: a word; then lines, each the JSON of a record.
fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.lines();
    let word = lines.next().unwrap_or_default();
    let state = SnapshotState::default();
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for (at, line) in lines.enumerate().take(32) {
        if let Ok(record) = serde_json::from_str::<SnapshotRecord>(line) {
            let id = RecordId::decode([at as u8; 32]);
            snapshots.push(Snapshot { id, record, state: state.clone() });
        }
    }
    let now = 1_800_000_000;
    if let Ok(chosen) = select(&snapshots, word, &TimeZone::UTC, now) {
        assert!(snapshots.iter().any(|snapshot| snapshot.id == chosen.id));
    }
    let _ = of_device(&snapshots, word);
});
