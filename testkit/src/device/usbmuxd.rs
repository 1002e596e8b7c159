//! The mux daemon: the only socket a host connects to.
//!
//! Invariant: after `Connect` was answered with 0 the socket belongs to the device's port; nothing is read ahead, so
//! that no byte meant for the device is lost. Pair records are the phone's state, as hosts keep them with the daemon.

use super::error::DeviceError;
use super::link::{Link, Wire};
use super::wires::Sort;
use super::{ScriptedPhone, lockdown, locked};
use crate::random::{Random, hex_of};
use plist::{Dictionary, Value};
use std::io::{Cursor, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const HEADER_LEN: u32 = 16;
const MESSAGE_LEN_MAX: u32 = 1024 * 1024;
const LOCKDOWN_PORT: u16 = 62_078;
const DEVICE_ID: u32 = 1;
const OK: u32 = 0;
const BAD_COMMAND: u32 = 1;
const BAD_DEVICE: u32 = 2;
const CONNECTION_REFUSED: u32 = 3;

/// Where hosts connect to.
pub enum Listener {
    /// `host:port`.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

impl Listener {
    /// `host:port`, or the path of a socket, which is replaced.
    pub fn bind(address: &str) -> std::io::Result<Self> {
        if address.contains('/') {
            let path = Path::new(address);
            if path.exists() {
                std::fs::remove_file(path)?;
            }
            return UnixListener::bind(path).map(Self::Unix);
        }
        TcpListener::bind(address).map(Self::Tcp)
    }

    /// The address hosts can be given.
    pub fn address(&self) -> std::io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Self::Unix(listener) => Ok(listener
                .local_addr()?
                .as_pathname()
                .map(|path| path.display().to_string())
                .unwrap_or_default()),
        }
    }

    fn accept(&self) -> std::io::Result<Box<dyn Wire>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept()?.0)),
        }
    }
}

/// Serves hosts until the process ends.
pub fn serve(phone: &Arc<ScriptedPhone>, listener: &Listener) -> std::io::Result<()> {
    loop {
        let wire = listener.accept()?;
        let phone = Arc::clone(phone);
        std::thread::spawn(move || {
            let outcome = Daemon { phone: &phone, wire }.run();
            if let Err(error) = outcome {
                phone.journal.note("usbmuxd", "ended", &super::mobilebackup2::chain(&error));
            }
        });
    }
}

struct Daemon<'a> {
    phone: &'a Arc<ScriptedPhone>,
    wire: Box<dyn Wire>,
}

impl Daemon<'_> {
    fn run(mut self) -> Result<(), DeviceError> {
        while let Some((tag, request)) = self.read()? {
            let request = request.into_dictionary().unwrap_or_default();
            self.phone.journal.request("usbmuxd", &request.clone().into());
            match text(&request, "MessageType") {
                "Connect" => {
                    let port = self.port_of(&request);
                    match port {
                        Ok(port) => {
                            self.result(tag, OK)?;
                            return self.hand_over(port);
                        }
                        Err(code) => self.result(tag, code)?,
                    }
                }
                "Listen" => {
                    self.result(tag, OK)?;
                    return self.listen();
                }
                "ListDevices" => {
                    let mut answer = Dictionary::new();
                    answer.insert("DeviceList".into(), Value::Array(vec![self.attached()]));
                    self.answer(tag, &answer.into())?;
                }
                "ReadBUID" => {
                    let mut answer = Dictionary::new();
                    answer.insert("BUID".into(), self.buid()?.into());
                    self.answer(tag, &answer.into())?;
                }
                "ReadPairRecord" => self.read_pair_record(tag, &request)?,
                "SavePairRecord" => self.save_pair_record(tag, &request)?,
                "DeletePairRecord" => {
                    let id = text(&request, "PairRecordID").to_owned();
                    self.phone.change(|state| state.pair_records.remove(&id))?;
                    self.result(tag, OK)?;
                }
                _ => self.result(tag, BAD_COMMAND)?,
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<(u32, Value)>, DeviceError> {
        let mut header = [0; 16];
        if self.wire.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        self.wire.read_exact(&mut header[1..])?;
        let word = |index: usize| {
            let mut bytes = [0; 4];
            bytes.copy_from_slice(&header[index * 4..index * 4 + 4]);
            u32::from_le_bytes(bytes)
        };
        let (len, version, kind, tag) = (word(0), word(1), word(2), word(3));
        if !(HEADER_LEN..=MESSAGE_LEN_MAX).contains(&len) {
            return Err(DeviceError::TooLong {
                len: u64::from(len),
                len_max: u64::from(MESSAGE_LEN_MAX),
            });
        }
        if version != 1 || kind != 8 {
            return Err(DeviceError::Breach { rule: "usbmuxd speaks property lists" });
        }
        let mut body = Vec::new();
        Read::take(&mut self.wire, u64::from(len - HEADER_LEN)).read_to_end(&mut body)?;
        Ok(Some((tag, Value::from_reader(Cursor::new(body))?)))
    }

    fn answer(&mut self, tag: u32, message: &Value) -> Result<(), DeviceError> {
        self.phone.journal.answer("usbmuxd", message);
        let mut bytes = vec![0; 16];
        message.to_writer_xml(&mut bytes)?;
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        for (place, word) in bytes.chunks_exact_mut(4).zip([len, 1, 8, tag]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        self.wire.write_all(&bytes)?;
        Ok(self.wire.flush()?)
    }

    fn result(&mut self, tag: u32, number: u32) -> Result<(), DeviceError> {
        let mut answer = Dictionary::new();
        answer.insert("MessageType".into(), "Result".into());
        answer.insert("Number".into(), number.into());
        self.answer(tag, &answer.into())
    }

    /// The service behind `PortNumber`, whose two bytes are swapped.
    fn port_of(&self, request: &Dictionary) -> Result<u16, u32> {
        let number = |key: &str| {
            request
                .get(key)
                .and_then(Value::as_unsigned_integer)
                .and_then(|n| u32::try_from(n).ok())
        };
        if number("DeviceID") != Some(DEVICE_ID) {
            return Err(BAD_DEVICE);
        }
        let port = number("PortNumber")
            .and_then(|port| u16::try_from(port).ok())
            .ok_or(BAD_COMMAND)?
            .swap_bytes();
        let is_open =
            port == LOCKDOWN_PORT || locked(&self.phone.ports).waiting.contains_key(&port);
        if is_open { Ok(port) } else { Err(CONNECTION_REFUSED) }
    }

    fn hand_over(self, port: u16) -> Result<(), DeviceError> {
        let sort = if port == LOCKDOWN_PORT { Sort::Control } else { Sort::Usb };
        let _registered = self.phone.wires.add(sort, &*self.wire)?;
        let link = Link::Plain(self.wire);
        if port == LOCKDOWN_PORT {
            return lockdown::serve(self.phone, link);
        }
        // A port is good for one connection.
        let started = locked(&self.phone.ports).waiting.remove(&port);
        started.map_or(Ok(()), |started| lockdown::serve_started(self.phone, link, started))
    }

    /// Tells of the one device and then keeps the line, on which nothing more happens.
    fn listen(mut self) -> Result<(), DeviceError> {
        let attached = self.attached();
        self.answer(0, &attached)?;
        self.wire.patience(Some(Duration::from_secs(3600)))?;
        let mut rest = [0; 64];
        while self.wire.read(&mut rest)? > 0 {}
        Ok(())
    }

    fn attached(&self) -> Value {
        let mut properties = Dictionary::new();
        properties.insert("ConnectionType".into(), "USB".into());
        properties.insert("ConnectionSpeed".into(), 480_000_000.into());
        properties.insert("DeviceID".into(), DEVICE_ID.into());
        properties.insert("LocationID".into(), 0x0010_0000.into());
        properties.insert("ProductID".into(), 0x12a8.into());
        properties.insert("SerialNumber".into(), self.phone.udid().into());
        properties.insert("USBSerialNumber".into(), self.phone.udid().replace('-', "").into());
        let mut device = Dictionary::new();
        device.insert("MessageType".into(), "Attached".into());
        device.insert("DeviceID".into(), DEVICE_ID.into());
        device.insert("Properties".into(), properties.into());
        device.into()
    }

    /// This host's id. Hosts of one scripted phone share it, as programs on one computer do.
    fn buid(&self) -> Result<String, DeviceError> {
        let seed = self.phone.state()?.seed;
        Ok(Random::of_parts(&[seed, 0x6275_6964]).uuid())
    }

    fn read_pair_record(&mut self, tag: u32, request: &Dictionary) -> Result<(), DeviceError> {
        let records = self.phone.state()?.pair_records;
        let record = records.get(text(request, "PairRecordID")).and_then(|hex| bytes_of(hex));
        let Some(record) = record else {
            return self.result(tag, BAD_DEVICE);
        };
        let mut answer = Dictionary::new();
        answer.insert("PairRecordData".into(), Value::Data(record));
        self.answer(tag, &answer.into())
    }

    fn save_pair_record(&mut self, tag: u32, request: &Dictionary) -> Result<(), DeviceError> {
        let id = text(request, "PairRecordID").to_owned();
        let Some(record) = request.get("PairRecordData").and_then(Value::as_data) else {
            return self.result(tag, BAD_COMMAND);
        };
        let record = hex_of(record);
        self.phone.change(|state| state.pair_records.insert(id, record))?;
        self.result(tag, OK)
    }
}

/// The text under `key`, empty if there is none.
pub(crate) fn text<'a>(dictionary: &'a Dictionary, key: &str) -> &'a str {
    dictionary.get(key).and_then(Value::as_string).unwrap_or_default()
}

/// The bytes that `hex_of` was given.
pub(crate) fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    digits
        .chunks(2)
        .map(|pair| {
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
        })
        .collect()
}
