//! russet

pub mod apple;
