//! `key`.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use russet_store::ids::RecordId;
use russet_store::seal::{Kdf, KeyslotFacts, Password, RecoveryKey, SlotSecret, calibrate};
use serde_json::json;

use super::repo::{kdf_words, show_recovery_key, unseen};
use crate::cli::args::Key;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::plain;
use crate::cli::output;
use crate::cli::secret::{ask, confirm, read_file, weigh};
use crate::ops::open::Opened;
use crate::wipe;

const KDF_TIME: Duration = Duration::from_millis(900);

pub(super) fn key(context: &Context, command: Key) -> Result<u8, Failure> {
    match command {
        Key::List => list(context),
        Key::Add { new_password_file, label } => add(context, new_password_file.as_deref(), &label),
        Key::Remove { id } => remove(context, &id),
        Key::Passwd { new_password_file } => passwd(context, new_password_file.as_deref()),
        Key::Recovery => recovery(context),
        Key::Test => test(context),
    }
}

fn short(id: RecordId) -> String {
    id.to_string().get(..8).unwrap_or_default().to_owned()
}

fn list(context: &Context) -> Result<u8, Failure> {
    let opened = context.read()?;
    context.progress.clear();
    let slots = opened.repository.keyslots();
    for slot in &slots {
        let label = label_of(&opened, slot);
        if context.json() {
            output::message(
                "keyslot",
                json!({
                    "id": slot.id, "kind": kind(slot), "kdf": kdf_words(&slot.kdf), "label": label,
                    "opened_this": label.is_some(),
                }),
            )?;
        } else {
            let mark = label
                .map_or(String::new(), |label| format!("  \"{}\"  ← opened it now", plain(label)));
            output::line(&format!("{}  {}{mark}", short(slot.id), kdf_words(&slot.kdf)))?;
        }
    }
    if slots.len() > 1 && !context.json() {
        output::note(
            "A label is sealed under its own password: it is shown when that one opens the repository (`russet key test`).",
        );
    }
    Ok(0)
}

/// The label of the slot that opened the repository; nobody can read another's without its secret.
fn label_of<'o>(opened: &'o Opened, slot: &KeyslotFacts) -> Option<&'o str> {
    let repository = &opened.repository;
    (slot.id == repository.opened_by()).then(|| repository.opened_by_label())
}

fn kind(slot: &KeyslotFacts) -> &'static str {
    match slot.kdf {
        Kdf::Argon2id { .. } => "password",
        Kdf::Recovery => "recovery key",
    }
}

fn new_password(context: &Context, file: Option<&Path>) -> Result<Password, Failure> {
    let password = match file {
        Some(path) => Password::from_file(&read_file(path, "new password file")?)?,
        None if !std::io::stdin().is_terminal() => {
            return Err(Failure::new(
                code::USAGE,
                "no new password was given, and there is no terminal to ask on",
            )
            .next(
                "use `--new-password-file FILE`; `--password-file` is the one that opens it now",
            ));
        }
        None => ask("New repository password", true)?,
    };
    weigh(&password, &context.progress);
    Ok(password)
}

fn ready(context: &Context) -> Result<Opened, Failure> {
    let opened = context.write()?;
    opened.prepare_to_write(&context.progress)?;
    Ok(opened)
}

fn add(context: &Context, file: Option<&Path>, label: &str) -> Result<u8, Failure> {
    let opened = ready(context)?;
    let id = wipe::after(|| {
        let secret = SlotSecret::Password(new_password(context, file)?);
        Ok::<_, Failure>(opened.repository.add_keyslot(&secret, calibrate(KDF_TIME), label)?)
    })?;
    said(context, id, &format!("was added, called \"{}\"", plain(label)))
}

fn remove(context: &Context, prefix: &str) -> Result<u8, Failure> {
    let mut opened = ready(context)?;
    let slots = opened.repository.keyslots();
    let fitting: Vec<_> = slots.iter().filter(|s| s.id.to_string().starts_with(prefix)).collect();
    // What fits no single slot is refused below, in the store's words.
    if let [slot] = fitting.as_slice() {
        let whose = match label_of(&opened, slot) {
            Some(label) => format!("\"{}\", which opened the repository now", plain(label)),
            None => "not the one that opened the repository now".to_owned(),
        };
        let question = format!(
            "Remove the {} {} ({whose})? It will no longer open the repository.",
            kind(slot),
            short(slot.id)
        );
        confirm(&question, context.global.yes)?;
    }
    let writer = opened.writer()?;
    let id = opened.repository.remove_keyslot(prefix, writer)?;
    opened.remember(&context.progress);
    let left = opened.repository.keyslots();
    let passwords = left.iter().filter(|slot| matches!(slot.kdf, Kdf::Argon2id { .. })).count();
    if passwords == 0 {
        output::note(
            "note: no password opens the repository now, only the recovery key: `russet key add` adds one",
        );
    } else if passwords == left.len() {
        output::note(
            "note: no recovery key is left, only passwords: `russet key recovery` makes one",
        );
    }
    said(context, id, "was removed")
}

/// A new slot first, then the old one goes: at no moment does none open the repository.
fn passwd(context: &Context, file: Option<&Path>) -> Result<u8, Failure> {
    let mut opened = ready(context)?;
    let old = opened.repository.opened_by();
    if context.global.recovery_file.is_some() {
        output::note(
            "note: opened with the recovery key: a new password is added, and none is removed",
        );
    }
    let id = wipe::after(|| {
        let secret = SlotSecret::Password(new_password(context, file)?);
        Ok::<_, Failure>(opened.repository.add_keyslot(&secret, calibrate(KDF_TIME), "password")?)
    })?;
    if context.global.recovery_file.is_none() {
        let writer = opened.writer()?;
        opened.repository.remove_keyslot(&old.to_string(), writer)?;
    }
    opened.remember(&context.progress);
    said(
        context,
        id,
        "is the new password's; whoever copied the drive before can still open that copy with the old one",
    )
}

fn recovery(context: &Context) -> Result<u8, Failure> {
    let opened = ready(context)?;
    let key = RecoveryKey::draw(opened.repository.ambient().as_ref())
        .map_err(|e| Failure::new(code::FAILED, e.to_string()))?;
    let words = key.words();
    let id =
        opened.repository.add_keyslot(&SlotSecret::Recovery(key), Kdf::Recovery, "recovery key")?;
    context.progress.clear();
    if context.json() {
        let body = json!({ "keyslot": id, "recovery_key": words.as_str(), "exit_code": 0 });
        output::message("summary", body).map_err(|_| unseen())?;
        return Ok(0);
    }
    show_recovery_key(&words).map_err(|_| unseen())?;
    output::line(&format!(
        "Keyslot {} was added. Recovery keys made before still work; `russet key remove` removes one.",
        short(id)
    ))?;
    Ok(0)
}

fn test(context: &Context) -> Result<u8, Failure> {
    let opened = context.read()?;
    let label = plain(opened.repository.opened_by_label());
    said(context, opened.repository.opened_by(), &format!("(\"{label}\") opens the repository"))
}

fn said(context: &Context, id: RecordId, what: &str) -> Result<u8, Failure> {
    context.progress.clear();
    if context.json() {
        output::message("summary", json!({ "keyslot": id, "exit_code": 0 }))?;
    } else {
        output::line(&format!("Keyslot {} {what}.", short(id)))?;
    }
    Ok(0)
}
