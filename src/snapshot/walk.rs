//! Reading a tree, leaf by leaf.
//!
//! Invariant: a node that cannot be read costs what is below it, not the walk; levels only ever go down, so that no tree, however
//! hostile, makes a walk endless. Holds one path from root to leaf, never the tree.

use std::collections::HashSet;

use russet_store::ids::BlobId;
use russet_store::repository::{FetchError, Repository};
use russet_store::seal::BlobType;

use super::entry::{Bytes, Content, DEPTH_MAX, Entry, EntryError};
use super::tree::{LEVEL_MAX, LIST_LEVEL};

const NODE_LEN_MAX: usize = 1 << 20;
const CHILD_COUNT_MAX: usize = 8192;
const LIST_COUNT_MAX: usize = 8192;

/// Why a part of a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The blob cannot be read.
    #[error("a part of the listing cannot be read: {0}")]
    Fetch(#[from] FetchError),
    /// The blob is not a node.
    #[error("a part of the listing ({id}) is malformed: {source}")]
    Node {
        /// The blob.
        id: BlobId,
        /// Why.
        source: EntryError,
    },
    /// A node of a level that cannot stand there.
    #[error("a part of the listing ({id}) has level {level} where a lower one belongs")]
    Level {
        /// The blob.
        id: BlobId,
        /// Its level.
        level: u8,
    },
}

struct Child {
    id: BlobId,
    level_below: u8,
}

/// The entries of a tree, in order. An error stands for everything below one node.
pub struct TreeWalk<'r> {
    repository: &'r Repository,
    stack: Vec<Child>,
    leaf: std::vec::IntoIter<Entry>,
    skip: Option<(Vec<u8>, Vec<u8>)>,
}

impl<'r> TreeWalk<'r> {
    /// From the first entry.
    #[must_use]
    pub fn new(repository: &'r Repository, root: BlobId) -> Self {
        let root = Child { id: root, level_below: LEVEL_MAX + 1 };
        Self { repository, stack: vec![root], leaf: Vec::new().into_iter(), skip: None }
    }

    /// From the first entry whose domain and path are not below these; nodes before are not read.
    #[must_use]
    pub fn from_key(repository: &'r Repository, root: BlobId, domain: &[u8], path: &[u8]) -> Self {
        let mut walk = Self::new(repository, root);
        walk.skip = Some((domain.to_vec(), path.to_vec()));
        walk
    }

    fn descend(&mut self, child: &Child) -> Result<(), TreeError> {
        let node = read_node(self.repository, child.id, child.level_below)?;
        match node {
            Node::Leaf(entries) => {
                let mut entries = entries;
                if let Some((domain, path)) = &self.skip {
                    entries.retain(|e| (&e.domain, &e.relative_path) >= (domain, path));
                }
                self.leaf = entries.into_iter();
            }
            Node::Inner(level, children) => {
                // A child lies wholly before the key if the next one begins at or before it.
                let start = self.skip.as_ref().map_or(0, |(domain, path)| {
                    let before = |c: &&Listed| (&c.domain, &c.path) < (domain, path);
                    children.iter().take_while(before).count().saturating_sub(1)
                });
                let below = |c: &Listed| Child { id: c.id, level_below: level };
                self.stack
                    .extend(children.get(start..).unwrap_or_default().iter().rev().map(below));
            }
        }
        Ok(())
    }
}

impl Iterator for TreeWalk<'_> {
    type Item = Result<Entry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.leaf.next() {
                return Some(Ok(entry));
            }
            let child = self.stack.pop()?;
            if let Err(error) = self.descend(&child) {
                return Some(Err(error));
            }
        }
    }
}

struct Listed {
    id: BlobId,
    domain: Vec<u8>,
    path: Vec<u8>,
}

enum Node {
    Leaf(Vec<Entry>),
    Inner(u8, Vec<Listed>),
}

fn read_node(repository: &Repository, id: BlobId, level_below: u8) -> Result<Node, TreeError> {
    let blob = repository.blob(&id, BlobType::Tree)?;
    let (level, _) =
        blob.split_first().ok_or(TreeError::Node { id, source: EntryError::Length })?;
    if *level >= level_below {
        return Err(TreeError::Level { id, level: *level });
    }
    decode_node(&blob).map_err(|source| TreeError::Node { id, source })
}

fn decode_node(blob: &[u8]) -> Result<Node, EntryError> {
    if blob.len() > NODE_LEN_MAX {
        return Err(EntryError::Length);
    }
    let mut bytes = Bytes(blob);
    let [level] = bytes.array::<1>()?;
    let count = bytes.u32()? as usize;
    if count > CHILD_COUNT_MAX || level > LEVEL_MAX {
        return Err(EntryError::Length);
    }
    if level == 0 {
        let mut entries = Vec::new();
        let mut rest = bytes.0;
        for _ in 0..count {
            let (entry, after) = Entry::decode(rest)?;
            entries.push(entry);
            rest = after;
        }
        return if rest.is_empty() { Ok(Node::Leaf(entries)) } else { Err(EntryError::Length) };
    }
    let mut children = Vec::new();
    for _ in 0..count {
        let id = BlobId::decode(bytes.array()?);
        let _entries: [u8; 8] = bytes.array()?;
        let domain = bytes.short()?.to_vec();
        let path_len = bytes.u32()? as usize;
        let path = bytes.take(path_len)?.to_vec();
        children.push(Listed { id, domain, path });
    }
    if bytes.0.is_empty() { Ok(Node::Inner(level, children)) } else { Err(EntryError::Length) }
}

/// The ids of a file's chunks, in order, to `visit`; it gets lists of chunks as well, before what they list.
///
/// # Errors
/// A list cannot be read; what came before was visited.
pub fn visit_chunks<E: From<TreeError>>(
    repository: &Repository,
    content: &Content,
    visit: &mut dyn FnMut(BlobId, BlobType) -> Result<(), E>,
) -> Result<(), E> {
    visit_ids(repository, content.depth, &content.ids, visit)
}

fn visit_ids<E: From<TreeError>>(
    repository: &Repository,
    depth: u8,
    ids: &[BlobId],
    visit: &mut dyn FnMut(BlobId, BlobType) -> Result<(), E>,
) -> Result<(), E> {
    for id in ids {
        if depth == 0 {
            visit(*id, BlobType::Data)?;
            continue;
        }
        visit(*id, BlobType::Tree)?;
        let below = read_list(repository, *id, depth)?;
        visit_ids(repository, depth - 1, &below, visit)?;
    }
    Ok(())
}

pub(super) fn read_list(
    repository: &Repository,
    id: BlobId,
    depth: u8,
) -> Result<Vec<BlobId>, TreeError> {
    let blob = repository.blob(&id, BlobType::Tree)?;
    decode_list(&blob, depth).map_err(|source| TreeError::Node { id, source })
}

fn decode_list(blob: &[u8], depth: u8) -> Result<Vec<BlobId>, EntryError> {
    let mut bytes = Bytes(blob);
    let [level] = bytes.array::<1>()?;
    if level != LIST_LEVEL + depth.min(DEPTH_MAX) {
        return Err(EntryError::Chunks);
    }
    let ids = bytes.ids(LIST_COUNT_MAX)?;
    if bytes.0.is_empty() { Ok(ids) } else { Err(EntryError::Length) }
}

/// Every blob that trees need, each once, over as many trees as it is asked for.
#[derive(Default)]
pub struct BlobWalk {
    /// Nodes and lists that were walked.
    pub trees: HashSet<BlobId>,
    /// Pieces of files.
    pub data: HashSet<BlobId>,
}

impl BlobWalk {
    /// Adds all blobs of a tree. What cannot be read is given to `problem`.
    pub fn add(
        &mut self,
        repository: &Repository,
        root: BlobId,
        problem: &mut dyn FnMut(TreeError),
    ) {
        self.visit(repository, problem).node(root, LEVEL_MAX + 1);
    }

    /// Adds all blobs of one file.
    pub fn add_content(
        &mut self,
        repository: &Repository,
        content: &Content,
        problem: &mut dyn FnMut(TreeError),
    ) {
        self.visit(repository, problem).ids(content.depth, &content.ids);
    }

    fn visit<'v>(
        &'v mut self,
        repository: &'v Repository,
        problem: &'v mut dyn FnMut(TreeError),
    ) -> Visit<'v, impl FnMut(BlobId) + 'v> {
        let Self { trees, data } = self;
        let data = |id| {
            data.insert(id);
        };
        Visit { repository, trees, data, problem }
    }
}

/// Gives every piece of a file that a tree needs to `data`, as often as it is met, and gives back the nodes and lists, which
/// were all read. Only these are held: there are twenty times as many pieces. What cannot be read is given to `problem`.
pub fn visit_data(
    repository: &Repository,
    root: BlobId,
    data: impl FnMut(BlobId),
    problem: &mut dyn FnMut(TreeError),
) -> HashSet<BlobId> {
    let mut trees = HashSet::new();
    Visit { repository, trees: &mut trees, data, problem }.node(root, LEVEL_MAX + 1);
    trees
}

/// Down a tree, into no node or list twice.
struct Visit<'v, D> {
    repository: &'v Repository,
    trees: &'v mut HashSet<BlobId>,
    data: D,
    problem: &'v mut dyn FnMut(TreeError),
}

impl<D: FnMut(BlobId)> Visit<'_, D> {
    fn node(&mut self, id: BlobId, below: u8) {
        if !self.trees.insert(id) {
            return;
        }
        match read_node(self.repository, id, below) {
            Ok(Node::Leaf(entries)) => {
                for entry in entries {
                    if let super::What::File(content) = &entry.what {
                        self.ids(content.depth, &content.ids);
                    }
                }
            }
            Ok(Node::Inner(level, children)) => {
                for child in children {
                    self.node(child.id, level);
                }
            }
            Err(error) => (self.problem)(error),
        }
    }

    fn ids(&mut self, depth: u8, ids: &[BlobId]) {
        for id in ids {
            if depth == 0 {
                (self.data)(*id);
                continue;
            }
            if !self.trees.insert(*id) {
                continue;
            }
            match read_list(self.repository, *id, depth) {
                Ok(below) => self.ids(depth - 1, &below),
                Err(error) => (self.problem)(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_node_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), level in 0u8..3, count in 0u8..4) {
            let mut blob = vec![level, count, 0, 0, 0];
            blob.extend_from_slice(&bytes);
            let _ = decode_node(&blob);
            let _ = decode_list(&blob, level);
        }
    }
}
