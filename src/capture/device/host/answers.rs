//! The phone's questions, answered out of the draft.
//!
//! Invariant: after a failure of ours everything is refused, for nothing can be promised any more; "missing" is said only of what
//! is not in the draft.

use std::io::{self, Read};

use sha1::{Digest, Sha1};

use super::spooled::waits_for_keys;
use super::{
    CHECKPOINT_COUNT, CHECKPOINT_LEN, CHECKPOINT_TIME, Host, HostError, SCRATCH, STATUS, Wait,
    Waiting,
};
use crate::capture::device::draft::{Draft, DraftError, Found};
use crate::capture::device::files::{
    DevicePath, FileError, FileErrorKind, Files, Listed, ListedKind,
};
use crate::capture::device::link::BodyError;
use crate::observe::Observer;
use crate::pipeline::ReadOutcome;

impl Host<'_, '_, '_, '_> {
    /// Remembers the first failure of ours; from then on everything is refused, for nothing can be promised any more.
    fn failed(&mut self, error: HostError) -> FileError {
        let kind = if is_full(&error) { FileErrorKind::NoSpace } else { FileErrorKind::Io };
        let text = error.to_string();
        self.failure.get_or_insert(error);
        FileError { kind, text }
    }

    fn sound(&self) -> Result<(), FileError> {
        match &self.failure {
            None => Ok(()),
            Some(HostError::Full) => Err(no_space()),
            Some(error) => Err(FileError { kind: FileErrorKind::Io, text: error.to_string() }),
        }
    }

    fn drained(&mut self) -> Result<(), FileError> {
        self.sound()?;
        self.drain().map_err(|error| self.failed(error))
    }

    /// The path in the phone's own folder; empty for that folder. Some versions have a scratch folder beside it: that stands in
    /// the draft under its own name, and in no snapshot.
    fn inside<'p>(&self, path: &'p DevicePath) -> Result<&'p [u8], FileError> {
        let (folder, rest) = path.split_first();
        if folder == self.options.udid.as_bytes() {
            Ok(rest)
        } else if folder == SCRATCH {
            Ok(path.as_bytes())
        } else {
            Err(refused("only the folder of the phone itself is kept here"))
        }
    }

    fn edit(
        &mut self,
        change: impl FnOnce(&mut Draft) -> Result<(), DraftError>,
    ) -> Result<(), FileError> {
        self.drained()?;
        change(&mut self.draft).map_err(|error| of_draft(&error))?;
        self.keep_pieces_small().map_err(|error| self.failed(error))
    }
}

fn is_full(error: &HostError) -> bool {
    matches!(error, HostError::Full)
}

fn no_space() -> FileError {
    FileError { kind: FileErrorKind::NoSpace, text: "No space left on device".to_owned() }
}

fn refused(text: &str) -> FileError {
    FileError { kind: FileErrorKind::Refused, text: text.to_owned() }
}

fn of_draft(error: &DraftError) -> FileError {
    FileError { kind: error.kind(), text: error.to_string() }
}

/// A file on its way: hashed as Apple does, told to the observer, and ended where the drive has no more room.
pub(super) struct Arriving<'a> {
    body: &'a mut dyn Read,
    sha1: Option<Sha1>,
    observer: &'a dyn Observer,
    room_len: u64,
    is_full: bool,
}

impl Read for Arriving<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.body.read(buffer)?;
        if let Some(sha1) = &mut self.sha1 {
            sha1.update(buffer.get(..len).unwrap_or_default());
        }
        self.observer.advance(len as u64, 0);
        match self.room_len.checked_sub(len as u64) {
            Some(left) => self.room_len = left,
            None => {
                self.is_full = true;
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
        }
        Ok(len)
    }
}

impl Files for Host<'_, '_, '_, '_> {
    fn upload(&mut self, path: &DevicePath, body: &mut dyn Read) -> Result<(), FileError> {
        self.sound()?;
        let inside = self.inside(path)?.to_vec();
        if matches!(self.draft.tree().get(&inside), Some(Found::Directory)) {
            return Err(of_draft(&DraftError::IsADirectory));
        }
        let waits = self.options.spool.is_some() && waits_for_keys(&inside);
        let room_len = self.room_len(waits).map_err(|error| self.failed(error))?;
        let sha1 = self.options.with_sha1.then(Sha1::new);
        let observer = self.observer;
        let mut arriving = Arriving { body, sha1, observer, room_len, is_full: false };
        let outcome = match waits {
            true => self.put_by(&inside, &mut arriving),
            false => self.feeder.feed((), &mut arriving).map_err(HostError::from),
        };
        let Arriving { sha1, is_full, .. } = arriving;
        match outcome {
            Ok(ReadOutcome::Whole { len }) => {
                if !waits {
                    let (mtime_secs, mtime_nanos) = (self.now(), 0);
                    let sha1 = sha1.map(|sha1| sha1.finalize().into());
                    self.status_came |= inside == STATUS;
                    self.waiting.push_back(Waiting {
                        path: inside,
                        mtime_secs,
                        mtime_nanos,
                        sha1,
                        opened: None,
                    });
                }
                self.options.record.received_len += len;
                self.unsaved_len += len;
                self.unsaved_count += 1;
                self.observer.advance(0, 1);
            }
            Ok(ReadOutcome::Failed(_)) if is_full => {
                self.failed(HostError::Full);
                return Err(no_space());
            }
            Ok(ReadOutcome::Failed(error)) => {
                let text = match BodyError::of(&error) {
                    Some(inner) => inner.to_string(),
                    None => error.to_string(),
                };
                return Err(FileError { kind: FileErrorKind::Io, text });
            }
            Err(error) => return Err(self.failed(error)),
        }
        // Else a phone of tiny files would have all of them wait for the end of its upload.
        self.collect(Wait::No).map_err(|error| self.failed(error))?;
        if self.unsaved_len >= CHECKPOINT_LEN
            || self.unsaved_count >= CHECKPOINT_COUNT
            || self.saved.elapsed() >= CHECKPOINT_TIME
        {
            self.checkpoint().map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn uploaded(&mut self) -> Result<(), FileError> {
        self.sound()?;
        // The phone goes on from what it last told: that must never be newer than what is durable.
        if self.status_came {
            self.checkpoint().map_err(|error| self.failed(error))?;
        }
        Ok(())
    }

    fn download(&mut self, path: &DevicePath) -> Result<Box<dyn Read + '_>, FileError> {
        self.drained()?;
        let inside = self.inside(path)?;
        let node = match self.draft.tree().get(inside) {
            None => return Err(of_draft(&DraftError::NotFound)),
            Some(Found::Directory) => return Err(of_draft(&DraftError::IsADirectory)),
            Some(Found::Link(_)) => return Err(refused("a link is not followed")),
            Some(Found::File(file)) => file.packed.decode(),
        };
        self.settle().map_err(|error| self.failed(error))?;
        self.source(&node).map_err(|error| self.failed(error))
    }

    fn list(
        &mut self,
        path: &DevicePath,
        each: &mut dyn FnMut(&[u8], Listed),
    ) -> Result<(), FileError> {
        self.drained()?;
        let directory = Listed { kind: ListedKind::Directory, len: 0, mtime_secs: 0 };
        if path.is_root() {
            each(self.options.udid.as_bytes(), directory);
            return Ok(());
        }
        let inside = self.inside(path)?;
        let listed = self.draft.tree().list(inside, &mut |name, found| {
            let listed = match found {
                Found::Directory => directory,
                Found::File(file) => Listed {
                    kind: ListedKind::File,
                    len: file.packed.len(),
                    mtime_secs: file.packed.mtime_secs(),
                },
                Found::Link(link) => {
                    Listed { kind: ListedKind::Other, len: 0, mtime_secs: link.mtime_secs }
                }
            };
            each(name, listed);
        });
        listed.map_err(|error| of_draft(&error))
    }

    fn create_directory(&mut self, path: &DevicePath) -> Result<(), FileError> {
        let inside = self.inside(path)?;
        self.edit(|draft| draft.make_directory(inside))
    }

    fn rename(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        let (from, to) = (self.inside(from)?, self.inside(to)?);
        self.edit(|draft| draft.rename(from, to))
    }

    fn remove(&mut self, path: &DevicePath) -> Result<(), FileError> {
        let inside = self.inside(path)?;
        self.edit(|draft| draft.remove(inside))
    }

    fn copy(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        let (from, to) = (self.inside(from)?, self.inside(to)?);
        self.edit(|draft| draft.copy(from, to))
    }

    fn free_len(&mut self) -> Result<u64, FileError> {
        let told = match &self.options.spool {
            None => {
                let backend = self.session.repository().backend();
                self.options.space.told_len(backend.as_ref()).map_err(HostError::Space)
            }
            Some(spool) => {
                let free_len = spool.free_len().map_err(HostError::Spool);
                free_len.map(|free_len| self.options.space.told_of(free_len))
            }
        };
        told.map_err(|error| self.failed(error))
    }

    fn purge(&mut self, wanted_len: u64) -> Result<u64, FileError> {
        self.options.space.purge(wanted_len).ok_or_else(|| refused("nothing here can be purged"))
    }
}
