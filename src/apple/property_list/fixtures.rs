//! Property lists for the tests of this room: written, damaged, and hostile.
//!
//! Invariant: what `damaged` makes depends on proptest's seed alone. Not compiled outside tests.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use plist::{Dictionary, Value};
use proptest::prelude::*;
use proptest::sample::Index;

/// A dictionary with these members.
pub(crate) fn dictionary<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
    Value::Dictionary(members.collect::<Dictionary>())
}

/// The value as a binary list.
pub(crate) fn binary(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.to_writer_binary(&mut bytes).unwrap();
    bytes
}

/// The value as an XML list.
pub(crate) fn xml(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.to_writer_xml(&mut bytes).unwrap();
    bytes
}

/// Random bytes, or one of `valid` cut short, or with some bytes overwritten.
pub(crate) fn damaged(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec((any::<Index>(), any::<u8>()), 0..6);
    let cut = prop::option::weighted(0.3, any::<Index>());
    let near = (prop::sample::select(valid), edits, cut).prop_map(|(mut bytes, edits, cut)| {
        for (at, byte) in edits {
            *at.get_mut(&mut bytes) = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        bytes
    });
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let noise_with_magic = prop::collection::vec(any::<u8>(), 0..200)
        .prop_map(|tail| [b"bplist00", tail.as_slice()].concat());
    prop_oneof![1 => noise, 1 => noise_with_magic, 6 => near]
}

/// A binary list of these encoded objects, the first being the root; object numbers are two bytes wide.
pub(crate) fn raw_binary(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"bplist00".to_vec();
    let mut starts = Vec::new();
    for object in objects {
        starts.push(bytes.len() as u64);
        bytes.extend_from_slice(object);
    }
    let table_start = bytes.len() as u64;
    for start in &starts {
        bytes.extend_from_slice(&start.to_be_bytes());
    }
    bytes.extend_from_slice(&[0, 0, 0, 0, 0, 0, 8, 2]);
    for number in [starts.len() as u64, 0, table_start] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// An encoded array of these object numbers, at most 14.
pub(crate) fn raw_array(members: &[u16]) -> Vec<u8> {
    let marker = 0xa0 | u8::try_from(members.len()).unwrap();
    let numbers = members.iter().flat_map(|number| number.to_be_bytes());
    std::iter::once(marker).chain(numbers).collect()
}
