//! What is in a backup folder, in the order of its tree.
//!
//! Invariant: every file, directory and link that is on disk is in the plan exactly once, whether Apple's list names it or not.
//! A million items are held in a few flat buffers.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::UNIX_EPOCH;

use crate::apple::{FileId, ManifestDb, ManifestDbError, RootFile, RowFileId};
use crate::snapshot::record::Problem;

use super::names::bytes_of;

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ItemKind {
    File,
    Directory,
    Link,
}

/// One item; its three names lie in the plan's buffer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    names_at: usize,
    domain_len: u32,
    relative_len: u32,
    stored_len: u32,
    pub(super) kind: ItemKind,
    pub(super) row: Option<[u8; 8]>,
    pub(super) len: u64,
    pub(super) mtime_secs: i64,
    pub(super) mtime_nanos: u32,
}

/// Everything in a folder, sorted.
#[derive(Debug, Default)]
pub(super) struct Plan {
    names: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// Whether Manifest.db could be read.
    pub(super) rows_known: bool,
    /// Rows whose file is not there, things that cannot be carried; the first of each.
    pub(super) problems: Vec<Problem>,
    pub(super) problem_count: u64,
    /// Things worth saying that are no problem.
    pub(super) remarks: Vec<String>,
}

struct RowAt {
    names_at: usize,
    domain_len: u32,
    relative_len: u32,
    mark: [u8; 8],
    is_file: bool,
    seen: bool,
}

type Rows = HashMap<[u8; 20], RowAt>;

/// Gives the mark by which a row is known again, from its flags and its blob.
pub(super) type RowMark<'a> = &'a dyn Fn(i64, &[u8]) -> [u8; 8];

impl Plan {
    /// Domain, relative path, stored path.
    pub(super) fn names(&self, item: &Item) -> (&[u8], &[u8], &[u8]) {
        let all = self.names.get(item.names_at..).unwrap_or_default();
        let (domain, rest) = all.split_at_checked(item.domain_len as usize).unwrap_or_default();
        let (relative, rest) =
            rest.split_at_checked(item.relative_len as usize).unwrap_or_default();
        (domain, relative, rest.get(..item.stored_len as usize).unwrap_or_default())
    }

    /// Bytes of all files.
    pub(super) fn total_len(&self) -> u64 {
        self.items.iter().map(|item| item.len).sum()
    }

    pub(super) fn problem(&mut self, path: String, why: String) {
        self.problem_count += 1;
        if self.problems.len() < crate::snapshot::record::PROBLEM_COUNT_MAX {
            self.problems.push(Problem { path, why });
        }
    }

    /// Walks the folder and joins it with Apple's list.
    ///
    /// # Errors
    /// The folder itself cannot be read; what lies below it and cannot be is a problem of the plan.
    pub(super) fn of(root: &Path, is_encrypted: bool, mark: RowMark<'_>) -> io::Result<Self> {
        let mut plan = Self::default();
        let mut rows = plan.read_rows(root, is_encrypted, mark);
        let metadata = fs::metadata(root)?;
        plan.add(&mut rows, Vec::new(), ItemKind::Directory, &metadata);
        plan.walk(root, &[], &mut rows)?;
        for row in rows.values().filter(|row| row.is_file && !row.seen) {
            let names = plan.names.get(row.names_at..).unwrap_or_default();
            let (domain, rest) =
                names.split_at_checked(row.domain_len as usize).unwrap_or_default();
            let path = rest.get(..row.relative_len as usize).unwrap_or_default();
            let shown =
                format!("{} {}", String::from_utf8_lossy(domain), String::from_utf8_lossy(path));
            plan.problem(
                shown,
                "is listed in Manifest.db, but its file is not in the folder".to_owned(),
            );
        }
        drop(rows);
        plan.problems.sort_by(|a, b| a.path.cmp(&b.path));
        let names = std::mem::take(&mut plan.names);
        let mut items = std::mem::take(&mut plan.items);
        plan.names = names;
        items.sort_unstable_by(|a, b| plan.names(a).cmp(&plan.names(b)));
        plan.items = items;
        Ok(plan)
    }

    fn read_rows(&mut self, root: &Path, is_encrypted: bool, mark: RowMark<'_>) -> Rows {
        let mut rows = Rows::new();
        let mut nameless_count = 0_u64;
        let result = ManifestDb::open(&root.join("Manifest.db")).and_then(|db| {
            db.for_each_row(|row| {
                let RowFileId::Id(id) = row.file_id else {
                    nameless_count += u64::from(row.flags == 1);
                    return ControlFlow::Continue(());
                };
                let names_at = self.names.len();
                self.names.extend_from_slice(&row.domain);
                self.names.extend_from_slice(&row.relative_path);
                let place = RowAt {
                    names_at,
                    domain_len: u32::try_from(row.domain.len()).unwrap_or(0),
                    relative_len: u32::try_from(row.relative_path.len()).unwrap_or(0),
                    mark: mark(row.flags, &row.file),
                    is_file: row.flags == 1,
                    seen: false,
                };
                rows.insert(*id.as_bytes(), place);
                ControlFlow::Continue(())
            })
        });
        if nameless_count > 0 {
            let why = format!("{nameless_count} of its rows promise a file and name none");
            self.problem("Manifest.db".to_owned(), why);
        }
        match result {
            Ok(_) => self.rows_known = true,
            Err(ManifestDbError::NotSqlite) if is_encrypted => self.remarks.push(
                "Manifest.db is encrypted by the phone: it is kept as it is, and whether all its files are there is not checked".to_owned(),
            ),
            Err(ManifestDbError::Missing) => {}
            Err(error) => {
                rows.clear();
                self.problem("Manifest.db".to_owned(), format!("cannot be read: {error}"));
            }
        }
        rows
    }

    fn walk(&mut self, dir: &Path, prefix: &[u8], rows: &mut Rows) -> io::Result<()> {
        for child in fs::read_dir(dir)? {
            let child = child?;
            let Some(name) = bytes_of(&child.file_name()) else {
                let why =
                    "has a name that is not Unicode, which this system cannot carry".to_owned();
                self.problem(child.path().display().to_string(), why);
                continue;
            };
            let mut stored = prefix.to_vec();
            if !stored.is_empty() {
                stored.push(b'/');
            }
            stored.extend_from_slice(&name);
            let metadata = match fs::symlink_metadata(child.path()) {
                Ok(metadata) => metadata,
                Err(error) => {
                    self.problem(shown(&stored), format!("cannot be looked at: {error}"));
                    continue;
                }
            };
            let kind = metadata.file_type();
            if kind.is_dir() {
                self.add(rows, stored.clone(), ItemKind::Directory, &metadata);
                if let Err(error) = self.walk(&child.path(), &stored, rows) {
                    self.problem(shown(&stored), format!("cannot be listed: {error}"));
                }
            } else if kind.is_file() {
                self.add(rows, stored, ItemKind::File, &metadata);
            } else if kind.is_symlink() {
                if RootFile::ALL.iter().any(|file| file.name().as_bytes() == stored) {
                    let why = "is a link: it is kept, and what it points to is not".to_owned();
                    self.problem(shown(&stored), why);
                }
                self.add(rows, stored, ItemKind::Link, &metadata);
            } else {
                let why =
                    "is neither file, folder nor link (a pipe, socket or device): it is not kept"
                        .to_owned();
                self.problem(shown(&stored), why);
            }
        }
        Ok(())
    }

    fn add(&mut self, rows: &mut Rows, stored: Vec<u8>, kind: ItemKind, metadata: &fs::Metadata) {
        let row = (kind == ItemKind::File).then(|| file_id_of(&stored)).flatten();
        let row = row.and_then(|id| rows.get_mut(&id));
        let names_at = self.names.len();
        let (mut domain_len, mut relative_len, mut mark) = (0, 0, None);
        if let Some(row) = row {
            row.seen = true;
            let len = (row.domain_len + row.relative_len) as usize;
            self.names.extend_from_within(row.names_at..row.names_at + len);
            (domain_len, relative_len, mark) = (row.domain_len, row.relative_len, Some(row.mark));
        }
        self.names.extend_from_slice(&stored);
        let (mtime_secs, mtime_nanos) = mtime(metadata);
        self.items.push(Item {
            names_at,
            domain_len,
            relative_len,
            stored_len: u32::try_from(stored.len()).unwrap_or(0),
            kind,
            row: mark,
            len: if kind == ItemKind::File { metadata.len() } else { 0 },
            mtime_secs,
            mtime_nanos,
        });
    }
}

/// The file id in a stored path `xx/<40 hex>`.
fn file_id_of(stored: &[u8]) -> Option<[u8; 20]> {
    let (shard, name) = stored.split_at_checked(3)?;
    let id = FileId::parse(name)?;
    (shard.get(..2) == name.get(..2) && shard.last() == Some(&b'/')).then(|| *id.as_bytes())
}

pub(super) fn mtime(metadata: &fs::Metadata) -> (i64, u32) {
    let Ok(time) = metadata.modified() else { return (0, 0) };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => (i64::try_from(after.as_secs()).unwrap_or(i64::MAX), after.subsec_nanos()),
        Err(before) => {
            let before = before.duration();
            let secs = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            match before.subsec_nanos() {
                0 => (-secs, 0),
                nanos => (-secs - 1, 1_000_000_000 - nanos),
            }
        }
    }
}

/// A stored path for a message.
pub(super) fn shown(stored: &[u8]) -> String {
    String::from_utf8_lossy(stored).escape_debug().to_string()
}
