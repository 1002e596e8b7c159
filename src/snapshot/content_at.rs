//! The bytes of a file in a tree, from anywhere in it.
//!
//! Invariant: a byte is given only out of a blob that was checked against its id; that the blobs make the whole file is for whoever
//! wrote it to have checked. Of an opened file these are the bytes of the plaintext. Holds the list of the file's chunks, and the chunks that were read last up to a bound.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use russet_store::ids::BlobId;
use russet_store::repository::Repository;
use russet_store::seal::BlobType;

use super::contents::ContentError;
use super::entry::Content;
use super::walk::{TreeError, visit_chunks};

/// Bytes of chunks that are kept.
const KEPT_LEN_MAX: usize = 16 << 20;

struct Chunk {
    at: u64,
    len: u32,
    id: BlobId,
}

/// Reads a file of a tree at any offset.
pub struct ContentAt<'r> {
    repository: &'r Repository,
    chunks: Vec<Chunk>,
    len: u64,
    kept: VecDeque<(usize, Arc<Vec<u8>>)>,
    kept_len: usize,
}

impl<'r> ContentAt<'r> {
    /// Finds out where each chunk begins.
    ///
    /// # Errors
    /// A list or a chunk is missing, or they do not have the file's length together.
    pub fn new(repository: &'r Repository, content: &Content) -> Result<Self, ContentError> {
        let mut ids = Vec::new();
        let mut visit = |id: BlobId, blob_type| -> Result<(), TreeError> {
            if blob_type == BlobType::Data {
                ids.push(id);
            }
            Ok(())
        };
        visit_chunks(repository, content, &mut visit)?;
        let mut chunks = Vec::with_capacity(ids.len());
        let mut at = 0;
        for batch in ids.chunks(4096) {
            let found =
                repository.index().lookup_many(batch).map_err(|_| ContentError::OtherBytes)?;
            for (id, places) in batch.iter().zip(found) {
                let place = places.first().ok_or(ContentError::OtherBytes)?;
                let len = place.spot.plain_len;
                chunks.push(Chunk { at, len, id: *id });
                at += u64::from(len);
            }
        }
        if at != content.plain_len() {
            return Err(ContentError::OtherBytes);
        }
        Ok(Self { repository, chunks, len: at, kept: VecDeque::new(), kept_len: 0 })
    }

    /// Bytes of the file.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `buffer` with the bytes at `at`.
    ///
    /// # Errors
    /// They reach beyond the end, or a chunk cannot be read.
    pub fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = at + done as u64;
            let number = self.chunks.partition_point(|c| c.at + u64::from(c.len) <= at);
            let Some(begins) = self.chunks.get(number).map(|c| c.at) else {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
            };
            let chunk = self.chunk(number)?;
            let offset = usize::try_from(at - begins).unwrap_or(usize::MAX);
            let there = chunk.get(offset..).unwrap_or_default();
            let len = there.len().min(rest.len());
            if len == 0 {
                return Err(io::Error::other(ContentError::OtherBytes));
            }
            rest.iter_mut().zip(there).for_each(|(to, from)| *to = *from);
            done += len;
        }
        Ok(())
    }

    fn chunk(&mut self, number: usize) -> io::Result<Arc<Vec<u8>>> {
        if let Some(at) = self.kept.iter().position(|(kept, _)| *kept == number) {
            let chunk = self.kept.remove(at).unwrap_or_default();
            self.kept.push_back(chunk.clone());
            return Ok(chunk.1);
        }
        let Some(Chunk { id, len, .. }) = self.chunks.get(number) else {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        };
        let bytes = self.repository.blob(id, BlobType::Data).map_err(io::Error::other)?;
        if bytes.len() != *len as usize {
            return Err(io::Error::other(ContentError::OtherBytes));
        }
        let chunk = Arc::new(bytes);
        self.kept_len += chunk.len();
        self.kept.push_back((number, Arc::clone(&chunk)));
        while self.kept_len > KEPT_LEN_MAX && self.kept.len() > 1 {
            if let Some((_, gone)) = self.kept.pop_front() {
                self.kept_len -= gone.len();
            }
        }
        Ok(chunk)
    }
}
