//! A capture in progress: answers the phone out of a draft, and takes what it sends into the repository.
//!
//! Invariant: a file stands in the draft only after its end came and its blobs are stored; a checkpoint names only what is
//! durable. Once something of the draft or the repository failed, nothing more is promised to the phone. The phone sees its own
//! folder and nothing else.

mod answers;
mod spooled;

pub(super) use spooled::Restored;

use std::collections::VecDeque;
use std::io::{self, Read};
use std::time::{Duration, Instant};

use russet_store::ids::DraftId;
use russet_store::repository::RepositoryError;
use russet_store::seal::BlobType;
use russet_store::session::{Session, SessionError};
use zeroize::Zeroizing;

use super::draft::{Draft, DraftError, FileNode, Found, PackError};
use super::record::DraftRecord;
use super::space::Space;
use super::spool::{Spool, SpoolError};
use crate::apple::{FileKey, Status, Stored};
use crate::capture::opener::opened_content;
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
pub const PLIST_LEN_MAX: u64 = 1 << 20;

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
    /// The spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The phone's list of files waited in the spool, and is not there any more.
    #[error("the phone's list of files waited in the spool, and cannot be read back")]
    ListLost(#[source] std::io::Error),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
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
    mtime_nanos: u32,
    sha1: Option<[u8; 20]>,
    /// What it is as stored, and its key, if its chunks are plaintext.
    opened: Option<(Stored, FileKey)>,
}

/// What a capture is made with.
pub struct HostOptions<'h> {
    /// The phone's folder: its UDID.
    pub udid: &'h str,
    /// The draft's id; none: it is only in memory, and no checkpoint is written of it.
    pub id: Option<DraftId>,
    /// The draft's record as far as it goes.
    pub record: DraftRecord,
    /// What the phone is told of free space.
    pub space: Space,
    /// Whether SHA-1 of what comes says anything: not where Apple encrypted it.
    pub with_sha1: bool,
    /// Where what comes waits for its keys.
    pub spool: Option<Spool>,
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
            let (path, mtime_nanos) = (path.to_vec(), 0);
            self.waiting.push_back(Waiting {
                path,
                mtime_secs,
                mtime_nanos,
                sha1: None,
                opened: None,
            });
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
        let node = file.packed.decode();
        if node.content.len > PLIST_LEN_MAX {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let read = self.source(&node)?.read_to_end(&mut bytes);
        Ok(read.is_ok().then_some(bytes))
    }

    /// The draft and what belongs to it, once its phone is no longer served.
    pub(super) fn into_parts(self) -> (HostOptions<'h>, Draft) {
        (self.options, self.draft)
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
        if let Some(spool) = &mut self.options.spool {
            spool.sync()?;
            self.options.record.spool = Some(spool.record().clone());
        }
        self.take_piece()?;
        self.session.settle()?;
        self.unsettled = false;
        let Some(id) = self.options.id else { return Ok(()) };
        let repository = self.session.repository();
        self.options.record.saved = self.now();
        let content = json(&self.options.record)?;
        repository.put_checkpoint(id, &content)?;
        if let Some(spool) = &mut self.options.spool {
            spool.saved();
        }
        (self.unsaved_len, self.unsaved_count) = (0, 0);
        (self.saved, self.status_came) = (Instant::now(), false);
        Ok(())
    }

    pub(super) fn now(&self) -> i64 {
        i64::try_from(self.session.repository().ambient().now_secs()).unwrap_or(i64::MAX)
    }

    pub(super) fn settle(&mut self) -> Result<(), HostError> {
        if self.unsettled {
            self.session.settle()?;
            self.unsettled = false;
        }
        Ok(())
    }

    /// Waits for what is on its way, and lets it stand in the draft.
    pub(super) fn drain(&mut self) -> Result<(), HostError> {
        self.collect(Wait::Yes)
    }

    /// Lets what has arrived stand in the draft.
    fn collect(&mut self, wait: Wait) -> Result<(), HostError> {
        while let Some(done) =
            self.feeder.finished(wait == Wait::Yes && !self.waiting.is_empty())?
        {
            // Files come back in the order in which they were fed, and one that failed never does.
            let Some(file) = self.waiting.pop_front() else { break };
            let mut content = fold_ids(self.session, done.len, done.hash, done.ids)?;
            if let Some((stored, key)) = &file.opened {
                content = opened_content(content, stored, key);
            }
            let Waiting { mtime_secs, mtime_nanos, sha1, .. } = file;
            let node =
                FileNode { content, spooled: None, mtime_secs, mtime_nanos, sha1, row: None };
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
        if self.draft.edits_len() > 0 && self.options.id.is_none() {
            drop(Zeroizing::new(self.draft.take_edits()));
        } else if self.draft.edits_len() > 0 {
            let piece = self.session.put(BlobType::Tree, self.draft.take_edits())?;
            self.options.record.edits.push(piece);
            self.unsettled = true;
        }
        Ok(())
    }
}

impl From<PackError> for HostError {
    fn from(error: PackError) -> Self {
        Self::Draft(error.into())
    }
}

/// The JSON of a record, which holds the key of its spool, in the room that it needs: what grows leaves copies behind.
fn json(record: &DraftRecord) -> serde_json::Result<Zeroizing<Vec<u8>>> {
    let mut counted = Counted(0);
    serde_json::to_writer(&mut counted, record)?;
    let mut json = Zeroizing::new(Vec::with_capacity(counted.0));
    serde_json::to_writer(&mut *json, record)?;
    Ok(json)
}

/// Counts what is written.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
