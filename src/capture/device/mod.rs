//! A phone as the source: found, trusted, asked for a backup, and served while it makes one.
//!
//! Invariant: the phone drives; whatever it asks is answered, and nothing it says reaches beyond the draft of its own backup.
//! Asynchronous code stays in `connect`; everything else works on plain blocking streams.

pub mod files;
pub mod link;

pub use files::{DevicePath, FileError, FileErrorKind, Files, Listed, ListedKind, PathError};
pub use link::{BodyError, Ended, Link, LinkError, Response, Told};
