//! The spool: ciphertext of a phone whose keys come last, waiting in a few sealed files beside the repository.
//!
//! Invariant: nothing in it can be read without the key, which stands in the sealed draft alone and dies with it. What
//! [`Spool::sync`] has returned for is durable, and a draft names nothing else. A segment has one writer: whoever goes on after a
//! crash begins another one, so that nothing is sealed twice under one number. Nothing of it is cut or removed but by the copy of the
//! repository that it belongs to, with nobody else at work on it. Its journal is the draft's: that says where each
//! file lies. Layout: docs/format.md §15.

mod durable;
mod folder;
mod key;
mod owner;
mod place;
mod read;
pub mod segment;

pub use durable::{Drive, Durable};
pub use folder::{Fate, Leftover, leftovers};
pub use key::SpoolKey;
pub use place::SpoolPlace;
pub use read::SpoolReader;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use russet_store::ambient::{Ambient, NoRandomness, draw};
use russet_store::backend::beside;
use russet_store::ids::RepositoryId;
use serde::{Deserialize, Serialize};

use self::folder::{numbers, segment_path};
use self::owner::{Held, Whose};
use self::segment::{FRAME_LEN, Writer, frame_at, frame_count};
use crate::observe::{by_count, counted};

/// Bytes of files in a segment, unless told otherwise.
pub const SEGMENT_LEN: u64 = 1 << 30;
const FRAME: u64 = FRAME_LEN as u64;

/// What a draft keeps of its spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolRecord {
    /// The folder of its segments, where it was last.
    pub folder: PathBuf,
    /// The name of the folder of the repository that it was made beside; none if a person named another place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// What opens them.
    pub key: SpoolKey,
    /// Bytes of files in a segment: whole frames.
    pub segment_len: u64,
    /// Where what is durable ends.
    pub end: u64,
    /// How often it was made durable.
    #[serde(default)]
    pub turn: u64,
}

/// Why a spool cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file or folder of it.
    #[error("could not use the spool {}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What a draft names is not there.
    #[error("{} in the spool {} {} gone or cut short", counted(*lost_count, "waiting file"), path.display(), by_count(*lost_count, "is", "are"))]
    Lost {
        /// Where they should be.
        path: PathBuf,
        /// How many.
        lost_count: u64,
    },
    /// Somebody is at work on it.
    #[error("another process is at work on the spool {}", path.display())]
    Busy {
        /// Where it is.
        path: PathBuf,
    },
    /// It is not surely this repository's.
    #[error("the spool {} was made or gone on with by another copy of this repository, or by this one where it lay before", path.display())]
    Anothers {
        /// Where it is.
        path: PathBuf,
    },
    /// More than can be counted.
    #[error("the spool is full")]
    Full,
    /// A draft says what no writer writes.
    #[error("the spool's sizes make no sense")]
    Sizes,
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] NoRandomness),
}

impl SpoolError {
    /// Whether its drive has no more room.
    #[must_use]
    pub fn is_full(&self) -> bool {
        let of_drive = |source: &io::Error| source.kind() == io::ErrorKind::StorageFull;
        matches!(self, Self::Io { source, .. } if of_drive(source))
    }

    /// Whether what waits may be whole all the same: it tells of a drive that is away or does not read now, or of who else has it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Io { .. } | Self::Busy { .. } | Self::Anothers { .. })
    }

    /// Whether what it tells of is not there.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        let is_absent = |source: &io::Error| source.kind() == io::ErrorKind::NotFound;
        matches!(self, Self::Io { source, .. } if is_absent(source))
    }
}

/// A file that was put into the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spooled {
    /// Where it begins.
    pub at: u64,
    /// Its bytes.
    pub len: u64,
    /// BLAKE3 of them.
    pub hash: [u8; 32],
}

/// Why a file is not in the spool.
#[derive(Debug)]
pub enum AppendError {
    /// It could not be read; the spool is as good as before.
    Source(io::Error),
    /// The spool.
    Spool(SpoolError),
}

/// A spool that files are put into.
pub struct Spool {
    record: SpoolRecord,
    held: Held,
    /// The repository's own folder.
    repository: PathBuf,
    ambient: Arc<dyn Ambient>,
    durable: Arc<dyn Durable>,
    writer: Option<Writer>,
    /// Bytes that do not fill a frame yet.
    frame: Vec<u8>,
    /// Where the frame begins.
    at: u64,
    /// Whether anything is not durable.
    is_dirty: bool,
}

impl Spool {
    /// A new one. Its folder is made.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create(
        place: &SpoolPlace,
        repository: RepositoryId,
        ambient: Arc<dyn Ambient>,
    ) -> Result<Self, SpoolError> {
        let id = draw::<16>(ambient.as_ref())?;
        let dir = place.dir.as_path();
        let folder = dir.join(folder::name(repository, &id));
        fs::create_dir_all(dir).map_err(|source| failed(dir, source))?;
        folder::create(&folder).map_err(|source| failed(&folder, source))?;
        let mut held = Held::take(&folder)?;
        held.name(&folder, (&place.location(), 0), place.durable.as_ref())?;
        place.durable.folder(dir).map_err(|source| failed(dir, source))?;
        let frames = (place.segment_len.min(SEGMENT_LEN) / FRAME).max(1);
        let key = SpoolKey::new(draw(ambient.as_ref())?);
        let beside = place.owner();
        let segment_len = frames * FRAME;
        let record = SpoolRecord { folder, beside, key, segment_len, end: 0, turn: 0 };
        Ok(Self::at(record, held, place, ambient, 0))
    }

    /// Goes on with the spool of a draft, after its last checkpoint. Gives how many bytes a crash had left behind that.
    ///
    /// # Errors
    /// The folder cannot be read or written to, or another copy of the repository has it.
    pub fn resume(
        record: SpoolRecord,
        place: &SpoolPlace,
        ambient: Arc<dyn Ambient>,
    ) -> Result<(Self, u64), SpoolError> {
        record.check()?;
        let (mut held, whose) = place.claim(&record, &record.folder)?;
        if whose != Whose::Ours {
            // On a drive that can only be read it is gone on with as it is.
            let named = (&*place.location(), record.turn);
            let _unnamed = held.name(&record.folder, named, place.durable.as_ref());
        }
        let cut_len = cut(&record)?;
        let at = record.end.checked_next_multiple_of(record.segment_len);
        let at = at.ok_or(SpoolError::Full)?;
        Ok((Self::at(record, held, place, ambient, at), cut_len))
    }

    fn at(
        record: SpoolRecord,
        held: Held,
        place: &SpoolPlace,
        ambient: Arc<dyn Ambient>,
        at: u64,
    ) -> Self {
        let durable = Arc::clone(&place.durable);
        Self {
            record,
            held,
            repository: place.location(),
            ambient,
            durable,
            writer: None,
            frame: Vec::new(),
            at,
            is_dirty: false,
        }
    }

    /// What the draft is to keep: true of everything before the last [`Self::sync`].
    #[must_use]
    pub fn record(&self) -> &SpoolRecord {
        &self.record
    }

    /// Takes a file in. It can be read back at once.
    ///
    /// # Errors
    /// The file cannot be read, or the spool not be written to.
    pub fn append(&mut self, source: &mut dyn Read) -> Result<Spooled, AppendError> {
        let at = self.at + self.frame.len() as u64;
        let (mut hasher, mut len) = (blake3::Hasher::new(), 0);
        loop {
            let held = self.frame.len();
            self.frame.resize(FRAME_LEN, 0);
            let room = self.frame.get_mut(held..).unwrap_or_default();
            let read = source.read(room);
            let got = read.as_ref().map_or(0, |got| *got);
            hasher.update(room.get(..got).unwrap_or_default());
            self.frame.truncate(held + got);
            len += got as u64;
            match read {
                Ok(0) => break,
                Ok(_) if self.frame.len() == FRAME_LEN => {
                    self.end_frame().map_err(AppendError::Spool)?;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(AppendError::Source(error)),
            }
        }
        Ok(Spooled { at, len, hash: *hasher.finalize().as_bytes() })
    }

    /// Writes the frame that has begun, filled up with zeros.
    fn end_frame(&mut self) -> Result<(), SpoolError> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut frame = std::mem::take(&mut self.frame);
        frame.resize(FRAME_LEN, 0);
        let number = u32::try_from(self.at / self.record.segment_len);
        let number = number.map_err(|_| SpoolError::Full)?;
        let path = segment_path(&self.record.folder, number);
        let failed = |source| failed(&path, source);
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let salt = draw(self.ambient.as_ref())?;
                Writer::create(&path, &self.record.key, number, &salt).map_err(failed)?
            }
        };
        self.is_dirty = true;
        writer.push(frame).map_err(failed)?;
        self.at = self.at.checked_add(FRAME).ok_or(SpoolError::Full)?;
        if self.at.is_multiple_of(self.record.segment_len) {
            writer.sync(self.durable.as_ref()).map_err(failed)?;
        } else {
            self.writer = Some(writer);
        }
        Ok(())
    }

    /// Makes all that came durable.
    ///
    /// # Errors
    /// It cannot be.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        self.end_frame()?;
        if self.is_dirty {
            let folder = &self.record.folder;
            let durable = self.durable.as_ref();
            let synced = self.writer.as_ref().map_or(Ok(()), |writer| writer.sync(durable));
            let synced = synced.and_then(|()| durable.folder(folder));
            synced.map_err(|source| failed(folder, source))?;
            self.is_dirty = false;
        }
        self.record.end = self.at;
        self.record.turn = self.record.turn.saturating_add(1);
        Ok(())
    }

    /// The record as [`Self::sync`] left it stands in a durable checkpoint: whoever has an earlier one is behind.
    pub fn saved(&mut self) {
        self.held.turn(&self.repository, self.record.turn);
    }

    /// Reads a file back.
    ///
    /// # Errors
    /// What came before it cannot be written.
    pub fn reader(&mut self, file: &Spooled) -> Result<SpoolReader, SpoolError> {
        let end = file.at.saturating_add(file.len);
        if end > self.at {
            self.end_frame()?;
        }
        Ok(SpoolReader::new(&self.record, file))
    }

    /// Deletes the segments that lie wholly before a place.
    ///
    /// # Errors
    /// One cannot be deleted.
    pub fn release(&mut self, before: u64) -> Result<(), SpoolError> {
        let folder = &self.record.folder;
        for (number, _) in numbers(folder)? {
            let ends = (u64::from(number) + 1).saturating_mul(self.record.segment_len);
            if ends <= before.min(self.at) {
                let path = segment_path(folder, number);
                fs::remove_file(&path).map_err(|source| failed(&path, source))?;
            }
        }
        Ok(())
    }

    /// Bytes free on its drive; None: nobody knows.
    ///
    /// # Errors
    /// The drive is gone.
    pub fn free_len(&self) -> Result<Option<u64>, SpoolError> {
        let folder = &self.record.folder;
        beside::free_len(folder).map_err(|source| failed(folder, source))
    }
}

impl SpoolRecord {
    fn check(&self) -> Result<(), SpoolError> {
        let whole = self.segment_len.is_multiple_of(FRAME) && self.end.is_multiple_of(FRAME);
        let fits = (FRAME..=SEGMENT_LEN).contains(&self.segment_len)
            && u32::try_from(self.end / self.segment_len.max(1)).is_ok();
        if whole && fits { Ok(()) } else { Err(SpoolError::Sizes) }
    }

    /// Sees that all files are there, as far as lengths tell.
    ///
    /// # Errors
    /// Some are not.
    pub fn holds(&self, files: impl Iterator<Item = (u64, u64)>) -> Result<(), SpoolError> {
        self.check()?;
        let segments = match numbers(&self.folder) {
            // There is nothing yet that could be missing.
            Err(error) if self.end == 0 && error.is_absent() => Vec::new(),
            segments => segments?,
        };
        let frames_of = |number: u64| {
            let number = u32::try_from(number).ok()?;
            let at = segments.binary_search_by_key(&number, |(number, _)| *number).ok()?;
            segments.get(at).map(|(_, len)| frame_count(*len))
        };
        let is_there = |at: u64, len: u64| {
            let Some(last) = at.checked_add(len).filter(|end| *end <= self.end) else {
                return false;
            };
            let Some(last) = last.checked_sub(1).filter(|_| len > 0) else { return true };
            let (first, last_segment) = (at / self.segment_len, last / self.segment_len);
            (first..=last_segment).all(|number| {
                let needed = match number == last_segment {
                    true => last % self.segment_len / FRAME + 1,
                    false => self.segment_len / FRAME,
                };
                frames_of(number).is_some_and(|count| count >= needed)
            })
        };
        let lost_count = files.filter(|(at, len)| !is_there(*at, *len)).count() as u64;
        if lost_count == 0 {
            return Ok(());
        }
        Err(SpoolError::Lost { path: self.folder.clone(), lost_count })
    }

    /// Removes the spool, where [`Self::seek`] or [`Self::located`] found it; that it is gone already is fine.
    ///
    /// # Errors
    /// Something of it cannot be removed, or somebody is at work on it.
    pub fn remove(&self) -> Result<(), SpoolError> {
        folder::remove(&self.folder)
    }
}

/// Cuts off what no checkpoint names, and gives how much that was.
fn cut(record: &SpoolRecord) -> Result<u64, SpoolError> {
    let last = record.end.checked_sub(1).map(|last| last / record.segment_len);
    let mut cut_len = 0;
    for (number, len) in numbers(&record.folder)? {
        let path = segment_path(&record.folder, number);
        let failed = |source| failed(&path, source);
        if last.is_none_or(|last| u64::from(number) > last) {
            fs::remove_file(&path).map_err(failed)?;
            cut_len += len;
        } else if last == Some(u64::from(number)) {
            let frames = (record.end - u64::from(number) * record.segment_len) / FRAME;
            let end = u32::try_from(frames).map_or(len, frame_at);
            if len > end {
                let file = fs::OpenOptions::new().write(true).open(&path).map_err(failed)?;
                file.set_len(end).map_err(failed)?;
                cut_len += len - end;
            }
        }
    }
    Ok(cut_len)
}

fn failed(path: &Path, source: io::Error) -> SpoolError {
    SpoolError::Io { path: path.to_path_buf(), source }
}

#[cfg(test)]
mod tests;
