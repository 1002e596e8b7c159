//! Why a generated backup could not be written.
//!
//! Invariant: each variant names the path or the part it failed on. Must not be used for reading backups.

use std::io;
use std::path::{Path, PathBuf};

/// Why a generated backup could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("could not write {path}")]
    Io {
        /// The file or folder in question.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// SQLite refused to create or edit a database.
    #[error("could not write the database {path}")]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: rusqlite::Error,
    },
    /// A property list could not be encoded.
    #[error("could not encode a property list")]
    Plist(#[from] plist::Error),
    /// A key could not be wrapped (RFC 3394).
    #[error("could not wrap a key of class {class}")]
    Wrap {
        /// Apple's protection class.
        class: u32,
    },
}

impl WriteError {
    /// Names the path an I/O call failed on.
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }

    /// Names the database a SQLite call failed on.
    pub(crate) fn database(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        move |source| Self::Database { path: path.to_path_buf(), source }
    }
}
