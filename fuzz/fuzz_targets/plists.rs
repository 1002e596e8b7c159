//! Apple's three property lists, binary and XML, as a hostile folder may hold them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::apple::{Info, ManifestPlist, Status};

fuzz_target!(|data: &[u8]| {
    let _ = Info::parse(data);
    let _ = ManifestPlist::parse(data);
    let _ = Status::parse(data);
    let binary = [b"bplist00", data].concat();
    let _ = Info::parse(&binary);
    let _ = ManifestPlist::parse(&binary);
    let _ = Status::parse(&binary);
});
