//! Why the scripted phone ended a conversation.
//!
//! Invariant: a breach of the protocol by a host is a line in the journal; it is an error only where going on is
//! impossible. Must not be used to tell a host anything: answers are made where the request is read.

use crate::write_error::WriteError;
use std::io;

/// Why the scripted phone ended a conversation.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The link broke, or a file of the phone could not be read or written.
    #[error("the link or the phone's own disk failed")]
    Io(#[from] io::Error),
    /// What was to be a property list is none.
    #[error("a message is not a property list")]
    Plist(#[from] plist::Error),
    /// TLS could not be set up.
    #[error("TLS failed")]
    Tls(#[from] rustls::Error),
    /// The phone's files could not be made.
    #[error("the phone could not make its files")]
    Write(#[from] WriteError),
    /// The phone's state is not readable.
    #[error("the phone's state is damaged")]
    State(#[from] serde_json::Error),
    /// Manifest.db is not one.
    #[error("Manifest.db could not be read")]
    Database(#[from] rusqlite::Error),
    /// A length beyond what any host sends.
    #[error("a message of {len} bytes is longer than {len_max}")]
    TooLong {
        /// What the message says of itself.
        len: u64,
        /// What is read at most.
        len_max: u64,
    },
    /// The host sent something that leaves no way to go on.
    #[error("the host broke the protocol: {rule}")]
    Breach {
        /// The rule, as the journal names it.
        rule: &'static str,
    },
    /// The host said goodbye.
    #[error("the host ended the session")]
    HostLeft,
    /// The script says that the link ends here.
    #[error("the script cut the link")]
    Cut,
    /// The phone ends the run with an error of MBErrorDomain.
    #[error("MBErrorDomain/{code}: {text}")]
    Refused {
        /// The number, as in PROTOCOL of the error domain.
        code: i64,
        /// What the phone says.
        text: &'static str,
    },
}
