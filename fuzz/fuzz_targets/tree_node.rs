//! Nodes of trees and lists of chunks, as whoever has the keys could seal them: a walk ends, with entries or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::snapshot::walk::{BlobWalk, TreeError, visit_chunks};
use russet::snapshot::{Content, EntryError, TreeWalk};
use russet_fuzz::small;
use russet_store::seal::BlobType;
use russet_store::session::Session;

// Input: nodes, each with two bytes of length. The text `@@n` in a node becomes the id of node n before it.
fuzz_target!(|data: &[u8]| {
    let small = small();
    let repository = &small.repository;
    let session = Session::begin(repository, None).expect("memory can be written");
    let mut ids = Vec::new();
    let mut rest = data;
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(after.len());
        let mut node = after[..len].to_vec();
        rest = &after[len..];
        for at in 0..node.len().saturating_sub(31) {
            if node[at..].starts_with(b"@@") && !ids.is_empty() {
                let id: &russet_store::ids::BlobId = &ids[usize::from(node[at + 2]) % ids.len()];
                node[at..at + 32].copy_from_slice(id.as_bytes());
            }
        }
        ids.push(session.put(BlobType::Tree, node).expect("memory takes it"));
        if ids.len() == 16 {
            break;
        }
    }
    session.settle().expect("memory takes it");
    let Some(root) = ids.last() else { return };
    let entries = TreeWalk::new(repository, *root).take(10_000).filter_map(Result::ok);
    for entry in entries {
        let mut bytes = Vec::new();
        let _ = entry.encode(&mut bytes);
    }
    let _ = TreeWalk::from_key(repository, *root, b"HomeDomain", b"Library").take(10_000).count();
    BlobWalk::default().add(repository, *root, &mut |_| {});
    for depth in 0..=5 {
        let content = Content { len: 0, hash: [0; 32], depth, ids: vec![*root], opened: None };
        let mut count = 0;
        let _ = visit_chunks::<TreeError>(repository, &content, &mut |_, _| {
            count += 1;
            // Lists of lists may name one list many times; whoever walks them may stop.
            let stop = TreeError::Node { id: *root, source: EntryError::Chunks };
            if count > 10_000 { Err(stop) } else { Ok(()) }
        });
    }
});
