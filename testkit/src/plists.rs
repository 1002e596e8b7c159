//! The three property lists in the root of a backup: Info, Status and Manifest.
//!
//! Invariant: keys and types are those of docs/apple-format.md §2; nothing depends on a clock. Must not read any.

use crate::keybag::WrappedKey;
use crate::random::Random;
use crate::write_error::WriteError;
use plist::{Date, Dictionary, Value};
use std::time::{Duration, SystemTime};

/// What is said about the phone in Info.plist and Manifest.plist.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) udid: String,
    pub(crate) name: String,
    /// The version of its iOS.
    pub(crate) version: String,
}

pub(crate) const PRODUCT_NAME: &str = "iPhone 13";
pub(crate) const PRODUCT_TYPE: &str = "iPhone14,5";
pub(crate) const PRODUCT_VERSION: &str = "18.6.2";
pub(crate) const BUILD_VERSION: &str = "22G100";

/// Seconds since 1970 as a time.
pub(crate) fn time_of(unix_secs: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(unix_secs)
}

impl Device {
    /// A phone with the iOS of most tests.
    pub(crate) fn new(udid: String, name: String) -> Self {
        Self { udid, name, version: PRODUCT_VERSION.to_owned() }
    }

    /// The serial number that both property lists name.
    pub(crate) fn serial_number(&self) -> String {
        hex(&self.udid, 2, 12)
    }

    /// Info.plist as a value: the host writes it in XML, some tools in binary.
    pub(crate) fn info(&self, date: u64, apps: &[String]) -> Value {
        let mut applications = Dictionary::new();
        for app in apps {
            let mut random = Random::of_parts(&[0x1c0, hash(app)]);
            let mut icon = vec![0; usize::try_from(random.between(900..=2600)).unwrap_or(900)];
            random.fill(&mut icon);
            let mut entry = Dictionary::new();
            entry.insert("PlaceholderIcon".into(), Value::Data(icon));
            entry.insert("ApplicationSINF".into(), Value::Data(random.array::<64>().to_vec()));
            applications.insert(app.clone(), entry.into());
        }
        let mut info = Dictionary::new();
        info.insert("Applications".into(), applications.into());
        info.insert("Build Version".into(), BUILD_VERSION.into());
        info.insert("Device Name".into(), self.name.clone().into());
        info.insert("Display Name".into(), self.name.clone().into());
        info.insert("GUID".into(), hex(&self.udid, 1, 32).into());
        info.insert(
            "Installed Applications".into(),
            Value::Array(apps.iter().map(|app| app.clone().into()).collect()),
        );
        info.insert("Last Backup Date".into(), Value::Date(Date::from(time_of(date))));
        info.insert("Product Name".into(), PRODUCT_NAME.into());
        info.insert("Product Type".into(), PRODUCT_TYPE.into());
        info.insert("Product Version".into(), self.version.clone().into());
        info.insert("Serial Number".into(), self.serial_number().into());
        info.insert("Target Identifier".into(), self.udid.clone().into());
        info.insert("Target Type".into(), "Device".into());
        info.insert("Unique Identifier".into(), self.udid.to_uppercase().into());
        info.insert("iTunes Files".into(), Dictionary::new().into());
        info.insert("iTunes Settings".into(), Dictionary::new().into());
        info.insert("macOS Version".into(), "15.6".into());
        info.into()
    }

    /// Manifest.plist; with `encryption` it holds the keybag and the wrapped key of Manifest.db.
    pub(crate) fn manifest(
        &self,
        date: u64,
        apps: &[String],
        encryption: Option<(&[u8], WrappedKey)>,
    ) -> Value {
        let mut applications = Dictionary::new();
        for app in apps {
            let mut entry = Dictionary::new();
            let container = Random::of_parts(&[0xb0d, hash(app)]).uuid();
            let name = app.rsplit('.').next().unwrap_or(app);
            entry.insert("CFBundleIdentifier".into(), app.clone().into());
            entry.insert("CFBundleVersion".into(), "1".into());
            entry.insert("ContainerContentClass".into(), "Data/Application".into());
            entry.insert(
                "Path".into(),
                format!("/var/containers/Bundle/Application/{container}/{name}.app").into(),
            );
            applications.insert(app.clone(), entry.into());
        }
        let mut lockdown = Dictionary::new();
        lockdown.insert("BuildVersion".into(), BUILD_VERSION.into());
        lockdown.insert("DeviceName".into(), self.name.clone().into());
        lockdown.insert("ProductType".into(), PRODUCT_TYPE.into());
        lockdown.insert("ProductVersion".into(), self.version.clone().into());
        lockdown.insert("SerialNumber".into(), self.serial_number().into());
        lockdown.insert("UniqueDeviceID".into(), self.udid.clone().into());
        let mut manifest = Dictionary::new();
        manifest.insert("Version".into(), "10.0".into());
        manifest.insert("Date".into(), Value::Date(Date::from(time_of(date))));
        manifest.insert("SystemDomainsVersion".into(), "24.0".into());
        manifest.insert("WasPasscodeSet".into(), true.into());
        manifest.insert("IsEncrypted".into(), encryption.is_some().into());
        manifest.insert("Lockdown".into(), lockdown.into());
        manifest.insert("Applications".into(), applications.into());
        if let Some((keybag, manifest_key)) = encryption {
            manifest.insert("BackupKeyBag".into(), Value::Data(keybag.to_vec()));
            manifest.insert("ManifestKey".into(), Value::Data(manifest_key.to_vec()));
        }
        manifest.into()
    }
}

/// Status.plist.
pub(crate) fn status(date: u64, uuid: String, is_full: bool, snapshot_state: &str) -> Value {
    let mut status = Dictionary::new();
    status.insert("BackupState".into(), "new".into());
    status.insert("Date".into(), Value::Date(Date::from(time_of(date))));
    status.insert("IsFullBackup".into(), is_full.into());
    status.insert("SnapshotState".into(), snapshot_state.into());
    status.insert("UUID".into(), uuid.into());
    status.insert("Version".into(), "3.3".into());
    status.into()
}

/// The binary form.
pub(crate) fn binary(value: &Value) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::new();
    value.to_writer_binary(&mut bytes)?;
    Ok(bytes)
}

/// The XML form.
pub(crate) fn xml(value: &Value) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::new();
    value.to_writer_xml(&mut bytes)?;
    Ok(bytes)
}

/// A number that stands for a name.
pub(crate) fn hash(name: &str) -> u64 {
    hash_of(name.as_bytes())
}

/// A number that stands for these bytes.
pub(crate) fn hash_of(name: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    for (byte, value) in bytes.iter_mut().zip(blake3::hash(name).as_bytes()) {
        *byte = *value;
    }
    u64::from_le_bytes(bytes)
}

fn hex(udid: &str, purpose: u64, count: usize) -> String {
    let mut text = crate::random::hex_of(&Random::of_parts(&[purpose, hash(udid)]).array::<16>())
        .to_uppercase();
    text.truncate(count);
    text
}
