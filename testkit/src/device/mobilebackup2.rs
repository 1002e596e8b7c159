//! mobilebackup2: the handshake, and which of the host's requests becomes what.
//!
//! Invariant: every request of a host gets one Response, with ErrorCode always; unless the link is gone.

use super::error::DeviceError;
use super::host_files::{HostFiles, ON};
use super::link::Link;
use super::script::Passcode;
use super::usbmuxd::text;
use super::{ScriptedPhone, backup, password, restore};
use plist::{Dictionary, Value};
use serde_json::json;
use std::error::Error;
use std::time::Duration;

pub(crate) const NAME: &str = "com.apple.mobilebackup2";

/// Serves one host.
pub(crate) fn serve(phone: &ScriptedPhone, link: Link) -> Result<(), DeviceError> {
    let mut host = HostFiles::new(phone, link);
    let ended = converse(&mut host);
    phone.journal.note(ON, "sent", &json!({ "len": host.sent_len() }));
    ended
}

fn converse(host: &mut HostFiles<'_>) -> Result<(), DeviceError> {
    let phone = host.phone;
    shake_hands(host)?;
    loop {
        let message = match host.receive() {
            Err(DeviceError::HostLeft) => return Ok(()),
            other => other?,
        };
        let Some(request) = process_message(&message) else {
            host.breach("requests are DLMessageProcessMessage with a dictionary", &json!(0));
            return Err(DeviceError::Breach { rule: "requests are process messages" });
        };
        let name = text(&request, "MessageName").to_owned();
        let outcome = handle(host, &name, &request);
        match &outcome {
            Err(error) => phone.journal.note(ON, "failed", &json!([name, chain(error)])),
            Ok(()) => phone.journal.note(ON, "succeeded", &json!(name)),
        }
        let (code, description) = match outcome {
            Ok(()) => (0, None),
            Err(DeviceError::HostLeft) => return Ok(()),
            Err(DeviceError::Refused { code, text }) => {
                (code, Some(format!("{text} (MBErrorDomain/{code})")))
            }
            Err(error) => {
                // A cable that is pulled ends every conversation.
                if matches!(error, DeviceError::Cut) {
                    phone.unplug();
                }
                return Err(error);
            }
        };
        respond(host, code, description)?;
    }
}

fn shake_hands(host: &mut HostFiles<'_>) -> Result<(), DeviceError> {
    host.send(vec!["DLMessageVersionExchange".into(), 400.into(), 0.into()])?;
    let answer = host.receive()?;
    let word = |index: usize| answer.get(index).and_then(Value::as_string);
    if word(0) != Some("DLMessageVersionExchange") || word(1) != Some("DLVersionsOk") {
        host.breach("the version is answered with DLVersionsOk", &json!(0));
        return Err(DeviceError::Breach { rule: "versions are exchanged" });
    }
    if answer.get(2).and_then(Value::as_signed_integer) != Some(400) {
        host.breach("the host takes the phone's version", &json!(0));
    }
    host.send(vec!["DLMessageDeviceReady".into()])?;
    let hello = host.receive()?;
    let hello = process_message(&hello).unwrap_or_default();
    let versions = hello.get("SupportedProtocolVersions").and_then(Value::as_array);
    let is_common =
        versions.is_some_and(|list| list.iter().any(|each| each.as_real() == Some(2.1)));
    if text(&hello, "MessageName") != "Hello" || versions.is_none() {
        host.breach("the first message is Hello with versions", &json!(0));
    }
    let mut answer = response(if is_common { 0 } else { 1 });
    answer.insert("ProtocolVersion".into(), Value::Real(2.1));
    host.send(vec!["DLMessageProcessMessage".into(), answer.into()])
}

fn handle(host: &mut HostFiles<'_>, name: &str, request: &Dictionary) -> Result<(), DeviceError> {
    let is_for_us = text(request, "TargetIdentifier") == host.phone.udid();
    if !is_for_us && name != "EnableCloudBackup" {
        host.breach(
            "TargetIdentifier is the phone's id",
            &json!(text(request, "TargetIdentifier")),
        );
    }
    if let Some(code) = host.phone.script.ends_with.get(name) {
        return Err(DeviceError::Refused { code: *code, text: "As the script says" });
    }
    match name {
        "Backup" => {
            host.be_silent_at("asked")?;
            if host.phone.script.requires_encryption && host.phone.state()?.password.is_none() {
                return Err(password::MUST_ENCRYPT);
            }
            ask_for_passcode(host.phone)?;
            backup::run(host, request)
        }
        "ChangePassword" => password::change(host, request),
        "Restore" => restore::run(host, request),
        // What iOS 10 and later make of them.
        "Info" | "List" | "Unback" | "Extract" => {
            Err(DeviceError::Refused { code: 205, text: "Manifest.mbdb could not be opened" })
        }
        _ => {
            host.breach("requests are known", &json!(name));
            Err(DeviceError::Refused { code: 1, text: "Unknown message" })
        }
    }
}

fn respond(
    host: &mut HostFiles<'_>,
    code: i64,
    description: Option<String>,
) -> Result<(), DeviceError> {
    let mut answer = response(code);
    if let Some(description) = description {
        answer.insert("ErrorDescription".into(), description.into());
    }
    host.send(vec!["DLMessageProcessMessage".into(), answer.into()])
}

fn response(code: i64) -> Dictionary {
    let mut answer = Dictionary::new();
    answer.insert("MessageName".into(), "Response".into());
    answer.insert("ErrorCode".into(), code.into());
    answer
}

fn process_message(message: &[Value]) -> Option<Dictionary> {
    let [tag, request] = message else { return None };
    let is_process = tag.as_string() == Some("DLMessageProcessMessage");
    request.as_dictionary().filter(|_| is_process).cloned()
}

/// The sheet that iOS 16.1 and later put up before a backup.
pub(crate) fn ask_for_passcode(phone: &ScriptedPhone) -> Result<(), DeviceError> {
    const GIVEN_UP_AFTER: Duration = Duration::from_secs(2);
    if phone.script.passcode == Passcode::None {
        return Ok(());
    }
    phone.notify("com.apple.LocalAuthentication.ui.presented");
    phone.pause(match phone.script.passcode {
        Passcode::After(millis) => Duration::from_millis(millis),
        _ => GIVEN_UP_AFTER,
    });
    phone.notify("com.apple.LocalAuthentication.ui.dismissed");
    if phone.script.passcode == Passcode::Never {
        return Err(DeviceError::Refused { code: 208, text: "Device locked" });
    }
    Ok(())
}

/// An error and its causes, for the journal.
pub(crate) fn chain(error: &DeviceError) -> serde_json::Value {
    let mut words = vec![error.to_string()];
    let mut source = error.source();
    while let Some(cause) = source {
        words.push(cause.to_string());
        source = cause.source();
    }
    json!(words)
}
