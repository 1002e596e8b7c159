//! Opening: from a listing to an unlocked repository with its records read and its index reconciled.
//!
//! Invariant: nothing is written; every file that can be done without is done without, with a remark. An index entry counts only
//! for a pack that the listing shows with the same length.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::{
    LogRecord, OpenedRecord, Remark, Repository, RepositoryError, link_of, lock, version_of,
};
use crate::ambient::Ambient;
use crate::backend::{Backend, BackendError};
use crate::config::{CONFIG_LEN_MAX, Config, ConfigError, Purpose};
use crate::copies::{self, Look};
use crate::header::{Header, HeaderError, Kind};
use crate::ids::{RecordId, RepositoryId};
use crate::index::{Index, spots};
use crate::layout::{Inventory, Room, config_names, segment_name};
use crate::record::{self, record_len_max};
use crate::seal::{Keyring, Keyslot, KeyslotError, KeyslotFacts, Secret, SlotSecret, record_key};
use crate::segment;

/// A repository that was found and not yet unlocked.
pub struct LockedRepository {
    backend: Arc<dyn Backend>,
    ambient: Arc<dyn Ambient>,
    id: RepositoryId,
    inventory: Inventory,
    configs: Vec<(Vec<u8>, Config)>,
    slots: Vec<Keyslot>,
    rings: Vec<Vec<u8>>,
    remarks: Vec<Remark>,
}

impl LockedRepository {
    /// Looks at what is there.
    ///
    /// # Errors
    /// No repository, a newer one, or storage that cannot be listed.
    pub fn find(
        backend: Arc<dyn Backend>,
        ambient: Arc<dyn Ambient>,
    ) -> Result<Self, RepositoryError> {
        let location = backend.location();
        let listing = match backend.list("") {
            Err(BackendError::NotFound { .. }) => {
                return Err(RepositoryError::NotFound { location });
            }
            other => other?,
        };
        let inventory = Inventory::sort(&listing.files);
        let folder = |(dir, source)| Remark::Folder { dir, source };
        let mut remarks: Vec<Remark> = listing.unreadable.into_iter().map(folder).collect();
        let no_keys = inventory.ids(Room::Keys).next().is_none();
        if inventory.config.0.iter().all(Option::is_none) && no_keys {
            return Err(RepositoryError::NotFound { location });
        }
        let configs = read_configs(backend.as_ref(), &mut remarks)?;
        let (slots, rings, unusable) = read_keys(backend.as_ref(), &inventory, &mut remarks);
        let id = id_of_most(&configs, &slots).ok_or(RepositoryError::NoKeyslot { unusable })?;
        let slots: Vec<Keyslot> = slots.into_iter().filter(|s| s.repository() == id).collect();
        if slots.is_empty() {
            return Err(RepositoryError::NoKeyslot { unusable });
        }
        let configs = configs.into_iter().filter(|c| c.2 == id).map(|(f, c, _)| (f, c)).collect();
        Ok(Self { backend, ambient, id, inventory, configs, slots, rings, remarks })
    }

    /// Its id, as its files say.
    #[must_use]
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// Keyslots that can be read.
    #[must_use]
    pub fn keyslots(&self) -> Vec<KeyslotFacts> {
        self.slots.iter().map(Keyslot::facts).collect()
    }

    /// Unlocks with a password or recovery key. `index` gives the index to use; it is reconciled with the packs.
    ///
    /// # Errors
    /// The secret opens nothing, a feature is not known, or what no copy can spare is lost.
    pub fn unlock(
        mut self,
        secret: &SlotSecret,
        purpose: Purpose,
        index: impl FnOnce(RepositoryId) -> Box<dyn Index>,
    ) -> Result<Repository, RepositoryError> {
        let (slot, master) = self.open_slot(secret)?;
        let config = self.configs.iter().find(|(file, _)| Config::is_of(file, self.id, &master));
        let config = config.map(|(_, config)| config.clone());
        // Only where no MAC is right do the other copies speak: one changed copy must not lock anybody out, and a newer
        // program that seals its config otherwise must still be named.
        for config in
            config.iter().chain(self.configs.iter().map(|(_, c)| c).filter(|_| config.is_none()))
        {
            config.allows(Purpose::Read)?;
            config.allows(purpose)?;
        }
        if config.is_none() {
            self.remarks.push(Remark::ConfigLost);
        }
        let (id_keys, data_keys) = self.open_ring(&master)?.into_keys();
        let repository = Repository {
            index: index(self.id),
            backend: self.backend,
            ambient: self.ambient,
            id: self.id,
            config,
            master,
            slot,
            id_keys,
            data_keys,
            inventory: Mutex::new(self.inventory),
            heads: Mutex::default(),
            remarks: Mutex::new(self.remarks),
            chains: Mutex::default(),
            log: Mutex::default(),
            snapshots: Mutex::default(),
            lost: Vec::new(),
            rescued: Mutex::default(),
        };
        let mut repository = repository.read_records();
        if repository.state().revoked_keyslots.contains(&slot) {
            return Err(RepositoryError::Revoked { secret: word(secret) });
        }
        repository.reconcile(purpose)?;
        repository.rescue_snapshots();
        Ok(repository)
    }

    fn open_slot(&self, secret: &SlotSecret) -> Result<(RecordId, Secret), RepositoryError> {
        let mut tried = 0;
        let mut other = None;
        for slot in &self.slots {
            match slot.open(secret) {
                Ok((master, ..)) => return Ok((slot.id(), master)),
                Err(KeyslotError::OtherSecret) => {}
                Err(KeyslotError::Wrong) => tried += 1,
                Err(error) => other = Some(error),
            }
        }
        match other {
            Some(error) => Err(error.into()),
            None => Err(RepositoryError::WrongSecret { secret: word(secret), tried }),
        }
    }

    fn open_ring(&self, master: &Secret) -> Result<Keyring, RepositoryError> {
        let open = |file: &Vec<u8>| {
            let key = |_| Ok(Keyring::sealing_key(master, self.id));
            let content = record::open(file, Kind::Keyring, self.id, key).ok()?;
            Keyring::decode(&zeroize::Zeroizing::new(content))
        };
        let rings = self.rings.iter().filter_map(open);
        rings.max_by_key(|ring| ring.generation).ok_or(RepositoryError::NoKeyring)
    }
}

/// The id that most files agree on: one that strayed in from another repository must not hide the others.
fn id_of_most(configs: &[ConfigFile], slots: &[Keyslot]) -> Option<RepositoryId> {
    let all = configs.iter().map(|(_, _, id)| *id).chain(slots.iter().map(Keyslot::repository));
    let mut counts: BTreeMap<RepositoryId, usize> = BTreeMap::new();
    for id in all {
        *counts.entry(id).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(_, count)| *count).map(|(id, _)| id)
}

fn word(secret: &SlotSecret) -> &'static str {
    match secret {
        SlotSecret::Password(_) => "repository password",
        SlotSecret::Recovery(_) => "recovery key",
    }
}

type ConfigFile = (Vec<u8>, Config, RepositoryId);

fn read_configs(
    backend: &dyn Backend,
    remarks: &mut Vec<Remark>,
) -> Result<Vec<ConfigFile>, RepositoryError> {
    let mut found = Vec::new();
    let mut newer = None;
    for name in config_names() {
        let file = match backend.get(&name, CONFIG_LEN_MAX) {
            Ok(file) => file,
            Err(error) => {
                remarks.push(Remark::Copy(error.into()));
                continue;
            }
        };
        match Config::decode(&file) {
            Ok((config, id)) => found.push((file, config, id)),
            Err(ConfigError::Header(HeaderError::Format(format))) => newer = Some(format.into()),
            Err(ConfigError::Version(version)) => newer = Some(version),
            Err(_) => {
                remarks.push(Remark::Copy(copies::CopyProblem::Damaged { name: name.to_string() }));
            }
        }
    }
    match newer {
        Some(format) if found.is_empty() => Err(RepositoryError::NewerFormat(format)),
        _ => Ok(found),
    }
}

fn read_keys(
    backend: &dyn Backend,
    inventory: &Inventory,
    remarks: &mut Vec<Remark>,
) -> (Vec<Keyslot>, Vec<Vec<u8>>, usize) {
    let (mut slots, mut rings, mut unusable) = (Vec::new(), Vec::new(), 0);
    for id in inventory.ids(Room::Keys) {
        let found =
            copies::read(backend, Room::Keys, id, record_len_max(Kind::Keyring), Look::First);
        remarks.extend(found.problems.into_iter().map(|(_, problem)| Remark::Copy(problem)));
        let Some(file) = found.good else {
            unusable += 1;
            remarks.push(Remark::RecordLost { room: Room::Keys.dir(), id });
            continue;
        };
        match Header::decode(&file).map(|h| h.kind) {
            Ok(Kind::Keyring) => rings.push(file),
            _ => match Keyslot::decode(&file, None) {
                Ok(slot) => slots.push(slot),
                Err(error) => {
                    unusable += 1;
                    let why = error.to_string();
                    remarks.push(Remark::RecordUnusable { room: Room::Keys.dir(), id, why });
                }
            },
        }
    }
    (slots, rings, unusable)
}

impl Repository {
    fn read_records(mut self) -> Self {
        let mut chains = BTreeMap::new();
        let mut snapshots = Vec::new();
        let mut log = Vec::new();
        let mut lost = Vec::new();
        for (room, kind) in [(Room::Snapshots, Kind::Snapshot), (Room::Log, Kind::Log)] {
            let ids: Vec<RecordId> = self.with_inventory(|i| i.ids(room).collect());
            for id in ids {
                let Some(content) = self.read_record(room, kind, id) else {
                    lost.push(id);
                    continue;
                };
                let link = link_of(&content);
                // A number is taken also where the rest is not understood.
                if let Some(link) = &link {
                    let head = chains.entry(link.writer).or_insert((link.seq, id));
                    if link.seq > head.0 {
                        *head = (link.seq, id);
                    }
                }
                let parsed = serde_json::from_slice::<LogRecord>(&content);
                match (kind, version_of(&content), link, parsed) {
                    (Kind::Log, Some(1), _, Ok(record)) => log.push((id, record)),
                    (Kind::Snapshot, Some(1), Some(_), _) => {
                        snapshots.push(OpenedRecord { id, content });
                    }
                    (_, version, ..) => {
                        lost.push(id);
                        let why = match version {
                            Some(1) | None => "its text is not what such a record holds".to_owned(),
                            Some(v) => {
                                format!("it has version {v}, which this program does not know")
                            }
                        };
                        self.remark(Remark::RecordUnusable { room: room.dir(), id, why });
                    }
                }
            }
        }
        self.chains = Mutex::new(chains);
        self.log = Mutex::new(log);
        self.snapshots = Mutex::new(snapshots);
        let state = self.state();
        lost.retain(|id| !state.snapshots.get(id).is_some_and(|s| s.forgotten));
        lock(&self.snapshots).retain(|s| !state.snapshots.get(&s.id).is_some_and(|s| s.forgotten));
        self.lost = lost;
        self
    }

    fn read_record(&self, room: Room, kind: Kind, id: RecordId) -> Option<Vec<u8>> {
        let found =
            copies::read(self.backend.as_ref(), room, id, record_len_max(kind), Look::First);
        for (_, problem) in found.problems {
            self.remark(Remark::Copy(problem));
        }
        let Some(file) = found.good else {
            self.remark(Remark::RecordLost { room: room.dir(), id });
            return None;
        };
        match self.open_record(kind, &file) {
            Ok(content) => Some(content),
            Err(error) => {
                self.remark(Remark::RecordUnusable {
                    room: room.dir(),
                    id,
                    why: error.to_string(),
                });
                None
            }
        }
    }

    /// Brings the index to the listed packs: entries of packs that are gone or changed their length are dropped, directories of
    /// packs that it does not know are read, from segments where these have them.
    fn reconcile(&self, purpose: Purpose) -> Result<(), RepositoryError> {
        let listed = self.packs();
        let mut unknown = listed.clone();
        for (pack, file_len) in self.index.packs()? {
            if listed.get(&pack) == Some(&file_len) {
                unknown.remove(&pack);
            } else {
                self.index.forget_pack(&pack)?;
            }
        }
        let looked = unknown.len() > 2;
        if looked {
            self.learn_from_segments(&mut unknown)?;
        }
        let mut unreadable = BTreeMap::new();
        for (pack, file_len) in unknown {
            match self.read_directory(&pack, file_len) {
                Ok(entries) => self.index.insert_pack(&pack, file_len, &spots(&entries))?,
                Err(error) => {
                    self.remark(Remark::Pack { id: pack, why: error.to_string() });
                    unreadable.insert(pack, file_len);
                }
            }
        }
        // A segment still tells where the blobs of such a pack stand. Whoever writes does not build on it.
        if !looked && !unreadable.is_empty() && purpose != Purpose::Write {
            self.learn_from_segments(&mut unreadable)?;
        }
        Ok(())
    }

    /// The directory of a pack as a segment has it, for a pack that lost its own.
    #[must_use]
    pub(super) fn directory_elsewhere(
        &self,
        pack: &crate::ids::PackId,
        file_len: u64,
    ) -> Option<Vec<crate::pack::Entry>> {
        let segments: Vec<RecordId> = self.with_inventory(|i| i.segments.keys().copied().collect());
        segments.into_iter().find_map(|id| {
            let listing = self.read_segment(id).ok()?.remove(pack)?;
            (listing.file_len == file_len).then_some(listing.entries)
        })
    }

    fn learn_from_segments(
        &self,
        unknown: &mut BTreeMap<crate::ids::PackId, u64>,
    ) -> Result<(), RepositoryError> {
        let segments: Vec<RecordId> = self.with_inventory(|i| i.segments.keys().copied().collect());
        for id in segments {
            let packs = match self.read_segment(id) {
                Ok(packs) => packs,
                Err(why) => {
                    self.remark(Remark::Segment { id, why });
                    continue;
                }
            };
            for (pack, listing) in packs {
                if unknown.get(&pack) == Some(&listing.file_len) {
                    self.index.insert_pack(&pack, listing.file_len, &spots(&listing.entries))?;
                    unknown.remove(&pack);
                }
            }
        }
        Ok(())
    }

    /// Reads an index segment; the error is in words, for a remark.
    ///
    /// # Errors
    /// It cannot be read, does not open, or is none.
    pub fn read_segment(
        &self,
        id: RecordId,
    ) -> Result<BTreeMap<crate::ids::PackId, segment::PackListing>, String> {
        let file = self
            .backend
            .get(&segment_name(&id), record_len_max(Kind::Segment))
            .map_err(|e| e.to_string())?;
        if crate::ids::hash_of_file(&file) != *id.as_bytes() {
            return Err("its bytes are not what its name says".to_owned());
        }
        let key = |epoch| Ok(record_key(self.data_keys.of(epoch)?, self.id, epoch, Kind::Segment));
        let content =
            record::open(&file, Kind::Segment, self.id, key).map_err(|e| e.to_string())?;
        segment::decode(&content).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::ambient::System;
    use crate::backend::MemoryBackend;
    use crate::config::Cut;
    use crate::index::BTreeIndex;
    use crate::repository::{CreateOptions, create};
    use crate::seal::{Kdf, Password};

    const KDF: Kdf = Kdf::Argon2id { memory_kib: 64, passes: 1, lanes: 1 };

    fn made() -> Arc<dyn Backend> {
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        let password = Password::new("x").unwrap();
        let options = CreateOptions { password, kdf: KDF, cut: Cut::default(), documents: vec![] };
        create(&backend, &System, options).unwrap();
        backend
    }

    fn opened(backend: &Arc<dyn Backend>, purpose: Purpose) -> Result<Repository, RepositoryError> {
        let secret = SlotSecret::Password(Password::new("x").unwrap());
        let found = LockedRepository::find(Arc::clone(backend), Arc::new(System))?;
        found.unlock(&secret, purpose, |_| Box::new(BTreeIndex::new()))
    }

    #[test]
    fn a_record_of_an_unknown_version_is_named_and_keeps_its_number() {
        let backend = made();
        let repository = opened(&backend, Purpose::Write).unwrap();
        let json = format!(
            r#"{{"v":2,"writer":"{}","seq":7,"heads":{{}},"time":1,"what":{{"type":"pin"}}}}"#,
            "01".repeat(16)
        );
        for (room, kind) in [(Room::Log, Kind::Log), (Room::Snapshots, Kind::Snapshot)] {
            let file = repository.seal_record(kind, json.as_bytes()).unwrap();
            copies::write(backend.as_ref(), room, &file).unwrap();
        }
        let repository = opened(&backend, Purpose::Read).unwrap();
        assert!(repository.snapshots().is_empty() && repository.log().is_empty());
        assert!(repository.all_records_readable().is_err());
        assert_eq!(repository.chains().values().map(|(seq, _)| *seq).collect::<Vec<_>>(), [7]);
        let remarks = repository.take_remarks();
        let named = |remark: &Remark| remark.to_string().contains("it has version 2");
        assert_eq!(remarks.iter().filter(|remark| named(remark)).count(), 2);
    }

    fn write_configs(backend: &Arc<dyn Backend>, count: usize, change: impl Fn(&mut Vec<u8>)) {
        for name in &config_names()[..count] {
            let mut file = backend.get(name, CONFIG_LEN_MAX).unwrap();
            change(&mut file);
            backend.put_new(name, &file).unwrap();
        }
    }

    /// Puts other text of the same length into a config's file.
    fn replace(file: &mut [u8], old: &[u8], new: &[u8]) {
        let at = file.windows(old.len()).position(|part| part == old).unwrap();
        file[at..at + old.len()].copy_from_slice(new);
    }

    fn name_a_feature(file: &mut [u8]) {
        replace(file, b"\"read\":[],\"write\"", b"\"read\":[\"a\"],\"wr\"");
    }

    #[test]
    fn a_feature_in_one_copy_whose_mac_is_wrong_locks_nobody_out() {
        let backend = made();
        write_configs(&backend, 2, |file| name_a_feature(file));
        assert!(opened(&backend, Purpose::Read).unwrap().config(Purpose::Write).is_ok());
    }

    #[test]
    fn a_feature_is_refused_where_no_copy_says_otherwise() {
        let backend = made();
        write_configs(&backend, 3, |file| name_a_feature(file));
        let refused = opened(&backend, Purpose::Read).err();
        assert!(matches!(refused, Some(RepositoryError::Feature(_))), "{refused:?}");
    }

    #[test]
    fn a_feature_that_a_mac_stands_for_is_refused() {
        let backend = made();
        let repository = opened(&backend, Purpose::Read).unwrap();
        let mut config = repository.config.clone().unwrap();
        config.features.read.push("a".to_owned());
        let file = config.encode(repository.id, &repository.master);
        backend.put_new(&config_names()[2], &file).unwrap();
        write_configs(&backend, 2, |file| file.clear());
        let refused = opened(&backend, Purpose::Read).err();
        assert!(matches!(refused, Some(RepositoryError::Feature(_))), "{refused:?}");
    }

    #[test]
    fn a_config_of_another_version_is_refused_by_its_number() {
        let backend = made();
        write_configs(&backend, 3, |file| replace(file, b"{\"v\":1,", b"{\"v\":3,"));
        let refused = opened(&backend, Purpose::Read).err();
        assert!(matches!(refused, Some(RepositoryError::NewerFormat(3))), "{refused:?}");
    }
}
