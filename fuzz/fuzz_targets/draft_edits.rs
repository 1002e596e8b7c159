//! Pieces of a draft's journal: what decodes has one encoding, and replaying never leaves the backup's folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::capture::device::draft::{Draft, DraftTree, journal};

fuzz_target!(|data: &[u8]| {
    let Ok(edits) = journal::decode(data) else { return };
    assert_eq!(journal::encode(&edits), data);
    // A few edits can ask for copies of copies.
    let mut draft = Draft::over(DraftTree::with_held_len_max(1 << 20));
    let _ = draft.replay(data);
    let tree = draft.tree();
    let mut len = 0u64;
    for (path, file) in tree.files() {
        assert!(!path.contains(&0));
        assert!(path.split(|byte| *byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..")));
        len = len.saturating_add(file.packed.decode().content.len);
    }
    assert_eq!(tree.counts().len, len);
    let mut listed = 0;
    let directories = tree.all().map(|(path, _)| path).chain([&[][..]]);
    for path in directories {
        let _ = tree.list(path, &mut |_, _| listed += 1);
    }
    assert_eq!(listed, tree.all().count());
});
