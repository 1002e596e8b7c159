//! Questions that a status alone answers: codes, texts and values.
//!
//! Invariant: the values asserted are those of working hosts.

use super::memory::fault;
use super::*;
use crate::capture::device::files::{DevicePath, FileErrorKind, Listed, ListedKind};

/// The status for one question.
fn ask(parts: Vec<Value>, files: &mut Memory) -> (i64, String, Value) {
    let mut talk = talk(Script::default().message(parts).done(), files);
    talk.ended_well();
    let status = talk.status();
    assert!(talk.is_over());
    status
}

fn done(value: impl Into<Value>) -> (i64, String, Value) {
    (0, EMPTY.to_owned(), value.into())
}

fn code_of_create(kind: FileErrorKind) -> i64 {
    let mut files = Memory::default().failing("U", kind);
    ask(vec!["DLMessageCreateDirectory".into(), "U".into()], &mut files).0
}

#[test]
fn every_kind_of_error_has_its_code() {
    let codes = [
        (FileErrorKind::NotFound, -6),
        (FileErrorKind::Exists, -7),
        (FileErrorKind::NotADirectory, -8),
        (FileErrorKind::IsADirectory, -9),
        (FileErrorKind::Io, -11),
        (FileErrorKind::NoSpace, -15),
        (FileErrorKind::Refused, -1),
    ];
    assert_eq!(codes.map(|(kind, _)| code_of_create(kind)), codes.map(|(_, code)| code));
}

#[test]
fn an_answer_is_one_write_and_one_flush() {
    let script = Script::default().tag("DLMessageGetFreeDiskSpace").done();
    let talk = talk(script, &mut Memory::default());
    let heard = talk.heard.borrow();
    assert_eq!((heard.write_count, heard.flush_count), (1, 1));
}

#[test]
fn free_space_is_a_number() {
    let mut files = Memory { free_len: 7 << 40, ..Memory::default() };
    let status = ask(vec!["DLMessageGetFreeDiskSpace".into()], &mut files);
    assert_eq!(status, done(7_i64 << 40));
}

#[test]
fn more_free_space_than_a_signed_number_holds_is_cut() {
    let mut files = Memory { free_len: u64::MAX, ..Memory::default() };
    let status = ask(vec!["DLMessageGetFreeDiskSpace".into()], &mut files);
    assert_eq!(status, done(i64::MAX));
}

#[test]
fn free_space_that_nobody_knows_is_an_error_with_a_number() {
    let mut files = Memory::default().failing("", FileErrorKind::Io);
    let (code, _, value) = ask(vec!["DLMessageGetFreeDiskSpace".into()], &mut files);
    assert_eq!((code, value), (-11, 0.into()));
}

#[test]
fn a_purge_tells_what_was_freed() {
    let parts = vec!["DLMessagePurgeDiskSpace".into(), 1000.into(), 4.into()];
    assert_eq!(ask(parts, &mut Memory::default()), done(500));
}

#[test]
fn a_purge_that_fails_is_minus_one_and_zero() {
    let mut files = Memory::default().failing("", FileErrorKind::NoSpace);
    let parts = vec!["DLMessagePurgeDiskSpace".into(), 1000.into(), 4.into()];
    let (code, _, value) = ask(parts, &mut files);
    assert_eq!((code, value), (-1, 0.into()));
}

#[test]
fn a_listing_gives_kind_length_and_date_of_each_name() {
    let mut files = Memory::with(&[("U/ab/1", b"12345"), ("U/Status.plist", b"12")]);
    let (code, _, value) = ask(vec!["DLContentsOfDirectory".into(), "U".into()], &mut files);
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let entry = |kind: &str, len: i64| {
        dictionary([
            ("DLFileType", kind.into()),
            ("DLFileSize", len.into()),
            ("DLFileModificationDate", Value::Date(time.into())),
        ])
    };
    let listing = dictionary([
        ("Status.plist", entry("DLFileTypeRegular", 2)),
        ("ab", entry("DLFileTypeDirectory", 0)),
    ]);
    assert_eq!((code, value), (0, listing));
}

#[test]
fn a_listing_of_what_is_not_there_is_empty() {
    let status = ask(vec!["DLContentsOfDirectory".into(), "U/zz".into()], &mut Memory::default());
    assert_eq!(status, done(nothing()));
}

#[test]
fn a_listing_that_breaks_off_is_an_error_without_names() {
    let mut files = Memory::with(&[("U/a", b"")]).failing("U", FileErrorKind::Io);
    let (code, text, value) = ask(vec!["DLContentsOfDirectory".into(), "U".into()], &mut files);
    assert_eq!((code, text, value), (-11, fault(FileErrorKind::Io).text, nothing()));
}

/// Lists one name whose date no calendar has.
struct Undated(i64);

#[test]
fn a_listing_of_any_date_can_be_sent() {
    for secs in [i64::MIN, -1, i64::MAX] {
        let script = Script::default().message(vec!["DLContentsOfDirectory".into(), "U".into()]);
        let mut talk = talk(script.done(), &mut Undated(secs));
        talk.ended_well();
        assert_eq!(talk.code(), 0);
    }
}

impl Files for Undated {
    fn list(
        &mut self,
        _: &DevicePath,
        each: &mut dyn FnMut(&[u8], Listed),
    ) -> Result<(), FileError> {
        each(b"\xff", Listed { kind: ListedKind::Other, len: u64::MAX, mtime_secs: self.0 });
        Ok(())
    }

    fn upload(&mut self, _: &DevicePath, _: &mut dyn Read) -> Result<(), FileError> {
        Ok(())
    }

    fn uploaded(&mut self) -> Result<(), FileError> {
        Ok(())
    }

    fn download(&mut self, _: &DevicePath) -> Result<Box<dyn Read + '_>, FileError> {
        Err(fault(FileErrorKind::NotFound))
    }

    fn create_directory(&mut self, _: &DevicePath) -> Result<(), FileError> {
        Ok(())
    }

    fn rename(&mut self, _: &DevicePath, _: &DevicePath) -> Result<(), FileError> {
        Ok(())
    }

    fn remove(&mut self, _: &DevicePath) -> Result<(), FileError> {
        Ok(())
    }

    fn copy(&mut self, _: &DevicePath, _: &DevicePath) -> Result<(), FileError> {
        Ok(())
    }

    fn free_len(&mut self) -> Result<u64, FileError> {
        Ok(0)
    }

    fn purge(&mut self, _: u64) -> Result<u64, FileError> {
        Ok(0)
    }
}

#[test]
fn a_folder_is_created_and_answered_with_the_placeholder() {
    let mut files = Memory::default();
    assert_eq!(
        ask(vec!["DLMessageCreateDirectory".into(), "/U/ab".into()], &mut files),
        done(EMPTY)
    );
    assert_eq!(files.calls, ["create U/ab"]);
}

#[test]
fn both_spellings_of_a_move_do_all_pairs_in_order() {
    for tag in ["DLMessageMoveFiles", "DLMessageMoveItems"] {
        let mut files = Memory::default();
        let pairs = dictionary([("U/b", "U/1".into()), ("/U/a", "U/2".into())]);
        let status = ask(vec![tag.into(), pairs, nothing(), 1.0.into()], &mut files);
        assert_eq!(status, done(nothing()));
        assert_eq!(files.calls, ["rename U/b U/1", "rename U/a U/2"]);
    }
}

#[test]
fn a_move_that_fails_does_not_keep_the_others_from_being_done() {
    let mut files =
        Memory::default().failing("U/a", FileErrorKind::NotFound).failing("U/c", FileErrorKind::Io);
    let pairs = dictionary([
        ("U/../x", "U/1".into()),
        ("U/a", "U/1".into()),
        ("U/b", "U/2".into()),
        ("U/c", "U/3".into()),
    ]);
    let (code, text, value) = ask(vec!["DLMessageMoveItems".into(), pairs], &mut files);
    assert_eq!(code, -1);
    assert_eq!(text, "U/../x: a path that leads upwards");
    assert_eq!(value, nothing());
    assert_eq!(files.calls, ["rename U/a U/1", "rename U/b U/2", "rename U/c U/3"]);
}

#[test]
fn the_first_error_of_a_batch_is_answered_with_the_name() {
    let mut files = Memory::default()
        .failing("U/a", FileErrorKind::IsADirectory)
        .failing("U/b", FileErrorKind::Io);
    let parts = vec!["DLMessageRemoveItems".into(), text_list(&["U/x", "U/a", "U/b"])];
    let (code, text, _) = ask(parts, &mut files);
    assert_eq!((code, text.as_str()), (-9, "U/a: IsADirectory on demand"));
}

#[test]
fn both_spellings_of_a_removal_do_all_paths() {
    for tag in ["DLMessageRemoveFiles", "DLMessageRemoveItems"] {
        let mut files = Memory::default();
        let parts = vec![tag.into(), text_list(&["U/a", "U/b"]), nothing(), 1.0.into()];
        assert_eq!(ask(parts, &mut files), done(nothing()));
        assert_eq!(files.calls, ["remove U/a", "remove U/b"]);
    }
}

#[test]
fn the_folder_of_all_backups_is_never_changed() {
    for root in ["", "/", ".", "//./"] {
        let mut files = Memory::default();
        let remove = vec!["DLMessageRemoveItems".into(), text_list(&[root])];
        assert_eq!(ask(remove, &mut files).0, -1);
        let from = vec!["DLMessageMoveItems".into(), dictionary([(root, "U".into())])];
        assert_eq!(ask(from, &mut files).0, -1);
        let to = vec!["DLMessageMoveItems".into(), dictionary([("U", root.into())])];
        assert_eq!(ask(to, &mut files).0, -1);
        let copy = vec!["DLMessageCopyItem".into(), "U".into(), root.into()];
        assert_eq!(ask(copy, &mut files).0, -1);
        assert_eq!(files.calls, Vec::<String>::new());
    }
}

#[test]
fn a_copy_is_done() {
    let mut files = Memory::default();
    let parts = vec!["DLMessageCopyItem".into(), "U".into(), "V".into()];
    assert_eq!(ask(parts, &mut files), done(nothing()));
    assert_eq!(files.calls, ["copy U V"]);
}

#[test]
fn an_unknown_message_is_refused_and_told() {
    let script = Script::default().message(vec!["DLMessageOrchardReport".into(), 1.into()]);
    let mut talk = talk(script.done(), &mut Memory::default());
    talk.ended_well();
    assert_eq!(talk.code(), -1);
    assert_eq!(talk.told, ["unknown DLMessageOrchardReport"]);
}

#[test]
fn senseless_arguments_are_refused_and_the_link_lives() {
    let odd = [
        vec!["DLContentsOfDirectory".into()],
        vec!["DLContentsOfDirectory".into(), 7.into()],
        vec!["DLMessageCreateDirectory".into(), nothing()],
        vec!["DLMessageMoveItems".into(), text_list(&["a"])],
        vec!["DLMessageMoveItems".into(), dictionary([("a", 1.into())])],
        vec!["DLMessageRemoveItems".into(), "a".into()],
        vec!["DLMessageRemoveItems".into(), Value::Array(vec![1.into()])],
        vec!["DLMessageCopyItem".into(), "a".into()],
        vec!["DLMessagePurgeDiskSpace".into(), (-1).into()],
        vec!["DLMessageProcessMessage".into(), 1.into()],
        vec!["DLMessageProcessMessage".into(), dictionary([("MessageName", "Else".into())])],
        vec![1.into()],
        vec![],
    ];
    for parts in odd {
        let mut files = Memory::default();
        assert_eq!(ask(parts.clone(), &mut files).0, -1, "{parts:?}");
        assert_eq!(files.calls, Vec::<String>::new());
    }
}

#[test]
fn progress_is_told_within_its_bounds_and_nonsense_is_not() {
    let values: [Value; 7] = [
        42.5.into(),
        Value::Real(-3.0),
        Value::Real(f64::INFINITY),
        Value::Real(f64::NAN),
        7.into(),
        "x".into(),
        u64::MAX.into(),
    ];
    let script = values.into_iter().fold(Script::default(), |script, value| {
        let none = text_list(&[]);
        script.message(vec!["DLMessageRemoveItems".into(), none, nothing(), value])
    });
    let talk = talk(script.done(), &mut Memory::default());
    assert_eq!(talk.told, ["progress 42.5", "progress 0", "progress 100", "progress 7"]);
}
