//! `restore`.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use serde_json::json;

use super::chosen;
use super::remembered::is_kept;
use super::restore_phone::to_phone;
use crate::cli::args::Restore;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{by_count, bytes, count, counted, moment, plain};
use crate::cli::{output, stop};
use crate::ops::restore::{RestoreOptions, check_target, restore as restore_snapshot};
use crate::snapshot::Snapshot;
use crate::snapshot::record::Verdict;
use crate::wipe;

pub(super) fn restore(context: &Context, args: Restore) -> Result<u8, Failure> {
    match args.target {
        Some(target) => to_folder(context, &args.snapshot, target),
        None => to_phone(context, &args.snapshot, args.to_phone.flatten().as_deref(), &args.phone),
    }
}

fn to_folder(context: &Context, word: &str, target: PathBuf) -> Result<u8, Failure> {
    check_target(&target, &context.location()?)?;
    let opened = context.read()?;
    let snapshot = chosen(context, &opened, word)?;
    let options = RestoreOptions { target, zone: TimeZone::system() };
    let (repository, progress) = (&opened.repository, &context.progress);
    let done =
        wipe::after(|| restore_snapshot(repository, &snapshot, &options, progress, &stop::asked))?;
    context.progress.clear();
    let whole = done.lost_count == 0 && done.listing_lost_count == 0;
    let exit = if whole { 0 } else { code::INCOMPLETE };
    if context.json() {
        let told = output::message(
            "summary",
            json!({
                "snapshot_id": snapshot.id, "folder": done.folder.display().to_string(), "files": done.file_count,
                "len": done.len, "lost_count": done.lost_count, "listing_lost_count": done.listing_lost_count, "exit_code": exit,
            }),
        );
        return Failure::unless_closed(told, exit);
    }
    let name = format!(
        "snapshot {} (\"{}\", {})",
        snapshot.short_id(),
        plain(snapshot.device_name()),
        moment(snapshot.record.backup_time)
    );
    if whole {
        output::line(&format!(
            "✓ {} of {name} {} written to {}, {}, each checked",
            counted(done.file_count, "file"),
            by_count(done.file_count, "was", "were"),
            done.folder.display(),
            bytes(done.len),
        ))?;
        tell_next(&done.folder, &snapshot)?;
    } else {
        let total = snapshot.record.counts.files;
        output::note(&format!(
            "error: could not restore {} of {} from {name}{}\n  the rest is in {}\n  next: `russet verify --read-data` lists everything affected; other snapshots may still hold these files",
            counted(done.lost_count, "file"),
            count(total),
            if done.listing_lost_count > 0 {
                format!(
                    ", and {} of its listing could not be read",
                    counted(done.listing_lost_count, "part")
                )
            } else {
                String::new()
            },
            done.folder.display(),
        ));
    }
    if snapshot.record.verdict == Verdict::Incomplete {
        output::note("note: this snapshot was incomplete when it was taken; a phone may refuse it");
    }
    if snapshot.record.encrypted == Some(true) {
        let kept = match is_kept(&opened, &snapshot) {
            true => format!("; `russet phone-password show {}` tells it", snapshot.short_id()),
            false => ", which this repository does not keep".to_owned(),
        };
        output::note(&format!(
            "note: the phone encrypted this backup: whoever restores it to a phone is asked for the iPhone backup password of {}{kept}",
            moment(snapshot.record.backup_time)
        ));
    }
    Ok(exit)
}

/// How a folder gets onto a phone: the programs that do it know a backup by its folder's name.
fn tell_next(folder: &Path, snapshot: &Snapshot) -> Result<(), Failure> {
    output::line(
        "  To put it onto a phone: copy that folder to where Finder or iTunes keep backups, and restore there (README.md, \"Back onto a phone\").",
    )?;
    let udid = &snapshot.record.udid;
    if folder.file_name().is_none_or(|name| name != udid.as_str()) {
        output::line(&format!("  The copy there must be called {}.", plain(udid)))?;
    }
    if snapshot.record.encrypted == Some(true) {
        output::line(
            "  It is an encrypted backup: the iPhone backup password of that day is needed.",
        )?;
    }
    Ok(())
}
