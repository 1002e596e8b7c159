//! Snapshots: the tree of a backup folder, the record that dates it, and choosing one.
//!
//! Invariant: a tree is written before its record and never changed after. Knows stored paths and rows as bytes; what Apple
//! means by them is for `apple` and `capture`.

pub mod content_at;
pub mod contents;
pub mod entry;
pub mod record;
pub mod select;
pub mod tree;
pub mod walk;

pub use content_at::ContentAt;
pub use contents::{ContentError, ContentReader};
pub use entry::{Content, Entry, EntryError, Opened, SealedKey, What};
pub use record::{Snapshot, SnapshotRecord};
pub use tree::TreeBuilder;
pub use walk::{TreeError, TreeWalk};

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod vectors;
