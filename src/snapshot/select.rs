//! Choosing a snapshot by what a person types: id, `latest`, `latest~1`, a date, `DEVICE@…`.
//!
//! Invariant: a word that fits several snapshots chooses none and names them; `latest` is never an incomplete snapshot while a
//! complete one exists, and never one from the future while another exists; nor is it a safety backup while another exists.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use unicode_normalization::UnicodeNormalization;

use super::Snapshot;

/// The word on snapshots that are made for safety before a restore.
pub const SAFETY_TAG: &str = "before-restore";

/// What a word chose.
#[derive(Debug, Clone, Copy)]
pub struct Selected<'s> {
    /// The snapshot.
    pub snapshot: &'s Snapshot,
    /// The newest safety backup that was passed over, if it is newer.
    pub passed_over: Option<&'s Snapshot>,
}

/// Why a word chooses no snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// There are none.
    #[error("the repository holds no snapshots yet")]
    Empty,
    /// None fits.
    #[error("no snapshot fits \"{0}\"")]
    None(String),
    /// One digit.
    #[error("\"{0}\" is too short: an id is named by two of its first digits or more")]
    Short(String),
    /// Several ids begin so.
    #[error("\"{word}\" fits several snapshots: {}", ids.join(", "))]
    Several {
        /// What was typed.
        word: String,
        /// Short ids of those that fit, ten at most.
        ids: Vec<String>,
    },
    /// No phone of that name.
    #[error("no snapshot is of a phone called \"{name}\"; there are: {}", known.join(", "))]
    NoDevice {
        /// What was typed.
        name: String,
        /// Names that there are.
        known: Vec<String>,
    },
    /// Two phones fit.
    #[error("\"{name}\" fits several phones; use more of the UDID: {}", udids.join(", "))]
    SeveralDevices {
        /// What was typed.
        name: String,
        /// UDIDs that fit.
        udids: Vec<String>,
    },
}

/// Chooses among snapshots that are sorted oldest first. `now` is in Unix seconds.
///
/// # Errors
/// No snapshot, or no single one.
pub fn select<'s>(
    snapshots: &'s [Snapshot],
    word: &str,
    zone: &TimeZone,
    now: i64,
) -> Result<Selected<'s>, SelectError> {
    if snapshots.is_empty() {
        return Err(SelectError::Empty);
    }
    let (device, which) = match word.rsplit_once('@') {
        Some((device, which)) => (Some(device), which),
        None => (None, word),
    };
    let of_device = match device {
        Some(device) => of_device(snapshots, device)?,
        None => snapshots.iter().collect(),
    };
    if let Some(back) = latest_back(which) {
        return latest(&of_device, back, now).ok_or_else(|| SelectError::None(word.to_owned()));
    }
    if let Some(date) = date_of(which) {
        let end = date.tomorrow().unwrap_or(date).to_zoned(zone.clone());
        let end = end.map_or(i64::MAX, |z| z.timestamp().as_second());
        // The date that lists show, so that what is typed off a list means what it shows.
        let mut before: Vec<_> =
            of_device.into_iter().filter(|s| s.record.backup_time < end).collect();
        before.sort_by_key(|s| s.record.backup_time);
        return latest(&before, 0, now).ok_or_else(|| SelectError::None(word.to_owned()));
    }
    by_id(&of_device, which, word).map(|snapshot| Selected { snapshot, passed_over: None })
}

/// A date is `YYYY-MM-DD` and nothing shorter: eight digits alone are the beginning of an id.
fn date_of(which: &str) -> Option<Date> {
    let is_long = which.len() == 10 && which.bytes().filter(|b| *b == b'-').count() == 2;
    if is_long { which.parse().ok() } else { None }
}

/// `latest` is 0 back, `latest~2` is 2.
fn latest_back(which: &str) -> Option<usize> {
    let rest = which.strip_prefix("latest")?;
    if rest.is_empty() { Some(0) } else { rest.strip_prefix('~')?.parse().ok() }
}

fn latest<'s>(snapshots: &[&'s Snapshot], back: usize, now: i64) -> Option<Selected<'s>> {
    // A day of grace for clocks that are a little off.
    let sane = |s: &&&Snapshot| s.is_good() && s.time() <= now + 86_400;
    let good: Vec<&Snapshot> = snapshots.iter().filter(sane).copied().collect();
    // After a restore that failed, `latest` is still what it was.
    let (safety, asked_for): (Vec<&Snapshot>, Vec<&Snapshot>) =
        good.iter().partition(|s| s.state.tags.contains(SAFETY_TAG));
    let from = [asked_for.as_slice(), &good, snapshots].into_iter().find(|all| !all.is_empty())?;
    let snapshot = from.iter().rev().nth(back).copied()?;
    let newer = |s: &&&Snapshot| !asked_for.is_empty() && s.time() > snapshot.time();
    Some(Selected { snapshot, passed_over: safety.iter().rfind(newer).copied() })
}

fn by_id<'s>(
    snapshots: &[&'s Snapshot],
    id: &str,
    word: &str,
) -> Result<&'s Snapshot, SelectError> {
    let lower = id.to_ascii_lowercase();
    let is_hex = !lower.is_empty() && lower.bytes().all(|b| b.is_ascii_hexdigit());
    if is_hex && lower.len() == 1 {
        return Err(SelectError::Short(word.to_owned()));
    }
    let fits = |s: &&&Snapshot| is_hex && s.id.to_string().starts_with(&lower);
    let found: Vec<_> = snapshots.iter().filter(fits).collect();
    match found.as_slice() {
        [] => Err(SelectError::None(word.to_owned())),
        [one] => Ok(one),
        several => Err(SelectError::Several {
            word: word.to_owned(),
            ids: several.iter().take(10).map(|s| s.short_id()).collect(),
        }),
    }
}

/// A name as it is compared: iOS writes a curly apostrophe where a keyboard has a straight one, and accents come composed or
/// apart.
#[must_use]
pub fn folded(name: &str) -> String {
    let straight = |c: char| match c {
        '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{2032}' => '\'',
        '\u{a0}' => ' ',
        other => other,
    };
    name.chars().map(straight).flat_map(char::to_lowercase).nfc().collect()
}

/// A phone as it is offered: its name, and as much of its UDID as is seldom shared.
fn named(name: &str, udid: &str) -> String {
    // Newer UDIDs begin with eight digits that all phones of a model share.
    let end = if udid.contains('-') { 13 } else { 8 };
    let begin: String = udid.chars().take(end).collect();
    format!("{name} ({begin}…)")
}

/// The snapshots of one phone, chosen by name or the beginning of its UDID.
///
/// # Errors
/// No phone fits, or several do.
pub fn of_device<'s>(
    snapshots: &'s [Snapshot],
    device: &str,
) -> Result<Vec<&'s Snapshot>, SelectError> {
    let wanted = folded(device);
    let by_name = |s: &&Snapshot| folded(s.device_name()) == wanted;
    let by_udid =
        |s: &&Snapshot| !wanted.is_empty() && s.record.udid.to_lowercase().starts_with(&wanted);
    let mut found: Vec<&Snapshot> = snapshots.iter().filter(by_name).collect();
    if found.is_empty() {
        found = snapshots.iter().filter(by_udid).collect();
    }
    let mut udids: Vec<String> = found.iter().map(|s| s.record.udid.clone()).collect();
    udids.sort_unstable();
    udids.dedup();
    match udids.len() {
        1 => Ok(found),
        0 => {
            let mut known: Vec<String> =
                snapshots.iter().map(|s| named(s.device_name(), &s.record.udid)).collect();
            known.sort_unstable();
            known.dedup();
            Err(SelectError::NoDevice { name: device.to_owned(), known })
        }
        _ => Err(SelectError::SeveralDevices { name: device.to_owned(), udids }),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::record::{Counts, Device, SnapshotRecord, Verdict};
    use super::*;
    use russet_store::ids::{BlobId, RecordId, WriterId};
    use russet_store::log::{Link, SnapshotState};

    const DAY: i64 = 86_400;

    fn snapshot(id: u8, udid: &str, name: &str, time: i64, verdict: Verdict) -> Snapshot {
        let link = Link { writer: WriterId::decode([0; 16]), seq: 1, prev: None, heads: [].into() };
        let record = SnapshotRecord {
            v: 1,
            tree: BlobId::decode([0; 32]),
            udid: udid.to_owned(),
            device: Device { name: Some(name.to_owned()), ..Device::default() },
            backup_time: time,
            backup_time_source: "status".to_owned(),
            captured: time,
            kind: "folder".to_owned(),
            source_folder: None,
            status_uuid: None,
            encrypted: None,
            verdict,
            problems: Vec::new(),
            problem_count: 0,
            counts: Counts::default(),
            parent: None,
            supersedes: None,
            link,
            russet: String::new(),
        };
        Snapshot { id: RecordId::decode([id; 32]), record, state: SnapshotState::default() }
    }

    fn some() -> Vec<Snapshot> {
        use Verdict::{Complete, Incomplete};
        vec![
            snapshot(0xa1, "aa01", "Blue iPhone", 10 * DAY, Complete),
            snapshot(0xa2, "bb02", "Old iPad", 11 * DAY, Complete),
            snapshot(0xb3, "aa01", "Blue iPhone", 12 * DAY, Complete),
            snapshot(0xb4, "aa01", "Blue iPhone", 13 * DAY, Incomplete),
            snapshot(0xb5, "aa01", "Blue iPhone", 90 * DAY, Complete),
        ]
    }

    fn chosen(word: &str) -> Result<u8, SelectError> {
        let all = some();
        select(&all, word, &TimeZone::UTC, 20 * DAY).map(|s| s.snapshot.id.as_bytes()[0])
    }

    #[test]
    fn latest_passes_over_incomplete_ones_and_those_from_the_future() {
        assert_eq!(chosen("latest"), Ok(0xb3));
        assert_eq!(chosen("latest~1"), Ok(0xa2));
        assert_eq!(chosen("latest~9"), Err(SelectError::None("latest~9".to_owned())));
    }

    #[test]
    fn latest_passes_over_safety_backups_and_tells_of_a_newer_one() {
        let mut all = some();
        all[2].state.tags.insert(SAFETY_TAG.to_owned());
        let chosen = |word| {
            let chosen = select(&all, word, &TimeZone::UTC, 20 * DAY)?;
            let id = |s: &Snapshot| s.id.as_bytes()[0];
            Ok::<_, SelectError>((id(chosen.snapshot), chosen.passed_over.map(id)))
        };
        assert_eq!(chosen("latest"), Ok((0xa2, Some(0xb3))));
        assert_eq!(chosen("latest~1"), Ok((0xa1, Some(0xb3))));
        assert_eq!(chosen("1970-01-13"), Ok((0xa2, Some(0xb3))));
        assert_eq!(chosen("1970-01-12"), Ok((0xa2, None)));
        assert_eq!(chosen("b3"), Ok((0xb3, None)));
    }

    #[test]
    fn a_safety_backup_is_latest_where_nothing_else_is() {
        let mut all = vec![snapshot(1, "aa", "x", DAY, Verdict::Complete)];
        all[0].state.tags.insert(SAFETY_TAG.to_owned());
        let chosen = select(&all, "latest", &TimeZone::UTC, DAY).unwrap();
        assert_eq!((chosen.snapshot.id, chosen.passed_over.is_none()), (all[0].id, true));
    }

    #[test]
    fn a_phone_is_named_or_begun() {
        assert_eq!(chosen("blue iphone@latest~1"), Ok(0xa1));
        assert_eq!(chosen("BB@latest"), Ok(0xa2));
        assert!(matches!(chosen("Red@latest"), Err(SelectError::NoDevice { .. })));
    }

    #[test]
    fn a_name_is_told_by_any_apostrophe_case_and_form_of_accents() {
        assert_eq!(folded("Café\u{2019}s iPhone"), folded("cafe\u{301}'S IPHONE"));
        let mut all = some();
        all[0].record.device.name = Some("Owner\u{2019}s\u{a0}iPhone".to_owned());
        let found = of_device(&all, "owner's iphone").unwrap();
        assert_eq!(found.len(), 1);
        let known = of_device(&all, "nobody").unwrap_err().to_string();
        assert!(known.contains("Old iPad (bb02…)"), "{known}");
    }

    #[test]
    fn a_date_is_the_last_on_or_before_that_day() {
        assert_eq!(chosen("1970-01-12"), Ok(0xa2));
        assert_eq!(chosen("1970-01-13"), Ok(0xb3));
        assert!(matches!(chosen("1970-01-02"), Err(SelectError::None(_))));
    }

    #[test]
    fn a_date_means_the_date_that_lists_show_not_when_a_phone_was_read_to_its_end() {
        let mut all = some();
        let usb = &mut all[2];
        usb.record.kind = "usb".to_owned();
        usb.record.captured = 13 * DAY + 1;
        let chosen = |word| {
            select(&all, word, &TimeZone::UTC, 20 * DAY).map(|s| s.snapshot.id.as_bytes()[0])
        };
        assert_eq!(chosen("1970-01-13"), Ok(0xb3));
        assert_eq!(chosen("1970-01-12"), Ok(0xa2));
    }

    #[test]
    fn eight_digits_are_an_id_and_no_date() {
        let mut all = some();
        all[0].id = RecordId::decode({
            let mut id = [0xa1; 32];
            id[..4].copy_from_slice(&[0x20, 0x26, 0x01, 0x04]);
            id
        });
        let chosen = |word| {
            select(&all, word, &TimeZone::UTC, 90 * DAY).map(|s| s.snapshot.record.backup_time)
        };
        assert_eq!(chosen("20260104"), Ok(10 * DAY));
        assert_eq!(chosen("20260105"), Err(SelectError::None("20260105".to_owned())));
        assert_eq!(chosen("2026-01-04"), Ok(90 * DAY));
    }

    #[test]
    fn an_id_that_fits_two_chooses_none_and_names_both() {
        assert_eq!(chosen("A2"), Ok(0xa2));
        assert_eq!(chosen("a"), Err(SelectError::Short("a".to_owned())));
        let mut all = some();
        all[1].id = RecordId::decode({
            let mut id = [0xa1; 32];
            id[5] = 0;
            id
        });
        let found = select(&all, "a1a1", &TimeZone::UTC, 0);
        assert!(matches!(found, Err(SelectError::Several { ids, .. }) if ids.len() == 2));
    }

    #[test]
    fn incomplete_ones_are_latest_only_where_nothing_else_is() {
        let all = vec![snapshot(1, "aa", "x", DAY, Verdict::Incomplete)];
        assert_eq!(select(&all, "latest", &TimeZone::UTC, 0).unwrap().snapshot.id, all[0].id);
    }
}
