//! The record of a row: a header of types, and the values behind it.
//!
//! Invariant: a value is as long as its type says, all values together as long as the row; of a value longer than wanted
//! only the length is given.

use super::super::manifest_row::Stored;
use super::pages::Payload;
use super::{Damage, ManifestPagesError, PageSource};

/// As SQLite: three bytes for each of the most columns there can be, and its own length.
const HEADER_LEN_MAX: u64 = 98_307;

/// Which value of a record is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Which column of the table.
    pub(super) position: usize,
    /// Bytes of the longest that is taken.
    pub(super) len_max: u64,
}

/// Reads an integer of one to nine bytes; gives it and what follows.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (at, byte) in (1..).zip(bytes.iter().take(9)) {
        let rest = bytes.get(at..)?;
        if at == 9 {
            return Some((value << 8 | u64::from(*byte), rest));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Some((value, rest));
        }
    }
    None
}

/// Reads the wanted values of a row, in rising order of their positions. A row that has fewer columns holds `NULL` there.
pub(super) fn read_values<S: PageSource, const N: usize>(
    payload: &mut Payload<'_, S>,
    wanted: &[Wanted; N],
) -> Result<[Stored; N], ManifestPagesError> {
    let damage = Damage::Record { page: payload.page };
    let (header_len, types) = read_header(payload)?;
    let mut places = [Place::default(); N];
    let mut left = places.iter_mut().zip(wanted).peekable();
    let mut at = header_len;
    let mut rest = types.as_slice();
    for position in 0.. {
        if rest.is_empty() {
            break;
        }
        let (type_code, after) = varint(rest).ok_or(damage)?;
        let len = value_len(type_code);
        if let Some((place, _)) = left.next_if(|(_, wanted)| wanted.position == position) {
            *place = Place { type_code, at, len };
        }
        at = at.checked_add(len).ok_or(damage)?;
        rest = after;
    }
    if at != payload.len {
        return Err(damage.into());
    }
    let mut done = header_len;
    let mut values = [const { Stored::Null }; N];
    for ((value, place), wanted) in values.iter_mut().zip(places).zip(wanted) {
        *value = if place.type_code >= 12 && place.len > wanted.len_max {
            Stored::TooLong { len: place.len }
        } else if place.len == 0 {
            decode(place.type_code, Vec::new())
        } else {
            payload.skip(place.at.saturating_sub(done))?;
            done = place.at + place.len;
            decode(place.type_code, payload.take(place.len)?)
        };
    }
    Ok(values)
}

/// The length of the header and the types in it.
fn read_header<S: PageSource>(
    payload: &mut Payload<'_, S>,
) -> Result<(u64, Vec<u8>), ManifestPagesError> {
    let damage = Damage::Record { page: payload.page };
    let mut first = Vec::with_capacity(3);
    let len = loop {
        first.push(payload.byte()?);
        match varint(&first) {
            Some((len, _)) => break len,
            None if first.len() < 9 => {}
            None => return Err(damage.into()),
        }
    };
    let types_len = len.checked_sub(first.len() as u64).ok_or(damage)?;
    if len > HEADER_LEN_MAX {
        return Err(damage.into());
    }
    Ok((len, payload.take(types_len)?))
}

/// Where a value lies in its row. The default is `NULL`.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    type_code: u64,
    at: u64,
    len: u64,
}

fn value_len(type_code: u64) -> u64 {
    match type_code {
        // 10 and 11 are kept for SQLite itself, which takes them for NULL.
        0 | 8..=11 => 0,
        1..=4 => type_code,
        5 => 6,
        6 | 7 => 8,
        _ => (type_code - 12) / 2,
    }
}

fn decode(type_code: u64, bytes: Vec<u8>) -> Stored {
    match type_code {
        1..=6 => Stored::Integer(integer(&bytes)),
        7 => {
            let real = bytes.first_chunk().map_or(f64::NAN, |bytes| f64::from_be_bytes(*bytes));
            // SQLite has no such number.
            if real.is_nan() { Stored::Null } else { Stored::Real(real) }
        }
        8 => Stored::Integer(0),
        9 => Stored::Integer(1),
        code if code >= 12 && code % 2 == 0 => Stored::Blob(bytes),
        code if code >= 13 => Stored::Text(bytes),
        _ => Stored::Null,
    }
}

/// A signed big-endian integer of up to eight bytes.
fn integer(bytes: &[u8]) -> i64 {
    let first = bytes.first().map_or(0, |byte| if *byte < 0x80 { 0 } else { -1 });
    bytes.iter().fold(first, |value, byte| value << 8 | i64::from(*byte))
}
