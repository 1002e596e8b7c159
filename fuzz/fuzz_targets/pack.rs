//! Packs with changed bytes: a blob comes back as it was, or not at all.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_fuzz::{HEADER_LEN, small};
use russet_store::header::Kind;
use russet_store::layout::pack_name;
use russet_store::seal::BlobType;
use russet_store::session::Session;

const BLOBS: [&[u8]; 3] = [b"one", b"the second blob, which is somewhat longer", &[7; 5000]];

// Input: five bytes a change: where (4), what to XOR (1). The byte 0xff at 4 also cuts the file there.
fuzz_target!(|data: &[u8]| {
    let small = small();
    let repository = &small.repository;
    let session = Session::begin(repository, None).expect("memory can be written");
    let put = |blob: &&[u8]| session.put(BlobType::Data, blob.to_vec()).expect("memory takes it");
    let ids: Vec<_> = BLOBS.iter().map(put).collect();
    session.settle().expect("memory takes it");
    let (pack, _) = repository.packs().into_iter().next().expect("a pack was written");
    let name = pack_name(&pack);
    let mut file = repository.backend().get(&name, 1 << 28).expect("it is there").to_vec();
    for change in data.chunks_exact(5) {
        let at =
            u32::from_le_bytes([change[0], change[1], change[2], change[3]]) as usize % file.len();
        file[at] ^= change[4];
        if change[4] == 0xff && at > 0 {
            file.truncate(at);
        }
    }
    if let Some(head) = file.first_chunk_mut::<HEADER_LEN>() {
        let sum = blake3::hash(&head[..40]);
        head[40..].copy_from_slice(&sum.as_bytes()[..8]);
    }
    small.memory.plant(name.as_str(), &file);
    let _ = repository.check_pack(&pack);
    let _ = repository.read_directory(&pack, file.len() as u64);
    for (id, blob) in ids.iter().zip(BLOBS) {
        if let Ok(plain) = repository.blob(id, BlobType::Data) {
            assert_eq!(plain, blob);
        }
    }
    let _ = repository.open_record(Kind::Log, &file);
});
