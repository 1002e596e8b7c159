//! Removing what nothing needs any more: planned first, then applied.
//!
//! Invariant: what is needed stands in new, durable packs before an old one goes; packs that cannot be read are never deleted;
//! nothing at all is deleted while anything needed is missing. Which blobs are needed is for the caller to say.

use std::collections::hash_map::Entry as MapEntry;
use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ids::{BlobId, PackId, RecordId};
use crate::layout::{DRAFTS, Inventory, Room, copy_dirs, pack_name};
use crate::pack::{Entry, PackType};
use crate::repository::{FetchError, Repository, RepositoryError};
use crate::seal::BlobType;
use crate::segment::PackListing;
use crate::session::{Session, SessionError};

/// What will be done, and what it brings.
#[derive(Debug, Default)]
pub struct SweepPlan {
    /// Packs of which nothing is needed.
    pub delete: Vec<PackId>,
    /// Packs whose needed blobs are stored anew before they go.
    pub repack: Vec<PackId>,
    /// Packs whose directory cannot be read; they stay.
    pub unreadable: Vec<PackId>,
    /// Bytes of packs that go.
    pub delete_len: u64,
    /// Bytes that are written anew.
    pub rewrite_len: u64,
    /// Bytes in packs that stay although nothing needs them: moving them would cost more than it frees.
    pub unused_left_len: u64,
    kept: BTreeMap<PackId, PackListing>,
    moves: HashMap<PackId, Vec<Entry>>,
}

impl SweepPlan {
    /// Bytes that will be free afterwards, about.
    #[must_use]
    pub fn freed_len(&self) -> u64 {
        self.delete_len.saturating_sub(self.rewrite_len)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.delete.is_empty() && self.repack.is_empty()
    }
}

/// Why nothing is removed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Something needed is missing.
    #[error(
        "{count} pieces that snapshots need are missing or cannot be read: nothing is deleted while that is so"
    )]
    Missing {
        /// How many.
        count: usize,
    },
    /// A draft that was not there when the repository was opened.
    #[error("somebody else began to back up a phone meanwhile: nothing is deleted")]
    NewDraft,
    /// A folder could not be listed, so nobody knows what is in it.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A blob that must move cannot be read.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Writing.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// Storage.
    #[error(transparent)]
    Backend(#[from] crate::backend::BackendError),
    /// The index on the host.
    #[error(transparent)]
    Index(#[from] crate::index::IndexError),
    /// The caller asked to stop. What is half done costs space only.
    #[error("stopped")]
    Stopped,
}

/// Finds out what can go, when `needed` are the blobs that must stay.
///
/// `unused_share_max`: how much of all packs may stay unused, 0.05 for 5 %.
///
/// # Errors
/// Something needed stands in no pack, or the drive cannot be listed.
pub fn plan(
    repository: &Repository,
    needed: &HashSet<BlobId>,
    unused_share_max: f64,
) -> Result<SweepPlan, SweepError> {
    everything_was_listed(repository)?;
    let mut plan = SweepPlan::default();
    let mut directories = BTreeMap::new();
    for (pack, file_len) in repository.packs() {
        match repository.read_directory(&pack, file_len) {
            Ok(entries) => drop(directories.insert(pack, (file_len, entries))),
            Err(_) => plan.unreadable.push(pack),
        }
    }
    let keepers = keepers(repository, needed, &directories);
    let missing = needed.len() - keepers.len();
    if missing > 0 {
        return Err(SweepError::Missing { count: missing });
    }
    let mut partly: Vec<(u64, u64, PackId)> = Vec::new();
    let mut total_len = 0;
    for (pack, (file_len, entries)) in directories {
        total_len += file_len;
        let is_used = |e: &&Entry| keepers.get(&e.id) == Some(&pack);
        let used: Vec<Entry> = entries.iter().filter(is_used).copied().collect();
        let len = |entries: &[Entry]| entries.iter().map(|e| u64::from(e.sealed_len)).sum::<u64>();
        let (all_len, used_len) = (len(&entries), len(&used));
        let pack_type = entries.first().map_or(PackType::Data, |e| PackType::for_blob(e.blob_type));
        if used.is_empty() {
            plan.delete.push(pack);
            plan.delete_len += file_len;
            continue;
        }
        if used_len < all_len {
            partly.push((all_len - used_len, used_len, pack));
        }
        plan.moves.insert(pack, used);
        plan.kept.insert(pack, PackListing { file_len, pack_type, entries });
    }
    choose_repacks(&mut plan, partly, total_len, unused_share_max);
    Ok(plan)
}

/// That the drive shows no pack folder or record that was not seen at opening: what could not be listed then, or was
/// written since, may need anything.
fn everything_was_listed(repository: &Repository) -> Result<(), SweepError> {
    let backend = repository.backend();
    let list = |dir: &str| backend.list(dir)?.complete(&backend.location());
    list("packs")?;
    let mut unknown = Vec::new();
    for room in [Room::Snapshots, Room::Log] {
        for dir in copy_dirs(room) {
            let listed = Inventory::sort(&list(&dir)?);
            let is_known =
                |key: &(Room, RecordId)| repository.with_inventory(|i| i.rooms.contains_key(key));
            unknown.extend(listed.rooms.into_keys().filter(|key| !is_known(key)).map(|(_, id)| id));
        }
    }
    let drafts = Inventory::sort(&list(DRAFTS)?).drafts;
    if drafts.keys().any(|draft| !repository.with_inventory(|i| i.drafts.contains_key(draft))) {
        return Err(SweepError::NewDraft);
    }
    match unknown.first() {
        None => Ok(()),
        Some(first) => {
            Err(RepositoryError::Unreadable { count: unknown.len(), first: *first }.into())
        }
    }
}

type Directories = BTreeMap<PackId, (u64, Vec<Entry>)>;

/// For each needed blob the pack whose copy stays. Where several packs have it, the first copy that opens: the others
/// are about to go, and one of them may be the only good one.
fn keepers(
    repository: &Repository,
    needed: &HashSet<BlobId>,
    directories: &Directories,
) -> HashMap<BlobId, PackId> {
    let mut keepers = HashMap::with_capacity(needed.len());
    let mut doubtful: BTreeMap<BlobId, Vec<(PackId, Entry)>> = BTreeMap::new();
    for (pack, (_, entries)) in directories {
        for entry in entries.iter().filter(|e| needed.contains(&e.id)) {
            match keepers.entry(entry.id) {
                MapEntry::Vacant(vacant) => drop(vacant.insert(*pack)),
                MapEntry::Occupied(_) => {
                    doubtful.entry(entry.id).or_default().push((*pack, *entry))
                }
            }
        }
    }
    for (id, others) in doubtful {
        let first = keepers.get(&id).and_then(|pack| {
            let (_, entries) = directories.get(pack)?;
            Some((*pack, *entries.iter().find(|e| e.id == id)?))
        });
        let mut copies = first.into_iter().chain(others);
        if let Some((pack, _)) = copies.find(|(pack, entry)| repository.opens(pack, entry)) {
            keepers.insert(id, pack);
        }
    }
    keepers
}

/// Most wasteful packs first, until little enough is unused.
fn choose_repacks(
    plan: &mut SweepPlan,
    mut partly: Vec<(u64, u64, PackId)>,
    total_len: u64,
    share: f64,
) {
    partly.sort_by(|a, b| (b.0 * a.1.max(1)).cmp(&(a.0 * b.1.max(1))).then(a.2.cmp(&b.2)));
    let mut unused: u64 = partly.iter().map(|p| p.0).sum();
    for (unused_len, used_len, pack) in partly {
        #[expect(clippy::cast_precision_loss, reason = "a share of a drive, in per cent")]
        let enough = unused as f64 <= total_len as f64 * share;
        if enough {
            break;
        }
        unused -= unused_len;
        plan.repack.push(pack);
        plan.rewrite_len += used_len;
        plan.delete_len += plan.kept.get(&pack).map_or(0, |p| p.file_len);
        plan.kept.remove(&pack);
    }
    plan.unused_left_len = unused;
    plan.moves.retain(|pack, _| plan.repack.contains(pack));
}

/// Does what was planned. `progress` is told bytes moved.
///
/// # Errors
/// A blob cannot be moved, or something cannot be written or deleted. Whatever was done so far is whole.
pub fn apply(
    repository: &Repository,
    plan: SweepPlan,
    progress: &dyn Fn(u64),
    stop: &dyn Fn() -> bool,
) -> Result<(), SweepError> {
    let mut kept = plan.kept;
    // Nothing needs these: they go first, so that a full drive has room for what moves.
    remove(repository, &plan.delete, stop)?;
    if !plan.repack.is_empty() {
        let before = repository.packs();
        let session = Session::begin(repository, None)?;
        for pack in &plan.repack {
            for entry in plan.moves.get(pack).into_iter().flatten() {
                if stop() {
                    return Err(SweepError::Stopped);
                }
                let plain = repository.blob(&entry.id, entry.blob_type)?;
                session.put_again(entry.blob_type, plain)?;
                progress(u64::from(entry.sealed_len));
            }
        }
        session.settle()?;
        for (pack, file_len) in repository.packs() {
            if !before.contains_key(&pack) {
                let entries = repository.read_directory(&pack, file_len)?;
                let pack_type =
                    entries.first().map_or(PackType::Data, |e| PackType::for_blob(e.blob_type));
                kept.insert(pack, PackListing { file_len, pack_type, entries });
            }
        }
    }
    remove(repository, &plan.repack, stop)?;
    rewrite_segments(repository, kept)
}

fn remove(
    repository: &Repository,
    packs: &[PackId],
    stop: &dyn Fn() -> bool,
) -> Result<(), SweepError> {
    for pack in packs {
        if stop() {
            break;
        }
        // The index first: a hit must never be answered with a pack that is going.
        repository.index().forget_pack(pack)?;
        repository.backend().delete(&pack_name(pack))?;
        repository.with_inventory(|i| i.packs.remove(pack));
    }
    Ok(repository.backend().barrier()?)
}

/// Segments are derived: on a full drive they may be left as they are, for entries of packs that are gone are ignored.
fn rewrite_segments(
    repository: &Repository,
    kept: BTreeMap<PackId, PackListing>,
) -> Result<(), SweepError> {
    let old: Vec<RecordId> = repository.with_inventory(|i| i.segments.keys().copied().collect());
    match repository.put_segments(kept) {
        Ok(()) => {}
        Err(SessionError::Write(crate::backend::BackendError::NoSpace { .. })) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    repository.backend().barrier()?;
    let new: Vec<RecordId> = repository.with_inventory(|i| i.segments.keys().copied().collect());
    let gone: Vec<RecordId> =
        if new.len() > old.len() || new.is_empty() { old } else { Vec::new() };
    repository.delete_segments(&gone)?;
    repository.backend().barrier()?;
    repository.index().flush()?;
    Ok(())
}

/// The blob that holds the copy of a snapshot's record.
#[must_use]
pub fn record_blob(repository: &Repository, file: &[u8]) -> BlobId {
    repository.id_keys().blob_id(BlobType::Record, file)
}
