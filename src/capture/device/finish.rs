//! From a draft that the phone finished to a tree: Apple's list is held against what came, and everything is put in order.
//!
//! Invariant: every file and folder of the draft but the phone's scratch folder is in the tree, whatever Apple's list says; what
//! it says and the draft does not hold makes the verdict, not the tree.

use std::ops::ControlFlow;

use russet_store::session::Session;

use super::arrange::{Arranging, RowsRead, StoredItem};
use super::draft::{Draft, Found, FoundFile, FoundLink};
use super::host::{Host, HostError, SCRATCH};
use super::take::Taken;
use crate::apple::{ManifestPages, ManifestPagesError, Row, Status};
use crate::capture::catalogue::ItemKind;
use crate::capture::damage;
use crate::observe::{Observer, Phase};
use crate::snapshot::contents::ContentError;
use crate::snapshot::record::{Counts, PROBLEM_COUNT_MAX, Problem, Verdict};
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

/// Makes the tree of what stands in the draft. `lost` is what came and is not there any more.
///
/// # Errors
/// Something cannot be stored, or read back.
pub(super) fn finish(
    host: &mut Host<'_, '_, '_, '_>,
    is_encrypted: Option<bool>,
    lost: Vec<Problem>,
    session: &Session<'_>,
    observer: &dyn Observer,
) -> Result<Taken, FinishError> {
    observer.begin(Phase::Committing, 0, 0);
    let status = host.status()?.unwrap_or_default();
    let date = status.date.map(|date| date.as_second());
    // Its chunks are read in a moment: they must be in packs.
    host.checkpoint()?;
    let received_len = host.record().received_len;
    let draft = host.draft()?;
    let layout = Layout {
        is_kept: &|path, _| !is_scratch(path),
        directory_time: &|_| (date.unwrap_or(0), 0),
        has_root: false,
    };
    let arranged = arrange(draft, session, &layout, is_encrypted == Some(true), lost)?;
    for problem in &arranged.problems {
        observer.problem(&problem.path, &problem.why);
    }
    Ok(Taken { is_encrypted, status, received_len, ..arranged })
}

/// What of a draft is in its tree beside its files.
pub(super) struct Layout<'a> {
    /// Whether what stands at a path is.
    pub(super) is_kept: &'a dyn Fn(&[u8], &Found<'_>) -> bool,
    /// When a directory was changed: seconds and nanoseconds.
    pub(super) directory_time: &'a dyn Fn(&[u8]) -> (i64, u32),
    /// Whether the folder of the backup itself is.
    pub(super) has_root: bool,
}

pub(super) fn arrange(
    draft: &Draft,
    session: &Session<'_>,
    layout: &Layout<'_>,
    is_encrypted: bool,
    lost: Vec<Problem>,
) -> Result<Taken, FinishError> {
    let mark = |flags: i64, blob: &[u8]| mark(session, flags, blob);
    let root = layout.has_root.then_some((&b""[..], Found::Directory));
    let all = draft.tree().all().chain(root);
    let stored = all.filter(|(path, found)| (layout.is_kept)(path, found));
    let items = stored.map(|(path, found)| item(path, &found));
    let fresh = |path: &[u8]| match draft.tree().get(path) {
        Some(Found::File(file)) => file.packed.sha1(),
        Some(Found::Directory | Found::Link(_)) | None => None,
    };
    let mut arranging = Arranging::new(draft.tree().item_count(), items, &fresh, &mark);
    let read = each_row(draft, session, Index::Check, &mut |row| arranging.row(row));
    let (rows, lack) = match read {
        Ok(index) => (RowsRead::All, index.as_ref().map(damage::of_index)),
        // Nobody can read it without the password, but it must be there.
        Err(_) if is_encrypted && is_list_closed(draft) => (RowsRead::No, None),
        Err(why) => (RowsRead::No, Some(Problem { path: "Manifest.db".to_owned(), why })),
    };
    let arranged = arranging.finish(rows);
    let mut builder = TreeBuilder::new(session);
    let mut opened_count = 0;
    for item in arranged.items() {
        let (what, mtime_secs, mtime_nanos) = match draft.tree().get(item.stored_path) {
            Some(Found::File(FoundFile { packed, .. })) => {
                opened_count += u64::from(packed.is_opened());
                (What::File(packed.decode().content), packed.mtime_secs(), packed.mtime_nanos())
            }
            Some(Found::Link(FoundLink { mtime_secs, mtime_nanos, target })) => {
                (What::Link { target: target.to_vec() }, mtime_secs, mtime_nanos)
            }
            Some(Found::Directory) | None => {
                let (mtime_secs, mtime_nanos) = (layout.directory_time)(item.stored_path);
                (What::Directory, mtime_secs, mtime_nanos)
            }
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
    let mut problem_count = arranged.problem_count + u64::from(lack.is_some());
    problems.extend(lack);
    if rows == RowsRead::No {
        // Nobody else misses them.
        problem_count += lost.len() as u64;
        problems.extend(lost.into_iter().take(PROBLEM_COUNT_MAX.saturating_sub(problems.len())));
    }
    let verdict = match (problem_count, rows) {
        (0, RowsRead::All) => Verdict::Complete,
        (0, RowsRead::No) => Verdict::Unchecked,
        _ => Verdict::Incomplete,
    };
    let counts = Counts { opened: opened_count, ..arranged.counts };
    let status = Status::default();
    Ok(Taken {
        root,
        counts,
        verdict,
        problems,
        problem_count,
        status,
        is_encrypted: None,
        received_len: 0,
        kept_count: 0,
    })
}

fn is_list_closed(draft: &Draft) -> bool {
    matches!(draft.tree().get(b"Manifest.db"), Some(Found::File(file)) if !file.packed.is_opened())
}

/// By which a row is known again.
fn mark(session: &Session<'_>, flags: i64, blob: &[u8]) -> [u8; 8] {
    let id_keys = session.repository().id_keys();
    let [a, b, c, d, e, f, g, h, ..] = id_keys.row(&[&flags.to_le_bytes(), blob]);
    [a, b, c, d, e, f, g, h]
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

/// What becomes of the index of Manifest.db.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Index {
    /// It is held against the rows.
    Check,
    /// Nothing.
    PassOver,
}

/// Hands every row of Manifest.db on, and gives what is wrong with its index. The error says why not all of them came.
pub(super) fn each_row(
    draft: &Draft,
    session: &Session<'_>,
    index: Index,
    each: &mut dyn FnMut(&Row),
) -> Result<Option<ManifestPagesError>, String> {
    let Some(Found::File(file)) = draft.tree().get(b"Manifest.db") else {
        return Err("it is not there".to_owned());
    };
    let content = file.packed.decode().content;
    let source = ContentAt::new(session.repository(), &content);
    let source = source.map_err(|error: ContentError| error.to_string())?;
    let mut pages = ManifestPages::open(source).map_err(|error| error.to_string())?;
    let rows = pages.for_each_row(|row| {
        each(&row);
        ControlFlow::Continue(())
    });
    rows.map_err(|error| error.to_string())?;
    Ok(if index == Index::Check { pages.check_index().err() } else { None })
}
