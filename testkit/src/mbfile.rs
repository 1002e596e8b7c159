//! The `file` column of Manifest.db: one `MBFile` as an NSKeyedArchiver property list.
//!
//! Invariant: keys, types and the order of `$objects` are those of a real iOS 14 row (docs/apple-format.md §3.1).
//! Must not read archives.

use crate::keybag::WrappedKey;
use crate::write_error::WriteError;
use plist::{Dictionary, Uid, Value};

/// What the phone says about one file, directory or link.
#[derive(Clone, Debug)]
pub(crate) struct MbFile<'a> {
    pub(crate) relative_path: &'a str,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) protection_class: u32,
    pub(crate) inode: u64,
    pub(crate) modified: i64,
    pub(crate) birth: i64,
    pub(crate) encryption_key: Option<WrappedKey>,
    pub(crate) digest: Option<[u8; 20]>,
    pub(crate) extended_attributes: Option<Vec<u8>>,
    pub(crate) target: Option<&'a str>,
}

impl MbFile<'_> {
    /// The blob of the row.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, WriteError> {
        let mut objects = vec![
            Value::from("$null"),
            Value::from("the file itself comes here"),
            self.relative_path.into(),
        ];
        let mut file = Dictionary::new();
        file.insert("LastModified".into(), self.modified.into());
        file.insert("Flags".into(), 0.into());
        file.insert("GroupID".into(), 501.into());
        file.insert("LastStatusChange".into(), self.modified.into());
        file.insert("RelativePath".into(), uid(2));
        file.insert("Birth".into(), self.birth.into());
        file.insert("Size".into(), self.size.into());
        file.insert("InodeNumber".into(), self.inode.into());
        file.insert("Mode".into(), self.mode.into());
        file.insert("UserID".into(), 501.into());
        file.insert("ProtectionClass".into(), self.protection_class.into());
        if let Some(digest) = self.digest {
            file.insert("Digest".into(), push(&mut objects, Value::Data(digest.to_vec())));
        }
        if let Some(key) = self.encryption_key {
            let mut data = Dictionary::new();
            data.insert("NS.data".into(), Value::Data(key.to_vec()));
            // The class of the object follows it in the list.
            data.insert("$class".into(), uid(objects.len() + 1));
            file.insert("EncryptionKey".into(), push(&mut objects, data.into()));
            push(&mut objects, class(&["NSMutableData", "NSData", "NSObject"]));
        }
        if let Some(attributes) = &self.extended_attributes {
            file.insert(
                "ExtendedAttributes".into(),
                push(&mut objects, Value::Data(attributes.clone())),
            );
        }
        if let Some(target) = self.target {
            file.insert("Target".into(), push(&mut objects, target.into()));
        }
        let own_class = push(&mut objects, class(&["MBFile", "NSObject"]));
        file.insert("$class".into(), own_class);
        if let Some(root) = objects.get_mut(1) {
            *root = file.into();
        }

        let mut top = Dictionary::new();
        top.insert("root".into(), uid(1));
        let mut archive = Dictionary::new();
        archive.insert("$version".into(), 100_000.into());
        archive.insert("$archiver".into(), "NSKeyedArchiver".into());
        archive.insert("$top".into(), top.into());
        archive.insert("$objects".into(), objects.into());
        let mut blob = Vec::new();
        Value::from(archive).to_writer_binary(&mut blob)?;
        Ok(blob)
    }
}

fn push(objects: &mut Vec<Value>, value: Value) -> Value {
    objects.push(value);
    uid(objects.len() - 1)
}

fn uid(index: usize) -> Value {
    Value::Uid(Uid::new(u64::try_from(index).expect("a position in memory fits 64 bits")))
}

fn class(names: &[&str]) -> Value {
    let mut class = Dictionary::new();
    class.insert("$classname".into(), names.first().copied().unwrap_or_default().into());
    class.insert("$classes".into(), Value::Array(names.iter().map(|&name| name.into()).collect()));
    class.into()
}
