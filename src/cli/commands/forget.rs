//! `forget` and `prune`.

use russet_store::sweep::SweepPlan;
use serde_json::json;

use super::chosen;
use crate::cli::args::{Forget, Prune};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{bytes, counted, moment, plain};
use crate::cli::secret::confirm;
use crate::cli::{output, stop};
use crate::ops::forget::{self, Drafts};
use crate::ops::open::Opened;
use crate::snapshot::Snapshot;

const UNUSED_SHARE: f64 = 0.05;

pub(super) fn forget(context: &Context, args: &Forget) -> Result<u8, Failure> {
    let mut opened = if args.dry_run { context.read()? } else { context.write()? };
    let mut snapshots: Vec<Snapshot> = Vec::new();
    for word in &args.snapshots {
        let snapshot = chosen(context, &opened, word)?;
        if !snapshots.iter().any(|s| s.id == snapshot.id) {
            snapshots.push(snapshot);
        }
    }
    forget::check_pins(&snapshots)?;
    let ids: Vec<_> = snapshots.iter().map(|s| s.id).collect();
    let plan =
        forget::plan(&opened.repository, &ids, UNUSED_SHARE, Drafts::Keep, &context.progress);
    context.progress.clear();
    for snapshot in &snapshots {
        let text = format!(
            "{} snapshot {} of {}, {}, {}",
            if args.dry_run { "would forget" } else { "forget" },
            snapshot.short_id(),
            plain(snapshot.device_name()),
            moment(snapshot.record.backup_time),
            counted(snapshot.record.counts.files, "file"),
        );
        if context.json() {
            output::message(
                "forget",
                json!({ "snapshot_id": snapshot.id, "dry_run": args.dry_run }),
            )?;
        } else {
            output::line(&text)?;
        }
    }
    // With --prune it is told in a moment, when it is done.
    if let Ok(plan) = &plan
        && (args.dry_run || !args.prune)
    {
        tell(context, plan, true)?;
    }
    if args.dry_run {
        plan?;
        done(context, json!({ "forgotten_count": 0, "dry_run": true }))?;
        return Ok(0);
    }
    confirm(
        &format!("Forget {}?", counted(snapshots.len() as u64, "snapshot")),
        context.global.yes,
    )?;
    opened.prepare_to_write(&context.progress)?;
    forget::forget(&mut opened, &snapshots, &context.progress)?;
    if args.prune {
        return sweep(context, &mut opened, UNUSED_SHARE);
    }
    if !context.json() {
        output::line("Forgotten. `russet prune` gives back the space.")?;
    }
    done(context, json!({ "forgotten_count": snapshots.len(), "dry_run": false }))?;
    Ok(0)
}

pub(super) fn prune(context: &Context, args: &Prune) -> Result<u8, Failure> {
    if args.dry_run {
        let opened = context.read()?;
        let drafts = if args.drop_drafts { Drafts::GiveUp } else { Drafts::Keep };
        let share = args.max_unused;
        let plan = forget::plan(&opened.repository, &[], share, drafts, &context.progress)?;
        context.progress.clear();
        if args.drop_drafts && !context.json() {
            let count = counted(forget::draft_count(&opened.repository), "unfinished backup");
            output::line(&format!("{count} would be given up"))?;
        }
        tell(context, &plan, true)?;
        done(context, json!({ "freed_len": plan.freed_len(), "dry_run": true }))?;
        return Ok(0);
    }
    let mut opened = context.write()?;
    opened.prepare_to_write(&context.progress)?;
    if args.drop_drafts {
        confirm(
            "Give up all backups of phones that are no snapshots yet, interrupted or waiting for a password?",
            context.global.yes,
        )?;
        let count = forget::drop_drafts(&opened.repository, super::phone_keys::location(context)?)?;
        if !context.json() {
            output::line(&format!("{} given up", counted(count, "unfinished backup")))?;
        }
    }
    sweep(context, &mut opened, args.max_unused)
}

fn sweep(context: &Context, opened: &mut Opened, share: f64) -> Result<u8, Failure> {
    let plan = forget::plan(&opened.repository, &[], share, Drafts::Keep, &context.progress)?;
    context.progress.clear();
    tell(context, &plan, false)?;
    let freed_len = plan.freed_len();
    if plan.is_empty() {
        context.progress.clear();
    } else {
        forget::prune(opened, plan, &context.progress, &stop::asked).map_err(no_room)?;
    }
    context.progress.clear();
    if stop::asked() {
        return Err(Failure::interrupted());
    }
    if !context.json() {
        output::line("Done.")?;
    }
    done(context, json!({ "freed_len": freed_len, "dry_run": false }))?;
    Ok(0)
}

/// The last word for a machine, as every command has it.
fn done(context: &Context, mut body: serde_json::Value) -> Result<(), Failure> {
    if !context.json() {
        return Ok(());
    }
    if let Some(map) = body.as_object_mut() {
        map.insert("exit_code".to_owned(), json!(0));
    }
    output::message("summary", body)
}

fn tell(context: &Context, plan: &SweepPlan, would: bool) -> Result<(), Failure> {
    if context.json() {
        return output::message(
            "prune",
            json!({
                "delete_count": plan.delete.len(), "repack_count": plan.repack.len(), "unreadable_count": plan.unreadable.len(),
                "delete_len": plan.delete_len, "rewrite_len": plan.rewrite_len, "freed_len": plan.freed_len(),
                "unused_left_len": plan.unused_left_len, "dry_run": would,
            }),
        );
    }
    output::line(&format!(
        "{} {} and rewrite {} ({} moved): {} {}",
        if would { "a prune would delete" } else { "delete" },
        counted(plan.delete.len() as u64, "pack"),
        counted(plan.repack.len() as u64, "pack"),
        bytes(plan.rewrite_len),
        bytes(plan.freed_len()),
        if would { "would be free" } else { "will be free" },
    ))?;
    if !plan.unreadable.is_empty() {
        output::note(&format!(
            "note: {} cannot be read and will be left where they are",
            counted(plan.unreadable.len() as u64, "pack")
        ));
    }
    Ok(())
}

/// It is no help to be sent to what has just failed.
fn no_room(error: impl Into<Failure>) -> Failure {
    let failure = error.into();
    match failure.code() {
        code::NO_SPACE => failure.next(
            "prune writes what stays of a pack before it removes that pack, and needs the room for a moment: free some space on the drive by other means, and run `russet prune` again; nothing that is in use was touched",
        ),
        _ => failure,
    }
}
