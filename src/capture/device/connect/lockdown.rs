//! lockdownd: the phone's doorkeeper. Sessions, values, and the start of services.
//!
//! Invariant: one request, one answer, in turn. After `start_session` everything is under TLS.

use super::error::{refusal, word};
use super::message::{self, dictionary, text};
use super::record::PairRecord;
use super::stream::PhoneStream;
use super::{Attached, ConnectError, Muxer};
use plist::{Dictionary, Value};
use rustls::{AlertDescription, Error};
use std::io;

const FROM: &str = "the phone";
const PORT: u16 = 62_078;
const TYPE: &str = "com.apple.mobile.lockdown";
/// What every request is labelled with.
pub(super) const LABEL: &str = "russet";

/// A conversation with lockdownd.
pub(super) struct Lockdown {
    stream: PhoneStream,
}

/// Where a started service waits.
pub(super) struct Started {
    pub(super) port: u16,
    pub(super) has_tls: bool,
}

impl Lockdown {
    /// Connects, and asks who is there.
    pub(super) fn open(muxer: &Muxer, attached: &Attached) -> Result<Self, ConnectError> {
        let mut lockdown = Self { stream: muxer.connect(attached, PORT)? };
        let answer = lockdown.ask("QueryType", Dictionary::new())?;
        match text(&answer, "Type") {
            TYPE => Ok(lockdown),
            "" => Err(ConnectError::Malformed { from: FROM, what: "its type" }),
            other => Err(ConnectError::RestoreMode { word: word(other) }),
        }
    }

    /// Sends a request and reads its answer; a refusal is an error.
    pub(super) fn ask(
        &mut self,
        request: &'static str,
        mut members: Dictionary,
    ) -> Result<Dictionary, ConnectError> {
        members.extend(dictionary([("Label", LABEL.into()), ("Request", request.into())]));
        message::send(&mut self.stream, members)?;
        let answer = message::receive(&mut self.stream, FROM)?;
        match answer.get("Error") {
            None if text(&answer, "Result") == "Failure" => Err(refusal(request, "Failure")),
            None => Ok(answer),
            Some(error) => Err(refusal(request, error.as_string().unwrap_or("an unnamed error"))),
        }
    }

    /// Opens a session as a paired host.
    pub(super) fn start_session(mut self, record: &PairRecord) -> Result<Self, ConnectError> {
        let members = dictionary([
            ("HostID", record.host_id.as_str().into()),
            ("SystemBUID", record.system_buid.as_str().into()),
        ]);
        let answer = self.ask("StartSession", members)?;
        if answer.get("EnableSessionSSL").and_then(Value::as_boolean) != Some(true) {
            return Err(ConnectError::Malformed { from: FROM, what: "a session with TLS" });
        }
        // A phone that has dropped the pairing may still open the session and then end the handshake.
        let stream =
            self.stream.start_tls(&record.tls).map_err(|error| match handshake(error) {
                ConnectError::Lost(error) if is_end(&error) => ConnectError::PairingGone,
                ConnectError::Tls(Error::AlertReceived(alert)) if is_about_us(alert) => {
                    ConnectError::PairingGone
                }
                other => other,
            })?;
        Ok(Self { stream })
    }

    /// A value, or a whole domain; none if the phone has none or does not tell.
    pub(super) fn value(
        &mut self,
        domain: Option<&str>,
        key: Option<&str>,
    ) -> Result<Option<Value>, ConnectError> {
        let mut members = Dictionary::new();
        for (name, part) in [("Domain", domain), ("Key", key)] {
            members.extend(part.map(|part| (name.to_owned(), part.into())));
        }
        match self.ask("GetValue", members) {
            Ok(mut answer) => Ok(answer.remove("Value")),
            Err(error) if is_worn_out(&error) => Err(error),
            Err(ConnectError::Refused { .. } | ConnectError::PasswordProtected) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A switch that is off until it was first set; none if the phone does not tell.
    pub(super) fn switch(&mut self, domain: &str, key: &str) -> Result<Option<bool>, ConnectError> {
        let members = dictionary([("Domain", domain.into()), ("Key", key.into())]);
        match self.ask("GetValue", members) {
            Ok(answer) => Ok(answer.get("Value").and_then(Value::as_boolean)),
            Err(error) if is_worn_out(&error) => Err(error),
            Err(ConnectError::Refused { word, .. }) => {
                Ok((word == "MissingValue").then_some(false))
            }
            Err(ConnectError::PasswordProtected) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Starts a service.
    pub(super) fn start_service(
        &mut self,
        name: &str,
        escrow_bag: Option<&[u8]>,
    ) -> Result<Started, ConnectError> {
        let mut members = dictionary([("Service", name.into())]);
        members.extend(escrow_bag.map(|bag| ("EscrowBag".to_owned(), Value::Data(bag.to_vec()))));
        let answer = match self.ask("StartService", members) {
            Err(ConnectError::Refused { word, .. }) if word == "InvalidService" => {
                return Err(ConnectError::NoSuchService { service: name.to_owned() });
            }
            other => other?,
        };
        let port = answer.get("Port").and_then(Value::as_unsigned_integer);
        let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
        let has_tls = answer.get("EnableServiceSSL").and_then(Value::as_boolean);
        Ok(Started {
            port: port.ok_or(ConnectError::Malformed { from: FROM, what: "a port" })?,
            has_tls: has_tls.unwrap_or(false),
        })
    }
}

/// Whether the conversation ran out, and a new one may help: phones end idle ones.
pub(super) fn is_worn_out(error: &ConnectError) -> bool {
    match error {
        ConnectError::Lost(_) => true,
        ConnectError::Refused { word, .. } => {
            word == "InvalidConnection" || word == "SessionInactive"
        }
        _ => false,
    }
}

/// What a failed handshake means.
pub(super) fn handshake(error: io::Error) -> ConnectError {
    match ConnectError::from(error) {
        ConnectError::Tls(Error::InvalidCertificate(_)) => ConnectError::NotThePhone,
        other => other,
    }
}

/// Whether the phone ended the handshake for the certificate that it was shown.
fn is_about_us(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError
    )
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
    )
}
