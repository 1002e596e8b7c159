//! When a backup was made, from the best witness there is.
//!
//! Invariant: a witness that is absent or says nothing usable is passed over, never an error. Does not
//! judge whether a date is believable. Order: docs/apple-format.md §2.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{FolderName, Info, ManifestPlist, Status};

/// Who said when the backup was made, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DateSource {
    /// `Status.plist`, which the phone writes last.
    Status,
    /// `Manifest.plist`, also the phone's.
    ManifestPlist,
    /// `Info.plist`, by the computer's clock.
    Info,
    /// The name of an archived folder: when it was set aside.
    FolderName,
    /// The file system: when something was last written there.
    FileTime,
}

/// A date and who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackupDate {
    /// The moment.
    pub at: Timestamp,
    /// The witness.
    pub source: DateSource,
}

/// All witnesses that were found.
#[derive(Clone, Copy, Debug, Default)]
pub struct DateFacts<'a> {
    /// `Status.plist`, if it could be read.
    pub status: Option<&'a Status>,
    /// `Manifest.plist`, if it could be read.
    pub manifest: Option<&'a ManifestPlist>,
    /// `Info.plist`, if it could be read.
    pub info: Option<&'a Info>,
    /// The folder's name, if it is of Apple's forms.
    pub folder_name: Option<&'a FolderName>,
    /// When the folder or one of its lists was last written.
    pub modified: Option<Timestamp>,
}

/// The date of a backup from the first witness, in the order of [`DateSource`], that has one.
///
/// A folder's name holds a local time without its zone; it is read in `zone`, which should be this
/// computer's, or UTC if that is not known. In the hour that a change of clocks repeats or skips, the offset
/// from before the change is taken.
pub fn backup_date(facts: DateFacts<'_>, zone: &TimeZone) -> Option<BackupDate> {
    let of_name = || {
        let archived_at = facts.folder_name?.archived_at?;
        zone.to_ambiguous_timestamp(archived_at).compatible().ok()
    };
    let found = |at: Option<Timestamp>, source| at.map(|at| BackupDate { at, source });
    found(facts.status.and_then(|status| status.date), DateSource::Status)
        .or_else(|| {
            found(facts.manifest.and_then(|manifest| manifest.date), DateSource::ManifestPlist)
        })
        .or_else(|| found(facts.info.and_then(|info| info.last_backup_date), DateSource::Info))
        .or_else(|| found(of_name(), DateSource::FolderName))
        .or_else(|| found(facts.modified, DateSource::FileTime))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use jiff::civil::{DateTime, date};
    use jiff::tz::offset;

    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn archived(at: DateTime) -> FolderName {
        FolderName::parse(&format!("00008030-001A2B3C4D5E6F70-{}", at.strftime("%Y%m%d-%H%M%S")))
            .unwrap()
    }

    #[test]
    fn the_first_witness_with_a_date_is_believed() {
        let status = Status { date: Some(second(1)), ..Status::default() };
        let manifest = ManifestPlist { date: Some(second(2)), ..ManifestPlist::default() };
        let info = Info { last_backup_date: Some(second(3)), ..Info::default() };
        let name = archived(date(1970, 1, 1).at(0, 0, 4, 0));
        let mut facts = DateFacts {
            status: Some(&status),
            manifest: Some(&manifest),
            info: Some(&info),
            folder_name: Some(&name),
            modified: Some(second(5)),
        };
        let told = |facts, at, source| {
            assert_eq!(
                backup_date(facts, &TimeZone::UTC),
                Some(BackupDate { at: second(at), source })
            );
        };
        told(facts, 1, DateSource::Status);
        facts.status = None;
        told(facts, 2, DateSource::ManifestPlist);
        facts.manifest = None;
        told(facts, 3, DateSource::Info);
        facts.info = None;
        told(facts, 4, DateSource::FolderName);
        facts.folder_name = None;
        told(facts, 5, DateSource::FileTime);
        facts.modified = None;
        assert_eq!(backup_date(facts, &TimeZone::UTC), None);
    }

    #[test]
    fn lists_without_a_date_are_passed_over() {
        let (status, manifest, info) =
            (Status::default(), ManifestPlist::default(), Info::default());
        let current = FolderName::parse("00008030-001A2B3C4D5E6F70").unwrap();
        let facts = DateFacts {
            status: Some(&status),
            manifest: Some(&manifest),
            info: Some(&info),
            folder_name: Some(&current),
            modified: Some(second(5)),
        };
        assert_eq!(backup_date(facts, &TimeZone::UTC).unwrap().source, DateSource::FileTime);
    }

    #[test]
    fn the_folders_name_is_read_in_the_given_zone() {
        let name = archived(date(2026, 5, 3).at(22, 15, 0, 0));
        let facts = DateFacts { folder_name: Some(&name), ..DateFacts::default() };
        let zone = TimeZone::fixed(offset(2));
        assert_eq!(backup_date(facts, &zone).unwrap().at, "2026-05-03T20:15:00Z".parse().unwrap());
    }

    #[test]
    fn the_last_moment_of_the_calendar_in_a_western_zone_is_passed_over() {
        let name = archived(date(9999, 12, 31).at(23, 59, 59, 0));
        let facts = DateFacts {
            folder_name: Some(&name),
            modified: Some(second(5)),
            ..DateFacts::default()
        };
        let zone = TimeZone::fixed(offset(-25));
        assert_eq!(backup_date(facts, &zone).unwrap().source, DateSource::FileTime);
    }
}
