//! What can be typed. Turned into what `ops` takes by the commands.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};

/// Keeps iPhones for decades: a deduplicating, sealed archive of iPhones, and of Finder's and iTunes' backups.
#[derive(Debug, Parser)]
#[command(
    name = "russet",
    version,
    max_term_width = 100,
    after_help = "RUSSET_CONFIG names the configuration file; `russet config path` says where it is looked for."
)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// The repository: a folder, or a name from the configuration file
    #[arg(short, long, global = true, env = "RUSSET_REPOSITORY", value_name = "REPO")]
    pub(super) repo: Option<String>,
    /// File that holds the repository password (its last line end is dropped) [env: RUSSET_PASSWORD_FILE]
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Command that prints the repository password [env: RUSSET_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "CMD")]
    pub(super) password_command: Option<String>,
    /// File that holds the 24 words of the recovery key, used instead of the password
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) recovery_file: Option<PathBuf>,
    /// JSON Lines on stdout
    #[arg(long, global = true, env = "RUSSET_JSON", value_parser = clap::builder::FalseyValueParser::new())]
    pub(super) json: bool,
    /// Only errors on stderr
    #[arg(short, long, global = true)]
    pub(super) quiet: bool,
    /// All problems on stderr, not only the first twenty
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// No progress on stderr
    #[arg(long, global = true)]
    pub(super) no_progress: bool,
    /// Folder for this computer's index
    #[arg(long, global = true, env = "RUSSET_CACHE_DIR", value_name = "DIR")]
    pub(super) cache_dir: Option<PathBuf>,
    /// Keep nothing on this computer
    #[arg(long, global = true)]
    pub(super) no_cache: bool,
    /// How long to wait for another writer, as 30s, 5m or 1h
    #[arg(long, global = true, value_name = "TIME", default_value = "0s", value_parser = super::format::parse_time)]
    pub(super) retry_lock: std::time::Duration,
    /// Do not read written packs back (for drives that are built in)
    #[arg(long, global = true)]
    pub(super) no_read_back: bool,
    /// Answer every question with yes
    #[arg(long, global = true)]
    pub(super) yes: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a repository in a new or empty folder; prints a recovery key once
    Init(Init),
    /// Back up the connected iPhone into a new snapshot
    Backup(Backup),
    /// Open with the iPhone backup password what was stored as an iPhone encrypted it, and finish backups that wait for it
    Reopen(Reopen),
    /// List connected iPhones
    Devices(Devices),
    /// Let an iPhone trust this computer
    Pair(Pair),
    /// Look at everything a backup needs and say what to do
    Doctor(Doctor),
    /// Take Finder, iTunes or idevicebackup2 backups as dated snapshots
    Import(Import),
    /// List snapshots
    #[command(alias = "log")]
    Snapshots(Snapshots),
    /// List the files of a snapshot
    Ls(Ls),
    /// Write one file of a snapshot to stdout
    #[command(alias = "dump")]
    Cat(Cat),
    /// What was backed up and what is stored
    Stats,
    /// Write a snapshot back: as a backup folder that Finder and iTunes know, or to an iPhone
    Restore(Restore),
    /// Write files out under their real names and dates
    Extract(Extract),
    /// The iPhone backup password: Apple's encryption of backups
    #[command(subcommand)]
    PhonePassword(PhonePassword),
    /// Check that the repository is sound and its snapshots would come back
    #[command(alias = "check")]
    Verify(Verify),
    /// Forget snapshots; `prune` then gives back their space
    Forget(Forget),
    /// Give back the space of what no snapshot needs
    Prune(Prune),
    /// Passwords and the recovery key
    #[command(subcommand)]
    Key(Key),
    /// Keep a snapshot from being forgotten
    Pin(One),
    /// Let a pinned snapshot be forgotten again
    Unpin(One),
    /// Put a word on a snapshot, or take it off
    Tag(Tag),
    /// Put a sentence on a snapshot
    Note(Note),
    /// About the repository
    #[command(subcommand)]
    Repo(Repo),
    /// The configuration file
    #[command(subcommand)]
    Config(Config),
    /// Print completions for a shell
    Completions(Completions),
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub(super) struct Init {
    /// Folder of the new repository (or --repo)
    pub(super) location: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Backup {
    /// iPhones by name or UDID (its beginning is enough); none: the only one that is connected
    #[arg(value_name = "DEVICE")]
    pub(super) devices: Vec<String>,
    /// All iPhones that are connected, at once
    #[arg(long, conflicts_with = "devices")]
    pub(super) all: bool,
    /// Reach iPhones over Wi-Fi too
    #[arg(long)]
    pub(super) wifi: bool,
    /// Ask the iPhone for everything, not only for what changed, and read every stored piece of it: what has rotted in the
    /// repository is stored again
    #[arg(long)]
    pub(super) full: bool,
    /// Begin anew: what came for a backup that was interrupted, or that waits for its password, is given up
    #[arg(long)]
    pub(super) restart: bool,
    #[command(flatten)]
    pub(super) opening: Opening,
    /// How long to wait for the iPhone to be connected, as 30s, 10m or 1h
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = super::format::parse_time)]
    pub(super) wait_for_device: std::time::Duration,
    #[command(flatten)]
    pub(super) labels: Labels,
    /// Only tell which iPhones would be backed up
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
}

/// What is said of each new snapshot.
#[derive(Debug, Args)]
pub(super) struct Labels {
    /// Word to put on each new snapshot; may be given several times
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<String>,
    /// Sentence to put on each new snapshot
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
    /// Keep each new snapshot from being forgotten
    #[arg(long)]
    pub(super) pin: bool,
}

/// The passwords of encrypted backups.
#[derive(Debug, Args)]
pub(super) struct PhonePasswords {
    /// File that holds the iPhone backup password (its last line end is dropped); several, if it changed: of each backup the one
    /// that opens it counts. RUSSET_PHONE_PASSWORD_FILE names one too
    #[arg(long, value_name = "FILE")]
    pub(super) phone_password_file: Vec<PathBuf>,
    /// Do not keep the iPhone backup password in the repository: it must be known again for the next backup, and on the day of a
    /// restore to an iPhone
    #[arg(long)]
    pub(super) no_remember: bool,
}

/// What opens encrypted backups of iPhones, and where they wait for it.
#[derive(Debug, Args)]
pub(super) struct Opening {
    #[command(flatten)]
    pub(super) passwords: PhonePasswords,
    /// Without a password that opens them: store encrypted backups as they are. Whatever changes is stored whole then. From then on
    /// this is done for that iPhone without the option; giving its password once ends it (--phone-password-file)
    #[arg(long)]
    pub(super) store_encrypted: bool,
    /// Folder in which what an encrypted iPhone sends waits, sealed, until its keys come; none: beside the repository
    #[arg(long, value_name = "DIR")]
    pub(super) spool: Option<PathBuf>,
    /// Bytes of files in a segment of the spool
    #[arg(long, value_name = "LEN", hide = true)]
    pub(super) spool_segment_len: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct Reopen {
    /// Snapshots: id, `latest`, `latest~1`, a date, or DEVICE@…; none: all that are stored as an iPhone encrypted them
    #[arg(value_name = "SNAP")]
    pub(super) snapshots: Vec<String>,
    #[command(flatten)]
    pub(super) opening: Opening,
}

#[derive(Debug, Args)]
pub(super) struct Devices {
    /// Go on telling until stopped with Ctrl-C
    #[arg(long)]
    pub(super) watch: bool,
}

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Also write it to a file, without names and numbers of phones
    #[arg(long, value_name = "FILE")]
    pub(super) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Pair {
    /// iPhone by UDID (its beginning is enough); none: the only one that is connected
    pub(super) device: Option<String>,
    /// Let the iPhone be reached over Wi-Fi from now on
    #[arg(long)]
    pub(super) wifi: bool,
    /// How long to wait for Trust and the passcode, as 30s, 5m or 1h
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = super::format::parse_time)]
    pub(super) timeout: std::time::Duration,
}

#[derive(Debug, Args)]
pub(super) struct Import {
    /// Backup folders, or folders that hold some one or two levels below; none: where Finder and iTunes keep them
    #[arg(value_name = "DIR")]
    pub(super) dirs: Vec<PathBuf>,
    /// Without DIR: take all backups that are found
    #[arg(long)]
    pub(super) all: bool,
    /// Read every file, even where nothing about it changed, and every stored piece it is made of: what has rotted in
    /// the repository is stored again
    #[arg(long)]
    pub(super) force: bool,
    /// Take unfinished backups too; they never stand for the phone
    #[arg(long)]
    pub(super) allow_incomplete: bool,
    #[command(flatten)]
    pub(super) passwords: PhonePasswords,
    #[command(flatten)]
    pub(super) labels: Labels,
    /// Only say what would be taken
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Snapshots {
    /// Only of this phone: name or beginning of its UDID
    pub(super) device: Option<String>,
    /// Only the last N
    #[arg(long, value_name = "N")]
    pub(super) last: Option<usize>,
    /// Only with this word
    #[arg(long)]
    pub(super) tag: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Ls {
    /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
    pub(super) snapshot: String,
    /// Only below this domain or path
    pub(super) path: Option<String>,
    /// Sizes and times
    #[arg(short, long)]
    pub(super) long: bool,
    /// Sums by what a person calls things
    #[arg(long, conflicts_with_all = ["long", "path"])]
    pub(super) categories: bool,
}

#[derive(Debug, Args)]
pub(super) struct Cat {
    /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
    pub(super) snapshot: String,
    /// `Domain/path`, the path in the backup folder, or the 40 digits of the file's name
    pub(super) path: String,
}

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("where").required(true).args(["target", "to_phone"])))]
pub(super) struct Restore {
    /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
    pub(super) snapshot: String,
    /// Folder that gets the backup folder
    #[arg(long, value_name = "DIR")]
    pub(super) target: Option<PathBuf>,
    /// Write to this connected iPhone (name, or beginning of its UDID); without DEVICE: the only one that is connected
    #[arg(long, value_name = "DEVICE")]
    pub(super) to_phone: Option<Option<String>>,
    #[command(flatten)]
    pub(super) phone: ToPhone,
}

#[derive(Debug, Args)]
pub(super) struct Extract {
    /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
    pub(super) snapshot: String,
    /// Folder that gets the files; what is in it stays as it is
    #[arg(long, value_name = "DIR")]
    pub(super) target: PathBuf,
    /// Only these: `Domain/path`, with `*` and `?` within a name and `**` for any names; of photos and apps, where those are named too
    #[arg(long, value_name = "PATTERN")]
    pub(super) path: Vec<String>,
    /// Only of this app, by its bundle id: its own files, its extensions', its groups'; several, and photos, add up
    #[arg(long, value_name = "BUNDLE")]
    pub(super) app: Vec<String>,
    /// Only photos and videos; with --app those and the app's
    #[arg(long)]
    pub(super) photos: bool,
    /// As on the iPhone, or by year and month
    #[arg(long, value_enum, default_value_t = ExtractLayout::Domain)]
    pub(super) layout: ExtractLayout,
}

/// Where files go.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum ExtractLayout {
    /// A folder for each domain, and the paths on the iPhone below
    Domain,
    /// A folder for each year and month
    Date,
}

/// How a snapshot is written to an iPhone.
#[derive(Debug, Args)]
pub(super) struct ToPhone {
    /// Leave the iPhone's own settings as they are (the default)
    #[arg(long, conflicts_with = "target", overrides_with = "no_keep_settings")]
    pub(super) keep_settings: bool,
    /// Put the snapshot's settings in the place of the iPhone's, as for a new iPhone
    #[arg(long, conflicts_with = "target", overrides_with = "keep_settings")]
    pub(super) no_keep_settings: bool,
    /// Restore system files too
    #[arg(long, conflicts_with = "target")]
    pub(super) system: bool,
    /// Do not let the iPhone restart at the end
    #[arg(long, conflicts_with = "target")]
    pub(super) no_reboot: bool,
    /// Remove what is on the iPhone and not in the snapshot
    #[arg(long, conflicts_with = "target")]
    pub(super) remove_items: bool,
    /// Do not back the iPhone up before it is written to
    #[arg(long, conflicts_with = "target")]
    pub(super) no_safety_backup: bool,
    /// File that holds the iPhone backup password of the day of the snapshot, if that is encrypted (its last line end is
    /// dropped); or RUSSET_PHONE_PASSWORD_FILE
    #[arg(long, value_name = "FILE", conflicts_with = "target")]
    pub(super) phone_password_file: Option<PathBuf>,
    /// Folder in which what an encrypted iPhone sends for the backup before waits, as for `backup`
    #[arg(long, value_name = "DIR", conflicts_with_all = ["target", "no_safety_backup"])]
    pub(super) spool: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum PhonePassword {
    /// Whether the iPhone's backups are encrypted
    Status {
        /// iPhone by name or UDID (its beginning is enough); none: the only one that is connected
        device: Option<String>,
    },
    /// Encrypt the iPhone's backups from now on
    Enable {
        /// iPhone by name or UDID (its beginning is enough); none: the only one that is connected
        device: Option<String>,
        /// File that holds the new iPhone backup password; none: it is asked for on the terminal
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
        /// Do not keep the new iPhone backup password in the repository: it must be known again for the next backup, and on the day
        /// of a restore to an iPhone
        #[arg(long)]
        no_remember: bool,
        /// Folder in which what this iPhone sent in an interrupted backup waits, if that was moved: as for `backup`
        #[arg(long, value_name = "DIR")]
        spool: Option<PathBuf>,
    },
    /// Give the iPhone another backup password
    Change {
        /// iPhone by name or UDID (its beginning is enough); none: the only one that is connected
        device: Option<String>,
        /// File that holds the iPhone backup password until now; or RUSSET_PHONE_PASSWORD_FILE; else the one that the repository keeps
        #[arg(long, value_name = "FILE")]
        old_password_file: Option<PathBuf>,
        /// File that holds the new iPhone backup password; none: it is asked for on the terminal
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
        /// Do not keep the new iPhone backup password in the repository: it must be known again for the next backup, and on the day
        /// of a restore to an iPhone
        #[arg(long)]
        no_remember: bool,
        /// Folder in which what this iPhone sent in an interrupted backup waits, if that was moved: as for `backup`
        #[arg(long, value_name = "DIR")]
        spool: Option<PathBuf>,
    },
    /// Show the iPhone backup password that a snapshot wants, if the repository keeps it: on a terminal, or with --json
    Show {
        /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
        snapshot: String,
    },
    /// Keep the iPhone backup password of a snapshot in the repository, sealed; it must open the snapshot
    Remember {
        /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
        snapshot: String,
        /// File that holds the iPhone backup password of the day of the snapshot; or RUSSET_PHONE_PASSWORD_FILE
        #[arg(long, value_name = "FILE")]
        phone_password_file: Option<PathBuf>,
    },
    /// Remove the iPhone backup password of a snapshot from the repository, wherever else it is used
    #[command(group(ArgGroup::new("which").required(true).args(["snapshot", "all", "lost"])))]
    Forget {
        /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
        snapshot: Option<String>,
        /// All that are kept, of all iPhones
        #[arg(long)]
        all: bool,
        /// Those that are damaged in the repository and can no longer be read, as `verify` says
        #[arg(long)]
        lost: bool,
    },
    /// Let the iPhone's backups be without passwords, Health and much else, and readable by anybody
    Disable {
        /// iPhone by name or UDID (its beginning is enough); none: the only one that is connected
        device: Option<String>,
        /// File that holds the iPhone backup password until now; or RUSSET_PHONE_PASSWORD_FILE; else the one that the repository keeps
        #[arg(long, value_name = "FILE")]
        old_password_file: Option<PathBuf>,
        /// Must be said: unencrypted backups lack saved passwords, Health, call history and more
        #[arg(long)]
        yes_really: bool,
        /// Folder in which what this iPhone sent in an interrupted backup waits, if that was moved: as for `backup`
        #[arg(long, value_name = "DIR")]
        spool: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Read and open every byte, not only the structure
    #[arg(long)]
    pub(super) read_data: bool,
    /// File that holds an iPhone backup password, to check that it gives the keys of encrypted snapshots; several, if it changed. One
    /// that the repository keeps is used by itself. RUSSET_PHONE_PASSWORD_FILE names one too
    #[arg(long, value_name = "FILE")]
    pub(super) phone_password_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Forget {
    /// Snapshots: id, `latest`, `latest~1`, a date, or DEVICE@…
    #[arg(required = true, value_name = "SNAPSHOT")]
    pub(super) snapshots: Vec<String>,
    /// Give back the space at once
    #[arg(long)]
    pub(super) prune: bool,
    /// Only say what would be forgotten and what a prune would free
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Prune {
    /// How much of the packs may stay unused, as 5% or 0.05
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = super::format::parse_share)]
    pub(super) max_unused: f64,
    /// First give up backups of phones that are no snapshots yet, interrupted or waiting for a password, and what came for them
    #[arg(long)]
    pub(super) drop_drafts: bool,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// List passwords and recovery keys
    List,
    /// Add a password
    Add {
        /// File that holds the new password; none: it is asked for on the terminal
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
        /// What to call it
        #[arg(long, default_value = "password")]
        label: String,
    },
    /// Remove a password or recovery key by the beginning of its id
    Remove {
        /// Beginning of its id, as `russet key list` shows it
        id: String,
    },
    /// Change the password that opens the repository now
    Passwd {
        /// File that holds the new password; none: it is asked for on the terminal
        #[arg(long, value_name = "FILE")]
        new_password_file: Option<PathBuf>,
    },
    /// Make another recovery key and print it once
    Recovery,
    /// Tell whether the password, or the recovery key of --recovery-file, opens the repository
    Test,
}

#[derive(Debug, Args)]
pub(super) struct One {
    /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
    pub(super) snapshot: String,
}

#[derive(Debug, Args)]
pub(super) struct Tag {
    /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
    pub(super) snapshot: String,
    /// The word
    pub(super) tag: String,
    /// Take it off
    #[arg(long)]
    pub(super) remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct Note {
    /// Snapshot: id, `latest`, `latest~1`, a date, or DEVICE@…
    pub(super) snapshot: String,
    /// The sentence; empty takes it off
    pub(super) text: String,
}

#[derive(Debug, Subcommand)]
pub(super) enum Repo {
    /// Where it is, how large, how it is sealed
    Info,
}

#[derive(Debug, Subcommand)]
pub(super) enum Config {
    /// Where the file is looked for
    Path,
    /// What is in force
    Show,
    /// Whether the file can be understood
    Check,
}

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}
