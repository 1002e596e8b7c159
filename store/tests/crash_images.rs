//! A power cut, a full drive or a lost connection at every single call that a writer makes.
//!
//! Invariant: whatever the moment, the repository opens afterwards; every snapshot whose commit was reported is there
//! whole; a record that can be seen never names a blob that cannot be read; and the next writer can finish.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the message")]

use std::collections::HashSet;
use std::sync::Arc;

use russet_store::ambient::Ambient;
use russet_store::backend::{Backend, MemoryBackend};
use russet_store::config::Purpose;
use russet_store::ids::{BlobId, RecordId, WriterId};
use russet_store::log::{Link, Said};
use russet_store::repository::Repository;
use russet_store::seal::BlobType;
use russet_store::session::Session;
use russet_store::sweep;
use russet_testkit::Random;
use russet_testkit::faults::{Fault, FaultBackend};
use russet_testkit::repository::{Seeded, create_quick, open_quick};
use serde::{Deserialize, Serialize};

const WRITER: WriterId = WriterId::decode([7; 16]);
const FAULTS: [Fault; 3] = [Fault::Io, Fault::NoSpace, Fault::Disconnected];

/// The smallest snapshot: its link and the blobs it needs.
#[derive(Serialize, Deserialize)]
struct Content {
    v: u32,
    #[serde(flatten)]
    link: Link,
    blobs: Vec<BlobId>,
}

type Broken = String;

fn soak() -> bool {
    std::env::var_os("RUSSET_SOAK").is_some()
}

/// How many crash images are looked at for each moment.
fn image_count() -> u64 {
    if soak() { 64 } else { 6 }
}

/// The bytes of blob `number`: noise, so that packs have the length of what is in them.
fn plaintext(number: u64) -> Vec<u8> {
    let mut bytes = vec![0; 3000 + usize::try_from(number % 7).unwrap() * 500];
    Random::of_parts(&[99, number]).fill(&mut bytes);
    bytes
}

fn open(memory: &Arc<MemoryBackend>, ambient: &Arc<dyn Ambient>) -> Result<Repository, Broken> {
    let backend: Arc<dyn Backend> = memory.clone();
    open_quick(&backend, ambient, Purpose::Write).map_err(|error| format!("does not open: {error}"))
}

/// Stores the blobs in three packs and commits a snapshot that needs them.
fn back_up(
    repository: &Repository,
    numbers: impl Iterator<Item = u64>,
) -> Result<RecordId, Box<dyn std::error::Error>> {
    let session = Session::begin(repository, None)?;
    let mut blobs = Vec::new();
    for (at, number) in numbers.enumerate() {
        blobs.push(session.put(BlobType::Data, plaintext(number))?);
        if at == 2 || at == 5 {
            session.settle()?;
        }
    }
    let content = Content { v: 1, link: repository.next_link(WRITER), blobs };
    let json = serde_json::to_vec(&content)?;
    Ok(session.commit(json, |check| check(&content.blobs))?)
}

/// Every snapshot that can be seen, after reading every blob that it names.
fn whole_snapshots(repository: &Repository) -> Result<HashSet<RecordId>, Broken> {
    let mut whole = HashSet::new();
    for snapshot in repository.snapshots() {
        let content: Content = serde_json::from_slice(&snapshot.content).unwrap();
        for blob in &content.blobs {
            let read = repository.blob(blob, BlobType::Data);
            read.map_err(|error| format!("snapshot {} lost a blob: {error}", snapshot.id))?;
        }
        whole.insert(snapshot.id);
    }
    checkpoint_blobs(repository)?;
    repository.all_records_readable().map_err(|error| error.to_string())?;
    match repository.missing_links().first() {
        Some(link) => Err(format!("record {link} is missing")),
        None => Ok(whole),
    }
}

/// How many blobs the newest checkpoint of the only draft names, after reading every one of them; 0: there is no draft.
fn checkpoint_blobs(repository: &Repository) -> Result<usize, Broken> {
    let (drafts, lost) = repository.drafts();
    let Some(newest) = drafts.first() else { return Ok(0) };
    if drafts.len() + lost.len() != 1 {
        return Err(format!("{} drafts, and {} that do not open", drafts.len(), lost.len()));
    }
    let blobs: Vec<BlobId> = serde_json::from_slice(&newest.content).unwrap();
    for blob in &blobs {
        let read = repository.blob(blob, BlobType::Data);
        read.map_err(|error| format!("checkpoint {} lost a blob: {error}", newest.number))?;
    }
    Ok(blobs.len())
}

/// A repository with two snapshots that share blobs, all of it durable.
fn base(ambient: &Arc<dyn Ambient>) -> (MemoryBackend, [RecordId; 2]) {
    let memory = Arc::new(MemoryBackend::new());
    let backend: Arc<dyn Backend> = memory.clone();
    create_quick(&backend, ambient.as_ref(), Vec::new()).unwrap();
    let repository = open(&memory, ambient).unwrap();
    let first = back_up(&repository, 0..9).unwrap();
    let second = back_up(&repository, 4..14).unwrap();
    (memory.crash(0), [first, second])
}

type Work<'a> = dyn Fn(&Repository) -> Result<Vec<RecordId>, Box<dyn std::error::Error>> + 'a;

/// What a test lets go wrong, and what must hold afterwards.
struct Cut<'a> {
    base: &'a MemoryBackend,
    ambient: &'a Arc<dyn Ambient>,
    /// Does the work; gives the snapshots that are promised once it has returned Ok.
    work: &'a Work<'a>,
    /// Promised whatever happens.
    promised: &'a [RecordId],
}

impl Cut<'_> {
    /// Lets every call fail in turn, in every way, and looks at what is left after a power cut at that moment.
    fn at_every_call(&self) -> u64 {
        let mut moments = 0;
        for fault in FAULTS {
            for n in 0.. {
                let memory = Arc::new(self.base.crash(0));
                let faulty = Arc::new(FaultBackend::new(memory.clone()));
                let backend: Arc<dyn Backend> = faulty.clone();
                let repository = open_quick(&backend, self.ambient, Purpose::Write).unwrap();
                let opening = faulty.call_count();
                drop(repository);
                let faulty =
                    Arc::new(FaultBackend::new(memory.clone()).fail_at(opening + n, fault));
                let backend: Arc<dyn Backend> = faulty.clone();
                let repository = open_quick(&backend, self.ambient, Purpose::Write).unwrap();
                let result = (self.work)(&repository);
                let mut promised: HashSet<RecordId> = self.promised.iter().copied().collect();
                let reported = result.is_ok();
                promised.extend(result.unwrap_or_default());
                drop(repository);
                let images = (0..image_count()).map(|seed| memory.crash(seed ^ (n << 8)));
                for image in images.chain([copy(&memory)]) {
                    self.check(image, &promised)
                        .unwrap_or_else(|why| panic!("{fault:?} at call {n}: {why}"));
                    moments += 1;
                }
                if !faulty.is_fired() {
                    assert!(reported, "failed though nothing went wrong");
                    break;
                }
            }
        }
        moments
    }

    fn check(&self, image: MemoryBackend, promised: &HashSet<RecordId>) -> Result<(), Broken> {
        let image = Arc::new(image);
        let repository = open(&image, self.ambient)?;
        let whole = whole_snapshots(&repository)?;
        if let Some(lost) = promised.difference(&whole).next() {
            return Err(format!("snapshot {lost} is gone"));
        }
        // What a writer does before it begins, and then a whole run.
        repository.mend().map_err(|error| error.to_string())?;
        repository.mend_segments().map_err(|error| error.to_string())?;
        let next = back_up(&repository, 2..20).map_err(|e| format!("the next run failed: {e}"))?;
        let image = Arc::new(image.crash(1));
        let again = whole_snapshots(&open(&image, self.ambient)?)?;
        if !again.contains(&next) || !again.is_superset(&whole) {
            return Err("the next run lost a snapshot".to_owned());
        }
        Ok(())
    }
}

/// The files as a process that lives on sees them.
fn copy(memory: &MemoryBackend) -> MemoryBackend {
    let copy = MemoryBackend::new();
    for file in memory.list("").unwrap().files {
        let name = russet_store::backend::Name::parse(&file.name).unwrap();
        copy.plant(&file.name, &memory.get(&name, u64::MAX).unwrap());
    }
    copy
}

#[test]
fn a_backup_cut_at_any_call_costs_no_finished_snapshot() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(1));
    let (base, promised) = base(&ambient);
    let work = |repository: &Repository| Ok(vec![back_up(repository, 8..22)?]);
    let cut = Cut { base: &base, ambient: &ambient, work: &work, promised: &promised };
    let moments = cut.at_every_call();
    assert!(moments > 200, "{moments} moments only: the calls were not reached");
}

#[test]
fn a_draft_cut_at_any_call_is_one_of_its_checkpoints() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(5));
    let (base, promised) = base(&ambient);
    let repository = open(&Arc::new(base.crash(0)), &ambient).unwrap();
    let draft = repository.new_draft().unwrap();
    drop(repository);
    let work = |repository: &Repository| {
        let session = Session::begin(repository, None)?;
        let mut blobs = Vec::new();
        for number in 30..36 {
            blobs.push(session.put(BlobType::Data, plaintext(number))?);
            if number % 2 == 1 {
                session.settle()?;
                repository.put_checkpoint(draft, &serde_json::to_vec(&blobs)?)?;
            }
        }
        repository.remove_draft(draft)?;
        Ok(Vec::new())
    };
    let cut = Cut { base: &base, ambient: &ambient, work: &work, promised: &promised };
    assert!(cut.at_every_call() > 100);
}

#[test]
fn the_newest_checkpoint_of_a_draft_counts_until_the_draft_is_removed() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(7));
    let memory = Arc::new(base(&ambient).0);
    let repository = open(&memory, &ambient).unwrap();
    let draft = repository.new_draft().unwrap();
    for (number, content) in [(1, b"[1]"), (2, b"[2]"), (3, b"[3]")] {
        assert_eq!(repository.put_checkpoint(draft, content).unwrap(), number);
    }
    let seen = |repository: &Repository| {
        repository
            .drafts()
            .0
            .into_iter()
            .map(|c| (c.draft, c.number, c.content))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&repository), [(draft, 3, b"[3]".to_vec())]);
    assert_eq!(seen(&open(&memory, &ambient).unwrap()), [(draft, 3, b"[3]".to_vec())]);
    repository.remove_draft(draft).unwrap();
    assert_eq!(seen(&repository), []);
    assert_eq!(seen(&open(&memory, &ambient).unwrap()), []);
    assert!(memory.list("drafts").unwrap().files.is_empty());
}

#[test]
fn nothing_is_swept_while_another_draft_has_appeared() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(6));
    let (memory, _) = base(&ambient);
    let memory = Arc::new(memory);
    let [ours, theirs] = [(); 2].map(|()| open(&memory, &ambient).unwrap());
    theirs.put_checkpoint(theirs.new_draft().unwrap(), b"[]").unwrap();
    let refused = sweep::plan(&ours, &HashSet::new(), 0.0);
    assert!(matches!(refused, Err(sweep::SweepError::NewDraft)), "{refused:?}");
    assert!(sweep::plan(&theirs, &HashSet::new(), 0.0).is_ok());
}

#[test]
fn a_record_said_later_and_cut_at_any_call_costs_nothing() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(2));
    let (base, promised) = base(&ambient);
    let work = |repository: &Repository| {
        repository.append(WRITER, Said::Pin { snapshot: promised[0], on: true })?;
        Ok(Vec::new())
    };
    let cut = Cut { base: &base, ambient: &ambient, work: &work, promised: &promised };
    assert!(cut.at_every_call() > 20);
}

#[test]
fn forgetting_and_pruning_cut_at_any_call_cost_nothing_that_is_kept() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(3));
    let (base, promised) = base(&ambient);
    let [gone, kept] = promised;
    let work = |repository: &Repository| {
        repository.append(WRITER, Said::Forgotten { snapshot: gone })?;
        repository.delete_snapshot(gone)?;
        sweep_all(repository)?;
        Ok(vec![kept])
    };
    let promised = [kept];
    let cut = Cut { base: &base, ambient: &ambient, work: &work, promised: &promised };
    assert!(cut.at_every_call() > 100);
}

/// Prunes until nothing unused is left.
fn sweep_all(repository: &Repository) -> Result<(), Box<dyn std::error::Error>> {
    let needed: HashSet<BlobId> = repository
        .snapshots()
        .iter()
        .flat_map(|s| serde_json::from_slice::<Content>(&s.content).unwrap().blobs)
        .collect();
    let plan = sweep::plan(repository, &needed, 0.0)?;
    assert!(!plan.is_empty(), "there is nothing to prune, so the test shows nothing");
    Ok(sweep::apply(repository, plan, &|_| (), &|| false)?)
}

#[test]
fn a_sweep_keeps_the_good_one_of_two_copies() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(4));
    for flipped in 0..2 {
        let memory = Arc::new(MemoryBackend::new());
        let backend: Arc<dyn Backend> = memory.clone();
        create_quick(&backend, ambient.as_ref(), Vec::new()).unwrap();
        let repository = open(&memory, &ambient).unwrap();
        let snapshot = back_up(&repository, 0..2).unwrap();
        let before = repository.packs();
        let again = Session::begin(&repository, None).unwrap();
        for number in 0..2 {
            again.put_again(BlobType::Data, plaintext(number)).unwrap();
        }
        again.settle().unwrap();
        let data_packs: Vec<_> = repository
            .packs()
            .into_iter()
            .filter(|(id, len)| {
                let entries = repository.read_directory(id, *len).unwrap();
                entries.iter().all(|entry| entry.blob_type == BlobType::Data)
            })
            .collect();
        assert_eq!((data_packs.len(), before.len()), (2, 2));
        // Data begins at byte 96: the first blob of one of the two packs is damaged.
        let name = russet_store::layout::pack_name(&data_packs[flipped].0);
        let mut bytes = memory.get(&name, u64::MAX).unwrap();
        bytes[200] ^= 1;
        memory.plant(name.as_str(), &bytes);
        let repository = open(&memory, &ambient).unwrap();
        sweep_all(&repository).unwrap();
        let repository = open(&memory, &ambient).unwrap();
        let whole = whole_snapshots(&repository).unwrap_or_else(|why| panic!("{why}"));
        assert!(whole.contains(&snapshot));
    }
}

#[test]
fn a_record_that_was_not_seen_at_opening_stops_a_sweep() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(5));
    let (base, [gone, _]) = base(&ambient);
    let memory = Arc::new(base);
    let repository = open(&memory, &ambient).unwrap();
    let other = open(&memory, &ambient).unwrap();
    repository.append(WRITER, Said::Forgotten { snapshot: gone }).unwrap();
    repository.delete_snapshot(gone).unwrap();
    back_up(&other, 0..9).unwrap();
    let plan = sweep::plan(&repository, &HashSet::new(), 0.0);
    assert!(matches!(plan, Err(sweep::SweepError::Repository(_))), "{plan:?}");
}
