//! How phones are attached: by cable, over the network, several behind one mux daemon; and how a server of them ends.

use crate::device::link::{Link, Wire};
use crate::device::wires::Sort;
use crate::device::{
    Connection, Preset, Script, ScriptedPhone, Server, Started, State, heartbeat, lockdown, locked,
};
use plist::{Dictionary, Value};
use std::collections::BTreeSet;
use std::io::{Cursor, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Phones that are served at a socket in a folder of their own.
struct Desk {
    server: Server,
    _folder: TempDir,
}

impl Desk {
    fn of(scripts: Vec<Script>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut phones = Vec::new();
        for (seed, script) in (1..).zip(scripts) {
            let own = folder.path().join(format!("phone-{seed}"));
            let new = State::new(seed, Preset::Many(4));
            phones.push(Arc::new(ScriptedPhone::open(&own, new, script).unwrap()));
        }
        let address = folder.path().join("socket");
        let server = Server::start(phones, address.to_str().unwrap()).unwrap();
        Self { server, _folder: folder }
    }

    fn connect(&self) -> UnixStream {
        UnixStream::connect(self.server.address()).unwrap()
    }

    /// `Properties` of each phone that is listed.
    fn listed(&self) -> Vec<Dictionary> {
        let answer = ask(&mut self.connect(), "ListDevices", &[]);
        let list = answer.get("DeviceList").unwrap().as_array().unwrap();
        let properties =
            list.iter().map(|each| each.as_dictionary().unwrap().get("Properties").unwrap());
        properties.map(|each| each.as_dictionary().unwrap().clone()).collect()
    }

    fn connect_to(&self, device_id: u64, port: u16) -> UnixStream {
        let mut wire = self.connect();
        let port = u64::from(port.swap_bytes());
        let answer = ask(&mut wire, "Connect", &[("DeviceID", device_id), ("PortNumber", port)]);
        assert_eq!(answer.get("Number").unwrap().as_unsigned_integer(), Some(0));
        wire
    }

    /// Starts a service of the first phone without asking lockdown.
    fn start(&self, service: &str, port: u16) {
        let started = Started { service: service.to_owned(), tls: None };
        locked(&self.server.phones()[0].ports).waiting.insert(port, started);
    }
}

fn ask(wire: &mut UnixStream, kind: &str, numbers: &[(&str, u64)]) -> Dictionary {
    let mut request = Dictionary::new();
    request.insert("MessageType".into(), kind.into());
    for (key, number) in numbers {
        request.insert((*key).into(), (*number).into());
    }
    let mut bytes = vec![0; 16];
    Value::from(request).to_writer_xml(&mut bytes).unwrap();
    let len = u32::try_from(bytes.len()).unwrap();
    for (place, word) in bytes.chunks_exact_mut(4).zip([len, 1, 8, 7]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    wire.write_all(&bytes).unwrap();
    let mut head = [0; 16];
    wire.read_exact(&mut head).unwrap();
    let mut body = vec![0; u32::from_le_bytes(*head.first_chunk().unwrap()) as usize - 16];
    wire.read_exact(&mut body).unwrap();
    Value::from_reader(Cursor::new(body)).unwrap().into_dictionary().unwrap()
}

fn lockdown_says(link: &mut Link, request: &str) -> Dictionary {
    let mut message = Dictionary::new();
    message.insert("Request".into(), request.into());
    message.insert("Label".into(), "test".into());
    message.insert("Key".into(), "UniqueDeviceID".into());
    link.write_xml(&message.into()).unwrap();
    link.read_plist().unwrap().into_dictionary().unwrap()
}

fn text<'a>(dictionary: &'a Dictionary, key: &str) -> &'a str {
    dictionary.get(key).and_then(Value::as_string).unwrap_or_default()
}

fn at(connection: Connection) -> Script {
    Script { connection, ..Script::default() }
}

#[test]
fn a_phone_on_both_ways_is_listed_twice_under_one_id() {
    let desk = Desk::of(vec![at(Connection::Both)]);
    let listed = desk.listed();
    let kinds: Vec<&str> = listed.iter().map(|each| text(each, "ConnectionType")).collect();
    assert_eq!(kinds, ["USB", "Network"]);
    assert_eq!(text(&listed[0], "SerialNumber"), text(&listed[1], "SerialNumber"));
    assert_ne!(listed[0].get("DeviceID"), listed[1].get("DeviceID"));
    assert_eq!(listed[1].get("NetworkAddress").unwrap().as_data().unwrap().len(), 16);
}

#[test]
fn several_phones_are_behind_one_daemon_and_each_answers_for_itself() {
    let desk = Desk::of(vec![at(Connection::Usb), at(Connection::Network), at(Connection::Usb)]);
    let listed = desk.listed();
    let udids: BTreeSet<&str> = listed.iter().map(|each| text(each, "SerialNumber")).collect();
    assert_eq!((listed.len(), udids.len()), (3, 3));
    for each in &listed {
        let id = each.get("DeviceID").unwrap().as_unsigned_integer().unwrap();
        let mut link = Link::Plain(Box::new(desk.connect_to(id, 62_078)));
        let answer = lockdown_says(&mut link, "GetValue");
        assert_eq!(text(&answer, "Value"), text(each, "SerialNumber"));
    }
}

#[test]
fn a_number_that_no_phone_has_is_a_bad_device() {
    let desk = Desk::of(vec![at(Connection::Usb)]);
    let request = [("DeviceID", 2), ("PortNumber", u64::from(62_078_u16.swap_bytes()))];
    let answer = ask(&mut desk.connect(), "Connect", &request);
    assert_eq!(answer.get("Number").unwrap().as_unsigned_integer(), Some(2));
}

#[test]
fn pairing_over_the_network_is_prohibited() {
    for (sort, error) in
        [(Sort::Network, "PairingProhibitedOverThisConnection"), (Sort::Usb, "InvalidPairRecord")]
    {
        let folder = tempfile::tempdir().unwrap();
        let new = State::new(1, Preset::Many(4));
        let phone = ScriptedPhone::open(folder.path(), new, Script::default()).unwrap();
        let phone = Arc::new(phone);
        let (ours, theirs) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || {
            lockdown::serve(&phone, Link::Plain(Box::new(theirs)), sort).unwrap();
        });
        let mut link = Link::Plain(Box::new(ours));
        assert_eq!(text(&lockdown_says(&mut link, "Pair"), "Error"), error);
        drop(link);
        thread.join().unwrap();
    }
}

#[test]
fn services_over_the_network_end_when_no_heartbeat_is_answered() {
    let desk = Desk::of(vec![Script { heartbeat: Some(150), ..at(Connection::Both) }]);
    desk.start("com.apple.afc", 50_000);
    desk.start("com.apple.afc", 50_001);
    let mut network = desk.connect_to(2, 50_000);
    let usb = desk.connect_to(1, 50_001);
    assert_eq!(network.read(&mut [0; 1]).unwrap(), 0);
    usb.patience(Some(Duration::from_millis(50))).unwrap();
    assert!((&usb).read(&mut [0; 1]).is_err());
    let events = desk.server.phones()[0].events().unwrap();
    assert!(events.iter().any(|event| event.event == "no Polo came"));
}

#[test]
fn services_over_the_network_last_while_heartbeats_are_answered() {
    let desk = Desk::of(vec![Script { heartbeat: Some(300), ..at(Connection::Network) }]);
    desk.start("com.apple.afc", 50_000);
    desk.start(heartbeat::NAME, 50_001);
    let network = desk.connect_to(2, 50_000);
    network.patience(Some(Duration::from_millis(10))).unwrap();
    let mut beat = Link::Plain(Box::new(desk.connect_to(2, 50_001)));
    for _ in 0..15 {
        let marco = beat.read_plist().unwrap().into_dictionary().unwrap();
        assert_eq!(text(&marco, "Command"), "Marco");
        let mut polo = Dictionary::new();
        polo.insert("Command".into(), "Polo".into());
        beat.write_binary(&polo.into()).unwrap();
        assert!((&network).read(&mut [0; 1]).is_err());
    }
}

#[test]
fn a_server_that_is_dropped_leaves_nothing_running() {
    let desk = Desk::of(vec![at(Connection::Usb)]);
    let phone = Arc::clone(&desk.server.phones()[0]);
    let address = desk.server.address().to_owned();
    let mut listening = desk.connect();
    ask(&mut listening, "Listen", &[]);
    let mut lockdown = desk.connect_to(1, 62_078);
    drop(desk);
    assert!(UnixStream::connect(address).is_err());
    let mut rest = Vec::new();
    listening.read_to_end(&mut rest).unwrap();
    assert_eq!(lockdown.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(Arc::strong_count(&phone), 1);
}
