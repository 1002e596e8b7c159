//! The first 48 bytes of every file: whatever decodes must encode to what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_fuzz::mended;
use russet_store::header::{Header, Kind};

fuzz_target!(|data: &[u8]| {
    let _ = Header::decode(data);
    let kind = data.get(8).copied().unwrap_or(0);
    let file = mended(data, kind);
    if let Ok(header) = Header::decode(&file) {
        assert_eq!(header.encode()[..], file[..48]);
        let _ = Header::of_file(&file, Kind::Pack, Some(header.repository));
        let _ = Header::of_file(data, header.kind, None);
    }
});
