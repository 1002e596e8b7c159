//! `Manifest.plist`: what the phone wrote about the backup as a whole.
//!
//! Invariant: an absent or odd key is `None`; only a file that is no property list is an error. The keybag
//! and the key of `Manifest.db` stand in this file; they are never kept here, only that a keybag exists.
//! Format: docs/apple-format.md §2.

use jiff::Timestamp;

use super::property_list::{self as list, Limits, PlistError};

/// What `Manifest.plist` says, without its key material.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManifestPlist {
    /// `10.0` since iOS 10, `9.1` with `Manifest.mbdb`.
    pub version: Option<String>,
    /// When the backup was made, by the phone's clock.
    pub date: Option<Timestamp>,
    /// True if the backup's owner set a backup password.
    pub is_encrypted: Option<bool>,
    /// True if the phone had a passcode.
    pub was_passcode_set: Option<bool>,
    /// The name that its owner gave the phone.
    pub device_name: Option<String>,
    /// The version of iOS.
    pub product_version: Option<String>,
    /// `iPhone15,4`.
    pub product_type: Option<String>,
    /// The build of iOS.
    pub build_version: Option<String>,
    /// As printed on the phone's box.
    pub serial_number: Option<String>,
    /// The phone's UDID.
    pub unique_device_id: Option<String>,
    /// Members of `Applications`: apps and their system containers.
    pub application_count: Option<u64>,
    /// True if the file carries a keybag that is not empty.
    pub has_keybag: bool,
}

impl ManifestPlist {
    /// Reads the bytes of a `Manifest.plist`, at most 64 MiB.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlistError> {
        let root = list::parse_dictionary(bytes, Limits::MANIFEST)?;
        let lockdown = root.get("Lockdown").and_then(|value| value.as_dictionary());
        let of_phone = |key| lockdown.and_then(|lockdown| list::text(lockdown, key));
        Ok(Self {
            version: list::text(&root, "Version"),
            date: list::date(&root, "Date"),
            is_encrypted: list::truth(&root, "IsEncrypted"),
            was_passcode_set: list::truth(&root, "WasPasscodeSet"),
            device_name: of_phone("DeviceName"),
            product_version: of_phone("ProductVersion"),
            product_type: of_phone("ProductType"),
            build_version: of_phone("BuildVersion"),
            serial_number: of_phone("SerialNumber"),
            unique_device_id: of_phone("UniqueDeviceID"),
            application_count: list::count(&root, "Applications"),
            has_keybag: root
                .get("BackupKeyBag")
                .and_then(|value| value.as_data())
                .is_some_and(|bag| !bag.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use plist::{Date, Value};
    use proptest::prelude::*;

    use super::super::property_list::fixtures::{binary, damaged, dictionary, xml};
    use super::*;

    fn sample() -> Value {
        let lockdown = dictionary([
            ("BuildVersion", "18C66".into()),
            ("DeviceName", "Blue iPhone".into()),
            ("ProductType", "iPhone9,3".into()),
            ("ProductVersion", "14.3".into()),
            ("SerialNumber", "F12345".into()),
            ("UniqueDeviceID", "00008030-001A2B3C4D5E6F70".into()),
        ]);
        dictionary([
            ("Applications", dictionary([("org.example.one", dictionary([]))])),
            ("BackupKeyBag", Value::Data(b"VERS-not-a-real-keybag".to_vec())),
            ("Date", Date::from_xml_format("2026-05-03T20:15:00Z").unwrap().into()),
            ("IsEncrypted", true.into()),
            ("Lockdown", lockdown),
            ("ManifestKey", Value::Data(b"not-a-real-manifest-key".to_vec())),
            ("Version", "10.0".into()),
            ("WasPasscodeSet", true.into()),
        ])
    }

    #[test]
    fn every_key_is_read_from_a_binary_and_from_an_xml_list() {
        let expected = ManifestPlist {
            version: Some("10.0".into()),
            date: Some("2026-05-03T20:15:00Z".parse().unwrap()),
            is_encrypted: Some(true),
            was_passcode_set: Some(true),
            device_name: Some("Blue iPhone".into()),
            product_version: Some("14.3".into()),
            product_type: Some("iPhone9,3".into()),
            build_version: Some("18C66".into()),
            serial_number: Some("F12345".into()),
            unique_device_id: Some("00008030-001A2B3C4D5E6F70".into()),
            application_count: Some(1),
            has_keybag: true,
        };
        assert_eq!(ManifestPlist::parse(&binary(&sample())).unwrap(), expected);
        assert_eq!(ManifestPlist::parse(&xml(&sample())).unwrap(), expected);
    }

    #[test]
    fn no_key_material_is_kept() {
        let kept = format!("{:?}", ManifestPlist::parse(&binary(&sample())).unwrap());
        let as_text = kept.contains("not-a-real");
        let as_numbers = kept.contains("86, 69, 82, 83");
        assert!(!as_text && !as_numbers, "{kept}");
    }

    #[test]
    fn absent_and_odd_keys_are_none() {
        let odd = dictionary([
            ("Applications", 3.into()),
            ("BackupKeyBag", Value::Data(Vec::new())),
            ("IsEncrypted", "yes".into()),
            ("Lockdown", "none".into()),
        ]);
        assert_eq!(ManifestPlist::parse(&binary(&odd)).unwrap(), ManifestPlist::default());
        assert_eq!(
            ManifestPlist::parse(&binary(&dictionary([]))).unwrap(),
            ManifestPlist::default()
        );
    }

    #[test]
    fn a_file_of_length_zero_is_empty() {
        assert!(matches!(ManifestPlist::parse(b"").unwrap_err(), PlistError::Empty));
    }

    #[test]
    fn every_prefix_of_a_binary_list_is_an_error() {
        let whole = binary(&sample());
        for len in 0..whole.len() {
            assert!(ManifestPlist::parse(&whole[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in damaged(vec![binary(&sample()), xml(&sample())])) {
            let _ = ManifestPlist::parse(&bytes);
        }
    }
}
