//! One function a command: from what was typed to `ops`, and from what came of it to the answer.

mod doctor;
mod extract;
mod forget;
mod import;
mod key;
mod look;
mod phone;
mod phone_keys;
mod phone_password;
mod remembered;
mod reopen;
mod repo;
mod restore;
mod restore_phone;
mod verify;

use jiff::tz::TimeZone;

use super::args::{Cli, Command};
use super::context::Context;
use super::failure::{Failure, code};
use super::format::{by_count, counted, plain};
use crate::observe::Observer;
use crate::ops::open::Opened;
use crate::ops::reopen::{is_closed, is_kept_closed};
use crate::snapshot::select::select;
use crate::snapshot::{Snapshot, record};

/// What to do about a backup whose keys or list are damaged.
const DAMAGED_BACKUP: &str = "everything in it is kept as it came, but an iPhone may refuse it: make a new backup of the iPhone, if there still is one, and take that in too";

/// Runs a command and gives its exit code.
pub(super) fn run(context: &Context, command: Command) -> Result<u8, Failure> {
    match command {
        Command::Init(args) => repo::init(context, &args),
        Command::Backup(args) => phone::backup(context, args),
        Command::Reopen(args) => reopen::reopen(context, &args),
        Command::Devices(args) => phone::devices(context, &args),
        Command::Doctor(args) => doctor::doctor(context, &args),
        Command::Pair(args) => phone::pair(context, &args),
        Command::Import(args) => import::import(context, args),
        Command::Snapshots(args) => look::snapshots(context, &args),
        Command::Ls(args) => look::ls(context, &args),
        Command::Cat(args) => look::cat(context, &args),
        Command::Stats => look::stats(context),
        Command::Restore(args) => restore::restore(context, args),
        Command::Extract(args) => extract::extract(context, args),
        Command::PhonePassword(args) => phone_password::phone_password(context, &args),
        Command::Verify(args) => verify::verify(context, &args),
        Command::Forget(args) => forget::forget(context, &args),
        Command::Prune(args) => forget::prune(context, &args),
        Command::Key(args) => key::key(context, args),
        Command::Pin(args) => look::pin(context, &args, true),
        Command::Unpin(args) => look::pin(context, &args, false),
        Command::Tag(args) => look::tag(context, &args),
        Command::Note(args) => look::note(context, &args),
        Command::Repo(super::args::Repo::Info) => repo::info(context),
        Command::Config(args) => repo::config(context, &args),
        Command::Completions(args) => repo::completions::<Cli>(&args),
        Command::Version => repo::version(context),
    }
}

/// What opens a snapshot that is kept as the phone encrypted it.
fn opens_it(snapshot: &Snapshot) -> String {
    if is_kept_closed(snapshot) {
        return format!(
            "it is of iOS {}, and russet does not open backups of iOS 10.1 or older: it stays as it is, and `russet restore` gives it back as it was",
            plain(snapshot.record.device.product_version.as_deref().unwrap_or_default())
        );
    }
    format!(
        "`russet reopen {}` opens it, with the iPhone backup password of its day; `russet restore` gives it back as it was",
        snapshot.short_id()
    )
}

/// So many snapshots, and what is the matter with them.
fn closed_counted(count: u64) -> String {
    let what = by_count(
        count,
        "is kept as the phone encrypted it",
        "are kept as the phone encrypted them",
    );
    format!("{} {what}", counted(count, "snapshot"))
}

/// So many snapshots that stay as they are.
fn kept_counted(count: u64) -> String {
    let are =
        by_count(count, "is of iOS 10.1 or older and stays", "are of iOS 10.1 or older and stay");
    let it =
        by_count(count, "it was: russet does not open it", "they were: russet does not open them");
    format!("{} {are} encrypted as {it}.", counted(count, "snapshot"))
}

/// That nobody can tell which file is what; none, if the snapshot is not kept as the phone encrypted it.
fn closed(snapshot: &Snapshot) -> Option<Failure> {
    let what = format!(
        "snapshot {} is kept as the phone encrypted it: which file is what only its iPhone backup password tells",
        snapshot.short_id()
    );
    is_closed(snapshot).then(|| Failure::new(code::FAILED, what).next(opens_it(snapshot)))
}

/// The snapshot that a word means; says so if a newer one was passed over.
fn chosen(context: &Context, opened: &Opened, word: &str) -> Result<Snapshot, Failure> {
    let (snapshots, _) = record::all(&opened.repository);
    let now = i64::try_from(opened.repository.ambient().now_secs()).unwrap_or(i64::MAX);
    let chosen = select(&snapshots, word, &TimeZone::system(), now)?;
    if let Some(newer) = chosen.passed_over {
        context.progress.remark(&format!(
            "snapshot {} is newer: the safety backup before a restore; name it by its id",
            newer.short_id()
        ));
    }
    Ok(chosen.snapshot.clone())
}
