//! What can go wrong between this computer and a phone, in the kinds that a person can act upon.
//!
//! Invariant: a word of the phone's is kept as a field, short and printable, never as the message itself. No pair record
//! and no value of a phone is ever part of an error.

use super::wire;
use crate::apple::PlistError;
use std::io;

/// Longest word of a phone that is kept, in characters.
const WORD_COUNT_MAX: usize = 120;

/// Why a phone could not be found, trusted or asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The socket of the mux daemon does not exist: it is not installed, or was never started.
    #[error("no mux daemon at {address}")]
    NoMuxer {
        /// Where it was looked for.
        address: String,
    },
    /// The socket exists, but nobody listens: the daemon ended without removing it.
    #[error("the mux daemon's socket {address} is left over from one that ended")]
    MuxerStale {
        /// Where it was looked for.
        address: String,
    },
    /// Nothing listens at that port.
    #[error("no mux daemon answers at {address}")]
    MuxerRefused {
        /// Where it was looked for.
        address: String,
    },
    /// The mux daemon cannot be reached for another reason.
    #[error("the mux daemon at {address} cannot be reached")]
    MuxerUnreachable {
        /// Where it was looked for.
        address: String,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The mux daemon refused a request.
    #[error("the mux daemon refused {request} with {number}")]
    MuxerSaid {
        /// What was asked.
        request: &'static str,
        /// Its number: 1 bad command, 2 bad device, 3 refused, 6 bad version.
        number: u64,
    },
    /// The phone is no longer attached, or does not listen there.
    #[error("the phone cannot be reached: it is not attached any more, or does not listen")]
    PhoneGone,
    /// There is no pair record: this computer was never trusted, or somebody removed the record.
    #[error("the phone was never told to trust this computer")]
    NotPaired,
    /// The phone does not know this computer any more.
    #[error("the phone no longer trusts this computer")]
    PairingGone,
    /// The pair record that the mux daemon keeps cannot be used.
    #[error("the pair record kept on this computer is damaged")]
    PairRecordDamaged,
    /// The phone is locked.
    #[error("the phone is locked")]
    PasswordProtected,
    /// The sheet "Trust this computer?" waits for an answer.
    #[error("the phone waits for an answer to \"Trust this computer?\"")]
    DialogPending,
    /// "Don't trust" was tapped.
    #[error("\"Don't trust\" was tapped on the phone")]
    Denied,
    /// Phones pair over a cable only.
    #[error("the phone pairs over a cable only")]
    ProhibitedOverWifi,
    /// An organisation that manages the phone forbids it.
    #[error("the phone is managed, and pairing with this computer is not allowed")]
    Supervised {
        /// Apple's word.
        word: String,
    },
    /// The phone has no such service.
    #[error("the phone has no service {service}")]
    NoSuchService {
        /// Its name.
        service: String,
    },
    /// It waits for a restore by Finder or iTunes; no backup can be made in this state.
    #[error("the phone is in restore mode")]
    RestoreMode {
        /// What it calls itself.
        word: String,
    },
    /// Over the network somebody answered who does not have the phone's key.
    #[error("what answered over the network is not the phone that was paired")]
    NotThePhone,
    /// Another program syncs with the phone and does not let go.
    #[error("another program is syncing with the phone")]
    SyncBusy,
    /// A file operation on the phone's media failed.
    #[error("the phone refused a file operation with {code}")]
    File {
        /// AFC's number: 8 not found, 10 denied, 18 no space.
        code: u64,
    },
    /// The phone refused a request for a reason without a kind of its own.
    #[error("the phone refused {request}: {word}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// Apple's word.
        word: String,
    },
    /// What came is not what the protocol allows.
    #[error("{from} sent something malformed: {what}")]
    Malformed {
        /// Who.
        from: &'static str,
        /// What was expected.
        what: &'static str,
    },
    /// A message is longer than any honest one.
    #[error("{from} announced a message of {len} bytes")]
    TooLong {
        /// Who.
        from: &'static str,
        /// Bytes announced.
        len: u64,
    },
    /// A message is no property list, or one out of bounds.
    #[error("{from} sent an unreadable message")]
    Unreadable {
        /// Who.
        from: &'static str,
        /// Why.
        #[source]
        source: PlistError,
    },
    /// The system has no thread to watch sockets with.
    #[error("no thread to watch connections with")]
    NoThread(#[source] io::Error),
    /// TLS could not be agreed upon.
    #[error("no protected connection to the phone")]
    Tls(#[source] rustls::Error),
    /// The connection ended.
    #[error("the connection to the phone was lost")]
    Lost(#[source] io::Error),
    /// Nothing came for too long.
    #[error("the phone did not answer in time")]
    TimedOut,
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        if wire::is_stopped(&error) {
            return Self::Stopped;
        }
        if error.kind() == io::ErrorKind::TimedOut {
            return Self::TimedOut;
        }
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match inner {
            Some(inner) => Self::Tls(inner.clone()),
            None => Self::Lost(error),
        }
    }
}

/// A word of the phone's as it may be shown: printable and short.
pub(super) fn word(raw: &str) -> String {
    raw.chars().filter(|c| !c.is_control()).take(WORD_COUNT_MAX).collect()
}

/// The kind of a refusal by lockdown.
pub(super) fn refusal(request: &'static str, raw: &str) -> ConnectError {
    match raw {
        "PasswordProtected" | "DeviceLocked" | "EscrowLocked" => ConnectError::PasswordProtected,
        "PairingDialogResponsePending" => ConnectError::DialogPending,
        "UserDeniedPairing" => ConnectError::Denied,
        "PairingProhibitedOverThisConnection" => ConnectError::ProhibitedOverWifi,
        "MCProtected" | "MCChallengeRequired" => ConnectError::Supervised { word: word(raw) },
        "InvalidHostID" => ConnectError::PairingGone,
        _ => ConnectError::Refused { request, word: word(raw) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_phone_is_short_and_printable() {
        assert_eq!(word("a\u{1b}[31m\nb"), "a[31mb");
        assert_eq!(word(&"x".repeat(9999)).len(), WORD_COUNT_MAX);
    }

    #[test]
    fn what_has_no_kind_keeps_its_word() {
        let error = refusal("StartService", "ServiceLimit");
        assert_eq!(error.to_string(), "the phone refused StartService: ServiceLimit");
    }

    #[test]
    fn a_phone_that_forgot_this_computer_is_told_from_a_locked_one() {
        assert!(matches!(refusal("StartSession", "InvalidHostID"), ConnectError::PairingGone));
        assert!(matches!(refusal("Pair", "PasswordProtected"), ConnectError::PasswordProtected));
    }
}
