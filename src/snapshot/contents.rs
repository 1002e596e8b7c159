//! The bytes of a file in a tree, as a stream.
//!
//! Invariant: a byte is given only out of a blob that was checked against its id, and the end only if length and BLAKE3 of
//! all are what the tree says. Of an opened file the plaintext is given: its length is checked, and the BLAKE3, which is of the
//! stored bytes, is for whoever makes them. Holds one chunk, and one list a level.

use std::io::{self, Read};

use russet_store::repository::{FetchError, Repository};
use russet_store::seal::BlobType;

use super::entry::Content;
use super::walk::{TreeError, read_list};
use russet_store::ids::BlobId;

/// Why a file cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A chunk.
    #[error(transparent)]
    Chunk(#[from] FetchError),
    /// A list of chunks.
    #[error(transparent)]
    List(#[from] TreeError),
    /// Every chunk is right, and yet the whole is not: our bug, or somebody else's tree.
    #[error("its pieces do not make the file that the listing describes")]
    OtherBytes,
}

/// Reads a file of a tree. An error is a [`ContentError`] inside an [`io::Error`]; nothing comes after it.
pub struct ContentReader<'r> {
    repository: &'r Repository,
    /// Ids that are still to come, with what depth they have; the last list is read first.
    lists: Vec<(u8, std::vec::IntoIter<BlobId>)>,
    chunk: io::Cursor<Vec<u8>>,
    hasher: blake3::Hasher,
    len: u64,
    whole_len: u64,
    /// None: it is of other bytes than these.
    whole_hash: Option<[u8; 32]>,
    is_over: bool,
}

impl<'r> ContentReader<'r> {
    /// From the first byte.
    #[must_use]
    pub fn new(repository: &'r Repository, content: &Content) -> Self {
        Self {
            repository,
            lists: vec![(content.depth, content.ids.clone().into_iter())],
            chunk: io::Cursor::default(),
            hasher: blake3::Hasher::new(),
            len: 0,
            whole_len: content.plain_len(),
            whole_hash: content.opened.is_none().then_some(content.hash),
            is_over: false,
        }
    }

    /// The next chunk; false at the end.
    fn advance(&mut self) -> Result<bool, ContentError> {
        while let Some((depth, ids)) = self.lists.last_mut() {
            let depth = *depth;
            let Some(id) = ids.next() else {
                self.lists.pop();
                continue;
            };
            if depth > 0 {
                let below = read_list(self.repository, id, depth)?;
                self.lists.push((depth - 1, below.into_iter()));
                continue;
            }
            let chunk = self.repository.blob(&id, BlobType::Data)?;
            self.len += chunk.len() as u64;
            if self.len > self.whole_len {
                return Err(ContentError::OtherBytes);
            }
            self.hasher.update(&chunk);
            self.chunk = io::Cursor::new(chunk);
            return Ok(true);
        }
        let is_same = |hash: [u8; 32]| *self.hasher.finalize().as_bytes() == hash;
        if self.len == self.whole_len && self.whole_hash.is_none_or(is_same) {
            Ok(false)
        } else {
            Err(ContentError::OtherBytes)
        }
    }
}

impl Read for ContentReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let len = self.chunk.read(buffer)?;
            if len > 0 || buffer.is_empty() || self.is_over {
                return Ok(len);
            }
            match self.advance() {
                Ok(true) => {}
                Ok(false) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Err(io::Error::other(error));
                }
            }
        }
    }
}
