//! A scripted phone as a process of its own.
//!
//! Invariant: stdout gets one line, the address hosts connect to, once they can. What happens is in the journal in the
//! phone's folder.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for scripts")]

use clap::{Args, Parser, Subcommand};
use russet_testkit::device::{Listener, Preset, Script, ScriptedPhone, State, serve};
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// An iPhone that is not there: usbmuxd, lockdown and backup services on one socket.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the phone if needed and serves hosts until it is ended.
    Serve(Serve),
    /// Lets a week pass on the phone, served or not.
    Advance(Folder),
    /// Takes everything off the phone but its pairings.
    Erase(Folder),
    /// Prints domain, path and SHA-256 of each file on the phone, one JSON line each.
    Files(Folder),
}

#[derive(Args)]
struct Folder {
    /// The phone's folder.
    #[arg(long)]
    state: PathBuf,
}

#[derive(Args)]
struct Serve {
    /// `host:port` (port 0 takes a free one) or the path of a socket.
    #[arg(long)]
    listen: String,
    /// The phone's folder, made if needed.
    #[arg(long)]
    state: PathBuf,
    /// Decides what is on a new phone.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A new phone of about 250 MB instead of 10 MB.
    #[arg(long)]
    demo: bool,
    /// A new phone of that many tiny files.
    #[arg(long, conflicts_with = "demo")]
    many_files: Option<u64>,
    /// A new phone of that many bytes.
    #[arg(long, conflicts_with_all = ["demo", "many_files"])]
    total_len: Option<u64>,
    /// A new phone encrypts its backups under the password in this file's first line.
    #[arg(long)]
    encrypted: Option<PathBuf>,
    /// Faults and habits, as JSON.
    #[arg(long)]
    script: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Serve(arguments) => arguments.run(),
        Command::Advance(folder) => folder.advance(),
        Command::Erase(folder) => folder.phone().and_then(|phone| Ok(phone.erase()?)),
        Command::Files(folder) => folder.files(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Serve {
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let preset = match (self.demo, self.many_files, self.total_len) {
            (true, _, _) => Preset::Demo,
            (_, Some(count), _) => Preset::Many(count),
            (_, _, Some(len)) => Preset::Bench(len),
            _ => Preset::Small,
        };
        let mut new = State::new(self.seed, preset);
        if let Some(file) = &self.encrypted {
            let text = std::fs::read_to_string(file)?;
            new.password = Some(text.lines().next().unwrap_or_default().to_owned());
        }
        let script = match &self.script {
            None => Script::default(),
            Some(file) => serde_json::from_slice(&std::fs::read(file)?)?,
        };
        let phone = Arc::new(ScriptedPhone::open(&self.state, new, script)?);
        let listener = Listener::bind(&self.listen)?;
        println!("{}", listener.address()?);
        std::io::stdout().flush()?;
        Ok(serve(&phone, &listener)?)
    }
}

impl Folder {
    fn phone(&self) -> Result<ScriptedPhone, Box<dyn Error>> {
        let state = State::load(&self.state)?.ok_or("there is no phone in this folder")?;
        Ok(ScriptedPhone::open(&self.state, state, Script::default())?)
    }

    fn advance(&self) -> Result<(), Box<dyn Error>> {
        let mut state = State::load(&self.state)?.ok_or("there is no phone in this folder")?;
        state.week += 1;
        state.save(&self.state)?;
        println!("week {}", state.week + 1);
        Ok(())
    }

    fn files(&self) -> Result<(), Box<dyn Error>> {
        let mut sink = BufWriter::new(std::io::stdout().lock());
        self.phone()?.write_truth(&mut sink)?;
        Ok(sink.flush()?)
    }
}
