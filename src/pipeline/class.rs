//! How a file is cut, by what its first bytes are (docs/format-cut.md).
//!
//! Invariant: the choice depends on the file's first 64 KiB and the repository's parameters alone, so that the same file is cut
//! the same way every week.

use russet_chunker::{Cut, Cutter, Sizes, SizesError, sqlite_page_len};
use russet_store::config::Cut as Parameters;

/// Bytes that decide.
pub(super) const HEAD_LEN: usize = 64 << 10;

/// The ways files of one repository are cut.
pub struct Cuts {
    general: Cutter,
    media: Cutter,
    whole_max: usize,
}

impl Cuts {
    /// From the repository's parameters and seed.
    ///
    /// # Errors
    /// The parameters are not ones that files can be cut by.
    pub fn new(parameters: &Parameters, seed: &[u8; 32]) -> Result<Self, SizesError> {
        let sizes = |[min, avg, max]: [u32; 3]| Sizes::new(min, avg, max);
        Ok(Self {
            general: Cutter::new(seed, sizes(parameters.general)?),
            media: Cutter::new(seed, sizes(parameters.media)?),
            whole_max: (parameters.whole_max as usize).min(HEAD_LEN),
        })
    }

    /// How a file that begins with `head` is cut; None: it is one chunk. `all` says that nothing follows.
    pub(super) fn of(&self, head: &[u8], all: bool) -> Option<Cut> {
        let pages = sqlite_page_len(head);
        if all && head.len() <= self.whole_max && pages.is_none() {
            return None;
        }
        Some(match pages {
            Some(page_len) => Cut::pages(page_len),
            None if is_noise(head) => Cut::Content(self.media.clone()),
            None => Cut::Content(self.general.clone()),
        })
    }
}

/// Whether bytes are incompressible: 256 × the sum of squared counts of byte values is below 1.5 × the square of the length (1 for
/// noise, 256 for one value alone).
fn is_noise(head: &[u8]) -> bool {
    let mut counts = [0u64; 256];
    for byte in head {
        counts[usize::from(*byte)] += 1;
    }
    let squares: u64 = counts.iter().map(|c| c * c).sum();
    let len = head.len() as u64;
    512 * squares < 3 * len * len
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn cuts() -> Cuts {
        Cuts::new(&Parameters::default(), &[1; 32]).unwrap()
    }

    #[test]
    fn databases_are_cut_by_pages_however_small() {
        let mut head = b"SQLite format 3\0\x10\x00".to_vec();
        head.resize(8192, 0);
        assert!(matches!(cuts().of(&head, true), Some(Cut::Pages { page_len: 4096, .. })));
    }

    #[test]
    fn small_files_are_one_chunk_and_noise_has_large_ones() {
        assert!(cuts().of(b"small", true).is_none());
        let mut noise = vec![0; HEAD_LEN];
        blake3_fill(&mut noise);
        assert_eq!(cuts().of(&noise, false).map(|cut| cut.len_max()), Some(4 << 20));
        let text = b"{\"key\": 1}".repeat(HEAD_LEN / 10 + 1);
        assert_eq!(cuts().of(&text, false).map(|cut| cut.len_max()), Some(256 << 10));
    }

    fn blake3_fill(out: &mut [u8]) {
        blake3::Hasher::new().finalize_xof().fill(out);
    }
}
