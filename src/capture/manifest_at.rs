//! Manifest.db where it lies: what is stored of a file is what its pages are read from.
//!
//! Invariant: nothing of it is written anywhere.

use std::io;

use crate::apple::PageSource;
use crate::snapshot::content_at::ContentAt;

impl PageSource for ContentAt<'_> {
    fn total_len(&self) -> u64 {
        self.len()
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        Self::read_at(self, at, buf)
    }
}
