//! Would a phone take these snapshots back? Apple's list, files, digests and keys, held against each other.
//!
//! Invariant: nothing is written; the bytes themselves are for `verify` to judge: a finding here is about what was captured, and no
//! damage of the repository. What a snapshot said when it was taken is not found anew, but for what keeps all of it from going back
//! to a phone: a damaged keybag or list is told until somebody forgets the snapshot. Without the iPhone backup password all is
//! checked but whether the keybag gives the keys of the files.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::ops::ControlFlow;

use russet_store::repository::Repository;
use sha1::{Digest as _, Sha1};

use super::list::{shown_path, stored};
use super::remembered::{self, KeysError, keys_of};
use super::rows::{RowsError, check_each_row, for_each_row, root_file};
use super::verify::Depth;
use crate::apple::{
    BackupKeys, FileId, FileKey, KeybagError, ManifestPagesError, MbFile, Passwords, RootFile, Row,
    RowFileId, UnlockError,
};
use crate::observe::{Observer, Phase};
use crate::snapshot::record::{self, Verdict};
use crate::snapshot::{Content, Entry, Snapshot, TreeWalk, What};

const ITEM_COUNT_SHOWN: usize = 20;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flaw {
    /// The list names files that are not there.
    Missing,
    /// Bytes are not those that the list has the digest of: a phone refuses them.
    Digest,
    /// Files were opened with other keys than the list and the keybag give.
    Key,
    /// The list cannot be read, or its index is not that of its rows.
    List,
    /// Rows of the list are damaged, or have no key that opens their file.
    Rows,
    /// The password that is kept for the keybag does not open it.
    Keybag,
    /// The keybag, or the key of the list, is damaged.
    KeybagDamaged,
}

/// A snapshot that a phone would not take back whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Short id.
    pub snapshot: String,
    /// Phone.
    pub device: String,
    /// When, Unix seconds.
    pub time: i64,
    /// What.
    pub flaw: Flaw,
    /// The first files.
    pub items: Vec<String>,
    /// How many.
    pub count: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppleReport {
    /// Snapshots whose list was held against their files.
    pub checked_count: u64,
    /// Snapshots whose list is kept as the phone encrypted it.
    pub closed_count: u64,
    /// Files whose SHA-1 was compared with the list's.
    pub digest_count: u64,
    /// Keybags that a password opened.
    pub keybag_count: u64,
    /// Encrypted snapshots whose keybag no password was there for, by their short ids.
    pub keybag_closed: Vec<String>,
    /// Passwords that were given and open none of the encrypted snapshots, by their places.
    pub given_in_vain: Vec<usize>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl AppleReport {
    /// Whether there is nothing that was not so when it was captured. A digest can only have been wrong then: the bytes are those
    /// that were captured.
    #[must_use]
    pub fn is_as_captured(&self) -> bool {
        self.findings.iter().all(|finding| finding.flaw == Flaw::Digest)
    }
}

/// Looks at every snapshot; files are read only if all data is.
#[must_use]
pub fn verify_apple(
    repository: &Repository,
    depth: Depth,
    passwords: &mut Passwords,
    observer: &dyn Observer,
) -> AppleReport {
    let (snapshots, _) = record::all(repository);
    observer.begin(Phase::CheckingSnapshots, 0, snapshots.len() as u64);
    let mut looking =
        Looking { repository, depth, sha1_of: HashMap::new(), report: AppleReport::default() };
    for snapshot in &snapshots {
        let keys = looking.keys(snapshot, passwords);
        looking.snapshot(snapshot, keys.as_ref());
        observer.advance(0, 1);
    }
    looking.report.given_in_vain = passwords.given_in_vain();
    looking.report
}

struct Looking<'r> {
    repository: &'r Repository,
    depth: Depth,
    /// SHA-1 of stored bytes by their BLAKE3: weeks share most files.
    sha1_of: HashMap<[u8; 32], Option<[u8; 20]>>,
    report: AppleReport,
}

/// What a snapshot's rows are held against.
struct Against<'a> {
    files: HashMap<[u8; 20], Content>,
    keys: Option<&'a BackupKeys>,
    found: BTreeMap<Flaw, (u64, Vec<String>)>,
    /// Rows of one file, which may be several.
    missed: HashSet<[u8; 20]>,
}

impl Against<'_> {
    fn note(&mut self, flaw: Flaw, row: &Row) {
        let entry = Entry {
            domain: row.domain.clone(),
            relative_path: row.relative_path.clone(),
            stored_path: Vec::new(),
            mtime_secs: 0,
            mtime_nanos: 0,
            row: None,
            what: What::Directory,
        };
        let shown = String::from_utf8_lossy(&shown_path(&entry)).escape_debug().to_string();
        self.add(flaw, Some(shown));
    }

    fn add(&mut self, flaw: Flaw, item: Option<String>) {
        let (count, items) = self.found.entry(flaw).or_default();
        *count += 1;
        items.extend(item.filter(|_| *count <= ITEM_COUNT_SHOWN as u64));
    }
}

impl Looking<'_> {
    /// The keys of an encrypted snapshot, if a password opens them.
    fn keys(&mut self, snapshot: &Snapshot, passwords: &mut Passwords) -> Option<BackupKeys> {
        if snapshot.record.encrypted != Some(true) {
            return None;
        }
        let locked = match keys_of(self.repository, snapshot) {
            Ok(locked) => locked,
            Err(KeysError::Keybag(why)) if !matches!(why, KeybagError::Old) => {
                let why = super::restore::chain(&why);
                self.tell(snapshot, Flaw::KeybagDamaged, 1, vec![why]);
                return None;
            }
            Err(_) => return None,
        };
        passwords.hold_given_against(&locked.keybag);
        let id = locked.keybag.id();
        let is_kept = remembered::remembered(self.repository, &id).is_some();
        remembered::add_to(passwords, self.repository, &[id], &[]);
        match locked.unlock(passwords) {
            Ok(keys) => {
                self.report.keybag_count += 1;
                let closed = keys.closed_classes();
                if !closed.is_empty() {
                    let items = closed.iter().map(|class| format!("class {class}")).collect();
                    self.tell(snapshot, Flaw::KeybagDamaged, closed.len() as u64, items);
                }
                Some(keys)
            }
            Err(UnlockError::Password(_)) => {
                self.report.keybag_closed.push(snapshot.short_id());
                if is_kept {
                    self.tell(snapshot, Flaw::Keybag, 1, Vec::new());
                }
                None
            }
            // Without a key of its own the list of iOS 10.0 and 10.1 is in the clear.
            Err(UnlockError::ManifestKey) if self.is_list_clear(snapshot) => None,
            Err(error @ UnlockError::ManifestKey) => {
                self.tell(snapshot, Flaw::KeybagDamaged, 1, vec![error.to_string()]);
                None
            }
        }
    }

    fn is_list_clear(&self, snapshot: &Snapshot) -> bool {
        let content = root_file(self.repository, snapshot, RootFile::ManifestDb);
        content.is_some_and(|content| {
            content.opened.is_none()
                && for_each_row(self.repository, snapshot, |_| ControlFlow::Break(())).is_ok()
        })
    }

    fn snapshot(&mut self, snapshot: &Snapshot, keys: Option<&BackupKeys>) {
        let mut against = Against {
            files: self.files(snapshot),
            keys,
            found: BTreeMap::new(),
            missed: HashSet::new(),
        };
        let rows = check_each_row(self.repository, snapshot, |row| {
            self.row(&row, &mut against);
            ControlFlow::Continue(())
        });
        let is_damaged = match &rows {
            Ok(index) => index.is_some(),
            Err(RowsError::Pages(why)) => !matches!(why, ManifestPagesError::OnlySqlite(_)),
            Err(RowsError::Missing | RowsError::Content(_)) => false,
        };
        match rows {
            Ok(index) => {
                self.report.checked_count += 1;
                let why = index.map(|why| super::restore::chain(&why));
                why.into_iter().for_each(|why| against.add(Flaw::List, Some(why)));
            }
            Err(RowsError::Pages(ManifestPagesError::NotSqlite))
                if snapshot.record.encrypted == Some(true) =>
            {
                self.report.closed_count += 1;
            }
            Err(error) => against.add(Flaw::List, Some(super::restore::chain(&error))),
        }
        // It was said when it was taken.
        if snapshot.record.verdict != Verdict::Complete {
            against.found.remove(&Flaw::Missing);
            against.found.remove(&Flaw::Digest);
            if !is_damaged {
                against.found.remove(&Flaw::List);
            }
        }
        for (flaw, (count, items)) in against.found {
            self.tell(snapshot, flaw, count, items);
        }
    }

    fn tell(&mut self, snapshot: &Snapshot, flaw: Flaw, count: u64, items: Vec<String>) {
        self.report.findings.push(Finding {
            snapshot: snapshot.short_id(),
            device: snapshot.device_name().to_owned(),
            time: snapshot.record.backup_time,
            flaw,
            items,
            count,
        });
    }

    /// Files by their ids. Parts of the listing that cannot be read were found by whoever looked at the structure.
    fn files(&self, snapshot: &Snapshot) -> HashMap<[u8; 20], Content> {
        let walk = TreeWalk::new(self.repository, snapshot.record.tree).flatten();
        let file = |entry: Entry| match entry.what {
            What::File(mut content) => {
                let id = FileId::parse(entry.stored_path.get(3..)?)?;
                if self.depth == Depth::Structure {
                    content.ids = Vec::new();
                }
                Some((*id.as_bytes(), content))
            }
            What::Directory | What::Link { .. } => None,
        };
        walk.filter_map(file).collect()
    }

    fn row(&mut self, row: &Row, against: &mut Against<'_>) {
        if row.contradicts_itself() {
            against.note(Flaw::Rows, row);
        }
        let (1, RowFileId::Id(id)) = (row.flags, &row.file_id) else { return };
        let Some(content) = against.files.get(id.as_bytes()).cloned() else {
            if against.missed.insert(*id.as_bytes()) {
                against.note(Flaw::Missing, row);
            }
            return;
        };
        if self.depth == Depth::Structure && against.keys.is_none() {
            return;
        }
        let file = MbFile::parse(&row.file).unwrap_or_else(|_| {
            if against.keys.is_none() && !row.contradicts_itself() {
                against.note(Flaw::Rows, row);
            }
            MbFile::default()
        });
        if let Some(keys) = against.keys {
            let key = file.encryption_key.as_ref().and_then(|wrapped| keys.file_key(wrapped));
            let key = key.as_ref().map(FileKey::as_bytes);
            match &content.opened {
                None if key.is_none() => against.note(Flaw::Rows, row),
                Some(opened) if key != Some(opened.key.as_bytes()) => against.note(Flaw::Key, row),
                Some(_) | None => {}
            }
        }
        if let (Depth::ReadData, Some(digest)) = (self.depth, file.digest) {
            self.report.digest_count += 1;
            // What cannot be read is damage, and named as that.
            if self.sha1(&content).is_some_and(|sha1| sha1 != digest) {
                against.note(Flaw::Digest, row);
            }
        }
    }

    fn sha1(&mut self, content: &Content) -> Option<[u8; 20]> {
        let repository = self.repository;
        *self.sha1_of.entry(content.hash).or_insert_with(|| {
            let mut out = Sha1Out(Sha1::new());
            stored(repository, content, &mut out).ok()?;
            Some(out.0.finalize().into())
        })
    }
}

struct Sha1Out(Sha1);

impl Write for Sha1Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
