//! Files that travel: batches from the phone into [`Files`], and files of [`Files`] to the phone.
//!
//! Invariant: the bytes of a batch are read to its end mark whatever happens to its files, so that the answer finds the
//! phone listening; a file of the phone's that failed on the phone is not an error of ours. Files to the phone go in its
//! order, each ended by a success or an error.

use super::answer::{Answer, FirstError, MULTI_STATUS, code_of, path, place, refusal, text_of};
use super::body::{Body, State};
use super::wire::{Name, Pushed, Wire, WireError, code};
use super::{Doing, Files, LinkError, Told};
use crate::capture::device::files::{
    DevicePath, FileError, FileErrorKind, PATH_LEN_MAX, PathError,
};
use plist::{Dictionary, Value};
use std::io::{Read, Write};

/// Receives a batch. After the first error of ours the rest is read away: the phone fails the batch anyhow.
pub(super) fn receive_batch<S: Read + Write>(
    wire: &mut Wire<S>,
    files: &mut dyn Files,
    told: &mut dyn Told,
) -> Result<Answer, LinkError> {
    let mut first = FirstError::default();
    loop {
        let between = |error: WireError| error.during(Doing::ReceivingBatch);
        let Some(device_name) = wire.receive_name().map_err(between)? else { break };
        // A batch that ends after a name on the phone ends as well.
        let Some(name) = wire.receive_name().map_err(between)? else { break };
        told.receiving(&device_name.bytes, &name.bytes);
        receive_file(wire, files, told, &name, &mut first)?;
    }
    if let Err(error) = files.uploaded() {
        first.note(told, b"", &error);
    }
    Ok(first.into_answer())
}

fn receive_file<S: Read + Write>(
    wire: &mut Wire<S>,
    files: &mut dyn Files,
    told: &mut dyn Told,
    name: &Name,
    first: &mut FirstError,
) -> Result<(), LinkError> {
    let mut body = Body::new(wire.inbox());
    let (ours, was_read) = if first.is_some() {
        (Ok(()), true)
    } else {
        let ours = checked(name).and_then(|path| files.upload(&path, &mut body));
        (ours, body.was_read_to_its_end())
    };
    let failed_there = match body.finish() {
        State::Broken(error) => return Err(error.during(Doing::Receiving(name.bytes.clone()))),
        State::Failed(text) => {
            told.phone_failed(&name.bytes, &text);
            true
        }
        State::Whole | State::InBlock(_) => false,
    };
    match ours {
        // The phone's own error, handed back after it was read.
        Err(_) if failed_there && was_read => {}
        Err(error) => first.note(told, &name.bytes, &error),
        Ok(()) if !was_read => first.note(told, &name.bytes, &unread()),
        Ok(()) => {}
    }
    Ok(())
}

fn checked(name: &Name) -> Result<DevicePath, FileError> {
    if name.len > PATH_LEN_MAX {
        return Err(refusal(PathError::TooLong(name.len)));
    }
    place(&name.bytes)
}

fn unread() -> FileError {
    FileError { kind: FileErrorKind::Refused, text: "the file was not read to its end".to_owned() }
}

/// Sends files; the answer names those that failed.
pub(super) fn send_files<S: Read + Write>(
    wire: &mut Wire<S>,
    files: &mut dyn Files,
    told: &mut dyn Told,
    paths: &[String],
) -> Result<Answer, LinkError> {
    let mut failures = Dictionary::new();
    for raw in paths {
        told.sending(raw.as_bytes());
        let sent = send_file(wire, files, raw.as_bytes());
        let sent = sent.map_err(|error| error.during(Doing::Sending(raw.as_bytes().to_vec())))?;
        if let Err(error) = sent {
            told.refused(raw.as_bytes(), &error);
            failures.insert(raw.clone(), failure(&error));
        }
    }
    wire.push_end();
    if failures.is_empty() {
        return Ok(Answer::done(Dictionary::new()));
    }
    Ok(Answer { code: MULTI_STATUS, text: "Multi status".to_owned(), value: failures.into() })
}

fn failure(error: &FileError) -> Value {
    let mut failure = Dictionary::new();
    failure.insert("DLFileErrorString".to_owned(), text_of(error).into());
    failure.insert("DLFileErrorCode".to_owned(), code_of(error.kind).into());
    failure.into()
}

/// Sends one file, or why it cannot be sent.
fn send_file<S: Read + Write>(
    wire: &mut Wire<S>,
    files: &mut dyn Files,
    raw: &[u8],
) -> Result<Result<(), FileError>, WireError> {
    if raw.is_empty() {
        // On the wire this name would be the end of the batch: it is only told of in the answer.
        let text = "a file without a name".to_owned();
        return Ok(Err(FileError { kind: FileErrorKind::Refused, text }));
    }
    wire.push_name(raw)?;
    let sent = match path(raw) {
        Ok(path) => match files.download(&path) {
            Ok(mut file) => send_body(wire, &mut *file)?,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match &sent {
        Ok(()) => wire.push_block(code::SUCCESS, b"")?,
        Err(error) => wire.push_block(code::ERROR_LOCAL, text_of(error).as_bytes())?,
    }
    Ok(sent)
}

fn send_body<S: Read + Write>(
    wire: &mut Wire<S>,
    file: &mut dyn Read,
) -> Result<Result<(), FileError>, WireError> {
    loop {
        match wire.push_data(file)? {
            Pushed::Full => {}
            Pushed::End => return Ok(Ok(())),
            Pushed::Failed(error) => {
                // Whatever the reader calls it: the file is there, and cannot be read.
                return Ok(Err(FileError { kind: FileErrorKind::Io, text: error.to_string() }));
            }
        }
    }
}
