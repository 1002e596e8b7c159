//! Manifest.db as the phone reads it back from a host: the rows of the last backup, by file id.
//!
//! Invariant: a row that cannot be read makes the whole database unreadable: the phone then sends everything anew.
//! Must not be trusted for paths: what is restored is checked where it is written.

use super::error::DeviceError;
use plist::{Dictionary, Value};
use rusqlite::{Connection, OpenFlags};
use std::io::Cursor;
use std::path::Path;

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) flags: i64,
    pub(crate) blob: Vec<u8>,
}

/// The rows of a Manifest.db, which stay on disk.
pub(crate) struct Rows(Connection);

impl Rows {
    /// Opens the database at `path`.
    pub(crate) fn open(path: &Path) -> Result<Self, DeviceError> {
        Ok(Self(Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?))
    }

    /// Hands every row to `take`.
    pub(crate) fn each(
        &self,
        mut take: impl FnMut(Row) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        let mut statement =
            self.0.prepare("SELECT fileID, domain, relativePath, flags, file FROM Files")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            take(Row {
                id: row.get(0)?,
                domain: row.get(1)?,
                path: row.get(2)?,
                flags: row.get(3)?,
                blob: row.get(4)?,
            })?;
        }
        Ok(())
    }

    /// The blob of one row.
    pub(crate) fn blob(&self, id: &str) -> Result<Vec<u8>, DeviceError> {
        let mut statement = self.0.prepare_cached("SELECT file FROM Files WHERE fileID = ?1")?;
        Ok(statement.query_row([id], |row| row.get(0))?)
    }
}

/// Hands every row of the database at `path` to `take`.
pub(crate) fn read(
    path: &Path,
    take: impl FnMut(Row) -> Result<(), DeviceError>,
) -> Result<(), DeviceError> {
    Rows::open(path)?.each(take)
}

/// The `MBFile` in a row's blob.
pub(crate) struct Archived {
    objects: Vec<Value>,
}

impl Archived {
    /// Reads a blob; none if it is no archive.
    pub(crate) fn read(blob: &[u8]) -> Option<Self> {
        let archive = Value::from_reader(Cursor::new(blob)).ok()?.into_dictionary()?;
        Some(Self { objects: archive.get("$objects")?.as_array()?.clone() })
    }

    /// A number of the file.
    pub(crate) fn number(&self, key: &str) -> Option<i64> {
        self.file()?.get(key)?.as_signed_integer()
    }

    /// What a reference of the file points to.
    pub(crate) fn object(&self, key: &str) -> Option<&Value> {
        let index = usize::try_from(self.file()?.get(key)?.as_uid()?.get()).ok()?;
        self.objects.get(index)
    }

    /// The wrapped key, if the file is encrypted.
    pub(crate) fn encryption_key(&self) -> Option<&[u8]> {
        self.object("EncryptionKey")?.as_dictionary()?.get("NS.data")?.as_data()
    }

    fn file(&self) -> Option<&Dictionary> {
        self.objects.get(1)?.as_dictionary()
    }
}
