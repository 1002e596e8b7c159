//! Manifest.db, written by SQLite as the phone writes it: anew for every backup.
//!
//! Invariant: the same calls give the same bytes. A row that is uploaded late replaces its placeholder, which leaves the
//! gaps and free pages of real ones (docs/apple-format.md §3). The WAL mark is set by whoever copies the file.

use crate::write_error::WriteError;
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};

/// What a row is: the `flags` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowKind {
    File,
    Directory,
    Symlink,
}

impl RowKind {
    fn flags(self) -> i64 {
        match self {
            Self::File => 1,
            Self::Directory => 2,
            Self::Symlink => 4,
        }
    }
}

/// A Manifest.db being written.
pub(crate) struct ManifestDb {
    path: PathBuf,
    connection: Connection,
}

impl ManifestDb {
    /// Creates the database; an older file at `path` is removed first.
    pub(crate) fn create(path: &Path) -> Result<Self, WriteError> {
        if path.exists() {
            std::fs::remove_file(path).map_err(WriteError::io(path))?;
        }
        let connection = Connection::open(path).map_err(WriteError::database(path))?;
        connection
            .execute_batch(
                "PRAGMA page_size=4096; PRAGMA auto_vacuum=2; PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;
                 PRAGMA cache_size=-65536; PRAGMA user_version=2;
                 CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
                 CREATE INDEX FilesDomainIdx ON Files(domain);
                 CREATE INDEX FilesRelativePathIdx ON Files(relativePath);
                 CREATE INDEX FilesFlagsIdx ON Files(flags);
                 CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);
                 BEGIN;",
            )
            .map_err(WriteError::database(path))?;
        Ok(Self { path: path.to_path_buf(), connection })
    }

    /// Adds a row, or replaces the one of the same domain and path.
    pub(crate) fn put(
        &self,
        domain: &str,
        relative_path: &str,
        kind: RowKind,
        blob: &[u8],
    ) -> Result<(), WriteError> {
        self.connection
            .prepare_cached("INSERT OR REPLACE INTO Files VALUES (?1, ?2, ?3, ?4, ?5)")
            .and_then(|mut statement| {
                let id = crate::file_id(domain, relative_path);
                statement.execute(params![id, domain, relative_path, kind.flags(), blob])
            })
            .map_err(WriteError::database(&self.path))?;
        Ok(())
    }

    /// Commits and closes; the file is at the path it was created at.
    pub(crate) fn finish(self) -> Result<PathBuf, WriteError> {
        self.connection.execute_batch("COMMIT").map_err(WriteError::database(&self.path))?;
        self.connection
            .close()
            .map_err(|(_, source)| WriteError::Database { path: self.path.clone(), source })?;
        Ok(self.path)
    }
}
