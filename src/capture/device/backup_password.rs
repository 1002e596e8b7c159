//! The iPhone backup password, as a phone is told it.
//!
//! Invariant: never shown, never part of an error, wiped when dropped. What is made of it for the phone's message is not: that
//! message is short-lived, and leaves under TLS.

use zeroize::Zeroizing;

/// Longest password that is taken; Apple's programs take some hundred characters.
const LEN_MAX: usize = 4096;

/// An iPhone backup password: Apple's, not the repository's.
pub struct BackupPassword(Zeroizing<String>);

/// Why some bytes cannot be such a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BackupPasswordError {
    /// Not UTF-8.
    #[error("the iPhone backup password is not UTF-8 text")]
    NotUtf8,
    /// Nothing there.
    #[error("the iPhone backup password is empty")]
    Empty,
    /// Longer than 4096 bytes.
    #[error("the iPhone backup password is longer than 4,096 bytes: is that the right file?")]
    TooLong,
    /// A message of a phone cannot hold it.
    #[error("the iPhone backup password holds a NUL or another control character")]
    Control,
}

impl BackupPassword {
    /// A password as typed, neither cut nor normalised: Apple's programs do neither.
    ///
    /// # Errors
    /// See [`BackupPasswordError`].
    pub fn new(text: &str) -> Result<Self, BackupPasswordError> {
        if text.is_empty() {
            return Err(BackupPasswordError::Empty);
        }
        if text.len() > LEN_MAX {
            return Err(BackupPasswordError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(BackupPasswordError::Control);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The contents of a password file: one line end at the end is dropped.
    ///
    /// # Errors
    /// See [`BackupPasswordError`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, BackupPasswordError> {
        let text = std::str::from_utf8(bytes).map_err(|_| BackupPasswordError::NotUtf8)?;
        let text = text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
        Self::new(text)
    }

    /// For the phone.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_dropped_and_only_one() {
        assert_eq!(BackupPassword::from_file(b"a b\r\n").unwrap().text(), "a b");
        let twice = BackupPassword::from_file(b"a b\n\n").err();
        assert_eq!(twice, Some(BackupPasswordError::Control));
    }

    #[test]
    fn what_no_phone_can_be_told_is_refused() {
        let refused = |bytes: &[u8]| BackupPassword::from_file(bytes).err();
        assert_eq!(refused(b"\n"), Some(BackupPasswordError::Empty));
        assert_eq!(refused(b"\xff"), Some(BackupPasswordError::NotUtf8));
        assert_eq!(refused(b"a\0b"), Some(BackupPasswordError::Control));
        assert_eq!(refused(&[b'a'; 4097]), Some(BackupPasswordError::TooLong));
        assert_eq!(refused(&[b'a'; 4096]), None);
    }

    #[test]
    fn letters_stay_as_they_were_typed() {
        assert_eq!(BackupPassword::new("A\u{308}").unwrap().text(), "A\u{308}");
    }
}
