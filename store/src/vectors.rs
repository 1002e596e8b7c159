//! The vectors of docs/format.md §12, computed from the code and compared with the document's own table.
//!
//! Invariant: every row of the table that belongs to this crate is computed here; a row that the document has and nobody
//! computes, or the other way round, fails. Rows of trees are computed where trees are written (src/snapshot/vectors.rs).

use std::collections::BTreeMap;

use crate::ambient::{Ambient, NoRandomness};
use crate::header::{Header, Kind};
use crate::ids::{RepositoryId, hash_of_file, hex};
use crate::record::{self, RecordPlace};
use crate::seal::{
    BlobCipher, BlobType, IdKeys, Kdf, Keyring, Keyslot, Password, RecoveryKey, Secret, SlotSecret,
    derive, mac_key, record_key,
};

const DOCUMENT: &str = include_str!("../../docs/format.md");

/// Gives the bytes 80, 81, 82 … in the order they are asked for; the time is 1760000000.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicU8);

impl Ambient for Counting {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        for byte in out {
            *byte = 0x80 + self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        Ok(())
    }

    fn now_nanos(&self) -> u64 {
        1_760_000_000_000_000_000
    }

    fn process(&self) -> u32 {
        1
    }
}

fn counting<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first + u8::try_from(at).unwrap())
}

fn master() -> Secret {
    Secret::new(counting(0x00))
}

fn data_key() -> Secret {
    Secret::new(counting(0x30))
}

const REPOSITORY: RepositoryId = RepositoryId::decode([
    0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a, 0x2b, 0x2c, 0x2d, 0x2e, 0x2f,
]);

/// The rows of the table, trees aside.
fn documented() -> BTreeMap<&'static str, &'static str> {
    let (_, section) = DOCUMENT.split_once("\n## 12.").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let row = |line: &'static str| {
        let (name, value) = line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | ")?;
        value.strip_prefix('`')?.strip_suffix('`').map(|value| (name, value))
    };
    section.lines().filter_map(row).filter(|(name, _)| !name.starts_with("tree: ")).collect()
}

fn header() -> String {
    let header = Header {
        kind: Kind::Pack,
        algorithm: 1,
        pack_type: 2,
        epoch: 1,
        repository: REPOSITORY,
        file_len: 8192,
    };
    hex(&header.encode())
}

fn keys(rows: &mut BTreeMap<&'static str, String>) {
    rows.insert("mac key", hex(mac_key(&master(), REPOSITORY).bytes()));
    rows.insert("key of the keyring", hex(Keyring::sealing_key(&master(), REPOSITORY).bytes()));
    let key = record_key(&data_key(), REPOSITORY, 1, Kind::Log);
    rows.insert("key of records of kind 7", hex(key.bytes()));
    let ids = IdKeys::new(&Secret::new(counting(0x50)), Secret::new([0; 32]));
    let id = |blob_type| hex(ids.blob_id(blob_type, b"hello").as_bytes());
    rows.insert("id of `hello`, type data", id(BlobType::Data));
    rows.insert("id of `hello`, type tree", id(BlobType::Tree));
    rows.insert("id of `hello`, type record", id(BlobType::Record));
    let row = ids.row(&[&1i64.to_le_bytes(), b"bplist00"]);
    rows.insert("check value of a row, flags 1, column `bplist00`", hex(&row[..8]));
    let cut = ids.tree_cut(&[b"HomeDomain", &[0], b"a", &[0], b"b"]);
    rows.insert("tree cut of `HomeDomain`, `a`, `b`", hex(&cut));
}

/// KEK and commitment in one.
fn derived(kdf: Kdf, secret: &SlotSecret) -> String {
    let (kek, commitment) = kdf.derive(secret, &counting(0x80)).unwrap();
    hex(kek.bytes()) + &hex(&commitment)
}

const CHEAP: Kdf = Kdf::Argon2id { memory_kib: 64, passes: 2, lanes: 2 };

fn typed(password: &str) -> SlotSecret {
    SlotSecret::Password(Password::new(password).unwrap())
}

/// The words of the key c0 … df; the first and last are in the table.
fn recovery() -> RecoveryKey {
    let ambient = Counting(std::sync::atomic::AtomicU8::new(0x40));
    RecoveryKey::draw(&ambient).unwrap()
}

fn keyslots(rows: &mut BTreeMap<&'static str, String>) {
    rows.insert("KDF 1 of `pässwörd`", derived(CHEAP, &typed("p\u{e4}ssw\u{f6}rd")));
    rows.insert("recovery words", recovery().words().to_string());
    rows.insert(
        "KDF 2 of the recovery key",
        derived(Kdf::Recovery, &SlotSecret::Recovery(recovery())),
    );
    let ambient = Counting::default();
    let secret = typed("p\u{e4}ssw\u{f6}rd");
    let slot = Keyslot::create(&master(), REPOSITORY, &secret, CHEAP, "kitchen", &ambient).unwrap();
    rows.insert("keyslot, BLAKE3 of its file", hex(&hash_of_file(slot.bytes())));
}

fn seals(rows: &mut BTreeMap<&'static str, String>) {
    let place = RecordPlace { kind: Kind::Log, repository: REPOSITORY, epoch: 1 };
    let key = record_key(&data_key(), REPOSITORY, 1, Kind::Log);
    let file = record::seal(place, &key, br#"{"v":1}"#, &Counting::default()).unwrap();
    rows.insert("record, its bytes 72 to 103", hex(&file[72..104]));
    rows.insert("record, BLAKE3 of its file", hex(&hash_of_file(&file)));
    let (epoch, salt) = (1u32.to_le_bytes(), counting::<32>(0x80));
    let material: [&[u8]; 4] = [REPOSITORY.as_bytes(), &epoch, &[1, 1], &salt];
    let data_key = data_key();
    let all = [&[&data_key.bytes()[..]], &material[..]].concat();
    rows.insert("blob key", hex(derive("russet format 1 pack blobs", &all).bytes()));
    rows.insert("directory key", hex(derive("russet format 1 pack directory", &all).bytes()));
    let cipher = BlobCipher::new(&data_key, &material, 1);
    let mut blob = b"hello".to_vec();
    let tag = cipher.seal_blob(3, &mut blob).unwrap();
    rows.insert("blob of payload `hello`, ordinal 3", hex(&blob) + &hex(&tag));
    let directory = cipher.seal_directory(&[0; 96], vec![0; 16]).unwrap();
    rows.insert("directory", hex(&directory));
}

#[test]
fn the_documents_table_is_what_the_code_gives() {
    let mut rows = BTreeMap::from([("header", header())]);
    keys(&mut rows);
    keyslots(&mut rows);
    seals(&mut rows);
    let documented: BTreeMap<&str, String> =
        documented().into_iter().map(|(name, value)| (name, value.to_owned())).collect();
    let table: String =
        rows.iter().map(|(name, value)| format!("| {name} | `{value}` |\n")).collect();
    assert_eq!(documented, rows, "docs/format.md §12 should say:\n{table}");
}

#[test]
fn a_password_typed_in_pieces_gives_the_key_of_the_document() {
    let decomposed = typed("pa\u{308}sswo\u{308}rd");
    assert_eq!(documented()["KDF 1 of `pässwörd`"], derived(CHEAP, &decomposed));
}
