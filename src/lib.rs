//! russet keeps iPhones for decades: a deduplicating, sealed archive of iPhones, and of Finder's and iTunes' backups.
//!
//! Invariant: `cli` is the only room that prints, prompts, or reads the environment; everything else is used from here by tests
//! and other programs alike. The rooms and who may use whom: ARCHITECTURE.md.

pub mod apple;
pub mod capture;
pub mod cli;
pub mod observe;
pub mod ops;
pub mod pipeline;
pub mod snapshot;
pub mod wipe;
