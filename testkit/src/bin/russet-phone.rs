//! Writes generated backups for the demo and for other programs' parsers, and compares folders.
//!
//! Invariant: the same arguments write the same bytes. Prints paths written, one a line; fails with exit code 1.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use clap::{Args, Parser, Subcommand, ValueEnum};
use russet_testkit::compare::same_folder;
use russet_testkit::{Encryption, Phone, PhoneOptions, Spread};
use std::error::Error;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Generated iPhones and their backups.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the backups of some weeks to OUT/week-01/`<UDID>` and on.
    Weeks(Weeks),
    /// Say whether two folders hold the same files, bytes and mtimes.
    Compare {
        /// One folder.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Write a phone of many tiny files, and a second week in which a share of them changed.
    Many(Many),
}

#[derive(Args)]
struct Weeks {
    #[command(flatten)]
    target: Target,
    /// Number of weekly backups.
    #[arg(long, default_value_t = 4)]
    weeks: u32,
    /// How large a phone.
    #[arg(long, value_enum, default_value_t = Preset::Demo)]
    preset: Preset,
    /// Bytes of the bench phone.
    #[arg(long, default_value_t = 4_000_000_000)]
    total_len: u64,
    /// Make the backup of this week a full one, with new keys for everything.
    #[arg(long)]
    full_week: Option<u32>,
}

#[derive(Args)]
struct Many {
    #[command(flatten)]
    target: Target,
    /// Number of files.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Share of the files that the second week changes.
    #[arg(long, default_value_t = 0.01)]
    share: f64,
    /// Whether they all belong to a few apps.
    #[arg(long)]
    few_apps: bool,
}

#[derive(Args)]
struct Target {
    /// Where to write; made if needed.
    #[arg(long)]
    out: PathBuf,
    /// Decides everything else.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Encrypt under the password in this file's first line.
    #[arg(long)]
    password_file: Option<PathBuf>,
    /// Rounds of the key derivation.
    #[arg(long, default_value_t = 10_000)]
    iterations: u32,
    /// Write week-01.jsonl and on to this folder: domain, path and SHA-256 of each file's plaintext.
    #[arg(long)]
    truth: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Preset {
    /// About 10 MB.
    Small,
    /// About 250 MB.
    Demo,
    /// As large as --total-len says.
    Bench,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Weeks(weeks) => weeks.run(),
        Command::Compare { first, second } => return compare(&first, &second),
        Command::Many(many) => many.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  cause: {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

impl Weeks {
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let options = match self.preset {
            Preset::Small => PhoneOptions::small(),
            Preset::Demo => PhoneOptions::demo(),
            Preset::Bench => PhoneOptions::bench(self.total_len),
        };
        let encryption = self.target.encryption()?;
        let mut phone = Phone::new(options.with_seed(self.target.seed))?;
        for week in 1..=self.weeks {
            if week > 1 {
                phone.advance_week()?;
            }
            if self.full_week == Some(week) {
                phone.force_full();
            }
            self.target.write(&phone, &encryption)?;
        }
        Ok(())
    }
}

impl Many {
    fn run(&self) -> Result<(), Box<dyn Error>> {
        let encryption = self.target.encryption()?;
        let mut phone =
            Phone::new(PhoneOptions::many_files(self.count).with_seed(self.target.seed))?;
        self.target.write(&phone, &encryption)?;
        let spread = if self.few_apps { Spread::FewApps } else { Spread::Random };
        phone.touch_share(self.share, spread);
        self.target.write(&phone, &encryption)
    }
}

impl Target {
    fn encryption(&self) -> Result<Encryption, Box<dyn Error>> {
        let Some(file) = &self.password_file else {
            return Ok(Encryption::None);
        };
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let password = text.lines().next().unwrap_or_default().to_owned();
        if password.is_empty() {
            return Err(format!("{}: the first line holds no password", file.display()).into());
        }
        Ok(Encryption::Password { password, iterations: self.iterations })
    }

    fn write(&self, phone: &Phone, encryption: &Encryption) -> Result<(), Box<dyn Error>> {
        let week = format!("week-{:02}", phone.week() + 1);
        let root = phone.write_backup(&self.out.join(&week), encryption)?;
        if let Some(folder) = &self.truth {
            std::fs::create_dir_all(folder)?;
            write_truth(phone, &folder.join(format!("{week}.jsonl")))?;
        }
        println!("{}", root.display());
        Ok(())
    }
}

fn write_truth(phone: &Phone, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    for ((domain, path), truth) in phone.truth()? {
        let hex: String = truth.sha256.iter().map(|byte| format!("{byte:02x}")).collect();
        let line =
            serde_json::json!({ "domain": domain, "path": path, "sha256": hex, "size": truth.len });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

fn compare(first: &Path, second: &Path) -> ExitCode {
    match same_folder(first, second) {
        Ok(counts) => {
            let russet_testkit::compare::Counts { file_count, folder_count, link_count, len } =
                counts;
            println!(
                "same: {file_count} files, {folder_count} folders, {link_count} links, {len} bytes"
            );
            ExitCode::SUCCESS
        }
        Err(differences) => {
            for difference in &differences {
                println!("{difference}");
            }
            eprintln!("{} differences", differences.len());
            ExitCode::FAILURE
        }
    }
}
