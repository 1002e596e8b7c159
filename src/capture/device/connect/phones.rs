//! Which phones are attached, by cable or over the network.
//!
//! Invariant: a phone is told once, by cable if it is there both ways. Its id is plain text of a known alphabet: it becomes
//! part of file names and messages.

use super::ConnectError;
use super::message::text;
use super::muxer::{Muxer, number, receive};
use super::wire::Stop;
use plist::{Dictionary, Value};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

/// Most phones that are told.
const PHONE_COUNT_MAX: usize = 4096;
const UDID_LEN_MAX: usize = 64;

/// How a phone is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Connection {
    /// By cable.
    Usb,
    /// Over Wi-Fi or Ethernet.
    Network,
}

/// An attached phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// As the daemon tells it; some leave out the dash of newer ones, see [`same_udid`].
    pub udid: String,
    /// How.
    pub connection: Connection,
    /// The daemon's number for this attachment; another one after each replug.
    pub device_id: u32,
    /// Apple's number of the USB product, if told.
    pub product_id: Option<u64>,
}

/// Whether two UDIDs are the same phone's, with or without the dash, in either case.
#[must_use]
pub fn same_udid(one: &str, other: &str) -> bool {
    key(one) == key(other)
}

fn key(udid: &str) -> String {
    udid.chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase()).collect()
}

impl Muxer {
    /// The phones attached now, in the order of their UDIDs.
    ///
    /// # Errors
    /// The daemon is not there, or does not answer as one.
    pub fn list(&self) -> Result<Vec<Attached>, ConnectError> {
        let (_, mut answer) = self.ask("ListDevices", Dictionary::new())?;
        let Some(Value::Array(devices)) = answer.remove("DeviceList") else {
            return Err(match number(&answer) {
                Some(number) => ConnectError::MuxerSaid { request: "ListDevices", number },
                None => {
                    ConnectError::Malformed { from: "the mux daemon", what: "a list of phones" }
                }
            });
        };
        let told = devices.iter().take(PHONE_COUNT_MAX).filter_map(Value::as_dictionary);
        Ok(unique(told.filter_map(attached)))
    }

    /// Tells the phones attached, each time that changes, until `on_change` breaks or `stop` says true.
    ///
    /// # Errors
    /// The daemon is not there, does not answer as one, or ended ([`ConnectError::Lost`]).
    pub fn watch(
        &self,
        on_change: &mut dyn FnMut(&[Attached]) -> ControlFlow<()>,
        stop: Stop,
    ) -> Result<(), ConnectError> {
        let mut wire = self.clone().with_stop(stop).command("Listen", Dictionary::new())?;
        wire.patience.idle = Duration::MAX;
        let mut all = BTreeMap::new();
        let mut told = Vec::new();
        loop {
            let news = match receive(&mut wire) {
                Err(ConnectError::Stopped) => return Ok(()),
                other => other?,
            };
            match text(&news, "MessageType") {
                "Attached" if all.len() < PHONE_COUNT_MAX => {
                    all.extend(attached(&news).map(|phone| (phone.device_id, phone)));
                }
                "Detached" => {
                    all.retain(|id, _| Some(u64::from(*id)) != unsigned(&news, "DeviceID"));
                }
                _ => {}
            }
            let now = unique(all.values().cloned());
            if now != told {
                if on_change(&now).is_break() {
                    return Ok(());
                }
                told = now;
            }
        }
    }
}

fn unique(all: impl Iterator<Item = Attached>) -> Vec<Attached> {
    let mut phones: BTreeMap<String, Attached> = BTreeMap::new();
    for phone in all {
        let known = phones.get(&key(&phone.udid));
        if known.is_none_or(|known| phone.connection < known.connection) {
            phones.insert(key(&phone.udid), phone);
        }
    }
    phones.into_values().collect()
}

/// What an `Attached` message tells; none if it has no usable id.
fn attached(message: &Dictionary) -> Option<Attached> {
    let properties = message.get("Properties").and_then(Value::as_dictionary)?;
    let udid = text(properties, "SerialNumber");
    let is_plain = udid.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !(1..=UDID_LEN_MAX).contains(&udid.len()) || !is_plain {
        return None;
    }
    let device_id = unsigned(message, "DeviceID").or_else(|| unsigned(properties, "DeviceID"))?;
    let connection = match text(properties, "ConnectionType") {
        "Network" => Connection::Network,
        _ => Connection::Usb,
    };
    Some(Attached {
        udid: udid.to_owned(),
        connection,
        device_id: u32::try_from(device_id).ok()?,
        product_id: unsigned(properties, "ProductID"),
    })
}

fn unsigned(message: &Dictionary, key: &str) -> Option<u64> {
    message.get(key).and_then(Value::as_unsigned_integer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phone(udid: &str, connection: Connection, device_id: u32) -> Attached {
        Attached { udid: udid.to_owned(), connection, device_id, product_id: None }
    }

    #[test]
    fn a_phone_on_cable_and_network_is_told_once_and_by_cable() {
        let cable = phone("00008110-001122334455667A", Connection::Usb, 2);
        let all = [
            phone("00008110001122334455667A", Connection::Network, 1),
            cable.clone(),
            phone("00008110-001122334455667A", Connection::Network, 3),
        ];
        assert_eq!(unique(all.into_iter()), [cable]);
    }

    #[test]
    fn a_udid_is_the_same_without_its_dash() {
        assert!(same_udid("00008110-001122334455667A", "00008110001122334455667a"));
        assert!(!same_udid("00008110-001122334455667A", "00008110-001122334455667B"));
    }
}
