//! Cutting what a reader gives.
//!
//! Invariant: the chunks are those of the same bytes in one slice, however the reader portions them, and at most twice
//! the greatest chunk is held. Must not retry errors other than `Interrupted`, nor lose bytes over one.

use std::io::{self, ErrorKind, Read};

use crate::Cut;

/// Length of the buffer when the first byte is asked for.
const FIRST_LEN: usize = 64 << 10;

/// The chunks of a stream. As an iterator it copies each; [`Chunks::next_chunk`] lends them without a copy.
///
/// An error of the reader is handed on and loses nothing: asking again reads on from where it happened.
pub struct Chunks<R> {
    reader: R,
    cut: Cut,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    reader_ended: bool,
}

impl<R: Read> Chunks<R> {
    /// Nothing is read or allocated before the first chunk is asked for.
    pub fn new(reader: R, cut: Cut) -> Self {
        Self { reader, cut, buffer: Vec::new(), start: 0, end: 0, reader_ended: false }
    }

    /// The next chunk, or `None` after the last. The slice is good until the next call.
    pub fn next_chunk(&mut self) -> io::Result<Option<&[u8]>> {
        self.fill()?;
        let held = &self.buffer[self.start..self.end];
        let Some(len) = self.cut.first_cut(held, self.reader_ended) else {
            return Ok(None);
        };
        self.start += len;
        Ok(Some(&held[..len]))
    }

    /// Reads until the greatest chunk is held or the reader ends: then a cut is always found, and no byte is searched
    /// twice.
    fn fill(&mut self) -> io::Result<()> {
        let len_max = self.cut.len_max();
        while !self.reader_ended && self.end - self.start < len_max {
            self.make_room(len_max);
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.reader_ended = true,
                // A reader that lies about its count must not make us read past our buffer.
                Ok(len) => self.end = self.end.saturating_add(len).min(self.buffer.len()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes room to read into. Doubling from small keeps short streams cheap. At full size less than half is held when
    /// the end is reached, so what is moved to the front is less than what was handed out since the last move.
    fn make_room(&mut self, len_max: usize) {
        let full_len = len_max.saturating_mul(2);
        if self.end < self.buffer.len() {
            return;
        }
        if self.buffer.len() < full_len {
            let len = self.buffer.len().saturating_mul(2).max(FIRST_LEN).min(full_len);
            self.buffer.resize(len, 0);
        } else {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_chunk().map(|chunk| chunk.map(<[u8]>::to_vec)).transpose()
    }
}
