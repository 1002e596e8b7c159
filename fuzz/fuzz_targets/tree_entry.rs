//! Entries of a tree: what decodes stays below the folder and encodes to the same entry.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::snapshot::Entry;

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    while let Ok((entry, after)) = Entry::decode(rest) {
        let parts = || entry.stored_path.split(|byte| *byte == b'/');
        assert!(!entry.stored_path.contains(&0));
        assert!(entry.stored_path.is_empty() || parts().all(|p| !matches!(p, b"" | b"." | b"..")));
        let mut bytes = Vec::new();
        if entry.encode(&mut bytes).is_ok() {
            assert_eq!(Entry::decode(&bytes), Ok((entry, &[][..])));
        }
        assert!(after.len() < rest.len());
        rest = after;
    }
});
