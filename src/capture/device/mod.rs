//! A phone as the source: found, trusted, asked for a backup, and served while it makes one.
//!
//! Invariant: the phone drives; whatever it asks is answered, and nothing it says reaches beyond the draft of its own backup.
//! Sockets are waited for in `connect` alone; everything else works on plain blocking streams.

pub mod arrange;
pub mod begin;
pub mod change_password;
pub mod connect;
pub mod draft;
pub mod files;
pub mod finish;
pub mod give;
pub mod host;
pub mod link;
pub mod open_files;
pub mod record;
pub mod reopen;
pub mod restore_apps;
pub mod shown;
pub mod space;
pub mod spool;
pub mod take;

pub use files::{DevicePath, FileError, FileErrorKind, Files, Listed, ListedKind, PathError};
pub use link::{BodyError, Ended, Link, LinkError, Response, Told};
