//! What every command needs: where the repository is, its password, and whom to tell.

use std::path::PathBuf;

use russet_store::config::Purpose;
use russet_store::seal::{Password, SlotSecret};

use super::args::Global;
use super::failure::{Failure, code};
use super::progress::Progress;
use super::settings::{self, PasswordSource, Settings};
use super::{output, secret};
use crate::ops::open::{OpenOptions, Opened, open};

/// The global options, made up from arguments, environment and configuration.
pub(super) struct Context {
    pub(super) global: Global,
    pub(super) settings: Settings,
    pub(super) progress: Progress,
}

impl Context {
    pub(super) fn new(global: Global) -> Result<Self, Failure> {
        let settings = settings::read(settings::path().as_deref())?;
        let progress = Progress::new(global.json, global.quiet, global.no_progress, global.verbose);
        Ok(Self { global, settings, progress })
    }

    pub(super) fn json(&self) -> bool {
        self.global.json
    }

    /// Where the repository is: an argument, the environment, or the configuration's default.
    pub(super) fn location(&self) -> Result<PathBuf, Failure> {
        let named = self.global.repo.as_deref().or(self.settings.default_repo.as_deref());
        let named = named.ok_or_else(|| {
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
        Ok(known.unwrap_or_else(|| PathBuf::from(named)))
    }

    fn password_source(&self) -> Option<&PasswordSource> {
        let named = self.global.repo.as_deref().or(self.settings.default_repo.as_deref())?;
        self.settings.repo.get(named)?.password.as_ref()
    }

    /// The password: flag, then environment, then configuration, then the terminal.
    pub(super) fn password(&self, prompt: &str, twice: bool) -> Result<Password, Failure> {
        if let Some(path) = &self.global.password_file {
            return Ok(Password::from_file(&secret::read_file(path)?)?);
        }
        if let Some(command) = &self.global.password_command {
            return secret::run_command(command);
        }
        if let Some(path) = std::env::var_os("RUSSET_PASSWORD_FILE") {
            return Ok(Password::from_file(&secret::read_file(PathBuf::from(path).as_path())?)?);
        }
        if let Some(command) = std::env::var_os("RUSSET_PASSWORD_COMMAND") {
            return secret::run_command(&command.to_string_lossy());
        }
        if let Ok(text) = std::env::var("RUSSET_PASSWORD") {
            output::note(
                "warning: a password in RUSSET_PASSWORD can be seen by other programs; a file is safer",
            );
            let text = zeroize::Zeroizing::new(text);
            return Ok(Password::new(&text)?);
        }
        match self.password_source() {
            Some(PasswordSource::File(path)) => Ok(Password::from_file(&secret::read_file(path)?)?),
            Some(PasswordSource::Command(command)) => secret::run_command(command),
            Some(PasswordSource::Prompt) | None => secret::ask(prompt, twice),
        }
    }

    /// What opens the repository.
    pub(super) fn secret(&self) -> Result<SlotSecret, Failure> {
        match &self.global.recovery_file {
            Some(path) => secret::recovery_file(path),
            None => Ok(SlotSecret::Password(self.password("Repository password", false)?)),
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
        let _found = crate::ops::open::backend(&options)?;
        Ok(open(&options, &self.secret()?, purpose, exclusive, &self.progress)?)
    }
}
