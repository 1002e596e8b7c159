//! What the reader of `Manifest.db` accepts, names as odd, and refuses.
//!
//! Invariant: every database is made here with SQLite, in a folder of its own.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::PathBuf;

use proptest::prelude::*;
use rusqlite::params;
use tempfile::TempDir;

use super::super::{FileId, Oddity, OddityKind, RowFileId};
use super::*;

const APPLE_SCHEMA: &str = "CREATE TABLE Files (fileID TEXT PRIMARY KEY, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB);
    CREATE INDEX FilesDomainIdx ON Files(domain);
    CREATE TABLE Properties (key TEXT PRIMARY KEY, value BLOB);";

/// A database in a folder of its own, made by these statements.
fn database(name: impl AsRef<Path>, statements: &[&str]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    // By its bytes, because a plain path that begins with "file:" or holds '?' is no URI here.
    let connection = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    )
    .unwrap();
    for statement in statements {
        connection.execute_batch(statement).unwrap();
    }
    connection.close().unwrap();
    (dir, path)
}

fn insert(path: &Path, domain: &[u8], relative_path: &[u8], flags: i64, file: &[u8]) -> FileId {
    let id = FileId::of(domain, relative_path);
    let sql = "INSERT INTO Files VALUES (?1, CAST(?2 AS TEXT), CAST(?3 AS TEXT), ?4, ?5)";
    let connection = Connection::open(path).unwrap();
    connection.execute(sql, params![id.to_string(), domain, relative_path, flags, file]).unwrap();
    id
}

/// A backup's table with this many files, in WAL mode as the phone leaves it.
fn filled(count: u32) -> (TempDir, PathBuf) {
    let (dir, path) = database("Manifest.db", &["PRAGMA journal_mode = WAL", APPLE_SCHEMA]);
    let mut connection = Connection::open(&path).unwrap();
    let transaction = connection.transaction().unwrap();
    for number in 0..count {
        let relative_path = format!("Library/{number}");
        let id = FileId::of(b"HomeDomain", relative_path.as_bytes()).to_string();
        let values = params![id, "HomeDomain", relative_path, 1, vec![0u8; 300]];
        transaction.execute("INSERT INTO Files VALUES (?1, ?2, ?3, ?4, ?5)", values).unwrap();
    }
    transaction.commit().unwrap();
    connection.close().unwrap();
    (dir, path)
}

fn rows(path: &Path) -> Result<Vec<Row>, ManifestDbError> {
    let mut rows = Vec::new();
    let count = ManifestDb::open(path)?.for_each_row(|row| {
        rows.push(row);
        ControlFlow::Continue(())
    })?;
    assert_eq!(count, rows.len() as u64);
    Ok(rows)
}

/// The one row that this statement puts into Apple's table.
fn row_of(statement: &str) -> Row {
    let (_dir, path) = database("Manifest.db", &[APPLE_SCHEMA, statement]);
    let mut rows = rows(&path).unwrap();
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn odd(column: Column, kind: OddityKind) -> Oddity {
    Oddity { column, kind }
}

fn names(dir: &Path) -> Vec<std::ffi::OsString> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn a_row_comes_back_as_the_phone_wrote_it() {
    let (_dir, path) = database("Manifest.db", &[APPLE_SCHEMA]);
    let id = insert(&path, b"HomeDomain", b"Library/a.db", 1, b"\0blob");
    let expected = Row {
        file_id: RowFileId::Id(id),
        domain: b"HomeDomain".to_vec(),
        relative_path: b"Library/a.db".to_vec(),
        flags: 1,
        file: b"\0blob".to_vec(),
        oddities: Vec::new(),
    };
    assert_eq!(rows(&path).unwrap(), [expected]);
}

#[test]
fn text_is_kept_byte_by_byte() {
    let (_dir, path) = database("Manifest.db", &[APPLE_SCHEMA]);
    let paths: [&[u8]; 5] =
        ["é".as_bytes(), "e\u{301}".as_bytes(), b"not \xff\xfe UTF-8", b"a\0b", b""];
    for relative_path in paths {
        insert(&path, b"Home\xc0Domain", relative_path, 1, b"");
    }
    let rows = rows(&path).unwrap();
    let read: Vec<_> = rows.iter().map(|row| row.relative_path.as_slice()).collect();
    assert_eq!(read, paths);
    for row in &rows {
        assert_eq!(row.domain, b"Home\xc0Domain");
        assert_eq!(row.file_id, RowFileId::Id(FileId::of(&row.domain, &row.relative_path)));
        assert_eq!(row.oddities, []);
    }
}

#[test]
fn a_database_in_wal_mode_with_padding_is_read_and_left_as_it_was() {
    let (dir, path) = filled(50);
    let mut bytes = fs::read(&path).unwrap();
    assert_eq!(bytes[18..20], [2, 2], "the header says WAL");
    bytes.extend_from_slice(&[16; 16]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(rows(&path).unwrap().len(), 50);
    assert_eq!(names(dir.path()), ["Manifest.db"]);
    assert!(fs::read(&path).unwrap() == bytes);
}

#[test]
fn nothing_appears_beside_the_database_while_it_is_read() {
    let (dir, path) = filled(50);
    let seen = ManifestDb::open(&path).unwrap().rows_by_file_id(|_| {
        assert_eq!(names(dir.path()), ["Manifest.db"]);
        ControlFlow::Continue(())
    });
    assert_eq!(seen.unwrap(), 50);
}

#[test]
fn names_that_mean_something_in_a_uri_are_only_names() {
    for name in ["a?mode=rw", "a#b", "a%20b", "100% a+b&c=d;e", "é ü"] {
        let (_dir, path) = database(name, &[APPLE_SCHEMA]);
        insert(&path, b"HomeDomain", b"a", 1, b"");
        assert_eq!(rows(&path).unwrap().len(), 1, "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_name_that_is_not_utf_8_is_only_a_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let (_dir, path) = database(std::ffi::OsStr::from_bytes(b"a\xff\xfeb"), &[APPLE_SCHEMA]);
    assert_eq!(rows(&path).unwrap(), []);
}

#[test]
fn every_separator_and_sign_is_escaped_in_the_uri() {
    let uri = immutable_uri(Path::new("//host/a?b")).unwrap();
    assert_eq!(uri, "file:%2F%2Fhost%2Fa%3Fb?mode=ro&immutable=1");
}

#[test]
fn rows_by_file_id_are_sorted() {
    let (_dir, path) = filled(200);
    let mut ids = Vec::new();
    let visit = |row: Row| {
        let RowFileId::Id(id) = row.file_id else {
            return ControlFlow::Break(());
        };
        ids.push(id);
        ControlFlow::Continue(())
    };
    assert_eq!(ManifestDb::open(&path).unwrap().rows_by_file_id(visit).unwrap(), 200);
    assert!(ids.is_sorted());
}

#[test]
fn a_visitor_that_breaks_sees_no_more_rows() {
    let (_dir, path) = filled(10);
    let mut left = 3;
    let count = ManifestDb::open(&path).unwrap().for_each_row(|_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(count.unwrap(), 3);
}

#[test]
fn numbers_and_null_in_place_of_text_are_read_and_named() {
    let row = row_of(
        "DROP TABLE Files; CREATE TABLE Files (fileID, domain, relativePath, flags, file);
        INSERT INTO Files VALUES (7, 1.5, NULL, 'x', NULL)",
    );
    assert_eq!(row.file_id, RowFileId::Odd(b"7".to_vec()));
    assert_eq!(
        (row.domain.as_slice(), row.relative_path.as_slice(), row.flags),
        (b"1.5".as_slice(), b"".as_slice(), 0)
    );
    let expected = [Column::FileId, Column::Domain, Column::RelativePath, Column::File]
        .map(|column| odd(column, OddityKind::WrongType));
    let rest =
        [odd(Column::FileId, OddityKind::NotAFileId), odd(Column::Flags, OddityKind::WrongType)];
    assert_eq!(row.oddities, [expected.as_slice(), rest.as_slice()].concat());
}

#[test]
fn a_blob_in_place_of_text_and_text_in_place_of_a_blob_are_read_and_named() {
    let id = FileId::of(b"D", b"p");
    let row = row_of(&format!("INSERT INTO Files VALUES ('{id}', x'44', x'70', 1, 'text')"));
    assert_eq!(
        (row.domain.as_slice(), row.relative_path.as_slice(), row.file.as_slice()),
        (b"D".as_slice(), b"p".as_slice(), b"text".as_slice())
    );
    assert_eq!(
        row.oddities,
        [Column::Domain, Column::RelativePath, Column::File]
            .map(|column| odd(column, OddityKind::WrongType))
    );
}

#[test]
fn unknown_flags_are_kept() {
    let id = FileId::of(b"D", b"p");
    let row =
        row_of(&format!("INSERT INTO Files VALUES ('{id}', 'D', 'p', -9223372036854775808, x'')"));
    assert_eq!((row.flags, row.oddities), (i64::MIN, Vec::new()));
}

#[test]
fn an_id_in_upper_case_is_odd_and_kept() {
    let id = FileId::of(b"D", b"p").to_string().to_uppercase();
    let row = row_of(&format!("INSERT INTO Files VALUES ('{id}', 'D', 'p', 1, x'')"));
    assert_eq!(row.file_id, RowFileId::Odd(id.into_bytes()));
    assert_eq!(row.oddities, [odd(Column::FileId, OddityKind::NotAFileId)]);
}

#[test]
fn values_of_exactly_the_longest_length_are_read() {
    let id = FileId::of(b"D", b"p");
    let row = row_of(&format!(
        "INSERT INTO Files VALUES ('{id}', printf('%4096c', 'x'), printf('%65536c', 'x'), 1, zeroblob(16777216))"
    ));
    assert_eq!(
        (row.domain.len(), row.relative_path.len(), row.file.len()),
        (4096, 65536, 16_777_216)
    );
    assert_eq!(row.oddities, []);
}

#[test]
fn longer_values_are_left_out_and_named() {
    let row = row_of(
        "INSERT INTO Files VALUES (printf('%4097c', 'x'), printf('%4097c', 'x'), printf('%65537c', 'x'), 1, zeroblob(16777217))",
    );
    assert!(row.domain.is_empty() && row.relative_path.is_empty() && row.file.is_empty());
    assert_eq!(
        row.oddities,
        [
            odd(Column::FileId, OddityKind::TooLong { len: 4097 }),
            odd(Column::Domain, OddityKind::TooLong { len: 4097 }),
            odd(Column::RelativePath, OddityKind::TooLong { len: 65537 }),
            odd(Column::File, OddityKind::TooLong { len: 16_777_217 }),
            odd(Column::FileId, OddityKind::NotAFileId),
        ]
    );
}

#[test]
fn a_missing_database_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let error = ManifestDb::open(&dir.path().join("Manifest.db")).unwrap_err();
    assert!(matches!(error, ManifestDbError::Missing));
    assert!(names(dir.path()).is_empty());
}

#[test]
fn a_folder_is_not_a_file() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(ManifestDb::open(dir.path()).unwrap_err(), ManifestDbError::NotAFile));
}

#[test]
fn a_file_of_length_zero_is_empty() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(ManifestDb::open(file.path()).unwrap_err(), ManifestDbError::Empty));
}

#[test]
fn an_encrypted_database_is_not_sqlite() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for len in [1, 15, 16, 8192] {
        fs::write(file.path(), vec![0x5a; len]).unwrap();
        assert!(
            matches!(ManifestDb::open(file.path()).unwrap_err(), ManifestDbError::NotSqlite),
            "{len}"
        );
    }
}

#[test]
fn a_database_that_is_only_a_beginning_is_corrupt() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), [MAGIC.as_slice(), &[0; 4080]].concat()).unwrap();
    assert!(matches!(ManifestDb::open(file.path()).unwrap_err(), ManifestDbError::Corrupt(_)));
}

#[test]
fn a_database_with_noise_in_the_middle_is_corrupt() {
    let (_dir, path) = filled(400);
    let mut bytes = fs::read(&path).unwrap();
    let half = bytes.len() / 2;
    bytes[half..].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    assert!(matches!(rows(&path).unwrap_err(), ManifestDbError::Corrupt(_)));
}

#[test]
fn a_database_cut_in_half_is_corrupt() {
    let (_dir, path) = filled(400);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(rows(&path).unwrap_err(), ManifestDbError::Corrupt(_)));
}

#[test]
fn more_rows_than_the_file_has_room_for_are_not_read() {
    let (_dir, path) = filled(3);
    let mut db = ManifestDb::open(&path).unwrap();
    db.row_count_max = 2;
    let error = db.for_each_row(|_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, ManifestDbError::TooManyRows { row_count_max: 2 }));
}

#[test]
fn what_is_not_a_plain_table_of_files_is_refused() {
    for schema in [
        "CREATE TABLE Other (fileID TEXT)",
        "CREATE TABLE Files (fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER)",
        "CREATE TABLE Files (fileID TEXT, domain TEXT, relativePath TEXT, flags INTEGER, file AS (zeroblob(999999999)))",
        "CREATE VIEW Files AS SELECT 1 AS fileID, 2 AS domain, 3 AS relativePath, 4 AS flags, 5 AS file",
    ] {
        let (_dir, path) = database("Manifest.db", &[schema]);
        assert!(
            matches!(ManifestDb::open(&path).unwrap_err(), ManifestDbError::NoFilesTable),
            "{schema}"
        );
    }
}

/// A database whose schema has these bytes in place of others of the same length.
fn with_schema_patched(schema: &str, from: &[u8], to: &[u8]) -> (TempDir, PathBuf) {
    let (dir, path) = database("Manifest.db", &[schema]);
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    bytes[at..at + from.len()].copy_from_slice(to);
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[test]
fn a_schema_that_is_noise_is_corrupt() {
    let (_dir, path) = with_schema_patched(APPLE_SCHEMA, b"fileID TEXT", b"fileID @@@@");
    assert!(matches!(ManifestDb::open(&path).unwrap_err(), ManifestDbError::Corrupt(_)));
}

#[test]
fn an_order_that_sqlite_does_not_know_is_an_error_of_sqlite() {
    let schema = "CREATE TABLE Files (fileID TEXT COLLATE NOCASE, domain TEXT, relativePath TEXT, flags INTEGER, file BLOB)";
    let (_dir, path) = with_schema_patched(schema, b"NOCASE", b"NOSUCH");
    let error = ManifestDb::open(&path)
        .unwrap()
        .rows_by_file_id(|_| ControlFlow::Continue(()))
        .unwrap_err();
    assert!(matches!(error, ManifestDbError::Sqlite(_)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_damaged_or_cut_database_never_panics(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        thread_local!(static WHOLE: Vec<u8> = fs::read(filled(60).1).unwrap());
        let mut bytes = WHOLE.with(Clone::clone);
        for (at, byte) in edits {
            *at.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &bytes).unwrap();
        if let Ok(db) = ManifestDb::open(file.path()) {
            let _ = db.for_each_row(|_| ControlFlow::Continue(()));
            let _ = db.rows_by_file_id(|_| ControlFlow::Continue(()));
        }
    }
}
