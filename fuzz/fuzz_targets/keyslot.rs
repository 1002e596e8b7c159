//! Keyslots: parameters outside the bounds are refused before anything is derived.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet_fuzz::mended;
use russet_store::seal::{KEYSLOT_LEN, Kdf, Keyslot};

fuzz_target!(|data: &[u8]| {
    let _ = Keyslot::decode(data, None);
    let mut slot = data.to_vec();
    slot.resize(KEYSLOT_LEN, 0);
    let file = mended(&slot, 2);
    if let Ok(slot) = Keyslot::decode(&file, None) {
        if let Kdf::Argon2id { memory_kib, passes, lanes } = slot.facts().kdf {
            assert!(
                memory_kib <= 2 << 20 && (1..=64).contains(&passes) && (1..=16).contains(&lanes)
            );
        }
        assert_eq!(slot.bytes()[..], file[..]);
    }
});
