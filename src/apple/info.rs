//! `Info.plist`: what the computer wrote about the phone.
//!
//! Invariant: an absent or odd key is `None`; only a file that is no property list is an error. Phone
//! number, IMEI, ICCID and account names stand in the file too and are never kept here. Format:
//! docs/apple-format.md §2.

use jiff::Timestamp;

use super::property_list::{self as list, Limits, PlistError};

/// What `Info.plist` says about the phone, without what is private in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The name that its owner gave the phone.
    pub device_name: Option<String>,
    /// The name that Finder shows.
    pub display_name: Option<String>,
    /// `iPhone 15`.
    pub product_name: Option<String>,
    /// `iPhone15,4`.
    pub product_type: Option<String>,
    /// The version of iOS, `26.1`.
    pub product_version: Option<String>,
    /// The build of iOS, `18C66`.
    pub build_version: Option<String>,
    /// As printed on the phone's box.
    pub serial_number: Option<String>,
    /// The UDID as the folder is named.
    pub target_identifier: Option<String>,
    /// The same in upper case.
    pub unique_identifier: Option<String>,
    /// When the computer wrote this file.
    pub last_backup_date: Option<Timestamp>,
    /// Members of `Installed Applications`.
    pub installed_application_count: Option<u64>,
}

impl Info {
    /// Reads the bytes of an `Info.plist`, at most 64 MiB (it holds every app's icon).
    pub fn parse(bytes: &[u8]) -> Result<Self, PlistError> {
        let root = list::parse_dictionary(bytes, Limits::INFO)?;
        Ok(Self {
            device_name: list::text(&root, "Device Name"),
            display_name: list::text(&root, "Display Name"),
            product_name: list::text(&root, "Product Name"),
            product_type: list::text(&root, "Product Type"),
            product_version: list::text(&root, "Product Version"),
            build_version: list::text(&root, "Build Version"),
            serial_number: list::text(&root, "Serial Number"),
            target_identifier: list::text(&root, "Target Identifier"),
            unique_identifier: list::text(&root, "Unique Identifier"),
            last_backup_date: list::date(&root, "Last Backup Date"),
            installed_application_count: list::count(&root, "Installed Applications"),
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

    const UDID: &str = "1cb128eafa77c5be74283e9a3a2130af36a3c059";

    fn sample() -> Value {
        let apps = ["org.example.one", "org.example.two"].map(Value::from).to_vec();
        dictionary([
            ("Build Version", "18C66".into()),
            ("Device Name", "Blue iPhone".into()),
            ("Display Name", "Blue".into()),
            ("IMEI", "42".into()),
            ("Installed Applications", Value::Array(apps)),
            ("Last Backup Date", Date::from_xml_format("2026-05-03T20:14:00Z").unwrap().into()),
            ("Phone Number", "+44 20 7946 0000".into()),
            ("Product Name", "iPhone 7".into()),
            ("Product Type", "iPhone9,3".into()),
            ("Product Version", "14.3".into()),
            ("Serial Number", "F12345".into()),
            ("Target Identifier", UDID.into()),
            ("Unique Identifier", UDID.to_uppercase().into()),
        ])
    }

    #[test]
    fn every_key_is_read_from_a_binary_and_from_an_xml_list() {
        let expected = Info {
            device_name: Some("Blue iPhone".into()),
            display_name: Some("Blue".into()),
            product_name: Some("iPhone 7".into()),
            product_type: Some("iPhone9,3".into()),
            product_version: Some("14.3".into()),
            build_version: Some("18C66".into()),
            serial_number: Some("F12345".into()),
            target_identifier: Some(UDID.into()),
            unique_identifier: Some(UDID.to_uppercase()),
            last_backup_date: Some("2026-05-03T20:14:00Z".parse().unwrap()),
            installed_application_count: Some(2),
        };
        assert_eq!(Info::parse(&binary(&sample())).unwrap(), expected);
        assert_eq!(Info::parse(&xml(&sample())).unwrap(), expected);
    }

    #[test]
    fn the_phone_number_is_not_kept() {
        let kept = format!("{:?}", Info::parse(&xml(&sample())).unwrap());
        assert!(!kept.contains("7946"));
    }

    #[test]
    fn absent_and_odd_keys_are_none() {
        let odd =
            dictionary([("Device Name", 7.into()), ("Installed Applications", "many".into())]);
        assert_eq!(Info::parse(&xml(&odd)).unwrap(), Info::default());
    }

    #[test]
    fn a_file_of_length_zero_is_empty() {
        assert!(matches!(Info::parse(b"").unwrap_err(), PlistError::Empty));
    }

    #[test]
    fn a_web_page_is_malformed() {
        let error = Info::parse(b"<html><body>sign in</body></html>").unwrap_err();
        assert!(matches!(error, PlistError::Malformed(_)));
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in damaged(vec![binary(&sample()), xml(&sample())])) {
            let _ = Info::parse(&bytes);
        }
    }
}
