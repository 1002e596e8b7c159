//! The rows of `Manifest.db`, read from its pages where they lie: no file, no SQLite, nothing written.
//!
//! Invariant: gives the rows that [`super::ManifestDb`] gives for the same bytes, in the same order, or an error. A walk
//! reads each page at most once, and takes each byte of a page for one row at most, so that it ends however the pages
//! point at each other; it holds a page for each of at most 20 levels, one row, and a bit for each page. Knows one plain
//! table of a UTF-8 database and the index of its first column, and no WAL: what needs more is refused, never guessed. Format:
//! <https://sqlite.org/fileformat2.html>; why it is read here: docs/decisions/0005-rows-from-pages.md.
#![deny(clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod header;
mod pages;
mod record;
mod schema;

use std::io;
use std::ops::ControlFlow;

use self::header::Header;
use self::pages::{Pages, Tree};
use self::record::Wanted;
use self::schema::FilesTable;
use super::manifest_row::{Column, Row, Stored, StoredRow};

/// Bytes that are read by place: a database that lies in pieces, or in memory.
pub trait PageSource {
    /// Bytes in all.
    fn total_len(&self) -> u64;

    /// Fills `buf` from the bytes that begin at `at`. Asked for nothing beyond [`Self::total_len`], by whole pages of
    /// 512 bytes to 64 KiB, and mostly in rising order.
    ///
    /// # Errors
    /// They cannot be read.
    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<()>;
}

impl PageSource for &[u8] {
    fn total_len(&self) -> u64 {
        self.len() as u64
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)?.get(..buf.len()));
        buf.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// Why the rows of a `Manifest.db` cannot be read, or not to their end.
#[derive(Debug, thiserror::Error)]
pub enum ManifestPagesError {
    /// No bytes; interrupted backups leave that.
    #[error("Manifest.db is empty")]
    Empty,
    /// It does not begin like a database: most likely it is encrypted.
    #[error("Manifest.db is not a database; it may be encrypted")]
    NotSqlite,
    /// It begins like a database and then is none, or ends early.
    #[error("Manifest.db is damaged")]
    Damaged(#[source] Damage),
    /// It may be whole, but is of a kind that no phone writes.
    #[error("Manifest.db can be read by SQLite only")]
    OnlySqlite(#[source] OnlySqlite),
    /// A database without a plain table `Files` with the five columns of a backup.
    #[error("the database has no table of files")]
    NoFilesTable,
    /// The bytes could not be had.
    #[error("Manifest.db cannot be read")]
    Io(#[source] io::Error),
}

/// What is wrong with a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The first 100 bytes contradict each other.
    #[error("its header is not one that SQLite writes")]
    Header,
    /// It ends before its last page.
    #[error("it has {there} of its {page_count} pages")]
    Cut {
        /// Pages that its header promises.
        page_count: u32,
        /// Whole pages that are there.
        there: u32,
    },
    /// Something points to a page that does not exist, or that never holds data.
    #[error("something points to page {page}, which cannot be")]
    NoSuchPage {
        /// The page.
        page: u32,
    },
    /// Something points to a page that was read already: its pages point in circles.
    #[error("two things point to page {page}")]
    Twice {
        /// The page.
        page: u32,
    },
    /// A page is of another kind than its place wants.
    #[error("page {page} is not a page of a table")]
    Kind {
        /// The page.
        page: u32,
    },
    /// A cell lies outside its page, is cut, or shares bytes with another.
    #[error("page {page} has a cell that cannot be")]
    Cell {
        /// The page.
        page: u32,
    },
    /// A row contradicts itself, or is longer than the database.
    #[error("page {page} has a row that cannot be")]
    Record {
        /// The page on which it begins.
        page: u32,
    },
    /// The index by which a phone finds rows does not hold the ids that the rows have: rows were lost, or it is damaged itself.
    #[error("its index and its rows do not name the same files")]
    Index,
    /// More levels than SQLite makes.
    #[error("its pages are nested too deeply")]
    TooDeep,
}

/// What only SQLite understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OnlySqlite {
    /// A version of the format after those of 2010.
    #[error("its format is newer")]
    Newer,
    /// UTF-16.
    #[error("its text is not UTF-8")]
    Encoding,
    /// The table of files is kept in an index.
    #[error("its table of files is WITHOUT ROWID")]
    WithoutRowid,
    /// A column whose value is computed, is a default, is the number of the row, or is made a floating-point number: not
    /// what stands in the record.
    #[error("its table of files has values that are not in its rows")]
    Column,
    /// The statement that made the table of files is longer than 64 KiB.
    #[error("the definition of its table of files is too long")]
    LongDefinition,
}

impl From<Damage> for ManifestPagesError {
    fn from(damage: Damage) -> Self {
        Self::Damaged(damage)
    }
}

impl From<OnlySqlite> for ManifestPagesError {
    fn from(why: OnlySqlite) -> Self {
        Self::OnlySqlite(why)
    }
}

/// An open `Manifest.db`.
#[derive(Debug)]
pub struct ManifestPages<S> {
    pages: Pages<S>,
    files: FilesTable,
    /// Of the ids of all rows, once they were given to the end.
    ids: Option<IdSum>,
}

/// A sum over ids in any order: the same for the same ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct IdSum {
    count: u64,
    sum: u64,
}

impl IdSum {
    fn add(&mut self, id: &Stored) {
        let hash = match id {
            Stored::Text(bytes) | Stored::Blob(bytes) => *blake3::hash(bytes).as_bytes(),
            // Odd ones are told as such by their rows.
            Stored::Null | Stored::Integer(_) | Stored::Real(_) | Stored::TooLong { .. } => [0; 32],
        };
        let [a, b, c, d, e, f, g, h, ..] = hash;
        self.count += 1;
        self.sum = self.sum.wrapping_add(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

impl<S: PageSource> ManifestPages<S> {
    /// Reads the header and the schema of a database that nobody writes to. The header may say WAL: what stands in a WAL
    /// is not seen.
    ///
    /// # Errors
    /// It is no database, or none with a table of files that can be read here.
    pub fn open(mut source: S) -> Result<Self, ManifestPagesError> {
        let header = Header::read(&mut source)?;
        let mut pages = Pages::new(source, header);
        let files = schema::find_files(&mut pages)?;
        Ok(Self { pages, files, ids: None })
    }

    /// Gives every row to `visit`, in the order of the table, until it breaks. Returns how many rows were given; a
    /// damaged database may give some before the error.
    ///
    /// # Errors
    /// The database is damaged, or cannot be read on.
    pub fn for_each_row(
        &mut self,
        mut visit: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<u64, ManifestPagesError> {
        let files = &self.files;
        let (mut count, mut ids, mut is_whole) = (0, IdSum::default(), true);
        self.pages.walk(files.root, Tree::Table, &mut |payload| {
            let values = record::read_values(payload, &files.wanted)?;
            let mut stored = StoredRow::default();
            for (column, value) in files.columns.iter().zip(values) {
                stored.set(*column, value);
            }
            count += 1;
            ids.add(&stored.file_id);
            let flow = visit(Row::of(stored));
            is_whole = flow.is_continue();
            Ok(flow)
        })?;
        self.ids = Some(ids).filter(|_| is_whole);
        Ok(count)
    }

    /// Whether the index of the rows' ids has just those that [`Self::for_each_row`] gave; nothing is said before that gave all
    /// rows, or without such an index. Reads the index, page by page in no order: a fifteenth of what the rows take.
    ///
    /// # Errors
    /// It has not, or cannot be read.
    pub fn check_index(&mut self) -> Result<(), ManifestPagesError> {
        let (Some(ids), Some(root)) = (self.ids, self.files.index) else { return Ok(()) };
        let wanted = [Wanted { position: 0, len_max: Column::FileId.len_max() }];
        let mut indexed = IdSum::default();
        self.pages.walk(root, Tree::Index, &mut |payload| {
            let [id] = record::read_values(payload, &wanted)?;
            indexed.add(&id);
            Ok(ControlFlow::Continue(()))
        })?;
        if indexed == ids { Ok(()) } else { Err(Damage::Index.into()) }
    }
}

#[cfg(test)]
mod tests;
