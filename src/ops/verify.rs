//! Is the archive sound, and would its snapshots come back?
//!
//! Invariant: verify writes nothing; every damage it finds is named with the snapshots and files that it hits. "Sound" is said
//! only of what was looked at, and the report says what that was.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;

use rayon::prelude::*;
use russet_store::config::{CONFIG_LEN_MAX, Purpose};
use russet_store::copies::{self, Look};
use russet_store::header::Kind;
use russet_store::ids::{BlobId, PackId};
use russet_store::layout::{DRAFTS, Room, config_names, draft_name, pack_name};
use russet_store::record::record_len_max;
use russet_store::repository::{FetchError, Repository, RepositoryError};

use super::restore::chain;
use crate::observe::{Observer, Phase, counted};
use crate::snapshot::walk::{TreeError, visit_chunks};
use crate::snapshot::{Snapshot, TreeWalk, What, record};

/// How deep to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Names, lengths, directories, records, trees; every blob stands in a pack.
    Structure,
    /// And every byte of every pack is read and opened.
    ReadData,
}

/// A damage and whom it hits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file of the repository, or the blob.
    pub what: String,
    /// What is wrong.
    pub why: String,
    /// Whether anything is lost by it, or it heals by itself at the next write.
    pub heals: bool,
}

/// A snapshot that would not come back whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// Short id.
    pub snapshot: String,
    /// Phone.
    pub device: String,
    /// When, Unix seconds.
    pub time: i64,
    /// Where it came from, as its record says.
    pub kind: String,
    /// The first files, as a person knows them.
    pub files: Vec<String>,
    /// How many files.
    pub file_count: u64,
    /// Parts of the listing that cannot be read.
    pub listing_count: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Snapshots looked at.
    pub snapshot_count: u64,
    /// Packs looked at.
    pub pack_count: u64,
    /// Blobs in them.
    pub blob_count: u64,
    /// Bytes read.
    pub read_len: u64,
    /// Damage.
    pub damages: Vec<Damage>,
    /// Snapshots that it hits.
    pub hits: Vec<Hit>,
    /// Names that are not ours.
    pub foreign_count: u64,
}

impl Report {
    /// Whether nothing is damaged.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damages.is_empty() && self.hits.is_empty()
    }
}

const FILE_COUNT_SHOWN: usize = 20;

/// Looks at the whole repository.
///
/// # Errors
/// The repository must not be checked by this program, or the host's index cannot be used.
pub fn verify(
    repository: &Repository,
    depth: Depth,
    observer: &dyn Observer,
) -> Result<Report, RepositoryError> {
    if let Err(error @ RepositoryError::Feature(_)) = repository.config(Purpose::Check) {
        return Err(error);
    }
    let mut report = Report { foreign_count: repository.foreign_count(), ..Report::default() };
    small_files(repository, &mut report);
    drafts(repository, &mut report);
    let vanished = segments(repository, &mut report);
    let bad = packs(repository, depth, observer, &mut report)?;
    let known = snapshots(repository, &bad, observer, &mut report);
    for (pack, blobs) in vanished {
        if blobs.iter().any(|blob| known.get(blob) == Some(&false)) {
            report.damages.push(damage(pack_name(&pack), "is missing", false));
        }
    }
    Ok(report)
}

fn damage(what: impl ToString, why: impl ToString, heals: bool) -> Damage {
    Damage { what: what.to_string(), why: why.to_string(), heals }
}

/// Unfinished backups of phones: no snapshot needs them, but nothing is pruned while one cannot be read.
fn drafts(repository: &Repository, report: &mut Report) {
    let why = "an unfinished backup of a phone that cannot be read; `russet prune --drop-drafts` gives it up";
    let (checkpoints, lost) = repository.drafts();
    let newest = repository.with_inventory(|i| i.drafts.clone());
    for draft in lost {
        report.damages.push(damage(format!("{DRAFTS}/{draft}"), why, false));
    }
    for checkpoint in checkpoints {
        let numbers = newest.get(&checkpoint.draft).into_iter().flat_map(|n| n.keys());
        for number in numbers.filter(|number| **number > checkpoint.number) {
            let name = draft_name(&checkpoint.draft, *number);
            report.damages.push(damage(name, "does not open; an earlier one counts", true));
        }
    }
}

fn small_files(repository: &Repository, report: &mut Report) {
    let backend = repository.backend().as_ref();
    let state = repository.state();
    let rooms: Vec<_> = repository.with_inventory(|i| i.rooms.keys().copied().collect());
    for (room, id) in rooms {
        let gone = state.revoked_keyslots.contains(&id)
            || state.snapshots.get(&id).is_some_and(|s| s.forgotten)
            || state.forgotten_secrets.contains(&id);
        if gone {
            continue;
        }
        let found = copies::read(backend, room, id, record_len_max(Kind::Log), Look::All);
        let heals = found.good.is_some();
        for (name, problem) in &found.problems {
            report.damages.push(damage(name, problem, heals));
        }
        if room == Room::Secrets && !heals {
            let why = "no copy is good: an iPhone backup password that was kept is lost, and nothing else with it";
            report.damages.push(damage(format!("{}/{id}", room.dir()), why, false));
        }
        let opens = match (&found.good, room) {
            (None, _) | (_, Room::Keys) => Ok(()),
            (Some(file), Room::Snapshots) => repository.open_record(Kind::Snapshot, file).map(drop),
            (Some(file), Room::Log) => repository.open_record(Kind::Log, file).map(drop),
            (Some(file), Room::Secrets) => repository.open_record(Kind::Secret, file).map(drop),
        };
        if let Err(error) = opens {
            report.damages.push(damage(format!("{}/{id}", room.dir()), error, false));
        }
        report.read_len += found.good.map_or(0, |f| f.len() as u64 * 3);
    }
    let (_, odd) = record::all(repository);
    for id in odd {
        report.damages.push(damage(
            format!("snapshots/{id}"),
            "its text is not a snapshot's",
            false,
        ));
    }
    for id in repository.missing_links() {
        report.damages.push(damage(
            format!("record {id}"),
            "is named by another record and is not there",
            false,
        ));
    }
    let files: Vec<_> = config_names()
        .iter()
        .map(|name| (name.clone(), backend.get(name, CONFIG_LEN_MAX)))
        .collect();
    let heals = repository.config(Purpose::Read).is_ok();
    for (name, file) in files {
        match file {
            Ok(file) if repository.is_our_config(&file) => {}
            Ok(_) => report.damages.push(damage(name, "was changed after it was written", heals)),
            Err(error) => report.damages.push(damage(name, error, heals)),
        }
    }
}

/// Looks at the segments. Gives the packs that they name and that are not there, with what was in them: pruned ones,
/// mostly, and those that something removed.
fn segments(repository: &Repository, report: &mut Report) -> BTreeMap<PackId, Vec<BlobId>> {
    let ids: Vec<_> = repository.with_inventory(|i| i.segments.keys().copied().collect());
    let listed = repository.packs();
    let mut vanished = BTreeMap::new();
    for id in ids {
        match repository.read_segment(id) {
            Ok(packs) => vanished.extend(packs.into_iter().filter_map(|(pack, listing)| {
                let blobs = || listing.entries.iter().map(|entry| entry.id).collect();
                (!listed.contains_key(&pack)).then(|| (pack, blobs()))
            })),
            Err(why) => report.damages.push(damage(format!("index/{id}"), why, true)),
        }
    }
    vanished
}

/// What is wrong with blobs, and blobs of packs that cannot be used.
type Bad = HashMap<BlobId, String>;

fn packs(
    repository: &Repository,
    depth: Depth,
    observer: &dyn Observer,
    report: &mut Report,
) -> Result<Bad, RepositoryError> {
    let packs: Vec<(PackId, u64)> = repository.packs().into_iter().collect();
    let total = if depth == Depth::ReadData { packs.iter().map(|(_, len)| len).sum() } else { 0 };
    observer.begin(Phase::CheckingPacks, total, packs.len() as u64);
    let found = Mutex::new((Vec::new(), Vec::new(), 0u64, 0u64));
    let add = |pack: &PackId, why: String, bad: Vec<(BlobId, String)>, blobs: u64, len: u64| {
        if let Ok(mut found) = found.lock() {
            if !why.is_empty() {
                found.0.push(damage(pack_name(pack), why, false));
            }
            for (blob, why) in bad {
                found.0.push(damage(format!("blob {blob} in {}", pack_name(pack)), &why, false));
                found.1.push((*pack, blob, why));
            }
            found.2 += blobs;
            found.3 += len;
        }
    };
    packs.par_iter().for_each(|(pack, len)| {
        match depth {
            Depth::Structure => match repository.read_directory(pack, *len) {
                Ok(entries) => add(pack, String::new(), Vec::new(), entries.len() as u64, 0),
                Err(error) => add(pack, chain(&error), Vec::new(), 0, 0),
            },
            Depth::ReadData => match repository.check_pack(pack) {
                Ok(check) => {
                    let why = match &check.directory_problem {
                        Some(problem) => {
                            format!("{problem}; an index segment still has its directory")
                        }
                        None if check.name_is_right => String::new(),
                        None => "its bytes are not what its name says".to_owned(),
                    };
                    let bad = check.bad.iter().map(|(id, e)| (*id, chain(e))).collect();
                    add(pack, why, bad, check.entries.len() as u64, check.file_len);
                }
                Err(error) => {
                    add(pack, chain(&error), Vec::new(), 0, 0);
                    // Whatever the index knows of it cannot be relied upon.
                    let _ = repository.index().forget_pack(pack);
                }
            },
        }
        observer.advance(if depth == Depth::ReadData { *len } else { 0 }, 1);
    });
    let (mut damages, blobs, blob_count, read_len) = found.into_inner().unwrap_or_default();
    damages.sort_by(|a, b| a.what.cmp(&b.what));
    report.pack_count = packs.len() as u64;
    report.blob_count = blob_count;
    report.read_len += read_len;
    report.damages.extend(damages);
    let mut copies: HashMap<BlobId, (HashSet<PackId>, String)> = HashMap::new();
    for (pack, blob, why) in blobs {
        let entry = copies.entry(blob).or_default();
        entry.0.insert(pack);
        entry.1 = why;
    }
    let mut bad = Bad::new();
    for (blob, (in_packs, why)) in copies {
        let places = repository.index().lookup(&blob)?;
        if places.iter().all(|place| in_packs.contains(&place.pack)) {
            bad.insert(blob, why);
        }
    }
    Ok(bad)
}

/// Whether a blob can be had, of those that were asked for.
type Known = BTreeMap<BlobId, bool>;

fn snapshots(
    repository: &Repository,
    bad: &Bad,
    observer: &dyn Observer,
    report: &mut Report,
) -> Known {
    let (snapshots, _) = record::all(repository);
    observer.begin(Phase::CheckingSnapshots, 0, snapshots.len() as u64);
    let mut known = Known::new();
    for snapshot in &snapshots {
        let hit = check_snapshot(repository, snapshot, bad, &mut known);
        if hit.file_count > 0 || hit.listing_count > 0 {
            observer.problem(
                &format!("snapshot {} of {}", hit.snapshot, hit.device),
                &format!(
                    "{} and {} of its listing would not come back",
                    counted(hit.file_count, "file"),
                    counted(hit.listing_count, "part"),
                ),
            );
            report.hits.push(hit);
        }
        report.snapshot_count += 1;
        observer.advance(0, 1);
    }
    known
}

fn check_snapshot(
    repository: &Repository,
    snapshot: &Snapshot,
    bad: &Bad,
    known: &mut Known,
) -> Hit {
    let mut hit = Hit {
        snapshot: snapshot.short_id(),
        device: snapshot.device_name().to_owned(),
        time: snapshot.record.backup_time,
        kind: snapshot.record.kind.clone(),
        files: Vec::new(),
        file_count: 0,
        listing_count: 0,
    };
    let mut stored = HashSet::new();
    for entry in TreeWalk::new(repository, snapshot.record.tree) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                if let TreeError::Fetch(FetchError::Missing(id)) = error {
                    known.insert(id, false);
                }
                hit.listing_count += 1;
                continue;
            }
        };
        let once = stored.insert(*blake3::hash(&entry.stored_path).as_bytes());
        let sound = match &entry.what {
            What::File(content) => {
                let mut good = true;
                let mut visit = |id: BlobId, blob_type| -> Result<(), TreeError> {
                    let there = *known.entry(id).or_insert_with(|| {
                        !bad.contains_key(&id) && repository.has(&id, blob_type).unwrap_or(false)
                    });
                    good &= there;
                    Ok(())
                };
                visit_chunks(repository, content, &mut visit).is_ok() && good
            }
            What::Directory | What::Link { .. } => true,
        };
        if !sound || !once {
            hit.file_count += 1;
            if hit.files.len() < FILE_COUNT_SHOWN {
                let path = super::list::shown_path(&entry);
                hit.files.push(String::from_utf8_lossy(&path).escape_debug().to_string());
            }
        }
    }
    hit
}
