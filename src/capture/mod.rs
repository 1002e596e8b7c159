//! Where backups come from.
//!
//! Invariant: a source is read, never written to; everything it says is hostile until checked. What was captured becomes a
//! snapshot only when the source was read to its end.

mod catalogue;
mod damage;
pub mod device;
mod digests;
mod file_keys;
pub mod folder;
pub mod kept;
mod manifest_at;
mod opener;
pub mod stored;

pub use catalogue::{ItemKind, RowMark};
