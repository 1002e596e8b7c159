//! The mux daemon: the only socket a host connects to.
//!
//! Invariant: after `Connect` was answered with 0 the socket belongs to the device's port; nothing is read ahead, so
//! that no byte meant for the device is lost. Pair records are the phone's state, as hosts keep them with the daemon.

use super::error::DeviceError;
use super::link::{Link, Wire};
use super::script::Connection;
use super::server::Mux;
use super::wires::Sort;
use super::{ScriptedPhone, heartbeat, lockdown, locked};
use crate::random::{Random, hex_of};
use plist::{Dictionary, Value};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::sync::Arc;
use std::time::Duration;

const HEADER_LEN: u32 = 16;
const MESSAGE_LEN_MAX: u32 = 1024 * 1024;
const LOCKDOWN_PORT: u16 = 62_078;
const ON: &str = "usbmuxd";
/// 127.0.0.1 as an Apple `sockaddr_in`: its length, the family, the port, the address, and eight bytes of nothing.
const NETWORK_ADDRESS: [u8; 16] = [16, 2, 0, 0, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
const OK: u32 = 0;
const BAD_COMMAND: u32 = 1;
const BAD_DEVICE: u32 = 2;
const CONNECTION_REFUSED: u32 = 3;

/// Talks with one host until it hangs up.
pub(super) fn converse(mux: &Arc<Mux>, wire: Box<dyn Wire>) {
    let home = mux.phones.first().map(Arc::clone);
    let mut daemon = Daemon { mux, home, wire: Some(wire) };
    let outcome = daemon.run();
    if let (Err(error), Some(phone)) = (outcome, &daemon.home) {
        phone.journal.note(ON, "ended", &super::mobilebackup2::chain(&error));
    }
}

struct Daemon<'a> {
    mux: &'a Arc<Mux>,
    /// The phone whose journal and folder are used: the first, until one is connected to.
    home: Option<Arc<ScriptedPhone>>,
    /// Gone once it is handed over.
    wire: Option<Box<dyn Wire>>,
}

/// A way to a phone, under the number that `Connect` names.
struct Attachment<'a> {
    device_id: u32,
    location: u32,
    phone: &'a Arc<ScriptedPhone>,
    sort: Sort,
}

impl Mux {
    /// Two numbers for each phone: odd ones for cables, even ones for the network.
    fn attachments(&self) -> Vec<Attachment<'_>> {
        let mut all = Vec::new();
        for (index, phone) in (0_u32..).zip(&self.phones) {
            let (usb, network) = match phone.script.connection {
                Connection::Usb => (true, false),
                Connection::Network => (false, true),
                Connection::Both => (true, true),
            };
            let location = 0x0010_0000 * (index + 1);
            let first = 2 * index + 1;
            for (is_there, device_id, sort) in
                [(usb, first, Sort::Usb), (network, first + 1, Sort::Network)]
            {
                if is_there {
                    all.push(Attachment { device_id, location, phone, sort });
                }
            }
        }
        all
    }
}

impl Daemon<'_> {
    fn run(&mut self) -> Result<(), DeviceError> {
        while let Some((tag, request)) = self.read()? {
            let request = request.into_dictionary().unwrap_or_default();
            let mux = Arc::clone(self.mux);
            let wanted = mux
                .attachments()
                .into_iter()
                .find(|each| Some(each.device_id) == number(&request, "DeviceID"));
            let is_connect = text(&request, "MessageType") == "Connect";
            if let (true, Some(wanted)) = (is_connect, &wanted) {
                self.home = Some(Arc::clone(wanted.phone));
            }
            if let Some(phone) = &self.home {
                phone.journal.request(ON, &request.clone().into());
            }
            match text(&request, "MessageType") {
                "Connect" => match (wanted, port_of(&request)) {
                    (None, _) => self.result(tag, BAD_DEVICE)?,
                    (_, None) => self.result(tag, BAD_COMMAND)?,
                    (Some(wanted), Some(port)) if is_open(wanted.phone, port) => {
                        self.result(tag, OK)?;
                        return self.hand_over(port, wanted.phone, wanted.sort);
                    }
                    _ => self.result(tag, CONNECTION_REFUSED)?,
                },
                "Listen" => {
                    self.result(tag, OK)?;
                    return self.listen();
                }
                "ListDevices" => {
                    let mut answer = Dictionary::new();
                    let list = self.mux.attachments().iter().map(attached).collect();
                    answer.insert("DeviceList".into(), Value::Array(list));
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
                    if let Some(keeper) = self.keeper(&id) {
                        keeper.change(|state| state.pair_records.remove(&id))?;
                    }
                    self.result(tag, OK)?;
                }
                _ => self.result(tag, BAD_COMMAND)?,
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<(u32, Value)>, DeviceError> {
        let Some(wire) = &mut self.wire else { return Ok(None) };
        let mut header = [0; 16];
        if wire.read(&mut header[..1])? == 0 {
            return Ok(None);
        }
        wire.read_exact(&mut header[1..])?;
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
        Read::take(&mut *wire, u64::from(len - HEADER_LEN)).read_to_end(&mut body)?;
        Ok(Some((tag, Value::from_reader(Cursor::new(body))?)))
    }

    fn answer(&mut self, tag: u32, message: &Value) -> Result<(), DeviceError> {
        if let Some(phone) = &self.home {
            phone.journal.answer(ON, message);
        }
        let mut bytes = vec![0; 16];
        message.to_writer_xml(&mut bytes)?;
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        for (place, word) in bytes.chunks_exact_mut(4).zip([len, 1, 8, tag]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let Some(wire) = &mut self.wire else { return Ok(()) };
        wire.write_all(&bytes)?;
        Ok(wire.flush()?)
    }

    fn result(&mut self, tag: u32, number: u32) -> Result<(), DeviceError> {
        let mut answer = Dictionary::new();
        answer.insert("MessageType".into(), "Result".into());
        answer.insert("Number".into(), number.into());
        self.answer(tag, &answer.into())
    }

    fn hand_over(
        &mut self,
        port: u16,
        phone: &Arc<ScriptedPhone>,
        sort: Sort,
    ) -> Result<(), DeviceError> {
        let Some(wire) = self.wire.take() else { return Ok(()) };
        if port == LOCKDOWN_PORT {
            return lockdown::serve(phone, Link::Plain(wire), sort);
        }
        // A port is good for one connection.
        let started = locked(&phone.ports).waiting.remove(&port);
        let Some(started) = started else { return Ok(()) };
        let _registered = phone.wires.add(sort, &*wire)?;
        if sort == Sort::Network && started.service != heartbeat::NAME {
            heartbeat::watch(phone);
        }
        lockdown::serve_started(phone, Link::Plain(wire), started)
    }

    /// Tells of the phones and then keeps the line, on which nothing more happens.
    fn listen(&mut self) -> Result<(), DeviceError> {
        let list: Vec<Value> = self.mux.attachments().iter().map(attached).collect();
        for attached in &list {
            self.answer(0, attached)?;
        }
        let Some(wire) = &mut self.wire else { return Ok(()) };
        wire.patience(Some(Duration::from_secs(3600)))?;
        let mut rest = [0; 64];
        while wire.read(&mut rest)? > 0 {}
        Ok(())
    }

    /// Whose folder has the pair record of this id: that phone's own, else the first's.
    fn keeper(&self, id: &str) -> Option<&Arc<ScriptedPhone>> {
        let phones = &self.mux.phones;
        phones.iter().find(|phone| phone.udid() == id).or_else(|| phones.first())
    }

    /// This host's id. Hosts of one daemon share it, as programs on one computer do.
    fn buid(&self) -> Result<String, DeviceError> {
        let seed = match self.mux.phones.first() {
            Some(phone) => phone.state()?.seed,
            None => 0,
        };
        Ok(Random::of_parts(&[seed, 0x6275_6964]).uuid())
    }

    fn read_pair_record(&mut self, tag: u32, request: &Dictionary) -> Result<(), DeviceError> {
        let id = text(request, "PairRecordID");
        let records = match self.keeper(id) {
            Some(keeper) => keeper.state()?.pair_records,
            None => BTreeMap::new(),
        };
        let Some(record) = records.get(id).and_then(|hex| bytes_of(hex)) else {
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
        if let Some(keeper) = self.keeper(&id) {
            keeper.change(|state| state.pair_records.insert(id, record))?;
        }
        self.result(tag, OK)
    }
}

/// `PortNumber`, whose two bytes are swapped.
fn port_of(request: &Dictionary) -> Option<u16> {
    let port = u16::try_from(number(request, "PortNumber")?).ok()?;
    Some(port.swap_bytes())
}

fn is_open(phone: &ScriptedPhone, port: u16) -> bool {
    port == LOCKDOWN_PORT || locked(&phone.ports).waiting.contains_key(&port)
}

fn number(request: &Dictionary, key: &str) -> Option<u32> {
    let number = request.get(key)?.as_unsigned_integer()?;
    u32::try_from(number).ok()
}

fn attached(attachment: &Attachment<'_>) -> Value {
    let udid = attachment.phone.udid();
    let id = attachment.device_id;
    let mut properties = Dictionary::new();
    properties.insert("DeviceID".into(), id.into());
    properties.insert("SerialNumber".into(), udid.into());
    if attachment.sort == Sort::Network {
        properties.insert("ConnectionType".into(), "Network".into());
        let name = "02:00:00:00:00:01@fe80::1._apple-mobdev2._tcp.local.";
        properties.insert("EscapedFullServiceName".into(), name.into());
        properties.insert("InterfaceIndex".into(), 2.into());
        properties.insert("NetworkAddress".into(), Value::Data(NETWORK_ADDRESS.to_vec()));
    } else {
        properties.insert("ConnectionType".into(), "USB".into());
        properties.insert("ConnectionSpeed".into(), 480_000_000.into());
        properties.insert("LocationID".into(), attachment.location.into());
        properties.insert("ProductID".into(), 0x12a8.into());
        properties.insert("USBSerialNumber".into(), udid.replace('-', "").into());
    }
    let mut device = Dictionary::new();
    device.insert("MessageType".into(), "Attached".into());
    device.insert("DeviceID".into(), id.into());
    device.insert("Properties".into(), properties.into());
    device.into()
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
