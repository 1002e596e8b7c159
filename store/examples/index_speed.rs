//! How fast the index answers: `cargo run --release -p russet-store --example index_speed -- 1000000`.
//!
//! Prints a line for each figure. Ids are hashes of counters; packs hold 512 blobs.
#![expect(clippy::print_stdout, reason = "this prints figures and nothing else")]

use std::time::Instant;

use russet_store::ids::{BlobId, PackId};
use russet_store::index::{BTreeIndex, Index, IndexError, RocksIndex, Spot};

const PACK_COUNT: u64 = 512;
const LOOKUP_COUNT: u64 = 200_000;

fn hash(kind: &str, number: u64) -> [u8; 32] {
    *blake3::Hasher::new_derive_key(kind).update(&number.to_le_bytes()).finalize().as_bytes()
}

fn blob(number: u64) -> BlobId {
    BlobId::decode(hash("blob", number))
}

fn fill(index: &dyn Index, count: u64) -> Result<(), IndexError> {
    for pack in 0..count.div_ceil(PACK_COUNT) {
        let ids = pack * PACK_COUNT..((pack + 1) * PACK_COUNT).min(count);
        let entries: Vec<_> = (0..)
            .zip(ids)
            .map(|(ordinal, number)| {
                let spot = Spot {
                    ordinal,
                    offset: ordinal * 70_000,
                    sealed_len: 70_000,
                    plain_len: 90_000,
                    blob_type: russet_store::seal::BlobType::Data,
                    encoding: 0,
                };
                (blob(number), spot)
            })
            .collect();
        index.insert_pack(&PackId::decode(hash("pack", pack)), 1 << 25, &entries)?;
    }
    index.flush()
}

fn measure(name: &str, what: &str, count: u64, work: impl FnOnce() -> Result<u64, IndexError>) {
    let start = Instant::now();
    let found = work();
    let secs = start.elapsed().as_secs_f64();
    match found {
        Ok(found) => {
            println!("{name:6} {what:12} {:>9.0} /s  ({found} found)", count as f64 / secs);
        }
        Err(error) => println!("{name:6} {what:12} {error}"),
    }
}

fn run(name: &str, index: &dyn Index, count: u64) {
    measure(name, "insert", count, || fill(index, count).map(|()| count));
    let hits: Vec<BlobId> =
        (0..LOOKUP_COUNT).map(|n| blob(n.wrapping_mul(7_919) % count)).collect();
    let misses: Vec<BlobId> = (0..LOOKUP_COUNT).map(|n| blob(count + n)).collect();
    for (what, ids) in [("hit", &hits), ("miss", &misses)] {
        let found = |ids: &[BlobId]| -> Result<u64, IndexError> {
            ids.iter().try_fold(0, |sum, id| Ok(sum + index.lookup(id)?.len() as u64))
        };
        measure(name, what, LOOKUP_COUNT, || found(ids));
        measure(name, &format!("{what} by 64"), LOOKUP_COUNT, || {
            ids.chunks(64).try_fold(0, |sum, some| {
                let places = index.lookup_many(some)?;
                Ok(sum + places.iter().map(|places| places.len() as u64).sum::<u64>())
            })
        });
    }
}

/// Resident memory, where the system tells.
fn resident() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM")).collect()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let count = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let folder = tempfile::tempdir()?;
    let (rocks, _) = RocksIndex::open(folder.path(), b"speed")?;
    run("rocks", &rocks, count);
    println!("rocks  {}", resident());
    drop(rocks);
    let start = Instant::now();
    let (rocks, opened) = RocksIndex::open(folder.path(), b"speed")?;
    println!(
        "rocks  reopened in {:.3} s: {opened:?}, {} packs",
        start.elapsed().as_secs_f64(),
        rocks.packs()?.len()
    );
    drop(rocks);
    if count <= 10_000_000 {
        run("btree", &BTreeIndex::new(), count);
    }
    Ok(())
}
