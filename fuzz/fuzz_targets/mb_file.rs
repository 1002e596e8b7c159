//! The `file` column of Manifest.db: an archived object, as a hostile row may hold it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::apple::MbFile;

fuzz_target!(|data: &[u8]| {
    let _ = MbFile::parse(data);
    let _ = MbFile::parse(&[b"bplist00", data].concat());
});
