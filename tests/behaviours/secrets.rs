//! Nothing of a phone's secrets lies anywhere in the clear: passwords, keys, keybag, names, Apple's ciphertext.
//!
//! Invariant: what is looked for is known to be there in the backup folder, so that a search that finds nothing says something.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aes_kw::{KeyInit, KwAes256};
use russet::apple::{
    FileKey, LockedKeys, ManifestPages, MbFile, OpenedFile, Passwords, PhonePassword,
};
use russet_testkit::damage::all_files;
use russet_testkit::{Encryption, Phone, PhoneOptions};
use sha1::Sha1;
use sha2::Sha256;

use super::support::{Mounted, TestRepository, text};

const PASSWORD: &str = "Blüte im März 7%";
const DECOMPOSED: &str = "Blu\u{308}te im Ma\u{308}rz 7%";

/// What must not be found: a name for the message, and the bytes.
pub(super) struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// One thing alone.
    pub(super) fn one(name: &str, bytes: impl AsRef<[u8]>) -> Self {
        let mut secrets = Self(Vec::new());
        secrets.add(name, bytes);
        secrets
    }

    pub(super) fn add(&mut self, name: impl Into<String>, bytes: impl AsRef<[u8]>) {
        assert!(bytes.as_ref().len() >= 8);
        let name = format!("{} ({})", name.into(), self.0.len());
        self.0.push((name, bytes.as_ref().to_vec()));
    }

    /// Everything secret about a backup that the phone encrypted, as the tests of this file do.
    pub(super) fn of(folder: &Path) -> Self {
        let mut secrets = Self::of_encrypted(folder, PASSWORD);
        secrets.add("password, decomposed", DECOMPOSED);
        secrets
    }

    /// Everything secret about a backup that the phone encrypted with this password.
    pub(super) fn of_encrypted(folder: &Path, password: &str) -> Self {
        let mut secrets = Self(Vec::new());
        secrets.add_password(password);
        let plist = fs::read(folder.join("Manifest.plist")).unwrap();
        secrets.add_keybag(&plist, password);
        let locked = LockedKeys::parse(&plist).unwrap();
        let mut passwords = Passwords::new(vec![PhonePassword::new(password).unwrap()]);
        let keys = locked.unlock(&mut passwords).unwrap();
        secrets.add("key of Manifest.db", keys.manifest().as_bytes());
        let manifest = fs::File::open(folder.join("Manifest.db")).unwrap();
        let len = manifest.metadata().unwrap().len();
        let key = FileKey::from_bytes(keys.manifest().as_bytes());
        let opened = OpenedFile::new(manifest, key, len).unwrap();
        let add = |row: russet::apple::Row| {
            let wrapped = MbFile::parse(&row.file).unwrap().encryption_key;
            if let Some(wrapped) = wrapped {
                secrets.add("wrapped key of a file", wrapped.as_bytes());
                secrets.add("key of a file", keys.file_key(&wrapped).unwrap().as_bytes());
            }
            ControlFlow::Continue(())
        };
        ManifestPages::open(opened).unwrap().for_each_row(add).unwrap();
        for file in all_files(folder).unwrap() {
            let name = file.file_name().unwrap().to_str().unwrap();
            if name.ends_with(".plist") {
                continue;
            }
            let bytes = fs::read(&file).unwrap();
            for at in [0, bytes.len() / 2] {
                secrets.add("ciphertext", bytes.get(at..at + 32).unwrap_or(&bytes[..16]));
            }
        }
        assert!(secrets.0.len() > 100);
        secrets
    }

    /// A password, as it is typed and as records hold it.
    pub(super) fn add_password(&mut self, password: &str) {
        self.add("password", password);
        self.add("password in hex", russet_store::ids::hex(password.as_bytes()));
    }

    /// What the files of a backup that nobody encrypted begin with, and have in their middle.
    pub(super) fn add_plaintext(&mut self, folder: &Path) {
        for file in all_files(folder).unwrap() {
            let bytes = fs::read(&file).unwrap();
            for at in [0, bytes.len() / 2] {
                // Shorter ones, and those of few different bytes, may stand anywhere.
                let Some(part) = bytes.get(at..at + 32) else { continue };
                if part.iter().collect::<HashSet<_>>().len() > 8 {
                    self.add("plaintext", part);
                }
            }
        }
    }

    /// The keybag's salts and wrapped keys, and the class keys.
    fn add_keybag(&mut self, plist: &[u8], password: &str) {
        let field = |tag: &[u8], from: usize, len: usize| {
            let at = from + plist[from..].windows(4).position(|window| window == tag)?;
            Some((at + 8, &plist[at + 8..at + 8 + len]))
        };
        let start = plist.windows(4).position(|window| window == b"VERS").unwrap();
        let (_, salt) = field(b"SALT", start, 20).unwrap();
        let (_, first_salt) = field(b"DPSL", start, 20).unwrap();
        let number = |tag| u32::from_be_bytes(field(tag, start, 4).unwrap().1.try_into().unwrap());
        self.add("salt", salt);
        self.add("first salt", first_salt);
        let (mut middle, mut wrapping) = ([0; 32], [0; 32]);
        pbkdf2::pbkdf2_hmac::<Sha256>(
            password.as_bytes(),
            first_salt,
            number(b"DPIC"),
            &mut middle,
        );
        pbkdf2::pbkdf2_hmac::<Sha1>(&middle, salt, number(b"ITER"), &mut wrapping);
        self.add("derived key", wrapping);
        let mut at = start;
        let mut count = 0;
        while let Some((next, wrapped)) = field(b"WPKY", at, 40) {
            let mut key = [0; 32];
            KwAes256::new(&wrapping.into()).unwrap_key(wrapped, &mut key).unwrap();
            self.add("class key", key);
            self.add("wrapped class key", wrapped);
            (at, count) = (next, count + 1);
        }
        assert_eq!(count, 11);
    }

    /// Those that a message may not hold but a phone's owner may read: which phone it is.
    pub(super) fn with_identity(mut self, folder: &Path) -> Self {
        let udid = folder.file_name().unwrap().to_str().unwrap();
        self.add("UDID", udid);
        self.add("UDID in lower case", udid.to_lowercase());
        self.add("device name", "Blue iPhone");
        self.add("a domain", "CameraRollDomain");
        self
    }

    /// Those that open something: passwords and keys, not what a phone sends anyway.
    pub(super) fn that_open(mut self) -> Self {
        self.0.retain(|(name, _)| {
            ["password", "derived key", "class key", "key of"].iter().any(|it| name.starts_with(it))
        });
        assert!(self.0.len() > 20);
        self
    }

    /// The first of them in what is read.
    pub(super) fn find(&self, source: impl Read) -> Option<&str> {
        let mut found = None;
        self.search(source, |name| {
            found = Some(name);
            ControlFlow::Break(())
        });
        found
    }

    /// All of them in what is read, as often as they stand there.
    pub(super) fn find_all(&self, source: impl Read) -> Vec<&str> {
        let mut found = Vec::new();
        self.search(source, |name| {
            found.push(name);
            ControlFlow::Continue(())
        });
        found
    }

    fn search<'s>(
        &'s self,
        mut source: impl Read,
        mut tell: impl FnMut(&'s str) -> ControlFlow<()>,
    ) {
        let mut by_start: HashMap<[u8; 8], Vec<&(String, Vec<u8>)>> = HashMap::new();
        for secret in &self.0 {
            let start = *secret.1.first_chunk().unwrap();
            by_start.entry(start).or_default().push(secret);
        }
        let len_max = self.0.iter().map(|(_, bytes)| bytes.len()).max().unwrap();
        let mut held: Vec<u8> = Vec::new();
        loop {
            let before = held.len();
            let read = source.by_ref().take(1 << 20).read_to_end(&mut held).unwrap();
            for (at, start) in held.windows(8).enumerate() {
                let start: &[u8; 8] = start.try_into().unwrap();
                // Free space of a drive is zeros, and no secret begins so.
                if *start == [0; 8] {
                    continue;
                }
                let Some(fitting) = by_start.get(start) else { continue };
                let is_it = |secret: &&&(String, Vec<u8>)| held[at..].starts_with(&secret.1);
                // What may go on beyond what was read is looked at again with the next part.
                if read > 0 && at + len_max > held.len() {
                    break;
                }
                let found = fitting.iter().find(is_it);
                if found.is_some_and(|(name, _)| tell(name).is_break()) {
                    return;
                }
            }
            if read == 0 {
                return;
            }
            held.drain(..(before + read + 1).saturating_sub(len_max));
        }
    }

    #[track_caller]
    pub(super) fn assert_not_in(&self, file: &Path) {
        let found = self.find(fs::File::open(file).unwrap());
        assert_eq!(found, None, "in {}", file.display());
    }
}

/// Two weeks of a phone that encrypts, and a repository.
pub(super) struct Scene {
    pub(super) repository: TestRepository,
    pub(super) weeks: Vec<PathBuf>,
    pub(super) password: PathBuf,
}

impl Scene {
    pub(super) fn new(repository: TestRepository) -> Self {
        let mut phone = Phone::new(PhoneOptions::small()).unwrap();
        let mut weeks = Vec::new();
        let encryption = Encryption::Password { password: PASSWORD.to_owned(), iterations: 10 };
        for week in 0..2 {
            if week > 0 {
                phone.advance_week().unwrap();
                phone.force_full();
            }
            let parent = repository.folder(&format!("week {week}"));
            weeks.push(phone.write_backup(&parent, &encryption).unwrap());
        }
        let password = repository.beside("phone password");
        fs::write(&password, format!("{DECOMPOSED}\n")).unwrap();
        Self { repository, weeks, password }
    }

    pub(super) fn import(&self, week: usize, more: &[&str]) -> Command {
        let args =
            ["import", text(&self.weeks[week]), "--phone-password-file", text(&self.password)];
        self.repository.command(&[&args[..], more].concat())
    }

    /// Kills the import of the first week once so much is stored. Whether it was still at work.
    fn kill_at(&self, len: u64) -> bool {
        let mut command = self.import(0, &[]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let line = PathBuf::from(format!("/proc/{}/cmdline", child.id()));
        let stored = || {
            let packs = self.repository.path().join("packs");
            all_files(&packs)
                .unwrap_or_default()
                .iter()
                .filter_map(|f| fs::metadata(f).ok())
                .map(|m| m.len())
                .sum::<u64>()
        };
        while child.try_wait().unwrap().is_none() && stored() < len {
            if let Ok(line) = fs::read(&line) {
                for secret in [PASSWORD, DECOMPOSED] {
                    let secret = secret.as_bytes();
                    assert!(!line.windows(secret.len()).any(|window| window == secret));
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    }
}

#[test]
fn a_search_finds_what_is_there() {
    let scene = Scene::new(TestRepository::new());
    let secrets = Secrets::of(&scene.weeks[0]).with_identity(&scene.weeks[0]);
    for (name, bytes) in secrets.0.iter().step_by(211).chain(&secrets.0[..40]) {
        // Across the edge of what is read at once.
        let mut hay = vec![7; (1 << 20) - 5];
        hay.extend_from_slice(bytes);
        assert!(secrets.find(&hay[..]).is_some(), "{name}");
        hay.truncate(hay.len() - 1);
        let shorter = secrets.find(&hay[..]);
        assert!(shorter.is_none_or(|found| found != name), "{name}");
    }
}

#[test]
fn no_secret_is_told_or_lies_in_repository_cache_or_target_after_kills() {
    let scene = Scene::new(TestRepository::new());
    let said = Secrets::of(&scene.weeks[0]);
    let stored = Secrets::of(&scene.weeks[0]).with_identity(&scene.weeks[0]);
    let killed = [1, 500_000, 2_000_000].into_iter().filter(|len| scene.kill_at(*len)).count();
    assert!(killed > 0, "no kill hit");
    let mut heard = Vec::new();
    let mut hear = |mut command: Command| {
        let output = command.output().unwrap();
        assert!(output.status.code().is_some_and(|code| code != 70), "{output:?}");
        heard.extend(output.stdout);
        heard.extend(output.stderr);
    };
    hear(scene.import(0, &["--json", "-vv"]));
    hear(scene.import(1, &["-vv"]));
    let target = scene.repository.folder("target");
    for args in [
        &["ls", "--json", "-vv", "latest~1"][..],
        &["snapshots", "--json"],
        &["verify", "--read-data", "-vv", "--json"],
        &["restore", "latest~1", "--target", text(&target), "-vv"],
        &["stats", "--json"],
        &["phone-password", "show", "latest"],
        &["phone-password", "forget", "latest", "--yes"],
    ] {
        hear(scene.repository.command(args));
    }
    assert_eq!(said.find(&heard[..]), None);
    for file in scene
        .repository
        .files("")
        .iter()
        .chain(&all_files(&scene.repository.beside("cache")).unwrap())
    {
        stored.assert_not_in(file);
    }
}

#[test]
fn the_raw_drive_holds_no_secret_after_kills_and_a_forgotten_password() {
    let dir = tempfile::tempdir().unwrap();
    let image = dir.path().join("image");
    let drive = dir.path().join("drive");
    fs::create_dir(&drive).unwrap();
    let Some(mounted) = Mounted::image(200 << 20, &image, &drive) else { return };
    // The program's repository on the drive, and what belongs to the test beside it on this computer.
    let scene = Scene::new(TestRepository::new());
    fs::create_dir(drive.join("repository")).unwrap();
    let bound = Mounted::bind(&drive.join("repository"), &scene.repository.path());
    let Some(bound) = bound else { return };
    let init = scene.repository.command(&["init", "--yes"]).output().unwrap();
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let killed = [1, 500_000, 2_000_000].into_iter().filter(|len| scene.kill_at(*len)).count();
    assert!(killed > 0, "no kill hit");
    for week in 0..2 {
        assert!(scene.import(week, &[]).output().unwrap().status.success());
    }
    scene.repository.run(&["phone-password", "forget", "--all", "--yes"]).code(0);
    scene.repository.run(&["forget", "latest", "--prune", "--yes"]).code(0);
    let secrets = Secrets::of(&scene.weeks[0]).with_identity(&scene.weeks[0]);
    let second = Secrets::of(&scene.weeks[1]);
    assert!(Command::new("sync").status().unwrap().success());
    drop(bound);
    drop(mounted);
    assert!(fs::metadata(&image).unwrap().len() > 100 << 20);
    secrets.assert_not_in(&image);
    second.assert_not_in(&image);
}
