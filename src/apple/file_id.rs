//! File ids: the names under which Apple stores the files of a backup.
//!
//! Invariant: an id is 20 bytes and its text is 40 lower-case hex digits; nothing else parses. Knows no
//! file system. Format: docs/apple-format.md §3.

use std::fmt;

use sha1::{Digest, Sha1};

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// The id of one file or directory of a backup: SHA-1 of `domain-relativePath`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId([u8; 20]);

impl FileId {
    /// The id that belongs to a domain and path, both as the bytes that stand in `Manifest.db`.
    ///
    /// ```
    /// # use russet::apple::FileId;
    /// let id = FileId::of(b"HomeDomain", b"Library/SMS/sms.db");
    /// assert_eq!(id.stored_path(), "3d/3d0d7e5fb2ce288813306e4d4636395e047a3d28");
    /// ```
    pub fn of(domain: &[u8], relative_path: &[u8]) -> Self {
        let hash = Sha1::new().chain_update(domain).chain_update(b"-").chain_update(relative_path);
        Self(hash.finalize().into())
    }

    /// Reads exactly 40 lower-case hex digits.
    pub fn parse(hex: &[u8]) -> Option<Self> {
        let (pairs, []) = hex.as_chunks::<2>() else {
            return None;
        };
        let pairs: &[[u8; 2]; 20] = pairs.try_into().ok()?;
        let mut bytes = [0; 20];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = (hex_value(*high)? << 4) | hex_value(*low)?;
        }
        Some(Self(bytes))
    }

    /// The 20 bytes.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// Where the file lies in the backup folder: `3d/3d0d…`, with `/` on every system.
    pub fn stored_path(&self) -> String {
        let hex = self.to_string();
        format!("{}/{hex}", hex.get(..2).unwrap_or_default())
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        for byte in self.0 {
            for nibble in [byte >> 4, byte & 0x0f] {
                f.write_char(
                    HEX_DIGITS.get(usize::from(nibble)).copied().unwrap_or_default().into(),
                )?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileId({self})")
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use proptest::prelude::*;

    use super::*;

    const SMS: &str = "3d0d7e5fb2ce288813306e4d4636395e047a3d28";

    #[test]
    fn the_message_database_has_the_id_that_every_backup_gives_it() {
        assert_eq!(FileId::of(b"HomeDomain", b"Library/SMS/sms.db").to_string(), SMS);
    }

    #[test]
    fn the_stored_path_repeats_the_first_two_digits() {
        let id = FileId::parse(SMS.as_bytes()).unwrap();
        assert_eq!(id.stored_path(), format!("3d/{SMS}"));
    }

    #[test]
    fn other_lengths_upper_case_and_other_letters_do_not_parse() {
        let upper = SMS.to_uppercase();
        let with_g = SMS.replace('d', "g");
        let longer = format!("{SMS}0");
        for text in ["", &SMS[..38], &SMS[..39], &longer, &upper, &with_g] {
            assert_eq!(FileId::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn the_separator_is_part_of_the_hash_so_that_paths_differ_byte_by_byte() {
        let composed = FileId::of(b"HomeDomain", "é".as_bytes());
        let decomposed = FileId::of(b"HomeDomain", "e\u{301}".as_bytes());
        assert_ne!(composed, decomposed);
        assert_eq!(FileId::of(b"A-B", b"c"), FileId::of(b"A", b"B-c"));
    }

    proptest! {
        #[test]
        fn an_id_comes_back_from_its_text(bytes: [u8; 20]) {
            let id = FileId(bytes);
            prop_assert_eq!(FileId::parse(id.to_string().as_bytes()), Some(id));
        }

        #[test]
        fn any_bytes_parse_to_themselves_or_to_nothing(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            if let Some(id) = FileId::parse(&bytes) {
                prop_assert_eq!(id.to_string().into_bytes(), bytes);
            }
        }
    }
}
