//! What a phone's messages mean: arrays with a tag first, each with arguments of its own.
//!
//! Invariant: every tag becomes a [`Message`]; a known tag with senseless arguments becomes [`Question::Odd`], which is
//! answered like any other. Only a final response that does not say how it went is an error. Does nothing about any of it.

use super::Breach;
use plist::{Dictionary, Value};

/// What stands where a text or a value is not used.
pub(super) const EMPTY: &str = "___EmptyParameterString___";

pub(super) const VERSION_EXCHANGE: &str = "DLMessageVersionExchange";
pub(super) const DEVICE_READY: &str = "DLMessageDeviceReady";
pub(super) const PROCESS: &str = "DLMessageProcessMessage";
pub(super) const STATUS: &str = "DLMessageStatusResponse";
pub(super) const DISCONNECT: &str = "DLMessageDisconnect";
pub(super) const DOWNLOAD: &str = "DLMessageDownloadFiles";

/// The phone's last word on a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// 0 is success; others are of Apple's MBErrorDomain.
    pub error_code: i64,
    /// The phone's words, mostly with an error.
    pub description: Option<String>,
    /// What was asked for, where the request was a question.
    pub content: Option<String>,
}

/// A message of a phone.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Message {
    /// It wants files. `paths` is `None` if the list is none of texts; the stream that answers still needs its end.
    Download { paths: Option<Vec<String>>, progress: Option<f64> },
    /// Files follow, whatever the arguments say.
    Upload { announced_len: Option<u64>, progress: Option<f64> },
    /// Something that a status alone answers.
    Ask(Question),
    /// It hung up.
    Disconnect,
    /// It is done with our request.
    Response(Response),
}

/// A message that a status alone answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Question {
    FreeSpace,
    Purge {
        wanted_len: u64,
    },
    List {
        path: String,
    },
    CreateDirectory {
        path: String,
    },
    Move {
        pairs: Vec<(String, String)>,
        progress: Option<f64>,
    },
    Remove {
        paths: Vec<String>,
        progress: Option<f64>,
    },
    Copy {
        from: String,
        to: String,
    },
    /// A known tag with senseless arguments.
    Odd {
        tag: String,
    },
    /// An unknown tag; empty if there is none.
    Unknown {
        tag: String,
    },
}

impl Message {
    pub(super) fn decode(value: Value) -> Result<Self, Breach> {
        let parts = value.into_array().unwrap_or_default();
        let (tag, arguments) = match parts.split_first() {
            Some((tag, arguments)) => (tag.as_string().unwrap_or_default(), arguments),
            None => ("", parts.as_slice()),
        };
        let message = match tag {
            PROCESS => return process(arguments),
            DISCONNECT => Self::Disconnect,
            DOWNLOAD => Self::Download {
                paths: texts(arguments.first()),
                progress: progress(arguments.get(2)),
            },
            "DLMessageUploadFiles" => Self::Upload {
                progress: progress(arguments.get(1)),
                announced_len: len(arguments.get(2)),
            },
            _ => {
                let odd = || Question::Odd { tag: tag.to_owned() };
                Self::Ask(question(tag, arguments).unwrap_or_else(odd))
            }
        };
        Ok(message)
    }
}

/// A question of the phone; `None` if its arguments make no sense.
fn question(tag: &str, arguments: &[Value]) -> Option<Question> {
    let first = arguments.first();
    let question = match tag {
        "DLMessageGetFreeDiskSpace" => Question::FreeSpace,
        "DLMessagePurgeDiskSpace" => Question::Purge { wanted_len: len(first)? },
        "DLContentsOfDirectory" => Question::List { path: text(first)? },
        "DLMessageCreateDirectory" => Question::CreateDirectory { path: text(first)? },
        "DLMessageMoveFiles" | "DLMessageMoveItems" => {
            Question::Move { pairs: pairs(first)?, progress: progress(arguments.get(2)) }
        }
        "DLMessageRemoveFiles" | "DLMessageRemoveItems" => {
            Question::Remove { paths: texts(first)?, progress: progress(arguments.get(2)) }
        }
        "DLMessageCopyItem" => Question::Copy { from: text(first)?, to: text(arguments.get(1))? },
        other => Question::Unknown { tag: other.to_owned() },
    };
    Some(question)
}

/// A message for the program behind the link; the only one that ends a request is `Response`.
fn process(arguments: &[Value]) -> Result<Message, Breach> {
    let Some(dictionary) = arguments.first().and_then(Value::as_dictionary) else {
        return Ok(Message::Ask(Question::Odd { tag: PROCESS.to_owned() }));
    };
    match dictionary.get("MessageName").and_then(Value::as_string) {
        Some("Response") => Ok(Message::Response(response(dictionary)?)),
        name => {
            let tag = name.unwrap_or(PROCESS).to_owned();
            Ok(Message::Ask(Question::Unknown { tag }))
        }
    }
}

/// Reads a response; without a code nobody could tell success from failure.
pub(super) fn response(dictionary: &Dictionary) -> Result<Response, Breach> {
    let text = |key| dictionary.get(key).and_then(Value::as_string).map(str::to_owned);
    let error_code = dictionary.get("ErrorCode").and_then(signed).ok_or(Breach::NoErrorCode)?;
    Ok(Response { error_code, description: text("ErrorDescription"), content: text("Content") })
}

/// A signed number; negative ones also come as 64 bits of two's complement.
fn signed(value: &Value) -> Option<i64> {
    value.as_signed_integer().or_else(|| value.as_unsigned_integer().map(u64::cast_signed))
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_string().map(str::to_owned)
}

fn texts(value: Option<&Value>) -> Option<Vec<String>> {
    value?.as_array()?.iter().map(|each| text(Some(each))).collect()
}

fn pairs(value: Option<&Value>) -> Option<Vec<(String, String)>> {
    let pairs = value?.as_dictionary()?.iter();
    pairs.map(|(from, to)| Some((from.clone(), text(Some(to))?))).collect()
}

/// A count of bytes, whole or as a real; a negative one is none.
fn len(value: Option<&Value>) -> Option<u64> {
    match value? {
        Value::Integer(len) => len.as_unsigned(),
        // The cast saturates.
        Value::Real(len) if *len >= 0.0 => Some(*len as u64),
        _ => None,
    }
}

/// 0 to 100, whatever came; `None` if it is no number.
fn progress(value: Option<&Value>) -> Option<f64> {
    let percent = match value? {
        Value::Real(percent) => *percent,
        Value::Integer(percent) => {
            percent.as_signed().and_then(|whole| i32::try_from(whole).ok())?.into()
        }
        _ => return None,
    };
    (!percent.is_nan()).then(|| percent.clamp(0.0, 100.0))
}

#[cfg(test)]
mod tests;
