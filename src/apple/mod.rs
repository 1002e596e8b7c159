//! Read-only knowledge of Apple's backup format: the folder, its three property lists, `Manifest.db`,
//! file ids and domains, the keybag and the encryption of files.
//!
//! Invariant: nothing here writes, prints, reads the environment or depends on the rest of russet; every
//! byte read is hostile until checked, so that bad input gives an error or a `None`, never a panic and
//! never memory without a bound. `rusqlite` and `plist` are used in this folder only. The facts relied on,
//! and where each comes from: docs/apple-format.md.

mod date;
mod domain;
mod file_id;
mod folder;
mod info;
mod keybag;
mod manifest_db;
mod manifest_pages;
mod manifest_plist;
mod manifest_row;
mod mb_file;
mod opening;
mod places;
mod property_list;
mod status;

pub use date::{BackupDate, DateFacts, DateSource, backup_date};
pub use domain::{Category, category};
pub use file_id::FileId;
pub use folder::{BackupKind, FolderName, RootFile, Udid, look_at};
pub use info::Info;
pub use keybag::{
    BackupKeys, ClassKeys, FileKey, Keybag, KeybagError, KeybagId, LockedKeys, PasswordError,
    Passwords, PhonePassword, UnlockError, WrongPassword,
};
pub use manifest_db::{ManifestDb, ManifestDbError};
pub use manifest_pages::{Damage, ManifestPages, ManifestPagesError, OnlySqlite, PageSource};
pub use manifest_plist::ManifestPlist;
pub use manifest_row::{Column, Oddity, OddityKind, Row, RowFileId};
pub use mb_file::{MbFile, MbFileError, WrappedKey};
pub use opening::{Closing, OpenedFile, Opening, OpeningError, PaddingError, Stored};
pub use places::{Os, default_places};
pub use property_list::PlistError;
pub(crate) use property_list::{Limits, parse_dictionary, parse_value};
pub use status::Status;
