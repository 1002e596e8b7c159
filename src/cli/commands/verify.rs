//! `verify`.

use russet_store::config::Purpose;
use serde_json::json;

use super::{DAMAGED_BACKUP, closed_counted};
use crate::apple::Passwords;
use crate::cli::args::Verify;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{by_count, bytes, count, counted, moment, plain};
use crate::cli::{output, secret};
use crate::ops::verify::{Depth, Report, verify as verify_repository};
use crate::ops::verify_apple::{AppleReport, Flaw, verify_apple};
use crate::wipe;

const SHOWN: usize = 50;

pub(super) fn verify(context: &Context, args: &Verify) -> Result<u8, Failure> {
    let opened = context.open(Purpose::Check, false)?;
    let depth = if args.read_data { Depth::ReadData } else { Depth::Structure };
    let files = secret::phone_password_files(&args.phone_password_file);
    let mut given = Vec::new();
    for file in &files {
        given.push(secret::phone_password_file(file)?);
    }
    let report = verify_repository(&opened.repository, depth, &context.progress)?;
    let (repository, progress) = (&opened.repository, &context.progress);
    let apple = wipe::after(|| {
        let mut passwords = Passwords::new(given);
        verify_apple(repository, depth, &mut passwords, progress)
    });
    context.progress.clear();
    let in_vain: Vec<_> = apple.given_in_vain.iter().filter_map(|at| files.get(*at)).collect();
    let exit = match (report.is_sound(), apple.is_as_captured()) {
        (false, _) => code::DAMAGE,
        (true, false) => code::INCOMPLETE,
        (true, true) if !in_vain.is_empty() => code::PHONE_PASSWORD,
        (true, true) => 0,
    };
    let in_vain: Vec<String> = in_vain.iter().map(|file| file.display().to_string()).collect();
    let told = match context.json() {
        true => json_report(&report, &apple, &in_vain, args.read_data, exit),
        false => text_report(&report, args.read_data)
            .and_then(|()| text_apple(&apple))
            .and_then(|()| text_in_vain(&in_vain)),
    };
    Failure::unless_closed(told, exit)
}

/// What a program calls a flaw.
fn word(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Missing => "missing",
        Flaw::Digest => "digest",
        Flaw::Key => "key",
        Flaw::List => "list",
        Flaw::Rows => "rows",
        Flaw::Keybag => "keybag",
        Flaw::KeybagDamaged => "keybag_damaged",
    }
}

/// What so many of a flaw are, for a person.
fn words(flaw: Flaw, n: u64) -> &'static str {
    let (one, many) = match flaw {
        Flaw::Missing => (
            "file that Apple's list names is not in it",
            "files that Apple's list names are not in it",
        ),
        Flaw::Digest => (
            "file is not what Apple's list has the digest of; a phone may refuse it",
            "files are not what Apple's list has the digest of; a phone may refuse them",
        ),
        Flaw::Key => (
            "file was opened with a key that its keybag does not give",
            "files were opened with keys that its keybag does not give",
        ),
        Flaw::List => (
            "part of Apple's list cannot be read, or not relied upon; an iPhone may refuse it",
            "parts of Apple's list cannot be read, or not relied upon; an iPhone may refuse it",
        ),
        Flaw::Rows => (
            "row of Apple's list is damaged; an iPhone may refuse it",
            "rows of Apple's list are damaged; an iPhone may refuse it",
        ),
        Flaw::Keybag => (
            "kept iPhone backup password does not open its keybag",
            "kept iPhone backup passwords do not open its keybag",
        ),
        Flaw::KeybagDamaged => (
            "key in its Manifest.plist is damaged; an iPhone refuses it",
            "keys in its Manifest.plist are damaged; an iPhone refuses it",
        ),
    };
    by_count(n, one, many)
}

fn text_apple(apple: &AppleReport) -> Result<(), Failure> {
    for finding in &apple.findings {
        output::line(&format!(
            "{} snapshot {} of {}, {}: {} {}",
            if finding.flaw == Flaw::Digest { '!' } else { '✗' },
            finding.snapshot,
            plain(&finding.device),
            moment(finding.time),
            count(finding.count),
            words(finding.flaw, finding.count),
        ))?;
        for item in &finding.items {
            output::line(&format!("    {}", plain(item)))?;
        }
    }
    let mut looked = counted(apple.checked_count, "snapshot");
    if apple.digest_count > 0 {
        looked = format!("{looked}, {}", counted(apple.digest_count, "digest"));
    }
    if apple.keybag_count > 0 {
        looked = format!("{looked}, {}", counted(apple.keybag_count, "keybag"));
    }
    output::line(&format!(
        "Apple's lists {} {looked}",
        match (apple.findings.is_empty(), apple.is_as_captured()) {
            (true, _) => '✓',
            (false, true) => '!',
            (false, false) => '✗',
        }
    ))?;
    let is_damage = |flaw| matches!(flaw, Flaw::List | Flaw::Rows | Flaw::KeybagDamaged);
    if apple.findings.iter().any(|finding| is_damage(finding.flaw)) {
        output::note(&format!("next: {DAMAGED_BACKUP}"));
    }
    if apple.closed_count > 0 {
        output::note(&format!(
            "{}: only the bytes were checked; `russet reopen` opens {}",
            closed_counted(apple.closed_count),
            by_count(apple.closed_count, "it", "them, or `russet reopen SNAP` one"),
        ));
    }
    if !apple.keybag_closed.is_empty() {
        let first: Vec<&str> = apple.keybag_closed.iter().take(5).map(String::as_str).collect();
        output::note(&format!(
            "no iPhone backup password is known for {} ({}{}): whoever puts them back onto an iPhone needs it; `russet phone-password remember SNAPSHOT` keeps it",
            counted(apple.keybag_closed.len() as u64, "encrypted snapshot"),
            first.join(", "),
            if apple.keybag_closed.len() > first.len() { ", …" } else { "" },
        ));
    }
    Ok(())
}

/// Given passwords that open nothing.
fn text_in_vain(files: &[String]) -> Result<(), Failure> {
    for file in files {
        output::line(&format!(
            "✗ the iPhone backup password in {} opens none of the encrypted snapshots",
            plain(file)
        ))?;
    }
    Ok(())
}

fn json_report(
    report: &Report,
    apple: &AppleReport,
    in_vain: &[String],
    read_data: bool,
    exit: u8,
) -> Result<(), Failure> {
    for finding in &apple.findings {
        output::message(
            "finding",
            json!({
                "snapshot": finding.snapshot, "device": finding.device, "time": finding.time,
                "flaw": word(finding.flaw), "items": finding.items, "count": finding.count,
            }),
        )?;
    }
    for damage in &report.damages {
        output::message(
            "damage",
            json!({ "item": damage.what, "why": damage.why, "heals": damage.heals }),
        )?;
    }
    for hit in &report.hits {
        output::message(
            "hit",
            json!({
                "snapshot": hit.snapshot, "device": hit.device, "time": hit.time, "kind": hit.kind,
                "files": hit.files,
                "file_count": hit.file_count, "listing_count": hit.listing_count,
            }),
        )?;
    }
    output::message(
        "summary",
        json!({
            "snapshot_count": report.snapshot_count, "pack_count": report.pack_count, "blob_count": report.blob_count,
            "read_len": report.read_len, "read_data": read_data, "damage_count": report.damages.len(),
            "hit_count": report.hits.len(), "foreign_count": report.foreign_count,
            "list_count": apple.checked_count, "closed_list_count": apple.closed_count, "digest_count": apple.digest_count,
            "keybag_count": apple.keybag_count, "closed_keybag_count": apple.keybag_closed.len(), "closed_keybags": apple.keybag_closed,
            "password_files_in_vain": in_vain, "finding_count": apple.findings.len(), "exit_code": exit,
        }),
    )
}

fn text_report(report: &Report, read_data: bool) -> Result<(), Failure> {
    for damage in report.damages.iter().take(SHOWN) {
        let heals =
            if damage.heals { " (heals by itself at the next import or backup)" } else { "" };
        output::line(&format!("✗ {}: {}{heals}", plain(&damage.what), plain(&damage.why)))?;
    }
    if report.damages.len() > SHOWN {
        output::line(&format!(
            "✗ … and {} more; --json lists all",
            count((report.damages.len() - SHOWN) as u64)
        ))?;
    }
    for hit in &report.hits {
        output::line(&format!(
            "! snapshot {} of {}, {}: {} and {} of its listing would not come back",
            hit.snapshot,
            plain(&hit.device),
            moment(hit.time),
            counted(hit.file_count, "file"),
            counted(hit.listing_count, "part"),
        ))?;
        for file in &hit.files {
            output::line(&format!("    {}", plain(file)))?;
        }
    }
    let looked = format!(
        "{}, {}, {}",
        counted(report.snapshot_count, "snapshot"),
        counted(report.pack_count, "pack"),
        counted(report.blob_count, "blob"),
    );
    if read_data {
        output::line(&format!(
            "data {} {looked}: {} read, {} damaged",
            sign(report),
            bytes(report.read_len),
            count(report.damages.len() as u64)
        ))?;
    } else {
        output::line(&format!(
            "structure {} {looked} (the data itself was not read: `--read-data`)",
            sign(report)
        ))?;
    }
    if !report.is_sound() {
        let lost = |room: &str| report.damages.iter().any(|d| !d.heals && d.what.contains(room));
        let next = if lost("snapshots/") {
            "a snapshot's record is lost: that snapshot does not come back from this drive; another copy of the repository may have it"
        } else if report.hits.is_empty() && lost("packs/") {
            "no snapshot is hit; `russet prune --max-unused 0%` removes damaged packs that can still be listed"
        } else if report.hits.is_empty() {
            "no snapshot is hit; what heals by itself is written again by the next import or backup"
        } else {
            "restore still gives everything that is not named"
        };
        output::note(&format!("next: {next}"));
        for next in healing(report) {
            output::note(&format!("next: {next}"));
        }
        if lost("secrets/") {
            output::note(
                "next: `russet phone-password forget --lost` gives up the iPhone backup passwords that cannot be read; `russet phone-password remember SNAPSHOT` keeps them anew, if you know them",
            );
        }
    }
    Ok(())
}

/// What stores again what snapshots lack, by where they came from.
fn healing(report: &Report) -> Vec<&'static str> {
    let is_folder = |is| report.hits.iter().any(|hit| (hit.kind == "folder") == is);
    let mut ways = Vec::new();
    if is_folder(true) {
        ways.push(
            "`russet import --force FOLDER` stores it again, of each backup folder that is still there",
        );
    }
    if is_folder(false) {
        ways.push(
            "`russet backup --full` stores again what is still on the iPhone; what is not there any more may be in another copy of the repository",
        );
    }
    ways
}

fn sign(report: &Report) -> char {
    if report.is_sound() { '✓' } else { '✗' }
}
