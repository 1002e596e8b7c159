//! Everything russet writes while it backs up a phone that encrypts lies on one drive, whose raw bytes are searched.
//!
//! Invariant: what is looked for was sent by the same phone to a russet that opens nothing; that the search sees the drive is shown
//! by what must be there. Deleted files count: a drive keeps their bytes.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::super::super::secrets::Secrets;
use super::super::super::support::{Mounted, Running};
use super::super::middle::{Act, Middle};
use super::super::{PHONE_PASSWORD, copy_over};
use super::*;

const WRONG_PASSWORD: &str = "never on any phone";
/// So small that segments go one by one long before all is opened.
const SMALL_SEGMENTS: &str = "--spool-segment-len=262144";
/// A spool leaves 512 MiB of its drive free. Few of these bytes are ever written.
const IMAGE_LEN: u64 = 768 << 20;
const PATIENCE: Duration = Duration::from_secs(120);

/// A drive with repository, spool, cache, home and temporary files; the rest of the test lies beside it.
struct Searched {
    dir: TempDir,
    scene: Scene,
    drive: Option<Mounted>,
    phone: TestPhone,
    /// What nobody may be told.
    said: Secrets,
    /// What may not stand on the drive.
    stored: Secrets,
    /// What the phone sends.
    sent: PathBuf,
    heard: Vec<u8>,
}

impl Searched {
    /// None where nothing can be mounted.
    fn new() -> Option<Self> {
        let (dir, scene) = (tempfile::tempdir().unwrap(), Scene::new());
        let at = dir.path().join("drive");
        fs::create_dir(&at).unwrap();
        let drive = Some(Mounted::image(IMAGE_LEN, &dir.path().join("image"), &at)?);
        for name in ["cache", "home", "spool", "temporary"] {
            fs::create_dir(at.join(name)).unwrap();
        }
        copy_over(&scene.repository.path(), &at.join("repository"));
        let phone = TestPhone::paired_encrypted();
        let sent = sent(&phone, scene.repository.folder("sent"), true);
        let plain = sent_plain(&phone, scene.repository.folder("plain"));
        let said = || {
            let mut said = Secrets::of_encrypted(&sent, PHONE_PASSWORD);
            said.add_password(WRONG_PASSWORD);
            said
        };
        let mut stored = said().with_identity(&sent);
        stored.add_plaintext(&plain);
        stored.add("a database", "SQLite format 3\0");
        // The format's text, which every repository holds, has an example's path.
        let empty: Vec<u8> =
            scene.repository.files("").iter().flat_map(|path| fs::read(path).unwrap()).collect();
        let empty = String::from_utf8_lossy(&empty).into_owned();
        for (_, path) in phone.truth().files.keys() {
            if path.len() > 15 && !empty.contains(path.as_str()) {
                stored.add(format!("path {path:?}"), path);
            }
        }
        let said = said();
        Some(Self { dir, scene, drive, phone, said, stored, sent, heard: Vec::new() })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join("drive").join(name)
    }

    /// A backup that writes to the drive alone.
    fn backup(&self, address: &str, password: &str, more: &[&str]) -> Command {
        let (file, spool) = (password_file(&self.scene, password_name(password)), self.at("spool"));
        fs::write(&file, format!("{password}\n")).unwrap();
        let args = ["backup", "--phone-password-file", &file, "--spool", text(&spool)];
        self.command(address, &[&args, more].concat())
    }

    fn command(&self, address: &str, args: &[&str]) -> Command {
        let mut command = self.scene.command(address, args);
        command.env_remove("RUSSET_PHONE_PASSWORD_FILE");
        command.env("RUSSET_REPOSITORY", self.at("repository"));
        command.env("RUSSET_CACHE_DIR", self.at("cache"));
        command.env("HOME", self.at("home")).env("TMPDIR", self.at("temporary"));
        for name in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"] {
            command.env(name, self.at("home"));
        }
        command.current_dir(self.at("home"));
        command
    }

    /// Starts a backup. The list of processes tells nothing.
    fn start(&self, command: Command) -> Running {
        let mut running = Running::start(command);
        // A process that has only just begun has none yet.
        loop {
            let line = fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
            if line.windows(7).any(|window| window == b"--spool") {
                assert_eq!(self.stored.find(&line[..]), None);
                return running;
            }
            assert!(!running.has_ended(), "it ended at once");
        }
    }

    fn hear(&mut self, ran: &Ran) {
        self.heard.extend_from_slice(&ran.bytes);
        self.heard.extend_from_slice(ran.stderr.as_bytes());
        assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
    }

    /// What waits on the drive.
    fn segments(&self) -> Vec<PathBuf> {
        russet_testkit::damage::all_files(&self.at("spool")).unwrap_or_default()
    }

    /// Takes the drive off.
    fn take_off(&mut self) -> PathBuf {
        assert!(Command::new("sync").status().unwrap().success());
        self.drive = None;
        self.dir.path().join("image")
    }

    /// Searches the bytes of the drive and all that was said, and puts the drive back.
    #[track_caller]
    fn assert_nothing_found(&mut self) {
        let image = self.take_off();
        let head = Secrets::one("head of a segment", "russet spool 1\r\n");
        assert!(head.find(fs::File::open(&image).unwrap()).is_some(), "no spool was on the drive");
        self.stored.assert_not_in(&image);
        assert!(!self.heard.is_empty());
        assert_eq!(self.said.find(&self.heard[..]), None);
        self.drive = Some(Mounted::made(&image, &self.dir.path().join("drive")).unwrap());
    }

    /// The last snapshot, put beside the drive.
    fn restored(&self) -> PathBuf {
        let target = self.scene.repository.folder("restored");
        let args = ["restore", "latest", "--json", "--target", text(&target)];
        let ran = run(self.command(NO_PHONE, &args)).code(0);
        PathBuf::from(ran.summary()["folder"].as_str().unwrap())
    }
}

/// A phone that says how little is on it: the drive is small.
fn calm() -> Script {
    Script { used_len: Some(10_000_000), ..Script::default() }
}

/// The name of a file does not tell the password.
fn password_name(password: &str) -> &'static str {
    if password == PHONE_PASSWORD { "right" } else { "wrong" }
}

/// A backup folder of the phone at its next backup, which that does not count.
fn sent(phone: &TestPhone, to: PathBuf, is_encrypted: bool) -> PathBuf {
    let (scene, twin) = (Scene::new(), phone.copy());
    let args: &[&str] = if is_encrypted { &["backup", "--store-encrypted"] } else { &["backup"] };
    without_password(&scene, &twin.serve(Script::default()), args).code(0);
    let folder = scene.repository.restore("latest");
    let kept = to.join(folder.file_name().unwrap());
    copy_over(&folder, &kept);
    kept
}

/// The same of the phone as if it did not encrypt.
fn sent_plain(phone: &TestPhone, to: PathBuf) -> PathBuf {
    let plain = phone.copy();
    let mut state = plain.state();
    state.password = None;
    state.save(&plain.folder()).unwrap();
    assert_eq!(plain.truth(), phone.truth());
    sent(&plain, to, false)
}

/// Kills a backup that holds `count` segments, while the phone's byte of number `len` waits on the link.
fn kill_while_the_phone_sends(searched: &mut Searched, len: u64, count: usize) {
    let phone = &searched.phone;
    let middle = Middle::new(&[(phone.udid(), phone.serve(calm()))]);
    let (reached, comes) = channel();
    let (go_on, gone_on) = channel::<()>();
    let gone_on = Mutex::new(gone_on);
    let wait = move || {
        let _ended = reached.send(());
        let _killed = gone_on.lock().unwrap().recv();
    };
    middle.after(0, len, Act::Call(Box::new(wait)));
    let args = [SMALL_SEGMENTS, "--json", "-vv"];
    let running = searched.start(searched.backup(&middle.address(), PHONE_PASSWORD, &args));
    if comes.recv_timeout(PATIENCE).is_err() {
        panic!("byte {len} was never due: {:?}", running.wait());
    }
    let started = Instant::now();
    while searched.segments().len() < count {
        assert!(started.elapsed() < PATIENCE, "what came is not in the spool");
        std::thread::sleep(Duration::from_millis(5));
    }
    running.signal("KILL");
    let ran = running.wait();
    assert_eq!(ran.exit, None, "{ran:?}");
    drop(go_on);
    searched.hear(&ran);
}

/// Kills a command that opens what waits, once some of it is opened and gone. Whether it was still at work.
fn kill_while_files_are_opened(searched: &mut Searched) -> bool {
    let before = searched.segments().len();
    let command = searched.backup(NO_PHONE, PHONE_PASSWORD, &["--json", "-vv"]);
    let mut running = searched.start(command);
    while !running.has_ended() && searched.segments().len() >= before {
        std::thread::yield_now();
    }
    if !running.has_ended() {
        running.signal("KILL");
    }
    let ran = running.wait();
    searched.hear(&ran);
    ran.exit.is_none() && !searched.segments().is_empty()
}

/// A backup that nothing opens: all of it waits.
fn back_up_with_a_wrong_password(searched: &mut Searched) {
    let address = searched.phone.serve(calm());
    let args = [SMALL_SEGMENTS, "--json", "-vv", "--full"];
    let ran = searched.start(searched.backup(&address, WRONG_PASSWORD, &args)).wait().code(22);
    searched.hear(&ran);
    assert!(searched.segments().len() > 10, "{:?}", searched.segments());
}

#[test]
fn a_search_of_the_raw_drive_finds_what_was_deleted() {
    let Some(mut searched) = Searched::new() else { return };
    let payload = russet_testkit::damage::all_files(&searched.sent).unwrap().pop().unwrap();
    let ciphertext = fs::read(payload).unwrap();
    let planted: [(&str, &[u8]); 4] = [
        ("spool", &ciphertext[..64]),
        ("temporary", PHONE_PASSWORD.as_bytes()),
        ("cache", b"Blue iPhone"),
        ("home", b"SQLite format 3\0"),
    ];
    for (folder, bytes) in planted {
        let path = searched.at(folder).join("planted");
        let mut hay = vec![7; 3001];
        hay.extend_from_slice(bytes);
        fs::write(&path, hay).unwrap();
        fs::File::open(&path).unwrap().sync_all().unwrap();
        fs::remove_file(&path).unwrap();
        let image = searched.take_off();
        let found = searched.stored.find(fs::File::open(&image).unwrap()).map(str::to_owned);
        assert!(found.is_some(), "{folder}: it was not found");
        // A drive that holds nothing of it, for the next.
        let at = searched.dir.path().join("drive");
        searched.drive = Mounted::image(16 << 20, &image, &at);
        for name in ["cache", "home", "spool", "temporary"] {
            fs::create_dir(searched.at(name)).unwrap();
        }
        assert_eq!(searched.stored.find(fs::File::open(&image).unwrap()), None);
    }
}

#[test]
fn a_backup_leaves_nothing_of_an_encrypting_phone_on_the_raw_drive() {
    let Some(mut searched) = Searched::new() else { return };
    let address = searched.phone.serve(calm());
    let command = searched.backup(&address, PHONE_PASSWORD, &[SMALL_SEGMENTS, "--json", "-vv"]);
    let ran = searched.start(command).wait().code(0);
    assert_all_opened(&ran.summary());
    searched.hear(&ran);
    assert_eq!(searched.segments(), Vec::<PathBuf>::new());
    // What is looked for is what was sent.
    assert_same_bytes(&searched.restored(), &searched.sent);
    searched.assert_nothing_found();
    searched.phone.assert_no_violation();
}

#[test]
fn a_backup_killed_while_the_phone_sends_leaves_nothing_of_it_on_the_raw_drive() {
    let Some(mut searched) = Searched::new() else { return };
    kill_while_the_phone_sends(&mut searched, 6_000_000, 4);
    searched.assert_nothing_found();
    let address = searched.phone.serve(calm());
    let command = searched.backup(&address, PHONE_PASSWORD, &["--json", "-vv"]);
    let ran = searched.start(command).wait().code(0);
    assert_all_opened(&ran.summary());
    searched.hear(&ran);
    // Without a draft the phone begins anew, with other keys.
    let second = Secrets::of_encrypted(&searched.restored(), PHONE_PASSWORD);
    searched.assert_nothing_found();
    second.assert_not_in(&searched.dir.path().join("image"));
}

#[test]
fn what_waits_with_a_wrong_password_and_is_killed_while_it_is_opened_leaves_nothing_on_the_raw_drive()
 {
    let Some(mut searched) = Searched::new() else { return };
    back_up_with_a_wrong_password(&mut searched);
    searched.assert_nothing_found();
    for _ in 0..20 {
        if kill_while_files_are_opened(&mut searched) {
            break;
        }
        // It was too quick: all is opened. The next week waits.
        searched.phone.advance();
        back_up_with_a_wrong_password(&mut searched);
    }
    assert!(!searched.segments().is_empty(), "no kill hit");
    searched.assert_nothing_found();
    let command = searched.backup(NO_PHONE, PHONE_PASSWORD, &["--json", "-vv"]);
    let ran = searched.start(command).wait().code(0);
    assert_all_opened(&ran.summary());
    searched.hear(&ran);
    let sent = Secrets::of_encrypted(&searched.restored(), PHONE_PASSWORD);
    searched.assert_nothing_found();
    sent.assert_not_in(&searched.dir.path().join("image"));
}
