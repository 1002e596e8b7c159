//! Property lists, binary and XML, read with bounds.
//!
//! Invariant: whatever the bytes say, parsing ends, does not recurse, and holds memory bounded by the
//! [`Limits`], not by what the file claims. A binary list may name one object from many places, so a few
//! kilobytes can unfold into any size or depth; the limits are checked on the stream of events, before a
//! value is built. Does not know what any list means.

use std::error::Error;
use std::io::Cursor;
use std::time::SystemTime;

use jiff::Timestamp;
use plist::stream::{BinaryReader, Event, XmlReader};
use plist::{Dictionary, Value};

/// Why a property list cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PlistError {
    /// A file of length zero; backup folders of interrupted backups have them.
    #[error("the property list is empty")]
    Empty,
    /// Longer than any such list that a phone or a computer writes.
    #[error("the property list has {len} bytes, more than the {len_max} allowed")]
    TooLong {
        /// Bytes in the file.
        len: u64,
        /// Bytes accepted.
        len_max: u64,
    },
    /// Dictionaries and arrays inside each other, deeper than any real list.
    #[error("the property list is nested deeper than {depth_max}")]
    TooDeep {
        /// Levels accepted.
        depth_max: usize,
    },
    /// It unfolds into more values, or more bytes of text and data, than any real list.
    #[error("the property list unfolds beyond any honest size")]
    TooLarge,
    /// Neither a binary nor an XML property list, or a damaged or cut one.
    #[error("the property list is malformed")]
    Malformed(#[source] Box<dyn Error + Send + Sync>),
    /// A valid list whose outermost value is no dictionary.
    #[error("the property list is not a dictionary")]
    NotADictionary,
}

/// What a list of one kind may cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of the file, and again bytes of all strings and data in it once unfolded.
    pub(crate) len_max: u64,
    /// Levels of arrays and dictionaries.
    pub(crate) depth_max: usize,
    /// Values once unfolded; a dictionary's keys count too.
    pub(crate) value_count_max: u64,
}

impl Limits {
    /// `Status.plist` has 189 bytes.
    pub(crate) const STATUS: Self = Self::new(1 << 20, 4096);
    /// `Info.plist` holds every app's icon: 9.5 MB were seen.
    pub(crate) const INFO: Self = Self::new(64 << 20, 1 << 20);
    /// `Manifest.plist` lists some 1200 apps: 430 KB were seen.
    pub(crate) const MANIFEST: Self = Self::new(64 << 20, 1 << 20);
    /// The blob of one row of `Manifest.db`: 1850 bytes were seen.
    pub(crate) const FILE_BLOB: Self = Self::new(1 << 20, 4096);
    /// One message of a phone: its batches name 128 files each; a restore may ask for more at once.
    pub(crate) const MESSAGE: Self = Self::new(16 << 20, 1 << 20);

    const fn new(len_max: u64, value_count_max: u64) -> Self {
        Self { len_max, depth_max: 64, value_count_max }
    }
}

const BINARY_MAGIC: &[u8] = b"bplist00";

/// The outermost dictionary of a binary or XML list.
pub(crate) fn parse_dictionary(bytes: &[u8], limits: Limits) -> Result<Dictionary, PlistError> {
    parse_value(bytes, limits)?.into_dictionary().ok_or(PlistError::NotADictionary)
}

/// The outermost value, of any kind, of a binary or XML list.
pub(crate) fn parse_value(bytes: &[u8], limits: Limits) -> Result<Value, PlistError> {
    if bytes.is_empty() {
        return Err(PlistError::Empty);
    }
    let len = bytes.len() as u64;
    if len > limits.len_max {
        return Err(PlistError::TooLong { len, len_max: limits.len_max });
    }
    if !bytes.starts_with(BINARY_MAGIC) {
        return build(XmlReader::new(bytes), limits);
    }
    if binary_counts_exceed(bytes, limits.value_count_max) {
        return Err(PlistError::TooLarge);
    }
    build(BinaryReader::new(Cursor::new(bytes)), limits)
}

/// Builds the value unless the events pass a limit.
///
/// The builder itself does not recurse, but dropping what it built does: the depth is checked before.
fn build(
    events: impl Iterator<Item = Result<Event<'static>, plist::Error>>,
    limits: Limits,
) -> Result<Value, PlistError> {
    let mut meter =
        Meter { limits, depth: 0, values_left: limits.value_count_max, bytes_left: limits.len_max };
    let mut broken = None;
    let bounded = events.map_while(|event| {
        let verdict = event.as_ref().map_or(Ok(()), |event| meter.take(event));
        match verdict {
            Ok(()) => Some(event),
            Err(limit) => {
                broken = Some(limit);
                None
            }
        }
    });
    let built = Value::from_events(bounded);
    match broken {
        Some(limit) => Err(limit),
        None => built.map_err(|error| PlistError::Malformed(Box::new(error))),
    }
}

struct Meter {
    limits: Limits,
    depth: usize,
    values_left: u64,
    bytes_left: u64,
}

impl Meter {
    fn take(&mut self, event: &Event<'_>) -> Result<(), PlistError> {
        match event {
            Event::StartArray(count) => self.open(count.unwrap_or(0)),
            Event::StartDictionary(count) => self.open(count.unwrap_or(0).saturating_mul(2)),
            Event::EndCollection => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Event::Data(data) => self.spend(1, data.len() as u64),
            Event::String(text) => self.spend(1, text.len() as u64),
            _ => self.spend(1, 0),
        }
    }

    /// A collection that claims `count` members. They are paid for here and again one by one, so the
    /// number of accepted values is half of the limit for binary lists; the limits leave room for that.
    fn open(&mut self, count: u64) -> Result<(), PlistError> {
        self.depth += 1;
        if self.depth > self.limits.depth_max {
            return Err(PlistError::TooDeep { depth_max: self.limits.depth_max });
        }
        self.spend(count.saturating_add(1), 0)
    }

    fn spend(&mut self, values: u64, bytes: u64) -> Result<(), PlistError> {
        self.values_left = self.values_left.checked_sub(values).ok_or(PlistError::TooLarge)?;
        self.bytes_left = self.bytes_left.checked_sub(bytes).ok_or(PlistError::TooLarge)?;
        Ok(())
    }
}

/// True if a binary list declares more objects, or one collection with more members, than `count_max`.
///
/// The reader allocates 8 to 32 bytes for each object and member before it tells of them, so these counts
/// have to be seen first. What cannot be followed here is left to the reader, which refuses it.
fn binary_counts_exceed(bytes: &[u8], count_max: u64) -> bool {
    let Some(trailer) = bytes.last_chunk::<32>() else {
        return false;
    };
    let [_, _, _, _, _, _, offset_len, _, rest @ ..] = trailer;
    let [object_count, _root, table_start] =
        [0, 8, 16].map(|at| big_endian(rest, at, 8).unwrap_or(0));
    if object_count > count_max {
        return true;
    }
    let offset_len = u64::from(*offset_len);
    (0..object_count).any(|index| {
        let at = table_start.saturating_add(index.saturating_mul(offset_len));
        big_endian(bytes, at, offset_len)
            .and_then(|start| member_count(bytes, start))
            .is_some_and(|count| count > count_max)
    })
}

/// The members that an array or dictionary at `start` claims; `None` for other objects.
fn member_count(bytes: &[u8], start: u64) -> Option<u64> {
    let marker = big_endian(bytes, start, 1)?;
    match (marker >> 4, marker & 0x0f) {
        (0xa | 0xd, 0x0f) => {
            let width = big_endian(bytes, start.checked_add(1)?, 1)?;
            // The reader looks at these two bits alone.
            big_endian(bytes, start.checked_add(2)?, 1 << (width & 3))
        }
        (0xa | 0xd, count) => Some(count),
        _ => None,
    }
}

/// `len` (1 to 8) bytes at `start` as a number, if they are there.
fn big_endian(bytes: &[u8], start: u64, len: u64) -> Option<u64> {
    if !(1..=8).contains(&len) {
        return None;
    }
    let start = usize::try_from(start).ok()?;
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    let digits = bytes.get(start..end)?;
    Some(digits.iter().fold(0, |number, digit| (number << 8) | u64::from(*digit)))
}

/// The text under `key`; `None` if absent or no text.
pub(crate) fn text(dictionary: &Dictionary, key: &str) -> Option<String> {
    dictionary.get(key)?.as_string().map(str::to_owned)
}

/// The truth value under `key`; `None` if absent or anything else.
pub(crate) fn truth(dictionary: &Dictionary, key: &str) -> Option<bool> {
    dictionary.get(key)?.as_boolean()
}

/// The date under `key`; `None` if absent, no date, or outside the years -9999 to 9999.
pub(crate) fn date(dictionary: &Dictionary, key: &str) -> Option<Timestamp> {
    let date = dictionary.get(key)?.as_date()?;
    Timestamp::try_from(SystemTime::from(date)).ok()
}

/// How many members the array or dictionary under `key` has; `None` if it is neither.
pub(crate) fn count(dictionary: &Dictionary, key: &str) -> Option<u64> {
    match dictionary.get(key)? {
        Value::Array(members) => Some(members.len() as u64),
        Value::Dictionary(members) => Some(members.len() as u64),
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod fixtures;
#[cfg(test)]
mod tests;
