//! Manifest.db: a SQLite file that somebody else made.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::apple::{ManifestDb, MbFile};
use std::io::Write;
use std::ops::ControlFlow;

fuzz_target!(|data: &[u8]| {
    let mut file =
        tempfile::NamedTempFile::new().expect("the folder for temporary files can be written");
    file.write_all(data).expect("and has room");
    let Ok(db) = ManifestDb::open(file.path()) else { return };
    let mut count = 0;
    let mut visit = |row: russet::apple::Row| {
        let _ = MbFile::parse(&row.file);
        count += 1;
        if count > 10_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let _ = db.for_each_row(&mut visit);
    let _ = db.rows_by_file_id(&mut visit);
});
