//! What every command needs: where the repository is, its password, and whom to tell.

use std::path::{Path, PathBuf};

use russet_store::config::Purpose;
use russet_store::repository::RepositoryError;
use russet_store::seal::{Password, SlotSecret};

use super::args::Global;
use super::failure::{Failure, code};
use super::progress::Progress;
use super::settings::{self, PasswordSource, Settings};
use super::{output, secret};
use crate::ops::open::{OpenError, OpenOptions, Opened, open};

/// How often a person may type a password before the program gives up.
const ATTEMPT_COUNT_MAX: u32 = 3;

/// The global options, made up from arguments, environment and configuration.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) settings: Settings,
    pub(super) progress: Progress,
}

impl Context {
    pub(super) fn new(global: Global, settings: Settings) -> Self {
        let progress = Progress::new(global.json, global.quiet, global.no_progress, global.verbose);
        Self { global, settings, progress }
    }

    pub(super) fn json(&self) -> bool {
        self.global.json
    }

    /// What names the repository; an empty word names none, as a variable set to nothing does.
    fn named(&self) -> Option<&str> {
        let given = self.global.repo.as_deref().filter(|repo| !repo.is_empty());
        given.or(self.settings.default_repo.as_deref())
    }

    /// Where the repository is: an argument, the environment, or the configuration's default.
    pub(super) fn location(&self) -> Result<PathBuf, Failure> {
        let named = self.named().ok_or_else(|| {
            Failure::new(code::USAGE, "no repository was named")
                .next("use `--repo FOLDER`, or set RUSSET_REPOSITORY")
        })?;
        if let Some(scheme) =
            ["s3:", "sftp:", "rclone:", "drive:"].iter().find(|s| named.starts_with(**s))
        {
            return Err(Failure::new(
                code::USAGE,
                format!("repositories at {scheme} are not supported by this version"),
            ));
        }
        let known = self.settings.repo.get(named).map(|repo| repo.url.clone());
        // Told in full, for whoever looks for it from another folder.
        let path = || std::path::absolute(named).unwrap_or_else(|_| PathBuf::from(named));
        Ok(known.unwrap_or_else(path))
    }

    fn password_source(&self) -> Option<&PasswordSource> {
        self.settings.repo.get(self.named()?)?.password.as_ref()
    }

    /// Whether the configuration says where the password comes from, so that nobody need be asked.
    pub(super) fn has_password_source(&self) -> bool {
        matches!(self.password_source(), Some(PasswordSource::File(_) | PasswordSource::Command(_)))
    }

    /// The password: flag, then environment, then configuration, then the terminal.
    pub(super) fn password(&self, prompt: &str, twice: bool) -> Result<Password, Failure> {
        match self.given_password()? {
            Some(password) => Ok(password),
            None => secret::ask(prompt, twice),
        }
    }

    /// The password, unless a person must be asked for it.
    fn given_password(&self) -> Result<Option<Password>, Failure> {
        let of_file = |path: &Path| -> Result<Option<Password>, Failure> {
            Ok(Some(Password::from_file(&secret::read_file(path, "password file")?)?))
        };
        let of_command = |command: &str| secret::run_command(command).map(Some);
        if let Some(path) = &self.global.password_file {
            return of_file(path);
        }
        if let Some(command) = &self.global.password_command {
            return of_command(command);
        }
        if let Some(path) = settings::variable("RUSSET_PASSWORD_FILE") {
            return of_file(Path::new(&path));
        }
        if let Some(command) = settings::variable("RUSSET_PASSWORD_COMMAND") {
            return of_command(&command.to_string_lossy());
        }
        if let Ok(text) = std::env::var("RUSSET_PASSWORD")
            && !text.is_empty()
        {
            output::note(
                "warning: a password in RUSSET_PASSWORD can be seen by other programs; a file is safer",
            );
            let text = zeroize::Zeroizing::new(text);
            return Ok(Some(Password::new(&text)?));
        }
        match self.password_source() {
            Some(PasswordSource::File(path)) => of_file(path),
            Some(PasswordSource::Command(command)) => of_command(command),
            Some(PasswordSource::Prompt) | None => Ok(None),
        }
    }

    /// What opens the repository, unless a person must be asked for it.
    fn given_secret(&self) -> Result<Option<SlotSecret>, Failure> {
        match &self.global.recovery_file {
            Some(path) => secret::recovery_file(path).map(Some),
            None => Ok(self.given_password()?.map(SlotSecret::Password)),
        }
    }

    pub(super) fn open_options(&self) -> Result<OpenOptions, Failure> {
        let cache_dir = match self.global.no_cache {
            true => None,
            false => self.global.cache_dir.clone().or_else(settings::cache_dir),
        };
        Ok(OpenOptions {
            location: self.location()?,
            cache_dir,
            read_back: !self.global.no_read_back,
            retry_lock: self.global.retry_lock,
        })
    }

    /// Why there is nothing where the repository should be: of a word that could be a name, that it is none.
    fn not_there(&self, error: OpenError) -> Failure {
        let is_missing = matches!(error, OpenError::Repository(RepositoryError::NotFound { .. }));
        let failure = Failure::from(error);
        let Some(named) = self.named().filter(|_| is_missing) else { return failure };
        let failure = failure.because("there is no such folder");
        if self.settings.repo.contains_key(named) || Path::new(named).components().count() != 1 {
            return failure;
        }
        let known: Vec<&str> = self.settings.repo.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        failure.because(format!(
            "\"{named}\" is no name in the configuration file either (names there: {known})"
        ))
    }

    /// Opens for reading.
    pub(super) fn read(&self) -> Result<Opened, Failure> {
        self.open(Purpose::Read, false)
    }

    /// Opens for writing, with the writer's lock.
    pub(super) fn write(&self) -> Result<Opened, Failure> {
        self.open(Purpose::Write, true)
    }

    pub(super) fn open(&self, purpose: Purpose, exclusive: bool) -> Result<Opened, Failure> {
        let options = self.open_options()?;
        // Whether there is a repository is found out before anybody is asked for a password.
        let _found = crate::ops::open::backend(&options).map_err(|error| self.not_there(error))?;
        if let Some(given) = self.given_secret()? {
            return Ok(open(&options, &given, purpose, exclusive, &self.progress)?);
        }
        let mut left = ATTEMPT_COUNT_MAX;
        loop {
            let typed = SlotSecret::Password(secret::ask("Repository password", false)?);
            left -= 1;
            match open(&options, &typed, purpose, exclusive, &self.progress) {
                Err(OpenError::Repository(RepositoryError::WrongSecret { .. })) if left > 0 => {
                    output::note("That is not the password of this repository. Try again.");
                }
                other => return Ok(other?),
            }
        }
    }
}
