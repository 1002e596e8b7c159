//! The behaviours, one file a theme. A new theme adds its one `mod` line here.

mod bad_folder;
mod bad_repository;
mod commands;
#[cfg(unix)]
mod golden;
mod import;
mod messages;
mod support;
