//! The greeting, requests, and how a conversation ends.
//!
//! Invariant: each way a phone may refuse has an error of its own.

use super::*;

fn open(script: Script) -> Result<Link<Phone>, LinkError> {
    Link::open(Phone::new(script, usize::MAX).0)
}

fn hello_answer(answer: Dictionary) -> Script {
    Script::default()
        .message(vec!["DLMessageVersionExchange".into(), 300.into(), 0.into()])
        .tag("DLMessageDeviceReady")
        .message(vec!["DLMessageProcessMessage".into(), answer.into()])
}

#[test]
fn the_phones_link_version_is_taken_and_ours_are_offered() {
    let (phone, heard) = Phone::new(Script::greeted(), 1);
    Link::open(phone).unwrap();
    let answers = Cursor::new(heard.borrow().bytes.clone());
    let ended = Ok(Ended::Disconnected);
    let mut talk = Talk { ended, told: Vec::new(), answers, heard };
    let exchange: Vec<Value> =
        vec!["DLMessageVersionExchange".into(), "DLVersionsOk".into(), 400.into()];
    assert_eq!(talk.message(), exchange);
    let versions = Value::Array(vec![Value::Real(2.0), Value::Real(2.1)]);
    let hello =
        dictionary([("MessageName", "Hello".into()), ("SupportedProtocolVersions", versions)]);
    assert_eq!(talk.message(), vec!["DLMessageProcessMessage".into(), hello]);
    assert!(talk.is_over());
}

#[test]
fn a_phone_without_a_common_version_is_named_so() {
    let error = open(hello_answer(response(1))).err().unwrap();
    assert!(matches!(error, LinkError::NoCommonVersion { theirs: None }), "{error:?}");
}

#[test]
fn a_phone_that_chooses_a_version_we_do_not_know_is_refused() {
    let mut answer = response(0);
    answer.insert("ProtocolVersion".into(), Value::Real(3.0));
    let error = open(hello_answer(answer)).err().unwrap();
    assert!(matches!(error, LinkError::NoCommonVersion { theirs: Some(3.0) }), "{error:?}");
}

#[test]
fn another_error_in_the_greeting_keeps_its_code_and_words() {
    let mut answer = response(208);
    answer.insert("ErrorDescription".into(), "Device locked".into());
    let error = open(hello_answer(answer)).err().unwrap();
    let LinkError::Refused { code, description } = error else { panic!("{error:?}") };
    assert_eq!((code, description.as_str()), (208, "Device locked"));
}

#[test]
fn a_greeting_out_of_order_names_what_was_due() {
    let error = open(Script::default().tag("DLMessageDeviceReady")).err().unwrap();
    let wanted = "DLMessageVersionExchange";
    let LinkError::Broken { doing, breach } = error else { panic!("{error:?}") };
    assert_eq!((doing, breach), (Doing::Greeting, Breach::Unexpected { wanted }));
}

#[test]
fn a_greeting_cut_anywhere_is_a_lost_link() {
    let whole = Script::greeted().0;
    for len in 0..whole.len() {
        let error = open(Script(whole[..len].to_vec())).err().unwrap();
        assert!(matches!(error, LinkError::Lost { doing: Doing::Greeting, .. }), "{error:?}");
    }
}

#[test]
fn a_request_leaves_in_one_write_with_its_name() {
    let (phone, heard) = Phone::new(Script::greeted(), usize::MAX);
    let mut link = Link::open(phone).unwrap();
    *heard.borrow_mut() = Heard::default();
    let mut arguments = Dictionary::new();
    arguments.insert("TargetIdentifier".into(), "U".into());
    link.request("Backup", arguments).unwrap();
    let counts = (heard.borrow().write_count, heard.borrow().flush_count);
    assert_eq!(counts, (1, 1));
    let answers = Cursor::new(heard.borrow().bytes.clone());
    let mut talk = Talk { ended: Ok(Ended::Disconnected), told: Vec::new(), answers, heard };
    let request = dictionary([("TargetIdentifier", "U".into()), ("MessageName", "Backup".into())]);
    assert_eq!(talk.message(), vec!["DLMessageProcessMessage".into(), request]);
}

#[test]
fn leaving_says_goodbye() {
    let (phone, heard) = Phone::new(Script::greeted(), usize::MAX);
    let link = Link::open(phone).unwrap();
    heard.borrow_mut().bytes.clear();
    link.disconnect().unwrap();
    let answers = Cursor::new(heard.borrow().bytes.clone());
    let mut talk = Talk { ended: Ok(Ended::Disconnected), told: Vec::new(), answers, heard };
    assert_eq!(talk.message(), vec![Value::from("DLMessageDisconnect"), EMPTY.into()]);
}

#[test]
fn a_response_ends_with_code_words_and_content() {
    let mut answer = response(105);
    answer.insert("ErrorDescription".into(), "full".into());
    answer.insert("Content".into(), "list".into());
    let script = Script::default().message(vec!["DLMessageProcessMessage".into(), answer.into()]);
    let ended = talk(script, &mut Memory::default()).ended.unwrap();
    let response = Response {
        error_code: 105,
        description: Some("full".to_owned()),
        content: Some("list".to_owned()),
    };
    assert_eq!(ended, Ended::Response(response));
}

#[test]
fn a_response_without_a_code_is_no_success() {
    let answer = dictionary([("MessageName", "Response".into())]);
    let script = Script::default().message(vec!["DLMessageProcessMessage".into(), answer]);
    let ended = talk(script, &mut Memory::default()).ended;
    let Err(LinkError::Broken { breach, .. }) = ended else { panic!("{ended:?}") };
    assert_eq!(breach, Breach::NoErrorCode);
}

#[test]
fn a_phone_that_hangs_up_has_not_responded() {
    let script = Script::default().message(vec!["DLMessageDisconnect".into(), EMPTY.into()]).done();
    let ended = talk(script, &mut Memory::default()).ended.unwrap();
    assert_eq!(ended, Ended::Disconnected);
}

#[test]
fn a_link_that_ends_between_messages_was_waiting() {
    let ended = talk(Script::default(), &mut Memory::default()).ended;
    let Err(LinkError::Lost { doing, source }) = ended else { panic!("{ended:?}") };
    assert_eq!((doing, source.kind()), (Doing::Waiting, io::ErrorKind::UnexpectedEof));
}
