//! What the reader of property lists accepts, and each thing it refuses.
//!
//! Invariant: hostile lists are written byte by byte here, so that no writer has to agree to make them.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use plist::Value;
use proptest::prelude::*;

use super::fixtures::{binary, damaged, dictionary, raw_array, raw_binary, xml};
use super::*;

const SMALL: Limits = Limits { len_max: 1 << 16, depth_max: 64, value_count_max: 4096 };

fn nested(levels: usize) -> Value {
    (0..levels).fold(dictionary([]), |inner, _| dictionary([("in", inner)]))
}

#[test]
fn a_binary_and_an_xml_list_give_the_same_dictionary() {
    let value = dictionary([
        ("a", 1.into()),
        ("b", Value::Data(vec![0, 255])),
        ("c", Value::Array(vec![true.into()])),
    ]);
    let from_binary = parse_dictionary(&binary(&value), SMALL).unwrap();
    let from_xml = parse_dictionary(&xml(&value), SMALL).unwrap();
    assert_eq!(Value::Dictionary(from_binary), value);
    assert_eq!(Value::Dictionary(from_xml), value);
}

#[test]
fn an_array_is_not_a_dictionary() {
    let bytes = binary(&Value::Array(Vec::new()));
    assert!(matches!(parse_dictionary(&bytes, SMALL).unwrap_err(), PlistError::NotADictionary));
}

#[test]
fn noise_is_malformed() {
    let error = parse_dictionary(b"\x00\x01\x02 no list", SMALL).unwrap_err();
    assert!(matches!(error, PlistError::Malformed(_)));
}

#[test]
fn a_list_of_exactly_the_longest_length_is_read() {
    let bytes = binary(&dictionary([("a", 1.into())]));
    let len_max = bytes.len() as u64;
    let limits = Limits { len_max, ..SMALL };
    assert!(parse_dictionary(&bytes, limits).is_ok());
    let tighter = Limits { len_max: len_max - 1, ..SMALL };
    assert!(matches!(parse_dictionary(&bytes, tighter).unwrap_err(), PlistError::TooLong { .. }));
}

#[test]
fn nesting_is_accepted_up_to_the_limit_only() {
    for encode in [binary, xml] {
        assert!(parse_dictionary(&encode(&nested(63)), SMALL).is_ok());
        let error = parse_dictionary(&encode(&nested(64)), SMALL).unwrap_err();
        assert!(matches!(error, PlistError::TooDeep { depth_max: 64 }));
    }
}

#[test]
fn a_million_open_arrays_in_xml_do_not_exhaust_the_stack() {
    let bomb = format!("<plist><dict><key>a</key>{}", "<array>".repeat(1_000_000));
    let error = parse_dictionary(bomb.as_bytes(), Limits::INFO).unwrap_err();
    assert!(matches!(error, PlistError::TooDeep { .. }));
}

#[test]
fn fifty_thousand_nested_binary_arrays_do_not_exhaust_the_stack() {
    let objects: Vec<_> =
        (1..=50_000).map(|next| raw_array(&[next])).chain([raw_array(&[])]).collect();
    let error = parse_dictionary(&raw_binary(&objects), Limits::INFO).unwrap_err();
    assert!(matches!(error, PlistError::TooDeep { .. }));
}

#[test]
fn an_array_that_contains_itself_is_refused() {
    let error = parse_dictionary(&raw_binary(&[raw_array(&[0])]), SMALL).unwrap_err();
    assert!(matches!(error, PlistError::Malformed(_)));
}

#[test]
fn arrays_that_double_at_each_of_sixty_levels_are_too_large() {
    let objects: Vec<_> =
        (1..=60).map(|next| raw_array(&[next, next])).chain([raw_array(&[])]).collect();
    let error = parse_dictionary(&raw_binary(&objects), Limits::INFO).unwrap_err();
    assert!(matches!(error, PlistError::TooLarge));
}

#[test]
fn one_long_text_named_many_times_is_too_large() {
    let mut text = vec![0x5f, 0x11, 0x80, 0x00];
    text.resize(text.len() + 0x8000, b'x');
    let bytes = raw_binary(&[raw_array(&[1, 1, 1, 1]), text]);
    assert!(matches!(parse_dictionary(&bytes, SMALL).unwrap_err(), PlistError::TooLarge));
}

#[test]
fn an_array_that_claims_too_many_members_is_refused_before_the_reader_sees_it() {
    let mut array = vec![0xaf, 0x12];
    array.extend_from_slice(&4097_u32.to_be_bytes());
    let bytes = raw_binary(&[array]);
    assert!(binary_counts_exceed(&bytes, 4096));
    assert!(!binary_counts_exceed(&bytes, 4097));
}

#[test]
fn arrays_that_claim_too_much_together_are_refused_before_their_members_are_read() {
    let nowhere = [0xff; 59 * 2];
    let long = |first: [u8; 2]| [&[0xaf, 0x10, 60], first.as_slice(), &nowhere].concat();
    let bytes = raw_binary(&[long([0, 1]), long([0xff, 0xff])]);
    let room_for_one = Limits { value_count_max: 100, ..SMALL };
    let refused = |limits| parse_dictionary(&bytes, limits).unwrap_err();
    assert!(matches!(refused(room_for_one), PlistError::TooLarge));
    assert!(matches!(refused(SMALL), PlistError::Malformed(_)));
}

#[test]
fn a_trailer_that_claims_too_many_objects_is_refused_before_the_reader_sees_it() {
    let mut bytes = raw_binary(&[raw_array(&[])]);
    let at = bytes.len() - 24;
    bytes[at..at + 8].copy_from_slice(&4097_u64.to_be_bytes());
    assert!(matches!(parse_dictionary(&bytes, SMALL).unwrap_err(), PlistError::TooLarge));
}

#[test]
fn every_prefix_of_an_xml_list_is_an_error_until_its_dictionary_is_closed() {
    let whole = xml(&dictionary([("a", 1.into()), ("b", "text".into())]));
    let closed = whole.windows(7).position(|window| window == b"</dict>").unwrap() + 7;
    for len in 0..closed {
        assert!(parse_dictionary(&whole[..len], SMALL).is_err(), "{len}");
    }
}

#[test]
fn a_date_that_is_no_time_at_all_is_malformed_and_not_a_panic() {
    for seconds in [f64::NAN, f64::INFINITY, -1e300, 1e18] {
        let mut date = vec![0x33];
        date.extend_from_slice(&seconds.to_be_bytes());
        let error = parse_dictionary(&raw_binary(&[raw_array(&[1]), date]), SMALL).unwrap_err();
        assert!(matches!(error, PlistError::Malformed(_)), "{seconds}");
    }
}

proptest! {
    #[test]
    fn any_bytes_never_panic(bytes in damaged(vec![binary(&nested(5)), xml(&nested(5))])) {
        let _ = parse_dictionary(&bytes, SMALL);
    }

    #[test]
    fn any_graph_of_arrays_ends(members in prop::collection::vec(prop::collection::vec(0u16..40, 0..14), 1..40)) {
        let objects: Vec<_> = members.iter().map(|members| raw_array(members)).collect();
        prop_assert!(parse_dictionary(&raw_binary(&objects), SMALL).is_err());
    }
}
