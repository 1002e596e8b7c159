//! AFC: the small part of the phone's media that hosts may read and write, in a folder of its own.
//!
//! Invariant: no path leaves that folder. A lock is held by one connection; another that asks for it gets
//! OP_WOULD_BLOCK. All numbers are little-endian. Files that vanish are closed, not an end of the service.

use super::error::DeviceError;
use super::link::Link;
use super::{ScriptedPhone, locked};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) const NAME: &str = "com.apple.afc";
const MAGIC: &[u8; 8] = b"CFA6LPAA";
const HEADER_LEN: u64 = 40;
const PACKET_LEN_MAX: u64 = 8 * 1024 * 1024;

const STATUS: u64 = 1;
const DATA: u64 = 2;
const READ_DIR: u64 = 3;
const REMOVE_PATH: u64 = 8;
const MAKE_DIR: u64 = 9;
const GET_FILE_INFO: u64 = 10;
const GET_DEVICE_INFO: u64 = 11;
const FILE_OPEN: u64 = 13;
const FILE_OPEN_RESULT: u64 = 14;
const READ: u64 = 15;
const WRITE: u64 = 16;
const SEEK: u64 = 17;
const CLOSE: u64 = 20;
const RENAME: u64 = 24;
const LOCK: u64 = 27;
const REMOVE_TREE: u64 = 34;

const SUCCESS: u64 = 0;
const UNKNOWN: u64 = 1;
const INVALID_ARGUMENT: u64 = 7;
const NOT_FOUND: u64 = 8;
const IS_DIR: u64 = 9;
const DENIED: u64 = 10;
const EXISTS: u64 = 16;
const WOULD_BLOCK: u64 = 19;
const NOT_SUPPORTED: u64 = 6;

static CONNECTION: AtomicU64 = AtomicU64::new(1);

/// Serves one host; what it locked is free when it leaves.
pub(crate) fn serve(phone: &ScriptedPhone, link: Link) -> Result<(), DeviceError> {
    let root = phone.folder.join("afc");
    for folder in ["Books", "iTunes_Control/iTunes"] {
        fs::create_dir_all(root.join(folder))?;
    }
    let prefs = root.join("iTunes_Control/iTunes/iTunesPrefs");
    if !prefs.exists() {
        fs::write(prefs, b"frpd\x01\x00\x00\x00")?;
    }
    let connection = CONNECTION.fetch_add(1, Ordering::Relaxed);
    let mut afc = Afc { phone, link, root, connection, files: BTreeMap::new() };
    let outcome = afc.run();
    locked(&phone.locks).retain(|_, holder| *holder != connection);
    outcome
}

struct Afc<'a> {
    phone: &'a ScriptedPhone,
    link: Link,
    root: PathBuf,
    connection: u64,
    files: BTreeMap<u64, (PathBuf, File)>,
}

struct Packet {
    number: u64,
    operation: u64,
    arguments: Vec<u8>,
    payload: Vec<u8>,
}

/// An answer's operation, its fixed part and its payload; or a status.
type Answer = Result<(u64, Vec<u8>, Vec<u8>), u64>;

impl Afc<'_> {
    fn run(&mut self) -> Result<(), DeviceError> {
        while let Some(packet) = self.read()? {
            let answer = self.answer(&packet);
            let (operation, arguments, payload) = match answer {
                Ok(answer) => answer,
                Err(code) => (STATUS, code.to_le_bytes().to_vec(), Vec::new()),
            };
            let text = String::from_utf8_lossy(&packet.arguments).replace('\0', " ");
            let is_path = ![READ, WRITE, SEEK, CLOSE, LOCK].contains(&packet.operation);
            let code = arguments.first().filter(|_| operation == STATUS);
            let detail = json!({ "operation": packet.operation, "answer": operation,
                "code": code, "arguments": if is_path { text } else { String::new() } });
            self.phone.journal.note("afc", "request", &detail);
            self.send(packet.number, operation, &arguments, &payload)?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Packet>, DeviceError> {
        let mut header = [0; 40];
        match self.link.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let word = |index: usize| {
            header
                .get(index..)
                .and_then(|rest| rest.first_chunk())
                .map_or(0, |b| u64::from_le_bytes(*b))
        };
        let (entire, this) = (word(8), word(16));
        let is_sound = header.starts_with(MAGIC) && this >= HEADER_LEN && entire >= this;
        if !is_sound {
            return Err(DeviceError::Breach { rule: "AFC packets have a sound header" });
        }
        let arguments = self.link.read_bytes(this - HEADER_LEN, PACKET_LEN_MAX)?;
        let payload = self.link.read_bytes(entire - this, PACKET_LEN_MAX)?;
        Ok(Some(Packet { number: word(24), operation: word(32), arguments, payload }))
    }

    fn send(
        &mut self,
        number: u64,
        operation: u64,
        arguments: &[u8],
        payload: &[u8],
    ) -> Result<(), DeviceError> {
        let this = HEADER_LEN + len_of(arguments);
        let mut bytes = MAGIC.to_vec();
        for word in [this + len_of(payload), this, number, operation] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(arguments);
        bytes.extend_from_slice(payload);
        self.link.write_all(&bytes)?;
        Ok(self.link.flush()?)
    }

    fn answer(&mut self, packet: &Packet) -> Answer {
        let arguments = &packet.arguments;
        let first = || word_at(arguments, 0);
        let done = (STATUS, SUCCESS.to_le_bytes().to_vec(), Vec::new());
        match packet.operation {
            READ_DIR => {
                let mut names = vec![".".to_owned(), "..".to_owned()];
                for entry in fs::read_dir(self.path(arguments)?).map_err(code_of)? {
                    names.push(entry.map_err(code_of)?.file_name().to_string_lossy().into_owned());
                }
                Ok((DATA, Vec::new(), strings(&names)))
            }
            GET_FILE_INFO => file_info(&self.path(arguments)?),
            GET_DEVICE_INFO => Ok((DATA, Vec::new(), device_info())),
            MAKE_DIR => fs::create_dir_all(self.path(arguments)?).map_err(code_of).map(|()| done),
            REMOVE_PATH | REMOVE_TREE => {
                let path = self.path(arguments)?;
                if path == self.root {
                    return Err(DENIED);
                }
                let is_dir = fs::symlink_metadata(&path).map_err(code_of)?.is_dir();
                let removed = match (is_dir, packet.operation) {
                    (true, REMOVE_TREE) => fs::remove_dir_all(&path),
                    (true, _) => fs::remove_dir(&path),
                    (false, _) => fs::remove_file(&path),
                };
                removed.map_err(code_of).map(|()| done)
            }
            RENAME => {
                let mut parts = arguments.split(|byte| *byte == 0);
                let (from, to) =
                    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                fs::rename(self.path(from)?, self.path(to)?).map_err(code_of).map(|()| done)
            }
            FILE_OPEN => self.open(first()?, arguments.get(8..).unwrap_or_default()),
            READ => {
                let len = word_at(arguments, 8)?.min(PACKET_LEN_MAX);
                let mut bytes = Vec::new();
                let file = self.file(first()?)?;
                Read::take(file, len).read_to_end(&mut bytes).map_err(code_of)?;
                Ok((DATA, Vec::new(), bytes))
            }
            WRITE => {
                self.file(first()?)?.write_all(&packet.payload).map_err(code_of).map(|()| done)
            }
            SEEK => {
                let offset = word_at(arguments, 16)?;
                let place = match word_at(arguments, 8)? {
                    0 => SeekFrom::Start(offset),
                    1 => SeekFrom::Current(offset.cast_signed()),
                    _ => SeekFrom::End(offset.cast_signed()),
                };
                self.file(first()?)?.seek(place).map_err(code_of).map(|_| done)
            }
            LOCK => self.lock(first()?, word_at(arguments, 8)?).map(|()| done),
            CLOSE => {
                let handle = first()?;
                let (path, _) = self.files.remove(&handle).ok_or(INVALID_ARGUMENT)?;
                self.unlock(&path);
                Ok(done)
            }
            _ => Err(NOT_SUPPORTED),
        }
    }

    /// A path of the phone, below our folder; refused if it tries to leave it.
    fn path(&self, bytes: &[u8]) -> Result<PathBuf, u64> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        let text = std::str::from_utf8(text).map_err(|_| INVALID_ARGUMENT)?;
        let mut path = self.root.clone();
        for part in Path::new(text).components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::RootDir | Component::CurDir => {}
                _ => return Err(DENIED),
            }
        }
        Ok(path)
    }

    fn open(&mut self, mode: u64, path: &[u8]) -> Answer {
        let path = self.path(path)?;
        if path.is_dir() {
            return Err(IS_DIR);
        }
        let mut options = OpenOptions::new();
        match mode {
            1 => options.read(true),
            2 => options.read(true).write(true).create(true).truncate(false),
            3 => options.write(true).create(true).truncate(true),
            4 => options.read(true).write(true).create(true).truncate(true),
            5 => options.append(true).create(true),
            6 => options.read(true).append(true).create(true),
            _ => return Err(INVALID_ARGUMENT),
        };
        let file = options.open(&path).map_err(code_of)?;
        let handle = self.files.keys().next_back().map_or(1, |last| last + 1);
        self.files.insert(handle, (path, file));
        Ok((FILE_OPEN_RESULT, handle.to_le_bytes().to_vec(), Vec::new()))
    }

    fn file(&mut self, handle: u64) -> Result<&mut File, u64> {
        self.files.get_mut(&handle).map(|(_, file)| file).ok_or(INVALID_ARGUMENT)
    }

    fn lock(&mut self, handle: u64, operation: u64) -> Result<(), u64> {
        let (path, _) = self.files.get(&handle).ok_or(INVALID_ARGUMENT)?;
        let path = path.clone();
        if operation & 8 != 0 {
            self.unlock(&path);
            return Ok(());
        }
        let mut locks = locked(&self.phone.locks);
        match locks.get(&path) {
            Some(holder) if *holder != self.connection => Err(WOULD_BLOCK),
            _ => {
                locks.insert(path, self.connection);
                Ok(())
            }
        }
    }

    fn unlock(&self, path: &Path) {
        let mut locks = locked(&self.phone.locks);
        if locks.get(path) == Some(&self.connection) {
            locks.remove(path);
        }
    }
}

fn file_info(path: &Path) -> Answer {
    let metadata = fs::symlink_metadata(path).map_err(code_of)?;
    let kind = if metadata.is_dir() { "S_IFDIR" } else { "S_IFREG" };
    let pairs = [
        ("st_size", metadata.len().to_string()),
        ("st_blocks", metadata.len().div_ceil(512).to_string()),
        ("st_nlink", "1".to_owned()),
        ("st_ifmt", kind.to_owned()),
        ("st_mtime", "1767486030000000000".to_owned()),
        ("st_birthtime", "1767486030000000000".to_owned()),
    ];
    let words: Vec<String> =
        pairs.into_iter().flat_map(|(key, value)| [key.to_owned(), value]).collect();
    Ok((DATA, Vec::new(), strings(&words)))
}

fn device_info() -> Vec<u8> {
    let words =
        ["Model", "iPhone14,5", "FSTotalBytes", "128000000000", "FSFreeBytes", "64000000000"];
    strings(&words.map(str::to_owned))
}

fn strings(words: &[String]) -> Vec<u8> {
    words.iter().flat_map(|word| word.bytes().chain([0])).collect()
}

fn word_at(bytes: &[u8], offset: usize) -> Result<u64, u64> {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk())
        .map(|word| u64::from_le_bytes(*word))
        .ok_or(INVALID_ARGUMENT)
}

fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

fn code_of(error: io::Error) -> u64 {
    match error.kind() {
        io::ErrorKind::NotFound => NOT_FOUND,
        io::ErrorKind::AlreadyExists => EXISTS,
        io::ErrorKind::PermissionDenied => DENIED,
        io::ErrorKind::IsADirectory => IS_DIR,
        _ => UNKNOWN,
    }
}
