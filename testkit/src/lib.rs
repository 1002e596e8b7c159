//! testkit

pub mod backend_suite;
pub mod faults;
