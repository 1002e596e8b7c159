//! The index in the user's cache folder: the only room that knows RocksDB.
//!
//! Invariant: one repository's cache, of this version, or made anew; never an error about what a cache
//! holds at opening, and never a wrong answer. Each pack comes in by one write batch, entries and record
//! together, into one column family without a log: a crash keeps a prefix of the batches, so a pack that
//! is named is there whole. Never on the drive of the repository.
//!
//! Keys: `e` ‖ blob id → copies (24 bytes each); `p` ‖ pack number → pack id, file length; `n` → the next
//! number; `v` → version and repository. A forgotten pack loses its record, and its number is never given
//! again: its entries are passed over at once and removed when a compaction or an insert comes by.

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use rocksdb::compaction_filter::Decision;
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DB, DBCompressionType, DataBlockIndexType,
    Direction, IteratorMode, LogLevel, Options, WriteBatch, WriteOptions,
};

use super::numbers::{Copied, Numbers};
use super::{Index, IndexError, Place, Spot};
use crate::ids::{BlobId, ID_LEN, PackId};
use crate::seal::BlobType;

/// Begins the value of [`IDENTITY_KEY`]; the number rises whenever keys or values change.
const VERSION: &[u8] = b"russet index 1\0";
const IDENTITY_KEY: &[u8] = b"v";
const NEXT_KEY: &[u8] = b"n";
const PACK_TAG: u8 = b'p';
const BLOB_TAG: u8 = b'e';

/// The engine's folder within ours: the only thing that is ever deleted.
const ENGINE_NAME: &str = "index.rocksdb";
const LOCK_NAME: &str = "index.lock";
/// Its presence says that the cache did not read back.
const DAMAGED_NAME: &str = "index.damaged";

const COPIED_LEN: usize = 24;
const BLOCK_CACHE_LEN: usize = 64 << 20;
const WRITE_BUFFER_LEN: usize = 16 << 20;
const OPEN_FILE_COUNT_MAX: i32 = 128;
/// False positives of 1 in 100 or so. (A ribbon filter is a third smaller and slower to build.)
const FILTER_BITS: f64 = 10.0;
/// Ids asked of the engine at a time.
const BATCH_COUNT: usize = 1024;

/// Whether a cache could be used as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It knows what it knew.
    Kept,
    /// It knows nothing: packs have to be inserted again.
    Fresh {
        /// Why.
        why: FreshReason,
    },
}

/// Why a cache was made anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FreshReason {
    /// There was none.
    Absent,
    /// It did not read back, was half-written, or was something else altogether.
    Damaged,
    /// Another version of russet wrote it.
    OtherVersion,
    /// It belongs to another repository.
    OtherRepository,
}

/// An index in a folder of this host.
pub struct RocksIndex {
    db: DB,
    packs: RwLock<Numbers>,
    /// Inserts read what is there, then write.
    writing: Mutex<()>,
    kept: Arc<RwLock<Kept>>,
    damaged_path: PathBuf,
    /// Released last, after the engine has closed.
    _lock: File,
}

/// What compaction must leave alone.
#[derive(Debug, Default)]
struct Kept {
    /// Numbers from here on are never dead in this process.
    bound: u32,
    /// Numbers below the bound that are alive, or whose death is not durable yet: were their entries
    /// removed before their record is, a crash would bring back a record without entries.
    numbers: HashSet<u32>,
    /// Forgotten since the last flush.
    dying: Vec<u32>,
}

impl Kept {
    fn is_dead(&self, number: u32) -> bool {
        number < self.bound && !self.numbers.contains(&number)
    }
}

impl RocksIndex {
    /// Opens the cache in this folder, or makes it anew if it is missing, damaged, of another version or
    /// of another repository (`repository` is any bytes that tell repositories apart).
    ///
    /// # Errors
    /// [`IndexError::Busy`] while another process has it; [`IndexError::Io`] and [`IndexError::Engine`]
    /// if not even a new one can be made here.
    pub fn open(folder: &Path, repository: &[u8]) -> Result<(Self, Opened), IndexError> {
        let io = |doing| move |source| IndexError::Io { doing, source };
        fs::create_dir_all(folder).map_err(io("create"))?;
        let lock = lock(&folder.join(LOCK_NAME))?;
        let engine_path = folder.join(ENGINE_NAME);
        let damaged_path = folder.join(DAMAGED_NAME);
        let found = if fs::symlink_metadata(&damaged_path).is_ok() {
            Err(FreshReason::Damaged)
        } else {
            open_existing(&engine_path, repository)?
        };
        let (engine, opened) = match found {
            Ok(engine) => (engine, Opened::Kept),
            Err(why) => {
                remove(&engine_path).map_err(io("clear"))?;
                let engine = make(&engine_path, repository)?;
                remove(&damaged_path).map_err(io("clear"))?;
                (engine, Opened::Fresh { why })
            }
        };
        let Engine { db, packs, kept } = engine;
        let (packs, writing) = (RwLock::new(packs), Mutex::new(()));
        let index = Self { db, packs, writing, kept, damaged_path, _lock: lock };
        Ok((index, opened))
    }

    fn packs_now(&self) -> RwLockReadGuard<'_, Numbers> {
        self.packs.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_packs(&self) -> RwLockWriteGuard<'_, Numbers> {
        self.packs.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> RwLockWriteGuard<'_, Kept> {
        self.kept.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves word that this cache does not read back, so that the next opening makes it anew.
    fn damaged(
        &self,
        doing: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> IndexError {
        // If even this cannot be written, the next reader of the same spot will try again.
        let _told = fs::write(&self.damaged_path, doing);
        IndexError::Damaged { doing, source: source.into() }
    }

    /// The copies of each id, dead ones included, in the order of the ids.
    fn copies(&self, ids: &[BlobId], is_sorted: bool) -> Result<Vec<Vec<Copied>>, IndexError> {
        let mut found = Vec::with_capacity(ids.len());
        let Some(family) = self.db.cf_handle(rocksdb::DEFAULT_COLUMN_FAMILY_NAME) else {
            return Err(self.damaged("find the table", io::Error::from(io::ErrorKind::NotFound)));
        };
        for some in ids.chunks(BATCH_COUNT) {
            let keys: Vec<_> = some.iter().map(blob_key).collect();
            for value in self.db.batched_multi_get_cf(family, &keys, is_sorted) {
                let value = value.map_err(|error| self.damaged("read a blob's entry", error))?;
                let value = value.as_deref().unwrap_or_default();
                found.push(self.decode_checked(value)?.collect());
            }
        }
        Ok(found)
    }

    fn decode_checked<'a>(
        &self,
        value: &'a [u8],
    ) -> Result<impl Iterator<Item = Copied> + use<'a>, IndexError> {
        match decode_copies(value) {
            Some(copies) => Ok(copies),
            None => {
                let source = io::Error::from(io::ErrorKind::InvalidData);
                Err(self.damaged("decode a blob's entry", source))
            }
        }
    }

    fn write(&self, doing: &'static str, batch: WriteBatch) -> Result<(), IndexError> {
        let mut options = WriteOptions::default();
        options.disable_wal(true);
        self.db.write_opt(batch, &options).map_err(|error| engine_error(doing, error))
    }
}

impl Index for RocksIndex {
    fn lookup(&self, id: &BlobId) -> Result<Vec<Place>, IndexError> {
        let value = self.db.get_pinned(blob_key(id));
        let value = value.map_err(|error| self.damaged("read a blob's entry", error))?;
        match value {
            None => Ok(Vec::new()),
            Some(value) => Ok(self.packs_now().places(self.decode_checked(&value)?)),
        }
    }

    fn lookup_many(&self, ids: &[BlobId]) -> Result<Vec<Vec<Place>>, IndexError> {
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_unstable_by_key(|index| ids.get(*index));
        let sorted: Vec<BlobId> = order.iter().filter_map(|i| ids.get(*i).copied()).collect();
        let copies = self.copies(&sorted, true)?;
        let packs = self.packs_now();
        let mut places = vec![Vec::new(); ids.len()];
        for (index, copies) in order.into_iter().zip(copies) {
            if let Some(slot) = places.get_mut(index) {
                *slot = packs.places(copies.into_iter());
            }
        }
        Ok(places)
    }

    fn insert_pack(
        &self,
        pack: &PackId,
        file_len: u64,
        entries: &[(BlobId, Spot)],
    ) -> Result<(), IndexError> {
        let _writing = self.writing();
        let mut entries = entries.to_vec();
        // Stable: of an id that stands here twice the first stays.
        entries.sort_by_key(|(id, _)| *id);
        entries.dedup_by_key(|(id, _)| *id);
        let ids: Vec<BlobId> = entries.iter().map(|(id, _)| *id).collect();
        let there = self.copies(&ids, true)?;
        let number = self.change_packs().draw()?;
        let mut batch = WriteBatch::default();
        let replaced = {
            let packs = self.packs_now();
            let replaced = packs.number(pack);
            for ((id, spot), copies) in entries.iter().zip(there) {
                let is_live = |c: &Copied| packs.is_known(c.number) && Some(c.number) != replaced;
                let new = Copied { number, spot: *spot };
                let copies = copies.into_iter().filter(is_live).chain([new]);
                batch.put(blob_key(id), encode_copies(copies));
            }
            batch.put(NEXT_KEY, packs.next().to_le_bytes());
            replaced
        };
        batch.put(pack_key(number), encode_pack(pack, file_len));
        if let Some(replaced) = replaced {
            batch.delete(pack_key(replaced));
        }
        self.write("extend", batch)?;
        self.change_packs().admit(number, *pack, file_len);
        self.kept().dying.extend(replaced);
        Ok(())
    }

    fn forget_pack(&self, pack: &PackId) -> Result<(), IndexError> {
        let _writing = self.writing();
        let Some(number) = self.change_packs().forget(pack) else {
            return Ok(());
        };
        let mut batch = WriteBatch::default();
        batch.delete(pack_key(number));
        self.write("shorten", batch)?;
        self.kept().dying.push(number);
        Ok(())
    }

    fn packs(&self) -> Result<Vec<(PackId, u64)>, IndexError> {
        Ok(self.packs_now().list())
    }

    fn flush(&self) -> Result<(), IndexError> {
        let _writing = self.writing();
        self.db.flush().map_err(|error| engine_error("write", error))?;
        let mut kept = self.kept();
        for number in std::mem::take(&mut kept.dying) {
            kept.numbers.remove(&number);
        }
        Ok(())
    }

    fn clear(&self) -> Result<(), IndexError> {
        {
            let _writing = self.writing();
            let mut packs = self.change_packs();
            let mut batch = WriteBatch::default();
            batch.delete_range([PACK_TAG], [PACK_TAG + 1]);
            batch.delete_range([BLOB_TAG], [BLOB_TAG + 1]);
            self.write("clear", batch)?;
            let forgotten: Vec<u32> = packs.all().collect();
            packs.clear();
            self.kept().dying.extend(forgotten);
        }
        self.flush()
    }
}

/// The engine with what was read from it.
struct Engine {
    db: DB,
    packs: Numbers,
    kept: Arc<RwLock<Kept>>,
}

/// Keeps other processes away from opening and deleting. Without locking here, the engine's own has to do.
fn lock(path: &Path) -> Result<File, IndexError> {
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(path);
    let file = opened.map_err(|source| IndexError::Io { doing: "lock", source })?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(IndexError::Busy),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What stands there, or why it is of no use. Only a cache that somebody else has open is an error.
fn open_existing(
    path: &Path,
    repository: &[u8],
) -> Result<Result<Engine, FreshReason>, IndexError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Ok(Err(FreshReason::Damaged)),
        Err(_) => return Ok(Err(FreshReason::Absent)),
    }
    let kept = Arc::new(RwLock::new(Kept::default()));
    let db = match open_engine(path, &kept) {
        Ok(db) => db,
        Err(error) if is_locked(&error) => return Err(IndexError::Busy),
        Err(_) => return Ok(Err(FreshReason::Damaged)),
    };
    let identity = match db.get(IDENTITY_KEY) {
        Ok(Some(identity)) => identity,
        Ok(None) | Err(_) => return Ok(Err(FreshReason::Damaged)),
    };
    match identity.strip_prefix(VERSION) {
        None => return Ok(Err(FreshReason::OtherVersion)),
        Some(owner) if owner != repository => return Ok(Err(FreshReason::OtherRepository)),
        Some(_) => {}
    }
    let Some(packs) = read_packs(&db) else {
        return Ok(Err(FreshReason::Damaged));
    };
    *kept.write().unwrap_or_else(PoisonError::into_inner) =
        Kept { bound: packs.next(), numbers: packs.all().collect(), dying: Vec::new() };
    Ok(Ok(Engine { db, packs, kept }))
}

/// The engine's words for its own lock, held through another path to this folder.
fn is_locked(error: &rocksdb::Error) -> bool {
    error.kind() == rocksdb::ErrorKind::IOError && error.as_ref().contains("lock")
}

fn make(path: &Path, repository: &[u8]) -> Result<Engine, IndexError> {
    let kept = Arc::new(RwLock::new(Kept::default()));
    let fail = |error| engine_error("create", error);
    let db = open_engine(path, &kept).map_err(fail)?;
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    let mut batch = WriteBatch::default();
    batch.put(IDENTITY_KEY, [VERSION, repository].concat());
    batch.put(NEXT_KEY, 0_u32.to_le_bytes());
    db.write_opt(batch, &options).map_err(fail)?;
    db.flush().map_err(fail)?;
    let packs = Numbers::default();
    Ok(Engine { db, packs, kept })
}

fn read_packs(db: &DB) -> Option<Numbers> {
    let next = u32::from_le_bytes(db.get(NEXT_KEY).ok()??.try_into().ok()?);
    let mut packs = Vec::new();
    for item in db.iterator(IteratorMode::From(&[PACK_TAG], Direction::Forward)) {
        let (key, value) = item.ok()?;
        let Some((&PACK_TAG, number)) = key.split_first() else {
            break;
        };
        let number = u32::from_be_bytes(number.try_into().ok()?);
        let (pack, file_len) = decode_pack(&value)?;
        if number >= next {
            return None;
        }
        packs.push((number, pack, file_len));
    }
    Some(Numbers::restored(packs.into_iter(), next))
}

fn engine_error(doing: &'static str, error: rocksdb::Error) -> IndexError {
    IndexError::Engine { doing, source: Box::new(error) }
}

/// With its only column family by name, which reading in batches asks for.
fn open_engine(path: &Path, kept: &Arc<RwLock<Kept>>) -> Result<DB, rocksdb::Error> {
    let options = options(kept);
    let families = [(rocksdb::DEFAULT_COLUMN_FAMILY_NAME, options.clone())];
    DB::open_cf_with_opts(&options, path, families)
}

fn options(kept: &Arc<RwLock<Kept>>) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(&Cache::new_hyper_clock_cache(BLOCK_CACHE_LEN, 0));
    table.set_bloom_filter(FILTER_BITS, false);
    // Filters and indexes in small parts, in the cache: memory stays bounded however many blobs there are.
    table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
    table.set_partition_filters(true);
    // Larger than the engine's 4 KiB: twice the lookups at 2 million blobs.
    table.set_metadata_block_size(32 << 10);
    table.set_cache_index_and_filter_blocks(true);
    table.set_cache_index_and_filter_blocks_with_high_priority(true);
    table.set_pin_top_level_index_and_filter(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);

    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(WRITE_BUFFER_LEN);
    options.set_max_write_buffer_number(2);
    options.set_max_open_files(OPEN_FILE_COUNT_MAX);
    options.set_max_background_jobs(2);
    options.set_bytes_per_sync(1 << 20);
    options.set_keep_log_file_num(1);
    options.set_max_log_file_size(1 << 20);
    options.set_log_level(LogLevel::Error);
    options.set_stats_dump_period_sec(0);
    let kept = Arc::clone(kept);
    options.set_compaction_filter("russet forgotten packs", move |_level, key, value| {
        let is_blob = key.first() == Some(&BLOB_TAG);
        let kept = kept.read().unwrap_or_else(PoisonError::into_inner);
        let is_dead = |mut copies: CopyIter<'_>| copies.all(|copied| kept.is_dead(copied.number));
        // What does not decode stays, for a lookup to find and tell.
        if is_blob && decode_copies(value).is_some_and(is_dead) {
            Decision::Remove
        } else {
            Decision::Keep
        }
    });
    options
}

fn blob_key(id: &BlobId) -> [u8; 1 + ID_LEN] {
    let mut key = [BLOB_TAG; 1 + ID_LEN];
    key[1..].copy_from_slice(id.as_bytes());
    key
}

/// Big-endian, so that the records lie in the order of their numbers.
fn pack_key(number: u32) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [PACK_TAG, a, b, c, d]
}

fn encode_pack(pack: &PackId, file_len: u64) -> Vec<u8> {
    [&pack.as_bytes()[..], &file_len.to_le_bytes()].concat()
}

fn decode_pack(value: &[u8]) -> Option<(PackId, u64)> {
    let (id, file_len) = value.split_first_chunk::<ID_LEN>()?;
    let file_len = u64::from_le_bytes(file_len.try_into().ok()?);
    Some((PackId::decode(*id), file_len))
}

fn encode_copies(copies: impl Iterator<Item = Copied>) -> Vec<u8> {
    let mut value = Vec::with_capacity(COPIED_LEN);
    for Copied { number, spot } in copies {
        let Spot { ordinal, offset, sealed_len, plain_len, blob_type, encoding } = spot;
        let form = u32::from_le_bytes([blob_type.number(), encoding, 0, 0]);
        for field in [number, ordinal, offset, sealed_len, plain_len, form] {
            value.extend_from_slice(&field.to_le_bytes());
        }
    }
    value
}

type CopyIter<'a> =
    std::iter::Map<std::slice::Iter<'a, [u8; COPIED_LEN]>, fn(&[u8; COPIED_LEN]) -> Copied>;

/// `None` if the value is not a whole number of copies.
fn decode_copies(value: &[u8]) -> Option<CopyIter<'_>> {
    let (copies, rest) = value.as_chunks::<COPIED_LEN>();
    rest.is_empty().then(|| copies.iter().map(decode_copied as fn(&[u8; COPIED_LEN]) -> Copied))
}

fn decode_copied(bytes: &[u8; COPIED_LEN]) -> Copied {
    let (fields, _) = bytes.as_chunks::<4>();
    let mut fields = fields.iter().map(|field| u32::from_le_bytes(*field));
    let mut next = || fields.next().unwrap_or_default();
    let (number, ordinal, offset, sealed_len, plain_len) = (next(), next(), next(), next(), next());
    let [blob_type, encoding, ..] = next().to_le_bytes();
    // A type that does not exist can only be damage of the cache; the blob's own hash is checked wherever it is read.
    let blob_type = BlobType::of(blob_type).unwrap_or(BlobType::Data);
    Copied { number, spot: Spot { ordinal, offset, sealed_len, plain_len, blob_type, encoding } }
}

#[cfg(test)]
#[path = "rocks_tests.rs"]
mod tests;
