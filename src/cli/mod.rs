//! The command line: the only room that prints, prompts, reads the environment, or decides exit codes.
//!
//! Invariant: stdout carries the answer, stderr everything else; nothing prompts without a terminal; every error says what failed,
//! on what, why, and what to do next.

mod args;
mod commands;
mod context;
mod failure;
mod format;
mod output;
mod phone_failure;
mod progress;
mod question;
mod restore_failure;
mod secret;
mod settings;
mod stop;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command, Config};
use context::Context;
use failure::Failure;

/// Runs the program with the arguments and environment of the process.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    let json = cli.global.json;
    match std::panic::catch_unwind(|| run(cli)) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(failure)) => failure.report(json),
        Err(_) => Failure::bug().report(json),
    }
}

fn run(cli: Cli) -> Result<u8, Failure> {
    stop::listen();
    let read = settings::read(settings::path().as_deref());
    let settings = match &cli.command {
        // They need nothing of the file, and help to find out what is wrong with it.
        Command::Version | Command::Completions(_) | Command::Config(Config::Path) => {
            read.unwrap_or_default()
        }
        _ => read?,
    };
    let context = Context::new(cli.global, settings);
    commands::run(&context, cli.command)
}
