//! From what a phone's folder holds at the end of a capture to the items of a tree, in order, and whether all of it is there.
//!
//! Invariant: every stored item comes out exactly once, with a row or without, whatever Manifest.db says; what it says and the
//! folder does not hold is a problem, never a refusal. Reads nothing itself.

use std::fmt::Write as _;

use super::super::catalogue::{
    Catalogue, ItemKind, Problems, RowIndex, RowMark, file_id_of, row_shown,
};
use crate::apple::{MbFile, Row, RowFileId};
use crate::snapshot::record::{Counts, Problem};

/// A stored item, as the draft knows it.
#[derive(Debug, Clone, Copy)]
pub struct StoredItem<'a> {
    /// Path in the phone's folder: `ab/ab…` or `Manifest.db`; empty for the folder itself.
    pub path: &'a [u8],
    /// What it is.
    pub kind: ItemKind,
    /// Bytes as stored; 0 for folders and links.
    pub len: u64,
}

/// Gives the SHA-1 of the stored bytes of the file at a path, if it arrived in this run; it is held against its row. Asked and
/// not kept: a million of them would be 40 MB.
pub type FreshSha1<'a> = &'a dyn Fn(&[u8]) -> Option<[u8; 20]>;

/// Whether the rows of Manifest.db could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowsRead {
    /// To the end.
    All,
    /// Not, or not to the end: those that came are forgotten, and nothing is checked.
    No,
}

/// An arrangement in the making: first all items, then all rows, then the end.
pub struct Arranging<'a> {
    items: Vec<Place<'a>>,
    counts: Counts,
    catalogue: Catalogue,
    mark: RowMark<'a>,
    fresh: FreshSha1<'a>,
    checked_count: u64,
    problems: Problems,
}

/// As little as joins and sorts: there are a million. What else is known of an item its owner finds by its path.
#[derive(Debug)]
struct Place<'a> {
    path: &'a [u8],
    row: Option<RowIndex>,
    is_file: bool,
}

/// Everything in the folder, sorted as a tree wants it.
#[derive(Debug)]
pub struct Arranged<'a> {
    items: Vec<Place<'a>>,
    catalogue: Catalogue,
    /// Rows without their file and files that are not what their row says; the first of them.
    pub problems: Vec<Problem>,
    /// All of them.
    pub problem_count: u64,
    /// How much there is.
    pub counts: Counts,
    /// Files `ab/ab…` of which no row speaks: kept, and no problem. 0 if the rows are not known.
    pub rowless_count: u64,
    /// Files whose SHA-1 was held against their row.
    pub checked_count: u64,
}

/// One item of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArrangedItem<'a> {
    /// Domain of its row; empty without one.
    pub domain: &'a [u8],
    /// Path in that domain.
    pub relative_path: &'a [u8],
    /// Path in the folder.
    pub stored_path: &'a [u8],
    /// By which its row is known again.
    pub row: Option<[u8; 8]>,
}

impl<'a> Arranging<'a> {
    /// Takes the items, about `count` of them, in any order.
    pub fn new(
        count: usize,
        stored: impl IntoIterator<Item = StoredItem<'a>>,
        fresh: FreshSha1<'a>,
        mark: RowMark<'a>,
    ) -> Self {
        let (mut items, mut counts) = (Vec::with_capacity(count), Counts::default());
        for StoredItem { path, kind, len } in stored {
            match kind {
                ItemKind::Directory => counts.directories += 1,
                ItemKind::Link => counts.links += 1,
                ItemKind::File => {
                    counts.files += 1;
                    counts.len = counts.len.saturating_add(len);
                }
            }
            items.push(Place { path, row: None, is_file: kind == ItemKind::File });
        }
        let (mut catalogue, problems) = (Catalogue::default(), Problems::default());
        // Some rows are of folders, which no item is stored for.
        catalogue.reserve(items.len() + items.len() / 8);
        Self { items, counts, catalogue, mark, fresh, checked_count: 0, problems }
    }

    /// Takes a row. Only of a file that arrived in this run is its blob read.
    pub fn row(&mut self, row: &Row) {
        self.catalogue.add(row, self.mark);
        let RowFileId::Id(id) = &row.file_id else { return };
        let Some(sha1) = (self.fresh)(id.stored_path().as_bytes()) else { return };
        // A blob without a digest, or that is none, promises nothing: most domains have no digests.
        let Some(digest) = MbFile::parse(&row.file).ok().and_then(|file| file.digest) else {
            return;
        };
        self.checked_count += 1;
        if digest != sha1 {
            let why =
                format!("arrived with SHA-1 {}, and Manifest.db has {}", hex(&sha1), hex(&digest));
            self.problems.add(row_shown((&row.domain, &row.relative_path)), &why);
        }
    }

    /// Joins, sorts and checks.
    #[must_use]
    pub fn finish(mut self, rows: RowsRead) -> Arranged<'a> {
        if rows == RowsRead::No {
            self.catalogue = Catalogue::default();
            self.problems = Problems::default();
            self.checked_count = 0;
        }
        self.catalogue.sort();
        let mut rowless_count = 0;
        for item in self.items.iter_mut().filter(|item| item.is_file) {
            item.row = self.catalogue.find(item.path);
            let is_payload = item.row.is_none() && file_id_of(item.path).is_some();
            rowless_count += u64::from(is_payload && rows == RowsRead::All);
        }
        self.catalogue.sort_items(&mut self.items, |item| (item.row, item.path));
        let why = "is listed in Manifest.db, but its file is not there";
        self.catalogue.report(&mut self.problems, why);
        let Self { items, counts, catalogue, checked_count, problems, .. } = self;
        let (mut problems, problem_count) = (problems.first, problems.count);
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        Arranged { items, catalogue, problems, problem_count, counts, rowless_count, checked_count }
    }
}

impl Arranged<'_> {
    /// The items, in the order of a tree: by domain, path and stored path, as bytes.
    pub fn items(&self) -> impl ExactSizeIterator<Item = ArrangedItem<'_>> {
        self.items.iter().map(|item| {
            let (domain, relative_path) = self.catalogue.names(item.row);
            ArrangedItem {
                domain,
                relative_path,
                stored_path: item.path,
                row: self.catalogue.mark(item.row),
            }
        })
    }
}

fn hex(bytes: &[u8; 20]) -> String {
    bytes.iter().fold(String::with_capacity(40), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use plist::{Dictionary, Uid, Value};
    use proptest::prelude::*;

    use super::*;
    use crate::apple::FileId;

    const OLD_SHA1: [u8; 20] = [1; 20];
    const NEW_SHA1: [u8; 20] = [2; 20];

    /// The first eight bytes of the blob, after the flags.
    fn mark(flags: i64, blob: &[u8]) -> [u8; 8] {
        let mut mark = [0; 8];
        for (mark, byte) in mark.iter_mut().zip(flags.to_be_bytes()[7..].iter().chain(blob)) {
            *mark = *byte;
        }
        mark
    }

    fn item(path: &[u8]) -> StoredItem<'_> {
        StoredItem { path, kind: ItemKind::File, len: 10 }
    }

    fn nothing_is_fresh(_: &[u8]) -> Option<[u8; 20]> {
        None
    }

    fn row(domain: &str, path: &str, flags: i64, file: &[u8]) -> Row {
        Row {
            file_id: RowFileId::Id(FileId::of(domain.as_bytes(), path.as_bytes())),
            domain: domain.into(),
            relative_path: path.into(),
            flags,
            file: file.to_vec(),
            oddities: Vec::new(),
        }
    }

    fn stored_path(domain: &str, path: &str) -> Vec<u8> {
        FileId::of(domain.as_bytes(), path.as_bytes()).stored_path().into_bytes()
    }

    fn arrange<'a>(items: &[StoredItem<'a>], rows: &[Row]) -> Arranged<'a> {
        arrange_fresh(items, rows, &nothing_is_fresh)
    }

    fn arrange_fresh<'a>(
        items: &[StoredItem<'a>],
        rows: &[Row],
        fresh: FreshSha1<'a>,
    ) -> Arranged<'a> {
        let mut arranging = Arranging::new(items.len(), items.iter().copied(), fresh, &mark);
        rows.iter().for_each(|row| arranging.row(row));
        arranging.finish(RowsRead::All)
    }

    fn blob_with_digest(digest: [u8; 20]) -> Vec<u8> {
        let uid = |number| Value::Uid(Uid::new(number));
        let dictionary = |members: [(&str, Value); 1]| {
            members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Dictionary>()
        };
        let root = dictionary([("Digest", uid(2))]);
        let objects = vec!["$null".into(), root.into(), Value::Data(digest.to_vec())];
        let mut archive = dictionary([("$objects", objects.into())]);
        archive.insert("$top".into(), dictionary([("root", uid(1))]).into());
        let mut blob = Vec::new();
        Value::from(archive).to_writer_binary(&mut blob).unwrap();
        blob
    }

    /// What comes of one file whose row has a digest.
    fn with_digest(fresh_sha1: Option<[u8; 20]>) -> (u64, Vec<Problem>) {
        let path = stored_path("HomeDomain", "Library/a");
        let rows = [row("HomeDomain", "Library/a", 1, &blob_with_digest(OLD_SHA1))];
        let fresh = |asked: &[u8]| fresh_sha1.filter(|_| asked == path);
        let arranged = arrange_fresh(&[item(&path)], &rows, &fresh);
        assert_eq!(arranged.problem_count, arranged.problems.len() as u64);
        (arranged.checked_count, arranged.problems)
    }

    #[test]
    fn items_come_by_domain_then_path_then_stored_path() {
        let rows = [row("B", "a", 1, b""), row("A", "b", 1, b""), row("A", "a/b", 1, b"")];
        let paths = [("B", "a"), ("A", "b"), ("A", "a/b")].map(|(d, p)| stored_path(d, p));
        let mut items = vec![item(b"Status.plist"), item(b""), item(b"Info.plist")];
        items.extend(paths.iter().map(|path| item(path)));
        let arranged = arrange(&items, &rows);
        let order: Vec<&[u8]> = arranged.items().map(|item| item.stored_path).collect();
        let [b_a, a_b, a_ab] = &paths;
        assert_eq!(order, [b"".as_slice(), b"Info.plist", b"Status.plist", a_ab, a_b, b_a]);
        assert_eq!((arranged.problem_count, arranged.rowless_count), (0, 0));
    }

    #[test]
    fn an_item_has_the_names_and_the_mark_of_its_row() {
        let path = stored_path("HomeDomain", "Library/a");
        let arranged = arrange(&[item(&path)], &[row("HomeDomain", "Library/a", 1, b"blob")]);
        let expected = ArrangedItem {
            domain: b"HomeDomain",
            relative_path: b"Library/a",
            stored_path: &path,
            row: Some(*b"\x01blob\0\0\0"),
        };
        assert_eq!(arranged.items().collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn a_row_whose_file_is_not_there_is_named() {
        let rows = [row("B", "there is none", 1, b""), row("A", "a folder", 2, b"")];
        let arranged = arrange(&[item(b"Manifest.db")], &rows);
        let names: Vec<&str> = arranged.problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!((names, arranged.problem_count), (vec!["B there is none"], 1));
    }

    #[test]
    fn a_folder_in_the_place_of_a_file_is_not_the_file() {
        let path = stored_path("A", "a");
        let folder = StoredItem { kind: ItemKind::Directory, len: 0, ..item(&path) };
        let arranged = arrange(&[folder], &[row("A", "a", 1, b"")]);
        assert_eq!((arranged.problem_count, arranged.rowless_count), (1, 0));
        assert_eq!(arranged.items().next().unwrap().row, None);
    }

    #[test]
    fn a_row_that_promises_a_file_and_names_none_is_a_problem() {
        let nameless =
            |flags| Row { file_id: RowFileId::Odd(Vec::new()), ..row("A", "a", flags, b"") };
        let arranged = arrange(&[], &[nameless(1), nameless(2)]);
        assert_eq!(
            arranged.problems.first().unwrap().why,
            "1 of its rows promises a file and names none"
        );
    }

    #[test]
    fn a_file_without_a_row_is_kept_and_counted() {
        let path = stored_path("A", "a");
        let in_wrong_shard = [b"zz".as_slice(), &path[2..]].concat();
        let items = [item(&path), item(b".DS_Store"), item(&in_wrong_shard)];
        let arranged = arrange(&items, &[row("B", "a folder", 2, b"")]);
        assert_eq!((arranged.rowless_count, arranged.problem_count), (1, 0));
        assert_eq!(arranged.items().len(), 3);
    }

    #[test]
    fn of_several_rows_of_a_file_the_smallest_is_its_own_whatever_their_order() {
        let path = stored_path("A", "a");
        let same_id = |domain: &str, path: &str, flags| Row {
            file_id: RowFileId::Id(FileId::of(b"A", b"a")),
            ..row(domain, path, flags, b"")
        };
        let rows = [same_id("B", "a", 1), same_id("A", "b", 2), same_id("A", "c", 1)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let arranged = arrange(&[item(&path)], &order.map(|at: usize| rows[at].clone()));
            let first = arranged.items().next().unwrap();
            assert_eq!((first.domain, first.relative_path), (b"A".as_slice(), b"b".as_slice()));
            assert_eq!(
                arranged.problem_count, 1,
                "all of them have their file, and none is named by its path"
            );
        }
        let arranged = arrange(&[], &rows);
        assert_eq!(arranged.problem_count, 3, "the two that are of a file, and that");
    }

    #[test]
    fn a_file_that_arrived_and_differs_from_its_digest_is_a_problem() {
        let (checked_count, problems) = with_digest(Some(NEW_SHA1));
        let [problem] = problems.as_slice() else { panic!("{problems:?}") };
        assert_eq!((checked_count, problem.path.as_str()), (1, "HomeDomain Library/a"));
        assert!(problem.why.contains(&"02".repeat(20)) && problem.why.contains(&"01".repeat(20)));
    }

    #[test]
    fn a_file_that_arrived_as_its_digest_says_is_fine() {
        assert_eq!(with_digest(Some(OLD_SHA1)), (1, Vec::new()));
    }

    #[test]
    fn a_file_of_an_earlier_run_is_not_held_against_its_digest() {
        assert_eq!(with_digest(None), (0, Vec::new()));
    }

    #[test]
    fn a_record_without_a_digest_promises_nothing() {
        let path = stored_path("A", "a");
        let rows = [row("A", "a", 1, b"no property list")];
        let arranged = arrange_fresh(&[item(&path)], &rows, &|_| Some(NEW_SHA1));
        assert_eq!((arranged.checked_count, arranged.problem_count), (0, 0));
    }

    #[test]
    fn without_the_rows_nothing_is_checked_and_the_order_is_that_of_paths() {
        let (a, b) = (stored_path("A", "a"), stored_path("B", "b"));
        let items = [item(&a), item(&b), item(b"Info.plist")];
        let mut arranging = Arranging::new(3, items, &|_| Some(NEW_SHA1), &mark);
        arranging.row(&row("A", "a", 1, &blob_with_digest(OLD_SHA1)));
        arranging.row(&row("A", "not there", 1, b""));
        let arranged = arranging.finish(RowsRead::No);
        assert_eq!((arranged.problem_count, arranged.rowless_count), (0, 0));
        assert_eq!(arranged.checked_count, 0);
        let paths: Vec<&[u8]> = arranged.items().map(|item| item.stored_path).collect();
        assert!(paths.is_sorted() && arranged.items().all(|item| item.row.is_none()));
    }

    #[test]
    fn items_are_counted_by_kind() {
        let of = |kind| StoredItem { kind, ..item(b"a") };
        let items = [of(ItemKind::File), of(ItemKind::File), of(ItemKind::Link)];
        let counts = arrange(&items, &[]).counts;
        assert_eq!((counts.files, counts.links, counts.directories, counts.len), (2, 1, 0, 20));
    }

    proptest! {
        #[test]
        fn every_item_comes_out_once_and_in_order(
            files in prop::collection::vec(("[AB]", "[a-c]{1,2}"), 0..30),
            listed in prop::collection::vec(("[AB]", "[a-c]{1,2}", 0..4_i64), 0..30),
            others in prop::collection::vec("[a-d/]{0,4}", 0..10),
        ) {
            let mut paths: Vec<Vec<u8>> = files.iter().map(|(d, p)| stored_path(d, p)).collect();
            paths.extend(others.into_iter().map(String::into_bytes));
            let items: Vec<_> = paths.iter().map(|path| item(path)).collect();
            let rows: Vec<Row> = listed.iter().map(|(d, p, flags)| row(d, p, *flags, b"")).collect();
            let arranged = arrange(&items, &rows);
            let keys = arranged.items().map(|i| (i.domain, i.relative_path, i.stored_path));
            prop_assert!(keys.is_sorted());
            let mut stored: Vec<&[u8]> = arranged.items().map(|item| item.stored_path).collect();
            stored.sort_unstable();
            let mut expected: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
            expected.sort_unstable();
            prop_assert_eq!(stored, expected);
            for item in arranged.items().filter(|item| !item.domain.is_empty()) {
                let named = FileId::of(item.domain, item.relative_path).stored_path();
                prop_assert_eq!(named.as_bytes(), item.stored_path);
            }
            let lacking = rows.iter().filter(|row| {
                let path = FileId::of(&row.domain, &row.relative_path).stored_path().into_bytes();
                row.flags == 1 && !paths.contains(&path)
            });
            prop_assert_eq!(arranged.problem_count, lacking.count() as u64);
        }
    }
}
