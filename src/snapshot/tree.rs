//! Writing a tree: entries in order into leaves, leaves into inner nodes, up to one root (docs/format.md §8).
//!
//! Invariant: where nodes end depends on the entries themselves, so that the same entries give the same blobs whatever stands
//! before them. Holds one unfinished node a level, never the tree.

use russet_store::ids::BlobId;
use russet_store::seal::BlobType;
use russet_store::session::{Session, SessionError};

use super::entry::{Content, DEPTH_MAX, Entry, EntryError, ID_COUNT_MAX};

const NODE_LEN_MAX: usize = 64 << 10;
const LEAF_COUNT_MIN: u32 = 4;
const LEAF_COUNT_MAX: u32 = 128;
const NODE_COUNT_MIN: u32 = 4;
const NODE_COUNT_MAX: u32 = 256;
const LIST_COUNT_MAX: usize = 1024;
/// Level byte of a list of chunks of depth 0.
pub(super) const LIST_LEVEL: u8 = 0x80;
pub(super) const LEVEL_MAX: u8 = 16;

/// Why a tree could not be written.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An entry is too long for the format.
    #[error("could not list {path}: {source}")]
    Entry {
        /// Stored path.
        path: String,
        /// Why.
        source: EntryError,
    },
    /// Entries came in the wrong order: our bug.
    #[error("entries of the tree came out of order at {0}")]
    Order(String),
    /// More than the format can hold.
    #[error("the tree is too deep")]
    TooDeep,
    /// Blobs could not be stored.
    #[error(transparent)]
    Session(#[from] SessionError),
}

#[derive(Default)]
struct Node {
    bytes: Vec<u8>,
    count: u32,
    entries: u64,
    first: Option<(Vec<u8>, Vec<u8>)>,
    emitted: u64,
    only_child: Option<BlobId>,
}

impl Node {
    fn blob(&mut self, level: u8) -> Vec<u8> {
        let mut blob = Vec::with_capacity(self.bytes.len() + 5);
        blob.push(level);
        blob.extend_from_slice(&self.count.to_le_bytes());
        blob.append(&mut self.bytes);
        self.count = 0;
        self.emitted += 1;
        blob
    }
}

/// Takes entries in ascending order of their keys.
pub struct TreeBuilder<'s, 'r> {
    session: &'s Session<'r>,
    levels: Vec<Node>,
    last: Option<(Vec<u8>, Vec<u8>, Vec<u8>)>,
    len: u64,
}

impl<'s, 'r> TreeBuilder<'s, 'r> {
    /// An empty tree.
    #[must_use]
    pub fn new(session: &'s Session<'r>) -> Self {
        Self { session, levels: vec![Node::default()], last: None, len: 0 }
    }

    /// Adds the next entry.
    ///
    /// # Errors
    /// It does not follow the one before, is too long, or a blob could not be stored.
    pub fn push(&mut self, entry: &Entry) -> Result<(), BuildError> {
        let key = (entry.domain.clone(), entry.relative_path.clone(), entry.stored_path.clone());
        if self.last.as_ref().is_some_and(|last| *last >= key) {
            return Err(BuildError::Order(
                String::from_utf8_lossy(&entry.stored_path).into_owned(),
            ));
        }
        let keys = self.session.repository().id_keys();
        let [first, ..] = keys.tree_cut(&[&key.0, &[0], &key.1, &[0], &key.2]);
        let Some(leaf) = self.levels.first_mut() else { return Err(BuildError::TooDeep) };
        let before = leaf.bytes.len();
        entry.encode(&mut leaf.bytes).map_err(|source| BuildError::Entry {
            path: String::from_utf8_lossy(&entry.stored_path).into_owned(),
            source,
        })?;
        self.len += (leaf.bytes.len() - before) as u64;
        leaf.count += 1;
        leaf.entries += 1;
        leaf.first.get_or_insert((key.0.clone(), key.1.clone()));
        self.last = Some(key);
        let full = (first < 16 && leaf.count >= LEAF_COUNT_MIN)
            || leaf.count >= LEAF_COUNT_MAX
            || leaf.bytes.len() >= NODE_LEN_MAX;
        if full { self.emit(0) } else { Ok(()) }
    }

    /// Bytes of all entries so far.
    #[must_use]
    pub fn plain_len(&self) -> u64 {
        self.len
    }

    /// Writes the node of a level and adds it to the one above.
    fn emit(&mut self, at: usize) -> Result<(), BuildError> {
        let level = u8::try_from(at).ok().filter(|l| *l < LEVEL_MAX).ok_or(BuildError::TooDeep)?;
        let Some(node) = self.levels.get_mut(at) else { return Err(BuildError::TooDeep) };
        let entries = std::mem::take(&mut node.entries);
        let (domain, path) = node.first.take().unwrap_or_default();
        let id = self.session.put(BlobType::Tree, node.blob(level))?;
        if self.levels.len() == at + 1 {
            self.levels.push(Node::default());
        }
        let Some(above) = self.levels.get_mut(at + 1) else { return Err(BuildError::TooDeep) };
        above.only_child = if above.count == 0 && above.emitted == 0 { Some(id) } else { None };
        above.bytes.extend_from_slice(id.as_bytes());
        above.bytes.extend_from_slice(&entries.to_le_bytes());
        above.bytes.extend_from_slice(&u16::try_from(domain.len()).unwrap_or(0).to_le_bytes());
        above.bytes.extend_from_slice(&domain);
        above.bytes.extend_from_slice(&u32::try_from(path.len()).unwrap_or(0).to_le_bytes());
        above.bytes.extend_from_slice(&path);
        above.first.get_or_insert((domain, path));
        above.count += 1;
        above.entries += entries;
        let full = (id.as_bytes()[0] < 8 && above.count >= NODE_COUNT_MIN)
            || above.count >= NODE_COUNT_MAX
            || above.bytes.len() >= NODE_LEN_MAX;
        if full { self.emit(at + 1) } else { Ok(()) }
    }

    /// Writes what is unfinished and gives the root.
    ///
    /// # Errors
    /// A blob could not be stored.
    pub fn finish(mut self) -> Result<BlobId, BuildError> {
        if self.levels.first().is_some_and(|leaf| leaf.count > 0 || leaf.emitted == 0) {
            self.emit(0)?;
        }
        let mut at = 1;
        loop {
            let Some(node) = self.levels.get(at) else { return Err(BuildError::TooDeep) };
            match (node.emitted, node.only_child) {
                (0, Some(root)) => return Ok(root),
                _ if node.count > 0 => self.emit(at)?,
                _ => {}
            }
            at += 1;
        }
    }
}

/// Puts a file's chunks into lists until few enough ids are left for its entry.
///
/// # Errors
/// A list could not be stored.
pub fn fold_ids(
    session: &Session<'_>,
    len: u64,
    hash: [u8; 32],
    mut ids: Vec<BlobId>,
) -> Result<Content, BuildError> {
    let mut depth = 0;
    while ids.len() > ID_COUNT_MAX {
        depth += 1;
        if depth > DEPTH_MAX {
            return Err(BuildError::TooDeep);
        }
        let mut above = Vec::new();
        let mut list: Vec<BlobId> = Vec::new();
        for id in ids {
            list.push(id);
            if id.as_bytes()[0] < 2 || list.len() >= LIST_COUNT_MAX {
                above.push(put_list(session, depth, &std::mem::take(&mut list))?);
            }
        }
        if !list.is_empty() {
            above.push(put_list(session, depth, &list)?);
        }
        ids = above;
    }
    Ok(Content { len, hash, depth, ids, opened: None })
}

fn put_list(session: &Session<'_>, depth: u8, ids: &[BlobId]) -> Result<BlobId, SessionError> {
    session.put(BlobType::Tree, list_of(depth, ids))
}

/// A list of chunks.
pub(super) fn list_of(depth: u8, ids: &[BlobId]) -> Vec<u8> {
    let mut blob = vec![LIST_LEVEL + depth];
    blob.extend_from_slice(&u32::try_from(ids.len()).unwrap_or(0).to_le_bytes());
    for id in ids {
        blob.extend_from_slice(id.as_bytes());
    }
    blob
}
