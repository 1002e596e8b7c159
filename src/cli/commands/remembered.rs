//! iPhone backup passwords that the repository keeps: shown, kept, forgotten, and used for a phone.
//!
//! Invariant: one is shown only by `phone-password show`, on a terminal or as JSON that was asked for; never on the way.

use std::io::{IsTerminal, stdout};
use std::path::Path;

use serde_json::json;

use super::chosen;
use crate::apple::{KeybagError, LockedKeys, Passwords, PhonePassword};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{counted, moment, plain};
use crate::cli::{output, secret};
use crate::ops::open::Opened;
use crate::ops::remembered::{self, KeysError, Remembered, keys_of};
use crate::snapshot::Snapshot;
use crate::wipe;

pub(super) fn show(context: &Context, word: &str) -> Result<u8, Failure> {
    if !context.json() && !stdout().is_terminal() {
        return Err(Failure::new(
            code::USAGE,
            "an iPhone backup password is shown on a terminal only, and this is none",
        )
        .next("`--json` writes it anywhere"));
    }
    let opened = context.read()?;
    let snapshot = chosen(context, &opened, word)?;
    let locked = locked(&opened, &snapshot)?;
    let password = remembered::remembered(&opened.repository, &locked.keybag.id());
    context.progress.clear();
    let password = password.ok_or_else(|| {
        let id = snapshot.short_id();
        not_kept(&snapshot)
            .next(format!("`russet phone-password remember {id}` keeps it, if you know it"))
    })?;
    if context.json() {
        output::message(
            "phone_password",
            json!({ "snapshot_id": snapshot.id, "udid": snapshot.record.udid, "password": password.text() }),
        )?;
    } else {
        output::line(password.text())?;
    }
    Ok(0)
}

pub(super) fn remember(context: &Context, word: &str, file: Option<&Path>) -> Result<u8, Failure> {
    let opened = context.write()?;
    let snapshot = chosen(context, &opened, word)?;
    let locked = locked(&opened, &snapshot)?;
    let prompt = prompt(&snapshot);
    let is_new = wipe::after(|| {
        let given = secret::of_phone(file, true, "--phone-password-file", &prompt, false)?;
        let password = opening(&snapshot, &locked, given)?;
        opened.prepare_to_write(&context.progress)?;
        let (repository, udid) = (&opened.repository, &snapshot.record.udid);
        Ok::<_, Failure>(remembered::remember(repository, udid, &locked.keybag.id(), &password)?)
    })?;
    context.progress.clear();
    if context.json() {
        output::message(
            "summary",
            json!({ "snapshot_id": snapshot.id, "new": is_new, "exit_code": 0 }),
        )?;
        return Ok(0);
    }
    output::line(&format!(
        "{} The iPhone backup password of snapshot {} is kept in the repository{}",
        if is_new { "✓" } else { "=" },
        snapshot.short_id(),
        if is_new { "" } else { " already" }
    ))?;
    Ok(0)
}

pub(super) fn forget(context: &Context, word: Option<&str>) -> Result<u8, Failure> {
    let mut opened = context.write()?;
    let all = remembered::all(&opened.repository);
    // All of them are also those that cannot be read.
    let mut lost = Vec::new();
    let meant = match word {
        None => {
            lost = opened.repository.lost_secrets();
            all
        }
        Some(word) => {
            let snapshot = chosen(context, &opened, word)?;
            let id = locked(&opened, &snapshot)?.keybag.id();
            let of_it: Vec<Remembered> = all.into_iter().filter(|e| e.keybag == id).collect();
            if of_it.is_empty() {
                return Err(
                    not_kept(&snapshot).next("nothing is kept, so there is nothing to remove")
                );
            }
            of_it
        }
    };
    context.progress.clear();
    if !meant.is_empty() || !lost.is_empty() {
        secret::confirm(
            "Who does not know that password then brings none of its snapshots back to an iPhone, in twenty years either. Remove it from the repository?",
            context.global.yes,
        )?;
    }
    opened.prepare_to_write(&context.progress)?;
    let mut count = wipe::after(|| {
        let mut count = 0;
        // They end here.
        for each in meant {
            count += remembered::forget(&mut opened, &each.password)?;
        }
        Ok::<_, Failure>(count)
    })?;
    remembered::give_up_lost(&mut opened, &lost)?;
    count += lost.len();
    opened.remember(&context.progress);
    context.progress.clear();
    if context.json() {
        output::message("summary", json!({ "forgotten_count": count, "exit_code": 0 }))?;
        return Ok(0);
    }
    output::line(&match count {
        0 => "No iPhone backup password is kept".to_owned(),
        _ => format!(
            "✓ Removed from the repository, {} in all. Copies of it that were made before still have them",
            counted(count as u64, "record")
        ),
    })?;
    Ok(0)
}

/// Gives up passwords that nobody can read any more.
pub(super) fn give_up_lost(context: &Context) -> Result<u8, Failure> {
    let mut opened = context.write()?;
    let lost = opened.repository.lost_secrets();
    context.progress.clear();
    let passwords = counted(lost.len() as u64, "iPhone backup password");
    if !lost.is_empty() {
        secret::confirm(
            &format!(
                "No copy of {passwords} in the repository can be read. Give them up? Another copy of the repository may still have them"
            ),
            context.global.yes,
        )?;
        opened.prepare_to_write(&context.progress)?;
        remembered::give_up_lost(&mut opened, &lost)?;
        opened.remember(&context.progress);
        context.progress.clear();
    }
    if context.json() {
        let count = lost.len();
        output::message("summary", json!({ "forgotten_count": count, "exit_code": 0 }))?;
        return Ok(0);
    }
    output::line(&match lost.len() {
        0 => "No iPhone backup password is lost".to_owned(),
        _ => format!(
            "✓ Gave up {passwords} that could not be read. `russet phone-password remember SNAPSHOT` keeps one anew"
        ),
    })?;
    Ok(0)
}

/// The password for a snapshot that goes back to a phone: the one that is given, else the one that is kept, else one that is asked for.
/// It is tried on the snapshot's keybag before any phone is touched.
pub(super) fn for_phone(
    opened: &Opened,
    snapshot: &Snapshot,
    file: Option<&Path>,
) -> Result<PhonePassword, Failure> {
    let ask = || secret::of_phone(file, true, "--phone-password-file", &prompt(snapshot), false);
    let locked = match keys_of(&opened.repository, snapshot) {
        Ok(locked) => locked,
        // The phone is the judge where nobody else can be.
        Err(_) => return ask(),
    };
    if file.is_none() {
        let mut kept = Passwords::default();
        remembered::add_to(&mut kept, &opened.repository, &[locked.keybag.id()], &[]);
        if let Some(password) = kept.that_opens(&locked.keybag) {
            return Ok(password);
        }
    }
    opening(snapshot, &locked, ask()?)
}

/// Whether the password that a snapshot wants is kept.
pub(super) fn is_kept(opened: &Opened, snapshot: &Snapshot) -> bool {
    snapshot.record.encrypted == Some(true)
        && keys_of(&opened.repository, snapshot).is_ok_and(|locked| {
            remembered::remembered(&opened.repository, &locked.keybag.id()).is_some()
        })
}

fn prompt(snapshot: &Snapshot) -> String {
    format!("iPhone backup password of {} (of that day)", moment(snapshot.record.backup_time))
}

/// The form of a password that opens a snapshot's keybag.
fn opening(
    snapshot: &Snapshot,
    locked: &LockedKeys,
    password: PhonePassword,
) -> Result<PhonePassword, Failure> {
    Passwords::new(vec![password]).that_opens(&locked.keybag).ok_or_else(|| {
        Failure::new(
            code::PHONE_PASSWORD,
            format!(
                "this is not the iPhone backup password of snapshot {} (\"{}\", {})",
                snapshot.short_id(),
                plain(snapshot.device_name()),
                moment(snapshot.record.backup_time)
            ),
        )
        .next("each snapshot opens with the password of its day; nothing was done")
    })
}

fn locked(opened: &Opened, snapshot: &Snapshot) -> Result<LockedKeys, Failure> {
    keys_of(&opened.repository, snapshot).map_err(|error| match error {
        KeysError::Keybag(KeybagError::Missing) => Failure::new(
            code::FAILED,
            format!("snapshot {} is not encrypted: it has no password", snapshot.short_id()),
        ),
        error => Failure::of(code::FAILED, &error),
    })
}

fn not_kept(snapshot: &Snapshot) -> Failure {
    Failure::new(
        code::FAILED,
        format!("the repository does not keep the password of snapshot {}", snapshot.short_id()),
    )
}
