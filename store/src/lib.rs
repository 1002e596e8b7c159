//! store

pub mod backend;
pub mod ids;
pub mod index;
