//! `extract`.

use jiff::tz::TimeZone;
use serde_json::json;

use super::chosen;
use crate::cli::args::{Extract, ExtractLayout};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{self, by_count, bytes, counted, moment, plain};
use crate::cli::{output, stop};
use crate::ops::extract::{ExtractOptions, Extracted, Layout, Wanted, extract as extract_files};
use crate::ops::restore::{RestoreError, check_target};
use crate::snapshot::Snapshot;
use crate::wipe;

pub(super) fn extract(context: &Context, args: Extract) -> Result<u8, Failure> {
    check_target(&args.target, &context.location()?)?;
    let opened = context.read()?;
    let snapshot = chosen(context, &opened, &args.snapshot)?;
    let options = ExtractOptions {
        target: args.target,
        wanted: Wanted { paths: args.path, apps: args.app, photos: args.photos },
        layout: match args.layout {
            ExtractLayout::Domain => Layout::Domain,
            ExtractLayout::Date => Layout::Date,
        },
        zone: TimeZone::system(),
    };
    let (repository, progress) = (&opened.repository, &context.progress);
    let done =
        wipe::after(|| extract_files(repository, &snapshot, &options, progress, &stop::asked));
    context.progress.clear();
    let done = done.map_err(ended)?;
    if done.is_nothing() {
        return Err(nothing(&snapshot));
    }
    let exit = if done.is_whole() { 0 } else { code::INCOMPLETE };
    let told = match context.json() {
        true => json_summary(&snapshot, &options, &done, exit),
        false => text_summary(&snapshot, &options, &done),
    };
    Failure::unless_closed(told, exit)
}

/// Each file is whole or not there, so that nothing has to be deleted.
fn ended(error: RestoreError) -> Failure {
    const AGAIN: &str = "the same command goes on with the files that are not there yet";
    match &error {
        RestoreError::NoSpace { .. } => Failure::of(code::NO_SPACE, &error).next(format!(
            "what was written is whole; free space on that drive, and {AGAIN}; or name a --target on another drive"
        )),
        RestoreError::Stopped => {
            Failure::new(code::INTERRUPTED, "stopped as asked; what was written is whole")
                .next(AGAIN)
        }
        _ => error.into(),
    }
}

fn nothing(snapshot: &Snapshot) -> Failure {
    if let Some(failure) = super::closed(snapshot) {
        return failure;
    }
    let id = snapshot.short_id();
    Failure::new(code::FAILED, format!("snapshot {id} has no such file")).next(format!(
        "`russet ls {id}` lists its files: a path begins with its domain, as \"HomeDomain/Library\""
    ))
}

fn json_summary(
    snapshot: &Snapshot,
    options: &ExtractOptions,
    done: &Extracted,
    exit: u8,
) -> Result<(), Failure> {
    output::message(
        "summary",
        json!({
            "snapshot_id": snapshot.id, "folder": options.target.display().to_string(), "files": done.file_count,
            "len": done.len, "there_count": done.there_count, "lost_count": done.lost_count,
            "encrypted_count": done.encrypted_count, "changed_name_count": done.changed_count,
            "link_count": done.link_count, "listing_lost_count": done.listing_lost_count, "exit_code": exit,
        }),
    )
}

fn text_summary(
    snapshot: &Snapshot,
    options: &ExtractOptions,
    done: &Extracted,
) -> Result<(), Failure> {
    output::line(&format!(
        "{} {} of snapshot {} (\"{}\", {}) in {}, {}, each checked",
        if done.is_whole() { "✓" } else { "!" },
        counted(done.file_count, "file"),
        snapshot.short_id(),
        plain(snapshot.device_name()),
        moment(snapshot.record.backup_time),
        options.target.display(),
        bytes(done.len),
    ))?;
    let notes = [
        (done.there_count, "there already, with the same length and date: left as it is"),
        (
            done.changed_count,
            by_count(
                done.changed_count,
                "with a name that not every system can have: written under another",
                "with names that not every system can have: written under others",
            ),
        ),
        (
            done.link_count,
            by_count(
                done.link_count,
                "symbolic link of the iPhone, not written",
                "symbolic links of the iPhone, not written",
            ),
        ),
        (done.encrypted_count, "kept as the phone encrypted it: NOT written"),
        (done.lost_count, "NOT written, named above"),
        (
            done.listing_lost_count,
            by_count(
                done.listing_lost_count,
                "part of the listing could not be read: what it named is NOT written",
                "parts of the listing could not be read: what they named is NOT written",
            ),
        ),
    ];
    for (count, what) in notes.iter().filter(|(count, _)| *count > 0) {
        output::note(&format!("  {} {what}", format::count(*count)));
    }
    Ok(())
}
