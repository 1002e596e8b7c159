//! Batches from the phone: what is kept, what is read away, and what the phone hears.
//!
//! Invariant: every script goes on after its batch, so that a test also fails if a byte too many or too few was read.

use super::*;
use crate::capture::device::files::FileErrorKind;

/// A batch, and a question behind it that is answered only by a link that is in step.
fn batch(script: Script, files: &mut Memory) -> Talk {
    let script = script.end().tag("DLMessageGetFreeDiskSpace").done();
    let talk = talk(Script::default().upload().raw(&script.0), files);
    talk.ended_well();
    talk
}

/// The answer to the batch, after the link was found in step.
fn answer(mut talk: Talk) -> (i64, String, Value) {
    let status = talk.status();
    assert_eq!(talk.status(), (0, EMPTY.to_owned(), 0.into()));
    assert!(talk.is_over());
    status
}

fn success() -> (i64, String, Value) {
    (0, EMPTY.to_owned(), nothing())
}

#[test]
fn a_batch_is_kept_told_and_answered_once() {
    let mut files = Memory::default();
    let long = vec![7; 3 << 20];
    let script = Script::default()
        .names("U/long")
        .block(DATA, &long)
        .block(DATA, b"tail")
        .block(SUCCESS, b"")
        .file("/U/b", b"bytes")
        .names("U/empty")
        .block(SUCCESS, b"");
    let talk = batch(script, &mut files);
    let told = [
        "progress 12.5",
        "batch Some(99)",
        "receiving /var/mobile/x U/long",
        "receiving /var/mobile/x /U/b",
        "receiving /var/mobile/x U/empty",
    ];
    assert_eq!(talk.told, told);
    assert_eq!(answer(talk), success());
    assert_eq!(files.files["U/long"], [long, b"tail".to_vec()].concat());
    assert_eq!(files.files["U/b"], b"bytes");
    assert_eq!(files.files["U/empty"], b"");
    assert_eq!(files.calls, ["upload U/long", "upload U/b", "upload U/empty", "uploaded"]);
}

#[test]
fn an_empty_batch_is_answered() {
    let mut files = Memory::default();
    assert_eq!(answer(batch(Script::default(), &mut files)), success());
    assert_eq!(files.calls, ["uploaded"]);
}

#[test]
fn a_batch_whose_arguments_make_no_sense_is_taken_all_the_same() {
    let mut files = Memory::default();
    let script = Script::default().message(vec!["DLMessageUploadFiles".into(), 1.into()]);
    let mut talk = talk(script.file("U/a", b"1").end().done(), &mut files);
    talk.ended_well();
    assert_eq!(talk.told.first().map(String::as_str), Some("batch None"));
    assert_eq!(talk.code(), 0);
    assert_eq!(files.files["U/a"], b"1");
}

#[test]
fn a_batch_that_ends_after_the_name_on_the_phone_ends() {
    let mut files = Memory::default();
    let script = Script::default().file("U/a", b"1").name(b"/var/x");
    assert_eq!(answer(batch(script, &mut files)), success());
    assert_eq!(files.calls, ["upload U/a", "uploaded"]);
}

#[test]
fn a_file_that_the_phone_cannot_read_is_told_and_is_no_error_of_ours() {
    for code in [ERROR_REMOTE, ERROR_LOCAL] {
        let mut files = Memory::with(&[("U/a", b"old")]);
        let script = Script::default()
            .names("U/a")
            .block(DATA, b"part")
            .block(code, b"Operation not permitted")
            .file("U/b", b"2");
        let talk = batch(script, &mut files);
        let line = "phone failed U/a: Operation not permitted".to_owned();
        assert!(talk.told.contains(&line), "{:?}", talk.told);
        assert_eq!(answer(talk), success());
        let text = "Operation not permitted".to_owned();
        assert_eq!(files.body_errors, [Some(BodyError::Phone { text })]);
        assert_eq!(files.files["U/a"], b"old");
        assert_eq!(files.files["U/b"], b"2");
    }
}

#[test]
fn a_file_without_a_byte_and_without_a_reason_has_failed() {
    let mut files = Memory::default();
    let script = Script::default().names("U/a").block(ERROR_REMOTE, b"");
    let talk = batch(script, &mut files);
    assert!(talk.told.contains(&"phone failed U/a: the phone gives no reason".to_owned()));
    assert_eq!(answer(talk), success());
    assert!(files.files.is_empty());
}

#[test]
fn an_empty_error_after_data_is_the_end_that_old_phones_send() {
    let mut files = Memory::default();
    let script = Script::default().names("U/a").block(DATA, b"1").block(ERROR_REMOTE, b"");
    assert_eq!(answer(batch(script, &mut files)), success());
    assert_eq!(files.files["U/a"], b"1");
}

#[test]
fn a_path_that_is_refused_is_read_away_and_told() {
    let long = "a/".repeat(3000);
    for path in ["U/../x", "/", "U/\0", long.as_str()] {
        let mut files = Memory::default();
        let talk = batch(Script::default().file(path, &[9; 100_000]), &mut files);
        assert!(talk.told.iter().any(|line| line.starts_with("refused ")), "{:?}", talk.told);
        let (code, _, value) = answer(talk);
        assert_eq!((code, value), (-1, nothing()));
        assert_eq!(files.calls, ["uploaded"]);
    }
}

#[test]
fn a_path_that_is_too_long_is_named_with_its_length() {
    let talk = batch(Script::default().file(&"a".repeat(5000), b""), &mut Memory::default());
    assert!(answer(talk).1.ends_with(": a path of 5000 bytes"));
}

#[test]
fn a_full_drive_is_told_after_the_whole_batch_was_read_away() {
    let mut files = Memory::default().failing("U/b", FileErrorKind::NoSpace);
    let script = Script::default()
        .file("U/a", b"1")
        .file("U/b", &[1; 200_000])
        .file("U/c", &[2; 200_000])
        .names("U/d")
        .block(ERROR_REMOTE, b"why");
    let talk = batch(script, &mut files);
    assert!(talk.told.contains(&"phone failed U/d: why".to_owned()));
    let (code, text, _) = answer(talk);
    assert_eq!((code, text.as_str()), (-15, "U/b: NoSpace on demand"));
    assert_eq!(files.calls, ["upload U/a", "upload U/b", "uploaded"]);
}

#[test]
fn an_error_of_ours_is_told_even_if_the_phone_fails_afterwards() {
    let mut files = Memory::default().failing("U/a", FileErrorKind::Io);
    let script = Script::default().names("U/a").block(DATA, b"1").block(ERROR_REMOTE, b"why");
    assert_eq!(answer(batch(script, &mut files)).0, -11);
}

#[test]
fn a_file_that_was_not_read_to_its_end_is_no_success() {
    let mut files = Memory { stops_at: Some(5), ..Memory::default() };
    let (code, text, _) = answer(batch(Script::default().file("U/a", b"12345"), &mut files));
    assert_eq!((code, text.as_str()), (-1, "U/a: the file was not read to its end"));
}

#[test]
fn a_batch_that_cannot_be_kept_at_its_end_is_no_success() {
    let mut files = Memory { batch_fault: Some(FileErrorKind::NoSpace), ..Memory::default() };
    assert_eq!(answer(batch(Script::default().file("U/a", b"1"), &mut files)).0, -15);
}

#[test]
fn a_block_without_a_code_breaks_the_link_and_the_file() {
    let mut files = Memory::default();
    let script = Script::default().upload().names("U/a").block(DATA, b"1").raw(&[0; 4]);
    let talk = talk(script.end().done(), &mut files);
    let Err(LinkError::Broken { doing, breach }) = talk.ended else { panic!("{:?}", talk.ended) };
    assert_eq!((doing, breach), (Doing::Receiving(b"U/a".to_vec()), Breach::BlockWithoutCode));
    assert_eq!(files.body_errors, [Some(BodyError::LinkLost)]);
    assert!(files.files.is_empty());
}

#[test]
fn a_block_of_an_unknown_code_breaks_the_link() {
    let script = Script::default().upload().names("U/a").block(0x42, b"1").end().done();
    let talk = talk(script, &mut Memory::default());
    let Err(LinkError::Broken { breach, .. }) = talk.ended else { panic!("{:?}", talk.ended) };
    assert_eq!(breach, Breach::UnknownBlock { code: 0x42 });
}

#[test]
fn a_name_longer_than_any_breaks_the_link() {
    let script = Script::default().upload().raw(&[0xff; 64]);
    let talk = talk(script, &mut Memory::default());
    let Err(LinkError::Broken { breach, .. }) = talk.ended else { panic!("{:?}", talk.ended) };
    assert_eq!(breach, Breach::NameTooLong { len: u32::MAX });
}

#[test]
fn a_batch_cut_anywhere_is_a_lost_link_and_keeps_whole_files_only() {
    let start = Script::default().upload().0;
    let whole = Script::default().file("U/a", b"one").file("U/b", b"two").end().0;
    let first_len = Script::default().file("U/a", b"one").0.len();
    for len in 0..whole.len() {
        for read_len_max in [1, usize::MAX] {
            let mut files = Memory::default();
            let script = Script([&start, &whole[..len]].concat());
            let talk = talk_in(script, &mut files, read_len_max);
            let Err(LinkError::Lost { doing, .. }) = talk.ended else { panic!("{len}") };
            assert!(matches!(doing, Doing::ReceivingBatch | Doing::Receiving(_)), "{doing:?}");
            assert_eq!(files.files.contains_key("U/a"), len >= first_len, "{len}");
            let all_but_the_end = whole.len() - 4;
            assert_eq!(files.files.contains_key("U/b"), len >= all_but_the_end, "{len}");
            assert!(!files.calls.contains(&"uploaded".to_owned()), "{len}");
        }
    }
}

#[test]
fn a_large_read_goes_from_the_stream_into_the_readers_buffer() {
    let bytes: Vec<u8> = (0..4_000_000_u32).map(|at| at as u8).collect();
    let mut files = Memory { read_len: 1 << 20, ..Memory::default() };
    let script = Script::default().upload().file("U/a", &bytes).end().done();
    let talk = talk(script, &mut files);
    talk.ended_well();
    // Through the link's own buffer no read would be longer than that.
    assert!(talk.heard.borrow().wanted_len_max >= 1 << 19);
    assert!(files.files["U/a"] == bytes);
}
