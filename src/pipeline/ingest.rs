//! Feeding files: one thread reads, cuts and hashes whole files; the others name, compress, seal and store chunks.
//!
//! Invariant: a file is done when all its chunks are, and files are handed back in the order they were fed. Reading stops at
//! the first write error; a read error spoils one file only.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use russet_chunker::Chunks;
use russet_store::ids::BlobId;
use russet_store::seal::BlobType;
use russet_store::session::{Session, SessionError};

use super::budget::Budget;
use super::class::{Cuts, HEAD_LEN};

/// Bytes on their way at once.
const BUDGET_LEN: usize = 48 << 20;

/// A file whose chunks are all in packs, or on their way into one.
pub struct Done<T> {
    /// What the caller gave along.
    pub tag: T,
    /// Ids of its chunks, in order.
    pub ids: Vec<BlobId>,
    /// Length read.
    pub len: u64,
    /// BLAKE3 of the bytes read.
    pub hash: [u8; 32],
}

/// What came of reading a file.
#[derive(Debug)]
pub enum ReadOutcome {
    /// It was read to its end.
    Whole {
        /// Bytes.
        len: u64,
    },
    /// It could not be read; nothing of it will come back as done.
    Failed(io::Error),
}

/// Why feeding stopped.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// A chunk could not be stored.
    #[error(transparent)]
    Session(#[from] SessionError),
}

struct Job<T> {
    file: Arc<InWork<T>>,
    at: usize,
    bytes: Vec<u8>,
}

struct InWork<T> {
    number: u64,
    state: Mutex<State<T>>,
}

struct State<T> {
    tag: Option<T>,
    ids: Vec<Option<BlobId>>,
    stored: usize,
    read: Option<(u64, [u8; 32])>,
    failed: bool,
}

struct Shared<'s, 'r> {
    session: &'s Session<'r>,
    budget: Budget,
    error: Mutex<Option<SessionError>>,
    stopped: AtomicBool,
}

type Finished<T> = (u64, Option<Done<T>>);

/// Takes files, hands back finished ones.
pub struct Feeder<'a, 's, 'r, T> {
    shared: &'a Shared<'s, 'r>,
    cuts: &'a Cuts,
    jobs: Sender<Job<T>>,
    finished_tx: Sender<Finished<T>>,
    finished: Receiver<Finished<T>>,
    waiting: BTreeMap<u64, Option<Done<T>>>,
    next_number: u64,
    next_out: u64,
    /// Room for the first bytes of a file.
    head: Vec<u8>,
}

/// Runs `feed` beside workers. Everything fed is done, or failed, when this returns.
///
/// # Errors
/// What `feed` returns, or the first write error.
pub fn run<'r, T: Send, R, E: From<IngestError>>(
    session: &Session<'r>,
    cuts: &Cuts,
    feed: impl FnOnce(&mut Feeder<'_, '_, 'r, T>) -> Result<R, E>,
) -> Result<R, E> {
    let shared = Shared {
        session,
        budget: Budget::new(BUDGET_LEN),
        error: Mutex::new(None),
        stopped: AtomicBool::new(false),
    };
    // Two more than there are cores: a worker whose pack is full waits for the drive to sync it and give it back.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let workers = (cores + 2).min(16);
    let (jobs, work) = bounded::<Job<T>>(1024);
    let (finished_tx, finished) = unbounded();
    let result = std::thread::scope(|scope| {
        for _ in 0..workers {
            let (work, done, shared) = (work.clone(), finished_tx.clone(), &shared);
            scope.spawn(move || {
                for job in work {
                    store(shared, job, &done);
                }
            });
        }
        let mut feeder = Feeder {
            shared: &shared,
            cuts,
            jobs,
            finished_tx,
            finished,
            waiting: BTreeMap::new(),
            next_number: 0,
            next_out: 0,
            head: Vec::new(),
        };
        feed(&mut feeder)
    });
    let error = shared.error.into_inner().unwrap_or_else(PoisonError::into_inner);
    match error {
        Some(error) => Err(IngestError::from(error).into()),
        None => result,
    }
}

fn store<T>(shared: &Shared<'_, '_>, job: Job<T>, done: &Sender<Finished<T>>) {
    let len = job.bytes.len();
    if !shared.stopped.load(Ordering::Relaxed) {
        match shared.session.put(BlobType::Data, job.bytes) {
            Ok(id) => job.file.stored(job.at, id, done),
            Err(error) => {
                shared.stopped.store(true, Ordering::Relaxed);
                let mut first = shared.error.lock().unwrap_or_else(PoisonError::into_inner);
                if first.is_none() || matches!(*first, Some(SessionError::Latched)) {
                    *first = Some(error);
                }
            }
        }
    }
    shared.budget.free(len);
}

impl<T> InWork<T> {
    fn with<R>(&self, change: impl FnOnce(&mut State<T>) -> R) -> R {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stored(&self, at: usize, id: BlobId, done: &Sender<Finished<T>>) {
        let finished = self.with(|state| {
            if let Some(slot) = state.ids.get_mut(at) {
                *slot = Some(id);
                state.stored += 1;
            }
            state.finished()
        });
        self.send(finished, done);
    }

    /// The file was read to its end, or could not be.
    fn read(&self, outcome: Option<(u64, [u8; 32])>, done: &Sender<Finished<T>>) {
        let finished = self.with(|state| {
            state.read = outcome;
            state.failed = outcome.is_none();
            state.finished()
        });
        self.send(finished, done);
    }

    fn send(&self, finished: Option<Option<Done<T>>>, done: &Sender<Finished<T>>) {
        if let Some(result) = finished {
            // The receiver lives as long as the feeder; where it is gone nobody waits any more.
            let _ = done.send((self.number, result));
        }
    }
}

impl<T> State<T> {
    fn finished(&mut self) -> Option<Option<Done<T>>> {
        if self.failed {
            return self.tag.take().map(|_| None);
        }
        let (len, hash) = self.read?;
        if self.stored < self.ids.len() {
            return None;
        }
        let tag = self.tag.take()?;
        let ids = std::mem::take(&mut self.ids).into_iter().flatten().collect();
        Some(Some(Done { tag, ids, len, hash }))
    }
}

impl<T: Send> Feeder<'_, '_, '_, T> {
    /// Reads a file to its end. Whether that worked is told at once; its chunks come back from [`Feeder::finished`].
    ///
    /// # Errors
    /// Chunks can no longer be stored.
    pub fn feed(&mut self, tag: T, mut reader: impl Read) -> Result<ReadOutcome, IngestError> {
        let file = Arc::new(InWork {
            number: self.next_number,
            state: Mutex::new(State {
                tag: Some(tag),
                ids: Vec::new(),
                stored: 0,
                read: None,
                failed: false,
            }),
        });
        self.next_number += 1;
        let mut head = std::mem::take(&mut self.head);
        head.resize(HEAD_LEN + 1, 0);
        let read = self.read(&file, &mut head, &mut reader);
        self.head = head;
        file.read(read.as_ref().ok().copied(), &self.finished_tx);
        if self.shared.stopped.load(Ordering::Relaxed) {
            return Err(IngestError::Session(SessionError::Latched));
        }
        Ok(match read {
            Ok((len, _)) => ReadOutcome::Whole { len },
            Err(error) => ReadOutcome::Failed(error),
        })
    }

    /// Puts a file that needs no reading into its place in the order.
    pub fn pass(&mut self, tag: T, ids: Vec<BlobId>, len: u64, hash: [u8; 32]) {
        self.waiting.insert(self.next_number, Some(Done { tag, ids, len, hash }));
        self.next_number += 1;
    }

    fn read(
        &self,
        file: &Arc<InWork<T>>,
        room: &mut [u8],
        reader: &mut impl Read,
    ) -> io::Result<(u64, [u8; 32])> {
        let head_len = read_full(reader, room)?;
        let head = room.get(..head_len).unwrap_or_default();
        let all = head.len() <= HEAD_LEN;
        let mut hasher = blake3::Hasher::new();
        let sample = head.get(..head.len().min(HEAD_LEN)).unwrap_or_default();
        let Some(cut) = self.cuts.of(sample, all) else {
            let len = head.len() as u64;
            hasher.update(head);
            if !head.is_empty() {
                // No more room than bytes: thousands of small files wait together in one pack.
                self.send(file, head.to_vec());
            }
            return Ok((len, *hasher.finalize().as_bytes()));
        };
        let mut chunks = Chunks::new(head.chain(reader), cut);
        let mut len = 0;
        while let Some(chunk) = chunks.next_chunk()? {
            hasher.update(chunk);
            len += chunk.len() as u64;
            self.send(file, chunk.to_vec());
            if self.shared.stopped.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok((len, *hasher.finalize().as_bytes()))
    }

    fn send(&self, file: &Arc<InWork<T>>, bytes: Vec<u8>) {
        self.shared.budget.take(bytes.len());
        let at = file.with(|state| {
            state.ids.push(None);
            state.ids.len() - 1
        });
        // Workers live until every sender is gone, so that this cannot fail while the feeder lives.
        let _ = self.jobs.send(Job { file: Arc::clone(file), at, bytes });
    }

    /// The next file in order, if it is done. With `wait`, waits for it; None then means that all are out.
    ///
    /// # Errors
    /// Chunks can no longer be stored.
    pub fn finished(&mut self, wait: bool) -> Result<Option<Done<T>>, IngestError> {
        loop {
            while let Ok((number, done)) = self.finished.try_recv() {
                self.waiting.insert(number, done);
            }
            while let Some(next) = self.waiting.remove(&self.next_out) {
                self.next_out += 1;
                if next.is_some() {
                    return Ok(next);
                }
            }
            if !wait || self.next_out == self.next_number {
                return Ok(None);
            }
            if self.shared.stopped.load(Ordering::Relaxed) {
                return Err(IngestError::Session(SessionError::Latched));
            }
            let tick = std::time::Duration::from_millis(50);
            if let Ok((number, done)) = self.finished.recv_timeout(tick) {
                self.waiting.insert(number, done);
            }
        }
    }
}

fn read_full(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(n) => len += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}
