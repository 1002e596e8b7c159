//! Looking inside: entries of a snapshot, one file, sums.
//!
//! Invariant: reads only; a part of a listing that cannot be read is a problem told, and the rest is shown.

use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};

use russet_store::ids::BlobId;
use russet_store::repository::{FetchError, Repository};
use russet_store::seal::BlobType;

use crate::apple::{Category, Closing, FileKey, category};
use crate::observe::Observer;
use crate::snapshot::walk::{BlobWalk, TreeError, visit_chunks};
use crate::snapshot::{Content, Entry, Snapshot, TreeWalk, What};

/// Shows every entry whose path fits, in the order of the tree. Returns how many parts of the listing could not be read.
pub fn entries(
    repository: &Repository,
    snapshot: &Snapshot,
    prefix: Option<&str>,
    observer: &dyn Observer,
    mut show: impl FnMut(&Entry) -> io::Result<()>,
) -> io::Result<u64> {
    let mut damaged = 0;
    for entry in TreeWalk::new(repository, snapshot.record.tree) {
        match entry {
            Ok(entry) if prefix.is_none_or(|prefix| fits(&entry, prefix)) => show(&entry)?,
            Ok(_) => {}
            Err(error) => {
                damaged += 1;
                observer.problem("listing", &error.to_string());
            }
        }
    }
    Ok(damaged)
}

/// The path a person knows an entry by: domain and path where a row names it, else the stored path.
#[must_use]
pub fn shown_path(entry: &Entry) -> Vec<u8> {
    if entry.domain.is_empty() {
        return entry.stored_path.clone();
    }
    [&entry.domain[..], b"/", &entry.relative_path[..]].concat()
}

fn fits(entry: &Entry, prefix: &str) -> bool {
    let under = |path: &[u8]| {
        let prefix = prefix.trim_end_matches('/').as_bytes();
        path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    };
    under(&shown_path(entry)) || under(&entry.stored_path)
}

/// Finds the one file that a path names: `Domain/path`, the stored path, or the 40 digits of its file id.
#[must_use]
pub fn find_file(
    repository: &Repository,
    snapshot: &Snapshot,
    path: &str,
    observer: &dyn Observer,
) -> Option<Entry> {
    let stored = match path.get(..2) {
        Some(shard) if path.len() == 40 && path.bytes().all(|b| b.is_ascii_hexdigit()) => {
            format!("{shard}/{path}")
        }
        _ => path.to_owned(),
    };
    for entry in TreeWalk::new(repository, snapshot.record.tree) {
        match entry {
            Ok(entry) => {
                let named =
                    shown_path(&entry) == path.as_bytes() || entry.stored_path == stored.as_bytes();
                if named && matches!(entry.what, What::File(_)) {
                    return Some(entry);
                }
            }
            Err(error) => observer.problem("listing", &error.to_string()),
        }
    }
    None
}

/// Why a file could not be written out.
#[derive(Debug, thiserror::Error)]
pub enum CatError {
    /// A piece is damaged or missing.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Its list of chunks.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The other side.
    #[error("could not write")]
    Write(#[source] io::Error),
    /// The pieces do not make the file that was captured.
    #[error("its pieces do not make the file that was captured")]
    OtherBytes,
}

/// Writes a file as a person knows it, an opened one as plaintext; checked piece by piece, and as a whole at the end.
///
/// # Errors
/// See [`CatError`]; what came before the damage was written.
pub fn cat(
    repository: &Repository,
    content: &Content,
    out: &mut dyn Write,
) -> Result<(), CatError> {
    write_out(repository, content, Form::Plain, out)
}

/// Writes a file as it was stored in the backup, an opened one encrypted again; checked in the same way.
///
/// # Errors
/// See [`CatError`]; what came before the damage was written.
pub fn stored(
    repository: &Repository,
    content: &Content,
    out: &mut dyn Write,
) -> Result<(), CatError> {
    write_out(repository, content, Form::Stored, out)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Stored,
}

/// What the stored bytes are, and where they go: the whole is always checked against them, whichever form is written.
struct Stored<'o> {
    hasher: blake3::Hasher,
    len: u64,
    out: Option<&'o mut dyn Write>,
}

impl Stored<'_> {
    fn take(&mut self, bytes: &[u8]) -> Result<(), CatError> {
        self.hasher.update(bytes);
        self.len += bytes.len() as u64;
        match &mut self.out {
            Some(out) => out.write_all(bytes).map_err(CatError::Write),
            None => Ok(()),
        }
    }
}

fn write_out(
    repository: &Repository,
    content: &Content,
    form: Form,
    out: &mut dyn Write,
) -> Result<(), CatError> {
    let key = content.opened.as_ref().map(|opened| FileKey::from_bytes(opened.key.as_bytes()));
    let mut closing = key.as_ref().map(Closing::new);
    // Of a file that is stored as it is both forms are the same.
    let (mut plain_out, stored_out) = match form {
        Form::Plain if closing.is_some() => (Some(out), None),
        Form::Plain | Form::Stored => (None, Some(out)),
    };
    let mut stored = Stored { hasher: blake3::Hasher::new(), len: 0, out: stored_out };
    let mut visit = |id: BlobId, blob_type: BlobType| -> Result<(), CatError> {
        if blob_type != BlobType::Data {
            return Ok(());
        }
        let chunk = repository.blob(&id, BlobType::Data)?;
        if let Some(out) = &mut plain_out {
            out.write_all(&chunk).map_err(CatError::Write)?;
        }
        match &mut closing {
            Some(closing) => closing.push(&chunk, &mut |bytes| stored.take(bytes)),
            None => stored.take(&chunk),
        }
    };
    visit_chunks(repository, content, &mut visit)?;
    if let (Some(closing), Some(opened)) = (closing, &content.opened) {
        let last = closing.finish(opened.padding).map_err(|_| CatError::OtherBytes)?;
        stored.take(&last)?;
    }
    if stored.len != content.len || stored.hasher.finalize().as_bytes() != &content.hash {
        return Err(CatError::OtherBytes);
    }
    Ok(())
}

/// Files and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Files.
    pub count: u64,
    /// Bytes.
    pub len: u64,
}

/// Sums of a snapshot by what a person calls things.
pub fn by_category(
    repository: &Repository,
    snapshot: &Snapshot,
    observer: &dyn Observer,
) -> BTreeMap<&'static str, Sum> {
    let mut sums: BTreeMap<&'static str, Sum> = BTreeMap::new();
    for entry in TreeWalk::new(repository, snapshot.record.tree) {
        match entry {
            Ok(Entry { what: What::File(content), domain, relative_path, .. }) => {
                let name = if domain.is_empty() {
                    "The backup's own lists"
                } else {
                    Category::name(category(&domain, &relative_path))
                };
                let sum = sums.entry(name).or_default();
                sum.count += 1;
                sum.len += content.plain_len();
            }
            Ok(_) => {}
            Err(error) => observer.problem("listing", &error.to_string()),
        }
    }
    sums
}

/// What a repository holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Snapshots.
    pub snapshot_count: u64,
    /// Bytes of all snapshots, each as if it stood alone.
    pub restore_len: u64,
    /// Packs.
    pub pack_count: u64,
    /// Bytes of all packs.
    pub pack_len: u64,
    /// Different pieces that snapshots use.
    pub blob_count: u64,
    /// Their bytes, unpacked.
    pub blob_plain_len: u64,
    /// Their bytes as stored.
    pub blob_sealed_len: u64,
    /// Parts of listings that could not be read.
    pub damaged_count: u64,
}

/// Adds up a repository.
///
/// # Errors
/// The index cannot be read.
pub fn stats(
    repository: &Repository,
    snapshots: &[Snapshot],
    observer: &dyn Observer,
) -> Result<Stats, FetchError> {
    let packs = repository.packs();
    let mut stats = Stats {
        snapshot_count: snapshots.len() as u64,
        restore_len: snapshots.iter().map(|s| s.record.counts.len).sum(),
        pack_count: packs.len() as u64,
        pack_len: packs.values().sum(),
        ..Stats::default()
    };
    let mut walk = BlobWalk::default();
    for snapshot in snapshots {
        walk.add(repository, snapshot.record.tree, &mut |error| {
            stats.damaged_count += 1;
            observer.problem("listing", &error.to_string());
        });
    }
    let all: HashSet<BlobId> = walk.trees.into_iter().chain(walk.data).collect();
    let all: Vec<BlobId> = all.into_iter().collect();
    for batch in all.chunks(4096) {
        for places in repository.index().lookup_many(batch)? {
            let Some(place) = places.first() else { continue };
            stats.blob_count += 1;
            stats.blob_plain_len += u64::from(place.spot.plain_len);
            stats.blob_sealed_len += u64::from(place.spot.sealed_len);
        }
    }
    Ok(stats)
}
