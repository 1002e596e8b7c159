//! lockdownd: pairing, sessions with TLS, values, and the start of services.
//!
//! Invariant: without a session of a paired host no service starts and no private value is told. Each request gets one
//! answer that echoes its name.

use super::error::DeviceError;
use super::link::Link;
use super::usbmuxd::{bytes_of, text};
use super::wires::Sort;
use super::{
    Host, ScriptedPhone, Started, State, afc, app_services, heartbeat, locked, mobilebackup2,
    notification_proxy, tls, values,
};
use crate::random::{Random, hex_of};
use plist::{Dictionary, Value};
use rustls::ServerConfig;
use serde_json::json;
use std::sync::Arc;

const ON: &str = "lockdown";
const SERVICES: [&str; 7] = [
    afc::NAME,
    heartbeat::NAME,
    app_services::DIAGNOSTICS,
    app_services::INSTALLATION_PROXY,
    app_services::SPRINGBOARD,
    mobilebackup2::NAME,
    notification_proxy::NAME,
];

/// Speaks lockdown until the host hangs up.
pub(super) fn serve(phone: &Arc<ScriptedPhone>, link: Link, sort: Sort) -> Result<(), DeviceError> {
    let mut conversation = Lockdown { phone, link, sort, session: None };
    loop {
        let request = match conversation.link.read_plist() {
            Err(DeviceError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Ok(());
            }
            other => other?.into_dictionary().unwrap_or_default(),
        };
        phone.journal.request(ON, &request.clone().into());
        if !conversation.answer(&request)? {
            return Ok(());
        }
    }
}

/// Serves the one connection a started service gets.
pub(super) fn serve_started(
    phone: &Arc<ScriptedPhone>,
    mut link: Link,
    started: Started,
) -> Result<(), DeviceError> {
    if let Some(config) = started.tls {
        link.start_tls(config)?;
    }
    match started.service.as_str() {
        afc::NAME => afc::serve(phone, link),
        heartbeat::NAME => heartbeat::serve(phone, link),
        app_services::DIAGNOSTICS => app_services::diagnostics(phone, link),
        app_services::INSTALLATION_PROXY => app_services::installation_proxy(phone, link),
        app_services::SPRINGBOARD => app_services::springboard(phone, link),
        notification_proxy::NAME => notification_proxy::serve(phone, link),
        _ => mobilebackup2::serve(phone, link),
    }
}

struct Lockdown<'a> {
    phone: &'a Arc<ScriptedPhone>,
    link: Link,
    /// How the host is connected.
    sort: Sort,
    session: Option<Session>,
}

struct Session {
    id: String,
    escrow_bag: Vec<u8>,
    tls: Arc<ServerConfig>,
}

/// What an answer holds besides the echo, or lockdown's word for the failure.
type Answer = Result<Dictionary, &'static str>;

impl Lockdown<'_> {
    /// False when the conversation is over.
    fn answer(&mut self, request: &Dictionary) -> Result<bool, DeviceError> {
        let name = text(request, "Request");
        if text(request, "Label").is_empty() {
            self.phone.journal.violation(ON, "requests carry a Label", &json!(name));
        }
        let answer = match name {
            "QueryType" => Ok(with("Type", "com.apple.mobile.lockdown".into())),
            "GetValue" => self.get_value(request)?,
            "SetValue" | "RemoveValue" => self.needs_session().map(|()| Dictionary::new()),
            "Pair" => self.pair(request)?,
            "ValidatePair" => self.validate_pair(request)?,
            "Unpair" => self.unpair(request)?,
            "StartSession" => return self.start_session(request),
            "StopSession" => return self.stop_session(request),
            "StartService" => self.start_service(request),
            "Goodbye" => {
                self.send(name, Ok(Dictionary::new()))?;
                return Ok(false);
            }
            _ => Err("InvalidRequest"),
        };
        self.send(name, answer)?;
        Ok(true)
    }

    fn send(&mut self, request: &str, answer: Answer) -> Result<(), DeviceError> {
        let mut message = answer.unwrap_or_else(|error| with("Error", error.into()));
        message.insert("Request".into(), request.into());
        let message = message.into();
        self.phone.journal.answer(ON, &message);
        self.link.write_xml(&message)
    }

    fn needs_session(&self) -> Result<(), &'static str> {
        if self.session.is_some() { Ok(()) } else { Err("SessionInactive") }
    }

    fn get_value(&self, request: &Dictionary) -> Result<Answer, DeviceError> {
        let part = |key| request.get(key).and_then(Value::as_string);
        let (domain, key) = (part("Domain"), part("Key"));
        let state = self.phone.state()?;
        let value = values::value(self.phone, &state, self.session.is_some(), domain, key);
        Ok(value.map(|value| {
            let mut answer = with("Value", value);
            for (name, text) in [("Domain", domain), ("Key", key)] {
                if let Some(text) = text {
                    answer.insert(name.into(), text.into());
                }
            }
            answer
        }))
    }

    fn pair(&mut self, request: &Dictionary) -> Result<Answer, DeviceError> {
        if self.sort == Sort::Network {
            return Ok(Err("PairingProhibitedOverThisConnection"));
        }
        if self.phone.script.locked {
            return Ok(Err("PasswordProtected"));
        }
        if self.phone.script.deny_pairing {
            return Ok(Err("UserDeniedPairing"));
        }
        {
            let mut polls = locked(&self.phone.polls);
            *polls += 1;
            if *polls <= self.phone.script.trust_polls {
                return Ok(Err("PairingDialogResponsePending"));
            }
        }
        let Some((id, mut host)) = host_of(request) else {
            self.phone.journal.violation(ON, "a pair record holds ids and certificates", &json!(0));
            return Ok(Err("InvalidPairRecord"));
        };
        if let Err(error) = session_tls(&host) {
            let detail = mobilebackup2::chain(&error);
            self.phone.journal.violation(ON, "certificates of a pair record are PEM", &detail);
            return Ok(Err("InvalidPairRecord"));
        }
        let seed = self.phone.state()?.seed;
        let purpose = [seed, 0x6573_6372_6f77, crate::plists::hash(&id)];
        let escrow_bag: [u8; 32] = Random::of_parts(&purpose).array();
        host.escrow_bag = hex_of(&escrow_bag);
        self.phone.change(|state| state.hosts.insert(id, host))?;
        Ok(Ok(with("EscrowBag", Value::Data(escrow_bag.to_vec()))))
    }

    /// Before iOS 7 this opened a session; clients still ask after pairing.
    fn validate_pair(&self, request: &Dictionary) -> Result<Answer, DeviceError> {
        let known = self.known_host(pair_record(request))?;
        Ok(known.map(|_| Dictionary::new()).ok_or("InvalidHostID"))
    }

    fn unpair(&self, request: &Dictionary) -> Result<Answer, DeviceError> {
        let id = pair_record(request).map(|record| text(record, "HostID").to_owned());
        let removed =
            self.phone.change(|state| id.and_then(|id| state.hosts.remove(&id)).is_some())?;
        Ok(if removed { Ok(Dictionary::new()) } else { Err("InvalidHostID") })
    }

    fn known_host(&self, ids: Option<&Dictionary>) -> Result<Option<Host>, DeviceError> {
        let Some(ids) = ids else { return Ok(None) };
        let state: State = self.phone.state()?;
        let host = state.hosts.get(text(ids, "HostID"));
        Ok(host.filter(|host| host.system_buid == text(ids, "SystemBUID")).cloned())
    }

    fn start_session(&mut self, request: &Dictionary) -> Result<bool, DeviceError> {
        let host = self.known_host(Some(request))?;
        let Some(host) = host else {
            self.send("StartSession", Err("InvalidHostID"))?;
            return Ok(true);
        };
        if self.session.is_some() {
            self.send("StartSession", Err("SessionActive"))?;
            return Ok(true);
        }
        let config = session_tls(&host)?;
        let id = Random::of_parts(&[crate::plists::hash(&host.escrow_bag), 1]).uuid();
        let mut answer = with("SessionID", id.clone().into());
        answer.insert("EnableSessionSSL".into(), true.into());
        self.send("StartSession", Ok(answer))?;
        if let Err(error) = self.link.start_tls(Arc::clone(&config)) {
            let detail = mobilebackup2::chain(&error);
            // A cable that is pulled here is no host's fault.
            if is_end(&error) {
                self.phone.journal.note(ON, "the link ended within TLS", &detail);
            } else {
                let rule = "TLS with a certificate of the pair record";
                self.phone.journal.violation(ON, rule, &detail);
            }
            return Err(error);
        }
        let escrow_bag = bytes_of(&host.escrow_bag).unwrap_or_default();
        self.session = Some(Session { id, escrow_bag, tls: config });
        Ok(true)
    }

    fn stop_session(&mut self, request: &Dictionary) -> Result<bool, DeviceError> {
        let is_ours =
            self.session.as_ref().is_some_and(|session| session.id == text(request, "SessionID"));
        if !is_ours {
            self.send("StopSession", Err("SessionInactive"))?;
            return Ok(true);
        }
        self.send("StopSession", Ok(Dictionary::new()))?;
        self.session = None;
        self.link.stop_tls()?;
        Ok(true)
    }

    fn start_service(&self, request: &Dictionary) -> Answer {
        let session = self.session.as_ref().ok_or("SessionInactive")?;
        let name = text(request, "Service");
        if !SERVICES.contains(&name) {
            return Err("InvalidService");
        }
        let bag = request.get("EscrowBag").and_then(Value::as_data);
        if bag.is_some_and(|bag| bag != session.escrow_bag) {
            let journal = &self.phone.journal;
            journal.violation(ON, "the escrow bag is the one of the pairing", &json!(name));
            return Err("EscrowLocked");
        }
        if name == mobilebackup2::NAME && bag.is_none() {
            let journal = &self.phone.journal;
            journal.violation(ON, "mobilebackup2 is started with the escrow bag", &json!(name));
        }
        if self.phone.script.locked && bag.is_none() {
            return Err("PasswordProtected");
        }
        let config = self.phone.script.service_tls.then(|| Arc::clone(&session.tls));
        let mut ports = locked(&self.phone.ports);
        ports.last = if ports.last >= 62_000 { 49_152 } else { ports.last + 1 };
        let port = ports.last;
        let started = Started { service: name.to_owned(), tls: config };
        ports.waiting.insert(port, started);
        let mut answer = with("Service", name.into());
        answer.insert("Port".into(), port.into());
        if self.phone.script.service_tls {
            answer.insert("EnableServiceSSL".into(), true.into());
        }
        Ok(answer)
    }
}

fn with(key: &str, value: Value) -> Dictionary {
    let mut dictionary = Dictionary::new();
    dictionary.insert(key.to_owned(), value);
    dictionary
}

fn pair_record(request: &Dictionary) -> Option<&Dictionary> {
    request.get("PairRecord").and_then(Value::as_dictionary)
}

fn host_of(request: &Dictionary) -> Option<(String, Host)> {
    let record = pair_record(request)?;
    let pem = |key| {
        record
            .get(key)
            .and_then(Value::as_data)
            .and_then(|bytes| String::from_utf8(bytes.to_vec()).ok())
    };
    let host = Host {
        system_buid: text(record, "SystemBUID").to_owned(),
        device_certificate: pem("DeviceCertificate")?,
        host_certificate: pem("HostCertificate")?,
        root_certificate: pem("RootCertificate")?,
        escrow_bag: String::new(),
    };
    let id = text(record, "HostID").to_owned();
    (!id.is_empty() && !host.system_buid.is_empty()).then_some((id, host))
}

/// Hosts show their own certificate, or, as libimobiledevice does, the root's.
fn session_tls(host: &Host) -> Result<Arc<ServerConfig>, DeviceError> {
    let shown = [host.host_certificate.as_bytes(), host.root_certificate.as_bytes()];
    tls::config(host.device_certificate.as_bytes(), &shown)
}

fn is_end(error: &DeviceError) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    let DeviceError::Io(error) = error else { return false };
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}
