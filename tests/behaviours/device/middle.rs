//! A mux daemon in the middle: several phones behind one socket, and something that happens once a phone has sent so many bytes.
//!
//! Invariant: bytes pass as they are; only device ids are told anew. A phone that was cut off stays so.

use std::io::{Cursor, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex};

use plist::{Dictionary, Value};
use tempfile::TempDir;

/// What happens once.
pub(super) enum Act {
    /// The cable is pulled.
    Cut,
    /// The bytes wait for it.
    Call(Box<dyn FnOnce() + Send>),
}

/// A phone behind the daemon.
struct Behind {
    udid: String,
    address: String,
    /// Bytes that it has sent.
    sent_len: u64,
    fault: Option<(u64, Act)>,
    is_cut: bool,
    streams: Vec<UnixStream>,
}

/// The daemon; it goes on after this is dropped.
pub(super) struct Middle {
    dir: TempDir,
    phones: Arc<Vec<Mutex<Behind>>>,
}

impl Middle {
    /// For phones by UDID and address.
    pub(super) fn new(phones: &[(String, String)]) -> Self {
        let behind = |(udid, address): &(String, String)| {
            let (udid, address) = (udid.clone(), address.clone());
            let (fault, streams) = (None, Vec::new());
            Mutex::new(Behind { udid, address, sent_len: 0, fault, is_cut: false, streams })
        };
        let phones: Arc<Vec<_>> = Arc::new(phones.iter().map(behind).collect());
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("mux")).unwrap();
        let shared = Arc::clone(&phones);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&shared));
                // A conversation that breaks off is what this is for.
                std::thread::spawn(move || converse(stream, &shared).ok());
            }
        });
        Self { dir, phones }
    }

    pub(super) fn address(&self) -> String {
        self.dir.path().join("mux").to_str().unwrap().to_owned()
    }

    /// Once phone `index` has sent `len` bytes, `act` happens.
    pub(super) fn after(&self, index: usize, len: u64, act: Act) {
        self.phones[index].lock().unwrap().fault = Some((len, act));
    }

    /// Bytes that a phone has sent.
    pub(super) fn sent_len(&self, index: usize) -> u64 {
        self.phones[index].lock().unwrap().sent_len
    }
}

fn converse(mut host: UnixStream, phones: &[Mutex<Behind>]) -> std::io::Result<()> {
    loop {
        let (tag, mut request) = read(&mut host)?;
        let word = |key: &str| request.get(key).and_then(Value::as_string).unwrap_or_default();
        let plain = |udid: &str| udid.replace('-', "");
        let by_udid = |udid: &str| {
            phones.iter().position(|p| plain(&p.lock().unwrap().udid) == plain(udid)).unwrap_or(0)
        };
        match word("MessageType") {
            "ListDevices" => {
                let answer = list(phones, &request)?;
                write(&mut host, tag, answer)?;
            }
            "Connect" => {
                let id = request["DeviceID"].as_unsigned_integer().unwrap_or(1);
                let phone = &phones[usize::try_from(id).unwrap() - 1];
                request.insert("DeviceID".into(), 1.into());
                let (answer, device) = ask(phone, request)?;
                let is_open = answer["Number"].as_unsigned_integer() == Some(0);
                write(&mut host, tag, answer)?;
                if is_open {
                    return pass(host, device, phone);
                }
            }
            _ => {
                let index = by_udid(word("PairRecordID"));
                let (answer, _) = ask(&phones[index], request)?;
                write(&mut host, tag, answer)?;
            }
        }
    }
}

fn list(phones: &[Mutex<Behind>], request: &Dictionary) -> std::io::Result<Dictionary> {
    let mut all = Vec::new();
    for (index, phone) in phones.iter().enumerate() {
        let Ok((mut answer, _)) = ask(phone, request.clone()) else { continue };
        for device in answer.remove("DeviceList").and_then(Value::into_array).unwrap_or_default() {
            let mut device = device.into_dictionary().unwrap_or_default();
            let id = Value::from(u64::try_from(index).unwrap_or(0) + 1);
            if let Some(Value::Dictionary(properties)) = device.get_mut("Properties") {
                properties.insert("DeviceID".into(), id.clone());
            }
            device.insert("DeviceID".into(), id);
            all.push(device.into());
        }
    }
    let mut answer = Dictionary::new();
    answer.insert("DeviceList".into(), Value::Array(all));
    Ok(answer)
}

/// Asks the daemon of one phone, on a connection of its own.
fn ask(phone: &Mutex<Behind>, request: Dictionary) -> std::io::Result<(Dictionary, UnixStream)> {
    let (address, is_cut) = {
        let phone = phone.lock().unwrap();
        (phone.address.clone(), phone.is_cut)
    };
    if is_cut {
        return Err(std::io::ErrorKind::NotConnected.into());
    }
    let mut device = UnixStream::connect(address)?;
    write(&mut device, 1, request)?;
    let (_, answer) = read(&mut device)?;
    Ok((answer, device))
}

fn read(stream: &mut UnixStream) -> std::io::Result<(u32, Dictionary)> {
    let mut head = [0; 16];
    stream.read_exact(&mut head)?;
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap());
    let mut body = vec![0; usize::try_from(word(0)).unwrap() - 16];
    stream.read_exact(&mut body)?;
    let body = Value::from_reader(Cursor::new(body)).map_err(std::io::Error::other)?;
    Ok((word(12), body.into_dictionary().unwrap_or_default()))
}

fn write(stream: &mut UnixStream, tag: u32, message: Dictionary) -> std::io::Result<()> {
    let mut bytes = vec![0; 16];
    Value::Dictionary(message).to_writer_xml(&mut bytes).map_err(std::io::Error::other)?;
    let len = u32::try_from(bytes.len()).unwrap();
    for (place, word) in bytes.chunks_exact_mut(4).zip([len, 1, 8, tag]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    stream.write_all(&bytes)
}

/// Passes bytes on both ways until one side has had enough.
fn pass(host: UnixStream, device: UnixStream, phone: &Mutex<Behind>) -> std::io::Result<()> {
    let ends = [host.try_clone()?, device.try_clone()?];
    phone.lock().unwrap().streams.extend([host.try_clone()?, device.try_clone()?]);
    let (mut from_host, mut to_device) = (host.try_clone()?, device.try_clone()?);
    std::thread::spawn(move || {
        let _ended = std::io::copy(&mut from_host, &mut to_device);
        let _gone = to_device.shutdown(Shutdown::Write);
    });
    let passed = from_phone(device, host, phone);
    for end in ends {
        let _gone = end.shutdown(Shutdown::Both);
    }
    passed
}

fn from_phone(
    mut device: UnixStream,
    mut host: UnixStream,
    phone: &Mutex<Behind>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let len = device.read(&mut buffer)?;
        if len == 0 {
            return Ok(());
        }
        let mut part = &buffer[..len];
        let mut state = phone.lock().unwrap();
        let before = state.sent_len;
        state.sent_len += len as u64;
        let is_due = state.fault.as_ref().is_some_and(|(at, _)| *at < state.sent_len);
        let due = if is_due { state.fault.take() } else { None };
        match due {
            None => drop(state),
            Some((_, Act::Call(call))) => {
                drop(state);
                call();
            }
            Some((at, Act::Cut)) => {
                part = &part[..usize::try_from(at.saturating_sub(before)).unwrap()];
                let _last = host.write_all(part);
                state.is_cut = true;
                for stream in state.streams.drain(..) {
                    let _gone = stream.shutdown(Shutdown::Both);
                }
                return Ok(());
            }
        }
        host.write_all(part)?;
    }
}
