//! Names of files in a repository.
//!
//! Invariant: a `Name` is the same file on every file system and object store we know: relative, inside
//! the repository, no case or Unicode variants, nothing Windows or a shell would read differently, and
//! never one of the backend's own files (temporary names and the lock). Does not know the layout.

use std::fmt;

/// Longest name in bytes.
pub const NAME_LEN_MAX: usize = 200;

/// Most segments in a name: files lie at most three folders deep.
pub const SEGMENT_COUNT_MAX: usize = 4;

/// The lock file of a local repository: not a name that can be put or listed.
pub(crate) const LOCK_NAME: &str = "lock";

/// Why text is not a name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Longer than [`NAME_LEN_MAX`].
    #[error("the name has {got_len} bytes, more than {NAME_LEN_MAX}")]
    TooLong {
        /// Bytes that were given.
        got_len: usize,
    },
    /// More than [`SEGMENT_COUNT_MAX`] segments.
    #[error("the name has more than {SEGMENT_COUNT_MAX} segments")]
    TooDeep,
    /// A segment is empty, begins with `.` or `-`, or ends with `.`: hidden, an option to a shell, or cut
    /// off by Windows.
    #[error("segment {index} of the name is empty or begins or ends with a mark that is not safe")]
    Segment {
        /// Position of the segment.
        index: usize,
    },
    /// A byte outside `a-z A-Z 0-9 . _ -`.
    #[error("byte {index} of the name is not a letter, digit, '.', '_' or '-'")]
    Byte {
        /// Position of the byte.
        index: usize,
    },
    /// A name that the backend or Windows keeps for itself.
    #[error("the name is reserved")]
    Reserved,
}

/// The path of a file relative to the root of the repository, such as `packs/91/91c2…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// Checks text that was listed or made; the only way to a `Name`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_LEN_MAX {
            return Err(NameError::TooLong { got_len: text.len() });
        }
        let bad_byte =
            |b: u8| !(b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'));
        if let Some(index) = text.bytes().position(bad_byte) {
            return Err(NameError::Byte { index });
        }
        if text.eq_ignore_ascii_case(LOCK_NAME) {
            return Err(NameError::Reserved);
        }
        for (index, segment) in text.split('/').enumerate() {
            check_segment(index, segment)?;
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as text, segments joined by `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn check_segment(index: usize, segment: &str) -> Result<(), NameError> {
    if index >= SEGMENT_COUNT_MAX {
        return Err(NameError::TooDeep);
    }
    if segment.is_empty() || segment.starts_with(['.', '-']) || segment.ends_with('.') {
        return Err(NameError::Segment { index });
    }
    // Windows opens a device for these, whatever follows the first dot and wherever they stand.
    let stem = segment.split('.').next().unwrap_or(segment).to_ascii_lowercase();
    let numbered = |prefix| stem.strip_prefix(prefix).is_some_and(|n| n.len() == 1 && n != "0");
    if matches!(stem.as_str(), "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
    {
        return Err(NameError::Reserved);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_the_layout_are_names() {
        for text in ["config", "RUSSET.txt", "packs/91/91c2e07d", "drafts/ab/12", "c2/log/ab"] {
            assert_eq!(Name::parse(text).map(|n| n.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn names_that_leave_the_repository_are_refused() {
        for text in ["", "/", "/etc/passwd", "a//b", "../a", "a/../b", "a/./b", "a/", "a\\b", "c:"]
        {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_that_some_system_reads_differently_are_refused() {
        for text in ["-rf", "a/-b", ".hidden", "a.", "nul", "a/COM1.txt", "ä", "a b", "a\nb", "a\0"]
        {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_lock_and_temporary_names_are_no_names() {
        assert_eq!(Name::parse("lock"), Err(NameError::Reserved));
        assert_eq!(Name::parse("LOCK"), Err(NameError::Reserved));
        assert!(Name::parse("packs/.russet-tmp-00").is_err());
    }

    #[test]
    fn length_and_depth_are_bounded() {
        assert!(Name::parse(&"a".repeat(NAME_LEN_MAX)).is_ok());
        assert!(Name::parse(&"a".repeat(NAME_LEN_MAX + 1)).is_err());
        assert!(Name::parse("a/b/c/d").is_ok());
        assert_eq!(Name::parse("a/b/c/d/e"), Err(NameError::TooDeep));
    }

    proptest! {
        #[test]
        fn whatever_parses_is_relative_and_plain(text in ".{0,40}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(name.as_str(), text.as_str());
                let path = std::path::Path::new(name.as_str());
                let plain = |c| matches!(c, std::path::Component::Normal(_));
                prop_assert!(path.components().all(plain));
            }
        }
    }
}
