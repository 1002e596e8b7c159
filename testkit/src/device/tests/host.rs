//! A host of mobilebackup2 in memory, small enough to be read in one go: what the phone sends is kept by its path.
//!
//! Invariant: it refuses what leads out of the phone's folder, unless it `obeys`. It judges nothing else: that is the
//! phone's part.

use crate::device::link::Link;
use crate::device::{ScriptedPhone, mobilebackup2};
use plist::{Date, Dictionary, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Receiver;
use std::time::{Duration, SystemTime};

const EMPTY: &str = "___EmptyParameterString___";

/// The host and what it has.
pub(crate) struct Host {
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    directories: BTreeSet<String>,
    pub(crate) habits: Habits,
    /// Data bytes of each block that came, in order; of the last maybe a part.
    pub(crate) block_lens: Vec<usize>,
    /// Sources of moves.
    pub(crate) moved_from: Vec<String>,
    /// Messages that came in XML.
    pub(crate) xml_count: usize,
    /// How often the phone asked it to make room.
    pub(crate) asked_for_room: usize,
}

/// What it does otherwise than a plain host.
#[derive(Default)]
pub(crate) struct Habits {
    /// Does whatever it is asked.
    pub(crate) obeys: bool,
    /// More stored bytes than that do not fit.
    pub(crate) room_len: Option<u64>,
    /// What it says is free, before and after the phone asked for room.
    pub(crate) free_lens: Option<[u64; 2]>,
    /// Goes away when this brings news.
    pub(crate) leaves_on: Option<Receiver<String>>,
}

/// How a request ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Response(i64),
    /// The phone hung up.
    Lost,
    /// The host said goodbye.
    Left,
}

struct Conversation<'h> {
    host: &'h mut Host,
    wire: UnixStream,
    udid: String,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            directories: BTreeSet::new(),
            habits: Habits::default(),
            block_lens: Vec::new(),
            moved_from: Vec::new(),
            xml_count: 0,
            asked_for_room: 0,
        }
    }

    pub(crate) fn backup(&mut self, phone: &ScriptedPhone) -> End {
        self.files.insert(format!("{}/Info.plist", phone.udid()), b"made by the host".to_vec());
        self.request(phone, "Backup", &[])
    }

    /// Asks the phone for something and serves it to the end.
    pub(crate) fn request(
        &mut self,
        phone: &ScriptedPhone,
        name: &str,
        words: &[(&str, &str)],
    ) -> End {
        let (theirs, wire) = UnixStream::pair().unwrap();
        let mut request = Dictionary::new();
        request.insert("MessageName".into(), name.into());
        request.insert("TargetIdentifier".into(), phone.udid().into());
        for (key, word) in words {
            request.insert((*key).into(), (*word).into());
        }
        std::thread::scope(|scope| {
            scope.spawn(|| drop(mobilebackup2::serve(phone, Link::Plain(Box::new(theirs)))));
            let mut own = Conversation { host: self, wire, udid: phone.udid().to_owned() };
            match own.run(request) {
                Ok(end) => end,
                Err(error) if error.kind() == ErrorKind::Other => panic!("{error}"),
                Err(_) => End::Lost,
            }
        })
    }
}

impl Conversation<'_> {
    fn run(&mut self, request: Dictionary) -> io::Result<End> {
        self.read_message()?;
        let versions = ["DLMessageVersionExchange".into(), "DLVersionsOk".into(), 400.into()];
        self.send(Value::Array(versions.to_vec()))?;
        self.read_message()?;
        let mut hello = Dictionary::new();
        hello.insert("MessageName".into(), "Hello".into());
        hello.insert("SupportedProtocolVersions".into(), Value::Array(vec![Value::Real(2.1)]));
        for each in [hello, request] {
            self.send(Value::Array(vec!["DLMessageProcessMessage".into(), each.into()]))?;
            match self.serve()? {
                End::Response(0) => {}
                end => return Ok(end),
            }
        }
        Ok(End::Response(0))
    }

    /// Answers the phone until it has an answer itself.
    fn serve(&mut self) -> io::Result<End> {
        loop {
            let message = self.read_message()?;
            let word = |index: usize| message.get(index).and_then(Value::as_string).unwrap_or("");
            let tag = word(0).to_owned();
            let (first, second) = (word(1).to_owned(), word(2).to_owned());
            let status = match tag.as_str() {
                "DLMessageProcessMessage" => {
                    let answer = message[1].as_dictionary().unwrap();
                    let code = answer.get("ErrorCode").unwrap().as_signed_integer().unwrap();
                    return Ok(End::Response(code));
                }
                "DLMessageDownloadFiles" => self.give(message[1].as_array().unwrap())?,
                "DLMessageUploadFiles" => match self.take() {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {
                        let bye = vec!["DLMessageDisconnect".into(), EMPTY.into()];
                        self.send(Value::Array(bye))?;
                        return Ok(End::Left);
                    }
                    other => (other?, Dictionary::new().into()),
                },
                "DLMessageGetFreeDiskSpace" => {
                    let [before, after] = self.host.habits.free_lens.unwrap_or([1 << 50; 2]);
                    (0, if self.host.asked_for_room == 0 { before } else { after }.into())
                }
                "DLMessagePurgeDiskSpace" => {
                    self.host.asked_for_room += 1;
                    (0, 0.into())
                }
                "DLContentsOfDirectory" => (0, self.list(&first).into()),
                "DLMessageCreateDirectory" => {
                    (self.change(&first, |host| host.directories.extend([first.clone()])), none())
                }
                "DLMessageMoveItems" => (self.moves(message[1].as_dictionary().unwrap()), none()),
                "DLMessageRemoveItems" => (self.removals(message[1].as_array().unwrap()), none()),
                "DLMessageCopyItem" => {
                    let bytes = self.host.files.get(&first).cloned().unwrap_or_default();
                    let copied = |host: &mut Host| drop(host.files.insert(second.clone(), bytes));
                    (self.change(&second, copied), none())
                }
                _ => (-1, none()),
            };
            let text = if status.0 == 0 { EMPTY } else { "no" };
            self.send(Value::Array(vec![
                "DLMessageStatusResponse".into(),
                status.0.into(),
                text.into(),
                status.1,
            ]))?;
        }
    }

    /// Whether a path is a name in the phone's folder or in its scratch folder.
    fn is_allowed(&self, path: &str) -> bool {
        let path = path.strip_prefix('/').unwrap_or(path);
        let (folder, rest) = path.split_once('/').unwrap_or((path, ""));
        let is_whole = path.len() <= 4096 && !path.contains('\0');
        let stays = path.split('/').all(|part| part != "..");
        let is_scratch = folder == ".b" && !rest.is_empty();
        is_whole && stays && (is_scratch || folder == self.udid)
    }

    fn change(&mut self, path: &str, how: impl FnOnce(&mut Host)) -> i64 {
        if !self.host.habits.obeys && !self.is_allowed(path) {
            return -1;
        }
        how(self.host);
        0
    }

    fn moves(&mut self, pairs: &Dictionary) -> i64 {
        let mut code = 0;
        for (from, to) in pairs {
            let to = to.as_string().unwrap().to_owned();
            let is_root = *from == self.udid && !self.host.habits.obeys;
            if is_root || (!self.host.habits.obeys && !self.is_allowed(from)) {
                code = -1;
                continue;
            }
            self.host.moved_from.push(from.clone());
            let from = from.clone();
            code = code.min(self.change(&to.clone(), |host| {
                if let Some(bytes) = host.files.remove(&from) {
                    host.files.insert(to, bytes);
                }
            }));
        }
        code
    }

    fn removals(&mut self, paths: &[Value]) -> i64 {
        let mut code = 0;
        for path in paths.iter().map(|path| path.as_string().unwrap().to_owned()) {
            let is_root = path == self.udid && !self.host.habits.obeys;
            let below = format!("{path}/");
            let is_below = |name: &String| *name == path || name.starts_with(&below);
            code = code.min(if is_root {
                -1
            } else {
                self.change(&path, |host| {
                    host.files.retain(|name, _| !is_below(name));
                    host.directories.retain(|name| !is_below(name));
                })
            });
        }
        code
    }

    fn list(&self, path: &str) -> Dictionary {
        let below = format!("{path}/");
        let mut listing = Dictionary::new();
        let mut add = |name: &str, len: Option<usize>| {
            let mut entry = Dictionary::new();
            let sort = if len.is_some() { "DLFileTypeRegular" } else { "DLFileTypeDirectory" };
            entry.insert("DLFileType".into(), sort.into());
            entry.insert("DLFileSize".into(), (len.unwrap_or(0) as u64).into());
            let date = Value::Date(Date::from(SystemTime::UNIX_EPOCH));
            entry.insert("DLFileModificationDate".into(), date);
            listing.insert(name.to_owned(), entry.into());
        };
        for name in self.host.directories.iter().filter_map(|name| name.strip_prefix(&below)) {
            add(name.split('/').next().unwrap(), None);
        }
        for (name, bytes) in &self.host.files {
            match name.strip_prefix(&below).map(|name| name.split_once('/')) {
                Some(Some((folder, _))) => add(folder, None),
                Some(None) => add(&name[below.len()..], Some(bytes.len())),
                None => {}
            }
        }
        listing
    }

    fn give(&mut self, paths: &[Value]) -> io::Result<(i64, Value)> {
        let mut failures = Dictionary::new();
        for path in paths.iter().map(|path| path.as_string().unwrap()) {
            self.write_part(path.as_bytes())?;
            let bytes = self.host.files.get(path).cloned();
            match bytes.filter(|_| self.is_allowed(path)) {
                Some(bytes) => {
                    for part in bytes.chunks(32 * 1024) {
                        self.write_part(&[&[0x0c], part].concat())?;
                    }
                    self.write_part(&[0])?;
                }
                None => {
                    self.write_part(b"\x06not here")?;
                    let mut failure = Dictionary::new();
                    failure.insert("DLFileErrorString".into(), "not here".into());
                    failure.insert("DLFileErrorCode".into(), (-6).into());
                    failures.insert(path.to_owned(), failure.into());
                }
            }
        }
        self.wire.write_all(&[0; 4])?;
        Ok((if failures.is_empty() { 0 } else { -13 }, failures.into()))
    }

    fn take(&mut self) -> io::Result<i64> {
        let mut code = 0;
        loop {
            let Some(name) = self.read_name()? else { return Ok(code) };
            assert!(!name.is_empty());
            let path = String::from_utf8(self.read_name()?.unwrap()).unwrap();
            let mut bytes = Vec::new();
            let is_whole = loop {
                let len = self.read_u32()?;
                let mut block = Vec::new();
                (&mut self.wire).take(len.into()).read_to_end(&mut block)?;
                if block.first() == Some(&0x0c) {
                    self.host.block_lens.push(block.len() - 1);
                }
                if (block.len() as u64) < u64::from(len) {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                match block.first() {
                    Some(0x0c) => bytes.extend_from_slice(&block[1..]),
                    Some(0) => break true,
                    _ => break false,
                }
            };
            let stored: usize = self.host.files.values().map(Vec::len).sum();
            if self.host.habits.room_len.is_some_and(|room| (stored + bytes.len()) as u64 > room) {
                code = -15;
            } else if is_whole {
                let kept = |host: &mut Host| drop(host.files.insert(path.clone(), bytes));
                code = code.min(self.change(&path, kept));
            }
        }
    }

    /// The name of the next file; none at the end of a batch. A host whose phone pauses looks for news meanwhile.
    fn read_name(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.wire.set_read_timeout(Some(Duration::from_millis(20)))?;
        loop {
            match self.read_u32() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let news = self.host.habits.leaves_on.as_ref().map(Receiver::try_recv);
                    if matches!(news, Some(Ok(_))) {
                        return Err(ErrorKind::Interrupted.into());
                    }
                }
                len => {
                    self.wire.set_read_timeout(None)?;
                    return match len? {
                        0 => Ok(None),
                        len => self.read_bytes(len).map(Some),
                    };
                }
            }
        }
    }

    fn read_message(&mut self) -> io::Result<Vec<Value>> {
        let bytes = self.read_part()?;
        self.host.xml_count += usize::from(bytes.starts_with(b"<?xml"));
        Ok(Value::from_reader(Cursor::new(bytes)).unwrap().into_array().unwrap())
    }

    fn read_part(&mut self) -> io::Result<Vec<u8>> {
        let len = self.read_u32()?;
        self.read_bytes(len)
    }

    fn read_u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.wire.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn read_bytes(&mut self, len: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        self.wire.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn send(&mut self, message: Value) -> io::Result<()> {
        let mut bytes = Vec::new();
        message.to_writer_binary(&mut bytes).unwrap();
        self.write_part(&bytes)
    }

    fn write_part(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut part = u32::try_from(bytes.len()).unwrap().to_be_bytes().to_vec();
        part.extend_from_slice(bytes);
        self.wire.write_all(&part)
    }
}

fn none() -> Value {
    Value::from(EMPTY)
}
