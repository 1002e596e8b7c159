//! The snapshot record: what dates a tree and says whose it is (docs/format.md §9).
//!
//! Invariant: a record never changes; what is said later about it is in the log. Members that are not known are absent, members
//! that are not understood are ignored.

use std::collections::BTreeMap;

use russet_store::ids::{BlobId, RecordId, hex};
use russet_store::log::{Link, SnapshotState};
use russet_store::repository::Repository;
use serde::{Deserialize, Serialize};

/// Most problems that a record names; all are counted.
pub const PROBLEM_COUNT_MAX: usize = 200;

/// The phone, as the backup names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Apple's own names, docs/apple-format.md")]
pub struct Device {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub product_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build_version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial_number: Option<String>,
}

/// Whether everything the backup names was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything was there.
    Complete,
    /// Something was missing, or the backup itself said that it was not finished.
    Incomplete,
    /// Apple's list of files could not be read, so nobody knows.
    Unchecked,
}

/// Something that was missing or odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What it is about: a stored path, with domain and path where they are known.
    pub path: String,
    /// In words.
    pub why: String,
}

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of all files.
    pub len: u64,
    /// Files whose encryption by the phone was opened.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub opened: u64,
    /// Bytes of plaintext that no snapshot had before.
    pub new_len: u64,
    /// Bytes of packs that were written for it, up to the last but one.
    pub stored_len: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The record's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    /// Version of this JSON, 1.
    pub v: u32,
    /// Root of the tree.
    pub tree: BlobId,
    /// The phone's UDID, as Apple's folder is named.
    pub udid: String,
    /// The phone.
    #[serde(default)]
    pub device: Device,
    /// When the phone was backed up, Unix seconds.
    pub backup_time: i64,
    /// Which witness said so: `status`, `manifest`, `info`, `folder`, `file`.
    pub backup_time_source: String,
    /// When this record was made, Unix seconds.
    pub captured: i64,
    /// `folder`, `usb` or `wifi`.
    pub kind: String,
    /// Name of the folder it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_folder: Option<String>,
    /// UUID in Status.plist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_uuid: Option<String>,
    /// Whether Apple's own encryption was on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    /// Whether everything was there.
    pub verdict: Verdict,
    /// The first of what was not.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// How many there were.
    #[serde(default)]
    pub problem_count: u64,
    /// How much there is.
    #[serde(default)]
    pub counts: Counts,
    /// The snapshot whose unchanged files were taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RecordId>,
    /// The snapshot in whose place it stands: the same backup, stored in another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<RecordId>,
    /// Place in the chain of its writer.
    #[serde(flatten)]
    pub link: Link,
    /// Version of the program that wrote it.
    #[serde(default)]
    pub russet: String,
}

/// A snapshot with what was said later about it.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its id.
    pub id: RecordId,
    /// The record.
    pub record: SnapshotRecord,
    /// Tags, pin, note.
    pub state: SnapshotState,
}

impl Snapshot {
    /// First eight digits of the id.
    #[must_use]
    pub fn short_id(&self) -> String {
        hex(self.id.as_bytes().get(..4).unwrap_or_default())
    }

    /// The phone's name, or its UDID where there is none.
    #[must_use]
    pub fn device_name(&self) -> &str {
        self.record.device.name.as_deref().unwrap_or(&self.record.udid)
    }

    /// The moment that orders snapshots: when the phone was backed up for folders, when it was captured otherwise.
    #[must_use]
    pub fn time(&self) -> i64 {
        if self.record.kind == "folder" { self.record.backup_time } else { self.record.captured }
    }

    /// Whether it may stand for the phone: everything was there as far as anyone can tell.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.record.verdict != Verdict::Incomplete
    }
}

/// All snapshots whose records can be understood, oldest first, and the ids of those that cannot.
#[must_use]
pub fn all(repository: &Repository) -> (Vec<Snapshot>, Vec<RecordId>) {
    let states: BTreeMap<_, _> = repository.state().snapshots;
    let mut snapshots = Vec::new();
    let mut odd = Vec::new();
    for opened in repository.snapshots() {
        match serde_json::from_slice::<SnapshotRecord>(&opened.content) {
            Ok(record) => {
                let state = states.get(&opened.id).cloned().unwrap_or_default();
                snapshots.push(Snapshot { id: opened.id, record, state });
            }
            Err(_) => odd.push(opened.id),
        }
    }
    // Two of one second: a writer's numbers tell which came first.
    snapshots.sort_by_key(|s| (s.time(), s.record.captured, s.record.link.seq, s.id));
    (snapshots, odd)
}
