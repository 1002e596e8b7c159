//! The generated phone as a list of items, for whoever carries them elsewhere than into a folder.
//!
//! Invariant: order and facts are those of `write_backup` in the same week.

use super::Phone;
use super::backup::{Found, file_row, signed};
use crate::item::{Item, What};
use crate::write_error::WriteError;

impl Phone {
    /// Everything on the phone, in the order of this week's scan.
    pub(crate) fn items(&self) -> Result<Vec<Item>, WriteError> {
        self.scan().into_iter().map(|(domain, path, found)| item(domain, path, found)).collect()
    }

    /// The bundle ids of its apps.
    pub(crate) fn apps(&self) -> &[String] {
        &self.apps
    }

    /// When the backup of `week` is made.
    pub(crate) fn backup_date(week: u32) -> u64 {
        Self::date_of(week)
    }
}

fn item(domain: &str, path: &str, found: Found<'_>) -> Result<Item, WriteError> {
    let mut item = Item {
        domain: domain.to_owned(),
        path: path.to_owned(),
        what: What::Directory,
        mode: 0o040_755,
        class: 0,
        inode: 0,
        modified: 0,
        birth: 0,
        size: 0,
        attributes: None,
    };
    match found {
        Found::Directory(directory) => {
            item.inode = directory.inode;
            item.modified = signed(directory.modified);
            item.birth = signed(directory.birth);
        }
        Found::Symlink(link) => {
            item.what = What::Symlink(link.target.clone());
            item.mode = 0o120_755;
            item.inode = link.inode;
            item.modified = signed(link.modified);
            item.birth = signed(link.modified);
        }
        Found::File(file) => {
            let row = file_row(file)?;
            item.what = What::File(file.content.clone());
            item.mode = row.mode;
            item.class = row.protection_class;
            item.inode = row.inode;
            item.modified = row.modified;
            item.birth = row.birth;
            item.size = row.size;
            item.attributes = row.extended_attributes;
        }
    }
    Ok(item)
}
