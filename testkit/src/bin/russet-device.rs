//! A scripted phone as a process of its own.
//!
//! Invariant: stdout gets one line, the address hosts connect to, once they can. What happens is in the journal in the
//! phone's folder.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for scripts")]

use clap::{Args, Parser, Subcommand};
use russet_testkit::device::{Listener, Preset, Script, ScriptedPhone, State, serve_all};
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
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
    /// Makes the phones if needed and serves hosts until it is ended.
    Serve(Serve),
    /// Lets a week pass on the phone, served or not.
    Advance(Advance),
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
struct Advance {
    #[command(flatten)]
    folder: Folder,
    /// Nothing changes on the phone.
    #[arg(long)]
    unchanged: bool,
}

#[derive(Args)]
struct Serve {
    /// `host:port` (port 0 takes a free one) or the path of a socket.
    #[arg(long)]
    listen: String,
    /// A phone's folder, made if needed; several phones are attached at once. `script.json` in it is that phone's script.
    #[arg(long, visible_alias = "phone", required = true)]
    state: Vec<PathBuf>,
    /// Decides what is on a new phone; a second new phone has the next number.
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
    /// A new phone of a million tiny files.
    #[arg(long, conflicts_with_all = ["demo", "many_files", "total_len"])]
    million: bool,
    /// A new phone of that many bytes that no codec can shrink, with one file of more than 4 GiB.
    #[arg(long, conflicts_with_all = ["demo", "many_files", "total_len", "million"])]
    huge: Option<u64>,
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
        Command::Advance(arguments) => arguments.run(),
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
        let mut phones = Vec::new();
        for (folder, seed) in self.state.iter().zip(self.seed..) {
            phones.push(Arc::new(self.phone(folder, seed)?));
        }
        let listener = Listener::bind(&self.listen)?;
        println!("{}", listener.address()?);
        std::io::stdout().flush()?;
        Ok(serve_all(&phones, &listener)?)
    }

    fn phone(&self, folder: &Path, seed: u64) -> Result<ScriptedPhone, Box<dyn Error>> {
        let preset = match (self.many_files, self.total_len, self.huge) {
            (Some(count), _, _) => Preset::Many(count),
            (_, Some(len), _) => Preset::Bench(len),
            (_, _, Some(len)) => Preset::Huge(len),
            _ if self.demo => Preset::Demo,
            _ if self.million => Preset::Million,
            _ => Preset::Small,
        };
        let mut new = State::new(seed, preset);
        if let Some(file) = &self.encrypted {
            let text = std::fs::read_to_string(file)?;
            new.password = Some(text.lines().next().unwrap_or_default().to_owned());
        }
        let own = folder.join("script.json");
        let script = match &self.script {
            _ if own.exists() => serde_json::from_slice(&std::fs::read(own)?)?,
            Some(file) => serde_json::from_slice(&std::fs::read(file)?)?,
            None => Script::default(),
        };
        Ok(ScriptedPhone::open(folder, new, script)?)
    }
}

impl Advance {
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let phone = self.folder.phone()?;
        if self.unchanged {
            phone.rest()?
        } else {
            phone.advance()?
        }
        println!("week {}", phone.state()?.week + 1);
        Ok(())
    }
}

impl Folder {
    fn phone(&self) -> Result<ScriptedPhone, Box<dyn Error>> {
        let state = State::load(&self.state)?.ok_or("there is no phone in this folder")?;
        Ok(ScriptedPhone::open(&self.state, state, Script::default())?)
    }

    fn files(&self) -> Result<(), Box<dyn Error>> {
        let mut sink = BufWriter::new(std::io::stdout().lock());
        self.phone()?.write_truth(&mut sink)?;
        Ok(sink.flush()?)
    }
}
