//! The rows of Manifest.db, joined with the stored files that they name.
//!
//! Invariant: a stored file has the smallest of the rows with its id, or none; a row of which no file was found is known at
//! the end. A million rows are held in one flat buffer, and their paths in blocks. Reads nothing itself.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::num::NonZeroU32;

use crate::apple::{FileId, Row, RowFileId};
use crate::observe::{by_count, count};
use crate::snapshot::record::{PROBLEM_COUNT_MAX, Problem};

/// Paths lie in blocks of this length: one buffer that grows would be copied, and be there twice meanwhile.
const BLOCK_LEN: usize = 1 << 20;

/// What a stored item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// A file.
    File,
    /// A folder.
    Directory,
    /// A symbolic link.
    Link,
}

/// Gives the mark by which a row is known again, from its flags and its blob.
pub type RowMark<'a> = &'a dyn Fn(i64, &[u8]) -> [u8; 8];

/// A row of a catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RowIndex(NonZeroU32);

/// Problems: the first of them, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Problems {
    pub(super) first: Vec<Problem>,
    pub(super) count: u64,
}

impl Problems {
    pub(super) fn add(&mut self, path: String, why: &str) {
        self.count += 1;
        if self.first.len() < PROBLEM_COUNT_MAX {
            self.first.push(Problem { path, why: why.to_owned() });
        }
    }

    pub(super) fn extend(&mut self, more: impl IntoIterator<Item = Problem>) {
        more.into_iter().for_each(|problem| self.add(problem.path, &problem.why));
    }
}

/// The rows, by file id once they are sorted.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    rows: Vec<RowAt>,
    paths: Paths,
    domains: Vec<Vec<u8>>,
    domain_of: HashMap<Vec<u8>, u32>,
    /// Rows that promise a file and name none.
    nameless_count: u64,
    /// Rows that no phone can have written.
    damaged: Damaged,
}

/// How many there are, and one of them.
#[derive(Debug, Default)]
struct Damaged {
    count: u64,
    first: Option<String>,
}

/// Paths one after another, each whole in a block.
#[derive(Debug, Default)]
struct Paths {
    blocks: Vec<Vec<u8>>,
}

impl Paths {
    /// Where it is then.
    fn put(&mut self, path: &[u8]) -> usize {
        if self.blocks.last().is_none_or(|block| block.len() + path.len() > BLOCK_LEN) {
            self.blocks.push(Vec::with_capacity(BLOCK_LEN.max(path.len())));
        }
        let before = (self.blocks.len() - 1) * BLOCK_LEN;
        let Some(block) = self.blocks.last_mut() else { return before };
        let at = before + block.len();
        block.extend_from_slice(path);
        at
    }

    fn at(&self, at: usize, len: u32) -> &[u8] {
        let block = self.blocks.get(at / BLOCK_LEN);
        let path = block.and_then(|block| block.get(at % BLOCK_LEN..)?.get(..len as usize));
        path.unwrap_or_default()
    }
}

#[derive(Debug)]
struct RowAt {
    path_at: usize,
    path_len: u32,
    domain: u32,
    id: [u8; 20],
    mark: [u8; 8],
    is_file: bool,
    seen: bool,
}

impl Catalogue {
    /// Takes room for about so many rows at once: growing step by step copies them, and leaves holes as large as they are.
    pub(super) fn reserve(&mut self, count: usize) {
        self.rows.reserve_exact(count);
    }

    /// Notes a row that is damaged, besides adding it.
    pub(super) fn add_damaged(&mut self, row: &Row) {
        self.damaged.count += 1;
        let shown = || row_shown((&row.domain, &row.relative_path)).escape_debug().to_string();
        self.damaged.first.get_or_insert_with(shown);
    }

    /// Adds a row; no file is found before [`Self::sort`].
    pub(super) fn add(&mut self, row: &Row, mark: RowMark<'_>) {
        let is_file = row.flags == 1;
        // What promises a file and names none is told as that.
        if row.contradicts_itself() && !(is_file && matches!(row.file_id, RowFileId::Odd(_))) {
            self.add_damaged(row);
        }
        let RowFileId::Id(id) = &row.file_id else {
            self.nameless_count += u64::from(is_file);
            return;
        };
        let path_len = u32::try_from(row.relative_path.len());
        let (Some(domain), Ok(path_len)) = (self.domain(&row.domain), path_len) else {
            self.nameless_count += u64::from(is_file);
            return;
        };
        let path_at = self.paths.put(&row.relative_path);
        let (id, mark) = (*id.as_bytes(), mark(row.flags, &row.file));
        self.rows.push(RowAt { path_at, path_len, domain, id, mark, is_file, seen: false });
    }

    /// The number of a domain, the same for the same bytes.
    fn domain(&mut self, name: &[u8]) -> Option<u32> {
        if let Some(domain) = self.domain_of.get(name) {
            return Some(*domain);
        }
        let domain = u32::try_from(self.domains.len()).ok()?;
        self.domains.push(name.to_vec());
        self.domain_of.insert(name.to_vec(), domain);
        Some(domain)
    }

    /// Forgets all rows, after they turned out not to be all.
    pub(super) fn clear(&mut self) {
        *self = Self { nameless_count: self.nameless_count, ..Self::default() };
    }

    /// Ends the rows and begins the files.
    pub(super) fn sort(&mut self) {
        self.domain_of = HashMap::new();
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_unstable_by(|a, b| {
            a.id.cmp(&b.id).then_with(|| self.row_names(a).cmp(&self.row_names(b)))
        });
        self.rows = rows;
    }

    /// The row of a file with this stored path; the row counts as having its file from now on.
    pub(super) fn find(&mut self, stored: &[u8]) -> Option<RowIndex> {
        let id = file_id_of(stored)?;
        let at = self.rows.partition_point(|row| row.id < id);
        let row = self.rows.get_mut(at).filter(|row| row.id == id)?;
        row.seen = true;
        u32::try_from(at).ok()?.checked_add(1).and_then(NonZeroU32::new).map(RowIndex)
    }

    fn row(&self, index: Option<RowIndex>) -> Option<&RowAt> {
        self.rows.get(index?.0.get() as usize - 1)
    }

    /// The mark of a row.
    pub(super) fn mark(&self, row: Option<RowIndex>) -> Option<[u8; 8]> {
        self.row(row).map(|row| row.mark)
    }

    /// Domain and path; empty without a row.
    pub(super) fn names(&self, row: Option<RowIndex>) -> (&[u8], &[u8]) {
        self.row(row).map(|row| self.row_names(row)).unwrap_or_default()
    }

    fn row_names(&self, row: &RowAt) -> (&[u8], &[u8]) {
        let domain = self.domains.get(row.domain as usize).map_or(&[][..], Vec::as_slice);
        (domain, self.paths.at(row.path_at, row.path_len))
    }

    /// Puts items, of which this gives row and stored path, in the order of a tree.
    pub(super) fn sort_items<'s, T>(
        &self,
        items: &mut [T],
        names: impl Fn(&T) -> (Option<RowIndex>, &'s [u8]),
    ) {
        items.sort_unstable_by(|a, b| {
            let ((row_a, stored_a), (row_b, stored_b)) = (names(a), names(b));
            self.compare(row_a, row_b).then_with(|| stored_a.cmp(stored_b))
        });
    }

    fn compare(&self, a: Option<RowIndex>, b: Option<RowIndex>) -> Ordering {
        if a == b { Ordering::Equal } else { self.names(a).cmp(&self.names(b)) }
    }

    /// Adds what the rows promise and nobody has found.
    pub(super) fn report(&self, problems: &mut Problems, why_missing: &str) {
        if self.nameless_count > 0 {
            let why = format!(
                "{} of its rows {}",
                count(self.nameless_count),
                by_count(
                    self.nameless_count,
                    "promises a file and names none",
                    "promise a file and name none"
                )
            );
            problems.add("Manifest.db".to_owned(), &why);
        }
        if let Some(first) = &self.damaged.first {
            let damaged = self.damaged.count;
            let are = by_count(damaged, "is", "are");
            let why =
                format!("{} of its rows {are} damaged, the first that of {first}", count(damaged));
            problems.add("Manifest.db".to_owned(), &why);
        }
        for same in self.rows.chunk_by(|a, b| a.id == b.id) {
            if same.first().is_none_or(|first| first.seen) {
                continue;
            }
            for row in same.iter().filter(|row| row.is_file) {
                problems.add(row_shown(self.row_names(row)), why_missing);
            }
        }
    }
}

/// Domain and path of a row for a message.
pub(super) fn row_shown((domain, path): (&[u8], &[u8])) -> String {
    format!("{} {}", String::from_utf8_lossy(domain), String::from_utf8_lossy(path))
}

/// The file id in a stored path `xx/<40 hex>`.
pub(super) fn file_id_of(stored: &[u8]) -> Option<[u8; 20]> {
    let (shard, name) = stored.split_at_checked(3)?;
    let id = FileId::parse(name)?;
    (shard.get(..2) == name.get(..2) && shard.last() == Some(&b'/')).then(|| *id.as_bytes())
}
