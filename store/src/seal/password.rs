//! The repository password as it is typed, before any key is made of it.
//!
//! Invariant: the same characters give the same bytes on every system: UTF-8 in NFC (docs/format.md §3).

use unicode_normalization::UnicodeNormalization;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A password, normalised. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Password(Vec<u8>);

/// Why some bytes cannot be a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Not UTF-8.
    #[error("the password is not UTF-8 text")]
    NotUtf8,
    /// Nothing there.
    #[error("the password is empty")]
    Empty,
    /// Longer than 64 KiB.
    #[error("the password is longer than 65,536 bytes: is that the right file?")]
    TooLong,
}

impl Password {
    /// A password as typed.
    ///
    /// # Errors
    /// It is empty or far too long.
    pub fn new(text: &str) -> Result<Self, PasswordError> {
        if text.is_empty() {
            return Err(PasswordError::Empty);
        }
        if text.len() > 65_536 {
            return Err(PasswordError::TooLong);
        }
        let normal = Zeroizing::new(text.nfc().collect::<String>());
        Ok(Self(normal.as_bytes().to_vec()))
    }

    /// The contents of a password file, or the output of a password command: one line end at the end is dropped.
    ///
    /// # Errors
    /// As [`Password::new`], and for bytes that are not UTF-8.
    pub fn from_file(bytes: &[u8]) -> Result<Self, PasswordError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PasswordError::NotUtf8)?;
        let text = text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
        Self::new(text)
    }

    /// Its characters, without spaces around it: what somebody has to guess.
    #[must_use]
    pub fn char_count(&self) -> usize {
        std::str::from_utf8(&self.0).map_or(0, |text| text.trim().chars().count())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_umlauts_are_the_same_password() {
        assert_eq!(Password::new("Äpfel").unwrap().0, Password::new("A\u{308}pfel").unwrap().0);
    }

    #[test]
    fn one_line_end_is_dropped_and_only_one() {
        assert_eq!(Password::from_file(b"a b\r\n").unwrap().0, b"a b");
        assert_eq!(Password::from_file(b"a b\n\n").unwrap().0, b"a b\n");
        assert_eq!(Password::from_file(b"a b\r").unwrap().0, b"a b\r");
        assert_eq!(Password::from_file(b"\n").err(), Some(PasswordError::Empty));
        assert_eq!(Password::from_file(b"\xff").err(), Some(PasswordError::NotUtf8));
    }
}
