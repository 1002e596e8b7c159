//! `backup`, `devices` and `pair`: what has a phone at the other end.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use serde_json::json;

use super::phone_keys;
use crate::cli::args::{Backup, Devices, Pair};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code, worse};
use crate::cli::format::{bytes, counted, moment, plain, rfc3339};
use crate::cli::progress::OfPhone;
use crate::cli::{output, stop};
use crate::observe::{Observer, Prompt};
use crate::ops::backup::{
    BackedUp, BackupError, BackupOptions, Finished, Job, backup as back_up, finish_waiting, stop_of,
};
use crate::ops::phones::{
    Attached, ConnectError, Connection, Muxer, MuxerAddress, PairState, Phone, Values, matches,
    pair as ask_to_trust, same_udid, told_apart,
};
use crate::snapshot::Snapshot;
use crate::wipe;

/// How long a person may take to tap Trust.
const TRUST_TIME: Duration = Duration::from_secs(120);

/// The mux daemon, where the environment or the system has it.
pub(super) fn muxer() -> Result<Muxer, Failure> {
    let address = match std::env::var("USBMUXD_SOCKET_ADDRESS") {
        Ok(text) if !text.is_empty() => MuxerAddress::parse(&text).map_err(|error| {
            Failure::of(code::USAGE, &error).next(
                "USBMUXD_SOCKET_ADDRESS takes HOST:PORT, a path, or UNIX:/path; unset it for the usual place",
            )
        })?,
        _ => MuxerAddress::system(),
    };
    Ok(Muxer::new(address)?.with_stop(Arc::new(stop::asked)))
}

/// A phone that can be talked to, with what it says of itself; what cannot be asked stands in the error.
pub(super) struct Seen {
    pub(super) attached: Attached,
    values: Result<Values, ConnectError>,
    /// What it is called, so that it is known from the others that are connected.
    called: String,
}

fn look(muxer: &Muxer, wifi: bool) -> Result<Vec<Seen>, Failure> {
    let attached = muxer.list()?;
    let wanted = attached.into_iter().filter(|a| wifi || a.connection == Connection::Usb);
    let seen = wanted.map(|attached| {
        let values = Phone::connect(muxer, &attached).and_then(|mut phone| phone.values());
        Seen { attached, values, called: String::new() }
    });
    let mut seen: Vec<Seen> = seen.collect();
    let names: Vec<_> = seen.iter().map(|phone| (phone.name_or_udid(), phone.udid())).collect();
    let called = told_apart(&names);
    seen.iter_mut().zip(called).for_each(|(phone, called)| phone.called = called);
    Ok(seen)
}

impl Seen {
    fn name(&self) -> Option<&str> {
        self.values.as_ref().ok()?.name.as_deref()
    }

    fn udid(&self) -> &str {
        &self.attached.udid
    }

    fn name_or_udid(&self) -> &str {
        self.name().unwrap_or(self.udid())
    }

    /// Who is told of what is done with it, alone or beside others.
    pub(super) fn observer<'a>(&self, context: &'a Context, is_alone: bool) -> OfPhone<'a> {
        OfPhone::new(&context.progress, &self.called, self.udid(), is_alone)
    }

    pub(super) fn shown(&self) -> String {
        plain(&self.called)
    }
}

pub(super) fn devices(context: &Context, args: &Devices) -> Result<u8, Failure> {
    let muxer = muxer()?;
    if !args.watch {
        let seen = look(&muxer, true)?;
        if seen.is_empty() && !context.json() {
            output::note(
                "No iPhone is connected. Plug it in, unlock it, and tap Trust if it asks.",
            );
        }
        return tell_devices(context, &seen).map(|()| 0);
    }
    let mut failed = None;
    let mut changed =
        |_: &[Attached]| match look(&muxer, true).and_then(|seen| tell_devices(context, &seen)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        };
    muxer.watch(&mut changed, Arc::new(stop::asked))?;
    match failed {
        Some(error) => Err(error),
        None => Ok(code::INTERRUPTED),
    }
}

fn tell_devices(context: &Context, seen: &[Seen]) -> Result<(), Failure> {
    if context.json() {
        return seen.iter().try_for_each(tell_device_json);
    }
    if seen.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["phone", "by", "model", "iOS", "backups", "UDID"]);
    for phone in seen {
        let values = phone.values.as_ref().ok();
        let value = |of: fn(&Values) -> Option<&str>| plain(values.and_then(of).unwrap_or("?"));
        table.add_row([
            value(|values| values.name.as_deref()),
            word(phone.attached.connection).to_owned(),
            value(|values| values.product_type.as_deref()),
            value(|values| values.product_version.as_deref()),
            match values.map(|values| values.will_encrypt == Some(true)) {
                Some(true) => "encrypted",
                Some(false) => "NOT encrypted",
                None => "?",
            }
            .to_owned(),
            plain(&phone.attached.udid),
        ]);
    }
    for line in table.lines() {
        output::line(line.trim_end())?;
    }
    for phone in seen {
        let Err(error) = &phone.values else { continue };
        let udid = plain(&phone.attached.udid);
        let next =
            if is_untrusted(error) { format!(": `russet pair {udid}`") } else { String::new() };
        output::note(&format!("{udid}: {error}{next}"));
    }
    Ok(())
}

fn tell_device_json(phone: &Seen) -> Result<(), Failure> {
    let values = phone.values.as_ref().ok();
    output::message(
        "device",
        json!({
            "udid": phone.attached.udid, "connection": word(phone.attached.connection),
            "trusted": values.is_some(),
            "why": phone.values.as_ref().err().map(ToString::to_string),
            "name": phone.name(),
            "product_type": values.and_then(|v| v.product_type.clone()),
            "product_version": values.and_then(|v| v.product_version.clone()),
            "encrypted": values.map(|v| v.will_encrypt == Some(true)),
        }),
    )
}

/// Whether the phone only has to be asked to trust this computer.
fn is_untrusted(error: &ConnectError) -> bool {
    use ConnectError::{NotPaired, PairRecordDamaged, PairingGone};
    matches!(error, NotPaired | PairingGone | PairRecordDamaged)
}

fn word(connection: Connection) -> &'static str {
    match connection {
        Connection::Usb => "usb",
        Connection::Network => "wifi",
    }
}

pub(super) fn pair(context: &Context, args: &Pair) -> Result<u8, Failure> {
    let muxer = muxer()?;
    let attached = muxer.list()?;
    let wanted = args.device.as_deref();
    let mut found = attached.into_iter().filter(|a| wanted.is_none_or(|w| matches(w, a, None)));
    let (first, second) = (found.next(), found.next());
    let attached = first.ok_or_else(|| no_phone(wanted))?;
    if second.is_some() {
        return Err(several("pair NAME"));
    }
    let mut phone = match Phone::connect(&muxer, &attached) {
        Ok(phone) => phone,
        Err(
            ConnectError::NotPaired | ConnectError::PairingGone | ConnectError::PairRecordDamaged,
        ) => {
            let udid = &attached.udid;
            let observer = OfPhone::new(&context.progress, udid, udid, true);
            trust(&observer, &muxer, &attached, args.timeout)?;
            Phone::connect(&muxer, &attached)?
        }
        Err(error) => return Err(error.into()),
    };
    let values = phone.values()?;
    if args.wifi {
        phone.enable_wifi()?;
    }
    context.progress.clear();
    let name = values.name.as_deref().unwrap_or(&attached.udid);
    if context.json() {
        let body =
            json!({ "udid": attached.udid, "name": name, "wifi": args.wifi, "exit_code": 0 });
        output::message("summary", body)?;
        return Ok(0);
    }
    output::line(&format!("✓ {} trusts this computer", plain(name)))?;
    Ok(0)
}

/// Asks the phone to trust this computer and tells its owner what to do, once for each step.
fn trust(
    observer: &dyn Observer,
    muxer: &Muxer,
    attached: &Attached,
    patience: Duration,
) -> Result<(), Failure> {
    let mut told = None;
    let mut tell = |state: PairState| {
        if told != Some(state) {
            told = Some(state);
            observer.prompt(match state {
                PairState::Locked => Prompt::Unlock,
                PairState::DialogWaiting => Prompt::Trust,
            });
        }
        if stop::asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    Ok(ask_to_trust(muxer, attached, "russet", patience, &mut tell)?)
}

/// Whether phones are there over Wi-Fi, and none by cable.
fn is_far(muxer: &Muxer) -> bool {
    let all = muxer.list().unwrap_or_default();
    !all.is_empty() && all.iter().all(|a| a.connection == Connection::Network)
}

fn no_phone(wanted: Option<&str>) -> Failure {
    let what = match wanted {
        Some(wanted) => format!("no connected iPhone is called \"{wanted}\""),
        None => "no iPhone is connected".to_owned(),
    };
    Failure::new(code::NO_PHONE, what)
        .next("plug it in and unlock it; `russet devices` lists those that are connected")
}

fn several(how: &str) -> Failure {
    let all = if how == "backup NAME" { ", or take them all with `--all`" } else { "" };
    Failure::new(code::NO_PHONE, "several iPhones are connected")
        .next(format!("name one: `russet {how}`{all}; `russet devices` lists them"))
}

/// The phones that are meant, once they are connected; waits for them as long as was allowed.
fn chosen(muxer: &Muxer, args: &Backup) -> Result<Vec<Seen>, Failure> {
    let started = Instant::now();
    loop {
        let waiting = started.elapsed() < args.wait_for_device;
        match choose(look(muxer, args.wifi), args) {
            Err(failure) if waiting && failure.code() == code::NO_PHONE && !stop::asked() => {
                std::thread::sleep(Duration::from_millis(500));
            }
            Err(failure) if failure.code() == code::NO_PHONE && !args.wifi && is_far(muxer) => {
                return Err(failure.next(
                    "one is there over Wi-Fi: `russet backup --wifi` takes it; or plug it in and unlock it",
                ));
            }
            other => return other,
        }
    }
}

fn choose(seen: Result<Vec<Seen>, Failure>, args: &Backup) -> Result<Vec<Seen>, Failure> {
    let mut seen = seen?;
    if args.all || args.devices.is_empty() {
        return match seen.len() {
            0 => Err(no_phone(None)),
            1 => Ok(seen),
            _ if args.all => Ok(seen),
            _ => Err(several("backup NAME")),
        };
    }
    named(&mut seen, &args.devices)
}

/// The one phone that is meant, which must be connected by cable. `how` names a phone in the same command.
pub(super) fn one(muxer: &Muxer, wanted: Option<&str>, how: &str) -> Result<Seen, Failure> {
    match by_cable(look(muxer, false)?, wanted, how) {
        Err(failure) if failure.code() == code::NO_PHONE && is_far(muxer) => Err(failure
            .next("one is there over Wi-Fi, and this needs the cable: plug it in and unlock it")),
        other => other,
    }
}

fn by_cable(mut seen: Vec<Seen>, wanted: Option<&str>, how: &str) -> Result<Seen, Failure> {
    if let Some(wanted) = wanted {
        seen = named(&mut seen, &[wanted.to_owned()])?;
    }
    match seen.pop() {
        Some(phone) if seen.is_empty() => Ok(phone),
        Some(_) => Err(several(how)),
        None => Err(no_phone(None)),
    }
}

fn named(seen: &mut Vec<Seen>, wanted: &[String]) -> Result<Vec<Seen>, Failure> {
    let mut chosen: Vec<Seen> = Vec::new();
    for wanted in wanted {
        let is_meant = |phone: &Seen| matches(wanted, &phone.attached, phone.name());
        if chosen.iter().any(is_meant) {
            continue;
        }
        let found: Vec<usize> =
            seen.iter().enumerate().filter(|(_, p)| is_meant(p)).map(|(at, _)| at).collect();
        match found.as_slice() {
            [at] => chosen.push(seen.remove(*at)),
            [] => return Err(no_phone(Some(wanted))),
            _ => {
                return Err(Failure::new(
                    code::NO_PHONE,
                    format!("several connected iPhones are called \"{wanted}\""),
                )
                .next("name it by its UDID; `russet devices` shows it"));
            }
        }
    }
    Ok(chosen)
}

pub(super) fn backup(context: &Context, args: Backup) -> Result<u8, Failure> {
    let found = muxer().and_then(|muxer| Ok((chosen(&muxer, &args)?, muxer)));
    let (seen, muxer) = match found {
        Err(failure) if failure.code() == code::NO_PHONE && !args.dry_run => {
            return without_phone(context, &args, failure);
        }
        other => other?,
    };
    if args.dry_run {
        return tell_would(context, &seen);
    }
    let options = BackupOptions {
        full: args.full,
        restart: args.restart,
        tags: args.labels.tag,
        note: args.labels.note,
        pin: args.labels.pin,
    };
    let several = seen.len() > 1;
    let by_cable = seen.iter().any(|phone| phone.attached.connection == Connection::Usb);
    let observers: Vec<OfPhone<'_>> =
        seen.iter().map(|phone| phone.observer(context, !several)).collect();
    let (jobs, names, mut worst) = jobs(context, &muxer, seen, &observers)?;
    if jobs.is_empty() {
        return Ok(worst);
    }
    let asker = phone_keys::asker(context);
    let keys = phone_keys::keys(context, &args.opening, &asker)?;
    let mut opened = context.write()?;
    let waiting = match args.restart {
        true => Vec::new(),
        false => finish_waiting(&mut opened, &options, &keys, &context.progress, &stop::asked)?,
    };
    let (exit, locked) = tell_waiting(context, waiting)?;
    worst = worse(worst, exit);
    // Of a phone whose last backup still waits nothing new is asked for: that it is told of already.
    let is_locked =
        |job: &Job<'_>| locked.iter().any(|udid| same_udid(udid, &job.phone.attached().udid));
    let (jobs, names): (Vec<_>, Vec<_>) =
        jobs.into_iter().zip(names).filter(|(job, _)| !is_locked(job)).unzip();
    let observer = &context.progress;
    let done = wipe::after(|| {
        let done = back_up(&mut opened, jobs, &options, &keys, observer, &stop::asked);
        keys.forget();
        done
    })?;
    context.progress.clear();
    let is_told = !context.global.quiet && done.iter().flatten().all(|made| made.was_released);
    worst = worse(worst, tell_all(context, &names, done, several)?);
    if worst == 0 && !is_told && by_cable && !names.is_empty() && !context.json() {
        let phones = if several { "phones" } else { "phone" };
        output::line(&format!("  You can unplug the {phones}."))?;
    }
    Ok(worst)
}

/// A session with each phone, and their names; what failed of several is told. The phones are asked first: nobody types a password for
/// a phone that does not trust this computer.
fn jobs<'a>(
    context: &'a Context,
    muxer: &Muxer,
    seen: Vec<Seen>,
    observers: &'a [OfPhone<'a>],
) -> Result<(Vec<Job<'a>>, Vec<String>, u8), Failure> {
    let several = seen.len() > 1;
    let (mut jobs, mut names, mut worst) = (Vec::new(), Vec::new(), 0);
    for (phone, own) in seen.into_iter().zip(observers) {
        let name = phone.shown();
        match job(muxer, phone, own) {
            Ok(job) => {
                jobs.push(job);
                names.push(name);
            }
            Err(failure) if several => {
                tell_failure(context, &name, &failure)?;
                worst = worse(worst, failure.code());
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok((jobs, names, worst))
}

/// Tells what came of each phone. One that fails alone is the command's own failure.
fn tell_all(
    context: &Context,
    names: &[String],
    done: Vec<Result<BackedUp, BackupError>>,
    several: bool,
) -> Result<u8, Failure> {
    let mut worst = 0;
    for (name, result) in names.iter().zip(done) {
        match result {
            Ok(made) => worst = worse(worst, tell_made(context, &made)?),
            Err(error) if several => {
                let failure = Failure::from(error);
                tell_failure(context, name, &failure)?;
                worst = worse(worst, failure.code());
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(worst)
}

/// Tells which phones would be backed up.
fn tell_would(context: &Context, seen: &[Seen]) -> Result<u8, Failure> {
    for phone in seen {
        if context.json() {
            let body = json!({
                "udid": phone.attached.udid, "device": phone.name(), "would": true, "exit_code": 0,
            });
            output::message("summary", body)?;
        } else {
            let udid = &phone.attached.udid;
            output::line(&format!("? {} ({udid}) would be backed up", phone.shown()))?;
        }
    }
    Ok(0)
}

/// No phone is there, but an earlier backup may only wait to be finished.
fn without_phone(context: &Context, args: &Backup, failure: Failure) -> Result<u8, Failure> {
    if args.restart || !phone_keys::has_drafts(context) {
        return Err(failure);
    }
    let asker = phone_keys::asker(context);
    let keys = phone_keys::keys(context, &args.opening, &asker)?;
    let mut opened = context.write()?;
    let options = BackupOptions {
        tags: args.labels.tag.clone(),
        note: args.labels.note.clone(),
        pin: args.labels.pin,
        ..BackupOptions::default()
    };
    let waiting = wipe::after(|| {
        let made = finish_waiting(&mut opened, &options, &keys, &context.progress, &stop::asked);
        keys.forget();
        made
    })?;
    if waiting.is_empty() {
        return Err(failure);
    }
    Ok(tell_waiting(context, waiting)?.0)
}

/// Tells what came of backups that waited. Gives the exit code, and the phones whose backups wait still.
pub(super) fn tell_waiting(
    context: &Context,
    waiting: Vec<Finished>,
) -> Result<(u8, Vec<String>), Failure> {
    let (mut worst, mut locked) = (0, Vec::new());
    if !waiting.is_empty() {
        context.progress.clear();
    }
    for Finished { udid, device, result } in waiting {
        match result {
            Ok(made) => worst = worse(worst, tell_made(context, &made)?),
            Err(error) => {
                let failure = Failure::from(error);
                tell_failure(context, &plain(&device), &failure)?;
                worst = worse(worst, failure.code());
                // A person alone gives up what waits.
                locked.push(udid);
            }
        }
    }
    Ok((worst, locked))
}

/// A session with a phone, after it was made to trust this computer if it did not.
pub(super) fn job<'a>(
    muxer: &Muxer,
    seen: Seen,
    observer: &'a dyn Observer,
) -> Result<Job<'a>, Failure> {
    if seen.values.as_ref().is_err_and(is_untrusted) {
        trust(observer, muxer, &seen.attached, TRUST_TIME)?;
    }
    let cancelled = Arc::new(AtomicBool::new(false));
    let muxer = muxer.clone().with_stop(stop_of(Arc::new(stop::asked), Arc::clone(&cancelled)));
    let phone = Phone::connect(&muxer, &seen.attached)?;
    Ok(Job { phone, called: seen.called, observer, cancelled })
}

fn tell_failure(context: &Context, name: &str, failure: &Failure) -> Result<(), Failure> {
    failure.tell_of(name, context.json())?;
    output::note(&format!("{name}: {}", failure.text()));
    Ok(())
}

fn tell_made(context: &Context, made: &BackedUp) -> Result<u8, Failure> {
    let (snapshot, written) = (&made.snapshot, &made.written);
    let record = &snapshot.record;
    let exit = if snapshot.is_good() { 0 } else { code::INCOMPLETE };
    if context.json() {
        output::message(
            "summary",
            json!({
                "snapshot_id": snapshot.id, "new": true, "device": record.device.name, "udid": record.udid,
                "time": rfc3339(record.backup_time), "verdict": record.verdict, "kind": record.kind,
                "encrypted": record.encrypted, "opened": record.counts.opened, "kept_encrypted": made.kept_count,
                "resumed": made.is_resumed,
                "files": record.counts.files, "len": record.counts.len, "received_len": made.received_len,
                "new_len": written.new_len, "stored_len": written.stored_len, "pack_count": written.pack_count,
                "problem_count": record.problem_count, "exit_code": exit,
            }),
        )?;
        return Ok(exit);
    }
    let mark = if snapshot.is_good() { "✓" } else { "!" };
    output::line(&format!(
        "{mark} Snapshot {} of {}, {} — {} in {}, {} sent by the phone, {} new, {} written",
        snapshot.short_id(),
        plain(snapshot.device_name()),
        moment(record.backup_time),
        bytes(record.counts.len),
        counted(record.counts.files, "file"),
        bytes(made.received_len),
        bytes(written.new_len),
        bytes(written.stored_len),
    ))?;
    if exit != 0 {
        tell_incomplete(snapshot);
    }
    Ok(exit)
}

/// What an incomplete snapshot is worth.
pub(super) fn tell_incomplete(snapshot: &Snapshot) {
    let things = counted(snapshot.record.problem_count, "thing");
    output::note(&format!(
        "  It is INCOMPLETE: {things} missing or not as the phone's own list says. It will not stand for the phone while a complete one exists; the next backup asks for everything."
    ));
}
