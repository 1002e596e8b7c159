//! The mux daemon's own language: property lists behind four little-endian numbers.
//!
//! Invariant: each request has a socket of its own, so that an answer cannot be taken for another's. What the daemon says
//! is bounded before it is read. A pair record passes through and is never shown.

use super::message::{dictionary, parse, read, text, write_xml};
use super::stream::PhoneStream;
use super::wire::{Patience, Stop, Wire};
use super::{Attached, ConnectError, MuxerAddress};
use plist::{Dictionary, Value};
use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

const FROM: &str = "the mux daemon";
const HEADER_LEN: u32 = 16;
/// A pair record has some 10 KB, a phone in a list 1 KB.
const MESSAGE_LEN_MAX: u32 = 4 << 20;
const VERSION: u32 = 1;
const PROPERTY_LIST: u32 = 8;
const TAG: u32 = 1;
const OK: u64 = 0;
const BAD_DEVICE: u64 = 2;
const REFUSED: u64 = 3;

/// How long the daemon, and lockdown behind it, may take for an answer.
pub(super) const ANSWER_IDLE: Duration = Duration::from_secs(30);

/// The mux daemon: knows which phones are attached, keeps pair records, and leads to the ports of a phone.
#[derive(Clone)]
pub struct Muxer {
    address: MuxerAddress,
    runtime: Arc<Runtime>,
    patience: Patience,
}

impl Muxer {
    /// A daemon at `address`. Nothing is connected yet.
    ///
    /// # Errors
    /// The system has no thread to spare.
    pub fn new(address: MuxerAddress) -> Result<Self, ConnectError> {
        // One thread watches all sockets; reads and writes happen on the threads of their callers.
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.map_err(ConnectError::NoThread)?;
        let patience = Patience { idle: ANSWER_IDLE, stop: Arc::new(|| false) };
        Ok(Self { address, runtime: Arc::new(runtime), patience })
    }

    /// The same daemon, with a question that ends every wait once it says true.
    #[must_use]
    pub fn with_stop(mut self, stop: Stop) -> Self {
        self.patience.stop = stop;
        self
    }

    /// The same daemon, with another time for answers than 30 s.
    #[must_use]
    pub fn with_idle(mut self, idle: Duration) -> Self {
        self.patience.idle = idle;
        self
    }

    /// Whether to stop now.
    pub(super) fn is_stopped(&self) -> bool {
        (self.patience.stop)()
    }

    pub(super) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(super) fn patience(&self) -> &Patience {
        &self.patience
    }

    /// Asks once and reads one answer.
    pub(super) fn ask(
        &self,
        request: &'static str,
        members: Dictionary,
    ) -> Result<(Wire, Dictionary), ConnectError> {
        let mut wire = Wire::connect(&self.address, &self.runtime, &self.patience)?;
        send(&mut wire, request, members)?;
        let answer = receive(&mut wire)?;
        Ok((wire, answer))
    }

    /// Asks for something that is answered with a number.
    pub(super) fn command(
        &self,
        request: &'static str,
        members: Dictionary,
    ) -> Result<Wire, ConnectError> {
        let (wire, answer) = self.ask(request, members)?;
        match number(&answer) {
            Some(OK) => Ok(wire),
            Some(BAD_DEVICE | REFUSED) if request == "Connect" => Err(ConnectError::PhoneGone),
            Some(number) => Err(ConnectError::MuxerSaid { request, number }),
            None => Err(ConnectError::Malformed { from: FROM, what: "a result" }),
        }
    }

    /// A connection to a port of the phone, in the clear.
    pub(super) fn connect(
        &self,
        attached: &Attached,
        port: u16,
    ) -> Result<PhoneStream, ConnectError> {
        let wire = self.command(
            "Connect",
            dictionary([
                ("DeviceID", attached.device_id.into()),
                // In network order, as a number of a little-endian host.
                ("PortNumber", port.swap_bytes().into()),
            ]),
        )?;
        Ok(PhoneStream::plain(wire))
    }

    /// This computer's id, as the daemon keeps it.
    pub(super) fn buid(&self) -> Result<String, ConnectError> {
        let (_, answer) = self.ask("ReadBUID", Dictionary::new())?;
        match text(&answer, "BUID") {
            "" => Err(ConnectError::Malformed { from: FROM, what: "a BUID" }),
            buid => Ok(buid.to_owned()),
        }
    }

    /// The bytes of a pair record.
    pub(super) fn pair_record(&self, udid: &str) -> Result<Zeroizing<Vec<u8>>, ConnectError> {
        // Daemons differ in whether a record's name has the dash.
        for name in spellings(udid) {
            let members = dictionary([("PairRecordID", name.into())]);
            let (_, mut answer) = self.ask("ReadPairRecord", members)?;
            if let Some(Value::Data(record)) = answer.remove("PairRecordData") {
                return Ok(Zeroizing::new(record));
            }
            match number(&answer) {
                Some(OK) | None => {
                    return Err(ConnectError::Malformed { from: FROM, what: "a pair record" });
                }
                Some(_) => {}
            }
        }
        Err(ConnectError::NotPaired)
    }

    /// Has the daemon keep a pair record.
    pub(super) fn save_pair_record(
        &self,
        attached: &Attached,
        record: &[u8],
    ) -> Result<(), ConnectError> {
        let members = dictionary([
            ("PairRecordID", attached.udid.as_str().into()),
            ("PairRecordData", Value::Data(record.to_vec())),
            ("DeviceID", attached.device_id.into()),
        ]);
        self.command("SavePairRecord", members).map(drop)
    }

    /// Has the daemon forget the pair record in each spelling; one that is not there is fine.
    pub(super) fn delete_pair_record(&self, udid: &str) -> Result<(), ConnectError> {
        for name in spellings(udid) {
            match self.command("DeletePairRecord", dictionary([("PairRecordID", name.into())])) {
                Ok(_) | Err(ConnectError::MuxerSaid { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Muxer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Muxer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// A UDID as it was told, and with the dash that newer ones have put in or left out.
fn spellings(udid: &str) -> Vec<String> {
    let other = match (udid.len(), udid.get(..8), udid.get(8..)) {
        (24, Some(head), Some(tail)) => Some(format!("{head}-{tail}")),
        (25, ..) => Some(udid.replace('-', "")),
        _ => None,
    };
    std::iter::once(udid.to_owned()).chain(other).collect()
}

/// The number of a `Result`.
pub(super) fn number(answer: &Dictionary) -> Option<u64> {
    answer.get("Number").and_then(Value::as_unsigned_integer)
}

fn send(wire: &mut Wire, request: &str, mut members: Dictionary) -> Result<(), ConnectError> {
    members.extend(dictionary([
        ("MessageType", request.into()),
        ("ClientVersionString", "russet".into()),
        ("ProgName", "russet".into()),
        ("kLibUSBMuxVersion", 3.into()),
    ]));
    let mut bytes = vec![0; 16];
    write_xml(members, &mut bytes)?;
    let len = u32::try_from(bytes.len())
        .map_err(|_| ConnectError::Malformed { from: "this computer", what: "a short message" })?;
    for (place, word) in bytes.chunks_exact_mut(4).zip([len, VERSION, PROPERTY_LIST, TAG]) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    wire.write_all(&bytes)?;
    Ok(wire.flush()?)
}

/// Reads one message: an answer, or news on a socket that listens.
pub(super) fn receive(wire: &mut Wire) -> Result<Dictionary, ConnectError> {
    let mut words = [0; 4];
    for word in &mut words {
        let mut bytes = [0; 4];
        wire.read_exact(&mut bytes)?;
        *word = u32::from_le_bytes(bytes);
    }
    let [len, version, kind, _] = words;
    if version != VERSION || kind != PROPERTY_LIST || len < HEADER_LEN {
        return Err(ConnectError::Malformed { from: FROM, what: "a property list" });
    }
    let len_max = u64::from(MESSAGE_LEN_MAX);
    let bytes = Zeroizing::new(read(wire, FROM, u64::from(len - HEADER_LEN), len_max)?);
    parse(&bytes, FROM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_record_is_looked_for_with_and_without_the_dash() {
        let (bare, dashed) = ("00008110001122334455667A", "00008110-001122334455667A");
        assert_eq!(spellings(bare), [bare, dashed]);
        assert_eq!(spellings(dashed), [dashed, bare]);
        let old = "1cb128eafa77c5be74283e9a3a2130af36a3c059";
        assert_eq!(spellings(old), [old]);
    }
}
