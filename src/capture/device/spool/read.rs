//! Reading a file of a spool.
//!
//! Invariant: a byte is given only out of a frame that opened, and the end only if BLAKE3 of all is what the draft says. Holds one
//! frame, and no more of the spool than its place and its key.

use std::io::{self, Read};
use std::path::PathBuf;

use super::segment::{FRAME_LEN, Reader};
use super::{SpoolKey, SpoolRecord, Spooled, segment_path};

/// Reads a file from its first byte.
pub struct SpoolReader {
    folder: PathBuf,
    key: SpoolKey,
    segment_len: u64,
    at: u64,
    left: u64,
    hash: [u8; 32],
    hasher: blake3::Hasher,
    segment: Option<(u32, Reader)>,
    /// Bytes that were opened, and how many of them were given.
    frame: Vec<u8>,
    given: usize,
}

impl SpoolReader {
    pub(super) fn new(record: &SpoolRecord, file: &Spooled) -> Self {
        Self {
            folder: record.folder.clone(),
            key: record.key.clone(),
            segment_len: record.segment_len,
            at: file.at,
            left: file.len,
            hash: file.hash,
            hasher: blake3::Hasher::new(),
            segment: None,
            frame: Vec::new(),
            given: 0,
        }
    }

    /// Opens the next frame and leaves of it what belongs to the file.
    fn advance(&mut self) -> io::Result<()> {
        let odd = || io::Error::other("a place that no spool has");
        let number = u32::try_from(self.at / self.segment_len.max(1)).map_err(|_| odd())?;
        let within = self.at % self.segment_len.max(1);
        let frame = u32::try_from(within / FRAME_LEN as u64).map_err(|_| odd())?;
        let skip = usize::try_from(within % FRAME_LEN as u64).map_err(|_| odd())?;
        let mut reader = match self.segment.take() {
            Some((known, reader)) if known == number => reader,
            _ => Reader::open(&segment_path(&self.folder, number), &self.key, number)?,
        };
        self.frame = reader.frame(frame)?;
        self.segment = Some((number, reader));
        let end = usize::try_from(self.left).unwrap_or(FRAME_LEN).saturating_add(skip);
        self.frame.truncate(end);
        self.given = skip;
        let fresh = self.frame.get(skip..).unwrap_or_default();
        self.hasher.update(fresh);
        self.at += fresh.len() as u64;
        self.left -= fresh.len() as u64;
        Ok(())
    }
}

impl Read for SpoolReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.frame.len() {
            if self.left == 0 {
                let is_same = *self.hasher.finalize().as_bytes() == self.hash;
                return if is_same { Ok(0) } else { Err(io::Error::other("it is another file")) };
            }
            self.advance()?;
        }
        let ready = self.frame.get(self.given..).unwrap_or_default();
        let len = ready.len().min(buffer.len());
        buffer.iter_mut().zip(ready).for_each(|(place, byte)| *place = *byte);
        self.given += len;
        Ok(len)
    }
}
