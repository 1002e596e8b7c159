//! From a draft that the phone finished to a tree: Apple's list is held against what came, and everything is put in order.
//!
//! Invariant: every file and folder of the draft but the phone's scratch folder is in the tree, whatever Apple's list says; what
//! it says and the draft does not hold makes the verdict, not the tree.

use std::io;
use std::ops::ControlFlow;

use russet_store::session::Session;

use super::arrange::{Arranging, RowsRead, StoredItem};
use super::draft::{Draft, Found, FoundFile, FoundLink};
use super::host::{Host, HostError, SCRATCH};
use super::take::{Taken, Wish};
use crate::apple::{ManifestPages, ManifestPlist, PageSource, Status};
use crate::capture::catalogue::ItemKind;
use crate::observe::{Observer, Phase};
use crate::snapshot::contents::ContentError;
use crate::snapshot::record::{Problem, Verdict};
use crate::snapshot::tree::BuildError;
use crate::snapshot::{ContentAt, Entry, TreeBuilder, What};

/// Why a finished backup could not be made a tree.
#[derive(Debug, thiserror::Error)]
pub enum FinishError {
    /// The draft.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The tree.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Manifest.db where it lies.
struct Lying<'r>(ContentAt<'r>);

impl PageSource for Lying<'_> {
    fn total_len(&self) -> u64 {
        self.0.len()
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_at(at, buf)
    }
}

/// Makes the tree of what stands in the draft.
///
/// # Errors
/// Something cannot be stored, or read back.
pub(super) fn finish(
    host: &mut Host<'_, '_, '_, '_>,
    wish: &Wish<'_>,
    status: Status,
    session: &Session<'_>,
    observer: &dyn Observer,
) -> Result<Taken, FinishError> {
    observer.begin(Phase::Committing, 0, 0);
    let manifest = host.plist(b"Manifest.plist")?.and_then(|b| ManifestPlist::parse(&b).ok());
    let is_encrypted = manifest.and_then(|manifest| manifest.is_encrypted);
    let date = status.date.map(|date| date.as_second());
    if let Some(info) = (wish.info)(date) {
        host.put(b"Info.plist", &info)?;
    }
    // Its chunks are read in a moment: they must be in packs.
    host.checkpoint()?;
    let received_len = host.record().received_len;
    let draft = host.draft()?;
    let taken = arrange(draft, session, date.unwrap_or(0), is_encrypted == Some(true))?;
    let (root, arranged) = taken;
    for problem in &arranged.problems {
        observer.problem(&problem.path, &problem.why);
    }
    Ok(Taken { root, is_encrypted, status, received_len, ..arranged })
}

fn arrange(
    draft: &Draft,
    session: &Session<'_>,
    date: i64,
    is_encrypted: bool,
) -> Result<(russet_store::ids::BlobId, Taken), FinishError> {
    let repository = session.repository();
    let mark = |flags: i64, blob: &[u8]| {
        let [a, b, c, d, e, f, g, h, ..] = repository.id_keys().row(&[&flags.to_le_bytes(), blob]);
        [a, b, c, d, e, f, g, h]
    };
    let stored = draft.tree().all().filter(|(path, _)| !is_scratch(path));
    let items = stored.map(|(path, found)| item(path, &found));
    let fresh = |path: &[u8]| match draft.tree().get(path) {
        Some(Found::File(file)) => file.packed.sha1(),
        Some(Found::Directory | Found::Link(_)) | None => None,
    };
    let mut arranging = Arranging::new(draft.tree().item_count(), items, &fresh, &mark);
    let (rows, lack) = match read_rows(draft, session, &mut arranging) {
        Ok(()) => (RowsRead::All, None),
        Err(_) if is_encrypted => (RowsRead::No, None),
        Err(why) => (RowsRead::No, Some(Problem { path: "Manifest.db".to_owned(), why })),
    };
    let arranged = arranging.finish(rows);
    let mut builder = TreeBuilder::new(session);
    for item in arranged.items() {
        let (what, mtime_secs, mtime_nanos) = match draft.tree().get(item.stored_path) {
            Some(Found::File(FoundFile { packed, .. })) => {
                (What::File(packed.decode().content), packed.mtime_secs(), packed.mtime_nanos())
            }
            Some(Found::Link(FoundLink { mtime_secs, mtime_nanos, target })) => {
                (What::Link { target: target.to_vec() }, mtime_secs, mtime_nanos)
            }
            Some(Found::Directory) | None => (What::Directory, date, 0),
        };
        builder.push(&Entry {
            domain: item.domain.to_vec(),
            relative_path: item.relative_path.to_vec(),
            stored_path: item.stored_path.to_vec(),
            mtime_secs,
            mtime_nanos,
            row: item.row,
            what,
        })?;
    }
    let root = builder.finish()?;
    let mut problems = arranged.problems;
    let problem_count = arranged.problem_count + u64::from(lack.is_some());
    problems.extend(lack);
    let verdict = match (problem_count, rows) {
        (0, RowsRead::All) => Verdict::Complete,
        (0, RowsRead::No) => Verdict::Unchecked,
        _ => Verdict::Incomplete,
    };
    let counts = arranged.counts;
    let status = Status::default();
    let taken = Taken {
        root,
        counts,
        verdict,
        problems,
        problem_count,
        status,
        is_encrypted: None,
        received_len: 0,
    };
    Ok((root, taken))
}

fn is_scratch(path: &[u8]) -> bool {
    let first = path.split(|byte| *byte == b'/').next();
    first == Some(b"Snapshot") || first == Some(SCRATCH)
}

fn item<'a>(path: &'a [u8], found: &Found<'_>) -> StoredItem<'a> {
    let (kind, len) = match found {
        Found::Directory => (ItemKind::Directory, 0),
        Found::File(file) => (ItemKind::File, file.packed.len()),
        Found::Link(_) => (ItemKind::Link, 0),
    };
    StoredItem { path, kind, len }
}

/// Hands every row of Manifest.db on. The error says why not all of them came.
fn read_rows(
    draft: &Draft,
    session: &Session<'_>,
    arranging: &mut Arranging<'_>,
) -> Result<(), String> {
    let Some(Found::File(file)) = draft.tree().get(b"Manifest.db") else {
        return Err("it is not there".to_owned());
    };
    let content = file.packed.decode().content;
    let source = ContentAt::new(session.repository(), &content);
    let source = source.map_err(|error: ContentError| error.to_string())?;
    let mut pages = ManifestPages::open(Lying(source)).map_err(|error| error.to_string())?;
    let rows = pages.for_each_row(|row| {
        arranging.row(&row);
        ControlFlow::Continue(())
    });
    rows.map(drop).map_err(|error| error.to_string())
}
