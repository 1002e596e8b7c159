//! What is read from pages, held against what SQLite reads from the same bytes; and that damage ends it.
//!
//! Invariant: every database is made here with SQLite, in a folder of its own, and then read from memory.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failed test is a panic")]

use std::fs;

use proptest::prelude::*;
use rusqlite::{Connection, params};

use super::super::{Column, FileId, ManifestDb, Oddity, OddityKind, RowFileId};
use super::*;

const APPLE_SCHEMA: &str = "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
    CREATE INDEX FilesDomainIdx ON Files(domain);
    CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";

/// The bytes of a database that these steps make, in order.
fn database(make: impl FnOnce(&mut Connection)) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("Manifest.db");
    let mut connection = Connection::open(&path).unwrap();
    make(&mut connection);
    connection.close().unwrap();
    fs::read(&path).unwrap()
}

/// Apple's table with so many rows, blobs of 412 bytes and more as they are in phones.
fn fill(connection: &mut Connection, count: u32) {
    let transaction = connection.transaction().unwrap();
    {
        let sql = "INSERT INTO Files VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut statement = transaction.prepare(sql).unwrap();
        for number in 0..count {
            let path = format!("Library/Caches/{number}/é.db");
            let id = FileId::of(b"HomeDomain", path.as_bytes()).to_string();
            let flags = [1, 1, 2, 4, 10][number as usize % 5];
            let file = vec![number.to_le_bytes()[0]; 412 + number as usize % 211];
            statement.execute(params![id, "HomeDomain", path, flags, file]).unwrap();
        }
    }
    transaction.commit().unwrap();
}

fn filled(pragmas: &str, count: u32) -> Vec<u8> {
    database(|connection| {
        connection.execute_batch(pragmas).unwrap();
        connection.execute_batch(APPLE_SCHEMA).unwrap();
        fill(connection, count);
    })
}

fn made_by(sql: &str) -> Vec<u8> {
    database(|connection| connection.execute_batch(sql).unwrap())
}

fn rows(source: impl PageSource) -> Result<Vec<Row>, ManifestPagesError> {
    let mut rows = Vec::new();
    let mut pages = ManifestPages::open(source)?;
    let count = pages.for_each_row(|row| {
        rows.push(row);
        ControlFlow::Continue(())
    })?;
    assert_eq!(count, rows.len() as u64);
    Ok(rows)
}

/// What is said of the index, after all rows were read.
fn index(bytes: &[u8]) -> Result<(), ManifestPagesError> {
    let mut pages = ManifestPages::open(bytes)?;
    pages.for_each_row(|_| ControlFlow::Continue(()))?;
    pages.check_index()
}

/// A page of so many rows, of a tree with pages of this kind.
fn page_of(bytes: &[u8], kind: u8, words: &[u8]) -> usize {
    let is_it = |page: &&[u8]| page[0] == kind && page.windows(words.len()).any(|w| w == words);
    bytes.chunks(4096).position(|page| is_it(&page)).unwrap() * 4096
}

fn rows_of_sqlite(bytes: &[u8]) -> Vec<Row> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let mut rows = Vec::new();
    let visit = |row| {
        rows.push(row);
        ControlFlow::Continue(())
    };
    ManifestDb::open(file.path()).unwrap().for_each_row(visit).unwrap();
    rows
}

/// Reads both ways and gives the rows, which are the same.
#[track_caller]
fn twin(bytes: &[u8]) -> Vec<Row> {
    let read = rows(bytes).unwrap();
    assert!(read == rows_of_sqlite(bytes), "SQLite reads other rows");
    index(bytes).unwrap();
    read
}

fn refusal(bytes: &[u8]) -> ManifestPagesError {
    rows(bytes).unwrap_err()
}

fn damage(bytes: &[u8]) -> Damage {
    match refusal(bytes) {
        ManifestPagesError::Damaged(damage) => damage,
        other => panic!("{other:?}"),
    }
}

fn only_sqlite(sql: &str) -> OnlySqlite {
    match refusal(&made_by(sql)) {
        ManifestPagesError::OnlySqlite(why) => why,
        other => panic!("{sql}: {other:?}"),
    }
}

/// A source that asserts that it is read page by page, and counts.
struct Counted<'a> {
    bytes: &'a [u8],
    page_len: u64,
    reads: Vec<u32>,
}

impl PageSource for &mut Counted<'_> {
    fn total_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        if buf.len() as u64 == self.page_len {
            assert_eq!(at % self.page_len, 0);
            self.reads[usize::try_from(at / self.page_len).unwrap()] += 1;
        }
        self.bytes.read_at(at, buf)
    }
}

#[test]
fn databases_of_any_count_and_page_size_are_read_as_by_sqlite() {
    for page_len in [512, 1024, 4096, 16384, 65536] {
        for count in [0, 1, 40, 10_000] {
            let bytes = filled(&format!("PRAGMA page_size = {page_len}"), count);
            assert_eq!(twin(&bytes).len(), count as usize, "{page_len}");
        }
    }
}

#[test]
fn a_database_in_wal_mode_with_padding_is_read() {
    let mut bytes = filled("PRAGMA journal_mode = WAL", 50);
    assert_eq!(bytes[18..20], [2, 2], "the header says WAL");
    bytes.extend_from_slice(&[16; 16]);
    assert_eq!(twin(&bytes).len(), 50);
}

#[test]
fn rows_are_read_after_deletions_in_all_modes_of_vacuum() {
    for vacuum in ["NONE", "FULL", "INCREMENTAL"] {
        for after in ["", "PRAGMA incremental_vacuum(7)", "VACUUM"] {
            let bytes = database(|connection| {
                let before = format!("PRAGMA page_size = 1024; PRAGMA auto_vacuum = {vacuum};");
                connection.execute_batch(&(before + APPLE_SCHEMA)).unwrap();
                fill(connection, 3000);
                let rest = "DELETE FROM Files WHERE rowid % 3 = 0 OR rowid BETWEEN 100 AND 900;
                    REPLACE INTO Files SELECT fileID, domain, relativePath, 2, zeroblob(5000) FROM Files WHERE rowid % 50 = 1;";
                connection.execute_batch(rest).unwrap();
                connection.execute_batch(after).unwrap();
            });
            assert_eq!(twin(&bytes).len(), 1466, "{vacuum} {after}");
        }
    }
}

#[test]
fn blobs_of_every_length_around_the_limits_of_a_page_are_read() {
    for page_len in [512, 4096, 65536] {
        let bytes = database(|connection| {
            let before = format!("PRAGMA page_size = {page_len};");
            connection.execute_batch(&(before + APPLE_SCHEMA)).unwrap();
            let transaction = connection.transaction().unwrap();
            let near = page_len - 120..page_len + 20;
            let lens = (0..700_u32).chain(near).chain([3 * page_len, 999_999]);
            for (number, len) in lens.enumerate() {
                let (path, file) = (number.to_string(), vec![len.to_le_bytes()[0]; len as usize]);
                let id = FileId::of(b"D", path.as_bytes()).to_string();
                let sql = "INSERT INTO Files VALUES (?1, 'D', ?2, 1, ?3)";
                transaction.execute(sql, params![id, path, file]).unwrap();
            }
            transaction.commit().unwrap();
        });
        assert_eq!(twin(&bytes).len(), 842);
    }
}

/// Moves the cells of every page forwards, so that its last bytes can be reserved; SQLite itself never reserves any.
fn with_reserve(mut bytes: Vec<u8>, len: u8) -> Vec<u8> {
    let u16_at = |page: &[u8], at: usize| u16::from_be_bytes([page[at], page[at + 1]]);
    for (number, page) in bytes.chunks_exact_mut(4096).enumerate() {
        let at = if number == 0 { 100 } else { 0 };
        let start = usize::from(u16_at(page, at + 5));
        page.copy_within(start.., start - usize::from(len));
        page[4096 - usize::from(len)..].fill(0xee);
        let places = at + 8;
        let count = usize::from(u16_at(page, at + 3));
        for place in [at + 5].into_iter().chain((0..count).map(|cell| places + 2 * cell)) {
            let moved = u16_at(page, place) - u16::from(len);
            page[place..place + 2].copy_from_slice(&moved.to_be_bytes());
        }
    }
    bytes[20] = len;
    bytes
}

#[test]
fn reserved_bytes_at_the_end_of_pages_are_left_out() {
    let bytes = with_reserve(filled("", 3), 32);
    assert_eq!(twin(&bytes).len(), 3);
    let mut cut = bytes;
    cut[20] = 64;
    assert!(
        matches!(refusal(&cut), ManifestPagesError::Damaged(_)),
        "the cells lie in the reserve"
    );
}

#[test]
fn what_stands_in_a_leaf_is_reckoned_by_usable_bytes() {
    let header = Header { page_len: 512, usable_len: 480, page_count: 1 };
    let pages = Pages::new([].as_slice(), header);
    // The limits of the file format, for 480 bytes: 445 at most, or 35 and as much as fills the last page of the chain.
    for (len, local_len) in
        [(0, 0), (445, 445), (446, 35), (511, 35), (512, 36), (921, 445), (922, 35)]
    {
        assert_eq!(pages.local_len(len, Tree::Table), local_len, "{len}");
    }
    // And in an index: 94 at most.
    for (len, local_len) in [(0, 0), (94, 94), (95, 35), (511, 35), (512, 36), (570, 94)] {
        assert_eq!(pages.local_len(len, Tree::Index), local_len, "{len}");
    }
}

#[test]
fn a_row_that_vanished_is_missed_by_the_index() {
    let mut bytes = filled("PRAGMA page_size = 4096;", 300);
    index(&bytes).unwrap();
    let page = page_of(&bytes, 13, b"HomeDomain");
    bytes[page + 4] -= 1;
    assert_eq!(rows(bytes.as_slice()).unwrap().len(), 299);
    let found = index(&bytes).unwrap_err();
    assert!(matches!(found, ManifestPagesError::Damaged(Damage::Index)), "{found:?}");
}

#[test]
fn an_index_with_another_id_or_a_page_that_is_none_is_damaged() {
    let whole = filled("PRAGMA page_size = 4096;", 300);
    let id = FileId::of(b"HomeDomain", "Library/Caches/7/é.db".as_bytes()).to_string();
    let page = page_of(&whole, 10, id.as_bytes());
    let at = whole[page..].windows(40).position(|part| part == id.as_bytes()).unwrap();
    let mut bytes = whole.clone();
    bytes[page + at + 3] ^= 1;
    let found = index(&bytes).unwrap_err();
    assert!(matches!(found, ManifestPagesError::Damaged(Damage::Index)), "{found:?}");
    let mut bytes = whole;
    bytes[page] = 13;
    assert!(index(&bytes).is_err());
    assert_eq!(rows(bytes.as_slice()).unwrap().len(), 300, "no row stands in an index");
}

#[test]
fn an_index_of_something_else_is_held_against_nothing() {
    let made = |columns: &str| {
        made_by(&format!(
            "CREATE TABLE Files ({columns}); INSERT INTO Files VALUES ('a', 'b', 'c', 1, NULL);"
        ))
    };
    for columns in [
        "fileID TEXT, domain TEXT UNIQUE, relativePath TEXT, flags INTEGER, file BLOB",
        "fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB, PRIMARY KEY (domain, fileID)",
        "fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB",
    ] {
        index(&made(columns)).unwrap();
    }
}

#[test]
fn odd_values_are_read_and_named_as_by_sqlite() {
    let loose = "CREATE TABLE Files (fileID, domain, relativePath, flags, file);";
    for values in [
        "(7, 1.5, NULL, 'x', NULL)",
        "(0, 1, -1, 0, 127)",
        "(128, -128, -129, 32768, 8388607)",
        "(-8388609, 2147483648, 140737488355328, -140737488355329, 9223372036854775807)",
        "(1e300, -0.0, 9e999, -9223372036854775808, 0.1)",
        "(x'44', x'70', 'not a blob', 1, 'text')",
        "(NULL, NULL, NULL, NULL, NULL)",
        "('', '', '', 1.0, x'')",
        "(CAST(x'ff00fe' AS TEXT), CAST(x'c0' AS TEXT), CAST(x'6100' AS TEXT), '1', x'00')",
        "('ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD', 'D', 'p', 16, x'00')",
    ] {
        let rows = twin(&made_by(&format!("{loose} INSERT INTO Files VALUES {values}")));
        assert_eq!(rows.len(), 1, "{values}");
    }
}

#[test]
fn a_null_is_named_and_its_row_is_kept() {
    let bytes =
        made_by(&format!("{APPLE_SCHEMA} INSERT INTO Files VALUES (NULL, 'D', NULL, 1, x'00')"));
    let odd = |column, kind| Oddity { column, kind };
    let expected = Row {
        file_id: RowFileId::Odd(Vec::new()),
        domain: b"D".to_vec(),
        relative_path: Vec::new(),
        flags: 1,
        file: vec![0],
        oddities: vec![
            odd(Column::FileId, OddityKind::WrongType),
            odd(Column::RelativePath, OddityKind::WrongType),
            odd(Column::FileId, OddityKind::NotAFileId),
        ],
    };
    assert_eq!(rows(bytes.as_slice()).unwrap(), [expected]);
}

#[test]
fn values_up_to_the_longest_are_read_and_longer_ones_left_and_named() {
    let bytes = made_by(&format!(
        "{APPLE_SCHEMA}
        INSERT INTO Files VALUES ('a', printf('%4096c', 'x'), printf('%65536c', 'x'), 1, zeroblob(16777216));
        INSERT INTO Files VALUES (printf('%4097c', 'x'), printf('%4097c', 'x'), printf('%65537c', 'x'), 1, zeroblob(16777217));
        INSERT INTO Files VALUES (printf('%99999c', 'x'), 'behind what was left', 'p', 2, x'01');"
    ));
    let rows = twin(&bytes);
    assert_eq!((rows[0].relative_path.len(), rows[0].file.len()), (65536, 16 << 20));
    let too_long = OddityKind::TooLong { len: (16 << 20) + 1 };
    assert!(rows[1].oddities.contains(&Oddity { column: Column::File, kind: too_long }));
    assert_eq!(rows[2].domain, b"behind what was left");
}

#[test]
fn columns_are_found_in_any_order_case_and_spelling() {
    for table in [
        "CREATE TABLE Files (file BLOB, flags INTEGER, relativePath TEXT, domain TEXT, fileID TEXT PRIMARY KEY)",
        "CREATE TABLE \"FILES\" (id INTEGER PRIMARY KEY, [fileid] TEXT, \"DOMAIN\" TEXT, `RelativePath` TEXT, 'flags' INTEGER, extra, file BLOB)",
        "CREATE TABLE files (x DECIMAL(10, 5) CHECK (x > 0) DEFAULT (1 + 2), -- domain, file
            fileID TEXT COLLATE NOCASE, /* , */ domain VARCHAR(20), relativePath, flags INT NOT NULL, file,
            CONSTRAINT a UNIQUE (fileID, flags), CHECK (flags <> 99), PRIMARY KEY (flags))",
        "CREATE TABLE Files (fileID TEXT, domain TEXT, \"a,\"\"(b\" TEXT, relativePath TEXT, flags INTEGER, file BLOB, PRIMARY KEY (fileID, domain)) STRICT",
    ] {
        let insert = "INSERT INTO Files (fileID, domain, relativePath, flags, file)
            VALUES ('3d0d7e5fb2ce288813306e4d4636395e047a3d28', 'HomeDomain', 'Library/SMS/sms.db', 1, x'010203')";
        let rows = twin(&made_by(&format!("{table}; {insert}")));
        let row = &rows[0];
        assert_eq!(row.relative_path, b"Library/SMS/sms.db", "{table}");
        assert_eq!((row.flags, row.oddities.as_slice()), (1, [].as_slice()), "{table}");
    }
}

#[test]
fn rows_from_before_a_column_was_added_are_read() {
    let rows = twin(&made_by(
        "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, gone TEXT);
        INSERT INTO Files VALUES ('a', 'D', 'old', 1, 'x');
        ALTER TABLE Files DROP COLUMN gone;
        ALTER TABLE Files ADD COLUMN file BLOB;
        INSERT INTO Files VALUES ('b', 'D', 'new', 1, x'00');",
    ));
    assert_eq!((rows[0].file.len(), rows[1].file.len()), (0, 1));
}

#[test]
fn the_table_is_found_in_a_long_schema() {
    let bytes = database(|connection| {
        connection.execute_batch("PRAGMA page_size = 512").unwrap();
        for number in 0..300 {
            connection.execute_batch(&format!("CREATE TABLE t{number} (a, b, c)")).unwrap();
        }
        connection.execute_batch(APPLE_SCHEMA).unwrap();
        fill(connection, 5);
    });
    assert_eq!(twin(&bytes).len(), 5);
}

#[test]
fn what_only_sqlite_understands_is_refused_and_named() {
    let columns = "domain TEXT, relativePath TEXT, file BLOB";
    let table = |rest: &str| format!("CREATE TABLE Files ({columns}, {rest})");
    let without = format!("{} WITHOUT ROWID", table("flags INTEGER, fileID TEXT PRIMARY KEY"));
    assert_eq!(only_sqlite(&without), OnlySqlite::WithoutRowid);
    let encoding = format!("PRAGMA encoding = 'UTF-16'; {APPLE_SCHEMA}");
    assert_eq!(only_sqlite(&encoding), OnlySqlite::Encoding);
    for rest in [
        "flags INTEGER, fileID TEXT, x AS (1)",
        "flags INTEGER, fileID TEXT, x TEXT GENERATED ALWAYS AS ('a') VIRTUAL",
        "flags INTEGER PRIMARY KEY, fileID TEXT",
        "flags INTEGER, fileID TEXT, PRIMARY KEY (flags)",
        "flags DOUBLE PRECISION, fileID TEXT",
        "flags INTEGER DEFAULT 1, fileID TEXT",
    ] {
        assert_eq!(only_sqlite(&table(rest)), OnlySqlite::Column, "{rest}");
    }
    let long = table(&format!("flags INTEGER, fileID TEXT {}", " ".repeat(65536)));
    assert_eq!(only_sqlite(&long), OnlySqlite::LongDefinition);
}

#[test]
fn what_is_not_a_plain_table_of_files_is_refused() {
    for schema in [
        "CREATE TABLE Other (fileID TEXT)",
        "CREATE TABLE Files (fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER)",
        "CREATE VIEW Files AS SELECT 1 AS fileID, 2 AS domain, 3 AS relativePath, 4 AS flags, 5 AS file",
    ] {
        assert!(matches!(refusal(&made_by(schema)), ManifestPagesError::NoFilesTable), "{schema}");
    }
}

#[test]
fn what_is_not_a_database_is_refused() {
    assert!(matches!(refusal(b""), ManifestPagesError::Empty));
    for len in [1, 15, 16, 99, 100, 8192] {
        assert!(matches!(refusal(&vec![0x5a; len]), ManifestPagesError::NotSqlite), "{len}");
    }
    let bytes = filled("", 3);
    assert!(matches!(refusal(&bytes[..15]), ManifestPagesError::NotSqlite));
    assert_eq!(damage(&bytes[..16]), Damage::Header);
}

#[test]
fn a_database_that_lacks_pages_is_refused_before_any_row() {
    let bytes = filled("", 400);
    let there = u32::try_from(bytes.len() / 4096).unwrap();
    let cut = damage(&bytes[..bytes.len() - 1]);
    assert_eq!(cut, Damage::Cut { page_count: there, there: there - 1 });
}

#[test]
fn a_header_that_cannot_be_is_refused() {
    let bytes = filled("", 3);
    for (at, value) in [(16, 0), (16, 255), (17, 7), (20, 255), (21, 1), (22, 0), (23, 33)] {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        let found = rows(bytes.as_slice());
        // 4096 bytes a page less 255 reserved are allowed, and then its cells lie wrongly.
        assert!(matches!(found, Err(ManifestPagesError::Damaged(_))), "{at}");
    }
    for (at, value) in [(19, 3), (47, 5)] {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        let newer = ManifestPagesError::OnlySqlite(OnlySqlite::Newer).to_string();
        assert_eq!(refusal(&bytes).to_string(), newer, "{at}");
    }
}

#[test]
fn each_page_is_read_once_and_those_of_other_tables_never() {
    let bytes = filled("PRAGMA page_size = 1024", 2000);
    let mut counted = Counted { bytes: &bytes, page_len: 1024, reads: vec![0; bytes.len() / 1024] };
    assert_eq!(rows(&mut counted).unwrap().len(), 2000);
    // The first is read for the schema, and no leaf of an index is.
    assert_eq!(counted.reads.iter().max(), Some(&1));
    assert!(counted.reads.contains(&0));
}

#[test]
fn a_visitor_that_breaks_sees_no_more_rows() {
    let bytes = filled("", 100);
    let mut pages = ManifestPages::open(bytes.as_slice()).unwrap();
    let mut left = 3;
    let count = pages.for_each_row(|_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(count.unwrap(), 3);
    assert_eq!(pages.for_each_row(|_| ControlFlow::Continue(())).unwrap(), 100);
}

/// Root page of the table of files, where it begins, in a database of 1024-byte pages whose root has children.
fn with_levels() -> (Vec<u8>, u32, usize) {
    let bytes = filled("PRAGMA page_size = 1024", 200);
    let root = ManifestPages::open(bytes.as_slice()).unwrap().files.root;
    let at = (root as usize - 1) * 1024;
    assert_eq!(bytes[at], 5, "the root is an interior page");
    (bytes, root, at)
}

#[test]
fn a_page_that_is_its_own_child_is_found() {
    let (mut bytes, root, at) = with_levels();
    bytes[at + 8..at + 12].copy_from_slice(&root.to_be_bytes());
    assert_eq!(damage(&bytes), Damage::Twice { page: root });
}

#[test]
fn a_child_outside_the_database_is_found() {
    for page in [0, 0x7fff_ffff, u32::MAX] {
        let (mut bytes, _, at) = with_levels();
        bytes[at + 8..at + 12].copy_from_slice(&page.to_be_bytes());
        assert_eq!(damage(&bytes), Damage::NoSuchPage { page });
    }
}

#[test]
fn a_page_of_an_index_in_the_tree_is_found() {
    let (mut bytes, root, at) = with_levels();
    bytes[at] = 2;
    assert_eq!(damage(&bytes), Damage::Kind { page: root });
}

/// A leaf's first cell, moved or overwritten by this.
fn with_first_cell(change: impl FnOnce(&mut [u8], usize)) -> Damage {
    let mut bytes = filled("PRAGMA page_size = 1024", 1);
    let root = ManifestPages::open(bytes.as_slice()).unwrap().files.root;
    let page = &mut bytes[(root as usize - 1) * 1024..][..1024];
    let cell = usize::from(u16::from_be_bytes([page[8], page[9]]));
    change(page, cell);
    damage(&bytes)
}

#[test]
fn a_cell_outside_its_page_or_among_the_places_is_found() {
    for place in [0_u16, 8, 9, 1023, 1024, 65535] {
        let found = with_first_cell(|page, _| page[8..10].copy_from_slice(&place.to_be_bytes()));
        assert!(matches!(found, Damage::Cell { .. }), "{place}: {found:?}");
    }
}

#[test]
fn a_cell_that_is_given_twice_is_found() {
    let found = with_first_cell(|page, cell| {
        page[4] = 2;
        page[10..12].copy_from_slice(&u16::try_from(cell).unwrap().to_be_bytes());
        // With one cell alone there is room for it twice.
        page[4] = 255;
        for place in page[8..8 + 510].chunks_exact_mut(2) {
            place.copy_from_slice(&u16::try_from(cell).unwrap().to_be_bytes());
        }
    });
    assert!(matches!(found, Damage::Cell { .. }), "{found:?}");
}

#[test]
fn a_row_longer_than_the_database_is_found() {
    let found = with_first_cell(|page, cell| page[cell..cell + 9].fill(0xff));
    assert!(matches!(found, Damage::Record { .. }), "{found:?}");
}

#[test]
fn types_that_say_another_length_than_the_row_has_are_found() {
    // Payload length of two bytes, number of the row, length of the header, then the type of the first value.
    let found = with_first_cell(|page, cell| page[cell + 4] += 2);
    assert!(matches!(found, Damage::Record { .. }), "{found:?}");
    let found = with_first_cell(|page, cell| page[cell + 4] -= 2);
    assert!(matches!(found, Damage::Record { .. }), "{found:?}");
    let found = with_first_cell(|page, cell| page[cell + 3] = 0x7f);
    assert!(matches!(found, Damage::Record { .. }), "{found:?}");
}

#[test]
fn a_chain_that_bites_its_tail_is_found() {
    let sql = "INSERT INTO Files VALUES ('a', 'D', 'p', 1, zeroblob(20000))";
    let mut bytes = made_by(&format!("PRAGMA page_size = 1024; {APPLE_SCHEMA} {sql}"));
    let root = ManifestPages::open(bytes.as_slice()).unwrap().files.root;
    let page = (root as usize - 1) * 1024;
    let cell = page + usize::from(u16::from_be_bytes([bytes[page + 8], bytes[page + 9]]));
    let last = page + 1024 - 4;
    assert!(cell < last);
    let first = u32::from_be_bytes(bytes[last..last + 4].try_into().unwrap());
    let next = (first as usize - 1) * 1024;
    bytes[next..next + 4].copy_from_slice(&first.to_be_bytes());
    assert_eq!(damage(&bytes), Damage::Twice { page: first });
    bytes[next..next + 4].fill(0);
    assert_eq!(damage(&bytes), Damage::NoSuchPage { page: 0 });
}

#[test]
fn a_tree_deeper_than_any_is_refused() {
    // A spine of interior pages without cells but the first, each with its successor as last child.
    let mut bytes = filled("PRAGMA page_size = 512", 0);
    let root = ManifestPages::open(bytes.as_slice()).unwrap().files.root as usize;
    let before = bytes.len() / 512;
    bytes.resize(bytes.len() + 30 * 512, 0);
    let count = u32::try_from(bytes.len() / 512).unwrap();
    bytes[28..32].copy_from_slice(&count.to_be_bytes());
    let spine: Vec<usize> = [root].into_iter().chain(before + 1..before + 30).collect();
    for pair in spine.windows(2) {
        let page = &mut bytes[(pair[0] - 1) * 512..][..512];
        let child = u32::try_from(pair[1]).unwrap().to_be_bytes();
        page[0] = 5;
        page[3..5].copy_from_slice(&[0, 1]);
        page[12..14].copy_from_slice(&500_u16.to_be_bytes());
        page[500..504].copy_from_slice(&child);
    }
    assert_eq!(damage(&bytes), Damage::TooDeep);
}

#[test]
fn a_source_that_fails_is_told() {
    struct Failing;
    impl PageSource for Failing {
        fn total_len(&self) -> u64 {
            4096
        }
        fn read_at(&mut self, _: u64, _: &mut [u8]) -> io::Result<()> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    assert!(matches!(rows(Failing).unwrap_err(), ManifestPagesError::Io(_)));
}

#[test]
fn integers_of_every_length_come_back() {
    for (bytes, value, len) in [
        (vec![0x7f], 0x7f, 1),
        (vec![0x81, 0x00], 128, 2),
        (vec![0xff; 9], u64::MAX, 9),
        (vec![0x80; 9], 128, 9),
        (vec![0x00, 0xff], 0, 1),
    ] {
        let (read, rest) = record::varint(&bytes).unwrap();
        assert_eq!((read, bytes.len() - rest.len()), (value, len));
    }
    for len in 0..9 {
        assert_eq!(record::varint(&vec![0x80; len]), None, "{len}");
    }
}

/// Reads to the end, and holds the reader to its bounds.
fn read_within_bounds(bytes: &[u8], page_len: usize) -> Result<Vec<Row>, ManifestPagesError> {
    let _ = index(bytes);
    let reads = vec![0; bytes.len() / page_len + 1];
    let mut counted = Counted { bytes, page_len: page_len as u64, reads };
    let found = rows(&mut counted);
    // Once for the schema and once for the rows.
    assert!(counted.reads.iter().all(|count| *count <= 2));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_damaged_or_cut_database_never_panics_or_loops(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        links in prop::collection::vec((any::<prop::sample::Index>(), 0..60_u8), 0..5),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        thread_local!(static WHOLE: Vec<u8> = database(|connection| {
            connection.execute_batch(&format!("PRAGMA page_size = 512; {APPLE_SCHEMA}")).unwrap();
            fill(connection, 40);
        }));
        let mut bytes = WHOLE.with(Clone::clone);
        // The last byte of what can be the number of a page: the first twelve bytes of pages, and of chains.
        for (at, page) in links {
            let start = at.index(bytes.len() / 512) * 512;
            bytes[start + if page % 2 == 0 { 3 } else { 11 }] = page;
        }
        for (at, byte) in edits {
            *at.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = read_within_bounds(&bytes, 512);
    }

    #[test]
    fn one_flipped_bit_gives_no_more_rows_than_there_is_room_for(
        at: prop::sample::Index, bit in 0..8_u32,
    ) {
        thread_local!(static WHOLE: Vec<u8> = filled("PRAGMA page_size = 1024", 30));
        let mut bytes = WHOLE.with(Clone::clone);
        *at.get_mut(&mut bytes) ^= 1 << bit;
        if let Ok(rows) = read_within_bounds(&bytes, 1024) {
            let len: usize = rows.iter().map(|row| row.file.len() + row.relative_path.len()).sum();
            prop_assert!(len <= bytes.len());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_whole_database_of_any_values_is_read_as_by_sqlite(
        values in prop::collection::vec((any::<i64>(), ".{0,80}", prop::collection::vec(any::<u8>(), 0..900)), 0..40),
        page in 9..13_u32,
    ) {
        let bytes = database(|connection| {
            let page_len = 1 << page;
            let before = format!("PRAGMA page_size = {page_len}; CREATE TABLE Files (fileID, domain, relativePath, flags, file);");
            connection.execute_batch(&before).unwrap();
            let transaction = connection.transaction().unwrap();
            for (number, text, blob) in &values {
                let sql = "INSERT INTO Files VALUES (?1, ?2, ?1 >> 20, ?1 >> 40, ?3)";
                transaction.execute(sql, params![number, text, blob]).unwrap();
            }
            transaction.commit().unwrap();
        });
        prop_assert_eq!(twin(&bytes).len(), values.len());
    }
}
