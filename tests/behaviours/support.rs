//! What the behaviours share: a repository in a temporary folder and the program run on it.
//!
//! Invariant: each test has folders, password and cache of its own; no command runs longer than a minute, so that a program that
//! hangs is a failed test and not a silent one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use russet::observe::Collecting;
use russet::ops::open::{OpenOptions, Opened, open};
use russet_store::config::Purpose;
use russet_store::seal::{Kdf, Password, SlotSecret};
use russet_testkit::FakeBackup;
use russet_testkit::compare::same_folder;
use serde_json::Value;
use tempfile::TempDir;

/// The phone of almost every test.
pub(crate) const UDID: &str = "00008110-0001A2B3C4D5E6F7";
/// 4 January 2026, 00:20:30 UTC: the date of a fake backup unless a test says otherwise.
pub(crate) const DATE: u64 = 1_767_486_030;
/// A week, in seconds.
pub(crate) const WEEK: u64 = 7 * 86_400;
const PATIENCE: Duration = Duration::from_secs(120);

/// A repository whose password costs nothing to try, and folders beside it.
pub(crate) struct TestRepository {
    dir: TempDir,
    /// The 24 words.
    pub(crate) words: String,
}

impl TestRepository {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::at(dir, "repository")
    }

    /// In a folder of that name below `dir`.
    pub(crate) fn at(dir: TempDir, name: &str) -> Self {
        let kdf = Kdf::Argon2id { memory_kib: 64, passes: 1, lanes: 1 };
        let password = Password::new("correct horse").unwrap();
        let made = russet::ops::init::init(&dir.path().join(name), password, kdf).unwrap();
        fs::write(dir.path().join("password"), "correct horse\n").unwrap();
        Self { words: made.recovery.words().to_string(), dir }
    }

    /// The same repository in another place, without a cache.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self { dir: tempfile::tempdir().unwrap(), words: self.words.clone() };
        super::drive::copy_over(&self.path(), &copy.path());
        fs::copy(self.beside("password"), copy.beside("password")).unwrap();
        copy
    }

    /// Its folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("repository")
    }

    /// A file or folder beside it.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new folder beside it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.beside(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// The program, pointed at this repository.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = bare(args);
        command.env("RUSSET_REPOSITORY", self.path());
        command.env("RUSSET_PASSWORD_FILE", self.beside("password"));
        command.env("RUSSET_CACHE_DIR", self.beside("cache"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        run(self.command(args))
    }

    /// Runs and wants code 0. Gives stdout.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        self.run(args).code(0).stdout
    }

    /// Imports one folder and wants code 0; gives the id of its snapshot, new or known.
    #[track_caller]
    pub(crate) fn import(&self, folder: &Path) -> String {
        let ran = self.run(&["import", "--json", text(folder)]).code(0);
        ran.summary()["snapshot_id"].as_str().unwrap().to_owned()
    }

    /// Restores into a new folder, wants code 0, gives the backup folder.
    #[track_caller]
    pub(crate) fn restore(&self, word: &str) -> PathBuf {
        let target = tempfile::tempdir_in(self.dir.path()).unwrap().keep();
        let ran = self.run(&["restore", word, "--json", "--target", text(&target)]).code(0);
        PathBuf::from(ran.summary()["folder"].as_str().unwrap())
    }

    /// A snapshot comes back as this folder.
    #[track_caller]
    pub(crate) fn assert_restores(&self, word: &str, original: &Path) {
        russet_testkit::assert_same_backup(original, &self.restore(word));
    }

    /// All snapshots, oldest first.
    #[track_caller]
    pub(crate) fn snapshots(&self) -> Vec<Value> {
        self.run(&["snapshots", "--json"]).code(0).messages()
    }

    /// Every byte is sound.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        self.run(&["verify", "--read-data"]).code(0);
    }

    /// Opened to be read, with an index of its own.
    pub(crate) fn open(&self) -> Opened {
        let options = OpenOptions {
            location: self.path(),
            cache_dir: None,
            read_back: false,
            retry_lock: Duration::ZERO,
        };
        let secret = SlotSecret::Password(Password::new("correct horse").unwrap());
        open(&options, &secret, Purpose::Read, false, &Collecting::default()).unwrap()
    }

    /// Files of the repository below a folder of it, sorted.
    pub(crate) fn files(&self, below: &str) -> Vec<PathBuf> {
        russet_testkit::damage::all_files(&self.path().join(below)).unwrap()
    }

    /// Bytes of all its packs.
    pub(crate) fn pack_len(&self) -> u64 {
        self.files("packs").iter().map(|path| fs::metadata(path).unwrap().len()).sum()
    }
}

/// The program, with nothing of this computer's settings.
pub(crate) fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_russet"));
    command.args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RUSSET_") {
            command.env_remove(name);
        }
    }
    command.env("RUSSET_CONFIG", "/nonexistent/russet.toml").env("TZ", "UTC");
    command
}

/// What a command said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) exit: Option<i32>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Ended with this code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.exit, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Said all of these on stderr.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "\"{word}\" is not in:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    /// Said these two in one line on stderr.
    #[track_caller]
    pub(crate) fn says_of(&self, what: &str, words: &str) {
        let said = self.stderr.lines().any(|line| line.contains(what) && line.contains(words));
        assert!(said, "no line with \"{what}\" and \"{words}\":\n{}", self.stderr);
    }

    /// Stdout as JSON Lines, each with its version and type.
    #[track_caller]
    pub(crate) fn messages(&self) -> Vec<Value> {
        let parse = |line: &str| {
            let value: Value =
                serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}"));
            assert_eq!(value["v"], 1, "{line}");
            assert!(value["message_type"].is_string(), "{line}");
            value
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The last message of type `summary`.
    #[track_caller]
    pub(crate) fn summary(&self) -> Value {
        let all = self.messages();
        let found = all.into_iter().rfind(|message| message["message_type"] == "summary");
        found.unwrap_or_else(|| panic!("no summary in:\n{}\n{}", self.stdout, self.stderr))
    }
}

/// Runs a command to its end.
#[track_caller]
pub(crate) fn run(command: Command) -> Ran {
    Running::start(command).wait()
}

/// A command that has not ended yet.
pub(crate) struct Running {
    child: Child,
    said: TempDir,
}

impl Running {
    /// Starts it; what it says goes to files, so that it never waits for a reader.
    pub(crate) fn start(mut command: Command) -> Self {
        let said = tempfile::tempdir().unwrap();
        let file = |name: &str| fs::File::create(said.path().join(name)).unwrap();
        let child = command.stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap();
        Self { child, said }
    }

    /// The id of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits until it has said something on stderr.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str) {
        let started = Instant::now();
        while !self.said("stderr").contains(words) {
            assert!(started.elapsed() < PATIENCE, "it never said \"{words}\"");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub(crate) fn wait(self) -> Ran {
        self.wait_for_so_long(PATIENCE)
    }

    /// Waits for its end; one that does not come in time is a hang.
    #[track_caller]
    pub(crate) fn wait_for_so_long(mut self, patience: Duration) -> Ran {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > patience {
                self.child.kill().unwrap();
                self.child.wait().unwrap();
                panic!("it hung; stderr:\n{}", self.said("stderr"));
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let bytes = fs::read(self.said.path().join("stdout")).unwrap();
        let stdout = String::from_utf8_lossy(&bytes).into_owned();
        Ran { exit: status.code(), stdout, stderr: self.said("stderr"), bytes }
    }

    fn said(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.said.path().join(name)).unwrap()).into_owned()
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A small phone with one of everything.
pub(crate) fn fake() -> FakeBackup {
    FakeBackup::new(UDID)
        .directory("HomeDomain", "Library")
        .file("HomeDomain", "Library/a.db", "alpha")
        .file("HomeDomain", "Library/empty", "")
        .file("CameraRollDomain", "Media/DCIM/1.JPG", noise(1, 300_000))
        .symlink("DatabaseDomain", "timezone/localtime", "/var/db/timezone")
        .extra_file("_BackupExplorer/x", "a tool's own file")
        .extra_file(".DS_Store", "Finder's own file")
        .extra_file("Snapshot/", "")
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    russet_testkit::Random::new(seed).fill(&mut bytes);
    bytes
}

/// The stored path of a file of the phone.
pub(crate) fn stored(domain: &str, path: &str) -> String {
    let id = russet_testkit::file_id(domain, path);
    format!("{}/{id}", &id[..2])
}

/// The two folders differ, in as many ways as this.
pub(crate) fn differences(first: &Path, second: &Path) -> Vec<String> {
    same_folder(first, second).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// Something mounted for a test, until it is dropped.
pub(crate) struct Mounted(PathBuf);

impl Mounted {
    /// Shows `from` at `to`. None, and a word on stderr, where mounting is not permitted.
    pub(crate) fn bind(from: &Path, to: &Path) -> Option<Self> {
        Self::mount(&["--bind", text(from), text(to)], to)
    }

    /// A drive of that many bytes at a folder.
    pub(crate) fn drive(len: u64, at: &Path) -> Option<Self> {
        Self::mount(&["-t", "tmpfs", "-o", &format!("size={len}"), "tmpfs", text(at)], at)
    }

    /// A drive with ext4, whose bytes are those of a file.
    pub(crate) fn image(len: u64, image: &Path, at: &Path) -> Option<Self> {
        fs::File::create(image).unwrap().set_len(len).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F", text(image)]).output();
        match made {
            Ok(made) if made.status.success() => Self::made(image, at),
            _ => {
                skipped("mkfs.ext4 is not there");
                None
            }
        }
    }

    /// A drive whose bytes are those of a file, as they are.
    pub(crate) fn made(image: &Path, at: &Path) -> Option<Self> {
        Self::mount(&["-o", "loop", text(image), text(at)], at)
    }

    fn mount(args: &[&str], at: &Path) -> Option<Self> {
        let done = Command::new("mount").args(args).output().unwrap();
        if !done.status.success() {
            skipped(&String::from_utf8_lossy(&done.stderr));
            return None;
        }
        Some(Self(at.to_path_buf()))
    }

    /// Mounts it again with other options.
    #[track_caller]
    pub(crate) fn again(&self, options: &str) {
        let options = format!("remount,{options}");
        let done = Command::new("mount").args(["-o", &options, text(&self.0)]).status();
        assert!(done.unwrap().success());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.0).status();
        let ended = done.is_ok_and(|status| status.success());
        assert!(ended || std::thread::panicking(), "{} stays mounted", self.0.display());
    }
}

#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: mounting is not permitted here: {}", why.trim());
}
