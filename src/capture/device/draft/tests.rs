//! Drafts against a twin that is too simple to be wrong, and their journals.
//!
//! Invariant: the twin looks at every path for every question, and knows nothing of order, of memory or of pieces of a journal.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Instant;

use proptest::prelude::*;
use proptest::sample::Index;
use russet_store::ids::BlobId;

use super::*;
use crate::capture::device::files::FileErrorKind;
use crate::snapshot::{Content, Entry, What};

#[derive(Debug, Clone, PartialEq, Eq)]
enum Twin {
    Directory,
    File(FileNode, bool),
    Link(Vec<u8>, i64, u32),
}

impl From<Found<'_>> for Twin {
    fn from(found: Found<'_>) -> Self {
        match found {
            Found::Directory => Self::Directory,
            Found::File(file) => Self::File(file.packed.decode(), file.is_fresh),
            Found::Link(link) => {
                Self::Link(link.target.to_vec(), link.mtime_secs, link.mtime_nanos)
            }
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TwinTree(BTreeMap<Vec<u8>, Twin>);

fn is_within(path: &[u8], top: &[u8]) -> bool {
    path == top || path.starts_with(&[top, b"/"].concat())
}

impl TwinTree {
    fn parents(&mut self, path: &[u8]) -> Result<(), DraftError> {
        let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let parents: Vec<Vec<u8>> = (1..parts.len()).map(|at| parts[..at].join(&b'/')).collect();
        if parents.iter().any(|p| self.0.get(p).is_some_and(|twin| *twin != Twin::Directory)) {
            return Err(DraftError::NotADirectory);
        }
        self.0.extend(parents.into_iter().map(|parent| (parent, Twin::Directory)));
        Ok(())
    }

    fn put(&mut self, path: &[u8], twin: Twin) -> Result<(), DraftError> {
        if path.is_empty() || self.0.get(path) == Some(&Twin::Directory) {
            return Err(DraftError::IsADirectory);
        }
        DraftPath::check(path)?;
        self.parents(path)?;
        self.0.insert(path.to_vec(), twin);
        Ok(())
    }

    fn make_directory(&mut self, path: &[u8]) -> Result<(), DraftError> {
        if path.is_empty() {
            return Ok(());
        }
        DraftPath::check(path)?;
        self.parents(&[path, b"/x"].concat())
    }

    fn remove(&mut self, path: &[u8]) -> Result<(), DraftError> {
        DraftPath::check(path)?;
        self.0.retain(|other, _| !is_within(other, path));
        Ok(())
    }

    fn transfer(&mut self, from: &[u8], to: &[u8], is_move: bool) -> Result<(), DraftError> {
        DraftPath::check(from)?;
        DraftPath::check(to)?;
        if from != to && (is_within(from, to) || is_within(to, from)) {
            return Err(DraftError::Nested);
        }
        if !self.0.contains_key(from) {
            let is_done = is_move && self.0.contains_key(to);
            return if is_done { Ok(()) } else { Err(DraftError::NotFound) };
        }
        if from == to {
            return Ok(());
        }
        self.parents(to)?;
        let there = self.0.iter().filter(|(path, _)| is_within(path, from));
        let there: Vec<(Vec<u8>, Twin)> = there.map(|(p, t)| (p.clone(), t.clone())).collect();
        self.0.retain(|path, _| !(is_within(path, to) || is_move && is_within(path, from)));
        self.0.extend(there.into_iter().map(|(p, t)| ([to, &p[from.len()..]].concat(), t)));
        Ok(())
    }

    fn insert_base(&mut self, entry: &Entry) -> Result<(), DraftError> {
        let (path, secs, nanos) = (&entry.stored_path, entry.mtime_secs, entry.mtime_nanos);
        let there = self.0.get(path).is_some_and(|twin| *twin != Twin::Directory);
        match &entry.what {
            What::Directory => self.make_directory(path),
            _ if path.is_empty() => Err(DraftError::Root),
            _ if there => Err(DraftError::Exists),
            What::File(content) => {
                let (content, row) = (content.clone(), entry.row);
                let file = FileNode {
                    content,
                    spooled: None,
                    mtime_secs: secs,
                    mtime_nanos: nanos,
                    sha1: None,
                    row,
                };
                self.put(path, Twin::File(file, false))
            }
            What::Link { target } => self.put(path, Twin::Link(target.clone(), secs, nanos)),
        }
    }

    fn names(&self, path: &[u8]) -> Result<BTreeSet<Vec<u8>>, DraftError> {
        match self.0.get(path) {
            None if !path.is_empty() => return Err(DraftError::NotFound),
            None | Some(Twin::Directory) => {}
            Some(_) => return Err(DraftError::NotADirectory),
        }
        let prefix = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let names = self.0.keys().filter_map(|other| other.strip_prefix(&*prefix));
        Ok(names.filter(|name| !name.contains(&b'/')).map(<[u8]>::to_vec).collect())
    }

    fn counts(&self) -> DraftCounts {
        let mut counts = DraftCounts::default();
        for twin in self.0.values() {
            match twin {
                Twin::Directory => counts.directories += 1,
                Twin::File(file, _) => {
                    counts.files += 1;
                    counts.len = counts.len.saturating_add(file.content.len);
                }
                Twin::Link(..) => counts.links += 1,
            }
        }
        counts
    }
}

#[derive(Debug, Clone)]
enum Act {
    Put(Vec<u8>, FileNode),
    MakeDirectory(Vec<u8>),
    Remove(Vec<u8>),
    Rename(Vec<u8>, Vec<u8>),
    Copy(Vec<u8>, Vec<u8>),
}

impl Act {
    fn on_draft(&self, draft: &mut Draft) -> Result<(), DraftError> {
        match self {
            Self::Put(path, file) => draft.put_file(path, file),
            Self::MakeDirectory(path) => draft.make_directory(path),
            Self::Remove(path) => draft.remove(path),
            Self::Rename(from, to) => draft.rename(from, to),
            Self::Copy(from, to) => draft.copy(from, to),
        }
    }

    fn on_twin(&self, twin: &mut TwinTree) -> Result<(), DraftError> {
        match self {
            Self::Put(path, file) => twin.put(path, Twin::File(file.clone(), true)),
            Self::MakeDirectory(path) => twin.make_directory(path),
            Self::Remove(path) => twin.remove(path),
            Self::Rename(from, to) => twin.transfer(from, to, true),
            Self::Copy(from, to) => twin.transfer(from, to, false),
        }
    }
}

/// Few names, so that histories meet; `-` sorts before `/`, `0` right after it.
fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec![&b"a"[..], b"a", b"a-", b"a0", b"b"]);
    let path = prop::collection::vec(name, 0..=3).prop_map(|names| names.join(&b'/'));
    prop_oneof![30 => path, 1 => Just(b"a//b".to_vec()), 1 => Just(b"..".to_vec())]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (path(), file::tests::file()).prop_map(|(path, file)| Act::Put(path, file)),
        2 => path().prop_map(Act::MakeDirectory),
        1 => path().prop_map(Act::Remove),
        3 => (path(), path()).prop_map(|(from, to)| Act::Rename(from, to)),
        2 => (path(), path()).prop_map(|(from, to)| Act::Copy(from, to)),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let what = prop_oneof![
        4 => file::tests::file().prop_map(|file| What::File(file.content)),
        2 => Just(What::Directory),
        1 => prop::collection::vec(any::<u8>(), 0..9).prop_map(|target| What::Link { target }),
    ];
    let times = (any::<i64>(), 0u32..1_000_000_000);
    (path(), times, any::<Option<[u8; 8]>>(), what).prop_map(
        |(stored_path, (mtime_secs, mtime_nanos), row, what)| Entry {
            domain: Vec::new(),
            relative_path: Vec::new(),
            stored_path,
            mtime_secs,
            mtime_nanos,
            row,
            what,
        },
    )
}

fn history() -> impl Strategy<Value = (Vec<Entry>, Vec<Act>)> {
    (prop::collection::vec(entry(), 0..8), prop::collection::vec(act(), 0..40))
}

/// Entries that do not fit are left out, as the twin's are.
fn draft_over(base: &[Entry]) -> Draft {
    let mut tree = DraftTree::with_held_len_max(1 << 20);
    for entry in base {
        let _ = tree.insert_base(entry);
    }
    Draft::over(tree)
}

fn everything(draft: &Draft) -> TwinTree {
    TwinTree(draft.tree().all().map(|(path, found)| (path.to_vec(), found.into())).collect())
}

fn listing(tree: &DraftTree, path: &[u8]) -> Result<BTreeMap<Vec<u8>, Twin>, DraftError> {
    let mut listing = BTreeMap::new();
    tree.list(path, &mut |name, found| {
        assert!(listing.insert(name.to_vec(), found.into()).is_none(), "a name came twice");
    })?;
    Ok(listing)
}

proptest! {
    #[test]
    fn any_history_gives_what_the_twin_has((base, acts) in history()) {
        let mut tree = DraftTree::new();
        let mut twin = TwinTree::default();
        for entry in &base {
            let before = twin.clone();
            let expected = twin.insert_base(entry);
            if expected.is_err() {
                twin = before;
            }
            prop_assert_eq!(tree.insert_base(entry), expected, "{:?}", entry);
        }
        let mut draft = Draft::over(tree);
        for act in &acts {
            let before = twin.clone();
            let expected = act.on_twin(&mut twin);
            if expected.is_err() {
                twin = before;
            }
            prop_assert_eq!(act.on_draft(&mut draft), expected, "{:?}", act);
            prop_assert_eq!(&everything(&draft), &twin);
            prop_assert_eq!(draft.tree().counts(), twin.counts());
        }
    }

    #[test]
    fn a_listing_names_what_lies_directly_there((base, acts) in history(), asked in path()) {
        let mut draft = draft_over(&base);
        for act in &acts {
            let _ = act.on_draft(&mut draft);
        }
        let twin = everything(&draft);
        for path in twin.0.keys().chain([&asked, &Vec::new()]) {
            let listing = listing(draft.tree(), path);
            let names = listing.as_ref().map(|names| names.keys().cloned().collect());
            prop_assert_eq!(names.map_err(|error| *error), twin.names(path));
            for (name, found) in listing.into_iter().flatten() {
                let whole = if path.is_empty() { name } else { [&**path, b"/", &*name].concat() };
                prop_assert_eq!(draft.tree().get(&whole).map(Twin::from), Some(found));
            }
        }
    }

    #[test]
    fn pieces_replayed_over_the_base_give_the_draft((base, acts) in history(), every in 1usize..5) {
        let (mut draft, mut again) = (draft_over(&base), draft_over(&base));
        for (at, act) in acts.iter().enumerate() {
            let before = (everything(&draft), draft.edits_len());
            let result = act.on_draft(&mut draft);
            let is_changed = everything(&draft) != before.0;
            let is_recorded = draft.edits_len() > before.1;
            // A copy over the same copy changes nothing, which would cost a look at all of it.
            let is_expected = is_changed || result.is_ok() && is_recorded && matches!(act, Act::Copy(..));
            prop_assert_eq!(is_recorded, is_expected, "{:?}: {:?}", act, result);
            if at % every == 0 {
                prop_assert_eq!(again.replay(&draft.take_edits()), Ok(()));
                prop_assert_eq!(everything(&again), everything(&draft));
                prop_assert_eq!(again.tree().counts(), draft.tree().counts());
                prop_assert_eq!((draft.edits_len(), again.edits_len()), (0, 0));
            }
        }
    }

    #[test]
    fn a_prefix_of_a_piece_is_refused((base, acts) in history(), at in any::<Index>()) {
        let mut draft = draft_over(&base);
        for act in &acts {
            let _ = act.on_draft(&mut draft);
        }
        let piece = draft.take_edits();
        let cut = &piece[..at.index(piece.len())];
        prop_assert_eq!(draft_over(&base).replay(cut), Err(JournalError::Length));
    }

    #[test]
    fn a_flipped_bit_never_panics_and_what_decodes_has_one_encoding((base, acts) in history(), at in any::<Index>(), bit in 0u8..8) {
        let mut draft = draft_over(&base);
        for act in &acts {
            let _ = act.on_draft(&mut draft);
        }
        let mut piece = draft.take_edits();
        prop_assert_eq!(journal::encode(&journal::decode(&piece).unwrap()), &*piece);
        let at = at.index(piece.len());
        piece[at] ^= 1 << bit;
        if let Ok(edits) = journal::decode(&piece) {
            prop_assert_eq!(journal::encode(&edits), &*piece);
        }
        let _ = draft_over(&base).replay(&piece);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(0u8..6, 0..60), count in 0u8..4) {
        let _ = draft_over(&[]).replay(&bytes);
        let framed = [&[1, count, 0, 0, 0], &*bytes].concat();
        if let Ok(edits) = journal::decode(&framed) {
            prop_assert_eq!(journal::encode(&edits), &*framed);
        }
        let _ = draft_over(&[]).replay(&framed);
    }
}

fn a_file(len: u64) -> FileNode {
    let content =
        Content { len, hash: [1; 32], depth: 0, ids: vec![BlobId::decode([2; 32])], opened: None };
    FileNode { content, spooled: None, mtime_secs: 3, mtime_nanos: 4, sha1: None, row: None }
}

fn draft_of(paths: &[&[u8]]) -> Draft {
    let mut draft = Draft::over(DraftTree::with_held_len_max(4096));
    for path in paths {
        draft.put_file(path, &a_file(1)).unwrap();
    }
    draft
}

#[test]
fn a_piece_has_the_bytes_that_the_format_says() {
    let mut draft = Draft::over(DraftTree::new());
    let file = FileNode { sha1: Some([0xaa; 20]), row: Some([0xbb; 8]), ..a_file(0x0102) };
    draft.put_file(b"ab/c", &file).unwrap();
    draft.make_directory(b"d").unwrap();
    draft.copy(b"d", b"e").unwrap();
    draft.rename(b"e", b"f").unwrap();
    draft.remove(b"f").unwrap();
    let mut expected = vec![0xA1, 5, 0, 0, 0];
    expected.extend([1, 4, 0, b'a', b'b', b'/', b'c', 3, 0, 1]);
    expected.extend([2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    expected.extend([[1; 32].as_slice(), &[0xaa; 20], &[0xbb; 8], &[2; 32]].concat());
    expected.extend([2, 1, 0, b'd', 5, 1, 0, b'd', 1, 0, b'e']);
    expected.extend([4, 1, 0, b'e', 1, 0, b'f', 3, 1, 0, b'f']);
    assert_eq!(draft.edits_len(), expected.len() - 5);
    assert_eq!(draft.take_edits(), expected);
}

#[test]
fn a_piece_of_a_newer_program_is_refused_by_its_version() {
    let mut piece = draft_of(&[b"a"]).take_edits();
    piece[0] = 2;
    assert_eq!(draft_of(&[]).replay(&piece), Err(JournalError::Version(2)));
}

#[test]
fn an_edit_that_nobody_knows_is_refused() {
    assert_eq!(
        draft_of(&[]).replay(&[0xA1, 1, 0, 0, 0, 6, 1, 0, b'a']),
        Err(JournalError::What(6))
    );
}

#[test]
fn bytes_after_the_last_edit_are_refused() {
    let mut piece = draft_of(&[b"a"]).take_edits();
    piece.push(0);
    assert_eq!(draft_of(&[]).replay(&piece), Err(JournalError::Length));
}

#[test]
fn a_journal_cannot_name_what_lies_outside() {
    let piece = [0xA1, 1, 0, 0, 0, 3, 2, 0, b'.', b'.'];
    assert_eq!(draft_of(&[]).replay(&piece), Err(JournalError::Path));
}

#[test]
fn a_piece_for_another_base_is_refused_and_its_edit_named() {
    let mut draft = draft_of(&[b"a"]);
    let _ = draft.take_edits();
    draft.make_directory(b"d").unwrap();
    draft.rename(b"a", b"b").unwrap();
    let error = JournalError::Edit { index: 1, source: DraftError::NotFound };
    assert_eq!(draft_of(&[]).replay(&draft.take_edits()), Err(error));
}

#[test]
fn what_the_phone_acts_upon_is_said() {
    let mut draft = draft_of(&[b"ab/c"]);
    let kind = |result: Result<(), DraftError>| result.unwrap_err().kind();
    assert_eq!(kind(draft.copy(b"x", b"y")), FileErrorKind::NotFound);
    assert_eq!(kind(draft.make_directory(b"ab/c/d")), FileErrorKind::NotADirectory);
    assert_eq!(kind(draft.put_file(b"ab", &a_file(1))), FileErrorKind::IsADirectory);
    assert_eq!(kind(draft.remove(b"")), FileErrorKind::Refused);
    assert_eq!(kind(draft.rename(b"ab", b"ab/c/d")), FileErrorKind::Refused);
}

#[test]
fn a_batch_of_moves_can_be_asked_for_again() {
    let mut draft = draft_of(&[b"Snapshot/ab/c"]);
    draft.rename(b"Snapshot/ab/c", b"ab/c").unwrap();
    draft.remove(b"Snapshot").unwrap();
    let _ = draft.take_edits();
    assert_eq!(draft.rename(b"Snapshot/ab/c", b"ab/c"), Ok(()));
    assert_eq!(draft.edits_len(), 0);
}

#[test]
fn a_file_that_comes_again_as_it_was_is_no_edit() {
    let mut draft = draft_of(&[b"a"]);
    let _ = draft.take_edits();
    assert_eq!(draft.put_file(b"a", &a_file(1)), Ok(()));
    assert_eq!(draft.edits_len(), 0);
}

#[test]
fn a_file_that_came_in_this_capture_is_fresh_wherever_it_goes() {
    let mut tree = DraftTree::new();
    let what = What::File(a_file(1).content);
    tree.insert_base(&Entry {
        domain: Vec::new(),
        relative_path: Vec::new(),
        stored_path: b"old".to_vec(),
        mtime_secs: 0,
        mtime_nanos: 0,
        row: None,
        what,
    })
    .unwrap();
    let mut draft = Draft::over(tree);
    draft.put_file(b"new", &a_file(1)).unwrap();
    draft.rename(b"new", b"x/new").unwrap();
    draft.rename(b"old", b"x/old").unwrap();
    draft.copy(b"x", b"y").unwrap();
    let fresh = draft.tree().files().filter(|(_, file)| file.is_fresh);
    let fresh: Vec<&[u8]> = fresh.map(|(path, _)| path).collect();
    assert_eq!(fresh, [&b"x/new"[..], b"y/new"]);
}

#[test]
fn copies_of_copies_end_at_the_memory_allowed() {
    let mut draft = draft_of(&[b"a/1", b"a/2"]);
    let copies = (0..100).flat_map(|at| {
        let into = format!("a/again {at}").into_bytes();
        [(b"a".to_vec(), b"b".to_vec()), (b"b".to_vec(), into)]
    });
    let mut before = everything(&draft);
    for (from, to) in copies {
        let result = draft.copy(&from, &to);
        let after = everything(&draft);
        if result.is_err() {
            assert_eq!((result, after), (Err(DraftError::TooLarge), before));
            return;
        }
        before = after;
    }
    panic!("nothing was refused");
}

#[test]
fn a_removal_gives_memory_back() {
    let mut draft = draft_of(&[]);
    for _ in 0..1000 {
        draft.put_file(b"a/b/c", &a_file(1)).unwrap();
        draft.copy(b"a", b"x").unwrap();
        draft.rename(b"x", b"y").unwrap();
        draft.remove(b"a").unwrap();
        draft.remove(b"y").unwrap();
    }
    assert_eq!(draft.tree().counts(), DraftCounts::default());
}

#[test]
fn a_move_that_would_make_a_path_too_long_changes_nothing() {
    let long = [b"a/", [b'x'; 1000].as_slice()].concat();
    let mut draft = draft_of(&[&long, b"a/b"]);
    let before = everything(&draft);
    assert_eq!(draft.rename(b"a", &[b'y'; 3096]), Err(DraftError::Path));
    assert_eq!(everything(&draft), before);
}

#[test]
fn edits_that_nobody_takes_end_at_their_limit() {
    let mut draft = Draft::over(DraftTree::new());
    let names = [[b'x'; 4096], [b'y'; 4096]];
    draft.put_file(&names[0], &a_file(1)).unwrap();
    let mut turns = (0..2 * EDITS_LEN_MAX / 8192).map(|at| (at % 2, (at + 1) % 2));
    let refused = turns.find_map(|(from, to)| draft.rename(&names[from], &names[to]).err());
    assert_eq!(refused, Some(DraftError::Untaken));
    let _ = draft.take_edits();
    assert_eq!(draft.make_directory(b"d"), Ok(()));
}

#[test]
fn lengths_that_no_drive_has_can_be_added() {
    let mut draft = draft_of(&[]);
    draft.put_file(b"a", &a_file(u64::MAX)).unwrap();
    draft.put_file(b"b", &a_file(u64::MAX)).unwrap();
    assert_eq!(draft.tree().counts().len, u64::MAX);
    draft.remove(b"a").unwrap();
    draft.put_file(b"b", &a_file(5)).unwrap();
    assert_eq!(draft.tree().counts().len, 5);
}

/// Bytes of this process in memory.
#[cfg(target_os = "linux")]
fn resident_len() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Like a phone's: hashes for names, one chunk in most files, four in every tenth.
#[cfg(target_os = "linux")]
fn phone_entry(at: u64) -> Entry {
    let hash = blake3::hash(&at.to_le_bytes()).to_hex();
    let chunk_count = if at.is_multiple_of(10) { 4 } else { 1 };
    let ids = vec![BlobId::decode([3; 32]); chunk_count];
    Entry {
        domain: Vec::new(),
        relative_path: Vec::new(),
        stored_path: format!("{}/{}", &hash[..2], &hash[..40]).into_bytes(),
        mtime_secs: 5,
        mtime_nanos: 6,
        row: Some([7; 8]),
        what: What::File(Content { len: 8, hash: [9; 32], depth: 0, ids, opened: None }),
    }
}

#[test]
#[cfg(target_os = "linux")]
#[ignore = "measures memory and time of a whole phone; run it alone, with --nocapture"]
fn a_million_files_take_at_most_250_bytes_each() {
    const COUNT: u64 = 1_000_000;
    let mut out = std::io::stderr();
    let mut say = |what: &str, since: Instant| {
        let ms = since.elapsed().as_millis();
        writeln!(out, "{what}: {ms} ms, {} bytes a file", resident_len() / COUNT).unwrap();
    };
    let (start, began) = (resident_len(), Instant::now());
    let mut tree = DraftTree::new();
    (0..COUNT).for_each(|at| tree.insert_base(&phone_entry(at)).unwrap());
    let len = (resident_len() - start) / COUNT;
    say("base", began);
    assert!(len <= 250, "{len} bytes a file");
    let began = Instant::now();
    assert_eq!(listing(&tree, b"").unwrap().len(), 256);
    say("listing of the root", began);
    let began = Instant::now();
    let mut count = 0;
    for top in listing(&tree, b"").unwrap().keys() {
        tree.list(top, &mut |_, _| count += 1).unwrap();
    }
    assert_eq!(count, COUNT);
    say("listing of everything", began);
    let mut draft = Draft::over(tree);
    let began = Instant::now();
    for at in 0..COUNT {
        let file = FileNode { sha1: Some([1; 20]), row: None, ..a_file(at) };
        let path = phone_entry(at).stored_path;
        draft.put_file(&path, &file).unwrap();
        if draft.edits_len() >= 1 << 20 {
            let _ = draft.take_edits();
        }
    }
    say("every file anew", began);
    let again = (resident_len() - start) / COUNT;
    assert!(again <= 250, "{again} bytes a file once every file came anew");
    let began = Instant::now();
    let tops: Vec<Vec<u8>> = listing(draft.tree(), b"").unwrap().into_keys().collect();
    for top in tops {
        draft.rename(&top, &[b"Snapshot/", &*top].concat()).unwrap();
    }
    say("every directory moved", began);
    assert_eq!(draft.tree().counts().files, COUNT);
}
