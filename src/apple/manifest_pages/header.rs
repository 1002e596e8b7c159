//! The first 100 bytes of a database: how its pages are cut.
//!
//! Invariant: a [`Header`] describes pages that lie within the source, of a length that SQLite allows.

use super::{Damage, ManifestPagesError, OnlySqlite, PageSource};

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The page with this byte is never used: SQLite locks its files there.
const LOCK_BYTE_AT: u32 = 1 << 30;

/// How a database is cut into pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// A power of two from 512 to 65536.
    pub(super) page_len: u32,
    /// Without what is reserved at the end of each page; at least 480.
    pub(super) usable_len: u32,
    /// The last page has this number.
    pub(super) page_count: u32,
}

impl Header {
    pub(super) fn read(source: &mut impl PageSource) -> Result<Self, ManifestPagesError> {
        let len = source.total_len();
        if len == 0 {
            return Err(ManifestPagesError::Empty);
        }
        let mut bytes = [0; 100];
        let there = usize::try_from(len).unwrap_or(usize::MAX).min(bytes.len());
        let there = bytes.get_mut(..there).unwrap_or_default();
        source.read_at(0, there).map_err(ManifestPagesError::Io)?;
        if !there.starts_with(MAGIC) {
            return Err(ManifestPagesError::NotSqlite);
        }
        Self::parse(&bytes, len)
    }

    fn parse(bytes: &[u8; 100], len: u64) -> Result<Self, ManifestPagesError> {
        let damaged = || ManifestPagesError::from(Damage::Header);
        let word = |at| u32_at(bytes, at).ok_or_else(damaged);
        let page_len = match u32::from(u16_at(bytes, 16).ok_or_else(damaged)?) {
            1 => 65536,
            len if len >= 512 && len.is_power_of_two() => len,
            _ => return Err(damaged()),
        };
        let Some([read_version, reserved, 64, 32, 32]) = bytes.get(19..24) else {
            return Err(damaged());
        };
        let usable_len = page_len - u32::from(*reserved);
        if usable_len < 480 {
            return Err(damaged());
        }
        if *read_version > 2 || word(44)? > 4 {
            return Err(OnlySqlite::Newer.into());
        }
        if word(56)? > 1 {
            return Err(OnlySqlite::Encoding.into());
        }
        // Padding of an encrypted backup may follow the last page: a part of a page is none.
        let there = u32::try_from(len / u64::from(page_len)).unwrap_or(u32::MAX);
        // SQLite before 3.7.0 did not keep the count, which shows in the counters of changes.
        let page_count = match word(28)? {
            count if count > 0 && word(24)? == word(92)? => count,
            _ => there,
        };
        if page_count > there || page_count == 0 {
            return Err(Damage::Cut { page_count, there }.into());
        }
        Ok(Self { page_len, usable_len, page_count })
    }

    /// Whether a page with this number can hold anything.
    pub(super) fn has(&self, page: u32) -> bool {
        (1..=self.page_count).contains(&page) && page != LOCK_BYTE_AT / self.page_len + 1
    }

    /// Bytes of all pages.
    pub(super) fn pages_len(&self) -> u64 {
        u64::from(self.page_count) * u64::from(self.page_len)
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}
