//! From the bytes of files to blobs in packs, on all cores.
//!
//! Invariant: memory is bounded by a budget of bytes on their way, whatever the files; results come back in the order the files
//! were given; after the first write error nothing more is taken. Knows bytes and sessions, not phones or trees.

mod budget;
mod class;
mod ingest;

pub use class::Cuts;
pub use russet_chunker::SizesError;

pub use ingest::{Done, Feeder, IngestError, ReadOutcome, run};
