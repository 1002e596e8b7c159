//! `Manifest.db`: the rows that say which file of the phone each stored file is.
//!
//! Invariant: the file is never written and nothing appears beside it: it is opened read-only and as
//! immutable, although its header says WAL. Text is bytes here, never made to fit UTF-8 or a normal form. A
//! row that is odd is handed over with its oddities named; only a database that cannot be read on is an
//! error. Rows pass one by one, so memory is that of one row. Changes that still stand in a
//! `Manifest.db-wal` are not seen; a finished backup has none. Format: docs/apple-format.md §3.

use std::fs::{self, File};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::manifest_row::{Column, Row, Stored, StoredRow};

/// Why a `Manifest.db` cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ManifestDbError {
    /// There is no such file.
    #[error("Manifest.db is missing")]
    Missing,
    /// A folder or a device has that name.
    #[error("Manifest.db is not a file")]
    NotAFile,
    /// A file of length zero; interrupted backups leave them.
    #[error("Manifest.db is empty")]
    Empty,
    /// It does not begin like a database: most likely it is encrypted, as in every encrypted backup since
    /// iOS 10.2.
    #[error("Manifest.db is not a database; it may be encrypted")]
    NotSqlite,
    /// It begins like a database and then is none, or ends early.
    #[error("Manifest.db is damaged")]
    Corrupt(#[source] rusqlite::Error),
    /// It yields more rows than fit in a file of its length: its pages point in circles.
    #[error("Manifest.db is damaged: it yields more than the {row_count_max} rows it has room for")]
    TooManyRows {
        /// Rows that fit.
        row_count_max: u64,
    },
    /// A database without a plain table `Files` with the five columns of a backup.
    #[error("the database has no table of files")]
    NoFilesTable,
    /// The file system refused.
    #[error("Manifest.db cannot be read")]
    Io(#[source] io::Error),
    /// SQLite refused for another reason.
    #[error("SQLite cannot read Manifest.db")]
    Sqlite(#[source] rusqlite::Error),
}

impl ManifestDbError {
    fn of_sqlite(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(error),
            _ => Self::Sqlite(error),
        }
    }
}

/// An open `Manifest.db`.
#[derive(Debug)]
pub struct ManifestDb {
    connection: Connection,
    row_count_max: u64,
}

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// No row takes less room: a cell has at least four bytes.
const ROW_LEN_MIN: u64 = 4;

/// A longer value than these is left in the database: `octet_length` reads its length alone.
fn rows_sql() -> String {
    let value = |name: &str, column: Column| {
        let len_max = column.len_max();
        format!("octet_length({name}), CASE WHEN octet_length({name}) <= {len_max} THEN {name} END")
    };
    format!(
        "SELECT {}, {}, {}, {}, CASE WHEN typeof(flags) = 'integer' THEN flags END FROM Files",
        value("fileID", Column::FileId),
        value("domain", Column::Domain),
        value("relativePath", Column::RelativePath),
        value("file", Column::File),
    )
}

/// A view or a virtual table could be a program, and a computed column any amount of memory.
const PLAIN_TABLES: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND lower(name) = 'files' AND rootpage > 0";
const STORED_COLUMNS: &str = "SELECT count(DISTINCT lower(name)) FROM pragma_table_xinfo('Files')
    WHERE hidden = 0 AND lower(name) IN ('fileid', 'domain', 'relativepath', 'flags', 'file')";

/// The schema of a hostile file may call nothing, damage is found early, sorting leaves no file anywhere.
const CAUTION: &str =
    "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY;
    PRAGMA query_only = ON;";

impl ManifestDb {
    /// Opens a database that nobody else writes to.
    pub fn open(path: &Path) -> Result<Self, ManifestDbError> {
        let len = checked_len(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
            | OpenFlags::SQLITE_OPEN_URI
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(immutable_uri(path)?, flags)
            .map_err(ManifestDbError::of_sqlite)?;
        connection.execute_batch(CAUTION).map_err(ManifestDbError::of_sqlite)?;
        let count = |sql| {
            connection
                .query_row(sql, [], |row| row.get::<_, i64>(0))
                .map_err(ManifestDbError::of_sqlite)
        };
        if count(PLAIN_TABLES)? != 1 || count(STORED_COLUMNS)? != 5 {
            return Err(ManifestDbError::NoFilesTable);
        }
        Ok(Self { connection, row_count_max: len / ROW_LEN_MIN })
    }

    /// Gives every row to `visit`, in the order of the table, until it breaks. Reads the file once, front to
    /// back in the main. Returns how many rows were given; a damaged file may give some before the error.
    pub fn for_each_row(
        &self,
        visit: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<u64, ManifestDbError> {
        self.visit_rows(&rows_sql(), visit)
    }

    /// The same in ascending order of `fileID`.
    ///
    /// Goes through the index, which costs a jump for each row, and a damaged index may leave rows out: what
    /// must see every row uses [`Self::for_each_row`]. Without that index the rows are sorted in memory.
    pub fn rows_by_file_id(
        &self,
        visit: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<u64, ManifestDbError> {
        self.visit_rows(&format!("{} ORDER BY fileID", rows_sql()), visit)
    }

    fn visit_rows(
        &self,
        sql: &str,
        mut visit: impl FnMut(Row) -> ControlFlow<()>,
    ) -> Result<u64, ManifestDbError> {
        let mut statement = self.connection.prepare(sql).map_err(ManifestDbError::of_sqlite)?;
        let mut rows = statement.query([]).map_err(ManifestDbError::of_sqlite)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(ManifestDbError::of_sqlite)? {
            if count == self.row_count_max {
                return Err(ManifestDbError::TooManyRows { row_count_max: self.row_count_max });
            }
            let row = read_row(row).map_err(ManifestDbError::of_sqlite)?;
            count += 1;
            if visit(row).is_break() {
                break;
            }
        }
        Ok(count)
    }
}

/// The length of a file that begins like a database.
fn checked_len(path: &Path) -> Result<u64, ManifestDbError> {
    let of_io = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ManifestDbError::Missing,
        _ => ManifestDbError::Io(error),
    };
    // Before opening, which would wait for ever on a named pipe.
    let metadata = fs::metadata(path).map_err(of_io)?;
    if !metadata.is_file() {
        return Err(ManifestDbError::NotAFile);
    }
    if metadata.len() == 0 {
        return Err(ManifestDbError::Empty);
    }
    let mut start = Vec::with_capacity(MAGIC.len());
    File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut start))
        .map_err(of_io)?;
    if start != MAGIC {
        return Err(ManifestDbError::NotSqlite);
    }
    Ok(metadata.len())
}

/// The path as a URI that makes SQLite neither lock nor look for a WAL. Everything but letters and digits is
/// escaped, separators too: SQLite unescapes before it looks, and so no part can be taken for a host, a query
/// or a drive.
fn immutable_uri(path: &Path) -> Result<String, ManifestDbError> {
    use std::fmt::Write as _;
    let mut uri = "file:".to_owned();
    for byte in path_bytes(path)? {
        if byte.is_ascii_alphanumeric() {
            uri.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(uri, "%{byte:02X}");
        }
    }
    uri.push_str("?mode=ro&immutable=1");
    Ok(uri)
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other systems have paths without bytes")]
fn path_bytes(path: &Path) -> Result<&[u8], ManifestDbError> {
    use std::os::unix::ffi::OsStrExt as _;
    Ok(path.as_os_str().as_bytes())
}

#[cfg(not(unix))]
fn path_bytes(path: &Path) -> Result<&[u8], ManifestDbError> {
    let text =
        path.to_str().ok_or_else(|| ManifestDbError::Io(io::ErrorKind::InvalidFilename.into()))?;
    Ok(text.as_bytes())
}

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let value = |at: usize| -> rusqlite::Result<Stored> {
        Ok(stored(row.get_ref(at)?, row.get_ref(at + 1)?))
    };
    Ok(Row::of(StoredRow {
        file_id: value(0)?,
        domain: value(2)?,
        relative_path: value(4)?,
        file: value(6)?,
        flags: stored(ValueRef::Null, row.get_ref(8)?),
    }))
}

/// A value and its length; the length alone if the value was held back for it.
fn stored(len: ValueRef<'_>, value: ValueRef<'_>) -> Stored {
    match (value, len) {
        (ValueRef::Null, ValueRef::Integer(len)) => {
            Stored::TooLong { len: u64::try_from(len).unwrap_or(0) }
        }
        (ValueRef::Null, _) => Stored::Null,
        (ValueRef::Integer(number), _) => Stored::Integer(number),
        (ValueRef::Real(number), _) => Stored::Real(number),
        (ValueRef::Text(bytes), _) => Stored::Text(bytes.to_vec()),
        (ValueRef::Blob(bytes), _) => Stored::Blob(bytes.to_vec()),
    }
}

#[cfg(test)]
mod tests;
