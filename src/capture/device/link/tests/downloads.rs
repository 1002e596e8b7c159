//! Files to the phone: order, blocks, and failures.
//!
//! Invariant: every stream is read as a phone reads it, to its end mark and the status behind it.

use super::*;
use crate::capture::device::files::FileErrorKind;

/// Most bytes of data in a block.
const BLOCK_LEN_MAX: usize = 32 << 10;

fn download(paths: Value, files: &mut Memory) -> Talk {
    let parts = vec!["DLMessageDownloadFiles".into(), paths, nothing(), 50.0.into(), 0.into()];
    let script = Script::default().message(parts).tag("DLMessageGetFreeDiskSpace");
    let talk = talk(script.done(), files);
    talk.ended_well();
    talk
}

/// The next file: its bytes, and its error if it has one.
fn file(talk: &mut Talk, path: &str) -> (Vec<u8>, Option<String>) {
    assert_eq!(talk.bytes(), path.as_bytes());
    let mut bytes = Vec::new();
    loop {
        let (code, data) = talk.block();
        match code {
            DATA => {
                assert!(data.len() <= BLOCK_LEN_MAX);
                bytes.extend_from_slice(&data);
            }
            SUCCESS => {
                assert!(data.is_empty());
                return (bytes, None);
            }
            ERROR_LOCAL => return (bytes, Some(String::from_utf8(data).unwrap())),
            other => panic!("block {other}"),
        }
    }
}

/// The end mark and the status, after the link was found in step.
fn end(mut talk: Talk) -> (i64, String, Value) {
    assert_eq!(talk.u32(), 0);
    let status = talk.status();
    assert_eq!(talk.code(), 0);
    assert!(talk.is_over());
    status
}

fn success() -> (i64, String, Value) {
    (0, EMPTY.to_owned(), nothing())
}

fn failure(code: i64, text: &str) -> Value {
    dictionary([("DLFileErrorString", text.into()), ("DLFileErrorCode", code.into())])
}

#[test]
fn files_come_in_order_under_the_names_asked_for() {
    let long: Vec<u8> = (0..1_000_000_u32).map(|at| (at / 7) as u8).collect();
    let mut files = Memory::with(&[("U/a", b"one"), ("U/b", &long)]);
    let mut talk = download(text_list(&["/U/b", "U/a", "U/a"]), &mut files);
    assert!(file(&mut talk, "/U/b") == (long, None));
    assert_eq!(file(&mut talk, "U/a"), (b"one".to_vec(), None));
    assert_eq!(file(&mut talk, "U/a"), (b"one".to_vec(), None));
    let told = ["progress 50", "sending /U/b", "sending U/a", "sending U/a"];
    assert_eq!(talk.told, told);
    assert_eq!(end(talk), success());
}

#[test]
fn lengths_around_a_full_block_come_whole() {
    for len in [0, 1, BLOCK_LEN_MAX - 1, BLOCK_LEN_MAX, BLOCK_LEN_MAX + 1, 9 * BLOCK_LEN_MAX] {
        let bytes = vec![3; len];
        let mut files = Memory::with(&[("U/a", &bytes)]);
        let mut talk = download(text_list(&["U/a"]), &mut files);
        assert!(file(&mut talk, "U/a") == (bytes, None), "{len}");
        assert_eq!(end(talk), success());
    }
}

#[test]
fn an_empty_file_is_just_a_success() {
    let mut talk = download(text_list(&["U/a"]), &mut Memory::with(&[("U/a", b"")]));
    assert_eq!(talk.bytes(), b"U/a");
    assert_eq!(talk.block(), (SUCCESS, Vec::new()));
    assert_eq!(end(talk), success());
}

#[test]
fn an_empty_list_still_gets_its_end_and_its_status() {
    assert_eq!(end(download(text_list(&[]), &mut Memory::default())), success());
}

#[test]
fn a_list_that_makes_no_sense_gets_its_end_and_a_refusal() {
    for paths in [Value::from("U/a"), Value::Array(vec!["U/a".into(), 1.into()]), 7.into()] {
        let talk = download(paths, &mut Memory::with(&[("U/a", b"1")]));
        assert!(talk.told.contains(&"unknown DLMessageDownloadFiles".to_owned()));
        assert_eq!(end(talk).0, -1);
    }
}

#[test]
fn files_that_fail_are_named_with_their_codes_and_the_others_come() {
    let mut files = Memory::with(&[("U/a", b"1"), ("U/c", b"3")]).failing("U/c", FileErrorKind::Io);
    let paths = text_list(&["U/none", "U/c", "U/a", "../x"]);
    let mut talk = download(paths, &mut files);
    let missing = "NotFound on demand";
    let unreadable = "Io on demand";
    let upwards = "a path that leads upwards";
    assert_eq!(file(&mut talk, "U/none"), (Vec::new(), Some(missing.to_owned())));
    assert_eq!(file(&mut talk, "U/c"), (Vec::new(), Some(unreadable.to_owned())));
    assert_eq!(file(&mut talk, "U/a"), (b"1".to_vec(), None));
    assert_eq!(file(&mut talk, "../x"), (Vec::new(), Some(upwards.to_owned())));
    let failures = dictionary([
        ("../x", failure(-1, upwards)),
        ("U/c", failure(-11, unreadable)),
        ("U/none", failure(-6, missing)),
    ]);
    let (code, text, value) = end(talk);
    assert_eq!((code, text.as_str()), (-13, "Multi status"));
    let sorted = |value: Value| {
        let mut members = value.into_dictionary().unwrap();
        members.sort_keys();
        members
    };
    assert_eq!(sorted(value), sorted(failures));
}

#[test]
fn a_file_that_breaks_in_its_middle_ends_with_an_error_after_data() {
    let bytes = vec![5; BLOCK_LEN_MAX + 10];
    let mut files = Memory::with(&[("U/a", &bytes), ("U/b", b"2")]);
    files.broken.push("U/a".to_owned());
    let mut talk = download(text_list(&["U/a", "U/b"]), &mut files);
    assert!(file(&mut talk, "U/a") == (bytes, Some("the drive clicks".to_owned())));
    assert_eq!(file(&mut talk, "U/b"), (b"2".to_vec(), None));
    let (code, _, value) = end(talk);
    assert_eq!((code, value), (-13, dictionary([("U/a", failure(-11, "the drive clicks"))])));
}

#[test]
fn a_file_without_a_name_is_not_an_end() {
    let mut files = Memory::with(&[("U/a", b"1")]);
    let mut talk = download(text_list(&["", "U/a"]), &mut files);
    assert_eq!(file(&mut talk, "U/a"), (b"1".to_vec(), None));
    let (code, _, value) = end(talk);
    assert_eq!((code, value), (-13, dictionary([("", failure(-1, "a file without a name"))])));
}

#[test]
fn blocks_are_gathered_into_few_writes() {
    let bytes = vec![1; 4 << 20];
    let talk = download(text_list(&["U/a"]), &mut Memory::with(&[("U/a", &bytes)]));
    // 128 blocks, eight to a write, and the two answers.
    assert!(talk.heard.borrow().write_count <= 20, "{}", talk.heard.borrow().write_count);
}

/// A stream that takes no more than a few bytes.
struct Deaf(Phone, usize);

impl Read for Deaf {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Deaf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.1 = self.1.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_phone_that_goes_away_in_a_download_is_a_lost_link() {
    let parts = vec!["DLMessageDownloadFiles".into(), text_list(&["U/a"])];
    let script = Script::greeted().message(parts);
    let (phone, _) = Phone::new(script, usize::MAX);
    let mut link = Link::open(Deaf(phone, 1000)).unwrap();
    let mut files = Memory::with(&[("U/a", &[1; 1 << 20])]);
    let ended = link.serve(&mut files, &mut Lines::default());
    let Err(LinkError::Lost { doing, source }) = ended else { panic!("{ended:?}") };
    assert_eq!(doing, Doing::Sending(b"U/a".to_vec()));
    assert_eq!(source.kind(), io::ErrorKind::BrokenPipe);
}
