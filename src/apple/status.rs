//! `Status.plist`: how the backup in this folder ended.
//!
//! Invariant: an absent or odd key is `None`; only a file that is no property list is an error. Does not
//! decide what to do about an unfinished backup. Format: docs/apple-format.md §2.

use jiff::Timestamp;

use super::property_list::{self as list, Limits, PlistError};

/// What `Status.plist` says. The phone writes it last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// `finished`, or a stage that the backup stopped in: `uploading`, `moving`, `removing`.
    pub snapshot_state: Option<String>,
    /// `new` was seen.
    pub backup_state: Option<String>,
    /// When the backup was made, by the phone's clock.
    pub date: Option<Timestamp>,
    /// One id for each backup.
    pub uuid: Option<String>,
    /// True if the phone sent everything, false if only what had changed.
    pub is_full: Option<bool>,
    /// `3.3` since iOS 10, `2.4` before.
    pub version: Option<String>,
}

impl Status {
    /// Reads the bytes of a `Status.plist`, at most 1 MiB.
    pub fn parse(bytes: &[u8]) -> Result<Self, PlistError> {
        let root = list::parse_dictionary(bytes, Limits::STATUS)?;
        Ok(Self {
            snapshot_state: list::text(&root, "SnapshotState"),
            backup_state: list::text(&root, "BackupState"),
            date: list::date(&root, "Date"),
            uuid: list::text(&root, "UUID"),
            is_full: list::truth(&root, "IsFullBackup"),
            version: list::text(&root, "Version"),
        })
    }

    /// True only if the phone said that this backup is complete; silence is not completion.
    pub fn is_finished(&self) -> bool {
        self.snapshot_state.as_deref() == Some("finished")
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
        dictionary([
            ("BackupState", "new".into()),
            ("Date", Date::from_xml_format("2026-05-03T20:15:00Z").unwrap().into()),
            ("IsFullBackup", false.into()),
            ("SnapshotState", "finished".into()),
            ("UUID", "3B1C".into()),
            ("Version", "3.3".into()),
        ])
    }

    #[test]
    fn every_key_is_read_from_a_binary_and_from_an_xml_list() {
        let expected = Status {
            snapshot_state: Some("finished".into()),
            backup_state: Some("new".into()),
            date: Some("2026-05-03T20:15:00Z".parse().unwrap()),
            uuid: Some("3B1C".into()),
            is_full: Some(false),
            version: Some("3.3".into()),
        };
        assert_eq!(Status::parse(&binary(&sample())).unwrap(), expected);
        assert_eq!(Status::parse(&xml(&sample())).unwrap(), expected);
    }

    #[test]
    fn absent_keys_are_none_and_not_finished() {
        let status = Status::parse(&binary(&dictionary([]))).unwrap();
        assert_eq!(status, Status::default());
        assert!(!status.is_finished());
    }

    #[test]
    fn keys_of_another_type_are_none() {
        let odd = dictionary([
            ("SnapshotState", 1.into()),
            ("BackupState", false.into()),
            ("Date", "yesterday".into()),
            ("UUID", Value::Data(vec![1])),
            ("IsFullBackup", "YES".into()),
            ("Version", Value::Real(3.3)),
        ]);
        assert_eq!(Status::parse(&binary(&odd)).unwrap(), Status::default());
    }

    #[test]
    fn only_the_state_finished_is_finished() {
        let state = |state: &str| {
            let list = dictionary([("SnapshotState", state.into())]);
            Status::parse(&binary(&list)).unwrap().is_finished()
        };
        assert!(state("finished"));
        for other in ["uploading", "moving", "removing", "Finished", ""] {
            assert!(!state(other), "{other}");
        }
    }

    #[test]
    fn a_file_of_length_zero_is_empty() {
        assert!(matches!(Status::parse(b"").unwrap_err(), PlistError::Empty));
    }

    #[test]
    fn a_file_above_one_mebibyte_is_too_long() {
        let error = Status::parse(&vec![b' '; (1 << 20) + 1]).unwrap_err();
        assert!(matches!(error, PlistError::TooLong { len: 1_048_577, len_max: 1_048_576 }));
    }

    #[test]
    fn every_prefix_of_a_binary_list_is_an_error() {
        let whole = binary(&sample());
        for len in 0..whole.len() {
            assert!(Status::parse(&whole[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in damaged(vec![binary(&sample()), xml(&sample())])) {
            let _ = Status::parse(&bytes);
        }
    }
}
