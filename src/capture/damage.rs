//! What is told of an encrypted backup whose keys are damaged, from wherever it comes.
//!
//! Invariant: a backup that no iPhone would take back is never told as whole; it is kept all the same. What a wrong password
//! looks like is no damage.

use std::error::Error;
use std::fmt::Display;

use crate::apple::{BackupKeys, ManifestPagesError, RootFile};
use crate::observe::{by_count, counted};
use crate::snapshot::record::Problem;

/// A keybag that is none, or a key of Manifest.db that it does not open.
pub(super) fn of_keybag(why: &dyn Display) -> Problem {
    let path = RootFile::ManifestPlist.name().to_owned();
    Problem { path, why: format!("is damaged ({why}): no password opens the backup as it is") }
}

/// A keybag that opens in part.
pub(super) fn of_classes(keys: &BackupKeys) -> Option<Problem> {
    let classes: Vec<String> = keys.closed_classes().iter().map(u32::to_string).collect();
    let path = RootFile::ManifestPlist.name().to_owned();
    let why = format!(
        "is damaged: of its keybag the keys of class {} do not open, although others do",
        classes.join(", ")
    );
    (!classes.is_empty()).then_some(Problem { path, why })
}

/// An index of Manifest.db by which a phone would not find its rows.
pub(super) fn of_index(why: &ManifestPagesError) -> Problem {
    let why = why.source().map_or_else(|| why.to_string(), ToString::to_string);
    Problem { path: RootFile::ManifestDb.name().to_owned(), why: format!("is damaged: {why}") }
}

/// Files whose rows have no key that opens: an iPhone refuses them.
pub(super) fn of_rows(keyless_count: u64) -> Option<Problem> {
    let path = RootFile::ManifestDb.name().to_owned();
    let why = format!(
        "is damaged: it lists {} without a key that opens {}",
        counted(keyless_count, "file"),
        by_count(keyless_count, "it", "them")
    );
    (keyless_count > 0).then_some(Problem { path, why })
}
