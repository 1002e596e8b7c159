//! What opens the encrypted backups of iPhones: from arguments, environment and terminal to what `ops` takes.
//!
//! Invariant: a password is read from a file or typed, never taken from the arguments; it is asked for only on a terminal.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use crate::apple::Passwords;
use crate::capture::device::spool::SpoolPlace;
use crate::cli::args::Opening;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::plain;
use crate::cli::{output, secret};
use crate::ops::phone_keys::{Answer, Ask, Asked, PhoneKeys, Unopened};

/// Asks on the terminal; nobody answers where there is none.
pub(super) fn asker<'a>(context: &'a Context) -> impl Fn(Asked<'_>) -> Answer + Sync + 'a {
    |asked| {
        if !secret::is_terminal() {
            return Answer::Nobody;
        }
        context.progress.clear();
        let prompt = match asked {
            Asked::First(device) => format!(
                "iPhone backup password of {} (empty: store its backups as they are; then every file that changes is new as a whole)",
                plain(device)
            ),
            Asked::Closed(device) => {
                format!("iPhone backup password of {} (empty: leave it as it is)", plain(device))
            }
            Asked::Again(device) => {
                output::note("That is not the password of this backup. Nothing of it is lost.");
                format!(
                    "iPhone backup password of {} (empty: leave it as it is for now)",
                    plain(device)
                )
            }
        };
        match secret::ask_for_phone(&prompt) {
            Err(_) => Answer::Nobody,
            Ok(None) => Answer::Decline,
            Ok(Some(password)) => Answer::Password(password),
        }
    }
}

/// Passwords that were given, and where the spool is to be.
pub(super) fn keys<'a>(
    context: &Context,
    opening: &Opening,
    ask: &'a Ask<'a>,
) -> Result<PhoneKeys<'a>, Failure> {
    let mut passwords = Vec::new();
    for file in &secret::phone_password_files(&opening.passwords.phone_password_file) {
        passwords.push(secret::phone_password_file(file)?);
    }
    let unopened = if opening.store_encrypted { Unopened::Store } else { Unopened::Refuse };
    let mut keys = PhoneKeys::new(Passwords::new(passwords), ask, unopened, &location(context)?);
    if let Some(dir) = &opening.spool {
        keys.spool.put_in(spool_dir(dir)?);
    }
    keys.zone = TimeZone::system();
    keys.remembers = !opening.passwords.no_remember;
    if let Some(len) = opening.spool_segment_len {
        keys.spool.segment_len = len;
    }
    Ok(keys)
}

/// The folder that is named for the spool; it is made if it is not there.
pub(super) fn spool_dir(dir: &Path) -> Result<PathBuf, Failure> {
    let dir = whole(dir);
    make_spool_dir(&dir)?;
    Ok(dir)
}

/// A draft keeps it for runs that may begin elsewhere.
fn whole(dir: &Path) -> PathBuf {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_path_buf())
}

/// Where a spool is looked for and none is made.
pub(super) fn place(context: &Context, dir: Option<&Path>) -> Result<SpoolPlace, Failure> {
    let mut place = SpoolPlace::beside(&location(context)?);
    if let Some(dir) = dir {
        place.put_in(whole(dir));
    }
    Ok(place)
}

/// Makes the folder that is named for the spool, for nobody else to look into; what it is to lie in must be there: a drive may be away.
fn make_spool_dir(dir: &Path) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(
            code::FAILED,
            format!("could not use the folder {} for the spool: {why}", dir.display()),
        )
        .next("is its drive connected and writable, and the path right? nothing was begun")
    };
    if dir.is_dir() {
        return Ok(());
    }
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only a mode changes it"))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(failed("it is not a folder".to_owned()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(failed("the folder that it is to lie in is not there".to_owned()))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The repository's folder, beside which spools lie: its whole path, through links.
pub(super) fn location(context: &Context) -> Result<PathBuf, Failure> {
    let location = context.location()?;
    let location = std::fs::canonicalize(&location).unwrap_or(location);
    Ok(std::path::absolute(&location).unwrap_or(location))
}

/// Whether unfinished backups are in the repository, which is seen without its password.
pub(super) fn has_drafts(context: &Context) -> bool {
    let drafts = context.location().ok().map(|location| location.join("drafts"));
    let listed = drafts.and_then(|drafts| std::fs::read_dir(drafts).ok());
    listed.is_some_and(|mut listed| listed.next().is_some())
}
