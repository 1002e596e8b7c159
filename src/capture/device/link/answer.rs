//! Answers to a phone's questions: code, text and value, as the phone expects them for each kind of question.
//!
//! Invariant: every [`FileErrorKind`] has one code, and "missing" is said of nothing else; a batch is done to its end,
//! and its first error is the answer. A path that leads out of the folder of backups, or names that folder itself as a
//! thing to change, never reaches [`Files`].

use super::message::{EMPTY, STATUS};
use super::{Files, Told};
use crate::capture::device::files::{
    DevicePath, FileError, FileErrorKind, Listed, ListedKind, PathError,
};
use plist::{Date, Dictionary, Value};
use std::time::{Duration, SystemTime};

pub(super) const OTHER: i64 = -1;
pub(super) const MULTI_STATUS: i64 = -13;
/// The last second of the year 9999; a property list's dates go no further.
const SECS_MAX: i64 = 253_402_300_799;

/// Three parts of a status.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) code: i64,
    pub(super) text: String,
    pub(super) value: Value,
}

impl Answer {
    pub(super) fn done(value: impl Into<Value>) -> Self {
        Self { code: 0, text: EMPTY.to_owned(), value: value.into() }
    }

    pub(super) fn failed(error: &FileError, value: impl Into<Value>) -> Self {
        Self { code: code_of(error.kind), text: text_of(error), value: value.into() }
    }

    pub(super) fn refused(text: &str) -> Self {
        Self { code: OTHER, text: text.to_owned(), value: Dictionary::new().into() }
    }

    pub(super) fn into_message(self) -> Vec<Value> {
        vec![STATUS.into(), self.code.into(), self.text.into(), self.value]
    }
}

/// The numbers that DeviceLink gives errors.
pub(super) fn code_of(kind: FileErrorKind) -> i64 {
    match kind {
        FileErrorKind::NotFound => -6,
        FileErrorKind::Exists => -7,
        FileErrorKind::NotADirectory => -8,
        FileErrorKind::IsADirectory => -9,
        FileErrorKind::Io => -11,
        FileErrorKind::NoSpace => -15,
        FileErrorKind::Refused => OTHER,
    }
}

/// The words for the phone: never none.
pub(super) fn text_of(error: &FileError) -> String {
    if !error.text.is_empty() {
        return error.text.clone();
    }
    let text = match error.kind {
        FileErrorKind::NotFound => "No such file or directory",
        FileErrorKind::Exists => "File exists",
        FileErrorKind::NotADirectory => "Not a directory",
        FileErrorKind::IsADirectory => "Is a directory",
        FileErrorKind::Io => "Input/output error",
        FileErrorKind::NoSpace => "No space left on device",
        FileErrorKind::Refused => "Operation not permitted",
    };
    text.to_owned()
}

/// A path to look at.
pub(super) fn path(raw: &[u8]) -> Result<DevicePath, FileError> {
    DevicePath::parse(raw).map_err(refusal)
}

/// A path to change: not the folder of all backups.
pub(super) fn place(raw: &[u8]) -> Result<DevicePath, FileError> {
    let path = path(raw)?;
    if path.is_root() {
        let text = "the folder of all backups is not to be changed".to_owned();
        return Err(FileError { kind: FileErrorKind::Refused, text });
    }
    Ok(path)
}

pub(super) fn refusal(error: PathError) -> FileError {
    FileError { kind: FileErrorKind::Refused, text: error.to_string() }
}

/// The first error of a batch, with what it happened to.
#[derive(Debug, Default)]
pub(super) struct FirstError(Option<FileError>);

impl FirstError {
    /// Tells of an error, and keeps it if it is the first.
    pub(super) fn note(&mut self, told: &mut dyn Told, raw: &[u8], error: &FileError) {
        told.refused(raw, error);
        if self.0.is_none() {
            let text = format!("{}: {}", String::from_utf8_lossy(raw), text_of(error));
            self.0 = Some(FileError { kind: error.kind, text });
        }
    }

    pub(super) fn is_some(&self) -> bool {
        self.0.is_some()
    }

    pub(super) fn into_answer(self) -> Answer {
        match self.0 {
            None => Answer::done(Dictionary::new()),
            Some(error) => Answer::failed(&error, Dictionary::new()),
        }
    }
}

/// Moves each; those after one that fails too.
pub(super) fn rename(
    files: &mut dyn Files,
    told: &mut dyn Told,
    pairs: &[(String, String)],
) -> Answer {
    let mut first = FirstError::default();
    for (from, to) in pairs {
        let moved = place(from.as_bytes())
            .and_then(|from| Ok((from, place(to.as_bytes())?)))
            .and_then(|(from, to)| files.rename(&from, &to));
        if let Err(error) = moved {
            first.note(told, from.as_bytes(), &error);
        }
    }
    first.into_answer()
}

/// Removes each; those after one that fails too.
pub(super) fn remove(files: &mut dyn Files, told: &mut dyn Told, paths: &[String]) -> Answer {
    let mut first = FirstError::default();
    for path in paths {
        if let Err(error) = place(path.as_bytes()).and_then(|path| files.remove(&path)) {
            first.note(told, path.as_bytes(), &error);
        }
    }
    first.into_answer()
}

pub(super) fn copy(files: &mut dyn Files, told: &mut dyn Told, from: &str, to: &str) -> Answer {
    let mut first = FirstError::default();
    let copied = place(from.as_bytes())
        .and_then(|from| Ok((from, place(to.as_bytes())?)))
        .and_then(|(from, to)| files.copy(&from, &to));
    if let Err(error) = copied {
        first.note(told, from.as_bytes(), &error);
    }
    first.into_answer()
}

/// Makes a folder; the answer carries no value.
pub(super) fn create_directory(files: &mut dyn Files, told: &mut dyn Told, raw: &str) -> Answer {
    match path(raw.as_bytes()).and_then(|path| files.create_directory(&path)) {
        Ok(()) => Answer::done(EMPTY),
        Err(error) => {
            told.refused(raw.as_bytes(), &error);
            Answer::failed(&error, EMPTY)
        }
    }
}

/// A listing. A folder that is not there is answered as an empty one, as working hosts do.
pub(super) fn list(files: &mut dyn Files, told: &mut dyn Told, raw: &str) -> Answer {
    let mut names = Dictionary::new();
    let listed = path(raw.as_bytes()).and_then(|path| {
        files.list(&path, &mut |name, listed| {
            // A message holds UTF-8 only. Phones name files by hashes: whatever is no UTF-8 is none of theirs.
            names.insert(String::from_utf8_lossy(name).into_owned(), entry(listed));
        })
    });
    match listed {
        Ok(()) => Answer::done(names),
        Err(error) if error.kind == FileErrorKind::NotFound => Answer::done(Dictionary::new()),
        Err(error) => {
            told.refused(raw.as_bytes(), &error);
            Answer::failed(&error, Dictionary::new())
        }
    }
}

fn entry(listed: Listed) -> Value {
    let kind = match listed.kind {
        ListedKind::Directory => "DLFileTypeDirectory",
        ListedKind::File => "DLFileTypeRegular",
        ListedKind::Other => "DLFileTypeUnknown",
    };
    // Phones do not look at dates: one that cannot be written is brought into range.
    let since_1970 = u64::try_from(listed.mtime_secs.clamp(0, SECS_MAX)).unwrap_or(0);
    let date = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(since_1970));
    let mut entry = Dictionary::new();
    entry.insert("DLFileType".to_owned(), kind.into());
    entry.insert("DLFileSize".to_owned(), number(listed.len));
    let date = Date::from(date.unwrap_or(SystemTime::UNIX_EPOCH));
    entry.insert("DLFileModificationDate".to_owned(), date.into());
    entry.into()
}

pub(super) fn free_space(files: &mut dyn Files, told: &mut dyn Told) -> Answer {
    match files.free_len() {
        Ok(len) => Answer::done(number(len)),
        Err(error) => {
            told.refused(b"", &error);
            Answer::failed(&error, number(0))
        }
    }
}

/// Makes room. "Could not" is always -1 and 0, which every phone takes without dropping the link.
pub(super) fn purge(files: &mut dyn Files, told: &mut dyn Told, wanted_len: u64) -> Answer {
    match files.purge(wanted_len) {
        Ok(len) => Answer::done(number(len)),
        Err(error) => {
            told.refused(b"", &error);
            Answer { code: OTHER, text: text_of(&error), value: number(0) }
        }
    }
}

/// A number that a signed 64-bit reader takes as it is.
fn number(len: u64) -> Value {
    i64::try_from(len).unwrap_or(i64::MAX).into()
}
