//! DeviceLink, the host's half: messages and files that travel between a phone's backup service and [`Files`].
//!
//! Invariant: the phone drives, and every message of its gets one answer with the code that fits; nothing is allocated on
//! its word before the bytes have come, and a file that ends in an error, or in no end at all, is never taken as whole.
//! Works on any blocking stream; knows nothing of USB, pairing or TLS, nor of what the files mean.

mod answer;
mod body;
mod message;
mod serve;
mod transfer;
mod wire;

use super::files::{FileError, Files};
use crate::apple::PlistError;
use std::error::Error;
use std::fmt;
use std::io;

pub use body::BodyError;
pub use message::Response;
pub use serve::{Ended, Link};

/// What was going on when a link failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doing {
    /// Versions were being agreed on.
    Greeting,
    /// A request was being sent to the phone.
    Requesting,
    /// The phone was expected to say what it wants next.
    Waiting,
    /// Between two files that the phone sends.
    ReceivingBatch,
    /// A file was on its way from the phone, to this path.
    Receiving(Vec<u8>),
    /// A file was on its way to the phone, from this path.
    Sending(Vec<u8>),
    /// An answer was being sent.
    Answering,
    /// The link was being closed.
    Leaving,
}

impl fmt::Display for Doing {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Greeting => out.write_str("agreeing on a version"),
            Self::Requesting => out.write_str("sending a request"),
            Self::Waiting => out.write_str("waiting for the phone's next message"),
            Self::ReceivingBatch => out.write_str("receiving a batch of files"),
            Self::Receiving(path) => write!(out, "receiving {}", path.escape_ascii()),
            Self::Sending(path) => write!(out, "sending {}", path.escape_ascii()),
            Self::Answering => out.write_str("answering"),
            Self::Leaving => out.write_str("closing the link"),
        }
    }
}

/// How what a phone sent breaks the protocol, so that the next byte means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Breach {
    /// Longer than any message.
    #[error("a message of {len} bytes")]
    MessageTooLong {
        /// Bytes announced.
        len: u32,
    },
    /// Longer than any path, by far.
    #[error("a name of {len} bytes")]
    NameTooLong {
        /// Bytes announced.
        len: u32,
    },
    /// A block of length 0.
    #[error("a block without a code")]
    BlockWithoutCode,
    /// A block whose code nobody knows.
    #[error("a block with the unknown code {code:#04x}")]
    UnknownBlock {
        /// The code.
        code: u8,
    },
    /// The final message does not say how it went.
    #[error("a response without an error code")]
    NoErrorCode,
    /// Another message than the only one that may come now.
    #[error("something else than {wanted}")]
    Unexpected {
        /// Name of the message that was due.
        wanted: &'static str,
    },
}

/// Why a link is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The stream ended or failed: a cable, a timeout, a phone that restarts.
    #[error("the link to the phone was lost while {doing}")]
    Lost {
        /// What was going on.
        doing: Doing,
        /// What the stream says.
        source: io::Error,
    },
    /// The phone breaks the protocol.
    #[error("the phone sent {breach} while {doing}")]
    Broken {
        /// What was going on.
        doing: Doing,
        /// How.
        breach: Breach,
    },
    /// A message of the phone is no property list, or an outsized one.
    #[error("the phone sent an unreadable message while {doing}")]
    Unreadable {
        /// What was going on.
        doing: Doing,
        /// What is wrong with it.
        source: PlistError,
    },
    /// A message of ours cannot be put into bytes.
    #[error("a message cannot be encoded while {doing}")]
    Unsendable {
        /// What was going on.
        doing: Doing,
        /// Why not.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The phone speaks none of the versions that are known here.
    #[error("the phone's backup service speaks no version of the protocol that is known here")]
    NoCommonVersion {
        /// The version that the phone chose, if it said one.
        theirs: Option<f64>,
    },
    /// The phone refused the greeting for another reason.
    #[error("the phone's backup service refused to start, code {code}: {description}")]
    Refused {
        /// The phone's error code.
        code: i64,
        /// The phone's words; may be empty.
        description: String,
    },
}

/// Hears what a phone tells while it is served. Decides nothing; each method does nothing unless it is
/// written anew.
pub trait Told {
    /// How far the phone believes to be, 0 to 100.
    fn progress(&mut self, _percent: f64) {}

    /// The phone begins to send files, `announced_len` bytes in all if it says so.
    fn batch(&mut self, _announced_len: Option<u64>) {}

    /// A file begins to arrive: its name on the phone, and the path it shall have here, as the phone wrote both.
    fn receiving(&mut self, _device_name: &[u8], _path: &[u8]) {}

    /// A file begins to be sent to the phone.
    fn sending(&mut self, _path: &[u8]) {}

    /// The phone could not read a file of its own, or not to its end; the file is not taken.
    fn phone_failed(&mut self, _path: &[u8], _text: &str) {}

    /// The phone was told that something cannot be done.
    fn refused(&mut self, _path: &[u8], _error: &FileError) {}

    /// A message that nobody knows, or a known one with senseless arguments; it was refused.
    fn unknown(&mut self, _tag: &str) {}
}

#[cfg(test)]
mod tests;
