//! The `file` blob of a row of `Manifest.db`: what the phone's file system said about one file.
//!
//! Invariant: an absent or odd key is `None`; only a blob that is no archive of one object is an error. The
//! wrapped file key is carried but never shown. References are followed once, so that an archive which
//! points in circles ends. Format: docs/apple-format.md §3.

use std::fmt;

use plist::{Dictionary, Value};

use super::property_list::{self as list, Limits, PlistError};

/// Why a `file` blob says nothing.
#[derive(Debug, thiserror::Error)]
pub enum MbFileError {
    /// The blob is no property list that can be read.
    #[error("the file record is not a readable property list")]
    Plist(#[from] PlistError),
    /// A property list, but not one made by Apple's keyed archiver.
    #[error("the file record is not a keyed archive")]
    NotAnArchive,
    /// A keyed archive whose root is absent or is no object with keys.
    #[error("the file record has no root object")]
    NoRoot,
}

/// A file key as the phone wrapped it: class and 40 wrapped bytes. Opens nothing without the keybag and its
/// password, yet is not for logs: it has no readable `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct WrappedKey(Vec<u8>);

impl WrappedKey {
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes as they stand in the record; 44 in all that were seen, not checked here.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for WrappedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappedKey({} bytes)", self.0.len())
    }
}

/// What a `file` blob says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MbFile {
    /// Bytes of the file. Often wrong for SQLite files: never cut or allocate by it.
    pub size: Option<i64>,
    /// Type and permissions, as in `st_mode`.
    pub mode: Option<u32>,
    /// Last modification in Unix seconds.
    pub mtime: Option<i64>,
    /// When the file was made, Unix seconds.
    pub birth: Option<i64>,
    /// 1 to 4 for files, 0 for most directories and links.
    pub protection_class: Option<i64>,
    /// The phone's inode number.
    pub inode: Option<u64>,
    /// SHA-1 of the stored bytes; present in some domains only.
    pub digest: Option<[u8; 20]>,
    /// True if the record names a key, even one that is no data.
    pub has_encryption_key: bool,
    /// The key of an Apple-encrypted file.
    pub encryption_key: Option<WrappedKey>,
    /// Where a symbolic link points.
    pub target: Option<Vec<u8>>,
}

impl MbFile {
    /// Reads a blob, binary or XML, at most 1 MiB.
    pub fn parse(blob: &[u8]) -> Result<Self, MbFileError> {
        let archive = list::parse_dictionary(blob, Limits::FILE_BLOB)?;
        let objects =
            archive.get("$objects").and_then(Value::as_array).ok_or(MbFileError::NotAnArchive)?;
        let top =
            archive.get("$top").and_then(Value::as_dictionary).ok_or(MbFileError::NotAnArchive)?;
        let record = Record::new(objects, top).ok_or(MbFileError::NoRoot)?;
        let key = record.get("EncryptionKey");
        Ok(Self {
            size: record.signed("Size"),
            mode: record.unsigned("Mode").and_then(|mode| u32::try_from(mode).ok()),
            mtime: record.signed("LastModified"),
            birth: record.signed("Birth"),
            protection_class: record.signed("ProtectionClass"),
            inode: record.unsigned("InodeNumber"),
            digest: record.get("Digest").and_then(|digest| record.data(digest)?.try_into().ok()),
            has_encryption_key: key.is_some(),
            encryption_key: key
                .and_then(|key| record.data(key))
                .map(|key| WrappedKey(key.to_vec())),
            target: record.get("Target").and_then(|target| record.text(target)).map(<[u8]>::to_vec),
        })
    }
}

/// The root object of a keyed archive, and the others that its members refer to.
struct Record<'a> {
    objects: &'a [Value],
    root: &'a Dictionary,
}

impl<'a> Record<'a> {
    fn new(objects: &'a [Value], top: &Dictionary) -> Option<Self> {
        let root = objects.get(reference(top.get("root")?)?)?.as_dictionary()?;
        Some(Self { objects, root })
    }

    /// The member itself or what it refers to; `None` for an absent one, for `$null` (object 0) and for a
    /// reference that leads nowhere.
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.follow(self.root.get(key)?)
    }

    fn follow(&self, value: &'a Value) -> Option<&'a Value> {
        match reference(value) {
            None => Some(value),
            Some(0) => None,
            Some(index) => self.objects.get(index),
        }
    }

    fn signed(&self, key: &str) -> Option<i64> {
        self.get(key)?.as_signed_integer()
    }

    fn unsigned(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_unsigned_integer()
    }

    /// Data as such, or as the `NSData` object that newer archives wrap around it.
    fn data(&self, value: &'a Value) -> Option<&'a [u8]> {
        let inner = value.as_dictionary().and_then(|object| self.follow(object.get("NS.data")?));
        inner.unwrap_or(value).as_data()
    }

    /// Text as such, as an `NSString` object, or as data.
    fn text(&self, value: &'a Value) -> Option<&'a [u8]> {
        let inner = value.as_dictionary().and_then(|object| self.follow(object.get("NS.string")?));
        let value = inner.unwrap_or(value);
        value.as_string().map(str::as_bytes).or_else(|| self.data(value))
    }
}

/// The object number that a reference holds. XML has no type for it and spells it as a dictionary.
fn reference(value: &Value) -> Option<usize> {
    let number = match value {
        Value::Uid(uid) => uid.get(),
        Value::Dictionary(members) => members.get("CF$UID")?.as_unsigned_integer()?,
        _ => return None,
    };
    usize::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use plist::Uid;
    use proptest::prelude::*;

    use super::super::property_list::fixtures::{binary, damaged, dictionary, xml};
    use super::*;

    fn uid(number: u64) -> Value {
        Value::Uid(Uid::new(number))
    }

    fn xml_uid(number: u64) -> Value {
        dictionary([("CF$UID", number.into())])
    }

    fn archive(reference: fn(u64) -> Value, objects: Vec<Value>) -> Value {
        dictionary([
            ("$version", 100_000.into()),
            ("$archiver", "NSKeyedArchiver".into()),
            ("$top", dictionary([("root", reference(1))])),
            ("$objects", Value::Array(objects)),
        ])
    }

    fn sample(reference: fn(u64) -> Value) -> Value {
        let root = dictionary([
            ("RelativePath", reference(2)),
            ("Size", 4096.into()),
            ("Mode", 0o100_644.into()),
            ("LastModified", 1_610_674_669.into()),
            ("Birth", 1_610_000_000.into()),
            ("ProtectionClass", 3.into()),
            ("InodeNumber", 184_673.into()),
            ("Digest", reference(3)),
            ("EncryptionKey", reference(4)),
            ("Target", reference(5)),
        ]);
        let key = dictionary([("NS.data", Value::Data(vec![7; 44]))]);
        let objects = vec![
            "$null".into(),
            root,
            "Library/a.db".into(),
            Value::Data(vec![9; 20]),
            key,
            "../b".into(),
        ];
        archive(reference, objects)
    }

    /// A record with this one member, and object 2.
    fn with(key: &str, value: Value, object: Value) -> MbFile {
        let objects = vec!["$null".into(), dictionary([(key, value)]), object];
        MbFile::parse(&binary(&archive(uid, objects))).unwrap()
    }

    #[test]
    fn every_key_is_read_from_a_binary_and_from_an_xml_archive() {
        let expected = MbFile {
            size: Some(4096),
            mode: Some(0o100_644),
            mtime: Some(1_610_674_669),
            birth: Some(1_610_000_000),
            protection_class: Some(3),
            inode: Some(184_673),
            digest: Some([9; 20]),
            has_encryption_key: true,
            encryption_key: Some(WrappedKey(vec![7; 44])),
            target: Some(b"../b".to_vec()),
        };
        assert_eq!(MbFile::parse(&binary(&sample(uid))).unwrap(), expected);
        assert_eq!(MbFile::parse(&xml(&sample(xml_uid))).unwrap(), expected);
    }

    #[test]
    fn a_digest_is_read_raw_and_as_an_object() {
        let raw = Value::Data(vec![9; 20]);
        let object = dictionary([("NS.data", raw.clone()), ("$class", uid(0))]);
        assert_eq!(with("Digest", uid(2), raw).digest, Some([9; 20]));
        assert_eq!(with("Digest", uid(2), object).digest, Some([9; 20]));
    }

    #[test]
    fn a_digest_of_another_length_is_none() {
        for len in [0, 19, 21, 32] {
            assert_eq!(with("Digest", uid(2), Value::Data(vec![9; len])).digest, None);
        }
    }

    #[test]
    fn the_file_key_is_not_shown() {
        let shown = format!("{:?}", MbFile::parse(&binary(&sample(uid))).unwrap());
        assert!(shown.contains("WrappedKey(44 bytes)") && !shown.contains("7, 7"), "{shown}");
    }

    #[test]
    fn a_key_that_is_no_data_is_told_but_not_read() {
        let file = with("EncryptionKey", uid(2), "text".into());
        assert!(file.has_encryption_key && file.encryption_key.is_none());
    }

    #[test]
    fn a_null_key_is_no_key() {
        assert!(!with("EncryptionKey", uid(0), "unused".into()).has_encryption_key);
    }

    #[test]
    fn a_directory_has_no_digest_no_key_and_no_target() {
        let file = with("Mode", 0o40_755.into(), "unused".into());
        assert_eq!(file, MbFile { mode: Some(0o40_755), ..MbFile::default() });
    }

    #[test]
    fn odd_values_are_none() {
        assert_eq!(with("Size", "big".into(), "unused".into()), MbFile::default());
        assert_eq!(with("Mode", u64::MAX.into(), "unused".into()), MbFile::default());
        assert_eq!(with("InodeNumber", (-1).into(), "unused".into()), MbFile::default());
        assert_eq!(with("Target", uid(99), "unused".into()), MbFile::default());
    }

    #[test]
    fn a_reference_to_a_reference_is_not_followed() {
        assert_eq!(with("Target", uid(2), uid(2)), MbFile::default());
    }

    #[test]
    fn an_object_that_holds_itself_ends() {
        let file = with("Digest", uid(2), dictionary([("NS.data", uid(2))]));
        assert_eq!(file, MbFile::default());
    }

    #[test]
    fn an_ordinary_list_is_not_an_archive() {
        let error = MbFile::parse(&binary(&dictionary([("Size", 1.into())]))).unwrap_err();
        assert!(matches!(error, MbFileError::NotAnArchive));
    }

    #[test]
    fn an_archive_whose_root_is_absent_or_no_object_has_no_root() {
        for objects in [vec!["$null".into()], vec!["$null".into(), "text".into()]] {
            let error = MbFile::parse(&binary(&archive(uid, objects))).unwrap_err();
            assert!(matches!(error, MbFileError::NoRoot));
        }
    }

    #[test]
    fn an_empty_blob_is_an_empty_list() {
        assert!(matches!(MbFile::parse(b"").unwrap_err(), MbFileError::Plist(PlistError::Empty)));
    }

    #[test]
    fn every_prefix_of_a_binary_archive_is_an_error() {
        let whole = binary(&sample(uid));
        for len in 0..whole.len() {
            assert!(MbFile::parse(&whole[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(blob in damaged(vec![binary(&sample(uid)), xml(&sample(xml_uid))])) {
            let _ = MbFile::parse(&blob);
        }
    }
}
