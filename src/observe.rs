//! What long work tells while it runs: progress, and problems that do not stop it.
//!
//! Invariant: an observer cannot change the work, and what it is told is plain data. Rendering is for `cli`; only how many bytes
//! and things there are is said in one way everywhere, by [`size`], [`counted`] and [`by_count`].

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A part of the work, as a person would call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking at folders and lists.
    Looking,
    /// Reading and storing files.
    Storing,
    /// The phone prepares its backup; it may ask for its passcode.
    Preparing,
    /// The phone sends its files.
    Receiving,
    /// Opening what the phone encrypted.
    Opening,
    /// Writing the listing and the record.
    Committing,
    /// Writing files back.
    Restoring,
    /// Checking packs.
    CheckingPacks,
    /// Checking snapshots.
    CheckingSnapshots,
    /// Moving what is kept out of packs that go.
    Repacking,
}

/// Something that only a person at the phone can do. The work waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prompt {
    /// Unlock the phone.
    Unlock,
    /// Tap Trust, and enter the passcode.
    Trust,
    /// Enter the passcode, if the phone asks for it.
    Passcode,
}

/// Told by long work.
pub trait Observer: Sync {
    /// A part begins, with what is known of its size.
    fn begin(&self, phase: Phase, total_len: u64, total_count: u64);
    /// So much more was done.
    fn advance(&self, len: u64, count: u64);
    /// Something went wrong with one item; the work goes on.
    fn problem(&self, item: &str, why: &str);
    /// Something a person should know, which costs nothing.
    fn remark(&self, text: &str);
    /// How much of this part is done, 0 to 1, where only somebody else knows how much there is.
    fn share(&self, _done: f64) {}
    /// Somebody has to do something at the phone. Told once each time.
    fn prompt(&self, _prompt: Prompt) {}
}

/// Bytes as every message says them, in thousands and with one decimal, rounded down: 999 B, 1.0 kB, 3.4 GB.
#[must_use]
pub fn size(len: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if len < 1000 {
        return format!("{len} B");
    }
    let mut tenths = len / 100;
    let mut unit = 0;
    while tenths >= 9_995 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS.get(unit).unwrap_or(&"EB"))
}

/// A moment in a zone, as every message says it: 2026-05-03 21:04.
#[must_use]
pub fn moment(secs: i64, zone: &TimeZone) -> String {
    match Timestamp::from_second(secs) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => "an impossible date".to_owned(),
    }
}

/// A count with thousands apart: 214,508.
#[must_use]
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count and its noun: 1 file, 2 files.
#[must_use]
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(n), by_count(n, "", "s"))
}

/// The words that go with a count: those for one thing, or those for several or none.
#[must_use]
pub fn by_count<'w>(count: u64, one: &'w str, many: &'w str) -> &'w str {
    if count == 1 { one } else { many }
}

/// Keeps what it is told; for tests and for callers that look afterwards.
#[derive(Debug, Default)]
pub struct Collecting {
    told: Mutex<Told>,
}

/// What a [`Collecting`] was told.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    /// Item and reason.
    pub problems: Vec<(String, String)>,
    /// Remarks.
    pub remarks: Vec<String>,
    /// What a person was asked to do.
    pub prompts: Vec<Prompt>,
    /// Bytes done.
    pub len: u64,
    /// Items done.
    pub count: u64,
}

impl Collecting {
    /// What it was told so far.
    #[must_use]
    pub fn told(&self) -> Told {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn with(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Observer for Collecting {
    fn begin(&self, _: Phase, _: u64, _: u64) {}

    fn advance(&self, len: u64, count: u64) {
        self.with(|told| {
            told.len += len;
            told.count += count;
        });
    }

    fn problem(&self, item: &str, why: &str) {
        self.with(|told| told.problems.push((item.to_owned(), why.to_owned())));
    }

    fn remark(&self, text: &str) {
        self.with(|told| told.remarks.push(text.to_owned()));
    }

    fn prompt(&self, prompt: Prompt) {
        self.with(|told| told.prompts.push(prompt));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_the_zone_of_whoever_reads_it() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(moment(1_767_486_030, &TimeZone::UTC), "2026-01-04 00:20");
        assert_eq!(moment(1_767_486_030, &zone), "2026-01-04 02:20");
    }

    #[test]
    fn counts_have_their_thousands_apart_and_their_nouns_fit() {
        assert_eq!([7, 1_000, 214_508].map(count), ["7", "1,000", "214,508"]);
        assert_eq!([0, 1, 2].map(|n| counted(n, "file")), ["0 files", "1 file", "2 files"]);
        assert_eq!([0, 1, 2].map(|n| by_count(n, "is", "are")), ["are", "is", "are"]);
    }

    #[test]
    fn bytes_are_rounded_down_to_one_decimal() {
        let shown: Vec<String> =
            [0, 999, 1000, 1_049_999, 999_499, 999_500, 191_000_000_000, u64::MAX].map(size).into();
        assert_eq!(
            shown,
            ["0 B", "999 B", "1.0 kB", "1.0 MB", "999.4 kB", "0.9 MB", "191.0 GB", "18.4 EB"]
        );
    }
}
