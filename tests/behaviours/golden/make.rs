//! The generator of golden repositories: two weeks of a small made-up phone, every shape of the format once.
//!
//! Invariant: clock and randomness come from a seed and one thread feeds all blobs, so that each run writes the same bytes. What a
//! restore must give is written down from the content made here, never from what was stored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use russet::snapshot::record::{Counts, Device, SnapshotRecord, Verdict};
use russet::snapshot::tree::fold_ids;
use russet::snapshot::walk::BlobWalk;
use russet::snapshot::{Entry, TreeBuilder, What, entry::derived_path};
use russet_chunker::{Chunks, Cut, Cutter, Sizes, sqlite_page_len};
use russet_store::ambient::{Ambient, draw};
use russet_store::backend::{Backend, Durability, LocalBackend};
use russet_store::config::{self, Purpose};
use russet_store::ids::{BlobId, RecordId, WriterId, hex};
use russet_store::index::BTreeIndex;
use russet_store::log::Said;
use russet_store::repository::{CreateOptions, LockedRepository, Repository, create};
use russet_store::seal::{BlobType, Kdf, Password, SlotSecret};
use russet_store::session::{Session, SessionError};
use russet_testkit::SeededAmbient;
use serde_json::json;

pub(super) const PASSWORD: &str = "golden";
pub(super) const REVOKED_PASSWORD: &str = "taken away";
pub(super) const UDID: &str = "00008110-000A11CE00B0B001";
const KDF: Kdf = Kdf::Argon2id { memory_kib: 8 << 10, passes: 1, lanes: 1 };
const FIRST_WEEK: u64 = 1_760_000_000;
const WEEK: u64 = 7 * 86_400;

/// What stands at a stored path.
pub(super) enum Item {
    Directory,
    File(Vec<u8>),
    Link(&'static [u8]),
}

/// A file, directory or link of the made-up phone.
pub(super) struct Thing {
    domain: &'static str,
    relative_path: String,
    stored_path: Vec<u8>,
    mtime: (i64, u32),
    item: Item,
}

fn at(stored_path: &[u8], mtime: (i64, u32), item: Item) -> Thing {
    let (domain, relative_path) = ("", String::new());
    Thing { domain, relative_path, stored_path: stored_path.to_vec(), mtime, item }
}

fn named(domain: &'static str, relative_path: String, mtime: (i64, u32), bytes: Vec<u8>) -> Thing {
    let stored_path = derived_path(domain.as_bytes(), relative_path.as_bytes());
    Thing { domain, relative_path, stored_path, mtime, item: Item::File(bytes) }
}

/// A database of 72 chunks of four pages each: more than an entry holds, so it has a list of chunks.
fn messages(week: u64) -> Vec<u8> {
    let mut bytes = vec![0; 72 * 16_384];
    for (page, number) in bytes.chunks_exact_mut(4096).zip(0u64..) {
        let changed = if number == 100 { week } else { 1 };
        page[64..72].copy_from_slice(&number.to_le_bytes());
        page[72..80].copy_from_slice(&changed.to_le_bytes());
    }
    bytes[..18].copy_from_slice(b"SQLite format 3\0\x10\x00");
    bytes
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new_derive_key("golden noise").finalize_xof().fill(&mut bytes);
    bytes
}

/// The phone in a week, 1 or 2.
pub(super) fn phone(week: u64) -> Vec<Thing> {
    let time = |number: u32| (1_700_000_000 + i64::from(number) * 1000, number * 791_900);
    let text: String = (0..1500).fold(String::new(), |mut text, number| {
        let _ = writeln!(
            text,
            "{number:06} a line that is like every other line but for its number, and that is all"
        );
        text
    });
    let mut things = vec![
        at(b"Info.plist", time(1), Item::File(format!("week {week}").into_bytes())),
        at(b"empty", time(2), Item::File(Vec::new())),
        at(b"link", time(3), Item::Link(b"Info.plist")),
        at(b"link to nowhere", time(4), Item::Link(b"../nowhere")),
        at(b"odd/not \xff\xfe UTF-8", (-1, 999_999_999), Item::File(b"before 1970".to_vec())),
        at(b"odd/a line\nfeed and a C:\\colon", time(5), Item::File(b"odd".to_vec())),
        at("odd/\u{e4}pfel".as_bytes(), time(6), Item::File(b"composed".to_vec())),
        at(b"not/listed/above.txt", time(8), Item::File(b"its folders have no entries".to_vec())),
        at(b"a", time(9), Item::Directory),
        at(b"a/b", time(10), Item::Directory),
        at(b"a/b/c", time(11), Item::Directory),
        at(b"a/b/c/deep.txt", time(12), Item::File(b"deep".to_vec())),
        at(b"a/empty folder", time(13), Item::Directory),
        named("HomeDomain", "Library/SMS/sms.db".to_owned(), time(14), messages(week)),
        named("HomeDomain", "Library/lines.txt".to_owned(), time(15), text.into_bytes()),
        named("CameraRollDomain", "Media/DCIM/IMG_0001.HEIC".to_owned(), time(16), noise(5000)),
    ];
    for number in (0..40).filter(|number| week == 1 || number % 20 != 7) {
        let note = format!("note {number} {}", if number == 30 { week } else { 1 });
        let path = format!("Documents/note-{number:02}.txt");
        things.push(named(
            "AppDomain-org.example.notes",
            path,
            time(100 + number),
            note.into_bytes(),
        ));
    }
    let shards: BTreeMap<Vec<u8>, ()> = things
        .iter()
        .filter(|t| !t.domain.is_empty())
        .map(|t| (t.stored_path[..2].to_vec(), ()))
        .collect();
    things.extend(
        shards
            .into_keys()
            .zip(200..)
            .map(|(shard, number)| at(&shard, time(number), Item::Directory)),
    );
    things.push(at(b"", time(999), Item::Directory));
    things.sort_by(|a, b| key(a).cmp(&key(b)));
    things
}

fn key(thing: &Thing) -> (&str, &str, &[u8]) {
    (thing.domain, &thing.relative_path, &thing.stored_path)
}

/// What a restore must give, a line of JSON each: for people and for programs that are not ours.
fn expected(things: &[Thing]) -> String {
    let mut out = String::new();
    for thing in things {
        let mut line = json!({
            "path": String::from_utf8_lossy(&thing.stored_path),
            "path_hex": hex(&thing.stored_path),
            "mtime": thing.mtime.0,
            "nanos": thing.mtime.1,
        });
        match &thing.item {
            Item::Directory => line["what"] = json!("directory"),
            Item::Link(target) => {
                line["what"] = json!("link");
                line["target_hex"] = json!(hex(target));
            }
            Item::File(bytes) => {
                line["what"] = json!("file");
                line["len"] = json!(bytes.len());
                line["blake3"] = json!(blake3::hash(bytes).to_hex().as_str());
                if let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= 40)
                {
                    line["content"] = json!(text);
                }
            }
        }
        let _ = writeln!(out, "{line}");
    }
    out
}

/// Cut as docs/format-cut.md has it, put from this one thread.
fn put_file(session: &Session<'_>, bytes: &[u8]) -> Vec<BlobId> {
    let put = |piece: &[u8]| session.put(BlobType::Data, piece.to_vec()).unwrap();
    let cut = match sqlite_page_len(bytes) {
        Some(page_len) => Cut::pages(page_len),
        None if bytes.is_empty() => return Vec::new(),
        None if bytes.len() <= 65_536 => return vec![put(bytes)],
        None => {
            let sizes = Sizes::new(16 << 10, 64 << 10, 256 << 10).unwrap();
            Cut::Content(Cutter::new(session.repository().id_keys().cut_seed(), sizes))
        }
    };
    Chunks::new(bytes, cut).map(|piece| put(&piece.unwrap())).collect()
}

/// Puts a week's files and tree; gives the root.
pub(super) fn put_tree(session: &Session<'_>, things: &[Thing]) -> BlobId {
    let mut builder = TreeBuilder::new(session);
    for thing in things {
        let what = match &thing.item {
            Item::Directory => What::Directory,
            Item::Link(target) => What::Link { target: target.to_vec() },
            Item::File(bytes) => {
                let ids = put_file(session, bytes);
                let hash = *blake3::hash(bytes).as_bytes();
                What::File(fold_ids(session, bytes.len() as u64, hash, ids).unwrap())
            }
        };
        let flags = 1i64.to_le_bytes();
        let row = session.repository().id_keys().row(&[&flags, thing.relative_path.as_bytes()]);
        let entry = Entry {
            domain: thing.domain.as_bytes().to_vec(),
            relative_path: thing.relative_path.as_bytes().to_vec(),
            stored_path: thing.stored_path.clone(),
            mtime_secs: thing.mtime.0,
            mtime_nanos: thing.mtime.1,
            row: row.first_chunk().copied().filter(|_| !thing.domain.is_empty()),
            what,
        };
        builder.push(&entry).unwrap();
    }
    builder.finish().unwrap()
}

fn record(repository: &Repository, tree: BlobId, week: u64, writer: WriterId) -> SnapshotRecord {
    let time = i64::try_from(FIRST_WEEK + week * WEEK).unwrap();
    SnapshotRecord {
        v: 1,
        tree,
        udid: UDID.to_owned(),
        device: Device {
            name: Some("Alice\u{2019}s iPhone".to_owned()),
            product_type: Some("iPhone14,5".to_owned()),
            product_version: Some("18.1".to_owned()),
            ..Device::default()
        },
        backup_time: time,
        backup_time_source: "status".to_owned(),
        captured: time + 600,
        kind: "folder".to_owned(),
        source_folder: Some(UDID.to_owned()),
        status_uuid: None,
        encrypted: Some(false),
        verdict: if week == 3 { Verdict::Incomplete } else { Verdict::Complete },
        problems: Vec::new(),
        problem_count: 0,
        counts: Counts::default(),
        parent: None,
        supersedes: None,
        link: repository.next_link(writer),
        russet: "0.1.0".to_owned(),
    }
}

fn commit(repository: &Repository, things: &[Thing], week: u64, writer: WriterId) -> RecordId {
    let session = Session::begin(repository, None).unwrap();
    let tree = put_tree(&session, things);
    let mut record = record(repository, tree, week, writer);
    for thing in things {
        match &thing.item {
            Item::Directory => record.counts.directories += 1,
            Item::Link(_) => record.counts.links += 1,
            Item::File(bytes) => {
                record.counts.files += 1;
                record.counts.len += bytes.len() as u64;
            }
        }
    }
    let needed = |check: &mut dyn FnMut(&[BlobId]) -> Result<(), SessionError>| {
        let mut walk = BlobWalk::default();
        walk.add(repository, tree, &mut |error| panic!("{error}"));
        let ids: Vec<BlobId> = walk.trees.into_iter().chain(walk.data).collect();
        check(&ids)
    };
    session.commit(serde_json::to_vec(&record).unwrap(), needed).unwrap()
}

fn typed(password: &str) -> SlotSecret {
    SlotSecret::Password(Password::new(password).unwrap())
}

/// Writes a golden repository, what it must restore to, and its recovery words.
pub(super) fn make(out: &Path) {
    let ambient = Arc::new(SeededAmbient::new("golden v1", FIRST_WEEK));
    let durability = Durability { read_back: false };
    let backend = LocalBackend::create(&out.join("repository"), durability).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(backend);
    let documents =
        vec![("RUSSET.txt".to_owned(), b"A golden repository: see its README.\n".to_vec())];
    let options = CreateOptions {
        password: Password::new(PASSWORD).unwrap(),
        kdf: KDF,
        cut: config::Cut::default(),
        documents,
    };
    let created = create(&backend, ambient.as_ref(), options).unwrap();
    std::fs::write(out.join("recovery-words"), format!("{}\n", *created.recovery.words())).unwrap();
    let found = LockedRepository::find(backend, Arc::clone(&ambient) as Arc<dyn Ambient>).unwrap();
    let index = |_| -> Box<dyn russet_store::index::Index> { Box::new(BTreeIndex::new()) };
    let repository = found.unlock(&typed(PASSWORD), Purpose::Write, index).unwrap();
    let revoked = repository.add_keyslot(&typed(REVOKED_PASSWORD), KDF, "revoked").unwrap();
    let (one, other) =
        (WriterId::decode(draw(&*ambient).unwrap()), WriterId::decode(draw(&*ambient).unwrap()));
    let mut snapshots = Vec::new();
    for (week, writer) in [(1, one), (2, other), (3, one)] {
        ambient.set_now_secs(FIRST_WEEK + week * WEEK + 600);
        snapshots.push(commit(&repository, &phone(week.min(2)), week, writer));
    }
    let [first, second, third] = snapshots.try_into().unwrap();
    let said = [
        Said::Tag { snapshot: first, tag: "keep".to_owned(), on: true },
        Said::Tag { snapshot: second, tag: "off again".to_owned(), on: true },
        Said::Tag { snapshot: second, tag: "off again".to_owned(), on: false },
        Said::Pin { snapshot: first, on: true },
        Said::Note { snapshot: second, text: "before the l\u{e4}ke".to_owned() },
        Said::Forgotten { snapshot: third },
        Said::KeyslotRevoked { keyslot: revoked },
        Said::Verified { snapshot: None, read_len: 1, pack_count: 1, damaged_count: 0 },
    ];
    for what in said {
        repository.append(other, what).unwrap();
    }
    std::fs::create_dir(out.join("expected")).unwrap();
    for (week, id) in [(1, first), (2, second)] {
        std::fs::write(out.join(format!("expected/{id}.jsonl")), expected(&phone(week))).unwrap();
    }
}
