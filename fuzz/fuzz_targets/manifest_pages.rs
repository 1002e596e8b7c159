//! Manifest.db: a SQLite file that somebody else made, read from its pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::apple::ManifestPages;
use std::ops::ControlFlow;

fuzz_target!(|data: &[u8]| {
    let Ok(mut pages) = ManifestPages::open(data) else { return };
    let (mut count, mut len) = (0, 0);
    let found = pages.for_each_row(|row| {
        count += 1;
        len += row.domain.len() + row.relative_path.len() + row.file.len();
        ControlFlow::Continue(())
    });
    // Numbers in place of text are given as digits: at most 330 bytes for 8.
    assert!(count <= data.len() / 4, "{count} rows");
    assert!(len <= 50 * data.len(), "{len} bytes");
    let _ = pages.check_index();
    assert!(found.is_err() || found.is_ok_and(|given| given == count as u64));
});
