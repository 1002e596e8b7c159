//! Names of things: 32-byte ids written as 64 hex digits, and the 16-byte ids of repositories and writers.
//!
//! Invariant: an id is only ever made by hashing (`seal::blob_id`, [`hash_of_file`]) or by decoding what was read; there is
//! no conversion from arbitrary bytes that could be done by mistake. Must not know what an id stands for.

use std::fmt;

/// Length of the long ids.
pub const ID_LEN: usize = 32;

/// Writes bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(*b)]).collect()
}

/// Reads exactly `N` bytes of lower-case hex; None for anything else.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let value = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let mut out = [0u8; N];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        if let [high, low] = pair {
            *byte = value(*high)? << 4 | value(*low)?;
        }
    }
    Some(out)
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Takes bytes that were read from a format field or made by a hash.
            #[must_use]
            pub const fn decode(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// Reads the hex form; None for anything else.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                unhex(text).map(Self)
            }

            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex(&self.0))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&hex(&self.0))
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
                Self::parse(&text).ok_or_else(|| {
                    serde::de::Error::custom(concat!("not ", $len, " bytes of lower-case hex"))
                })
            }
        }
    };
}

id! {
    /// A blob: keyed BLAKE3 of its plaintext under the id key of its type (docs/format.md §3).
    BlobId, 32
}
id! {
    /// A pack: BLAKE3 of the bytes of its file.
    PackId, 32
}
id! {
    /// A record, keyslot, keyring or segment: BLAKE3 of the bytes of its file. A snapshot's id is one of these.
    RecordId, 32
}
id! {
    /// A repository: 16 random bytes drawn at init, in the header of every file.
    RepositoryId, 16
}
id! {
    /// A writer: 16 random bytes that a host keeps for one repository (docs/format.md §10).
    WriterId, 16
}
id! {
    /// A draft: 16 random bytes (docs/format.md §13).
    DraftId, 16
}

/// BLAKE3 of a file's bytes: what its name must be.
#[must_use]
pub fn hash_of_file(bytes: &[u8]) -> [u8; 32] {
    *blake3::hash(bytes).as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_there_and_back_and_refuses_everything_else() {
        let id = BlobId::decode([0xab; 32]);
        assert_eq!(BlobId::parse(&id.to_string()), Some(id));
        assert_eq!(BlobId::parse(&"AB".repeat(32)), None);
        assert_eq!(BlobId::parse(&"ab".repeat(31)), None);
        assert_eq!(unhex::<2>("0g00"), None);
    }
}
