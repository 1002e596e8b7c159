//! A link: its greeting, requests to the phone, and the loop that serves the phone until its response.
//!
//! Invariant: versions are agreed on before anything else, and every message of the phone's gets exactly one answer, or ends
//! the loop. Whether what the phone says is good news is for the caller to judge.

use super::answer::{self, Answer};
use super::message::{
    DEVICE_READY, DISCONNECT, DOWNLOAD, EMPTY, Message, PROCESS, Question, Response,
    VERSION_EXCHANGE, response,
};
use super::transfer::{receive_batch, send_files};
use super::wire::{Wire, WireError};
use super::{Breach, Doing, Files, LinkError, Told};
use plist::{Dictionary, Value};
use std::io::{Read, Write};

/// Versions of mobilebackup2 that are spoken here.
const PROTOCOL_VERSIONS: [f64; 2] = [2.0, 2.1];
/// The code of a phone that knows none of the versions offered.
const NO_COMMON_VERSION: i64 = 1;

/// How a phone that was served came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It answered the request; that is not yet success.
    Response(Response),
    /// It hung up without an answer.
    Disconnected,
}

/// A link to a phone's backup service, past its greeting.
pub struct Link<S> {
    wire: Wire<S>,
}

impl<S: Read + Write> Link<S> {
    /// Agrees with the phone on a version. `stream` is connected to the service, within TLS if the phone wants that; a read
    /// that takes longer than it allows is an error of the stream.
    ///
    /// # Errors
    /// There is no common version, the phone says something else, or the stream fails.
    pub fn open(stream: S) -> Result<Self, LinkError> {
        let mut wire = Wire::new(stream);
        greet(&mut wire).map_err(|error| error.during(Doing::Greeting))?;
        let answer = hello(&mut wire).map_err(|error| error.during(Doing::Greeting))?;
        let code = response(&answer)
            .map_err(|breach| LinkError::Broken { doing: Doing::Greeting, breach })?;
        let theirs = answer.get("ProtocolVersion").and_then(real);
        let is_known = theirs.is_none_or(|theirs| PROTOCOL_VERSIONS.contains(&theirs));
        match code.error_code {
            0 if is_known => Ok(Self { wire }),
            0 | NO_COMMON_VERSION => Err(LinkError::NoCommonVersion { theirs }),
            other => Err(LinkError::Refused {
                code: other,
                description: code.description.unwrap_or_default(),
            }),
        }
    }

    /// Asks the phone for something: `Backup`, `Restore`, `ChangePassword` and so on. Then [`Link::serve`] it.
    ///
    /// # Errors
    /// The stream fails.
    pub fn request(&mut self, name: &str, mut arguments: Dictionary) -> Result<(), LinkError> {
        arguments.insert("MessageName".to_owned(), name.into());
        let message = vec![PROCESS.into(), arguments.into()];
        self.wire.send_secret(message).map_err(|error| error.during(Doing::Requesting))
    }

    /// Does what the phone says, until it responds or hangs up.
    ///
    /// # Errors
    /// The link is of no more use; whatever `files` took before stands.
    pub fn serve(
        &mut self,
        files: &mut dyn Files,
        told: &mut dyn Told,
    ) -> Result<Ended, LinkError> {
        loop {
            let waiting = |error: WireError| error.during(Doing::Waiting);
            let value = self.wire.receive().map_err(waiting)?;
            let message = Message::decode(value).map_err(|breach| waiting(breach.into()))?;
            let answer = match message {
                Message::Response(response) => return Ok(Ended::Response(response)),
                Message::Disconnect => return Ok(Ended::Disconnected),
                Message::Upload { announced_len, progress } => {
                    tell(told, progress);
                    told.batch(announced_len);
                    receive_batch(&mut self.wire, files, told)?
                }
                Message::Download { paths, progress } => {
                    tell(told, progress);
                    self.send(files, told, paths)?
                }
                Message::Ask(question) => answer_to(question, files, told),
            };
            let sent = self.wire.send(answer.into_message());
            sent.map_err(|error| error.during(Doing::Answering))?;
        }
    }

    /// Says goodbye and closes the link. A phone that is at work stops and keeps what it needs to resume.
    ///
    /// # Errors
    /// The stream fails; the link is closed all the same.
    pub fn disconnect(mut self) -> Result<(), LinkError> {
        let sent = self.wire.send(vec![DISCONNECT.into(), EMPTY.into()]);
        sent.map_err(|error| error.during(Doing::Leaving))
    }

    fn send(
        &mut self,
        files: &mut dyn Files,
        told: &mut dyn Told,
        paths: Option<Vec<String>>,
    ) -> Result<Answer, LinkError> {
        match paths {
            Some(paths) => send_files(&mut self.wire, files, told, &paths),
            None => {
                told.unknown(DOWNLOAD);
                // The phone reads a stream of files first, however its list was made.
                self.wire.push_end();
                Ok(Answer::refused("Invalid arguments"))
            }
        }
    }
}

/// What a status alone answers.
fn answer_to(question: Question, files: &mut dyn Files, told: &mut dyn Told) -> Answer {
    match question {
        Question::FreeSpace => answer::free_space(files, told),
        Question::Purge { wanted_len } => answer::purge(files, told, wanted_len),
        Question::List { path } => answer::list(files, told, &path),
        Question::CreateDirectory { path } => answer::create_directory(files, told, &path),
        Question::Move { pairs, progress } => {
            tell(told, progress);
            answer::rename(files, told, &pairs)
        }
        Question::Remove { paths, progress } => {
            tell(told, progress);
            answer::remove(files, told, &paths)
        }
        Question::Copy { from, to } => answer::copy(files, told, &from, &to),
        Question::Odd { tag } => {
            told.unknown(&tag);
            Answer::refused("Invalid arguments")
        }
        Question::Unknown { tag } => {
            told.unknown(&tag);
            Answer::refused("Operation not supported")
        }
    }
}

fn tell(told: &mut dyn Told, progress: Option<f64>) {
    if let Some(percent) = progress {
        told.progress(percent);
    }
}

/// Exchanges versions of DeviceLink. Whichever the phone has is taken: 300 and 400 are known, and do not differ here.
fn greet<S: Read + Write>(wire: &mut Wire<S>) -> Result<(), WireError> {
    let theirs = expect(wire, VERSION_EXCHANGE)?;
    let Some(Value::Integer(major)) = theirs.first() else {
        return Err(Breach::Unexpected { wanted: VERSION_EXCHANGE }.into());
    };
    wire.send(vec![VERSION_EXCHANGE.into(), "DLVersionsOk".into(), Value::Integer(*major)])?;
    expect(wire, DEVICE_READY)?;
    Ok(())
}

/// Offers our versions of mobilebackup2; gives the phone's answer.
fn hello<S: Read + Write>(wire: &mut Wire<S>) -> Result<Dictionary, WireError> {
    let versions: Vec<Value> = PROTOCOL_VERSIONS.map(Value::Real).into();
    let mut hello = Dictionary::new();
    hello.insert("MessageName".to_owned(), "Hello".into());
    hello.insert("SupportedProtocolVersions".to_owned(), versions.into());
    wire.send(vec![PROCESS.into(), hello.into()])?;
    let mut arguments = expect(wire, PROCESS)?.into_iter();
    let answer = arguments.next().and_then(Value::into_dictionary);
    answer.ok_or(Breach::Unexpected { wanted: PROCESS }.into())
}

/// The arguments of the message that must come now.
fn expect<S: Read + Write>(
    wire: &mut Wire<S>,
    wanted: &'static str,
) -> Result<Vec<Value>, WireError> {
    let mut parts = wire.receive()?.into_array().unwrap_or_default().into_iter();
    match parts.next() {
        Some(Value::String(tag)) if tag == wanted => Ok(parts.collect()),
        _ => Err(Breach::Unexpected { wanted }.into()),
    }
}

fn real(value: &Value) -> Option<f64> {
    let whole = || value.as_signed_integer().and_then(|whole| i32::try_from(whole).ok());
    value.as_real().or_else(|| whole().map(f64::from))
}
