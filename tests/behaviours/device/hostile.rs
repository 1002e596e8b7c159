//! Phones that speak the protocol and mean ill: every kind of message, with anything in each of its places, from the first draft
//! to the tree of the snapshot.
//!
//! Invariant: nothing panics or hangs, nothing lies beside the phone's own folder, and what is left can be gone on with. One
//! repository for all conversations of a seed, so that each meets what those before it left behind.

use std::io;
use std::sync::Arc;

use plist::{Dictionary, Uid, Value};
use russet::capture::device::begin::begin;
use russet::capture::device::give::{RestoreWish, give};
use russet::capture::device::host::HostError;
use russet::capture::device::open_files::Unlocked;
use russet::capture::device::shown::Shown;
use russet::capture::device::take::{TakeError, Wish, complete, take};
use russet::capture::device::{Link, record};
use russet::capture::kept::Kept;
use russet::observe::Collecting;
use russet::ops::backup::BackupError;
use russet::pipeline::{Cuts, run};
use russet::snapshot::ContentReader;
use russet::snapshot::record::{Device, Verdict};
use russet_store::ambient::Ambient;
use russet_store::backend::{Backend, MemoryBackend};
use russet_store::config::Purpose;
use russet_store::repository::Repository;
use russet_store::session::Session;
use russet_testkit::repository::{Seeded, create_quick, open_quick};
use russet_testkit::{Deaf, Random};

use super::super::drive::{soak, tell_soak};
use super::images::nowhere;
use super::{Scene, TestPhone, id};

const UDID: &str = "00008110-000A1B2C3D4E5F60";
/// The folder of another phone; nothing in this one's is called so.
const BESIDE: &str = "00008110-0000000000000000";

/// What such a phone says.
struct Says {
    /// The folder that it calls its own.
    udid: String,
    random: Random,
    bytes: Vec<u8>,
}

impl Says {
    /// A whole conversation.
    fn all(udid: &str, random: Random) -> Self {
        let mut says = Self { udid: udid.to_owned(), random, bytes: Vec::new() };
        says.greeting();
        for _ in 0..says.random.below(60) {
            says.request();
        }
        says.end();
        says
    }

    fn message(&mut self, parts: Vec<Value>) {
        let mut bytes = Vec::new();
        Value::Array(parts).to_writer_binary(&mut bytes).unwrap();
        self.raw(&bytes);
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        self.bytes.extend_from_slice(bytes);
    }

    fn greeting(&mut self) {
        self.message(vec!["DLMessageVersionExchange".into(), 400.into(), 0.into()]);
        self.message(vec!["DLMessageDeviceReady".into()]);
        self.response(0.into(), Some(2.1));
    }

    fn response(&mut self, code: Value, version: Option<f64>) {
        let mut answer = Dictionary::new();
        answer.insert("MessageName".into(), "Response".into());
        answer.insert("ErrorCode".into(), code);
        answer.extend(version.map(|version| ("ProtocolVersion".to_owned(), version.into())));
        self.message(vec!["DLMessageProcessMessage".into(), answer.into()]);
    }

    /// Mostly one of a few places in the phone's own folder, so that requests meet each other's results.
    fn path(&mut self) -> String {
        let places = [
            "Status.plist",
            "Manifest.plist",
            "Manifest.db",
            "Info.plist",
            "Snapshot",
            "Snapshot/ab",
            "ab",
            "",
            "Snapshot/ab/ab00000000000000000000000000000000000000",
            "ab/ab00000000000000000000000000000000000000",
            "ab/ab00000000000000000000000000000000000001",
            "a/b/c/d/e/f/g/h",
        ];
        let odd = [
            "",
            "/",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            ".b",
            "/.b/1",
            "/.b/1/x",
            "A/../../x",
            "another phone/x",
            "\0",
            "x\0y",
            "C:\\x",
            "\u{202e}x",
            "//",
            "drafts/1",
            "config",
        ];
        let udid = &self.udid;
        match self.random.below(11) {
            10 => format!("{BESIDE}/ab/x"),
            0 => (*odd.get(self.random.index(odd.len())).unwrap()).to_owned(),
            1 => format!("{udid}/{}", odd[self.random.index(odd.len())]),
            2 => format!("{udid}/{}", "x/".repeat(self.random.index(2500))),
            _ => format!("{udid}/{}", places[self.random.index(places.len())]),
        }
    }

    fn value(&mut self, depth: u32) -> Value {
        let numbers: [Value; 6] =
            [0.into(), (-1).into(), i64::MIN.into(), i64::MAX.into(), u64::MAX.into(), 7.into()];
        let reals = [0.0, -0.0, 1e308, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 50.5];
        match self.random.below(if depth == 0 { 7 } else { 9 }) {
            0 => numbers[self.random.index(numbers.len())].clone(),
            1 => reals[self.random.index(reals.len())].into(),
            2 => self.random.chance(0.5).into(),
            3 => Value::Data(vec![7; self.random.index(300)]),
            4 => Value::Uid(Uid::new(self.random.next_u64())),
            5 => Value::Date(std::time::SystemTime::UNIX_EPOCH.into()),
            6 => self.path().into(),
            7 => {
                (0..self.random.below(5)).map(|_| self.value(depth - 1)).collect::<Vec<_>>().into()
            }
            _ => {
                let pairs = (0..self.random.below(5)).map(|_| (self.path(), self.value(depth - 1)));
                pairs.collect::<Dictionary>().into()
            }
        }
    }

    /// A text, but for one in six.
    fn place(&mut self) -> Value {
        if self.random.below(6) == 0 { self.value(3) } else { self.path().into() }
    }

    fn places(&mut self) -> Value {
        (0..self.random.below(4)).map(|_| self.place()).collect::<Vec<_>>().into()
    }

    /// One request, with a file or two where it is an upload.
    fn request(&mut self) {
        let (first, second, third) = (self.value(3), self.value(1), self.value(1));
        match self.random.below(14) {
            0..4 => {
                self.message(vec!["DLMessageUploadFiles".into(), first, second, third]);
                self.batch();
            }
            4 | 5 => {
                let pairs = (0..self.random.below(4)).map(|_| (self.path(), self.place()));
                let pairs = pairs.collect::<Dictionary>().into();
                self.message(vec!["DLMessageMoveItems".into(), pairs, second, third]);
            }
            6 => {
                let places = self.places();
                self.message(vec!["DLMessageRemoveItems".into(), places, second, third]);
            }
            7 => {
                let (from, to) = (self.place(), self.place());
                self.message(vec!["DLMessageCopyItem".into(), from, to]);
            }
            8 => {
                let place = self.place();
                self.message(vec!["DLMessageCreateDirectory".into(), place, second]);
            }
            9 => {
                let place = self.place();
                self.message(vec!["DLContentsOfDirectory".into(), place, second]);
            }
            10 => {
                let places = self.places();
                self.message(vec!["DLMessageDownloadFiles".into(), places, second, third]);
            }
            11 => self.message(vec!["DLMessageGetFreeDiskSpace".into(), first]),
            12 => self.message(vec!["DLMessagePurgeDiskSpace".into(), first, second]),
            _ => {
                let tag =
                    ["DLMessageProcessMessage", "DLMessageNew", "", "DLMessageStatusResponse"];
                let tag = tag[self.random.index(tag.len())].into();
                self.message(vec![tag, first, second, third]);
            }
        }
    }

    fn batch(&mut self) {
        for _ in 0..self.random.below(4) {
            let path = self.path();
            self.raw(b"/private/x");
            self.raw(path.as_bytes());
            if path.is_empty() {
                return;
            }
            for _ in 0..self.random.below(4) {
                let mut block = vec![0x0c];
                block.extend(self.content());
                self.raw(&block);
            }
            match self.random.below(8) {
                0 => self.raw(b"\x0bnot readable"),
                1 => self.raw(b"\x0b"),
                2 => self.raw(b"\x06local"),
                _ => self.raw(b"\0"),
            }
        }
        self.bytes.extend([0; 4]);
    }

    /// Sometimes what a phone says of its backup, so that there is a tree in the end.
    fn content(&mut self) -> Vec<u8> {
        match self.random.below(3) {
            0 => status(["uploading", "moving", "finished", ""][self.random.index(4)]),
            1 => {
                let mut bytes = Vec::new();
                self.value(4).to_writer_binary(&mut bytes).unwrap();
                bytes
            }
            _ => vec![9; self.random.index(3000)],
        }
    }

    /// Ends as a good backup would, if what came before allows it, or otherwise.
    fn end(&mut self) {
        if self.random.chance(0.5) {
            self.upload("Status.plist", &status("finished"));
            self.response(0.into(), None);
        } else {
            let code = self.value(2);
            self.response(code, None);
        }
    }
}

impl Says {
    /// A file, as a phone that means well sends it.
    fn upload(&mut self, name: &str, content: &[u8]) {
        let nothing = Dictionary::new();
        self.message(vec!["DLMessageUploadFiles".into(), nothing.into(), 1.0.into(), 1.into()]);
        self.raw(b"/private/x");
        let path = format!("{}/{name}", self.udid);
        self.raw(path.as_bytes());
        self.raw(&[b"\x0c", content].concat());
        self.raw(b"\0");
        self.bytes.extend([0; 4]);
    }
}

fn status(state: &str) -> Vec<u8> {
    let mut status = Dictionary::new();
    status.insert("SnapshotState".into(), state.into());
    status.insert("Version".into(), "3.3".into());
    let mut bytes = Vec::new();
    Value::from(status).to_writer_binary(&mut bytes).unwrap();
    bytes
}

/// One backup of such a phone, up to a tree. What that is, if it came so far.
fn converse(repository: &Repository, says: Says) -> Option<Verdict> {
    let observer = Collecting::default();
    let cuts = repository.config(Purpose::Write).unwrap().cut.clone();
    let cuts = Cuts::new(&cuts, repository.id_keys().cut_seed()).unwrap();
    // What one said to be finished and cannot be, a person gives up.
    let waits = record::all(repository).0.iter().any(|found| found.record.received.is_some());
    let begun = begin(repository, &[], UDID, waits, &nowhere(), &observer).unwrap();
    for found in &begun.given_up {
        record::remove(repository, found.id, &found.record, &nowhere()).unwrap();
    }
    let mut link = Link::open(Deaf::new(says.bytes)).unwrap();
    let device = Device::default();
    let wish = Wish {
        udid: UDID,
        full: false,
        is_encrypted: false,
        capacity_len: Some(1 << 37),
        device: &device,
        kind: "usb",
        info: &|_| Some(b"<plist><dict/></plist>".to_vec()),
    };
    let session = Session::begin(repository, None).unwrap();
    let done = run(&session, &cuts, |feeder| {
        let begun = take(&mut link, &wish, begun, &session, feeder, &observer)?;
        let unlock = |_: &[u8]| Ok(Unlocked::Kept(Kept::NoPassword));
        let taken = complete(begun, &unlock, &session, feeder, &observer, &|| false)?;
        Ok::<_, BackupError>(taken.verdict)
    });
    match done {
        Ok(verdict) => Some(verdict),
        // Such as a file below a file: that a phone sent it is found out too late to go on.
        Err(BackupError::Take(TakeError::Host(HostError::Draft(_)))) => None,
        Err(BackupError::Take(TakeError::Host(error))) => panic!("a failure of ours: {error}"),
        Err(_) => None,
    }
}

/// What is left lies in the phone's own folder, or its scratch folder, and can be read.
fn look(repository: &Repository) {
    let (drafts, odd_count) = record::all(repository);
    assert_eq!(odd_count, 0);
    for found in &drafts {
        let draft = record::read(repository, &found.record).unwrap();
        for (path, _) in draft.tree().all() {
            let parts: Vec<_> = path.split(|byte| *byte == b'/').collect();
            let is_odd = |part: &&[u8]| matches!(*part, b"" | b"." | b"..") || part.contains(&0);
            assert!(!parts.iter().any(is_odd), "{}", path.escape_ascii());
            assert!(!parts.contains(&BESIDE.as_bytes()), "{}", path.escape_ascii());
        }
        for (path, file) in draft.tree().files() {
            let content = file.packed.decode().content;
            let mut reader = ContentReader::new(repository, &content);
            let read = io::copy(&mut reader, &mut io::sink());
            assert_eq!(read.unwrap(), content.len, "{}", path.escape_ascii());
        }
    }
}

#[test]
fn a_phone_may_say_anything_in_any_place_of_any_message() {
    let (seeds, conversations) = if soak() { (40, 40) } else { (4, 12) };
    let (mut done_count, mut len) = (0, 0);
    for seed in 0..seeds {
        let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(seed));
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        create_quick(&backend, ambient.as_ref(), Vec::new()).unwrap();
        let repository = open_quick(&backend, &ambient, Purpose::Write).unwrap();
        for number in 0..conversations {
            let says = Says::all(UDID, Random::of_parts(&[77, seed, number]));
            len += says.bytes.len();
            done_count += u64::from(converse(&repository, says).is_some());
            look(&repository);
        }
    }
    assert!(done_count > 0, "none of them came as far as a tree");
    let count = seeds * conversations;
    tell_soak(&format!(
        "device: {count} phones that mean ill said {len} bytes, {done_count} trees"
    ));
}

#[test]
fn an_encrypted_backup_without_the_list_of_its_files_is_incomplete() {
    let ambient: Arc<dyn Ambient> = Arc::new(Seeded::new(1));
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    create_quick(&backend, ambient.as_ref(), Vec::new()).unwrap();
    let repository = open_quick(&backend, &ambient, Purpose::Write).unwrap();
    let lists = Value::from(Dictionary::from_iter([("IsEncrypted", Value::from(true))]));
    let mut manifest = Vec::new();
    lists.to_writer_binary(&mut manifest).unwrap();
    let random = Random::new(1);
    let mut says = Says { udid: UDID.to_owned(), random, bytes: Vec::new() };
    says.greeting();
    says.upload("Manifest.plist", &manifest);
    says.upload("Status.plist", &status("finished"));
    says.response(0.into(), None);
    assert_eq!(converse(&repository, says), Some(Verdict::Incomplete));
}

#[test]
fn a_phone_may_say_anything_while_it_is_restored_and_the_snapshot_stays() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let (summary, udid) = (scene.backup_well(&phone), phone.udid());
    let files = scene.repository.files("");
    let opened = scene.repository.open();
    let (snapshots, _) = russet::snapshot::record::all(&opened.repository);
    let wish =
        RestoreWish { keep_settings: true, system: false, reboot: true, remove_items: false };
    for seed in 0..if soak() { 1000 } else { 30 } {
        let observer = Collecting::default();
        let says = Says::all(&udid, Random::of_parts(&[78, seed]));
        let mut shown = Shown::new(&opened.repository, &snapshots[0], &observer).unwrap();
        let mut link = Link::open(Deaf::new(says.bytes)).unwrap();
        // Whatever it says at its end: that it is done is judged elsewhere.
        let _said = give(&mut link, (&udid, &udid), wish, None, &mut shown, &observer);
        assert!(observer.told().problems.is_empty(), "{:?}", observer.told().problems);
    }
    drop(opened);
    assert_eq!(scene.repository.files(""), files);
    scene.assert_restores(id(&summary), &phone.truth());
}
