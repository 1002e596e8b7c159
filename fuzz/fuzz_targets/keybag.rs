//! The keybag of an encrypted backup, and files that claim to be encrypted: no bytes may cost more than their length.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use russet::apple::{Closing, FileKey, Keybag, LockedKeys, Opening};

fuzz_target!(|data: &[u8]| {
    // Not unlocked: a bag that is in bounds may ask for seconds of work.
    let _ = Keybag::parse(data);
    let _ = LockedKeys::parse(data);
    let Some((key, stored)) = data.split_first_chunk() else { return };
    let key = FileKey::from_bytes(key);
    let mut opening = Opening::new(stored, &key, stored.len() as u64);
    let mut plain = Vec::new();
    if opening.read_to_end(&mut plain).is_ok() {
        let facts = opening.stored().expect("all of it was read");
        let mut again = Vec::new();
        let mut closing = Closing::new(&key);
        let pushed = closing.push(&plain, &mut |bytes| -> Result<(), ()> {
            again.extend_from_slice(bytes);
            Ok(())
        });
        pushed.expect("memory takes everything");
        again.extend(closing.finish(facts.padding).expect("it was of this file"));
        assert_eq!(again, stored);
    }
});
