//! A spool whose segments and whose record are anybody's: what is not sealed under its key is an error, and sizes cost nothing.
#![no_main]

use std::io::Read;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use russet::capture::device::spool::{Spool, SpoolKey, SpoolPlace, SpoolRecord, Spooled, segment};
use russet_store::ambient::System;

fuzz_target!(|data: &[u8]| {
    if let Ok(salt) = segment::decode_head(data) {
        assert_eq!(data.get(..segment::HEAD_LEN), Some(&segment::encode_head(&salt)[..]));
    }
    let Some((numbers, stored)) = data.split_first_chunk::<32>() else { return };
    let mut numbers = numbers.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes));
    let mut next = || numbers.next().unwrap_or_default();
    let folder = std::env::temp_dir().join(format!("russet-fuzz-spool-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("00000000"), stored).expect("a segment");
    // What says whose it is, is anybody's too, or not there.
    let owner = folder.join("owner");
    match data.len() % 4 {
        0 => std::fs::write(owner, stored).expect("an owner"),
        _ => drop(std::fs::remove_file(owner)),
    }
    // Small numbers meet what is there, large ones what a hostile draft says.
    let (segment_len, end) = ((next() % 4 + 1) << 16, (next() % 5) << 16);
    let key = SpoolKey::new([1; 32]);
    let record = SpoolRecord { folder, beside: None, key, segment_len, end, turn: 0 };
    let (at, len) = (next(), next());
    let _ = record.holds([(at, len), (at % (1 << 18), len % (1 << 18))].into_iter());
    let Ok((mut spool, _)) =
        Spool::resume(record, &SpoolPlace::beside(std::path::Path::new("/nowhere/r")), Arc::new(System))
    else {
        return;
    };
    for file in [(at, len), (at % (1 << 18), len % (1 << 18))] {
        let file = Spooled { at: file.0, len: file.1.max(1), hash: [0; 32] };
        if let Ok(mut reader) = spool.reader(&file) {
            assert!(reader.read_to_end(&mut Vec::new()).is_err());
        }
    }
});
