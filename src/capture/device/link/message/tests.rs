//! Arguments in their odd forms.
//!
//! Invariant: only what no conversation in the link's own tests shows.

use super::*;

fn purge(wanted: Value) -> Result<Message, Breach> {
    Message::decode(Value::Array(vec!["DLMessagePurgeDiskSpace".into(), wanted]))
}

fn wanted(wanted_len: u64) -> Result<Message, Breach> {
    Ok(Message::Ask(Question::Purge { wanted_len }))
}

fn answer(code: Value) -> Result<Message, Breach> {
    let mut answer = Dictionary::new();
    answer.insert("MessageName".to_owned(), "Response".into());
    answer.insert("ErrorCode".to_owned(), code);
    Message::decode(Value::Array(vec![PROCESS.into(), answer.into()]))
}

fn answered(error_code: i64) -> Result<Message, Breach> {
    Ok(Message::Response(Response { error_code, description: None, content: None }))
}

#[test]
fn lengths_come_as_whole_numbers_and_as_reals() {
    assert_eq!(purge(u64::MAX.into()), wanted(u64::MAX));
    assert_eq!(purge(Value::Real(11e12)), wanted(11_000_000_000_000));
    assert_eq!(purge(Value::Real(1e300)), wanted(u64::MAX));
}

#[test]
fn negative_codes_come_signed_and_in_twos_complement() {
    assert_eq!(answer((-6).into()), answered(-6));
    assert_eq!(answer((-6_i64).cast_unsigned().into()), answered(-6));
}

#[test]
fn a_code_that_is_no_whole_number_is_none() {
    assert_eq!(answer("0".into()), Err(Breach::NoErrorCode));
    assert_eq!(answer(Value::Real(0.0)), Err(Breach::NoErrorCode));
}

#[test]
fn a_value_that_is_no_list_is_an_unknown_message() {
    let unknown = Message::Ask(Question::Unknown { tag: String::new() });
    assert_eq!(Message::decode(Dictionary::new().into()), Ok(unknown));
}
