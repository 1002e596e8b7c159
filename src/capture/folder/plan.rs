//! What is in a backup folder, in the order of its tree.
//!
//! Invariant: every file, directory and link that is on disk is in the plan exactly once, whether Apple's list names it or not.
//! A million items are held in a few flat buffers.

use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::UNIX_EPOCH;

use super::super::catalogue::{Catalogue, ItemKind, Problems, RowIndex, RowMark};
use super::super::damage;
use super::super::digests::Digests;
use super::super::file_keys::FileKeys;
use super::names::bytes_of;
use super::rows::{RowsError, for_each_row};
use crate::apple::{FileKey, ManifestDbError, MbFile, RootFile};

/// One item; its stored path lies in the plan's buffer, the rest of its names in the catalogue.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    stored_at: usize,
    pub(super) len: u64,
    pub(super) mtime_secs: i64,
    pub(super) mtime_nanos: u32,
    stored_len: u32,
    row: Option<RowIndex>,
    pub(super) kind: ItemKind,
}

/// Everything in a folder, sorted.
#[derive(Default)]
pub(super) struct Plan {
    catalogue: Catalogue,
    stored: Vec<u8>,
    pub(super) items: Vec<Item>,
    /// What Apple's list says of the stored bytes.
    pub(super) digests: Digests,
    /// Whether Manifest.db could be read.
    pub(super) rows_known: bool,
    /// Rows whose file is not there, things that cannot be carried.
    pub(super) problems: Problems,
    /// Things worth saying that are no problem.
    pub(super) remarks: Vec<String>,
}

impl Plan {
    /// Domain, relative path, stored path.
    pub(super) fn names(&self, item: &Item) -> (&[u8], &[u8], &[u8]) {
        let (domain, relative) = self.catalogue.names(item.row);
        (domain, relative, stored_of(&self.stored, item))
    }

    /// By which its row is known again.
    pub(super) fn mark(&self, item: &Item) -> Option<[u8; 8]> {
        self.catalogue.mark(item.row)
    }

    /// Bytes of all files.
    pub(super) fn total_len(&self) -> u64 {
        self.items.iter().map(|item| item.len).sum()
    }

    /// Walks the folder and joins it with Apple's list.
    ///
    /// # Errors
    /// The folder itself cannot be read; what lies below it and cannot be is a problem of the plan.
    pub(super) fn of(
        root: &Path,
        is_encrypted: bool,
        mark: RowMark<'_>,
        keys: &mut FileKeys<'_>,
    ) -> io::Result<Self> {
        let mut plan = Self::default();
        plan.read_rows(root, is_encrypted, mark, keys);
        let metadata = fs::metadata(root)?;
        plan.add(&[], ItemKind::Directory, &metadata);
        plan.walk(root, &[])?;
        let why = "is listed in Manifest.db, but its file is not in the folder";
        plan.catalogue.report(&mut plan.problems, why);
        plan.problems.first.sort_by(|a, b| a.path.cmp(&b.path));
        let Self { catalogue, stored, items, .. } = &mut plan;
        catalogue.sort_items(items, |item| (item.row, stored_of(stored, item)));
        Ok(plan)
    }

    fn read_rows(
        &mut self,
        root: &Path,
        is_encrypted: bool,
        mark: RowMark<'_>,
        keys: &mut FileKeys<'_>,
    ) {
        let manifest_key = keys.manifest().map(|key| FileKey::from_bytes(key.as_bytes()));
        let result = for_each_row(root, manifest_key.as_ref(), |row| {
            let is_read = row.flags == 1 || keys.are_open();
            let file = is_read.then(|| MbFile::parse(&row.file).ok()).flatten();
            keys.add(&row, file.as_ref());
            match &file {
                Some(file) => self.digests.add(&row, file),
                // Of folders and links nothing is read that could fail.
                None if row.flags == 1 && !row.contradicts_itself() => {
                    self.catalogue.add_damaged(&row);
                }
                None => {}
            }
            self.catalogue.add(&row, mark);
            ControlFlow::Continue(())
        });
        match result {
            Ok(index) => {
                self.rows_known = true;
                self.problems.extend(index.as_ref().map(damage::of_index));
            }
            Err(RowsError::Clear(ManifestDbError::NotSqlite)) if is_encrypted => self.remarks.push(
                "Manifest.db is encrypted by the phone: it is kept as it is, and whether all its files are there is not checked".to_owned(),
            ),
            Err(RowsError::Clear(ManifestDbError::Missing)) => {}
            Err(error) => {
                self.catalogue.clear();
                self.digests = Digests::default();
                self.problems.add("Manifest.db".to_owned(), &format!("cannot be read: {error}"));
            }
        }
        self.catalogue.sort();
        self.digests.sort();
    }

    fn walk(&mut self, dir: &Path, prefix: &[u8]) -> io::Result<()> {
        for child in fs::read_dir(dir)? {
            let child = child?;
            let Some(name) = bytes_of(&child.file_name()) else {
                let why = "has a name that is not Unicode, which this system cannot carry";
                self.problems.add(child.path().display().to_string(), why);
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
                    self.problems.add(shown(&stored), &format!("cannot be looked at: {error}"));
                    continue;
                }
            };
            let kind = metadata.file_type();
            if kind.is_dir() {
                self.add(&stored, ItemKind::Directory, &metadata);
                if let Err(error) = self.walk(&child.path(), &stored) {
                    self.problems.add(shown(&stored), &format!("cannot be listed: {error}"));
                }
            } else if kind.is_file() {
                self.add(&stored, ItemKind::File, &metadata);
            } else if kind.is_symlink() {
                if RootFile::ALL.iter().any(|file| file.name().as_bytes() == stored) {
                    let why = "is a link: it is kept, and what it points to is not";
                    self.problems.add(shown(&stored), why);
                }
                self.add(&stored, ItemKind::Link, &metadata);
            } else {
                let why =
                    "is neither file, folder nor link (a pipe, socket or device): it is not kept";
                self.problems.add(shown(&stored), why);
            }
        }
        Ok(())
    }

    fn add(&mut self, stored: &[u8], kind: ItemKind, metadata: &fs::Metadata) {
        let row = if kind == ItemKind::File { self.catalogue.find(stored) } else { None };
        let stored_at = self.stored.len();
        self.stored.extend_from_slice(stored);
        let (mtime_secs, mtime_nanos) = mtime(metadata);
        self.items.push(Item {
            stored_at,
            len: if kind == ItemKind::File { metadata.len() } else { 0 },
            mtime_secs,
            mtime_nanos,
            stored_len: u32::try_from(stored.len()).unwrap_or(0),
            row,
            kind,
        });
    }
}

/// The stored path of an item.
fn stored_of<'s>(stored: &'s [u8], item: &Item) -> &'s [u8] {
    let path = stored.get(item.stored_at..).unwrap_or_default();
    path.get(..item.stored_len as usize).unwrap_or_default()
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
