//! Phones that say anything at all.
//!
//! Invariant: no panic, no read beyond what came so far but for a fixed lead, and an end.

use super::*;
use crate::apple::PlistError;
use proptest::prelude::*;
use proptest::sample::Index;

/// A read asks for no more than this beyond what had come: the link's own buffer.
const LEAD_LEN_MAX: usize = 64 << 10;

/// Every kind of message, with batches and files.
fn everything() -> Vec<u8> {
    let script = Script::default()
        .tag("DLMessageGetFreeDiskSpace")
        .message(vec!["DLMessagePurgeDiskSpace".into(), 1000.into(), 4.into()])
        .message(vec!["DLContentsOfDirectory".into(), "U".into()])
        .message(vec!["DLMessageCreateDirectory".into(), "U/ab".into()])
        .upload()
        .file("U/ab/1", b"some bytes")
        .names("U/ab/2")
        .block(ERROR_REMOTE, b"why")
        .end()
        .message(vec!["DLMessageMoveItems".into(), dictionary([("U/a", "U/b".into())])])
        .message(vec!["DLMessageRemoveItems".into(), text_list(&["U/a", "U/b"])])
        .message(vec!["DLMessageCopyItem".into(), "U".into(), "V".into()])
        .message(vec!["DLMessageDownloadFiles".into(), text_list(&["U/ab/1", "U/x"])]);
    script.done().0
}

/// Serves `bytes`; whatever comes of it, the link was careful.
fn is_served_carefully(bytes: Vec<u8>, read_len_max: usize) -> Result<(), TestCaseError> {
    let mut files = Memory::with(&[("U/a", b"1")]);
    let talk = talk_in(Script(bytes), &mut files, read_len_max);
    let ahead_len_max = talk.heard.borrow().ahead_len_max;
    prop_assert!(ahead_len_max <= LEAD_LEN_MAX, "{ahead_len_max}");
    Ok(())
}

#[test]
fn a_message_longer_than_any_is_refused_by_its_length() {
    let script = Script::default().raw(&((16_u32 << 20) + 1).to_be_bytes());
    let talk = talk(script, &mut Memory::default());
    let Err(LinkError::Broken { breach, .. }) = talk.ended else { panic!("{:?}", talk.ended) };
    assert_eq!(breach, Breach::MessageTooLong { len: (16 << 20) + 1 });
}

#[test]
fn the_longest_message_announced_and_cut_takes_little_memory() {
    let script = Script::default().raw(&(16_u32 << 20).to_be_bytes()).raw(&[7; 100]);
    let talk = talk(script, &mut Memory::default());
    assert!(matches!(talk.ended, Err(LinkError::Lost { doing: Doing::Waiting, .. })));
    assert!(talk.heard.borrow().ahead_len_max <= LEAD_LEN_MAX);
}

#[test]
fn a_block_announced_as_four_gigabytes_and_cut_takes_little_memory() {
    let script = Script::default().upload().names("U/a").raw(&[0xff, 0xff, 0xff, 0xff, DATA, 1]);
    let talk = talk(script, &mut Memory::default());
    assert!(matches!(talk.ended, Err(LinkError::Lost { doing: Doing::Receiving(_), .. })));
    assert!(talk.heard.borrow().ahead_len_max <= LEAD_LEN_MAX);
}

#[test]
fn a_message_that_is_no_property_list_is_unreadable() {
    let talk = talk(Script::default().name(b"no list"), &mut Memory::default());
    let Err(LinkError::Unreadable { source, .. }) = talk.ended else { panic!("{:?}", talk.ended) };
    assert!(matches!(source, PlistError::Malformed(_)));
}

#[test]
fn a_message_nested_without_end_is_unreadable() {
    let bomb = format!("<plist>{}", "<array>".repeat(100_000));
    let talk = talk(Script::default().name(bomb.as_bytes()), &mut Memory::default());
    let Err(LinkError::Unreadable { source, .. }) = talk.ended else { panic!("{:?}", talk.ended) };
    assert!(matches!(source, PlistError::TooDeep { .. }));
}

#[test]
fn a_message_in_xml_is_understood() {
    let xml = "<plist><array><string>DLMessageDisconnect</string></array></plist>";
    let talk = talk(Script::default().name(xml.as_bytes()), &mut Memory::default());
    assert_eq!(talk.ended.unwrap(), Ended::Disconnected);
}

#[test]
fn everything_is_served_to_its_end() {
    let talk = talk_in(Script(everything()), &mut Memory::with(&[("U/a", b"1")]), 3);
    talk.ended_well();
    assert!(!talk.told.iter().any(|line| line.starts_with("unknown")), "{:?}", talk.told);
}

proptest! {
    #[test]
    fn any_bytes_are_served_carefully(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        read_len_max in 1..500_usize,
    ) {
        is_served_carefully(bytes, read_len_max)?;
    }

    #[test]
    fn a_damaged_conversation_is_served_carefully(
        edits in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..6),
        cut in any::<Index>(),
        read_len_max in 1..500_usize,
    ) {
        let mut bytes = everything();
        for (at, byte) in edits {
            *at.get_mut(&mut bytes) = byte;
        }
        bytes.truncate(cut.index(bytes.len() * 2));
        is_served_carefully(bytes, read_len_max)?;
    }

    #[test]
    fn any_bytes_after_a_batch_begins_are_served_carefully(
        bytes in proptest::collection::vec(prop_oneof![3 => Just(0_u8), 1 => 0..16_u8, 1 => any::<u8>()], 0..200),
        read_len_max in 1..50_usize,
    ) {
        is_served_carefully(Script::default().upload().raw(&bytes).0, read_len_max)?;
    }

    #[test]
    fn any_bytes_in_the_greeting_are_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..100),
    ) {
        let (phone, _) = Phone::new(Script(bytes), usize::MAX);
        prop_assert!(Link::open(phone).is_err());
    }
}
