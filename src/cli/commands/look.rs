//! Looking at snapshots, and saying things about them.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::json;

use super::reopen::interrupted_line;
use super::{chosen, closed, closed_counted, kept_counted, opens_it};
use crate::cli::args::{Cat, Ls, Note, One, Snapshots, Tag};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{by_count, bytes, count, counted, moment, path, plain, rfc3339};
use crate::cli::output;
use crate::observe::Observer;
use crate::ops::backup::{Waiting, interrupted, waiting};
use crate::ops::reopen::{is_closed, is_kept_closed, is_openable};
use crate::ops::{list, mark};
use crate::snapshot::record::Verdict;
use crate::snapshot::select::of_device;
use crate::snapshot::{Content, Entry, Snapshot, What, record};

/// What is no snapshot yet and needs nothing but a password.
fn tell_waiting(waiting: &[Waiting]) {
    for backup in waiting {
        output::note(&format!(
            "A backup of {}, {}, waits for its iPhone backup password: `russet reopen` makes the snapshot, without the iPhone.",
            plain(&backup.device),
            moment(backup.at)
        ));
    }
}

pub(super) fn snapshots(context: &Context, args: &Snapshots) -> Result<u8, Failure> {
    let opened = context.read()?;
    let (all, _) = record::all(&opened.repository);
    let mut shown: Vec<&Snapshot> = match &args.device {
        Some(device) => of_device(&all, device)?,
        None => all.iter().collect(),
    };
    if let Some(tag) = &args.tag {
        shown.retain(|s| s.state.tags.contains(tag));
    }
    if let Some(last) = args.last {
        shown.drain(..shown.len().saturating_sub(last));
    }
    context.progress.clear();
    if context.json() {
        for snapshot in shown {
            output::message("snapshot", describe(snapshot))?;
        }
        return Ok(0);
    }
    tell_waiting(&waiting(&opened.repository));
    if all.is_empty() {
        output::note(
            "No snapshots yet. `russet backup` takes an iPhone, `russet import FOLDER` a Finder or iTunes backup.",
        );
    } else if shown.is_empty() {
        let what = args.tag.as_ref().map_or(String::new(), |t| format!(" with the tag \"{t}\""));
        output::note(&format!("There is no snapshot{}.", plain(&what)));
    } else {
        tell_list(context, &shown)?;
    }
    for backup in interrupted(&opened.repository) {
        context.progress.remark(&interrupted_line(&backup));
    }
    Ok(0)
}

fn tell_list(context: &Context, shown: &[&Snapshot]) -> Result<(), Failure> {
    let closed_count = shown.iter().filter(|snapshot| is_openable(snapshot)).count() as u64;
    let kept_count = shown.iter().filter(|snapshot| is_kept_closed(snapshot)).count() as u64;
    for line in table(shown).lines() {
        output::line(line.trim_end())?;
    }
    if closed_count > 0 {
        context.progress.remark(&format!(
            "{}, each change whole: `russet reopen` opens {}, with the iPhone backup password of that day",
            closed_counted(closed_count),
            by_count(closed_count, "it", "them"),
        ));
    }
    if kept_count > 0 {
        context.progress.remark(&kept_counted(kept_count));
    }
    Ok(())
}

fn table(shown: &[&Snapshot]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let header = "id,date,phone,iOS,files,size,new,Apple's encryption,tags,";
    table.set_header(header.split(','));
    for at in [4, 5, 6] {
        if let Some(column) = table.column_mut(at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for snapshot in shown {
        let record = &snapshot.record;
        let mut tags: Vec<String> = snapshot.state.tags.iter().map(|t| plain(t)).collect();
        if snapshot.state.pinned {
            tags.insert(0, "pinned".to_owned());
        }
        let verdict = match record.verdict {
            Verdict::Complete => "",
            Verdict::Incomplete => "INCOMPLETE",
            Verdict::Unchecked => "unchecked",
        };
        table.add_row([
            snapshot.short_id(),
            moment(record.backup_time),
            plain(snapshot.device_name()),
            plain(record.device.product_version.as_deref().unwrap_or("")),
            count(record.counts.files),
            bytes(record.counts.len),
            bytes(record.counts.new_len),
            encryption(snapshot).to_owned(),
            tags.join(", "),
            marks(&[verdict, snapshot.state.note.as_deref().unwrap_or("")]),
        ]);
    }
    table
}

/// What Apple's encryption of a backup is to us, in words: nothing where nobody could tell.
fn encryption(snapshot: &Snapshot) -> &'static str {
    match snapshot.record.encrypted {
        Some(true) if is_closed(snapshot) => "encrypted, closed",
        Some(true) => "encrypted, opened",
        Some(false) => "not encrypted",
        None => "",
    }
}

fn marks(words: &[&str]) -> String {
    let there: Vec<String> =
        words.iter().filter(|word| !word.is_empty()).map(|w| plain(w)).collect();
    there.join(" ")
}

fn describe(snapshot: &Snapshot) -> serde_json::Value {
    let record = &snapshot.record;
    let mut counts = json!(record.counts);
    if let Some(map) = counts.as_object_mut() {
        // The record was made before its last packs were: the summary of the command that made it tells the whole.
        map.remove("stored_len");
    }
    json!({
        "snapshot_id": snapshot.id, "short_id": snapshot.short_id(), "time": rfc3339(record.backup_time),
        "time_source": record.backup_time_source, "captured": rfc3339(record.captured), "udid": record.udid,
        "device": record.device, "kind": record.kind, "encrypted": record.encrypted,
        "opened": (record.encrypted == Some(true)).then(|| !is_closed(snapshot)), "verdict": record.verdict,
        "counts": counts, "problem_count": record.problem_count, "problems": record.problems,
        "parent": record.parent, "tags": snapshot.state.tags, "pinned": snapshot.state.pinned,
        "note": snapshot.state.note,
    })
}

pub(super) fn ls(context: &Context, args: &Ls) -> Result<u8, Failure> {
    let opened = context.read()?;
    let snapshot = chosen(context, &opened, &args.snapshot)?;
    if args.categories {
        return categories(context, &opened.repository, &snapshot);
    }
    let mut failed = None;
    let mut listing = Listing {
        json: context.json(),
        long: args.long,
        held: (!context.json() && args.path.is_none()).then(Vec::new),
        shard_count: 0,
        shown_count: 0,
    };
    let show = |entry: &Entry| -> std::io::Result<()> {
        listing.show(entry).map_err(|failure| {
            failed = Some(failure);
            std::io::Error::from(std::io::ErrorKind::Other)
        })
    };
    let damaged =
        list::entries(&opened.repository, &snapshot, args.path.as_deref(), &context.progress, show);
    context.progress.clear();
    if failed.is_none() {
        listing.end()?;
    }
    match (failed, damaged) {
        (Some(failure), _) => Err(failure),
        (None, Ok(0)) if listing.shown_count == 0 && args.path.is_some() => {
            let path = args.path.as_deref().unwrap_or_default();
            if let Some(failure) = closed(&snapshot) {
                return Err(failure);
            }
            Err(Failure::new(
                code::FAILED,
                format!("snapshot {} has nothing below \"{}\"", snapshot.short_id(), plain(path)),
            )
            .next(elsewhere(&opened.repository, &snapshot, path).unwrap_or_else(
                || "names are told apart by case; without a path everything is listed".to_owned(),
            )))
        }
        (None, Ok(0)) => {
            if is_closed(&snapshot) {
                context.progress.remark(&as_encrypted(&snapshot));
            }
            Ok(0)
        }
        (None, Ok(damaged)) => {
            output::note(&format!("{} of the listing could not be read", counted(damaged, "part")));
            Ok(code::INCOMPLETE)
        }
        (None, Err(error)) => Err(Failure::stdout(error)),
    }
}

fn as_encrypted(snapshot: &Snapshot) -> String {
    format!("this is what the phone encrypted, under Apple's own names; {}", opens_it(snapshot))
}

/// Lines held back at most: a listing is shown as it comes.
const HELD_COUNT_MAX: usize = 1000;

/// A listing on its way out. A person who lists everything sees the phone's files first: what belongs to the backup folder alone
/// follows, and the folders 00 to ff are only counted.
struct Listing {
    json: bool,
    long: bool,
    held: Option<Vec<String>>,
    shard_count: u64,
    shown_count: u64,
}

impl Listing {
    fn show(&mut self, entry: &Entry) -> Result<(), Failure> {
        self.shown_count += 1;
        if self.json {
            return output::message("entry", entry_json(entry));
        }
        if let Some(held) = &mut self.held {
            if list::is_shard(entry) {
                self.shard_count += 1;
                return Ok(());
            }
            if entry.domain.is_empty() && held.len() < HELD_COUNT_MAX {
                held.push(entry_line(entry, self.long));
                return Ok(());
            }
        }
        output::line(&entry_line(entry, self.long))
    }

    fn end(&mut self) -> Result<(), Failure> {
        for line in self.held.take().unwrap_or_default() {
            output::line(&line)?;
        }
        if self.shard_count > 0 {
            output::note(&format!(
                "({} of the backup, 00 to ff, not shown; `--json` shows them too)",
                counted(self.shard_count, "folder")
            ));
        }
        Ok(())
    }
}

/// Where a path that was typed without its domain is.
fn elsewhere(
    repository: &russet_store::repository::Repository,
    snapshot: &Snapshot,
    path: &str,
) -> Option<String> {
    let domains = list::domains_with(repository, snapshot, path);
    let path = plain(path.trim_start_matches('/'));
    let whole: Vec<String> =
        domains.iter().map(|domain| format!("\"{}/{path}\"", plain(domain))).collect();
    (!whole.is_empty()).then(|| format!("a path begins with its domain: {}", whole.join(", ")))
}

fn entry_line(entry: &Entry, long: bool) -> String {
    let mut shown = path(&list::shown_path(entry));
    if shown.is_empty() {
        shown = ".".to_owned();
    }
    if let What::Link { target } = &entry.what {
        shown = format!("{shown} -> {}", path(target));
    }
    if !long {
        return shown;
    }
    let (kind, len) = match &entry.what {
        What::File(content) => ('-', content.plain_len()),
        What::Directory => ('d', 0),
        What::Link { .. } => ('l', 0),
    };
    format!("{kind} {len:>13}  {}  {shown}", moment(entry.mtime_secs))
}

fn entry_json(entry: &Entry) -> serde_json::Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (kind, file) = match &entry.what {
        What::File(content) => ("file", Some(content)),
        What::Directory => ("directory", None),
        What::Link { .. } => ("link", None),
    };
    let odd = std::str::from_utf8(&entry.stored_path).is_err()
        || std::str::from_utf8(&entry.relative_path).is_err();
    json!({
        "kind": kind, "domain": text(&entry.domain), "path": text(&entry.relative_path), "stored_path": text(&entry.stored_path),
        "stored_path_hex": odd.then(|| russet_store::ids::hex(&entry.stored_path)),
        "path_hex": odd.then(|| russet_store::ids::hex(&entry.relative_path)),
        "len": file.map(Content::plain_len), "stored_len": file.map(|f| f.len),
        "blake3": file.map(|f| russet_store::ids::hex(&f.hash)), "opened": file.map(|f| f.opened.is_some()), "mtime": rfc3339(entry.mtime_secs),
    })
}

fn categories(
    context: &Context,
    repository: &russet_store::repository::Repository,
    snapshot: &Snapshot,
) -> Result<u8, Failure> {
    let sums = list::by_category(repository, snapshot, &context.progress);
    context.progress.clear();
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.len));
    let hidden = snapshot.record.encrypted == Some(true)
        && sums.iter().all(|(name, _)| *name == list::OWN_LISTS);
    if hidden {
        sums.iter_mut().for_each(|(name, _)| *name = "Encrypted by Apple");
        context.progress.remark(&format!(
            "this is an encrypted backup: which file is what only its iPhone backup password tells; {}",
            opens_it(snapshot)
        ));
    }
    for (name, sum) in sums {
        if context.json() {
            output::message(
                "category",
                json!({ "name": name, "files": sum.count, "len": sum.len }),
            )?;
        } else {
            output::line(&format!(
                "{:>10}  {:>12}  {name}",
                bytes(sum.len),
                counted(sum.count, "file")
            ))?;
        }
    }
    Ok(if context.progress.problem_count() == 0 { 0 } else { code::INCOMPLETE })
}

pub(super) fn cat(context: &Context, args: &Cat) -> Result<u8, Failure> {
    let opened = context.read()?;
    let snapshot = chosen(context, &opened, &args.snapshot)?;
    let entry = list::find_file(&opened.repository, &snapshot, &args.path, &context.progress);
    context.progress.clear();
    let Some(Entry { what: What::File(content), .. }) = entry else {
        if let Some(failure) = closed(&snapshot) {
            return Err(failure);
        }
        return Err(Failure::new(
            code::FAILED,
            format!("snapshot {} has no file \"{}\"", snapshot.short_id(), plain(&args.path)),
        )
        .next(
            elsewhere(&opened.repository, &snapshot, &args.path)
                .unwrap_or_else(|| format!("`russet ls {}` lists its files", snapshot.short_id())),
        ));
    };
    let mut out = std::io::stdout().lock();
    list::cat(&opened.repository, &content, &mut out)?;
    // What follows the last line end waits in a buffer, and nobody would hear that it could not be written.
    std::io::Write::flush(&mut out).map_err(Failure::stdout)?;
    Ok(0)
}

pub(super) fn stats(context: &Context) -> Result<u8, Failure> {
    let opened = context.read()?;
    let (snapshots, _) = record::all(&opened.repository);
    let stats = list::stats(&opened.repository, &snapshots, &context.progress)?;
    context.progress.clear();
    if context.json() {
        output::message(
            "stats",
            json!({
                "snapshot_count": stats.snapshot_count, "restore_len": stats.restore_len, "pack_count": stats.pack_count,
                "pack_len": stats.pack_len, "blob_count": stats.blob_count, "blob_plain_len": stats.blob_plain_len,
                "blob_sealed_len": stats.blob_sealed_len, "damaged_count": stats.damaged_count,
            }),
        )?;
    } else {
        output::line(&format!(
            "Snapshots    {}, {} if each stood alone",
            stats.snapshot_count,
            bytes(stats.restore_len)
        ))?;
        output::line(&format!(
            "Different    {} in {}",
            bytes(stats.blob_plain_len),
            counted(stats.blob_count, "piece")
        ))?;
        output::line(&format!(
            "Stored       {} in {}",
            bytes(stats.pack_len),
            counted(stats.pack_count, "pack")
        ))?;
        #[expect(clippy::cast_precision_loss, reason = "a ratio to one decimal")]
        if stats.pack_len > 0 {
            output::line(&format!(
                "Saved        {:.1} times smaller",
                stats.restore_len as f64 / stats.pack_len as f64
            ))?;
        }
        let unused = stats.pack_len.saturating_sub(stats.blob_sealed_len);
        output::line(&format!(
            "Not needed   {} (directories and padding included)",
            bytes(unused)
        ))?;
    }
    Ok(if stats.damaged_count == 0 { 0 } else { code::DAMAGE })
}

pub(super) fn pin(context: &Context, args: &One, on: bool) -> Result<u8, Failure> {
    let mut opened = context.write()?;
    let snapshot = chosen(context, &opened, &args.snapshot)?;
    mark::pin(&mut opened, snapshot.id, on)?;
    opened.remember(&context.progress);
    said(context, &snapshot, if on { "is pinned" } else { "is no longer pinned" })
}

pub(super) fn tag(context: &Context, args: &Tag) -> Result<u8, Failure> {
    let good =
        !args.tag.is_empty() && args.tag.len() <= 200 && !args.tag.chars().any(char::is_control);
    if !good {
        return Err(Failure::new(
            code::USAGE,
            "a tag is a word of at most 200 bytes without control characters",
        ));
    }
    let mut opened = context.write()?;
    let snapshot = chosen(context, &opened, &args.snapshot)?;
    if args.remove && !snapshot.state.tags.contains(&args.tag) {
        let what = format!("snapshot {} has no tag \"{}\"", snapshot.short_id(), args.tag);
        let tags: Vec<String> = snapshot.state.tags.iter().map(|t| plain(t)).collect();
        let tags = if tags.is_empty() { "none".to_owned() } else { tags.join(", ") };
        return Err(Failure::new(code::FAILED, what).next(format!("its tags: {tags}")));
    }
    mark::tag(&mut opened, snapshot.id, &args.tag, !args.remove)?;
    opened.remember(&context.progress);
    let what = if args.remove { "no longer has the tag" } else { "has the tag" };
    said(context, &snapshot, &format!("{what} \"{}\"", args.tag))
}

pub(super) fn note(context: &Context, args: &Note) -> Result<u8, Failure> {
    if args.text.len() > 10_000 {
        return Err(Failure::new(code::USAGE, "a note has at most 10,000 bytes"));
    }
    let mut opened = context.write()?;
    let snapshot = chosen(context, &opened, &args.snapshot)?;
    mark::note(&mut opened, snapshot.id, &args.text)?;
    opened.remember(&context.progress);
    said(
        context,
        &snapshot,
        if args.text.is_empty() { "has no note any more" } else { "has the note" },
    )
}

fn said(context: &Context, snapshot: &Snapshot, what: &str) -> Result<u8, Failure> {
    context.progress.clear();
    if context.json() {
        output::message("summary", json!({ "snapshot_id": snapshot.id, "exit_code": 0 }))?;
    } else {
        output::line(&format!(
            "Snapshot {} of {} {what}.",
            snapshot.short_id(),
            plain(snapshot.device_name())
        ))?;
    }
    Ok(0)
}
