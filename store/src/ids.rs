//! Names of what is stored: 32 bytes each, shown as 64 lower-case hexadecimal digits.
//!
//! Invariant: a `PackId` and a `BlobId` are never mistaken for each other, and text has exactly one
//! spelling: `parse` refuses upper case, so that two names of one thing cannot exist. Does not compute
//! ids: that is the business of those who hold the bytes and the keys.

use std::fmt;

/// Bytes in an id.
pub const ID_LEN: usize = 32;

/// Why text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// An id has exactly 64 digits.
    #[error("an id has 64 hexadecimal digits, this has {got_len} bytes")]
    WrongLength {
        /// Bytes of text that were given.
        got_len: usize,
    },
    /// Only `0-9` and `a-f` occur in an id.
    #[error("byte {index} of the id is not a lower-case hexadecimal digit")]
    NotHex {
        /// Position of the first bad byte.
        index: usize,
    },
}

/// BLAKE3 of a pack's own bytes: verifiable without any key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId([u8; ID_LEN]);

/// Keyed BLAKE3 of a blob's plaintext, under a key of its own for each type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobId([u8; ID_LEN]);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// Takes bytes that were hashed or decoded; any 32 bytes are an id.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; ID_LEN]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; ID_LEN] {
                &self.0
            }

            /// Reads the 64 digits that `Display` writes, and nothing else.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                parse_hex(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
    };
}

id!(PackId);
id!(BlobId);

fn parse_hex(text: &str) -> Result<[u8; ID_LEN], IdError> {
    if text.len() != 2 * ID_LEN {
        return Err(IdError::WrongLength {
            got_len: text.len(),
        });
    }
    let mut bytes = [0; ID_LEN];
    for (index, digit) in text.bytes().enumerate() {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return Err(IdError::NotHex { index }),
        };
        if let Some(byte) = bytes.get_mut(index / 2) {
            *byte = (*byte << 4) | value;
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_id_is_read_back_from_its_text(bytes: [u8; ID_LEN]) {
            let id = PackId::from_bytes(bytes);
            prop_assert_eq!(PackId::parse(&id.to_string()), Ok(id));
        }

        #[test]
        fn any_text_is_refused_or_spelt_the_same(text in ".{0,70}") {
            if let Ok(id) = BlobId::parse(&text) {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn upper_case_is_not_a_second_spelling() {
        let text = "A".repeat(64);
        assert_eq!(PackId::parse(&text), Err(IdError::NotHex { index: 0 }));
    }

    #[test]
    fn a_short_id_is_refused_with_its_length() {
        assert_eq!(
            PackId::parse("00"),
            Err(IdError::WrongLength { got_len: 2 })
        );
    }
}
