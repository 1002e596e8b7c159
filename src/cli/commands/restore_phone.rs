//! `restore --to-phone`.

use jiff::tz::TimeZone;
use serde_json::json;

use super::chosen;
use super::phone::{job, muxer, one};
use super::phone_keys::{location, spool_dir};
use super::remembered::for_phone;
use crate::apple::Passwords;
use crate::capture::device::give::RestoreWish;
use crate::cli::args::ToPhone;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{bytes, counted, moment, plain};
use crate::cli::{output, secret};
use crate::observe::Observer;
use crate::ops::backup::{BackedUp, Job};
use crate::ops::restore_phone::{SAFETY_TAG, preflight, restore_to_phone, safety_backup};
use crate::snapshot::Snapshot;
use crate::wipe;

const HOW: &str = "restore SNAP --to-phone NAME";

pub(super) fn to_phone(
    context: &Context,
    word: &str,
    device: Option<&str>,
    args: &ToPhone,
) -> Result<u8, Failure> {
    let muxer = muxer()?;
    // Nobody types a password for a phone that is not there.
    let seen = one(&muxer, device, HOW)?;
    let attached = seen.attached.clone();
    let own = seen.observer(context, true);
    let called = seen.shown();
    let mut opened = if args.no_safety_backup { context.read()? } else { context.write()? };
    let snapshot = chosen(context, &opened, word)?;
    let mut found = job(&muxer, seen, &own)?;
    let values = found.phone.values()?;
    let name = plain(values.name.as_deref().unwrap_or(&attached.udid));
    // Its name may be known only now, since it trusts this computer.
    let called = if called == attached.udid { name.clone() } else { called };
    preflight(&opened.repository, &snapshot, &values, &context.progress)?;
    let file = args.phone_password_file.as_deref();
    // Where nobody could tell whether it is encrypted, a password that is given goes along.
    let is_told = snapshot.record.encrypted.is_none() && file.is_some();
    let password = if snapshot.record.encrypted == Some(true) || is_told {
        Some(for_phone(&opened, &snapshot, file)?)
    } else {
        None
    };
    // It opens the safety backup also where the snapshot needs none. A pipe is read once.
    let given = match (&password, file) {
        (Some(password), Some(_)) => Some(password.again()),
        (None, Some(file)) => Some(secret::phone_password_file(file)?),
        (_, None) => None,
    };
    let spool = args.spool.as_deref().map(spool_dir).transpose()?;
    context.progress.clear();
    secret::confirm_name(&question(&called, &snapshot, args), &name, context.global.yes)?;
    if !args.no_safety_backup {
        let made = safety_backup(
            &mut opened,
            found,
            Passwords::new(given.into_iter().collect()),
            (&location(context)?, spool, TimeZone::system()),
            &context.progress,
        )?;
        tell_safety(context, &made)?;
        let again = one(&muxer, Some(&attached.udid), HOW)?;
        found = job(&muxer, again, &own)?;
    }
    let Job { mut phone, observer, cancelled, .. } = found;
    let wish = RestoreWish {
        keep_settings: !args.no_keep_settings,
        system: args.system,
        reboot: !args.no_reboot,
        remove_items: args.remove_items,
    };
    let repository = &opened.repository;
    wipe::after(|| {
        let (phone, password) = ((&mut phone, &*cancelled), password);
        restore_to_phone(repository, &snapshot, phone, wish, password.as_ref(), observer)
    })?;
    context.progress.clear();
    tell_done(context, &snapshot, (&name, &attached.udid), wish)
}

fn question(called: &str, snapshot: &Snapshot, args: &ToPhone) -> String {
    let what = if args.remove_items {
        "Everything else on it is REMOVED."
    } else {
        "What is on it under the same names is replaced."
    };
    format!(
        "Snapshot {} of \"{}\", {}, will be written to \"{called}\". {what}\nType the name of the iPhone to go on:",
        snapshot.short_id(),
        plain(snapshot.device_name()),
        moment(snapshot.record.backup_time),
    )
}

fn tell_safety(context: &Context, made: &BackedUp) -> Result<(), Failure> {
    context.progress.clear();
    let id = made.snapshot.short_id();
    if context.json() {
        return output::message("safety_snapshot", json!({ "snapshot_id": made.snapshot.id }));
    }
    context.progress.remark(&format!(
        "the iPhone as it was is now snapshot {id}, tagged {SAFETY_TAG}; `russet restore {id} --to-phone` would bring it back"
    ));
    Ok(())
}

fn tell_done(
    context: &Context,
    snapshot: &Snapshot,
    (name, udid): (&str, &str),
    wish: RestoreWish,
) -> Result<u8, Failure> {
    let counts = snapshot.record.counts;
    if context.json() {
        let told = output::message(
            "summary",
            json!({
                "snapshot_id": snapshot.id, "udid": udid, "name": name, "files": counts.files, "len": counts.len,
                "reboots": wish.reboot, "exit_code": 0,
            }),
        );
        return Failure::unless_closed(told, 0);
    }
    output::line(&format!(
        "✓ Snapshot {} was written to {name} — {} in {}",
        snapshot.short_id(),
        bytes(counts.len),
        counted(counts.files, "file"),
    ))?;
    output::line(if wish.reboot {
        "  It restarts now. Leave it connected until its home screen is back; apps are fetched from the App Store."
    } else {
        "  It was not asked to restart: restart it yourself. Apps are fetched from the App Store."
    })?;
    Ok(0)
}

impl From<crate::apple::PasswordError> for Failure {
    fn from(error: crate::apple::PasswordError) -> Self {
        Self::of(code::USAGE, &error)
    }
}
