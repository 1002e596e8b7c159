//! Property lists as phones and their services frame them: a length, big-endian, and the list.
//!
//! Invariant: nothing is allocated on the other side's word; a list is bounded in bytes, depth and values before it is
//! built. A message leaves in one write. Does not know what a message means.

use super::ConnectError;
use crate::apple::{Limits, parse_dictionary};
use plist::{Dictionary, Value};
use std::io::{Read, Write};

/// What a control service may send in one message.
pub(super) const LIMITS: Limits =
    Limits { len_max: 64 << 20, depth_max: 64, value_count_max: 1 << 20 };

/// Sends one message, in XML, which every service takes.
pub(super) fn send(stream: &mut impl Write, message: Dictionary) -> Result<(), ConnectError> {
    let mut bytes = vec![0; 4];
    write_xml(message, &mut bytes)?;
    let len = u32::try_from(bytes.len().saturating_sub(4))
        .map_err(|_| ConnectError::Malformed { from: "this computer", what: "a short message" })?;
    for (place, byte) in bytes.iter_mut().zip(len.to_be_bytes()) {
        *place = byte;
    }
    stream.write_all(&bytes)?;
    Ok(stream.flush()?)
}

/// Reads one message.
pub(super) fn receive(
    stream: &mut impl Read,
    from: &'static str,
) -> Result<Dictionary, ConnectError> {
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let bytes = read(stream, from, u64::from(u32::from_be_bytes(len)), LIMITS.len_max)?;
    parse(&bytes, from)
}

/// `len` bytes, if that is no more than `len_max`; the buffer grows as they come.
pub(super) fn read(
    stream: &mut impl Read,
    from: &'static str,
    len: u64,
    len_max: u64,
) -> Result<Vec<u8>, ConnectError> {
    if len > len_max {
        return Err(ConnectError::TooLong { from, len });
    }
    let mut bytes = Vec::new();
    stream.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == len {
        Ok(bytes)
    } else {
        Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into())
    }
}

/// A dictionary within [`LIMITS`].
pub(super) fn parse(bytes: &[u8], from: &'static str) -> Result<Dictionary, ConnectError> {
    parse_dictionary(bytes, LIMITS).map_err(|source| ConnectError::Unreadable { from, source })
}

/// Appends a dictionary in XML.
pub(super) fn write_xml(message: Dictionary, bytes: &mut Vec<u8>) -> Result<(), ConnectError> {
    Value::Dictionary(message)
        .to_writer_xml(bytes)
        .map_err(|_| ConnectError::Malformed { from: "this computer", what: "a property list" })
}

/// A dictionary of these.
pub(super) fn dictionary<const N: usize>(members: [(&str, Value); N]) -> Dictionary {
    members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The text under `key`, empty if there is none.
pub(super) fn text<'a>(message: &'a Dictionary, key: &str) -> &'a str {
    message.get(key).and_then(Value::as_string).unwrap_or_default()
}
