//! russet's store: sealed, deduplicated, content-addressed storage of blobs in packs. It knows bytes, not phones.
//!
//! Invariant: nothing that was committed is changed in place; packs are durable before an index names them, and both before a
//! snapshot record exists. What is read is checked before it is used. Format: docs/format.md.

pub mod ambient;
pub mod backend;
pub mod config;
pub mod copies;
pub mod header;
pub mod ids;
pub mod index;
pub mod layout;
pub mod log;
pub mod pack;
pub mod record;
pub mod repository;
pub mod seal;
pub mod segment;
pub mod session;
pub mod sweep;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod vectors;
