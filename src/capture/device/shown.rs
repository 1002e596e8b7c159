//! A snapshot as a phone sees it that is restored: its folder, to be read, and a draft over it for what the phone writes.
//!
//! Invariant: nothing that the phone does here reaches the repository or a disk; it is answered, and gone with the value. Every
//! byte of the snapshot that is sent was checked against its tree.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read};

use russet_store::repository::Repository;

use super::draft::{Draft, DraftError, DraftTree, FileNode, Found};
use super::files::{DevicePath, FileError, FileErrorKind, Files, Listed, ListedKind, PathError};
use super::link::BodyError;
use crate::capture::stored::StoredReader;
use crate::observe::Observer;
use crate::snapshot::{Content, Snapshot, TreeError, TreeWalk, What};

/// Longest file of the phone's that it can read back.
const HELD_FILE_LEN_MAX: usize = 1 << 20;
/// And all of them together.
const HELD_LEN_MAX: usize = 64 << 20;
/// Longest Info.plist that is read: it holds every app's icon.
const INFO_LEN_MAX: u64 = 64 << 20;
/// What the phone is told to be free: nothing that it writes here takes any room.
const FREE_LEN: u64 = 1 << 42;

/// Why a snapshot cannot be shown to a phone.
#[derive(Debug, thiserror::Error)]
pub enum ShowError {
    /// A part of its listing cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Its listing names what no folder can hold.
    #[error("the snapshot's listing is no backup: {0}")]
    Entry(#[from] DraftError),
    /// Its UDID cannot be the name of a folder.
    #[error("the snapshot's UDID \"{0}\" cannot be the name of a folder")]
    Udid(String),
}

/// Files of the snapshot that went to the phone whole, each once.
#[derive(Default)]
struct Sent(HashSet<[u8; 16]>);

/// A snapshot's folder, and what the phone makes of it.
pub struct Shown<'h> {
    repository: &'h Repository,
    observer: &'h dyn Observer,
    draft: Draft,
    /// What the phone wrote and may read back, by BLAKE3.
    held: BTreeMap<[u8; 32], Vec<u8>>,
    held_len: usize,
    sent: Sent,
    payload_count: usize,
}

impl<'h> Shown<'h> {
    /// Reads the snapshot's listing.
    ///
    /// # Errors
    /// See [`ShowError`].
    pub fn new(
        repository: &'h Repository,
        snapshot: &Snapshot,
        observer: &'h dyn Observer,
    ) -> Result<Self, ShowError> {
        let folder = folder_of(&snapshot.record.udid)?;
        let mut tree = DraftTree::new();
        let (mut payload_count, mut named_count) = (0, 0);
        for entry in TreeWalk::new(repository, snapshot.record.tree) {
            let mut entry = entry?;
            if matches!(entry.what, What::File(_)) && is_payload(&entry.stored_path) {
                payload_count += 1;
                named_count += usize::from(!entry.domain.is_empty());
            }
            entry.stored_path = match entry.stored_path.as_slice() {
                [] => folder.clone(),
                path => [&folder[..], b"/", path].concat(),
            };
            tree.insert_base(&entry)?;
        }
        // A phone asks for what Apple's list names; without that list, everything may be wanted.
        let payload_count = if named_count > 0 { named_count } else { payload_count };
        Ok(Self {
            repository,
            observer,
            draft: Draft::over(tree),
            held: BTreeMap::new(),
            held_len: 0,
            sent: Sent::default(),
            payload_count,
        })
    }

    /// Whether everything that the phone may have wanted went to it.
    #[must_use]
    pub fn is_all_sent(&self) -> bool {
        self.payload_count > 0 && self.sent.0.len() >= self.payload_count
    }

    /// The snapshot's Info.plist; None: not there, longer than one is, or not to be read.
    #[must_use]
    pub fn info(&self, snapshot: &Snapshot) -> Option<Vec<u8>> {
        let path = format!("{}/Info.plist", snapshot.record.udid);
        let Some(Found::File(file)) = self.draft.tree().get(path.as_bytes()) else { return None };
        let content = file.packed.decode().content;
        if file.is_fresh || content.len > INFO_LEN_MAX {
            return None;
        }
        let mut bytes = Vec::new();
        self.stored_bytes(&content).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// The bytes of a file of the snapshot, as the phone once stored them. The only place that reads any.
    fn stored_bytes(&self, content: &Content) -> StoredReader<'h> {
        StoredReader::new(self.repository, content)
    }

    fn edit(
        &mut self,
        change: impl FnOnce(&mut Draft) -> Result<(), DraftError>,
    ) -> Result<(), FileError> {
        let changed = change(&mut self.draft);
        // Nobody goes on with this draft.
        drop(self.draft.take_edits());
        changed.map_err(|error| of_draft(&error))
    }
}

/// The name of a phone's folder: one part of a path.
fn folder_of(udid: &str) -> Result<Vec<u8>, ShowError> {
    let is_one = |path: &DevicePath| path.as_bytes() == udid.as_bytes() && !udid.contains('/');
    match DevicePath::parse(udid.as_bytes()) {
        Ok(path) if is_one(&path) && !path.is_root() => Ok(udid.as_bytes().to_vec()),
        Ok(_) | Err(PathError::TooLong(_) | PathError::Upwards | PathError::Nul) => {
            Err(ShowError::Udid(udid.to_owned()))
        }
    }
}

/// `xx/<file id>`.
fn is_payload(stored_path: &[u8]) -> bool {
    match stored_path.split(|byte| *byte == b'/').collect::<Vec<_>>().as_slice() {
        [shard, id] => shard.len() == 2 && id.len() == 40 && id.starts_with(shard),
        _ => false,
    }
}

fn of_draft(error: &DraftError) -> FileError {
    FileError { kind: error.kind(), text: error.to_string() }
}

fn refused(text: &str) -> FileError {
    FileError { kind: FileErrorKind::Refused, text: text.to_owned() }
}

/// What comes from the phone: hashed, and kept as far as there is room.
fn take_in(body: &mut dyn Read, room_len: usize) -> io::Result<(u64, [u8; 32], Option<Vec<u8>>)> {
    let (mut hasher, mut len, mut kept) = (blake3::Hasher::new(), 0, Some(Vec::new()));
    let mut piece = vec![0; 64 << 10];
    loop {
        let read_len = body.read(&mut piece)?;
        if read_len == 0 {
            return Ok((len, *hasher.finalize().as_bytes(), kept));
        }
        let bytes = piece.get(..read_len).unwrap_or_default();
        hasher.update(bytes);
        len += bytes.len() as u64;
        kept = kept.filter(|kept| kept.len() + bytes.len() <= room_len.min(HELD_FILE_LEN_MAX));
        if let Some(kept) = &mut kept {
            kept.extend_from_slice(bytes);
        }
    }
}

/// A file of the snapshot on its way to the phone.
struct Sending<'a> {
    bytes: StoredReader<'a>,
    observer: &'a dyn Observer,
    sent: &'a mut Sent,
    /// What to note when it went whole.
    mark: Option<[u8; 16]>,
}

impl Read for Sending<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.bytes.read(buffer)?;
        self.observer.advance(len as u64, 0);
        if len == 0
            && !buffer.is_empty()
            && let Some(mark) = self.mark.take()
            && self.sent.0.insert(mark)
        {
            self.observer.advance(0, 1);
        }
        Ok(len)
    }
}

fn mark_of(path: &[u8]) -> [u8; 16] {
    let mut mark = [0; 16];
    blake3::Hasher::new().update(path).finalize_xof().fill(&mut mark);
    mark
}

impl Files for Shown<'_> {
    fn upload(&mut self, path: &DevicePath, body: &mut dyn Read) -> Result<(), FileError> {
        if matches!(self.draft.tree().get(path.as_bytes()), Some(Found::Directory)) {
            return Err(of_draft(&DraftError::IsADirectory));
        }
        let room_len = HELD_LEN_MAX.saturating_sub(self.held_len);
        let (len, hash, kept) = take_in(body, room_len).map_err(|error| {
            let text = BodyError::of(&error).map_or_else(|| error.to_string(), ToString::to_string);
            FileError { kind: FileErrorKind::Io, text }
        })?;
        if let Some(bytes) = kept {
            let kept_len = bytes.len();
            if self.held.insert(hash, bytes).is_none() {
                self.held_len += kept_len;
            }
        }
        let content = Content { len, hash, depth: 0, ids: Vec::new(), opened: None };
        let now = self.repository.ambient().now_secs();
        let mtime_secs = i64::try_from(now).unwrap_or(i64::MAX);
        let file =
            FileNode { content, spooled: None, mtime_secs, mtime_nanos: 0, sha1: None, row: None };
        self.edit(|draft| draft.put_file(path.as_bytes(), &file))
    }

    fn uploaded(&mut self) -> Result<(), FileError> {
        Ok(())
    }

    fn download(&mut self, path: &DevicePath) -> Result<Box<dyn Read + '_>, FileError> {
        let file = match self.draft.tree().get(path.as_bytes()) {
            None => return Err(of_draft(&DraftError::NotFound)),
            Some(Found::Directory) => return Err(of_draft(&DraftError::IsADirectory)),
            Some(Found::Link(_)) => return Err(refused("a link is not followed")),
            Some(Found::File(file)) => file,
        };
        if file.is_fresh {
            return match self.held.get(&file.packed.hash()) {
                Some(bytes) => Ok(Box::new(bytes.as_slice())),
                None => Err(refused("what a phone writes during a restore is not kept")),
            };
        }
        let bytes = self.stored_bytes(&file.packed.decode().content);
        let (_, inside) = path.split_first();
        let mark = is_payload(inside).then(|| mark_of(inside));
        Ok(Box::new(Sending { bytes, observer: self.observer, sent: &mut self.sent, mark }))
    }

    fn list(
        &mut self,
        path: &DevicePath,
        each: &mut dyn FnMut(&[u8], Listed),
    ) -> Result<(), FileError> {
        let listed = self.draft.tree().list(path.as_bytes(), &mut |name, found| {
            let (kind, len, mtime_secs) = match found {
                Found::Directory => (ListedKind::Directory, 0, 0),
                Found::File(file) => {
                    (ListedKind::File, file.packed.len(), file.packed.mtime_secs())
                }
                Found::Link(link) => (ListedKind::Other, 0, link.mtime_secs),
            };
            each(name, Listed { kind, len, mtime_secs });
        });
        listed.map_err(|error| of_draft(&error))
    }

    fn create_directory(&mut self, path: &DevicePath) -> Result<(), FileError> {
        self.edit(|draft| draft.make_directory(path.as_bytes()))
    }

    fn rename(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        self.edit(|draft| draft.rename(from.as_bytes(), to.as_bytes()))
    }

    fn remove(&mut self, path: &DevicePath) -> Result<(), FileError> {
        self.edit(|draft| draft.remove(path.as_bytes()))
    }

    fn copy(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        self.edit(|draft| draft.copy(from.as_bytes(), to.as_bytes()))
    }

    fn free_len(&mut self) -> Result<u64, FileError> {
        Ok(FREE_LEN)
    }

    fn purge(&mut self, _: u64) -> Result<u64, FileError> {
        Err(refused("nothing here can be purged"))
    }
}

#[cfg(test)]
mod tests;
