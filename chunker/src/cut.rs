//! The ways a stream can be cut, and which pages a SQLite file has.
//!
//! Invariant: a cut is never 0 and never beyond the data. Must not open files: the caller hands over the first bytes.

use crate::Cutter;

/// Length that chunks of pages aim at.
const PAGES_TARGET_LEN: u32 = 16 << 10;

/// One thing a stream can be cut by.
#[derive(Clone)]
pub enum Cut {
    /// By content: media and everything large.
    Content(Cutter),
    /// At multiples of `chunk_len`: files that change a page at a time.
    Pages {
        /// Length of a page; every cut lies at a multiple of it.
        page_len: u32,
        /// Length of every chunk but the last: a multiple of `page_len`.
        chunk_len: u32,
    },
}

impl Cut {
    /// Cuts pages of `page_len` into chunks of [`page_chunk_len`].
    pub fn pages(page_len: u32) -> Self {
        Self::Pages { page_len, chunk_len: page_chunk_len(page_len) }
    }

    /// Length of the first chunk of `data`, which begins at a chunk start; `end` says that nothing follows `data`.
    ///
    /// `None`: more bytes are needed, only when `!end` and `data` is shorter than [`Cut::len_max`], or when `data` is
    /// empty. Never 0.
    pub fn first_cut(&self, data: &[u8], end: bool) -> Option<usize> {
        match self {
            Self::Content(cutter) => cutter.first_cut(data, end),
            Self::Pages { .. } if data.len() >= self.len_max() => Some(self.len_max()),
            Self::Pages { .. } => (end && !data.is_empty()).then_some(data.len()),
        }
    }

    /// No chunk is longer. A chunk length of 0, which no constructor makes, counts as 1.
    pub fn len_max(&self) -> usize {
        match self {
            Self::Content(cutter) => cutter.len_max(),
            Self::Pages { chunk_len, .. } => (*chunk_len).max(1) as usize,
        }
    }
}

/// Length of a chunk of pages: the multiple of `page_len` nearest 16 KiB, and `page_len` itself where that is larger.
/// Source: docs/format-cut.md §7.
pub fn page_chunk_len(page_len: u32) -> u32 {
    let page_len = page_len.max(1);
    if page_len >= PAGES_TARGET_LEN {
        return page_len;
    }
    (PAGES_TARGET_LEN + page_len / 2) / page_len * page_len
}

/// Page length of a SQLite file from its first bytes (100 are plenty), or `None` where these are not such a file's.
/// Source: <https://www.sqlite.org/fileformat2.html#the_database_header>.
pub fn sqlite_page_len(head: &[u8]) -> Option<u32> {
    let after_magic = head.strip_prefix(b"SQLite format 3\0")?;
    let page_len = match u16::from_be_bytes(*after_magic.first_chunk()?) {
        1 => 65536,
        stored => u32::from(stored),
    };
    (page_len.is_power_of_two() && page_len >= 512).then_some(page_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(page_len: [u8; 2]) -> Vec<u8> {
        [b"SQLite format 3\0".as_slice(), &page_len, &[0; 82]].concat()
    }

    #[test]
    fn the_page_length_is_read_big_endian_and_1_means_65536() {
        assert_eq!(sqlite_page_len(&head([0x02, 0x00])), Some(512));
        assert_eq!(sqlite_page_len(&head([0x10, 0x00])), Some(4096));
        assert_eq!(sqlite_page_len(&head([0x80, 0x00])), Some(32768));
        assert_eq!(sqlite_page_len(&head([0x00, 0x01])), Some(65536));
    }

    #[test]
    fn a_page_length_sqlite_does_not_know_is_none() {
        for stored in [[0, 0], [0, 2], [1, 0], [0x0f, 0xff], [0x10, 0x01], [0x30, 0x00]] {
            assert_eq!(sqlite_page_len(&head(stored)), None, "{stored:?}");
        }
    }

    #[test]
    fn a_head_that_is_short_or_of_another_kind_is_none() {
        let whole = head([0x10, 0x00]);
        for len in 0..18 {
            assert_eq!(sqlite_page_len(&whole[..len]), None, "{len}");
        }
        assert_eq!(sqlite_page_len(&whole[..18]), Some(4096));
        assert_eq!(sqlite_page_len(&[b"SQLite format 2\0".as_slice(), &[0x10; 84]].concat()), None);
    }

    #[test]
    fn chunks_of_pages_are_the_multiple_nearest_16_kib() {
        for (page_len, chunk_len) in [
            (512, 16384),
            (4096, 16384),
            (16384, 16384),
            (32768, 32768),
            (65536, 65536),
            (3000, 15000),
            (10000, 20000),
        ] {
            assert_eq!(page_chunk_len(page_len), chunk_len, "{page_len}");
        }
    }

    #[test]
    fn pages_are_cut_at_multiples_and_the_tail_is_what_is_left() {
        let cut = Cut::pages(4096);
        assert_eq!(cut.first_cut(&[0; 16384], false), Some(16384));
        assert_eq!(cut.first_cut(&[0; 50000], true), Some(16384));
        assert_eq!(cut.first_cut(&[0; 16383], false), None);
        assert_eq!(cut.first_cut(&[0; 16383], true), Some(16383));
        assert_eq!(cut.first_cut(&[], true), None);
    }

    #[test]
    fn a_chunk_length_of_zero_still_moves_on() {
        let cut = Cut::Pages { page_len: 0, chunk_len: 0 };
        assert_eq!(cut.first_cut(&[0; 3], false), Some(1));
        assert_eq!(page_chunk_len(0), 16384);
    }
}
