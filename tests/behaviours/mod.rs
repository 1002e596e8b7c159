//! The behaviours, one file a theme. A new theme adds its one `mod` line here.

mod bad_folder;
mod bad_repository;
mod clones;
mod commands;
mod crash;
mod damage;
#[cfg(unix)]
mod device;
#[cfg(unix)]
mod device_restore;
#[cfg(target_os = "linux")]
mod device_scale;
mod drive;
mod encrypted;
mod extract;
#[cfg(unix)]
mod golden;
mod histories;
mod import;
#[cfg(target_os = "linux")]
mod memory;
mod messages;
mod remembered;
#[cfg(target_os = "linux")]
mod secrets;
mod support;
#[cfg(target_os = "linux")]
mod terminal;
