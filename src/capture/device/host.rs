//! A capture in progress: answers the phone out of a draft, and takes what it sends into the repository.
//!
//! Invariant: a file stands in the draft only after its end came and its blobs are stored; a checkpoint names only what is
//! durable. Once something of the draft or the repository failed, nothing more is promised to the phone. The phone sees its own
//! folder and nothing else.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use russet_store::ids::DraftId;
use russet_store::repository::RepositoryError;
use russet_store::seal::BlobType;
use russet_store::session::{Session, SessionError};
use sha1::{Digest, Sha1};

use super::draft::{Draft, DraftError, FileNode, Found, PackError};
use super::files::{DevicePath, FileError, FileErrorKind, Files, Listed, ListedKind};
use super::link::BodyError;
use super::record::DraftRecord;
use super::space::Space;
use crate::apple::Status;
use crate::capture::stored::StoredReader;
use crate::observe::Observer;
use crate::pipeline::{Feeder, IngestError, ReadOutcome};
use crate::snapshot::tree::{BuildError, fold_ids};

/// At most so much is received between two checkpoints.
const CHECKPOINT_LEN: u64 = 4 << 30;
/// And at most so many files: what is known of each is held until it stands in an index segment.
const CHECKPOINT_COUNT: u64 = 250_000;
/// And at most so much time passes while files come.
const CHECKPOINT_TIME: Duration = Duration::from_secs(300);
/// Edits go into the repository in pieces of about this length.
const PIECE_LEN: usize = 512 << 10;
/// Longest property list that is read whole.
const PLIST_LEN_MAX: u64 = 1 << 20;

/// Beside the phone's own folder, on some versions.
pub(super) const SCRATCH: &[u8] = b".b";
/// The phone's Status.plist.
pub const STATUS: &[u8] = b"Status.plist";

/// Why a capture cannot go on, or not be finished.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Storing what came.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Storing the journal.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Writing a checkpoint.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Listing a file's chunks.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A file that came cannot stand where the phone put it.
    #[error("the phone put a file where none can be: {0}")]
    Draft(#[from] DraftError),
    /// The checkpoint's JSON.
    #[error("the checkpoint could not be written")]
    Json(#[from] serde_json::Error),
    /// The free space of the drive cannot be known.
    #[error("the drive's free space cannot be read")]
    Space(#[source] russet_store::backend::BackendError),
    /// The drive reached its reserve.
    #[error("the drive is full")]
    Full,
}

/// Whether to wait for chunks that are on their way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    Yes,
    No,
}

/// A file that came whole and whose chunks are on their way.
struct Waiting {
    path: Vec<u8>,
    mtime_secs: i64,
    sha1: Option<[u8; 20]>,
}

/// What a capture is made with.
pub struct HostOptions<'h> {
    /// The phone's folder: its UDID.
    pub udid: &'h str,
    /// The draft's id.
    pub id: DraftId,
    /// The draft's record as far as it goes.
    pub record: DraftRecord,
    /// What the phone is told of free space.
    pub space: Space,
    /// Whether SHA-1 of what comes says anything: not where Apple encrypted it.
    pub with_sha1: bool,
}

/// Answers a phone that makes its backup.
pub struct Host<'h, 'f, 's, 'r> {
    options: HostOptions<'h>,
    draft: Draft,
    session: &'s Session<'r>,
    feeder: &'h mut Feeder<'f, 's, 'r, ()>,
    observer: &'h dyn Observer,
    waiting: VecDeque<Waiting>,
    /// Bytes of files that came and may not be in a listed pack yet.
    unsettled: bool,
    unsaved_len: u64,
    unsaved_count: u64,
    saved: Instant,
    status_came: bool,
    failure: Option<HostError>,
}

impl<'h, 'f, 's, 'r> Host<'h, 'f, 's, 'r> {
    /// Over a draft, as it was loaded or begun.
    pub fn new(
        options: HostOptions<'h>,
        draft: Draft,
        session: &'s Session<'r>,
        feeder: &'h mut Feeder<'f, 's, 'r, ()>,
        observer: &'h dyn Observer,
    ) -> Self {
        Self {
            options,
            draft,
            session,
            feeder,
            observer,
            waiting: VecDeque::new(),
            unsettled: false,
            unsaved_len: 0,
            unsaved_count: 0,
            saved: Instant::now(),
            status_came: false,
            failure: None,
        }
    }

    /// The draft, with all that came.
    ///
    /// # Errors
    /// Something that came cannot be kept.
    pub fn draft(&mut self) -> Result<&Draft, HostError> {
        self.drain()?;
        Ok(&self.draft)
    }

    /// The record as it was last saved.
    #[must_use]
    pub fn record(&mut self) -> &mut DraftRecord {
        &mut self.options.record
    }

    /// What went wrong on this side, if anything did.
    pub fn take_failure(&mut self) -> Option<HostError> {
        self.failure.take()
    }

    /// Puts a file of ours into the phone's folder.
    ///
    /// # Errors
    /// It cannot be stored.
    pub fn put(&mut self, path: &[u8], bytes: &[u8]) -> Result<(), HostError> {
        let outcome = self.feeder.feed((), bytes)?;
        if let ReadOutcome::Whole { .. } = outcome {
            let mtime_secs = self.now();
            self.waiting.push_back(Waiting { path: path.to_vec(), mtime_secs, sha1: None });
        }
        self.drain()
    }

    /// Removes something from the phone's folder.
    ///
    /// # Errors
    /// Something that came before cannot be kept.
    pub fn take_away(&mut self, path: &[u8]) -> Result<(), HostError> {
        self.drain()?;
        Ok(self.draft.remove(path)?)
    }

    /// A property list of the phone's folder; None: not there, or longer than one is.
    ///
    /// # Errors
    /// Something that came before cannot be kept.
    pub fn plist(&mut self, path: &[u8]) -> Result<Option<Vec<u8>>, HostError> {
        self.drain()?;
        self.settle()?;
        let Some(Found::File(file)) = self.draft.tree().get(path) else { return Ok(None) };
        let content = file.packed.decode().content;
        if content.len > PLIST_LEN_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = StoredReader::new(self.session.repository(), &content).read_to_end(&mut bytes);
        Ok(read.is_ok().then_some(bytes))
    }

    /// What the phone says of its backup.
    ///
    /// # Errors
    /// Something that came before cannot be kept.
    pub fn status(&mut self) -> Result<Option<Status>, HostError> {
        Ok(self.plist(STATUS)?.and_then(|bytes| Status::parse(&bytes).ok()))
    }

    /// Writes everything so far, and a checkpoint that names it. Durable when this returns.
    ///
    /// # Errors
    /// Something could not be written; the checkpoint before still counts.
    pub fn checkpoint(&mut self) -> Result<(), HostError> {
        self.drain()?;
        self.take_piece()?;
        self.session.settle()?;
        self.unsettled = false;
        let repository = self.session.repository();
        self.options.record.saved = self.now();
        let content = serde_json::to_vec(&self.options.record)?;
        repository.put_checkpoint(self.options.id, &content)?;
        (self.unsaved_len, self.unsaved_count) = (0, 0);
        (self.saved, self.status_came) = (Instant::now(), false);
        Ok(())
    }

    fn now(&self) -> i64 {
        i64::try_from(self.session.repository().ambient().now_secs()).unwrap_or(i64::MAX)
    }

    fn settle(&mut self) -> Result<(), HostError> {
        if self.unsettled {
            self.session.settle()?;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Waits for what is on its way, and lets it stand in the draft.
    fn drain(&mut self) -> Result<(), HostError> {
        self.collect(Wait::Yes)
    }

    /// Lets what has arrived stand in the draft.
    fn collect(&mut self, wait: Wait) -> Result<(), HostError> {
        while let Some(done) =
            self.feeder.finished(wait == Wait::Yes && !self.waiting.is_empty())?
        {
            // Files come back in the order in which they were fed, and one that failed never does.
            let Some(file) = self.waiting.pop_front() else { break };
            let content = fold_ids(self.session, done.len, done.hash, done.ids)?;
            let (mtime_secs, sha1) = (file.mtime_secs, file.sha1);
            let node = FileNode { content, mtime_secs, mtime_nanos: 0, sha1, row: None };
            self.draft.put_file(&file.path, &node)?;
            self.unsettled = true;
            self.keep_pieces_small()?;
        }
        Ok(())
    }

    fn keep_pieces_small(&mut self) -> Result<(), HostError> {
        if self.draft.edits_len() >= PIECE_LEN { self.take_piece() } else { Ok(()) }
    }

    fn take_piece(&mut self) -> Result<(), HostError> {
        if self.draft.edits_len() > 0 {
            let piece = self.session.put(BlobType::Tree, self.draft.take_edits())?;
            self.options.record.edits.push(piece);
            self.unsettled = true;
        }
        Ok(())
    }

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
struct Arriving<'a> {
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
        let backend = self.session.repository().backend();
        let room_len = match self.options.space.room_len(backend.as_ref()) {
            Ok(len) => len,
            Err(error) => return Err(self.failed(HostError::Space(error))),
        };
        let sha1 = self.options.with_sha1.then(Sha1::new);
        let observer = self.observer;
        let mut arriving = Arriving { body, sha1, observer, room_len, is_full: false };
        let outcome = self.feeder.feed((), &mut arriving);
        let Arriving { sha1, is_full, .. } = arriving;
        match outcome {
            Ok(ReadOutcome::Whole { len }) => {
                let mtime_secs = self.now();
                let sha1 = sha1.map(|sha1| sha1.finalize().into());
                self.status_came |= inside == STATUS;
                self.waiting.push_back(Waiting { path: inside, mtime_secs, sha1 });
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
            Err(error) => return Err(self.failed(error.into())),
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
        let content = match self.draft.tree().get(inside) {
            None => return Err(of_draft(&DraftError::NotFound)),
            Some(Found::Directory) => return Err(of_draft(&DraftError::IsADirectory)),
            Some(Found::Link(_)) => return Err(refused("a link is not followed")),
            Some(Found::File(file)) => file.packed.decode().content,
        };
        self.settle().map_err(|error| self.failed(error))?;
        Ok(Box::new(StoredReader::new(self.session.repository(), &content)))
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
        let backend = self.session.repository().backend();
        let told = self.options.space.told_len(backend.as_ref());
        told.map_err(|error| self.failed(HostError::Space(error)))
    }

    fn purge(&mut self, wanted_len: u64) -> Result<u64, FileError> {
        self.options.space.purge(wanted_len).ok_or_else(|| refused("nothing here can be purged"))
    }
}

impl From<PackError> for HostError {
    fn from(error: PackError) -> Self {
        Self::Draft(error.into())
    }
}
