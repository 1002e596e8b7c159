//! Services that answer anything at all.
//!
//! Invariant: no panic, an end, and nothing kept beyond what was allowed.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use russet_testkit::Deaf;

const FILE_LEN_MAX: u64 = 100;

/// An answer of the media service: what it announces is true but for what `lie` adds.
fn media_answer(
    number: u64,
    (operation, len, payload, lie): &(u64, usize, Vec<u8>, u64),
) -> Vec<u8> {
    let arguments = vec![0; *len];
    let this_len = 40 + arguments.len() as u64;
    let entire_len = this_len.wrapping_add(payload.len() as u64).wrapping_add(*lie);
    let words = [entire_len, this_len, number, *operation].map(u64::to_le_bytes);
    [b"CFA6LPAA", words.as_flattened(), &arguments, payload].concat()
}

/// Reads one file after the other until the service makes no sense any more.
fn read_all(bytes: Vec<u8>) -> Result<(), TestCaseError> {
    let mut media = Media::over(Deaf::new(bytes));
    while let Ok(file) = media.read_file("/x", FILE_LEN_MAX) {
        prop_assert!(file.is_none_or(|bytes| bytes.len() as u64 <= FILE_LEN_MAX));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_bytes_of_any_service_end(bytes in vec(any::<u8>(), 0..300)) {
        let _ = browse(&mut Deaf::new(bytes.clone()));
        let _ = message::receive(&mut bytes.as_slice(), "a test");
        let _ = record::PairRecord::decode(&bytes, Connection::Usb);
        read_all(bytes)?;
    }

    #[test]
    fn any_list_of_any_service_ends(
        names in vec("[A-Za-z]{0,12}|Status|Complete|CurrentList|Error|HostID|EscrowBag", 0..8),
        depth in 0..4_u32,
    ) {
        let mut value = plist::Value::from("Complete");
        for name in &names {
            value = if depth % 2 == 0 { vec![value].into() } else { value };
            value = message::dictionary([(name.as_str(), value)]).into();
        }
        let mut bytes = Vec::new();
        message::send(&mut bytes, value.into_dictionary().unwrap_or_default()).unwrap();
        let _ = browse(&mut Deaf::new(bytes.clone()));
        let _ = record::PairRecord::decode(bytes.get(4..).unwrap_or_default(), Connection::Network);
    }

    #[test]
    fn any_answers_in_turn_are_read_or_refused(
        answers in vec(
            (0..20_u64, 0..17_usize, vec(any::<u8>(), 0..60), prop_oneof![9 => Just(0), 1 => any::<u64>()]),
            0..12,
        ),
    ) {
        let all = (1_u64..).zip(&answers).map(|(number, answer)| media_answer(number, answer));
        read_all(all.collect::<Vec<_>>().concat())?;
    }
}
