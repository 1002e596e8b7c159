//! `init`, `repo info`, `config`, `completions`, `version`.

use std::io::{self, IsTerminal};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::CommandFactory;
use russet_store::seal::{Kdf, RecoveryKey, calibrate};
use serde_json::json;

use crate::cli::args::{Completions, Config, Init};
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{bytes, counted, moment};
use crate::cli::secret::weigh;
use crate::cli::{output, question, settings};
use crate::ops;

/// About how long a password guess shall take on this computer.
const KDF_TIME: Duration = Duration::from_millis(900);

pub(super) fn init(context: &Context, args: &Init) -> Result<u8, Failure> {
    let location = match &args.location {
        Some(location) => {
            only_place(context, location)?;
            PathBuf::from(location)
        }
        None => context.location()?,
    };
    let password = context.password("New repository password", true)?;
    weigh(&password, &context.progress);
    let created = ops::init::init(&location, password, calibrate(KDF_TIME))?;
    let words = created.recovery.words();
    if context.json() {
        let body = json!({
            "repository_id": created.id, "location": location.display().to_string(),
            "recovery_key": words.as_str(), "exit_code": 0,
        });
        output::message("summary", body).map_err(|_| unseen())?;
        return Ok(0);
    }
    let said = output::line(&format!("A new repository was made at {}.", location.display()));
    said.and_then(|()| show_recovery_key(&words)).map_err(|_| unseen())?;
    if ask_back(&created.recovery).is_break() {
        return Err(left_at_the_words(&location));
    }
    output::line(&format!(
        "Next: `russet --repo {0} backup` backs up the iPhone that is plugged in, `russet --repo {0} import --all` takes what Finder or iTunes made.",
        location.display()
    ))?;
    Ok(0)
}

/// That `--repo` names no other place. RUSSET_REPOSITORY may: it stands there for the other commands.
fn only_place(context: &Context, location: &str) -> Result<(), Failure> {
    let variable = settings::variable("RUSSET_REPOSITORY");
    let named = context.global.repo.as_deref().filter(|named| {
        !named.is_empty() && *named != location && variable.as_deref() != Some(named.as_ref())
    });
    let Some(named) = named else { return Ok(()) };
    Err(Failure::new(code::USAGE, format!("two places were named: {location} and --repo {named}"))
        .next("name the new repository's folder once; nothing was made"))
}

/// Words that nobody has seen open the repository for nobody.
pub(super) fn unseen() -> Failure {
    Failure::new(
        code::FAILED,
        "the repository stands, but its recovery key could not be shown: stdout is closed or full",
    )
    .next("`russet key recovery` makes another one; `russet key remove` takes the unseen one away")
}

/// The 24 words, six a line, numbered.
pub(super) fn show_recovery_key(words: &str) -> Result<(), Failure> {
    output::line("")?;
    output::line("Recovery key: 24 words that open the repository if the password is ever lost.")?;
    output::line(
        "Write them on paper and keep them apart from the drive. They are shown only now.",
    )?;
    output::line("")?;
    let words: Vec<&str> = words.split(' ').collect();
    for (row, line) in words.chunks(6).enumerate() {
        let numbered =
            line.iter().enumerate().map(|(at, word)| format!("{:>2} {word:<9}", row * 6 + at + 1));
        output::line(&format!("  {}", numbered.collect::<Vec<_>>().join(" ").trim_end()))?;
    }
    output::line("")
}

/// Somebody went away while the words stood there: all is made by then.
fn left_at_the_words(location: &Path) -> Failure {
    output::note("");
    let what = format!(
        "stopped as asked; the repository at {} is whole, and the words above open it",
        location.display()
    );
    Failure::new(code::INTERRUPTED, what)
        .next("if they are not on paper: `russet key recovery` makes another recovery key, `russet key remove` takes this one away")
}

/// On a terminal one word is asked back: a sheet that was not written helps nobody.
/// Breaks where somebody asked to stop.
fn ask_back(key: &RecoveryKey) -> ControlFlow<()> {
    if !io::stdin().is_terminal() {
        return ControlFlow::Continue(());
    }
    let words = key.words();
    let Some(wanted) = words.split(' ').nth(16) else { return ControlFlow::Continue(()) };
    loop {
        output::note("When they are written down, type word 17 (or Enter to go on without):");
        let line = match question::line() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                return ControlFlow::Break(());
            }
            read => read.unwrap_or_default(),
        };
        if line.trim().is_empty() {
            output::note(
                "Not checked. `russet key recovery` makes another recovery key at any time.",
            );
            return ControlFlow::Continue(());
        }
        if line.trim().eq_ignore_ascii_case(wanted) {
            output::note("Good.");
            return ControlFlow::Continue(());
        }
        output::note("That is not word 17.");
    }
}

pub(super) fn kdf_words(kdf: &Kdf) -> String {
    match kdf {
        Kdf::Argon2id { memory_kib, passes, lanes } => {
            format!(
                "password (Argon2id, {} MiB, {}, {})",
                memory_kib >> 10,
                counted(u64::from(*passes), "pass").replace("passs", "passes"),
                counted(u64::from(*lanes), "lane")
            )
        }
        Kdf::Recovery => "recovery key (24 words)".to_owned(),
    }
}

pub(super) fn info(context: &Context) -> Result<u8, Failure> {
    let opened = context.read()?;
    let repository = &opened.repository;
    let packs = repository.packs();
    let (snapshots, _) = crate::snapshot::record::all(repository);
    let config = repository.config(russet_store::config::Purpose::Read).ok();
    let pack_len: u64 = packs.values().sum();
    let free = repository.backend().free_len().ok().flatten();
    context.progress.clear();
    if context.json() {
        output::message(
            "repository",
            json!({
                "repository_id": repository.id(), "location": repository.backend().location(), "format": 1,
                "created": config.map(|c| c.created), "snapshot_count": snapshots.len(), "pack_count": packs.len(),
                "pack_len": pack_len, "free_len": free, "foreign_count": repository.foreign_count(),
                "keyslot_count": repository.keyslots().len(),
            }),
        )?;
        return Ok(0);
    }
    output::line(&format!("Repository   {}", repository.id()))?;
    output::line(&format!("At           {}", repository.backend().location()))?;
    if let Some(config) = config {
        output::line(&format!(
            "Made         {}",
            moment(i64::try_from(config.created).unwrap_or(0))
        ))?;
    }
    output::line("Format       1 (docs/format.md in the repository)")?;
    output::line(&format!("Snapshots    {}", snapshots.len()))?;
    output::line(&format!("Packs        {}, {}", packs.len(), bytes(pack_len)))?;
    if let Some(free) = free {
        output::line(&format!("Free         {}", bytes(free)))?;
    }
    for slot in repository.keyslots() {
        let id = slot.id.to_string();
        output::line(&format!(
            "Opens with   {}  {}",
            id.get(..8).unwrap_or_default(),
            kdf_words(&slot.kdf)
        ))?;
    }
    if repository.foreign_count() > 0 {
        output::line(&format!("Other files  {}, ignored", repository.foreign_count()))?;
    }
    Ok(0)
}

pub(super) fn config(context: &Context, args: &Config) -> Result<u8, Failure> {
    let path = settings::path().ok_or_else(|| {
        Failure::new(code::FAILED, "this system has no place for a configuration file")
    })?;
    let there = path.exists();
    if matches!(args, Config::Check) {
        if !there && settings::variable("RUSSET_CONFIG").is_some() {
            let what = format!(
                "there is no configuration file {}, which RUSSET_CONFIG names",
                path.display()
            );
            return Err(Failure::new(code::USAGE, what).next("correct or unset RUSSET_CONFIG"));
        }
        check_default(context, &path)?;
    }
    match args {
        Config::Path | Config::Check if context.json() => {
            output::message(
                "config",
                json!({ "path": path.display().to_string(), "exists": there }),
            )?;
        }
        Config::Path => output::line(&path.display().to_string())?,
        // Reading it happened before the command was run; a bad file never gets here.
        Config::Check if there => output::line(&format!("{}: good", path.display()))?,
        Config::Check => {
            output::line(&format!("{}: there is none, which is good", path.display()))?
        }
        Config::Show => {
            if context.json() {
                output::message(
                    "config",
                    json!({ "path": path.display().to_string(), "settings": context.settings }),
                )?;
            } else {
                let text = toml::to_string(&context.settings)
                    .map_err(|e| Failure::new(code::FAILED, e.to_string()))?;
                output::line(&format!("# {}\n{}", path.display(), text.trim_end()))?;
            }
        }
    }
    Ok(0)
}

/// That what `default-repo` names is there; a named repository's drive may be away.
fn check_default(context: &Context, path: &Path) -> Result<(), Failure> {
    let settings = &context.settings;
    let Some(default) = settings.default_repo.as_deref() else { return Ok(()) };
    if settings.repo.contains_key(default) || Path::new(default).is_dir() {
        return Ok(());
    }
    let known: Vec<&str> = settings.repo.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let what = format!(
        "default-repo = \"{default}\" in {} is neither the name of a repository there (there are: {known}) nor a folder",
        path.display()
    );
    Err(Failure::new(code::USAGE, what)
        .next(format!("correct it, or add a section [repo.{default}] with its url")))
}

pub(super) fn completions<C: CommandFactory>(args: &Completions) -> Result<u8, Failure> {
    let mut bytes = Vec::new();
    clap_complete::generate(args.shell, &mut C::command(), "russet", &mut bytes);
    output::line(String::from_utf8_lossy(&bytes).trim_end())?;
    Ok(0)
}

pub(super) fn version(context: &Context) -> Result<u8, Failure> {
    if context.json() {
        output::message(
            "version",
            json!({ "version": env!("CARGO_PKG_VERSION"), "formats": [1] }),
        )?;
    } else {
        output::line(&format!("russet {} (repository format 1)", env!("CARGO_PKG_VERSION")))?;
    }
    Ok(0)
}
