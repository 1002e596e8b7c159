//! The rows about trees in docs/format.md §12, computed from the code and compared with the document's own table.
//!
//! Invariant: every row whose name begins with `tree: ` is computed here; the others are in store/src/vectors.rs.

use std::collections::BTreeMap;

use aes::cipher::{BlockModeEncrypt, KeyIvInit};
use russet_store::ids::{BlobId, hex};

use super::entry::{Content, Entry, Opened, SealedKey, What, derived_path};
use super::tree::list_of;

const DOCUMENT: &str = include_str!("../../docs/format.md");

fn rows() -> BTreeMap<&'static str, &'static str> {
    let (_, section) = DOCUMENT.split_once("\n## 12.").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let row = |line: &'static str| {
        let (name, value) = line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | ")?;
        value.strip_prefix('`')?.strip_suffix('`').map(|value| (name, value))
    };
    section.lines().filter_map(row).collect()
}

#[test]
fn the_documents_leaf_and_list_are_what_the_code_gives() {
    let documented = rows();
    let id = BlobId::parse(documented["id of `hello`, type data"]).unwrap();
    let row = documented["check value of a row, flags 1, column `bplist00`"];
    let hash = *blake3::hash(b"hello").as_bytes();
    let content = Content { len: 5, hash, depth: 0, ids: vec![id], opened: None };
    let mut entry = Entry {
        domain: b"HomeDomain".to_vec(),
        relative_path: b"Library/SMS/sms.db".to_vec(),
        stored_path: derived_path(b"HomeDomain", b"Library/SMS/sms.db"),
        mtime_secs: 1_700_000_000,
        mtime_nanos: 5,
        row: russet_store::ids::unhex(row),
        what: What::File(content.clone()),
    };
    let leaf_of = |entry: &Entry| {
        let mut leaf = vec![0, 1, 0, 0, 0];
        entry.encode(&mut leaf).unwrap();
        hex(&leaf)
    };
    let leaf = leaf_of(&entry);
    let key: [u8; 32] = std::array::from_fn(|at| 0xc0 + u8::try_from(at).unwrap());
    let mut stored = *b"hello\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b";
    let mut cipher = cbc::Encryptor::<aes::Aes256>::new(&key.into(), &[0; 16].into());
    cipher.encrypt_block((&mut stored).into());
    entry.what = What::File(Content {
        len: 16,
        hash: *blake3::hash(&stored).as_bytes(),
        opened: Some(Opened { key: SealedKey::new(&key), padding: 11 }),
        ..content
    });
    let computed = BTreeMap::from([
        ("tree: leaf", leaf),
        ("tree: leaf, opened", leaf_of(&entry)),
        ("tree: list of chunks", hex(&list_of(1, &[id, id]))),
        ("tree: stored bytes of `hello`, opened", hex(&stored)),
    ]);
    let of_trees = documented.into_iter().filter(|(name, _)| name.starts_with("tree: "));
    let documented: BTreeMap<_, _> =
        of_trees.map(|(name, value)| (name, value.to_owned())).collect();
    let table: String =
        computed.iter().map(|(name, value)| format!("| {name} | `{value}` |\n")).collect();
    assert_eq!(documented, computed, "docs/format.md §12 should say:\n{table}");
}
