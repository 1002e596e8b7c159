//! Opening stored files on their way into the pipeline, wherever they come from, and counting those that stay as they are.
//!
//! Invariant: what is fed as opened was proved to come back to the byte; what does not fit is told with the reason, so that the
//! caller feeds it as it is stored.

use std::io::{self, Read};

use crate::apple::{FileKey, Opening, OpeningError, Stored};
use crate::observe::{by_count, count};
use crate::pipeline::{Feeder, IngestError, ReadOutcome};
use crate::snapshot::{Content, Opened, SealedKey};

/// What came of feeding a file that has a key.
pub(super) enum Fed {
    /// Its plaintext was fed, and this is what is stored.
    Opened(Stored),
    /// It does not fit; nothing of it comes back.
    Odd(OpeningError),
    /// It cannot be read; nothing of it comes back.
    Unread(io::Error),
}

/// Feeds the plaintext of a stored file of about `len` bytes.
///
/// # Errors
/// Chunks can no longer be stored.
pub(super) fn feed_opened<T: Send>(
    feeder: &mut Feeder<'_, '_, '_, T>,
    tag: T,
    source: impl Read,
    key: &FileKey,
    len: u64,
) -> Result<Fed, IngestError> {
    let mut opening = Opening::new(source, key, len);
    let outcome = feeder.feed(tag, &mut opening)?;
    Ok(match (outcome, opening.stored(), opening.failure()) {
        (ReadOutcome::Whole { .. }, Some(stored), _) => Fed::Opened(stored),
        (ReadOutcome::Failed(_), _, Some(why)) => Fed::Odd(why),
        (ReadOutcome::Failed(error), _, None) => Fed::Unread(error),
        // Plaintext ends only where the padding was seen.
        (ReadOutcome::Whole { .. }, None, _) => {
            return Err(IngestError::Session(russet_store::session::SessionError::Latched));
        }
    })
}

/// What the entry of an opened file keeps: `chunks` as they were folded over the plaintext.
pub(super) fn opened_content(chunks: Content, stored: &Stored, key: &FileKey) -> Content {
    let opened = Opened { key: SealedKey::new(key.as_bytes()), padding: stored.padding };
    Content { len: stored.len, hash: stored.hash, opened: Some(opened), ..chunks }
}

/// Files that stay encrypted although the backup was opened, by what did not fit.
#[derive(Debug, Default)]
pub(super) struct KeptCounts {
    pub(super) no_key: u64,
    pub(super) no_row: u64,
    pub(super) unread: u64,
    length: u64,
    padding: u64,
    not_the_same: u64,
}

impl KeptCounts {
    pub(super) fn total(&self) -> u64 {
        let odd = self.length + self.padding + self.not_the_same;
        self.no_key + self.no_row + self.unread + odd
    }

    pub(super) fn add(&mut self, why: OpeningError) {
        match why {
            OpeningError::Length => self.length += 1,
            OpeningError::Padding => self.padding += 1,
            OpeningError::NotTheSame => self.not_the_same += 1,
        }
    }

    pub(super) fn remark(&self) -> String {
        let parts = [
            (self.no_key, "whose row has no key that opens"),
            (self.no_row, "that no row names"),
            (self.unread, "that cannot be read back"),
            (self.length, "whose length no encrypted file has"),
            (
                self.padding,
                by_count(
                    self.padding,
                    "that does not end as encrypted files do",
                    "that do not end as encrypted files do",
                ),
            ),
            (self.not_the_same, "that would not come back to the byte"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(n, what)| format!("{} {what}", count(*n)))
            .collect();
        format!(
            "{} of its files could not be opened and {}: {}",
            count(self.total()),
            by_count(self.total(), "is kept as it is", "are kept as they are"),
            parts.join(", ")
        )
    }
}
