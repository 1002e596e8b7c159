//! One file, directory or link of a phone, as its scan meets it.
//!
//! Invariant: `row` gives the blob of the Manifest.db row for exactly these facts. Does not know where it lies in a
//! backup.

use crate::content::Content;
use crate::keybag::WrappedKey;
use crate::manifest_db::RowKind;
use crate::mbfile::MbFile;
use crate::write_error::WriteError;

/// What is at one path of a phone.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) what: What,
    pub(crate) mode: u32,
    pub(crate) class: u32,
    pub(crate) inode: u64,
    pub(crate) modified: i64,
    pub(crate) birth: i64,
    /// What the row says; for live databases not always the number of bytes.
    pub(crate) size: u64,
    pub(crate) attributes: Option<Vec<u8>>,
}

/// The three sorts of rows.
#[derive(Clone, Debug)]
pub(crate) enum What {
    File(Content),
    Directory,
    Symlink(String),
}

impl Item {
    /// The name of its payload.
    pub(crate) fn id(&self) -> String {
        crate::file_id(&self.domain, &self.path)
    }

    /// Domain, dash, path: what its name is made of, and what scripts call it.
    pub(crate) fn full_name(&self) -> String {
        format!("{}-{}", self.domain, self.path)
    }

    /// The `flags` of its row.
    pub(crate) fn kind(&self) -> RowKind {
        match self.what {
            What::File(_) => RowKind::File,
            What::Directory => RowKind::Directory,
            What::Symlink(_) => RowKind::Symlink,
        }
    }

    /// The blob of its row.
    pub(crate) fn row(
        &self,
        digest: Option<[u8; 20]>,
        encryption_key: Option<WrappedKey>,
    ) -> Result<Vec<u8>, WriteError> {
        MbFile {
            relative_path: &self.path,
            size: self.size,
            mode: self.mode,
            protection_class: self.class,
            inode: self.inode,
            modified: self.modified,
            birth: self.birth,
            encryption_key,
            digest,
            extended_attributes: self.attributes.clone(),
            target: match &self.what {
                What::Symlink(target) => Some(target),
                _ => None,
            },
        }
        .encode()
    }
}
