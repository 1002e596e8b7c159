//! Files of a draft whose chunks are not in the repository yet, or not as they are to be: put into the spool, read wherever they
//! are, and stored in another way.
//!
//! Invariant: a file that is stored in another way stands in its old place until the new one is whole.

use std::io::{self, Read};

use super::answers::Arriving;
use super::{Host, HostError, Wait, Waiting};
use crate::apple::{FileKey, OpeningError};
use crate::capture::device::draft::{FileNode, Found};
use crate::capture::device::space;
use crate::capture::device::spool::{AppendError, Spool, SpoolError, SpoolRecord, Spooled};
use crate::capture::opener::{Fed, feed_opened};
use crate::capture::stored::StoredReader;
use crate::pipeline::ReadOutcome;
use crate::snapshot::Content;

/// What came of storing a file of the draft in another way.
pub(in crate::capture::device) enum Restored {
    /// It is opened.
    Opened,
    /// It is stored as it came, for this reason, if it has a key.
    Kept(Option<OpeningError>),
    /// It cannot be read back.
    Lost(io::Error),
}

impl<'r> Host<'_, '_, '_, 'r> {
    /// The stored bytes of a file of the draft, wherever they are; its blobs must be in packs.
    pub(super) fn source(&mut self, node: &FileNode) -> Result<Box<dyn Read + 'r>, HostError> {
        let content = &node.content;
        let Some(at) = node.spooled else {
            return Ok(Box::new(StoredReader::new(self.session.repository(), content)));
        };
        let file = Spooled { at, len: content.len, hash: content.hash };
        let spool = self.options.spool.as_mut().ok_or(SpoolError::Sizes)?;
        Ok(Box::new(spool.reader(&file)?))
    }

    /// Stores a file of the draft anew: opened, if it fits its key; else as it is, if it waits in the spool. It stands in its
    /// place once it is drained.
    ///
    /// # Errors
    /// Nothing more can be stored.
    pub(in crate::capture::device) fn restore(
        &mut self,
        path: &[u8],
        key: Option<&FileKey>,
    ) -> Result<Restored, HostError> {
        let Some(Found::File(file)) = self.draft.tree().get(path) else {
            return Ok(Restored::Kept(None));
        };
        let node = file.packed.decode();
        let (mtime_secs, mtime_nanos) = (node.mtime_secs, node.mtime_nanos);
        let mut waiting =
            Waiting { path: path.to_vec(), mtime_secs, mtime_nanos, sha1: None, opened: None };
        let mut why_kept = None;
        if let Some(key) = key {
            let source = self.source(&node)?;
            match feed_opened(self.feeder, (), source, key, node.content.len)? {
                Fed::Opened(stored) => {
                    waiting.opened = Some((stored, FileKey::from_bytes(key.as_bytes())));
                    self.waiting.push_back(waiting);
                    self.collect(Wait::No)?;
                    return Ok(Restored::Opened);
                }
                Fed::Odd(why) => why_kept = Some(why),
                Fed::Unread(error) => return Ok(Restored::Lost(error)),
            }
        }
        if node.spooled.is_some() {
            let source = self.source(&node)?;
            match self.feeder.feed((), source)? {
                ReadOutcome::Whole { .. } => self.waiting.push_back(waiting),
                ReadOutcome::Failed(error) => return Ok(Restored::Lost(error)),
            }
            self.collect(Wait::No)?;
        }
        Ok(Restored::Kept(why_kept))
    }

    /// Writes a checkpoint, and gives back the room of the spool before a place, of which the draft needs nothing any more.
    ///
    /// # Errors
    /// Something could not be written; the checkpoint before still counts.
    pub(in crate::capture::device) fn release(&mut self, before: u64) -> Result<(), HostError> {
        self.checkpoint()?;
        match &mut self.options.spool {
            Some(spool) => Ok(spool.release(before)?),
            None => Ok(()),
        }
    }

    /// What the draft keeps of its spool.
    pub(in crate::capture::device) fn spool(&self) -> Option<&SpoolRecord> {
        self.options.spool.as_ref().map(Spool::record)
    }

    /// Bytes that may still come, into the spool or the repository.
    pub(super) fn room_len(&self, waits: bool) -> Result<u64, HostError> {
        match self.options.spool.as_ref().filter(|_| waits) {
            Some(spool) => Ok(space::room_of(spool.free_len()?)),
            None => {
                let backend = self.session.repository().backend();
                self.options.space.room_len(backend.as_ref()).map_err(HostError::Space)
            }
        }
    }

    /// Puts a file into the spool, and the draft.
    pub(super) fn put_by(
        &mut self,
        path: &[u8],
        body: &mut Arriving<'_>,
    ) -> Result<ReadOutcome, HostError> {
        let spool = self.options.spool.as_mut().ok_or(SpoolError::Sizes)?;
        let Spooled { at, len, hash } = match spool.append(body) {
            Ok(spooled) => spooled,
            Err(AppendError::Source(error)) => return Ok(ReadOutcome::Failed(error)),
            Err(AppendError::Spool(error)) if error.is_full() => return Err(HostError::Full),
            Err(AppendError::Spool(error)) => return Err(error.into()),
        };
        let content = Content { len, hash, depth: 0, ids: Vec::new(), opened: None };
        let (spooled, mtime_secs) = (Some(at), self.now());
        let node = FileNode { content, spooled, mtime_secs, mtime_nanos: 0, sha1: None, row: None };
        self.draft.put_file(path, &node)?;
        self.keep_pieces_small()?;
        Ok(ReadOutcome::Whole { len })
    }
}

/// Whether a file of an encrypted backup is one of those whose keys come last. The phone's lists are not: they hold the keys, and
/// it asks for them again and again.
pub(super) fn waits_for_keys(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    !name.starts_with(b"Manifest.") && !name.ends_with(b".plist")
}
