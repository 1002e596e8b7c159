//! Recognising a backup folder by its name and by what lies in its root.
//!
//! Invariant: a folder counts as a backup only if all four files that Apple's programs need are there; a
//! missing one is named. Names are judged as text; [`look_at`] alone touches a disk, and only reads.
//! Source: docs/apple-format.md §1, §2.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use jiff::civil::DateTime;

/// The id of a phone: 40 hex digits, or since 2018 eight, a hyphen and sixteen.
///
/// Kept in the spelling that Apple's folders have: the long form in lower case, the other in upper case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Udid(String);

impl Udid {
    /// Reads either form in any case; files next to each other spell it differently.
    pub fn parse(text: &str) -> Option<Self> {
        let is_hex = |part: &str, len: usize| {
            part.len() == len && part.bytes().all(|digit| digit.is_ascii_hexdigit())
        };
        match text.split_once('-') {
            None if is_hex(text, 40) => Some(Self(text.to_ascii_lowercase())),
            Some((chip, rest)) if is_hex(chip, 8) && is_hex(rest, 16) => {
                Some(Self(text.to_ascii_uppercase()))
            }
            _ => None,
        }
    }

    /// The id as Apple's folders are named.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Udid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What the name of a backup folder says: `<UDID>`, or `<UDID>-YYYYMMDD-HHMMSS` for one set aside with
/// Finder's "Archive".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderName {
    /// The phone.
    pub udid: Udid,
    /// When it was set aside, by the computer's clock in its own time zone, which the name does not tell.
    pub archived_at: Option<DateTime>,
}

impl FolderName {
    /// Reads a folder's name; `None` if it is not of these two forms.
    pub fn parse(name: &str) -> Option<Self> {
        if let Some(udid) = Udid::parse(name) {
            return Some(Self { udid, archived_at: None });
        }
        let (rest, time) = name.rsplit_once('-')?;
        let (udid, date) = rest.rsplit_once('-')?;
        let archived_at = Some(parse_date_time(date, time)?);
        Some(Self { udid: Udid::parse(udid)?, archived_at })
    }
}

fn parse_date_time(date: &str, time: &str) -> Option<DateTime> {
    let is_number = |text: &str, len: usize| {
        text.len() == len && text.bytes().all(|digit| digit.is_ascii_digit())
    };
    if !is_number(date, 8) || !is_number(time, 6) {
        return None;
    }
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    let small = |text: &str| text.parse::<i8>().ok();
    DateTime::new(
        year.parse().ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    )
    .ok()
}

/// A file that Apple's programs look for in the root of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootFile {
    /// `Info.plist`, from the computer.
    InfoPlist,
    /// `Manifest.plist`, from the phone.
    ManifestPlist,
    /// `Status.plist`, from the phone.
    StatusPlist,
    /// `Manifest.db`: the list of files since iOS 10.
    ManifestDb,
    /// `Manifest.mbdb`: the list of files up to iOS 9.
    ManifestMbdb,
}

impl RootFile {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::InfoPlist,
        Self::ManifestPlist,
        Self::StatusPlist,
        Self::ManifestDb,
        Self::ManifestMbdb,
    ];
    const LISTS: [Self; 3] = [Self::InfoPlist, Self::ManifestPlist, Self::StatusPlist];

    /// Its exact name.
    pub fn name(self) -> &'static str {
        match self {
            Self::InfoPlist => "Info.plist",
            Self::ManifestPlist => "Manifest.plist",
            Self::StatusPlist => "Status.plist",
            Self::ManifestDb => "Manifest.db",
            Self::ManifestMbdb => "Manifest.mbdb",
        }
    }
}

impl fmt::Display for RootFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a folder is, judged by the files in its root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupKind {
    /// All four files of a backup since iOS 10.
    Complete,
    /// A backup of iOS 9 or older: no `Manifest.db` but `Manifest.mbdb`.
    Mbdb {
        /// Which of the three property lists are not there.
        missing: Vec<RootFile>,
    },
    /// Not a backup that a phone could be restored from.
    NotABackup {
        /// Which of the four files are not there; all four in a folder that has nothing to do with phones.
        missing: Vec<RootFile>,
    },
}

impl BackupKind {
    /// Judges a folder by the names of the files in its root; other names do not matter.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut present = Vec::new();
        for name in names {
            present.extend(RootFile::ALL.into_iter().find(|file| file.name() == name));
        }
        Self::of_present(&present)
    }

    fn of_present(present: &[RootFile]) -> Self {
        let mut missing = RootFile::LISTS.to_vec();
        missing.retain(|file| !present.contains(file));
        let has = |file| present.contains(&file);
        match (has(RootFile::ManifestDb), has(RootFile::ManifestMbdb)) {
            (true, _) if missing.is_empty() => Self::Complete,
            (true, _) => Self::NotABackup { missing },
            (false, true) => Self::Mbdb { missing },
            (false, false) => {
                missing.push(RootFile::ManifestDb);
                Self::NotABackup { missing }
            }
        }
    }
}

/// Judges a folder on disk. An error is about the folder or a file that cannot be looked at; an absent file
/// is no error. Follows symbolic links: backup folders are often moved to another disk that way.
pub fn look_at(dir: &Path) -> io::Result<BackupKind> {
    if !fs::metadata(dir)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let mut present = Vec::new();
    for file in RootFile::ALL {
        match fs::metadata(dir.join(file.name())) {
            Ok(metadata) if metadata.is_file() => present.push(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(BackupKind::of_present(&present))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const OLD: &str = "1cb128eafa77c5be74283e9a3a2130af36a3c059";
    const NEW: &str = "00008030-001A2B3C4D5E6F70";
    const FOUR: [&str; 4] = ["Info.plist", "Manifest.plist", "Status.plist", "Manifest.db"];

    #[test]
    fn both_forms_of_a_udid_are_read_in_any_case_and_kept_as_folders_spell_them() {
        assert_eq!(Udid::parse(&OLD.to_uppercase()).unwrap().as_str(), OLD);
        assert_eq!(Udid::parse(&NEW.to_lowercase()).unwrap().as_str(), NEW);
    }

    #[test]
    fn what_only_looks_like_a_udid_is_none() {
        let too_long = format!("{OLD}0");
        let no_hex = OLD.replace('c', "x");
        for text in [
            "",
            "-",
            &OLD[1..],
            &too_long,
            &no_hex,
            &NEW[1..],
            "00008030001A2B3C4D5E6F70",
            "00008030-001A2B3C4D5E6F7é",
        ] {
            assert_eq!(Udid::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_folder_named_by_its_udid_is_the_current_backup() {
        for udid in [OLD, NEW] {
            let name = FolderName::parse(udid).unwrap();
            assert_eq!(name, FolderName { udid: Udid::parse(udid).unwrap(), archived_at: None });
        }
    }

    #[test]
    fn an_archived_folder_tells_when_it_was_set_aside() {
        for udid in [OLD, NEW] {
            let name = FolderName::parse(&format!("{udid}-20260503-221500")).unwrap();
            assert_eq!(name.udid.as_str(), udid);
            assert_eq!(name.archived_at, Some(date(2026, 5, 3).at(22, 15, 0, 0)));
        }
    }

    #[test]
    fn names_with_an_impossible_or_cut_time_are_not_backups() {
        for tail in [
            "-20261301-000000",
            "-20260230-000000",
            "-20260503-240000",
            "-20260503-2215",
            "-20260503",
            "-+2260503-221500",
            "-20260503-221500 2",
        ] {
            assert_eq!(FolderName::parse(&format!("{OLD}{tail}")), None, "{tail}");
        }
        assert_eq!(FolderName::parse("holiday-20260503-221500"), None);
    }

    #[test]
    fn four_files_make_a_complete_backup_whatever_else_is_there() {
        let names = FOUR.into_iter().chain([".DS_Store", "3d", "Manifest.db-wal"]);
        assert_eq!(BackupKind::of(names), BackupKind::Complete);
    }

    #[test]
    fn each_missing_file_is_named() {
        for (index, file) in RootFile::ALL[..4].iter().enumerate() {
            let mut names = FOUR.to_vec();
            names.remove(index);
            assert_eq!(BackupKind::of(names), BackupKind::NotABackup { missing: vec![*file] });
        }
    }

    #[test]
    fn an_unrelated_folder_misses_all_four() {
        let kind = BackupKind::of(["manifest.db", "info.plist"]);
        assert_eq!(kind, BackupKind::NotABackup { missing: RootFile::ALL[..4].to_vec() });
    }

    #[test]
    fn a_folder_with_an_mbdb_is_an_old_backup_and_its_missing_lists_are_named() {
        let kind = BackupKind::of(["Manifest.mbdb", "Info.plist", "Manifest.plist"]);
        assert_eq!(kind, BackupKind::Mbdb { missing: vec![RootFile::StatusPlist] });
    }

    #[test]
    fn a_database_beside_an_mbdb_decides() {
        let names = FOUR.into_iter().chain(["Manifest.mbdb"]);
        assert_eq!(BackupKind::of(names), BackupKind::Complete);
    }

    #[test]
    fn a_folder_on_disk_is_judged_by_its_regular_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in &FOUR[..3] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        fs::create_dir(dir.path().join("Manifest.db")).unwrap();
        assert_eq!(
            look_at(dir.path()).unwrap(),
            BackupKind::NotABackup { missing: vec![RootFile::ManifestDb] }
        );
        fs::remove_dir(dir.path().join("Manifest.db")).unwrap();
        fs::write(dir.path().join("Manifest.db"), b"").unwrap();
        assert_eq!(look_at(dir.path()).unwrap(), BackupKind::Complete);
    }

    #[test]
    fn a_folder_that_is_not_there_or_is_a_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let absent = look_at(&dir.path().join("absent")).unwrap_err();
        assert_eq!(absent.kind(), io::ErrorKind::NotFound);
        fs::write(dir.path().join("file"), b"").unwrap();
        let file = look_at(&dir.path().join("file")).unwrap_err();
        assert_eq!(file.kind(), io::ErrorKind::NotADirectory);
    }

    proptest! {
        #[test]
        fn any_name_never_panics(name in ".{0,60}", tail in "[-0-9é]{0,20}") {
            let _ = FolderName::parse(&name);
            if let Some(name) = FolderName::parse(&format!("{OLD}{tail}")) {
                prop_assert_eq!(name.udid.as_str(), OLD);
            }
        }
    }
}
