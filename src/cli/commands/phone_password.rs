//! `phone-password`.

use std::path::Path;

use serde_json::json;

use super::phone::{job, muxer, one};
use super::remembered;
use crate::apple;
use crate::cli::args::PhonePassword;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::plain;
use crate::cli::{output, secret};
use crate::observe::Observer;
use crate::ops::phone_password::{Change, change, makes_sense};
use crate::ops::phones::{Phone, Values};

const OLD: &str = "iPhone backup password until now";
const NEW: &str = "New iPhone backup password";

pub(super) fn phone_password(context: &Context, args: &PhonePassword) -> Result<u8, Failure> {
    match args {
        PhonePassword::Show { snapshot } => remembered::show(context, snapshot),
        PhonePassword::Remember { snapshot, phone_password_file } => {
            remembered::remember(context, snapshot, phone_password_file.as_deref())
        }
        PhonePassword::Forget { lost: true, .. } => remembered::give_up_lost(context),
        PhonePassword::Forget { snapshot, .. } => remembered::forget(context, snapshot.as_deref()),
        PhonePassword::Status { device } => status(context, device.as_deref()),
        PhonePassword::Enable { device, new_password_file } => {
            let met = meet(context, device.as_deref(), "enable", true)?;
            let new = new_password(new_password_file.as_deref())?;
            run(context, met, Change::Enable { new: &new })
        }
        PhonePassword::Change { device, old_password_file, new_password_file } => {
            let met = meet(context, device.as_deref(), "change", false)?;
            let old = old_password(old_password_file.as_deref())?;
            let new = new_password(new_password_file.as_deref())?;
            run(context, met, Change::Change { old: &old, new: &new })
        }
        PhonePassword::Disable { device, old_password_file, yes_really } => {
            if !yes_really {
                return Err(Failure::new(
                    code::USAGE,
                    "without encryption Apple leaves saved passwords, Health, call history and Safari history out of backups",
                )
                .next("if you mean it: `russet phone-password disable --yes-really`"));
            }
            let met = meet(context, device.as_deref(), "disable", false)?;
            let old = old_password(old_password_file.as_deref())?;
            run(context, met, Change::Disable { old: &old })
        }
    }
}

fn new_password(file: Option<&Path>) -> Result<apple::PhonePassword, Failure> {
    secret::of_phone(file, false, "--new-password-file", NEW, true)
}

fn old_password(file: Option<&Path>) -> Result<apple::PhonePassword, Failure> {
    secret::of_phone(file, true, "--old-password-file", OLD, false)
}

/// The phone that is meant, and what it says of itself, before anybody types a password.
fn meet(
    context: &Context,
    device: Option<&str>,
    verb: &str,
    is_first: bool,
) -> Result<(Phone, Values), Failure> {
    let muxer = muxer()?;
    let seen = one(&muxer, device, &format!("phone-password {verb} NAME"))?;
    let mut phone = job(context, &muxer, seen, &context.progress)?.phone;
    let values = phone.values()?;
    makes_sense(is_first, &values)?;
    Ok((phone, values))
}

fn status(context: &Context, device: Option<&str>) -> Result<u8, Failure> {
    let muxer = muxer()?;
    let seen = one(&muxer, device, "phone-password status NAME")?;
    let udid = seen.attached.udid.clone();
    let values = job(context, &muxer, seen, &context.progress)?.phone.values()?;
    context.progress.clear();
    let name = values.name.as_deref().unwrap_or(&udid);
    if context.json() {
        output::message(
            "summary",
            json!({
                "udid": udid, "name": name, "encrypted": values.will_encrypt, "required": values.requires_encryption,
                "exit_code": 0,
            }),
        )?;
        return Ok(0);
    }
    let name = plain(name);
    output::line(&match values.will_encrypt {
        Some(true) => format!("✓ Backups of {name} are encrypted"),
        Some(false) => format!("! Backups of {name} are NOT encrypted"),
        None => format!("? {name} does not tell whether its backups are encrypted"),
    })?;
    if values.will_encrypt == Some(false) {
        output::note("  `russet phone-password enable` encrypts them from now on");
    }
    if values.requires_encryption == Some(true) {
        output::note("  An organisation that manages it demands encrypted backups");
    }
    Ok(0)
}

fn run(
    context: &Context,
    (mut phone, values): (Phone, Values),
    wanted: Change<'_>,
) -> Result<u8, Failure> {
    let mut opened = context.write()?;
    let kept = change(&mut opened, &mut phone, wanted, &context.progress)?;
    context.progress.clear();
    let udid = phone.attached().udid.clone();
    let name = values.name.unwrap_or_else(|| udid.clone());
    if context.json() {
        output::message(
            "summary",
            json!({
                "udid": udid, "name": name, "encrypted": wanted.encrypts(), "rewrapped": kept, "exit_code": 0,
            }),
        )?;
        return Ok(0);
    }
    let name = plain(&name);
    output::line(&match wanted {
        Change::Enable { .. } => format!("✓ Backups of {name} are encrypted from now on"),
        Change::Change { .. } => format!("✓ {name} has a new backup password"),
        Change::Disable { .. } => format!("✓ Backups of {name} are no longer encrypted"),
    })?;
    output::line(
        "  Snapshots that were made before stay as they are: each opens with the password of its day. Keep them all.",
    )?;
    if !kept {
        context.progress.remark("the next backup of this phone will be a full one");
    }
    Ok(0)
}
