//! The iPhone backup password: Apple's, as a person set it on a phone or a computer.
//!
//! Invariant: never shown unless it is asked for by name ([`PhonePassword::text`]), never part of an error, wiped when dropped.
//! What is made of it for a phone's message is not: that message is short-lived, and leaves under TLS. The letters are never
//! changed: only where they open nothing, the other ways to write the same letters are tried.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Longest password that is taken, in bytes; Apple's programs take some hundred characters.
const LEN_MAX: usize = 4096;

/// An iPhone backup password. No `Debug`, no `Clone`.
pub struct PhonePassword(Zeroizing<String>);

/// Why some bytes cannot be such a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
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

impl PhonePassword {
    /// A password as typed, neither cut nor normalised: Apple's programs do neither.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn new(text: &str) -> Result<Self, PasswordError> {
        if text.is_empty() {
            return Err(PasswordError::Empty);
        }
        if text.len() > LEN_MAX {
            return Err(PasswordError::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PasswordError::Control);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// The contents of a password file: one line end at the end is dropped.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub fn from_file(bytes: &[u8]) -> Result<Self, PasswordError> {
        let text = std::str::from_utf8(bytes).map_err(|_| PasswordError::NotUtf8)?;
        let text = text.strip_suffix('\n').map_or(text, |t| t.strip_suffix('\r').unwrap_or(t));
        Self::new(text)
    }

    /// The password itself: for the phone, for the repository's seal, and for a person who asks to see it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The same password in a place of its own.
    #[must_use]
    pub fn again(&self) -> Self {
        Self(self.0.clone())
    }

    /// The other ways to write the same letters, of those that differ: composed (NFC), then decomposed (NFD). Keyboards of one
    /// system give the one, of another the other, and Apple derives from the bytes as they come.
    pub(super) fn other_forms(&self) -> Vec<Self> {
        let mut forms: Vec<Self> = Vec::new();
        for form in [collected(self.0.nfc(), self.0.len()), collected(self.0.nfd(), self.0.len())] {
            if *form != *self.0 && forms.iter().all(|known| *known.0 != *form) {
                forms.push(Self(form));
            }
        }
        forms
    }
}

/// Collects characters where they stay until they are wiped: a string that grows would leave copies behind.
fn collected(characters: impl Iterator<Item = char>, len: usize) -> Zeroizing<String> {
    // No character becomes more than four times as many bytes, which a test holds.
    let room = len.saturating_mul(4);
    let mut text = Zeroizing::new(String::with_capacity(room));
    for character in characters {
        if text.len() + character.len_utf8() > room {
            break;
        }
        text.push(character);
    }
    text
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_dropped_and_only_one() {
        assert_eq!(PhonePassword::from_file(b"a b\r\n").unwrap().text(), "a b");
        let twice = PhonePassword::from_file(b"a b\n\n").err();
        assert_eq!(twice, Some(PasswordError::Control));
    }

    #[test]
    fn what_no_phone_can_be_told_is_refused() {
        let refused = |bytes: &[u8]| PhonePassword::from_file(bytes).err();
        assert_eq!(refused(b"\n"), Some(PasswordError::Empty));
        assert_eq!(refused(b"\xff"), Some(PasswordError::NotUtf8));
        assert_eq!(refused(b"a\0b"), Some(PasswordError::Control));
        assert_eq!(refused(&[b'a'; 4097]), Some(PasswordError::TooLong));
        assert_eq!(refused(&[b'a'; 4096]), None);
    }

    #[test]
    fn letters_stay_as_they_were_typed_and_other_forms_are_only_those_that_differ() {
        let typed = PhonePassword::new("A\u{308}o").unwrap();
        assert_eq!(typed.text(), "A\u{308}o");
        let forms = |text: &str| -> Vec<String> {
            let forms = PhonePassword::new(text).unwrap().other_forms();
            forms.iter().map(|form| form.text().to_owned()).collect()
        };
        assert_eq!(forms("A\u{308}o"), ["\u{c4}o"]);
        assert_eq!(forms("\u{c4}o"), ["A\u{308}o"]);
        assert_eq!(forms("plain"), [""; 0]);
        // Neither the one nor the other.
        assert_eq!(forms("\u{c4}A\u{308}"), ["\u{c4}\u{c4}", "A\u{308}A\u{308}"]);
    }

    #[test]
    fn no_letter_needs_more_room_than_was_made_for_it() {
        for character in ('\0'..=char::MAX).filter(|c| !c.is_control()) {
            let text = character.to_string();
            let password = PhonePassword::new(&text).unwrap();
            for (form, whole) in [
                (collected(password.0.nfc(), text.len()), text.nfc().collect::<String>()),
                (collected(password.0.nfd(), text.len()), text.nfd().collect::<String>()),
            ] {
                assert_eq!(*form, whole, "{character:?}");
            }
        }
    }
}
