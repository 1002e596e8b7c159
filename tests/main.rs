//! What a user can observe of russet, in one binary: each test binary links the index engine.
//!
//! Invariant: a test here goes through the program or through `russet::ops`, never through private parts.
//! Helpers that two files share live in `behaviours/support.rs` or in the test kit.

#![allow(
    clippy::unwrap_used,
    reason = "in a test a panic is the message; not every file happens to need it"
)]

mod behaviours;
