//! The stored bytes of a file in a tree, as the phone or Finder wrote them: encrypted again, if they were opened at capture.
//!
//! Invariant: the end is given only if length and BLAKE3 of all stored bytes are what the tree says.

use std::io::{self, Read};

use russet_store::repository::Repository;

use crate::apple::{Closing, FileKey};
use crate::snapshot::contents::ContentError;
use crate::snapshot::{Content, ContentReader};

const ROOM_LEN: usize = 64 << 10;

/// Reads the stored bytes of a file.
pub struct StoredReader<'r> {
    plain: ContentReader<'r>,
    /// None for a file whose chunks are its stored bytes.
    closing: Option<Closing>,
    padding: u8,
    made: io::Cursor<Vec<u8>>,
    hasher: blake3::Hasher,
    len: u64,
    whole: (u64, [u8; 32]),
    is_over: bool,
}

impl<'r> StoredReader<'r> {
    /// From the first byte.
    #[must_use]
    pub fn new(repository: &'r Repository, content: &Content) -> Self {
        let opened = content.opened.as_ref();
        let key = opened.map(|opened| FileKey::from_bytes(opened.key.as_bytes()));
        Self {
            plain: ContentReader::new(repository, content),
            closing: key.as_ref().map(Closing::new),
            padding: opened.map_or(0, |opened| opened.padding),
            made: io::Cursor::default(),
            hasher: blake3::Hasher::new(),
            len: 0,
            whole: (content.len, content.hash),
            is_over: false,
        }
    }

    /// Makes more stored bytes; at the end the last block.
    fn make(&mut self) -> io::Result<()> {
        let mut room = vec![0; ROOM_LEN];
        let len = self.plain.read(&mut room)?;
        let mut made = Vec::with_capacity(len + 16);
        if len == 0 {
            self.is_over = true;
            if let Some(closing) = self.closing.take() {
                made = closing.finish(self.padding).map_err(io::Error::other)?;
            }
        } else if let Some(closing) = &mut self.closing {
            let plain = room.get(..len).unwrap_or_default();
            closing.push(plain, &mut |bytes| -> io::Result<()> {
                made.extend_from_slice(bytes);
                Ok(())
            })?;
        }
        self.hasher.update(&made);
        self.len += made.len() as u64;
        if self.is_over && (self.len, *self.hasher.finalize().as_bytes()) != self.whole {
            return Err(io::Error::other(ContentError::OtherBytes));
        }
        self.made = io::Cursor::new(made);
        Ok(())
    }
}

impl Read for StoredReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.closing.is_none() && !self.is_over && self.made.get_ref().is_empty() {
            // Stored as it was: the reader below checks it.
            return self.plain.read(buffer);
        }
        loop {
            let len = self.made.read(buffer)?;
            if len > 0 || buffer.is_empty() || self.is_over {
                return Ok(len);
            }
            self.make()?;
        }
    }
}
