//! `doctor`.

use std::io::IsTerminal;

use serde_json::json;

use super::phone::muxer;
use super::remembered::is_kept;
use crate::cli::args::Doctor;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::plain;
use crate::cli::{output, settings};
use crate::ops::doctor::{self, Check, Encrypting, Health};
use crate::ops::phones::same_udid;
use crate::snapshot::record;

pub(super) fn doctor(context: &Context, args: &Doctor) -> Result<u8, Failure> {
    let mut checks = doctor::computer(
        jiff::Timestamp::now(),
        &format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
    );
    let (of_phones, encrypting) = doctor::phones(&muxer()?);
    checks.extend(of_phones);
    match context.location() {
        Ok(location) => {
            let drive = doctor::drive(&location);
            let is_there = drive.first().is_some_and(|check| check.health == Health::Good);
            checks.extend(drive);
            if is_there {
                checks.extend(repository(context, &encrypting));
            }
        }
        Err(_) => checks.push(doctor::skipped(
            "drive",
            "no repository was named: use --repo, or set RUSSET_REPOSITORY",
        )),
    }
    context.progress.clear();
    if let Some(path) = &args.report {
        let text: String = checks.iter().map(|check| line(check, false)).collect();
        std::fs::write(path, text).map_err(|error| {
            Failure::new(code::FAILED, format!("could not write {}: {error}", path.display()))
        })?;
    }
    for check in &checks {
        if context.json() {
            output::message(
                "check",
                json!({
                    "what": check.what, "health": word(check.health), "found": check.found,
                    "next": check.next, "about": check.about,
                }),
            )?;
        } else {
            output::line(line(check, true).trim_end())?;
        }
    }
    let is_bad = checks.iter().any(|check| check.health == Health::Bad);
    Ok(if is_bad { code::FAILED } else { 0 })
}

/// Opens it only where that needs no question, or there is somebody to ask.
fn repository(context: &Context, encrypting: &[Encrypting]) -> Vec<Check> {
    let given = context.global.password_file.is_some()
        || context.global.password_command.is_some()
        || context.global.recovery_file.is_some()
        || context.has_password_source()
        || ["RUSSET_PASSWORD_FILE", "RUSSET_PASSWORD_COMMAND", "RUSSET_PASSWORD"]
            .iter()
            .any(|name| settings::variable(name).is_some());
    if !given && !std::io::stdin().is_terminal() {
        return vec![doctor::skipped("repository", "nobody gave its password")];
    }
    let opened = match context.read() {
        Ok(opened) => opened,
        Err(failure) => return doctor::repository(Err(failure.what().to_owned())),
    };
    let (snapshots, _) = record::all(&opened.repository);
    let mut checks = doctor::repository(Ok(doctor::holdings(&opened.repository)));
    for phone in encrypting {
        let of_it = snapshots.iter().filter(|s| same_udid(&s.record.udid, &phone.udid));
        let newest = of_it.max_by_key(|s| s.record.backup_time);
        let newest = newest.filter(|s| s.record.encrypted == Some(true));
        checks.push(doctor::password(phone, newest.map(|s| (s.short_id(), is_kept(&opened, s)))));
    }
    checks
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "good",
        Health::Worth => "worth knowing",
        Health::Bad => "bad",
        Health::Skipped => "not looked at",
    }
}

fn line(check: &Check, with_names: bool) -> String {
    let mark = match check.health {
        Health::Good => '✓',
        Health::Worth => '!',
        Health::Bad => '✗',
        Health::Skipped => '-',
    };
    let about = check.about.as_deref().filter(|_| with_names);
    let about = about.map_or(String::new(), |name| format!("{}: ", plain(name)));
    let mut text = format!("{mark} {about}{}: {}\n", check.what, plain(&check.found));
    if !check.next.is_empty() {
        text.push_str(&format!("    {}\n", check.next));
    }
    text
}
