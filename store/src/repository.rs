//! A repository: opening it with a secret, and the keys, records and packs that are then at hand.
//!
//! Invariant: what a damaged or missing file can be spared for is read without it, with a remark; nothing here writes but
//! [`create`], [`Repository::append`], [`Repository::add_keyslot`], [`Repository::mend`] and what deals with drafts and secrets. The boundary
//! of encryption is this type: outside it bytes are plain, in a [`Backend`] they are sealed.

mod create;
mod drafts;
mod fetch;
mod keyslots;
mod rescue;
mod secrets;
mod unlock;

pub use create::{CreateOptions, Created, create};
pub use drafts::Checkpoint;
pub use fetch::{FetchError, PackCheck};
pub use keyslots::RemoveError;
pub use secrets::OpenedSecret;
pub use unlock::LockedRepository;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde::Deserialize;

use crate::ambient::{Ambient, NoRandomness};
use crate::backend::{Backend, BackendError};
use crate::config::{Config, Purpose, UnknownFeature};
use crate::copies::{self, CopyProblem, Look};
use crate::header::Kind;
use crate::ids::{PackId, RecordId, RepositoryId, WriterId};
use crate::index::{Index, IndexError};
use crate::layout::{Inventory, Room};
use crate::log::{Link, LogRecord, Said, State, fold};
use crate::pack::PackHead;
use crate::record::{self, RecordError, RecordPlace, record_len_max};
use crate::seal::{DataKeys, IdKeys, KeyslotError, SealBroken, Secret, record_key};

/// Something that was read around. Data is not lost by it; a person should hear of it.
#[derive(Debug, thiserror::Error)]
pub enum Remark {
    /// A copy of a small file is missing or damaged.
    #[error("one of three copies: {0}")]
    Copy(#[source] CopyProblem),
    /// A record none of whose copies is good.
    #[error("{room} record {id} is lost: none of its copies is readable")]
    RecordLost {
        /// Folder.
        room: &'static str,
        /// Its id.
        id: RecordId,
    },
    /// A snapshot's record that was lost in all copies, and stands in a pack.
    #[error(
        "the record of snapshot {id} was lost in all copies and has been found again in a pack"
    )]
    Rescued {
        /// Its id.
        id: RecordId,
    },
    /// A copy that cannot be written again, since something else has its name.
    #[error("{name} is not a file: remove it, and the next import writes it again")]
    InTheWay {
        /// The name.
        name: String,
    },
    /// A record whose bytes are right but that does not open or parse.
    #[error("{room} record {id} cannot be used: {why}")]
    RecordUnusable {
        /// Folder.
        room: &'static str,
        /// Its id.
        id: RecordId,
        /// Why.
        why: String,
    },
    /// All copies of the config are lost; the repository can be read, not written.
    #[error(
        "all three copies of the config are lost or changed: the repository can be read, not written"
    )]
    ConfigLost,
    /// An index segment that cannot be used.
    #[error("index segment {id} is ignored: {why}")]
    Segment {
        /// Its id.
        id: RecordId,
        /// Why.
        why: String,
    },
    /// A pack whose directory cannot be read.
    #[error("pack {id} is not used: {why}")]
    Pack {
        /// The pack.
        id: PackId,
        /// Why.
        why: String,
    },
    /// A folder of the repository that cannot be read.
    #[error("the folder {dir} cannot be read: {source}")]
    Folder {
        /// Which.
        dir: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// No repository there.
    #[error("there is no repository at {location}")]
    NotFound {
        /// Where.
        location: String,
    },
    /// A repository or something else is there already.
    #[error("{location} already holds a repository")]
    Exists {
        /// Where.
        location: String,
    },
    /// Made by a newer program.
    #[error("the repository has format {0}; this program knows format 1")]
    NewerFormat(u32),
    /// Uses what this program does not know.
    #[error(transparent)]
    Feature(#[from] UnknownFeature),
    /// No keyslot can be read.
    #[error("no keyslot of the repository can be read ({unusable} found, all damaged)")]
    NoKeyslot {
        /// Damaged ones.
        unusable: usize,
    },
    /// The secret opens no keyslot.
    #[error("wrong {secret}")]
    WrongSecret {
        /// Kind of secret.
        secret: &'static str,
        /// Keyslots of that kind.
        tried: usize,
    },
    /// The secret was removed.
    #[error("this {secret} was removed from the repository; another one is needed")]
    Revoked {
        /// Kind of secret.
        secret: &'static str,
    },
    /// The keyring is lost in all copies.
    #[error("the keyring is lost: none of its copies can be opened")]
    NoKeyring,
    /// The config is lost: parameters for writing are not known.
    #[error(
        "all copies of the config are lost: nothing can be added to this repository; it can still be read"
    )]
    NoConfig,
    /// A record that must be known before something is deleted is lost.
    #[error(
        "{count} records cannot be read, {first} among them: nothing may be deleted while they are not understood"
    )]
    Unreadable {
        /// How many.
        count: usize,
        /// One of them.
        first: RecordId,
    },
    /// Keyslots.
    #[error(transparent)]
    Keyslot(#[from] KeyslotError),
    /// Storage.
    #[error(transparent)]
    Backend(#[from] BackendError),
    /// Records.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The host's index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Keys.
    #[error(transparent)]
    Seal(#[from] SealBroken),
    /// No random numbers.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// A record could not be written as JSON.
    #[error("a record could not be written")]
    Json(#[source] serde_json::Error),
}

/// A record that was opened.
#[derive(Debug, Clone)]
pub struct OpenedRecord {
    /// Name of its file.
    pub id: RecordId,
    /// Its JSON.
    pub content: Vec<u8>,
}

/// An unlocked repository.
pub struct Repository {
    backend: Arc<dyn Backend>,
    ambient: Arc<dyn Ambient>,
    id: RepositoryId,
    config: Option<Config>,
    master: Secret,
    slot: RecordId,
    slot_label: String,
    id_keys: IdKeys,
    data_keys: DataKeys,
    inventory: Mutex<Inventory>,
    index: Box<dyn Index>,
    heads: Mutex<BTreeMap<PackId, Arc<PackHead>>>,
    remarks: Mutex<Vec<Remark>>,
    chains: Mutex<BTreeMap<WriterId, (u64, RecordId)>>,
    log: Mutex<Vec<(RecordId, LogRecord)>>,
    snapshots: Mutex<Vec<OpenedRecord>>,
    lost: Vec<RecordId>,
    /// Records that [`Repository::mend`] writes again.
    rescued: Mutex<Vec<(RecordId, Vec<u8>)>>,
}

impl Repository {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// Where it lies.
    #[must_use]
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Clock and randomness.
    #[must_use]
    pub fn ambient(&self) -> &Arc<dyn Ambient> {
        &self.ambient
    }

    /// Keys of ids, of the cut and of trees.
    #[must_use]
    pub fn id_keys(&self) -> &IdKeys {
        &self.id_keys
    }

    pub(crate) fn data_keys(&self) -> &DataKeys {
        &self.data_keys
    }

    /// The index of this set of packs.
    #[must_use]
    pub fn index(&self) -> &dyn Index {
        self.index.as_ref()
    }

    /// Parameters, and that this program may do `purpose` here.
    ///
    /// # Errors
    /// The config is lost, or names a feature that is not known.
    pub fn config(&self, purpose: Purpose) -> Result<&Config, RepositoryError> {
        let config = self.config.as_ref().ok_or(RepositoryError::NoConfig)?;
        config.allows(purpose)?;
        Ok(config)
    }

    /// Takes the remarks collected so far.
    #[must_use]
    pub fn take_remarks(&self) -> Vec<Remark> {
        std::mem::take(&mut *lock(&self.remarks))
    }

    pub(crate) fn remark(&self, remark: Remark) {
        lock(&self.remarks).push(remark);
    }

    /// Packs that are listed, with lengths.
    #[must_use]
    pub fn packs(&self) -> BTreeMap<PackId, u64> {
        lock(&self.inventory).packs.clone()
    }

    /// Names in the repository that are not ours.
    #[must_use]
    pub fn foreign_count(&self) -> u64 {
        lock(&self.inventory).foreign_count
    }

    /// Looks at the files.
    pub fn with_inventory<T>(&self, look: impl FnOnce(&mut Inventory) -> T) -> T {
        look(&mut lock(&self.inventory))
    }

    /// Snapshot records that opened, in no order.
    #[must_use]
    pub fn snapshots(&self) -> Vec<OpenedRecord> {
        lock(&self.snapshots).clone()
    }

    /// Log records that opened.
    #[must_use]
    pub fn log(&self) -> Vec<(RecordId, LogRecord)> {
        lock(&self.log).clone()
    }

    /// The fold of the log.
    #[must_use]
    pub fn state(&self) -> State {
        fold(&lock(&self.log))
    }

    /// Highest number and id of each writer's chain, as this repository holds them.
    #[must_use]
    pub fn chains(&self) -> BTreeMap<WriterId, (u64, RecordId)> {
        lock(&self.chains).clone()
    }

    /// That every record that is listed was understood: who deletes must know all that refers to anything.
    ///
    /// # Errors
    /// Some were not.
    pub fn all_records_readable(&self) -> Result<(), RepositoryError> {
        match self.lost.first() {
            Some(first) => {
                Err(RepositoryError::Unreadable { count: self.lost.len(), first: *first })
            }
            None => Ok(()),
        }
    }

    /// Chain links whose record is absent though a later one of the same writer names it, and that were not forgotten.
    #[must_use]
    pub fn missing_links(&self) -> Vec<RecordId> {
        let present: std::collections::BTreeSet<RecordId> =
            self.with_inventory(|i| i.rooms.keys().map(|(_, id)| *id).collect());
        let state = self.state();
        let gone = |id: &RecordId| {
            !present.contains(id) && !state.snapshots.get(id).is_some_and(|s| s.forgotten)
        };
        let named_by_log = self.log().into_iter().filter_map(|(_, record)| record.link.prev);
        let named_by_snapshots =
            self.snapshots().into_iter().filter_map(|s| link_of(&s.content)?.prev);
        let mut missing: Vec<RecordId> =
            named_by_log.chain(named_by_snapshots).filter(gone).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// The next link of a writer's chain.
    #[must_use]
    pub fn next_link(&self, writer: WriterId) -> Link {
        let chains = lock(&self.chains);
        let own = chains.get(&writer);
        Link {
            writer,
            seq: own.map_or(0, |(seq, _)| *seq) + 1,
            prev: own.map(|(_, id)| *id),
            heads: chains
                .iter()
                .filter(|(w, _)| **w != writer)
                .map(|(w, (n, _))| (*w, *n))
                .collect(),
        }
    }

    /// Seals the JSON of a record; nothing is written yet.
    ///
    /// # Errors
    /// Too long, or no randomness.
    pub fn seal_record(&self, kind: Kind, content: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        let (epoch, data_key) = self.data_keys.current()?;
        let key = record_key(data_key, self.id, epoch, kind);
        let place = RecordPlace { kind, repository: self.id, epoch };
        Ok(record::seal(place, &key, content, self.ambient.as_ref())?)
    }

    /// Opens a record's file.
    ///
    /// # Errors
    /// It is not one of this repository and kind.
    pub fn open_record(&self, kind: Kind, file: &[u8]) -> Result<Vec<u8>, RecordError> {
        record::open(file, kind, self.id, |epoch| {
            Ok(record_key(self.data_keys.of(epoch)?, self.id, epoch, kind))
        })
    }

    /// Writes a log record, durable when this returns.
    ///
    /// # Errors
    /// It could not be written.
    pub fn append(&self, writer: WriterId, what: Said) -> Result<RecordId, RepositoryError> {
        self.config(Purpose::Write)?;
        let link = self.next_link(writer);
        let record = LogRecord { v: 1, link, time: self.ambient.now_secs(), what };
        let json = serde_json::to_vec(&record).map_err(RepositoryError::Json)?;
        let file = self.seal_record(Kind::Log, &json)?;
        let id = copies::write(self.backend.as_ref(), Room::Log, &file)?;
        self.backend.barrier()?;
        self.note_record(Room::Log, id, file.len() as u64, &record.link);
        lock(&self.log).push((id, record));
        Ok(id)
    }

    /// Writes a snapshot record's file, durable when this returns. Everything it names must be durable already.
    ///
    /// # Errors
    /// It could not be written.
    pub(crate) fn put_snapshot(
        &self,
        file: &[u8],
        content: Vec<u8>,
    ) -> Result<RecordId, RepositoryError> {
        let id = copies::write(self.backend.as_ref(), Room::Snapshots, file)?;
        self.backend.barrier()?;
        if let Some(link) = link_of(&content) {
            self.note_record(Room::Snapshots, id, file.len() as u64, &link);
        }
        lock(&self.snapshots).push(OpenedRecord { id, content });
        Ok(id)
    }

    fn note_record(&self, room: Room, id: RecordId, len: u64, link: &Link) {
        lock(&self.chains).insert(link.writer, (link.seq, id));
        let listed = crate::layout::CopiesListed([Some(len); 3]);
        lock(&self.inventory).rooms.insert((room, id), listed);
    }

    /// Deletes a snapshot's record, main copy first, after its forgetting was logged.
    ///
    /// # Errors
    /// It could not be deleted.
    pub fn delete_snapshot(&self, id: RecordId) -> Result<(), RepositoryError> {
        for name in crate::layout::copy_names(Room::Snapshots, &id) {
            self.backend.delete(&name)?;
        }
        self.backend.barrier()?;
        lock(&self.snapshots).retain(|s| s.id != id);
        lock(&self.inventory).rooms.remove(&(Room::Snapshots, id));
        Ok(())
    }

    /// Looks at all copies of all small files and writes good ones over those that are missing or damaged. Revoked keyslots and
    /// forgotten snapshots are not brought back.
    ///
    /// # Errors
    /// A copy could not be written.
    pub fn mend(&self) -> Result<usize, RepositoryError> {
        let state = self.state();
        let wanted: Vec<(Room, RecordId)> =
            self.with_inventory(|i| i.rooms.keys().copied().collect());
        let mut mended = self.mend_config()? + self.write_rescued()?;
        for (room, id) in wanted {
            let gone = match room {
                Room::Keys => state.revoked_keyslots.contains(&id),
                Room::Snapshots => state.snapshots.get(&id).is_some_and(|s| s.forgotten),
                Room::Log => false,
                Room::Secrets => state.forgotten_secrets.contains(&id),
            };
            if gone {
                if room == Room::Secrets {
                    self.delete_secret(id)?;
                }
                continue;
            }
            let found =
                copies::read(self.backend.as_ref(), room, id, record_len_max(Kind::Log), Look::All);
            if found.good.as_ref().is_some_and(|bytes| self.is_ours(room, bytes)) {
                match copies::mend(self.backend.as_ref(), &found) {
                    Ok(count) => mended += count,
                    Err(BackendError::NotAFile { name }) => {
                        self.remark(Remark::InTheWay { name });
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                }
                let listed = crate::layout::CopiesListed([found.good.map(|g| g.len() as u64); 3]);
                self.with_inventory(|i| i.rooms.insert((room, id), listed));
            }
        }
        if mended > 0 {
            self.backend.barrier()?;
        }
        Ok(mended)
    }

    fn write_rescued(&self) -> Result<usize, RepositoryError> {
        let rescued = std::mem::take(&mut *lock(&self.rescued));
        for (id, file) in &rescued {
            copies::write(self.backend.as_ref(), Room::Snapshots, file)?;
            let listed = crate::layout::CopiesListed([Some(file.len() as u64); 3]);
            self.with_inventory(|i| i.rooms.insert((Room::Snapshots, *id), listed));
        }
        Ok(rescued.len() * 3)
    }

    /// That whoever wrote these bytes knew our keys.
    fn is_ours(&self, room: Room, bytes: &[u8]) -> bool {
        match room {
            Room::Keys => self.is_our_key_file(bytes),
            Room::Snapshots => self.open_record(Kind::Snapshot, bytes).is_ok(),
            Room::Log => self.open_record(Kind::Log, bytes).is_ok(),
            Room::Secrets => self.open_record(Kind::Secret, bytes).is_ok(),
        }
    }

    /// That a config's bytes were written by whoever knew our master key.
    #[must_use]
    pub fn is_our_config(&self, file: &[u8]) -> bool {
        Config::is_of(file, self.id, &self.master)
    }

    fn mend_config(&self) -> Result<usize, RepositoryError> {
        let names = crate::layout::config_names();
        let read = |name| self.backend.get(name, crate::config::CONFIG_LEN_MAX).ok();
        let files: Vec<Option<Vec<u8>>> = names.iter().map(read).collect();
        let is_good = |file: &&Vec<u8>| Config::is_of(file, self.id, &self.master);
        let Some(good) = files.iter().flatten().find(is_good).cloned() else { return Ok(0) };
        let mut mended = 0;
        for (name, file) in names.iter().zip(&files) {
            if file.as_ref() != Some(&good) {
                match self.backend.put_new(name, &good) {
                    Ok(()) => mended += 1,
                    Err(BackendError::NotAFile { name }) => self.remark(Remark::InTheWay { name }),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(mended)
    }
}

/// The chain link in a record's JSON, of whatever kind.
pub(crate) fn link_of(content: &[u8]) -> Option<Link> {
    #[derive(Deserialize)]
    struct Linked {
        #[serde(flatten)]
        link: Link,
    }
    serde_json::from_slice::<Linked>(content).ok().map(|linked| linked.link)
}

/// The version that a JSON object says it has.
pub(crate) fn version_of(content: &[u8]) -> Option<u32> {
    #[derive(Deserialize)]
    struct Versioned {
        v: u32,
    }
    serde_json::from_slice::<Versioned>(content).ok().map(|versioned| versioned.v)
}

/// Locks a mutex; what it guards is whole even if a holder panicked, for each change is one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
