//! What a host's files look like to the phone: lists, moves and removals answered well and badly.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
use super::*;
use crate::device::{Preset, Script, State};
use std::io::Write;
use std::os::unix::net::UnixStream;

/// Lets the phone `ask` a host that sends `bytes` whatever it is asked; the answer are the rules it broke.
fn rules_broken(bytes: Vec<u8>, ask: impl FnOnce(&mut HostFiles<'_>)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let script = Script::default();
    let phone = ScriptedPhone::open(folder.path(), State::new(1, Preset::Many(4)), script).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let host = std::thread::spawn(move || {
        theirs.write_all(&bytes).unwrap();
        theirs.shutdown(std::net::Shutdown::Write).unwrap();
        io::copy(&mut theirs, &mut io::sink()).unwrap();
    });
    ask(&mut HostFiles::new(&phone, Link::Plain(Box::new(ours))));
    host.join().unwrap();
    std::fs::read_to_string(folder.path().join("journal.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["event"] == "violation")
        .map(|line| line["detail"]["rule"].as_str().unwrap().to_owned())
        .collect()
}

fn status(code: i64, text: &str, value: Value) -> Vec<u8> {
    let parts = vec!["DLMessageStatusResponse".into(), code.into(), text.into(), value];
    let mut bytes = vec![0; 4];
    Value::Array(parts).to_writer_xml(&mut bytes).unwrap();
    let len = u32::try_from(bytes.len() - 4).unwrap();
    bytes[..4].copy_from_slice(&len.to_be_bytes());
    bytes
}

fn framed(parts: &[&[u8]]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| {
            u32::try_from(part.len()).unwrap().to_be_bytes().into_iter().chain(part.iter().copied())
        })
        .collect()
}

fn empty() -> Value {
    Dictionary::new().into()
}

#[test]
fn a_good_download_breaks_no_rule() {
    let bytes = [framed(&[b"a", b"\x0cxy", b"\x00", b""]), status(0, EMPTY, empty())].concat();
    let mut got = Vec::new();
    let broken = rules_broken(bytes, |host| {
        let paths = ["a".to_owned()];
        let fetched = host.download(&paths, |_, part| {
            got.extend_from_slice(part);
            Ok(())
        });
        assert_eq!(fetched.unwrap(), [Fetched::Whole(2)]);
    });
    assert_eq!((broken, got), (vec![], b"xy".to_vec()));
}

#[test]
fn a_missing_file_that_is_told_as_an_io_error_is_a_breach() {
    let mut reason = Dictionary::new();
    reason.insert("DLFileErrorString".into(), "gone".into());
    reason.insert("DLFileErrorCode".into(), (-11).into());
    let mut failures = Dictionary::new();
    failures.insert("a".into(), reason.into());
    let bytes =
        [framed(&[b"a", b"\x06gone", b""]), status(MULTI_STATUS, "Multi status", failures.into())]
            .concat();
    let broken = rules_broken(bytes, |host| {
        assert_eq!(host.download(&["a".to_owned()], |_, _| Ok(())).unwrap(), [Fetched::Failed]);
    });
    assert_eq!(broken, ["a missing file is -6"]);
}

#[test]
fn a_file_that_was_uploaded_and_does_not_come_back_is_a_breach() {
    let bytes = [framed(&[b"a", b"\x06gone", b""]), status(0, EMPTY, empty())].concat();
    let broken = rules_broken(bytes, |host| {
        host.held.insert("a".to_owned(), 5);
        host.download(&["a".to_owned()], |_, _| Ok(())).unwrap();
    });
    assert_eq!(
        broken,
        [
            "a download is answered with -13 if a file failed, else with 0",
            "what was uploaded can be downloaded",
            "a failed file has a code and a text in the status",
        ]
    );
}

#[test]
fn a_frame_beyond_32_kib_is_named_once() {
    let frame = [&[DATA][..], &vec![7; 40_000]].concat();
    let bytes = [framed(&[b"a", &frame, &frame, b"\x00", b""]), status(0, EMPTY, empty())].concat();
    let broken = rules_broken(bytes, |host| {
        host.download(&["a".to_owned()], |_, _| Ok(())).unwrap();
    });
    assert_eq!(broken, ["frames to the phone hold at most 32 KiB"]);
}

#[test]
fn an_empty_text_in_a_status_is_a_breach() {
    let broken = rules_broken(status(0, "", empty()), |host| {
        host.remove_items(&["a".to_owned()]).unwrap();
    });
    assert_eq!(broken, ["the text of a status is a string, the placeholder if unused"]);
}

#[test]
fn a_listing_without_dates_is_a_breach() {
    let mut entry = Dictionary::new();
    entry.insert("DLFileType".into(), "DLFileTypeRegular".into());
    entry.insert("DLFileSize".into(), 3.into());
    let mut names = Dictionary::new();
    names.insert("a".into(), entry.into());
    let broken = rules_broken(status(0, EMPTY, names.into()), |host| {
        assert_eq!(host.list("x").unwrap().get("a").unwrap().len, 3);
    });
    assert_eq!(broken, ["a listing gives type, size and date of each name"]);
}

#[test]
fn accepting_what_no_host_knows_is_a_breach() {
    let broken = rules_broken(status(0, EMPTY, empty()), |host| host.unknown().unwrap());
    assert_eq!(broken, ["an unknown message is refused"]);
}

#[test]
fn a_host_that_hangs_up_inside_a_file_is_an_error_and_not_a_panic() {
    let whole = [framed(&[b"a", b"\x0cxy", b"\x00", b""]), status(0, EMPTY, empty())].concat();
    for len in 0..whole.len() {
        rules_broken(whole[..len].to_vec(), |host| {
            assert!(host.download(&["a".to_owned()], |_, _| Ok(())).is_err(), "{len}");
        });
    }
}
