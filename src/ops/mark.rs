//! What is said later about a snapshot: tags, pins, notes.
//!
//! Invariant: each is one log record; the snapshot's own record is never touched.

use russet_store::ids::RecordId;
use russet_store::log::Said;
use russet_store::repository::RepositoryError;

use super::open::Opened;

/// Puts a tag on a snapshot, or takes it off.
///
/// # Errors
/// The record could not be written.
pub fn tag(
    opened: &mut Opened,
    snapshot: RecordId,
    tag: &str,
    on: bool,
) -> Result<(), RepositoryError> {
    say(opened, Said::Tag { snapshot, tag: tag.to_owned(), on })
}

/// Keeps a snapshot from being forgotten, or no longer.
///
/// # Errors
/// The record could not be written.
pub fn pin(opened: &mut Opened, snapshot: RecordId, on: bool) -> Result<(), RepositoryError> {
    say(opened, Said::Pin { snapshot, on })
}

/// Puts a sentence on a snapshot; an empty one takes it off.
///
/// # Errors
/// The record could not be written.
pub fn note(opened: &mut Opened, snapshot: RecordId, text: &str) -> Result<(), RepositoryError> {
    say(opened, Said::Note { snapshot, text: text.to_owned() })
}

fn say(opened: &mut Opened, what: Said) -> Result<(), RepositoryError> {
    let writer = opened.writer()?;
    opened.repository.append(writer, what)?;
    Ok(())
}
