//! notification_proxy: hosts post notifications and observe those of the phone.
//!
//! Invariant: a notification that was observed before it is posted is relayed. Reading and relaying share one link, so
//! reads wait a moment only.

use super::error::DeviceError;
use super::link::Link;
use super::usbmuxd::text;
use super::{ScriptedPhone, locked};
use plist::{Dictionary, Value};
use serde_json::json;
use std::io::{Cursor, ErrorKind, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

pub(crate) const NAME: &str = "com.apple.mobile.notification_proxy";
const PATIENCE: Duration = Duration::from_millis(100);
const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// Serves one host.
pub(crate) fn serve(phone: &ScriptedPhone, link: Link) -> Result<(), DeviceError> {
    link.patience(Some(PATIENCE))?;
    let (sender, receiver) = channel();
    Proxy { phone, link, sender, receiver, pending: Vec::new() }.run()
}

struct Proxy<'a> {
    phone: &'a ScriptedPhone,
    link: Link,
    sender: Sender<String>,
    receiver: Receiver<String>,
    pending: Vec<u8>,
}

impl Proxy<'_> {
    fn run(mut self) -> Result<(), DeviceError> {
        loop {
            while let Ok(name) = self.receiver.try_recv() {
                self.send("RelayNotification", Some(&name))?;
            }
            let mut bytes = [0; 4096];
            match self.link.read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(len) => self.pending.extend_from_slice(bytes.get(..len).unwrap_or_default()),
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            while let Some(message) = self.next_message()? {
                if !self.take(&message)? {
                    return Ok(());
                }
            }
        }
    }

    fn next_message(&mut self) -> Result<Option<Dictionary>, DeviceError> {
        let Some(head) = self.pending.first_chunk::<4>() else { return Ok(None) };
        let len = usize::try_from(u32::from_be_bytes(*head)).unwrap_or(usize::MAX);
        if len > MESSAGE_LEN_MAX {
            return Err(DeviceError::Breach { rule: "notifications are short" });
        }
        let Some(body) = self.pending.get(4..4 + len) else { return Ok(None) };
        let message = Value::from_reader(Cursor::new(body))?;
        self.pending.drain(..4 + len);
        Ok(Some(message.into_dictionary().unwrap_or_default()))
    }

    /// False when the host is done.
    fn take(&mut self, message: &Dictionary) -> Result<bool, DeviceError> {
        self.phone.journal.request("notification_proxy", &message.clone().into());
        let name = text(message, "Name").to_owned();
        match text(message, "Command") {
            "PostNotification" => self.phone.notify(&name),
            "ObserveNotification" => {
                locked(&self.phone.observers).push((name, self.sender.clone()));
            }
            "Shutdown" => {
                self.send("ProxyDeath", None)?;
                return Ok(false);
            }
            other => {
                let journal = &self.phone.journal;
                journal.violation("notification_proxy", "commands are known", &json!(other));
            }
        }
        Ok(true)
    }

    fn send(&mut self, command: &str, name: Option<&str>) -> Result<(), DeviceError> {
        let mut message = Dictionary::new();
        message.insert("Command".into(), command.into());
        if let Some(name) = name {
            message.insert("Name".into(), name.into());
        }
        let message = message.into();
        self.phone.journal.answer("notification_proxy", &message);
        self.link.write_xml(&message)
    }
}
