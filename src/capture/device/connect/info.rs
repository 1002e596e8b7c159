//! `Info.plist`: what a host writes into a backup about the phone. Finder lists backups by it, and restores want it.
//!
//! Invariant: a key without a value is left out; a piece that could not be had is a remark, not a failure. Nothing is
//! invented: the name of the product is the phone's own word, or left out. Format: docs/apple-format.md §2.

use super::apps::{App, add_icons, installed_apps};
use super::message::write_xml;
use super::product_name::product_name;
use super::{ConnectError, Media, Phone, Values};
use plist::{Dictionary, Value};
use std::time::SystemTime;

/// Bytes taken of one file of iTunes'; real ones have kilobytes.
const FILE_LEN_MAX: u64 = 1 << 20;
const BOOKS: &str = "/Books/iBooksData2.plist";
const FOLDER: &str = "/iTunes_Control/iTunes/";
const FILES: [&str; 11] = [
    "ApertureAlbumPrefs",
    "IC-Info.sidb",
    "IC-Info.sidv",
    "PhotosFolderAlbums",
    "PhotosFolderName",
    "PhotosFolderPrefs",
    "VoiceMemos.plist",
    "iPhotoAlbumPrefs",
    "iTunesApplicationIDs",
    "iTunesPrefs",
    "iTunesPrefs.plist",
];
/// For phones that do not say which version of iTunes they want.
const ITUNES_VERSION: &str = "12.12";

/// Files that iTunes left on the phone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ITunesFiles {
    /// `iBooksData2.plist`.
    pub books: Option<Vec<u8>>,
    /// Name and bytes of each that is there.
    pub files: Vec<(&'static str, Vec<u8>)>,
}

/// What a phone has for Info.plist besides its values.
#[derive(Debug, Default)]
pub struct Pieces {
    /// The apps that the owner installed.
    pub apps: Vec<App>,
    /// Files that iTunes left.
    pub files: ITunesFiles,
    /// What its maker calls such a phone, where it tells.
    pub product_name: Option<String>,
    /// What could not be had.
    pub remarks: Vec<Remark>,
}

/// A piece of Info.plist that could not be had; the backup does without.
#[derive(Debug, thiserror::Error)]
#[error("Info.plist lacks {piece}")]
pub struct Remark {
    /// Which.
    pub piece: Piece,
    /// Why.
    #[source]
    pub error: ConnectError,
}

/// A piece of Info.plist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Piece {
    /// The list of apps.
    #[error("the list of apps")]
    Apps,
    /// Icons of apps, all from some point on.
    #[error("icons of apps")]
    Icons,
    /// The icon of one app.
    #[error("the icon of {0}")]
    Icon(String),
    /// One file, by its path on the phone.
    #[error("{0}")]
    File(String),
    /// All files that iTunes left.
    #[error("iTunes' files")]
    Files,
    /// What its maker calls such a phone.
    #[error("the name of the product")]
    ProductName,
}

/// Asks the phone for everything that Info.plist holds besides values.
///
/// # Errors
/// The caller's stop only; everything else is a remark.
pub fn gather(phone: &mut Phone) -> Result<Pieces, ConnectError> {
    let mut pieces = Pieces::default();
    let mut remarks = Vec::new();
    match installed_apps(phone) {
        Ok(apps) => pieces.apps = apps,
        Err(error) => remark(&mut remarks, Piece::Apps, error)?,
    }
    if pieces.apps.iter().any(|app| app.purchase.is_some()) {
        match add_icons(phone, &mut pieces.apps) {
            Ok(lacking) => remarks.extend(
                lacking.into_iter().map(|(id, error)| Remark { piece: Piece::Icon(id), error }),
            ),
            Err(error) => remark(&mut remarks, Piece::Icons, error)?,
        }
    }
    match Media::open(phone) {
        Ok(mut media) => pieces.files = files(&mut media, &mut remarks)?,
        Err(error) => remark(&mut remarks, Piece::Files, error)?,
    }
    match product_name(phone) {
        Ok(name) => pieces.product_name = name,
        Err(error) => remark(&mut remarks, Piece::ProductName, error)?,
    }
    pieces.remarks = remarks;
    Ok(pieces)
}

fn files(media: &mut Media, remarks: &mut Vec<Remark>) -> Result<ITunesFiles, ConnectError> {
    let mut files = ITunesFiles::default();
    let mut read = |path: &str| -> Result<Option<Vec<u8>>, ConnectError> {
        match media.read_file(path, FILE_LEN_MAX) {
            Ok(bytes) => Ok(bytes),
            Err(error) => remark(remarks, Piece::File(path.to_owned()), error).map(|()| None),
        }
    };
    files.books = read(BOOKS)?;
    for name in FILES {
        files.files.extend(read(&format!("{FOLDER}{name}"))?.map(|bytes| (name, bytes)));
    }
    Ok(files)
}

fn remark(
    remarks: &mut Vec<Remark>,
    piece: Piece,
    error: ConnectError,
) -> Result<(), ConnectError> {
    if matches!(error, ConnectError::Stopped) {
        return Err(error);
    }
    remarks.push(Remark { piece, error });
    Ok(())
}

/// The bytes of an Info.plist, XML. `date` is when the backup was made; Finder shows one without it as undated.
///
/// # Errors
/// None that a phone could bring about; a list that cannot be written.
pub fn info_plist(
    values: &Values,
    pieces: &Pieces,
    date: Option<SystemTime>,
) -> Result<Vec<u8>, ConnectError> {
    let Pieces { apps, files, product_name, .. } = pieces;
    let mut info = Dictionary::new();
    texts(&mut info, values);
    info.extend(product_name.iter().map(|name| ("Product Name".to_owned(), name.as_str().into())));
    if let Some(date) = date {
        info.insert("Last Backup Date".into(), Value::Date(date.into()));
    }
    let ids = apps.iter().map(|app| app.id.as_str().into()).collect();
    info.insert("Installed Applications".into(), Value::Array(ids));
    let bought: Dictionary = apps.iter().filter_map(application).collect();
    info.insert("Applications".into(), bought.into());
    if let Some(books) = &files.books {
        info.insert("iBooks Data 2".into(), Value::Data(books.clone()));
    }
    let of_itunes = files.files.iter();
    let of_itunes: Dictionary =
        of_itunes.map(|(name, bytes)| ((*name).to_owned(), Value::Data(bytes.clone()))).collect();
    info.insert("iTunes Files".into(), of_itunes.into());
    if let Some(settings) = &values.itunes_settings {
        info.insert("iTunes Settings".into(), settings.clone().into());
    }
    let mut bytes = Vec::new();
    write_xml(clean(info), &mut bytes)?;
    Ok(bytes)
}

fn texts(info: &mut Dictionary, values: &Values) {
    let upper = values.udid.as_ref().map(|udid| udid.to_ascii_uppercase());
    let guid = values.udid.as_deref().map(guid);
    let all = [
        ("Build Version", values.build_version.as_deref()),
        ("Device Name", values.name.as_deref()),
        ("Display Name", values.name.as_deref()),
        ("GUID", guid.as_deref()),
        ("ICCID", values.iccid.as_deref()),
        ("IMEI", values.imei.as_deref()),
        ("IMEI 2", values.imei2.as_deref()),
        ("MEID", values.meid.as_deref()),
        ("Phone Number", values.phone_number.as_deref()),
        ("Product Type", values.product_type.as_deref()),
        ("Product Version", values.product_version.as_deref()),
        ("Serial Number", values.serial_number.as_deref()),
        ("Target Identifier", values.udid.as_deref()),
        ("Target Type", Some("Device")),
        ("Unique Identifier", upper.as_deref()),
        ("iTunes Version", Some(values.min_itunes_version.as_deref().unwrap_or(ITUNES_VERSION))),
    ];
    let there = all.into_iter().filter_map(|(key, text)| text.map(|text| (key, text)));
    info.extend(there.map(|(key, text)| (key.to_owned(), text.into())));
}

/// An app and what its reinstallation needs; none if it was not bought.
fn application(app: &App) -> Option<(String, Value)> {
    let purchase = app.purchase.as_ref()?;
    let mut members = Dictionary::new();
    members.insert("ApplicationSINF".into(), Value::Data(purchase.sinf.clone()));
    members.insert("iTunesMetadata".into(), Value::Data(purchase.metadata.clone()));
    if let Some(icon) = &app.icon {
        members.insert("PlaceholderIcon".into(), Value::Data(icon.clone()));
    }
    Some((app.id.clone(), members.into()))
}

/// 32 hexadecimal digits that are the same for each backup of one phone.
fn guid(udid: &str) -> String {
    let hash = blake3::derive_key("russet 2026 GUID in Info.plist", udid.as_bytes());
    hash.iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}

/// The same without characters that XML cannot hold: one of them in a phone's name, and nobody could read the list.
fn clean(dictionary: Dictionary) -> Dictionary {
    dictionary.into_iter().map(|(key, value)| (clean_text(key), clean_value(value))).collect()
}

/// Recursion ends: what a phone sends was refused below 64 levels.
fn clean_value(value: Value) -> Value {
    match value {
        Value::String(text) => clean_text(text).into(),
        Value::Array(members) => members.into_iter().map(clean_value).collect::<Vec<_>>().into(),
        Value::Dictionary(members) => clean(members).into(),
        other => other,
    }
}

fn clean_text(text: String) -> String {
    let is_odd = |c: char| (c < ' ' && !"\t\n\r".contains(c)) || c == '\u{fffe}' || c == '\u{ffff}';
    if text.contains(is_odd) { text.replace(is_odd, "\u{fffd}") } else { text }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::apple::Info;
    use proptest::prelude::*;

    fn named(name: &str) -> Option<Info> {
        let values = Values { name: Some(name.to_owned()), ..Values::default() };
        let bytes = info_plist(&values, &Pieces::default(), None).unwrap();
        Info::parse(&bytes).ok()
    }

    #[test]
    fn a_key_without_a_value_is_left_out() {
        let bytes = info_plist(&Values::default(), &Pieces::default(), None).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("Target Type") && !text.contains("Phone Number"), "{text}");
    }

    #[test]
    fn a_guid_has_32_digits() {
        let guid = guid("x");
        assert_eq!(guid.len(), 32);
        assert!(guid.bytes().all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)));
    }

    proptest! {
        #[test]
        fn any_name_leaves_a_list_that_any_reader_takes(name in "[\\x00-\\x7f\\u{fff0}-\\u{10fff}]{0,20}") {
            let values = Values { name: Some(name), ..Values::default() };
            let bytes = info_plist(&values, &Pieces::default(), None).unwrap();
            let text = String::from_utf8(bytes).unwrap();
            let is_xml =
                |c: char| (c >= ' ' && !"\u{fffe}\u{ffff}".contains(c)) || "\t\n\r".contains(c);
            prop_assert!(text.chars().all(is_xml), "{text:?}");
        }

        #[test]
        fn a_printable_name_is_read_as_it_was(name in "[^\\p{C}\\s]{1,20}") {
            prop_assert_eq!(named(&name).and_then(|info| info.device_name), Some(name));
        }
    }
}
