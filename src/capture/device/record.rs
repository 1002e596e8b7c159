//! What a checkpoint of a draft says (docs/format.md §13).
//!
//! Invariant: the draft is the files of Apple's that its base shows, and then the edits, in their order; whoever has this record
//! has everything of the draft that was durable when it was written.

use russet_store::ids::{BlobId, DraftId, RecordId};
use russet_store::repository::{Repository, RepositoryError};
use russet_store::seal::BlobType;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::draft::{Draft, DraftError, DraftTree, Edit, JournalError, PackedFile, journal};
use super::spool::{SpoolError, SpoolPlace, SpoolRecord};
use crate::snapshot::record::Device;
use crate::snapshot::walk::{BlobWalk, TreeError, visit_chunks};
use crate::snapshot::{Entry, TreeWalk, What};

/// Ids that are looked up together: enough that neighbours in the index are among them.
const BATCH_COUNT: usize = 16 << 10;

/// Most files that a record names of those the phone could not read.
pub const FAILED_COUNT_MAX: usize = 200;

/// The snapshot that a draft began as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Base {
    /// The snapshot.
    pub snapshot: RecordId,
    /// Root of its tree.
    pub tree: BlobId,
}

/// The record's JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DraftRecord {
    /// Version of this JSON, 1.
    pub v: u32,
    /// The phone.
    pub udid: String,
    /// What it began as; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Pieces of the journal, blobs of type `tree`.
    pub edits: Vec<BlobId>,
    /// When the capture began, Unix seconds.
    pub started: i64,
    /// When this was written, Unix seconds.
    pub saved: i64,
    /// Bytes received from the phone so far.
    #[serde(default)]
    pub received_len: u64,
    /// How often the phone ended with an error on this draft.
    #[serde(default)]
    pub failure_count: u32,
    /// The phone is asked for everything, and what is stored of it already is read, and stored again where it has rotted.
    #[serde(default)]
    pub full: bool,
    /// Files that the phone could not read the last time.
    #[serde(default)]
    pub failed: Vec<String>,
    /// Where files wait for their keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spool: Option<SpoolRecord>,
    /// The phone said that it was done, and what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Received>,
    /// Version of the program that wrote it.
    #[serde(default)]
    pub russet: String,
}

impl DraftRecord {
    /// Of a draft in which nothing was done yet.
    #[must_use]
    pub fn new(udid: &str, base: Option<Base>, now: i64) -> Self {
        Self {
            v: 1,
            udid: udid.to_owned(),
            base,
            edits: Vec::new(),
            started: now,
            saved: now,
            received_len: 0,
            failure_count: 0,
            full: false,
            failed: Vec::new(),
            spool: None,
            received: None,
            russet: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What a record of a snapshot says of its phone; with it the draft becomes one, though the phone is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Received {
    /// When the phone was done, Unix seconds.
    pub at: i64,
    /// How it was attached: `usb` or `wifi`.
    pub kind: String,
    /// The phone.
    pub device: Device,
}

/// A draft of the repository whose record can be understood.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id.
    pub id: DraftId,
    /// Its newest checkpoint.
    pub record: DraftRecord,
}

/// Why a draft cannot be gone on with.
#[derive(Debug, thiserror::Error)]
pub enum DraftLoadError {
    /// The base cannot be read.
    #[error("its base cannot be read: {0}")]
    Base(#[from] TreeError),
    /// The base cannot stand in a draft.
    #[error("its base is no backup: {0}")]
    Entry(#[from] DraftError),
    /// A piece of the journal cannot be read.
    #[error("its journal cannot be read: {0}")]
    Piece(#[from] russet_store::repository::FetchError),
    /// What waits for its keys is not there.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// A piece of the journal is damaged.
    #[error("its journal is damaged: {0}")]
    Journal(#[from] JournalError),
}

impl DraftLoadError {
    /// Whether it tells of a drive that does not read now, or is away, or of who else has it: what it is about may be whole.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Spool(error) => error.is_passing(),
            Self::Base(TreeError::Fetch(error)) | Self::Piece(error) => error.is_passing(),
            Self::Base(_) | Self::Entry(_) | Self::Journal(_) => false,
        }
    }
}

/// All drafts, and how many cannot be understood.
#[must_use]
pub fn all(repository: &Repository) -> (Vec<Found>, usize) {
    let (checkpoints, lost) = repository.drafts();
    let mut odd_count = lost.len();
    let mut found = Vec::new();
    for checkpoint in checkpoints {
        match serde_json::from_slice::<DraftRecord>(&checkpoint.content) {
            Ok(record) if record.v == 1 => found.push(Found { id: checkpoint.draft, record }),
            Ok(_) | Err(_) => odd_count += 1,
        }
    }
    (found, odd_count)
}

/// Whether the phone is shown this file of a base: Apple's own, and nothing else that lay in the folder.
fn is_shown(stored_path: &[u8]) -> bool {
    match stored_path {
        b"Info.plist" | b"Manifest.plist" | b"Manifest.db" | b"Status.plist" => true,
        _ => {
            let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
            match stored_path.split(|byte| *byte == b'/').collect::<Vec<_>>().as_slice() {
                [shard] => shard.len() == 2 && shard.iter().all(hex),
                [shard, id] => id.len() == 40 && id.iter().all(hex) && id.get(..2) == Some(*shard),
                _ => false,
            }
        }
    }
}

/// A draft over a base, before any edit.
///
/// # Errors
/// A part of the base cannot be read: such a base is not used at all.
pub fn over_base(repository: &Repository, base: Option<&Base>) -> Result<Draft, DraftLoadError> {
    let mut tree = DraftTree::new();
    if let Some(base) = base {
        for entry in TreeWalk::new(repository, base.tree) {
            show(&mut tree, &entry?)?;
        }
    }
    Ok(Draft::over(tree))
}

/// The same, and how many pieces of the base's files are in no listed pack, in one walk over the base.
///
/// # Errors
/// A part of the base cannot be read: such a base is not used at all.
pub fn over_checked_base(
    repository: &Repository,
    base: &Base,
) -> Result<(Draft, usize), DraftLoadError> {
    let mut tree = DraftTree::new();
    let (mut pieces, mut absent_count) = (Vec::with_capacity(BATCH_COUNT), 0);
    let mut ask = |pieces: &mut Vec<BlobId>| {
        pieces.sort_unstable();
        pieces.dedup();
        // An index that cannot be asked knows of nothing.
        absent_count += repository.absent(pieces).map_or(pieces.len(), |absent| absent.len());
        pieces.clear();
    };
    for entry in TreeWalk::new(repository, base.tree) {
        let entry = entry?;
        show(&mut tree, &entry)?;
        let What::File(content) = &entry.what else { continue };
        visit_chunks(repository, content, &mut |id, blob_type| {
            // A list was read to get here.
            if blob_type == BlobType::Data {
                pieces.push(id);
                if pieces.len() == BATCH_COUNT {
                    ask(&mut pieces);
                }
            }
            Ok::<_, DraftLoadError>(())
        })?;
    }
    ask(&mut pieces);
    Ok((Draft::over(tree), absent_count))
}

fn show(tree: &mut DraftTree, entry: &Entry) -> Result<(), DraftError> {
    if is_shown(&entry.stored_path) { tree.insert_base(entry) } else { Ok(()) }
}

/// A draft as its newest checkpoint left it, to look at: what waits in its spool may be away.
///
/// # Errors
/// Something of it cannot be read.
pub fn read(repository: &Repository, record: &DraftRecord) -> Result<Draft, DraftLoadError> {
    let mut draft = over_base(repository, record.base.as_ref())?;
    for id in &record.edits {
        draft.replay(&Zeroizing::new(repository.blob(id, BlobType::Tree)?))?;
    }
    Ok(draft)
}

/// A draft as its newest checkpoint left it, to go on with. Its record is made to say where its spool is now.
///
/// # Errors
/// Something of it cannot be read.
pub fn load(
    repository: &Repository,
    record: &mut DraftRecord,
    place: &SpoolPlace,
) -> Result<Draft, DraftLoadError> {
    let draft = read(repository, record)?;
    seek(record, &draft, place)?;
    Ok(draft)
}

/// Sees that what waits in the spool is there. Of a backup that the phone has finished a part is worth more than nothing.
fn seek(record: &mut DraftRecord, draft: &Draft, place: &SpoolPlace) -> Result<(), SpoolError> {
    let spooled = |packed: PackedFile<'_>| packed.spooled().map(|at| (at, packed.len()));
    let waiting = || draft.tree().files().filter_map(|(_, file)| spooled(file.packed));
    let sought = match &mut record.spool {
        Some(spool) => spool.seek(place, waiting),
        None if waiting().next().is_none() => Ok(()),
        None => Err(SpoolError::Sizes),
    };
    match sought {
        Err(error) if error.is_passing() => Err(error),
        _ if record.received.is_some() => Ok(()),
        sought => sought,
    }
}

/// Removes a draft, and what waits for its keys with it, wherever that is now.
///
/// # Errors
/// The draft could not be removed. A spool that could not be (its drive may be away, or it is another copy's) stays.
pub fn remove(
    repository: &Repository,
    id: DraftId,
    record: &DraftRecord,
    place: &SpoolPlace,
) -> Result<(), RepositoryError> {
    // The draft alone tells whose the spool is.
    if let Some(spool) = record.spool.as_ref().and_then(|spool| spool.located(place)) {
        let _away = spool.remove();
    }
    repository.remove_draft(id)
}

/// Adds every blob that a draft needs to `walk`. What cannot be read is given to `problem`.
pub fn mark(
    repository: &Repository,
    record: &DraftRecord,
    walk: &mut BlobWalk,
    problem: &mut dyn FnMut(DraftLoadError),
) {
    if let Some(base) = &record.base {
        walk.add(repository, base.tree, &mut |error| problem(error.into()));
    }
    for id in &record.edits {
        walk.trees.insert(*id);
        let piece = match repository.blob(id, BlobType::Tree) {
            Ok(piece) => Zeroizing::new(piece),
            Err(error) => {
                problem(error.into());
                continue;
            }
        };
        match journal::decode(&piece) {
            Ok(edits) => {
                for edit in edits {
                    if let Edit::Put { file, .. } = edit {
                        let content = file.decode().content;
                        walk.add_content(repository, &content, &mut |error| {
                            problem(error.into());
                        });
                    }
                }
            }
            Err(error) => problem(error.into()),
        }
    }
}
