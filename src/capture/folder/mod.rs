//! A Finder or iTunes backup folder on disk.
//!
//! Invariant: the folder is carried as it is stored, every file and directory, known or not; what Apple's lists say is used to
//! sort, date and check it, never to change it.

mod lock;
mod look;
mod names;
mod plan;
mod rows;
mod same;
mod take;

pub use lock::{Lock, Unlocked, keybag_of, unlock};
pub use look::{BackupFolder, FolderError, PLIST_LEN_MAX, find_backups, look};
pub use names::{bytes_of, path_of};
pub use same::is_same;
pub use take::{TakeError, Taken, take};
