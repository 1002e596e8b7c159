//! A writing session: blobs into packs, packs onto the drive, and at the end one snapshot record.
//!
//! Invariant: the order is packs → barrier → index segment → barrier → record → barrier. After its first write error a session is
//! latched: every later call fails and `commit` refuses. A session that is dropped leaves packs that nothing refers to; the
//! next one finds what is in them.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::backend::{BackendError, Lock};
use crate::config::Purpose;
use crate::header::Kind;
use crate::ids::{BlobId, PackId, RecordId, hash_of_file};
use crate::index::{IndexError, spots};
use crate::layout::{pack_name, segment_name};
use crate::pack::{FinishedPack, PackBuilder, PackError, PackType, PayloadError, encode};
use crate::repository::{Repository, RepositoryError, lock};
use crate::seal::BlobType;
use crate::segment::{self, PackListing};

/// Why a session could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// An earlier write failed; nothing can be committed any more.
    #[error("an earlier write failed, so nothing of this run can be committed")]
    Latched,
    /// A pack could not be written.
    #[error("could not write a pack")]
    Write(#[source] BackendError),
    /// A pack could not be built.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A blob is too long.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The index on the host.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The new tree names blobs that are in no pack; it was not committed.
    #[error(
        "{count} blobs that the new snapshot needs are in no pack that is there; it was not written. Packs vanished during the run: is the drive sound?"
    )]
    Absent {
        /// How many.
        count: usize,
    },
}

/// What a session wrote and found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of plaintext that were new.
    pub new_len: u64,
    /// Bytes of plaintext that were there already.
    pub known_len: u64,
    /// Bytes of pack files written.
    pub stored_len: u64,
    /// Packs written.
    pub pack_count: u64,
}

#[derive(Default)]
struct Totals {
    new_len: AtomicU64,
    known_len: AtomicU64,
    stored_len: AtomicU64,
    pack_count: AtomicU64,
}

/// A session. Every method but `commit` may be called from any thread.
pub struct Session<'r> {
    repository: &'r Repository,
    pending: Mutex<HashSet<BlobId>>,
    data: Mutex<PackBuilder>,
    tree: Mutex<PackBuilder>,
    written: Mutex<BTreeMap<PackId, PackListing>>,
    latched: Mutex<bool>,
    /// Buffers of packs that were written, at most as many as there are turns.
    rooms: Mutex<Vec<Vec<u8>>>,
    turns: Turns,
    totals: Totals,
    pack_target: usize,
    doubting: bool,
    _lock: Option<Lock>,
}

impl<'r> Session<'r> {
    /// Begins. `lock` keeps other writers away while the session lives; safety does not rest on it.
    ///
    /// # Errors
    /// The repository must not be written to by this program.
    pub fn begin(repository: &'r Repository, lock: Option<Lock>) -> Result<Self, SessionError> {
        repository.config(Purpose::Write)?;
        let stored: u64 = repository.packs().values().sum();
        Ok(Self {
            repository,
            pending: Mutex::default(),
            data: Mutex::new(PackBuilder::new(PackType::Data)),
            tree: Mutex::new(PackBuilder::new(PackType::Tree)),
            written: Mutex::default(),
            latched: Mutex::new(false),
            rooms: Mutex::default(),
            turns: Turns::default(),
            totals: Totals::default(),
            pack_target: pack_target(stored),
            doubting: false,
            _lock: lock,
        })
    }

    /// With `true`, a blob counts as known only if it was read and opened: what has rotted is stored again.
    #[must_use]
    pub fn doubting(mut self, doubting: bool) -> Self {
        self.doubting = doubting;
        self
    }

    /// The repository written to.
    #[must_use]
    pub fn repository(&self) -> &'r Repository {
        self.repository
    }

    /// Stores a plaintext, unless it is there, and gives its id.
    ///
    /// # Errors
    /// The blob or a pack could not be made or written; the session is latched then.
    pub fn put(&self, blob_type: BlobType, plaintext: Vec<u8>) -> Result<BlobId, SessionError> {
        if *lock(&self.latched) {
            return Err(SessionError::Latched);
        }
        let result = self.put_unless_known(blob_type, plaintext);
        if result.is_err() {
            *lock(&self.latched) = true;
        }
        result
    }

    /// Stores a plaintext in a new pack even where an old one has it: the old one is about to go.
    ///
    /// # Errors
    /// As [`Session::put`].
    pub fn put_again(
        &self,
        blob_type: BlobType,
        plaintext: Vec<u8>,
    ) -> Result<BlobId, SessionError> {
        if *lock(&self.latched) {
            return Err(SessionError::Latched);
        }
        let id = self.repository.id_keys().blob_id(blob_type, &plaintext);
        let result = self.store(id, blob_type, plaintext);
        if result.is_err() {
            *lock(&self.latched) = true;
        }
        result
    }

    fn put_unless_known(
        &self,
        blob_type: BlobType,
        plaintext: Vec<u8>,
    ) -> Result<BlobId, SessionError> {
        let id = self.repository.id_keys().blob_id(blob_type, &plaintext);
        if self.is_known(&id, blob_type)? {
            self.totals.known_len.fetch_add(plaintext.len() as u64, Ordering::Relaxed);
            return Ok(id);
        }
        self.store(id, blob_type, plaintext)
    }

    fn is_known(&self, id: &BlobId, blob_type: BlobType) -> Result<bool, SessionError> {
        if lock(&self.pending).contains(id) {
            return Ok(true);
        }
        let listed = self.repository.has(id, blob_type)?;
        Ok(listed && (!self.doubting || self.repository.blob(id, blob_type).is_ok()))
    }

    fn store(
        &self,
        id: BlobId,
        blob_type: BlobType,
        plaintext: Vec<u8>,
    ) -> Result<BlobId, SessionError> {
        let len = plaintext.len() as u64;
        if !lock(&self.pending).insert(id) {
            self.totals.known_len.fetch_add(len, Ordering::Relaxed);
            return Ok(id);
        }
        self.totals.new_len.fetch_add(len, Ordering::Relaxed);
        let blob = encode(id, blob_type, plaintext)?;
        let pack_type = PackType::for_blob(blob_type);
        let full = {
            let mut builder = lock(self.builder(pack_type));
            builder.push(blob);
            // The turn is waited for with the builder locked: whoever has more for this pack waits as well, so that a slow
            // drive holds up the work and does not pile it up in memory.
            (builder.file_len() >= self.pack_target).then(|| {
                let turn = self.turns.take();
                (turn, std::mem::replace(&mut *builder, PackBuilder::new(pack_type)))
            })
        };
        if let Some((_turn, full)) = full {
            self.write_pack(full)?;
        }
        Ok(id)
    }

    fn builder(&self, pack_type: PackType) -> &Mutex<PackBuilder> {
        match pack_type {
            PackType::Data => &self.data,
            PackType::Tree => &self.tree,
        }
    }

    fn write_pack(&self, builder: PackBuilder) -> Result<(), SessionError> {
        let r = self.repository;
        let room = lock(&self.rooms).pop().unwrap_or_default();
        let pack =
            builder.finish(room, r.id(), r.data_keys(), r.id_keys(), r.ambient().as_ref())?;
        r.backend().put_new(&pack_name(&pack.id), &pack.bytes).map_err(SessionError::Write)?;
        let FinishedPack { id, pack_type, bytes, entries } = pack;
        let file_len = bytes.len() as u64;
        lock(&self.rooms).push(bytes);
        r.with_inventory(|i| i.packs.insert(id, file_len));
        r.index().insert_pack(&id, file_len, &spots(&entries))?;
        {
            let mut pending = lock(&self.pending);
            for entry in &entries {
                pending.remove(&entry.id);
            }
        }
        self.totals.stored_len.fetch_add(file_len, Ordering::Relaxed);
        self.totals.pack_count.fetch_add(1, Ordering::Relaxed);
        lock(&self.written).insert(id, PackListing { file_len, pack_type, entries });
        Ok(())
    }

    /// Whether a blob is in a listed pack or will be in one of this session.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn knows(&self, id: &BlobId, blob_type: BlobType) -> Result<bool, SessionError> {
        Ok(lock(&self.pending).contains(id) || self.repository.has(id, blob_type)?)
    }

    /// What was written so far.
    #[must_use]
    pub fn written(&self) -> Written {
        Written {
            new_len: self.totals.new_len.load(Ordering::Relaxed),
            known_len: self.totals.known_len.load(Ordering::Relaxed),
            stored_len: self.totals.stored_len.load(Ordering::Relaxed),
            pack_count: self.totals.pack_count.load(Ordering::Relaxed),
        }
    }

    /// Writes the packs that are not full yet and makes everything so far durable and findable.
    ///
    /// # Errors
    /// Something could not be written; the session is latched then.
    pub fn settle(&self) -> Result<(), SessionError> {
        if *lock(&self.latched) {
            return Err(SessionError::Latched);
        }
        let result = self.settle_unlatched();
        if result.is_err() {
            *lock(&self.latched) = true;
        }
        result
    }

    fn settle_unlatched(&self) -> Result<(), SessionError> {
        for pack_type in [PackType::Data, PackType::Tree] {
            let empty = PackBuilder::new(pack_type);
            let builder = std::mem::replace(&mut *lock(self.builder(pack_type)), empty);
            if !builder.is_empty() {
                self.write_pack(builder)?;
            }
        }
        self.repository.backend().barrier().map_err(SessionError::Write)?;
        let written = std::mem::take(&mut *lock(&self.written));
        if !written.is_empty() {
            self.repository.write_segments(written)?;
            self.repository.backend().barrier().map_err(SessionError::Write)?;
        }
        self.repository.index().flush()?;
        // What comes next may be something else altogether, and need the memory.
        lock(&self.rooms).clear();
        lock(&self.pending).shrink_to_fit();
        Ok(())
    }

    /// Commits a snapshot: `content` is its record's JSON, `needed` every blob its tree names, in batches.
    ///
    /// # Errors
    /// Something could not be written, or a blob is in no pack; there is no snapshot then.
    pub fn commit(
        self,
        content: Vec<u8>,
        mut needed: impl FnMut(
            &mut dyn FnMut(&[BlobId]) -> Result<(), SessionError>,
        ) -> Result<(), SessionError>,
    ) -> Result<RecordId, SessionError> {
        let file = self.repository.seal_record(Kind::Snapshot, &content)?;
        self.put(BlobType::Record, file.clone())?;
        self.settle()?;
        self.repository.forget_vanished_packs()?;
        let mut absent = 0;
        needed(&mut |ids| {
            absent += self.repository.absent(ids)?.len();
            Ok(())
        })?;
        if absent > 0 {
            return Err(SessionError::Absent { count: absent });
        }
        Ok(self.repository.put_snapshot(&file, content)?)
    }
}

/// How many packs are sealed and written at once: one more than there are cores, for one of them waits for the drive.
struct Turns {
    free: Mutex<usize>,
    given_back: Condvar,
}

impl Default for Turns {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { free: Mutex::new(cores.min(8) + 1), given_back: Condvar::new() }
    }
}

/// Given back when it is dropped.
struct Turn<'t>(&'t Turns);

impl Turns {
    fn take(&self) -> Turn<'_> {
        let mut free = lock(&self.free);
        while *free == 0 {
            free = self.given_back.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.0.free) += 1;
        self.0.given_back.notify_one();
    }
}

/// 32 MiB at first, growing with the repository so that there are never very many packs.
fn pack_target(stored_len: u64) -> usize {
    const GIB: u64 = 1 << 30;
    match stored_len {
        len if len < 512 * GIB => 32 << 20,
        len if len < 2048 * GIB => 64 << 20,
        _ => 128 << 20,
    }
}

/// Longest content of one index segment: far below what a record may hold.
const SEGMENT_LEN_MAX: usize = 24 << 20;
/// More segments than this are merged.
const SEGMENT_COUNT_MAX: usize = 64;

impl Repository {
    /// Whether a listed pack holds a blob.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn has(&self, id: &BlobId, blob_type: BlobType) -> Result<bool, IndexError> {
        Ok(self.index().lookup(id)?.iter().any(|place| place.spot.blob_type == blob_type))
    }

    /// Lists the packs anew and drops those that went away: what is committed now must stand in packs that are there now.
    fn forget_vanished_packs(&self) -> Result<(), SessionError> {
        let listing = self.backend().list("packs").map_err(SessionError::Write)?;
        let there = crate::layout::Inventory::sort(&listing.files).packs;
        for (pack, len) in self.packs() {
            if there.get(&pack) != Some(&len) {
                self.index().forget_pack(&pack)?;
                self.with_inventory(|i| i.packs.remove(&pack));
            }
        }
        Ok(())
    }

    /// Writes directories as index segments, merging old segments when there are many.
    ///
    /// # Errors
    /// A segment could not be written.
    pub(crate) fn write_segments(
        &self,
        packs: BTreeMap<PackId, PackListing>,
    ) -> Result<(), SessionError> {
        let old: Vec<RecordId> = self.with_inventory(|i| i.segments.keys().copied().collect());
        let mut packs = packs;
        let merge = old.len() >= SEGMENT_COUNT_MAX;
        if merge {
            let listed = self.packs();
            let readable = old.iter().filter_map(|id| self.read_segment(*id).ok()).flatten();
            packs.extend(readable.filter(|(id, l)| listed.get(id) == Some(&l.file_len)));
        }
        self.put_segments(packs)?;
        if merge {
            self.backend().barrier().map_err(SessionError::Write)?;
            self.delete_segments(&old)?;
        }
        Ok(())
    }

    pub(crate) fn put_segments(
        &self,
        packs: BTreeMap<PackId, PackListing>,
    ) -> Result<(), SessionError> {
        let mut part = BTreeMap::new();
        let mut len = 0;
        for (id, listing) in packs {
            let own_len = 52 + listing.entries.len() * crate::pack::ENTRY_LEN;
            if len + own_len > SEGMENT_LEN_MAX && !part.is_empty() {
                self.put_segment(&std::mem::take(&mut part))?;
                len = 0;
            }
            len += own_len;
            part.insert(id, listing);
        }
        if part.is_empty() { Ok(()) } else { self.put_segment(&part) }
    }

    fn put_segment(&self, packs: &BTreeMap<PackId, PackListing>) -> Result<(), SessionError> {
        let file = self.seal_record(Kind::Segment, &segment::encode(packs))?;
        let id = RecordId::decode(hash_of_file(&file));
        self.backend().put_new(&segment_name(&id), &file).map_err(SessionError::Write)?;
        self.with_inventory(|i| i.segments.insert(id, file.len() as u64));
        Ok(())
    }

    /// Removes every index segment: they are derived, the next writer makes them anew, and a full drive has room for a record again.
    ///
    /// # Errors
    /// One could not be removed.
    pub fn give_up_segments(&self) -> Result<(), SessionError> {
        let ids: Vec<RecordId> = self.with_inventory(|i| i.segments.keys().copied().collect());
        self.delete_segments(&ids)?;
        self.backend().barrier().map_err(SessionError::Write)
    }

    pub(crate) fn delete_segments(&self, ids: &[RecordId]) -> Result<(), SessionError> {
        for id in ids {
            self.backend().delete(&segment_name(id)).map_err(SessionError::Write)?;
            self.with_inventory(|i| i.segments.remove(id));
        }
        Ok(())
    }

    /// Writes segments for packs that no readable segment covers, and removes segments that cannot be read: they are derived.
    ///
    /// # Errors
    /// A segment could not be written.
    pub fn mend_segments(&self) -> Result<usize, SessionError> {
        let ids: Vec<RecordId> = self.with_inventory(|i| i.segments.keys().copied().collect());
        let mut missing = self.packs();
        let mut bad = Vec::new();
        for id in ids {
            match self.read_segment(id) {
                Ok(packs) => missing.retain(|pack, _| !packs.contains_key(pack)),
                Err(_) => bad.push(id),
            }
        }
        let mut again = BTreeMap::new();
        for (pack, file_len) in missing {
            let Ok(entries) = self.read_directory(&pack, file_len) else { continue };
            let pack_type =
                entries.first().map_or(PackType::Data, |e| PackType::for_blob(e.blob_type));
            again.insert(pack, PackListing { file_len, pack_type, entries });
        }
        let mended = bad.len() + usize::from(!again.is_empty());
        self.put_segments(again)?;
        if mended > 0 {
            self.backend().barrier().map_err(SessionError::Write)?;
            self.delete_segments(&bad)?;
        }
        Ok(mended)
    }
}
