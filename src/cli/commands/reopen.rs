//! `reopen`.

use serde_json::json;

use super::{chosen, phone, phone_keys};
use crate::cli::args::Reopen;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code, worse};
use crate::cli::format::{bytes, counted, moment, plain, rfc3339};
use crate::cli::{output, stop};
use crate::ops::backup::{BackupOptions, finish_waiting};
use crate::ops::reopen::{Reopened, is_closed, prunable_len, reopen as open_again};
use crate::snapshot::record::Verdict;
use crate::snapshot::{Snapshot, record};

/// What a prune leaves unless it is told otherwise.
const UNUSED_SHARE: f64 = 0.05;

pub(super) fn reopen(context: &Context, args: &Reopen) -> Result<u8, Failure> {
    let asker = phone_keys::asker(context);
    let keys = phone_keys::keys(context, &args.opening, &asker)?;
    let mut opened = context.write()?;
    let mut wanted = Vec::new();
    for word in &args.snapshots {
        wanted.push(chosen(&opened, word)?);
    }
    let (mut worst, mut waiting_count) = (0, 0);
    if wanted.is_empty() {
        let options = BackupOptions::default();
        let progress = &context.progress;
        let waiting = finish_waiting(&mut opened, &options, &keys, progress, &stop::asked)?;
        waiting_count = waiting.len();
        worst = phone::tell_waiting(context, waiting)?.0;
        let (all, _) = record::all(&opened.repository);
        wanted = all.into_iter().filter(is_closed).collect();
    }
    if wanted.is_empty() {
        if waiting_count == 0 && !context.json() {
            output::line("Nothing is stored as an iPhone encrypted it.")?;
        }
        return Ok(worst);
    }
    let done = open_again(&mut opened, &wanted, &keys, &context.progress, &stop::asked)?;
    context.progress.clear();
    let mut opened_count = 0;
    for (old, result) in wanted.iter().zip(done) {
        match result {
            Ok(outcome) => {
                opened_count += u64::from(matches!(outcome, Reopened::New { .. }));
                if is_damaged(old, &outcome) {
                    worst = worse(worst, code::INCOMPLETE);
                }
                tell(context, old, &outcome)?;
            }
            Err(error) => {
                let failure = Failure::from(error);
                failure.tell_of(&old.short_id(), context.json())?;
                output::note(&format!("{}: {}", old.short_id(), failure.text()));
                worst = failure.code();
            }
        }
    }
    let freed_len = match opened_count {
        0 => None,
        _ => prunable_len(&opened.repository, UNUSED_SHARE, &context.progress),
    };
    context.progress.clear();
    if context.json() {
        let body = json!({
            "opened_count": opened_count, "prunable_len": freed_len, "exit_code": worst,
        });
        output::message("summary", body)?;
    } else if let Some(len) = freed_len {
        output::line(&format!("`russet prune` will free about {}.", bytes(len)))?;
    }
    Ok(worst)
}

/// Whether opening it showed that it is not whole.
fn is_damaged(old: &Snapshot, outcome: &Reopened) -> bool {
    let is_incomplete = |snapshot: &Snapshot| snapshot.record.verdict == Verdict::Incomplete;
    matches!(outcome, Reopened::New { snapshot, .. } if is_incomplete(snapshot) && !is_incomplete(old))
}

fn tell(context: &Context, old: &Snapshot, outcome: &Reopened) -> Result<(), Failure> {
    let date = old.record.backup_time;
    match outcome {
        Reopened::AsItWas if context.json() => output::message(
            "reopened",
            json!({ "snapshot_id": old.id, "new": false, "time": rfc3339(date) }),
        ),
        Reopened::AsItWas => output::line(&format!(
            "= Snapshot {} of {}, {}: there is nothing to open",
            old.short_id(),
            plain(old.device_name()),
            moment(date),
        )),
        Reopened::New { snapshot, kept_count } if context.json() => output::message(
            "reopened",
            json!({
                "snapshot_id": snapshot.id, "new": true, "supersedes": old.id, "time": rfc3339(date),
                "opened": snapshot.record.counts.opened, "kept_encrypted": kept_count,
                "verdict": snapshot.record.verdict,
            }),
        ),
        Reopened::New { snapshot, .. } => output::line(&format!(
            "{} Snapshot {} of {}, {}: {} opened; it takes the place of {}",
            if is_damaged(old, outcome) { "!" } else { "✓" },
            snapshot.short_id(),
            plain(snapshot.device_name()),
            moment(date),
            counted(snapshot.record.counts.opened, "file"),
            old.short_id(),
        )),
    }
}
