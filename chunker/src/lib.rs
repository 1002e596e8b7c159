//! russet-chunker: bytes in, cut points out.
//!
//! Invariant: where a chunk ends depends on the seed, the sizes and the bytes of that chunk, and on nothing else; so
//! equal content meets equal chunks again a few cuts after any edit. The rule is docs/format-cut.md; this crate follows
//! it. It must not do I/O beyond the reader it is handed, keep any secret but what it derives from the 32-byte seed, or
//! know what an iPhone is. Only writers cut: a reader of a repository never needs this crate.
//!
//! ```
//! use russet_chunker::{Cutter, Sizes};
//!
//! let sizes = Sizes::new(1024, 4096, 16384)?;
//! let cutter = Cutter::new(&[7; 32], sizes);
//! let data = vec![42; 40_000];
//! let lens: Vec<usize> = cutter.cuts(&data).map(<[u8]>::len).collect();
//! assert_eq!(lens, [16384, 16384, 7232]); // a run of one byte holds no cut: every chunk is as long as may be
//! # Ok::<(), russet_chunker::SizesError>(())
//! ```

mod cut;
mod cutter;
mod filter;
mod sizes;
mod stream;

pub use cut::{Cut, page_chunk_len, sqlite_page_len};
pub use cutter::Cutter;
pub use sizes::{Sizes, SizesError};
pub use stream::Chunks;
