//! Index segments: what decodes comes back from its own encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_store::segment::{decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(packs) = decode(data) {
        assert_eq!(decode(&encode(&packs)), Ok(packs));
    }
});
