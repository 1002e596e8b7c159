//! `import`.

use std::io::IsTerminal;
use std::path::PathBuf;

use jiff::tz::TimeZone;
use russet_store::session::Written;
use serde_json::json;

use super::DAMAGED_BACKUP;
use crate::apple::{Os, Passwords, default_places};
use crate::capture::folder::{BackupFolder, Lock, unlock as unlock_folder};
use crate::capture::kept::Kept;
use crate::cli::args::Import;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code, worse};
use crate::cli::format::{by_count, bytes, counted, moment, plain, rfc3339};
use crate::cli::{output, question, secret, stop};
use crate::ops::import::{
    ImportOptions, Imported, Memory, Outcome, add_remembered, find, import as import_folders,
    unlock,
};
use crate::ops::open::Opened;
use crate::ops::reopen::is_openable;
use crate::snapshot::record::{Problem, SnapshotRecord, Verdict};
use crate::snapshot::{Snapshot, record};
use crate::wipe;

pub(super) fn import(context: &Context, args: Import) -> Result<u8, Failure> {
    let options = ImportOptions {
        force: args.force,
        allow_incomplete: args.allow_incomplete,
        tags: args.labels.tag,
        note: args.labels.note,
        pin: args.labels.pin,
        no_remember: args.passwords.no_remember,
        dry_run: args.dry_run,
    };
    let zone = TimeZone::system();
    let given = !args.dirs.is_empty();
    let dirs = if given { args.dirs } else { places()? };
    let (mut folders, mut refused) = find(&dirs, &options, &zone);
    if !given && !args.all && !args.dry_run {
        pick(&mut folders, context)?;
    }
    if folders.is_empty() && refused.is_empty() {
        return Err(Failure::new(code::FAILED, "no backup was found"));
    }
    let mut opened = match folders.is_empty() {
        true => None,
        false => Some(context.write()?),
    };
    // A dry run looks at no file, and tries no password.
    let mut passwords = match (&opened, args.dry_run) {
        (Some(opened), false) => {
            phone_passwords(&args.passwords.phone_password_file, opened, &folders)?
        }
        _ => Passwords::default(),
    };
    let (sources, locked) = unlock(folders, &mut passwords);
    drop(passwords);
    refused.extend(locked);
    let mut worst = 0;
    if let Some(opened) = opened.as_mut().filter(|_| !sources.is_empty()) {
        let (into, progress) = (&mut *opened, &context.progress);
        // The sources hold the keys: they end with the work.
        let done =
            wipe::after(move || import_folders(into, &sources, &options, progress, &stop::asked))?;
        context.progress.clear();
        let (snapshots, _) = record::all(&opened.repository);
        let memories: Vec<_> = done.iter().map(|done| (done.password, id_of(done))).collect();
        for imported in done {
            worst = worse(worst, report(context, imported, &snapshots)?);
        }
        tell_memory(context, &memories);
    }
    for imported in refused {
        worst = worse(worst, report(context, imported, &[])?);
    }
    Ok(worst)
}

/// The passwords of encrypted backups: flags, then the environment, then what the repository remembers, then the terminal; none, if
/// there is nothing to open.
fn phone_passwords(
    files: &[PathBuf],
    opened: &Opened,
    folders: &[BackupFolder],
) -> Result<Passwords, Failure> {
    let is_encrypted = |folder: &&BackupFolder| {
        folder.manifest.as_ref().and_then(|m| m.is_encrypted) == Some(true)
    };
    let files = secret::phone_password_files(files);
    if !folders.iter().any(|folder| is_encrypted(&folder)) {
        return Ok(Passwords::default());
    }
    let mut given = Vec::new();
    for file in &files {
        given.push(secret::phone_password_file(file)?);
    }
    let mut passwords = Passwords::new(given);
    add_remembered(&mut passwords, opened, folders);
    if !passwords.none_given() {
        return Ok(passwords);
    }
    let closed = folders.iter().filter(is_encrypted).find(|folder| {
        matches!(unlock_folder(folder, &mut passwords), Ok(Lock::Kept(Kept::NoPassword)))
    });
    let Some(first) = closed else { return Ok(passwords) };
    let name = first.info.as_ref().and_then(|i| i.device_name.as_deref()).unwrap_or("a phone");
    let prompt = format!(
        "Password of the encrypted backups of {} (empty: keep them as they are)",
        plain(name)
    );
    match secret::ask_for_phone(&prompt)? {
        Some(typed) => {
            passwords = Passwords::new(vec![typed]);
            add_remembered(&mut passwords, opened, folders);
        }
        None => output::note(
            "Encrypted backups are kept as they are: what changes is stored whole, and after a full backup everything. `--phone-password-file` opens them.",
        ),
    }
    Ok(passwords)
}

/// The short id of the snapshot that holds a folder now.
fn id_of(imported: &Imported) -> Option<String> {
    match imported.outcome.as_ref().ok()? {
        Outcome::New { snapshot, .. } => Some(snapshot.short_id()),
        Outcome::Known { snapshot } => snapshot.to_string().get(..8).map(str::to_owned),
        Outcome::Would { .. } => None,
    }
}

/// What became of the passwords, once for all folders.
fn tell_memory(context: &Context, memories: &[(Memory, Option<String>)]) {
    if context.json() {
        return;
    }
    if let Some((_, id)) = memories.iter().rfind(|(memory, _)| *memory == Memory::Now) {
        let id = id.as_deref().unwrap_or("latest");
        output::note(&format!(
            "The iPhone backup password is kept in the repository, sealed: whoever has the repository password has it too. `russet phone-password show {id}` tells it, `russet phone-password forget {id}` (`--all`: those of all snapshots) removes it."
        ));
    }
    if memories.iter().any(|(memory, _)| *memory == Memory::Declined) {
        output::note(
            "The iPhone backup password is NOT kept: who does not know it brings no such snapshot back to an iPhone, in twenty years either. Files can still be read.",
        );
    }
}

/// The places where Finder and iTunes keep backups, of those that are there.
fn places() -> Result<Vec<PathBuf>, Failure> {
    let home = std::env::home_dir();
    let all = default_places(&|name| std::env::var_os(name), home.as_deref(), Os::current());
    let there: Vec<PathBuf> = all.iter().filter(|place| place.exists()).cloned().collect();
    if there.is_empty() {
        let looked: Vec<String> = all.iter().map(|p| p.display().to_string()).collect();
        let looked = if looked.is_empty() {
            "this system has no such place".to_owned()
        } else {
            looked.join(", ")
        };
        return Err(Failure::new(
            code::FAILED,
            format!("no backups of Finder or iTunes were found (looked in: {looked})"),
        )
        .next("name the folder: `russet import FOLDER`"));
    }
    Ok(there)
}

/// Several backups and no `--all`: a person picks, a script is told.
fn pick(folders: &mut Vec<BackupFolder>, context: &Context) -> Result<(), Failure> {
    if folders.len() < 2 || context.global.yes {
        return Ok(());
    }
    for (at, folder) in folders.iter().enumerate() {
        let name = folder.info.as_ref().and_then(|i| i.device_name.as_deref()).unwrap_or("?");
        let date = moment(folder.date.at.as_second());
        output::note(&format!("{:>3}  {date}  {}  {}", at + 1, plain(name), folder.path.display()));
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(code::USAGE, "several backups were found")
            .next("take them all with `--all`, or name folders"));
    }
    output::note("Which? Numbers with spaces between, or `all`:");
    let line = question::line().map_err(|error| secret::not_asked(&error))?;
    if line.trim() == "all" {
        return Ok(());
    }
    let wanted: Vec<usize> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    let mut at = 0;
    folders.retain(|_| {
        at += 1;
        wanted.contains(&at)
    });
    if folders.is_empty() { Err(Failure::new(code::FAILED, "nothing was picked")) } else { Ok(()) }
}

fn report(context: &Context, imported: Imported, snapshots: &[Snapshot]) -> Result<u8, Failure> {
    let folder = imported.folder.display().to_string();
    match imported.outcome {
        Ok(Outcome::Known { snapshot }) => {
            let known = snapshots.iter().find(|s| s.id == snapshot);
            let exit = known.map_or(0, exit_code);
            let told = tell_known(context, &folder, &snapshot.to_string(), known, exit);
            Failure::unless_closed(told, exit)
        }
        Ok(Outcome::Would { backup_time, device }) => {
            tell_would(context, &folder, backup_time, device.as_deref()).map(|()| 0)
        }
        Ok(Outcome::New { snapshot, written, unchanged_count, kept_count }) => {
            let counts = (unchanged_count, kept_count);
            let told = tell_new(context, &folder, &snapshot, &written, (counts, imported.password));
            Failure::unless_closed(told, exit_code(&snapshot))
        }
        Err(error) => {
            let failure = Failure::from(error);
            failure.tell_of(&folder, context.json())?;
            output::note(&failure.text());
            Ok(failure.code())
        }
    }
}

fn exit_code(snapshot: &Snapshot) -> u8 {
    if snapshot.is_good() { 0 } else { code::INCOMPLETE }
}

fn tell_known(
    context: &Context,
    folder: &str,
    id: &str,
    known: Option<&Snapshot>,
    exit: u8,
) -> Result<(), Failure> {
    if context.json() {
        return output::message(
            "summary",
            json!({ "folder": folder, "snapshot_id": id, "new": false, "exit_code": exit }),
        );
    }
    let id = id.get(..8).unwrap_or_default();
    output::line(&match known.is_some_and(is_openable) {
        true => format!(
            "= {folder} is archived already, as closed snapshot {id}: `russet reopen {id}` opens it"
        ),
        false => format!("= {folder} is archived already, as snapshot {id}"),
    })?;
    known.iter().for_each(|known| tell_incomplete(&known.record));
    Ok(())
}

fn tell_would(
    context: &Context,
    folder: &str,
    time: i64,
    device: Option<&str>,
) -> Result<(), Failure> {
    if context.json() {
        return output::message(
            "summary",
            json!({
                "folder": folder, "would": true, "device": device, "time": rfc3339(time), "exit_code": 0,
            }),
        );
    }
    let phone = plain(device.unwrap_or("a phone without a name"));
    output::line(&format!("? {folder} of {phone}, {} would be taken", moment(time)))
}

fn tell_new(
    context: &Context,
    folder: &str,
    snapshot: &Snapshot,
    written: &Written,
    ((unchanged_count, kept_count), password): ((u64, u64), Memory),
) -> Result<(), Failure> {
    let record = &snapshot.record;
    if context.json() {
        return output::message(
            "summary",
            json!({
                "folder": folder, "snapshot_id": snapshot.id, "new": true, "device": record.device.name,
                "udid": record.udid, "time": rfc3339(record.backup_time), "verdict": record.verdict,
                "files": record.counts.files, "len": record.counts.len, "unchanged_count": unchanged_count,
                "opened_count": record.counts.opened, "kept_count": kept_count,
                "password_remembered": memory(password),
                "new_len": written.new_len, "stored_len": written.stored_len, "pack_count": written.pack_count,
                "problem_count": record.problem_count, "exit_code": exit_code(snapshot),
            }),
        );
    }
    let mark = if snapshot.is_good() { "✓" } else { "!" };
    output::line(&format!(
        "{mark} Snapshot {} of {}, {} — {} in {}, {} new, {} written",
        snapshot.short_id(),
        plain(snapshot.device_name()),
        moment(record.backup_time),
        bytes(record.counts.len),
        counted(record.counts.files, "file"),
        bytes(written.new_len),
        bytes(written.stored_len),
    ))?;
    if unchanged_count > 0 {
        output::line(&format!(
            "  {} unchanged since the snapshot before, not read again",
            counted(unchanged_count, "file")
        ))?;
    }
    if record.counts.opened > 0 {
        let opened = record.counts.opened;
        output::line(&format!(
            "  {} opened; {} encrypted as before, for the backup password of that day",
            counted(opened, "file"),
            by_count(opened, "it comes back", "they come back"),
        ))?;
    }
    tell_incomplete(record);
    Ok(())
}

/// Whether the password that opened it is kept; null without one.
fn memory(password: Memory) -> Option<bool> {
    match password {
        Memory::None => None,
        Memory::Before | Memory::Now => Some(true),
        Memory::Declined => Some(false),
    }
}

fn is_of_lists(problem: &&Problem) -> bool {
    matches!(problem.path.as_str(), "Manifest.plist" | "Manifest.db")
}

/// Whether what an iPhone reads first is damaged.
fn is_damaged(record: &SnapshotRecord) -> bool {
    record.problems.iter().any(|problem| is_of_lists(&problem))
}

fn tell_incomplete(record: &SnapshotRecord) {
    if record.verdict == Verdict::Incomplete {
        let things = counted(record.problem_count, "thing");
        let are = by_count(record.problem_count, "is", "are");
        output::note(&format!(
            "  It is INCOMPLETE: {things} {are} missing or could not be read. It will not stand for the phone while a complete one exists."
        ));
        if is_damaged(record) {
            for problem in record.problems.iter().filter(is_of_lists) {
                output::note(&format!("  {} {}", plain(&problem.path), plain(&problem.why)));
            }
            output::note(&format!("  next: {DAMAGED_BACKUP}"));
        }
    }
}
