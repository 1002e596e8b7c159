//! `reopen`.

use serde_json::json;

use super::{chosen, kept_counted, opens_it, phone, phone_keys};
use crate::capture::device::reopen::ReopenError as TreeError;
use crate::capture::device::take::Locked;
use crate::cli::args::Reopen;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code, worse};
use crate::cli::format::{bytes, counted, moment, plain, rfc3339};
use crate::cli::{output, secret, stop};
use crate::observe::Observer;
use crate::ops::backup::{BackupOptions, Interrupted, finish_waiting, interrupted};
use crate::ops::phone_keys::PhoneKeys;
use crate::ops::reopen::{
    ReopenError, Reopened, is_kept_closed, is_openable, prunable_len, reopen as open_again,
};
use crate::snapshot::{Snapshot, record};
use crate::wipe;

/// What a prune leaves unless it is told otherwise.
const UNUSED_SHARE: f64 = 0.05;

pub(super) fn reopen(context: &Context, args: &Reopen) -> Result<u8, Failure> {
    let asker = phone_keys::asker(context);
    let keys = phone_keys::keys(context, &args.opening, &asker)?;
    let mut opened = context.write()?;
    let mut wanted = Vec::new();
    for word in &args.snapshots {
        wanted.push(chosen(context, &opened, word)?);
    }
    let (mut worst, mut told_count, mut kept_count) = (0, 0, 0);
    if wanted.is_empty() {
        let options = BackupOptions::default();
        let progress = &context.progress;
        let waiting =
            wipe::after(|| finish_waiting(&mut opened, &options, &keys, progress, &stop::asked))?;
        told_count = waiting.len();
        let made = waiting.iter().filter_map(|done| Some(done.result.as_ref().ok()?.snapshot.id));
        let made: Vec<_> = made.collect();
        let (all, _) = record::all(&opened.repository);
        // What was just made was opened as far as it can be.
        kept_count = all.iter().filter(|snapshot| is_kept_closed(snapshot)).count() as u64;
        wanted = all.into_iter().filter(|s| is_openable(s) && !made.contains(&s.id)).collect();
        if wanted.is_empty() {
            wipe::after(|| keys.forget());
        }
        worst = phone::tell_waiting(context, waiting)?.0;
        let interrupted = interrupted(&opened.repository);
        told_count += interrupted.len();
        tell_interrupted(context, &interrupted)?;
    }
    if wanted.is_empty() {
        if told_count == 0 {
            tell_nothing(context, kept_count, worst)?;
        }
        return Ok(worst);
    }
    let done = wipe::after(|| {
        let done = open_again(&mut opened, &wanted, &keys, &context.progress, &stop::asked);
        keys.forget();
        done
    })?;
    context.progress.clear();
    let mut opened_count = 0;
    for (old, result) in wanted.iter().zip(done) {
        match result {
            Ok(outcome) => {
                opened_count += u64::from(matches!(outcome, Reopened::New { .. }));
                worst = worse(worst, tell(context, old, &outcome)?);
            }
            Err(error) => {
                let failure = not_opened(old, args, error);
                failure.tell_of(&old.short_id(), context.json())?;
                output::note(&format!("{}: {}", old.short_id(), failure.text()));
                worst = worse(worst, failure.code());
            }
        }
    }
    tell_in_vain(context, args, &keys);
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

/// That there is nothing to open, but for what stays as it is.
fn tell_nothing(context: &Context, kept_count: u64, exit: u8) -> Result<(), Failure> {
    if context.json() {
        let body = json!({ "opened_count": 0, "prunable_len": null, "exit_code": exit });
        return output::message("summary", body);
    }
    output::line(&match kept_count {
        0 => "Nothing is stored as an iPhone encrypted it.".to_owned(),
        _ => format!("Nothing is to be opened. {}", kept_counted(kept_count)),
    })
}

/// Where a backup stopped, and what goes on with it.
pub(super) fn interrupted_line(backup: &Interrupted) -> String {
    format!(
        "{} has not sent everything of its last backup ({} are here): connect it, and `russet backup` goes on there",
        plain(&backup.device),
        bytes(backup.received_len),
    )
}

/// Why a snapshot was not opened; of a password that was given, that it is another day's.
fn not_opened(old: &Snapshot, args: &Reopen, error: ReopenError) -> Failure {
    let is_wrong = matches!(&error, ReopenError::Tree(TreeError::Locked(Locked::WrongPassword)));
    let files = secret::phone_password_files(&args.opening.passwords.phone_password_file);
    let failure = Failure::from(error);
    if !is_wrong || files.is_empty() {
        return failure;
    }
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    failure.next(format!(
        "the iPhone backup password in {} does not open it: that of its day, {}, is needed; the snapshot stays as it is (a damaged keybag looks the same)",
        files.join(" or "),
        moment(old.record.backup_time)
    ))
}

/// Tells of passwords that were given and did nothing.
fn tell_in_vain(context: &Context, args: &Reopen, keys: &PhoneKeys<'_>) {
    let files = secret::phone_password_files(&args.opening.passwords.phone_password_file);
    for file in keys.given_in_vain().into_iter().filter_map(|at| files.get(at)) {
        context.progress.remark(&format!(
            "the iPhone backup password in {} opened nothing; another one did",
            file.display()
        ));
    }
}

/// Tells of what nobody can open yet: the keys come last.
fn tell_interrupted(context: &Context, backups: &[Interrupted]) -> Result<(), Failure> {
    context.progress.clear();
    for backup in backups {
        if context.json() {
            let Interrupted { device, udid, received_len } = backup;
            let body = json!({ "device": device, "udid": udid, "received_len": received_len });
            output::message("interrupted", body)?;
        } else {
            output::line(&interrupted_line(backup))?;
        }
    }
    Ok(())
}

/// Gives the exit code for it.
fn tell(context: &Context, old: &Snapshot, outcome: &Reopened) -> Result<u8, Failure> {
    tell_outcome(context, old, outcome)?;
    match outcome {
        Reopened::New { snapshot, .. } if !snapshot.is_good() => {
            if !context.json() {
                phone::tell_incomplete(snapshot);
            }
            Ok(code::INCOMPLETE)
        }
        Reopened::New { .. } | Reopened::AsItWas | Reopened::KeptClosed => Ok(0),
    }
}

fn tell_outcome(context: &Context, old: &Snapshot, outcome: &Reopened) -> Result<(), Failure> {
    let date = old.record.backup_time;
    match outcome {
        Reopened::AsItWas | Reopened::KeptClosed if context.json() => output::message(
            "reopened",
            json!({ "snapshot_id": old.id, "new": false, "time": rfc3339(date) }),
        ),
        Reopened::AsItWas | Reopened::KeptClosed => output::line(&format!(
            "= Snapshot {} of {}, {}: {}",
            old.short_id(),
            plain(old.device_name()),
            moment(date),
            match old.record.encrypted {
                Some(false) => {
                    "it was not encrypted, and there is nothing to open".to_owned()
                }
                _ if is_kept_closed(old) => opens_it(old),
                _ => "there is nothing to open".to_owned(),
            },
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
            if snapshot.is_good() { "✓" } else { "!" },
            snapshot.short_id(),
            plain(snapshot.device_name()),
            moment(date),
            counted(snapshot.record.counts.opened, "file"),
            old.short_id(),
        )),
    }
}
