//! The heartbeat: a phone asks "Marco", and its services over the network end when no "Polo" comes for a while.
//!
//! Invariant: services over USB do not depend on it. Time is let pass, never read.

use super::error::DeviceError;
use super::link::Link;
use super::usbmuxd::text;
use super::wires::Sort;
use super::{ScriptedPhone, locked};
use plist::{Dictionary, Value};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

pub(crate) const NAME: &str = "com.apple.mobile.heartbeat";
const ON: &str = "heartbeat";
/// Between two questions, at most.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Asks the host again and again whether it is there, and hears it out.
pub(crate) fn serve(phone: &ScriptedPhone, mut link: Link) -> Result<(), DeviceError> {
    let pause = patience(phone).map_or(PAUSE_MAX, |patience| PAUSE_MAX.min(patience / 4));
    loop {
        let mut marco = Dictionary::new();
        marco.insert("Command".into(), "Marco".into());
        marco.insert("Interval".into(), 10.into());
        link.write_binary(&Value::from(marco))?;
        let answer = link.read_plist()?.into_dictionary().unwrap_or_default();
        if text(&answer, "Command") == "Polo" {
            phone.polo_count.fetch_add(1, Ordering::SeqCst);
        } else {
            phone.journal.violation(ON, "Marco is answered with Polo", &json!(0));
        }
        if phone.pause(pause) {
            return Ok(());
        }
    }
}

/// Ends the services over the network when no answer comes for as long as the script says.
pub(super) fn watch(phone: &Arc<ScriptedPhone>) {
    let Some(patience) = patience(phone) else { return };
    if std::mem::replace(&mut *locked(&phone.is_watched), true) {
        return;
    }
    let phone = Arc::clone(phone);
    std::thread::spawn(move || {
        loop {
            let before = phone.polo_count.load(Ordering::SeqCst);
            let is_halted = phone.pause(patience);
            let mut is_watched = locked(&phone.is_watched);
            if is_halted || phone.wires.count(Sort::Network) == 0 {
                *is_watched = false;
                return;
            }
            if phone.polo_count.load(Ordering::SeqCst) == before {
                let count = phone.wires.end(&[Sort::Network]);
                phone.journal.note(ON, "no Polo came", &json!({ "services ended": count }));
                *is_watched = false;
                return;
            }
        }
    });
}

fn patience(phone: &ScriptedPhone) -> Option<Duration> {
    phone.script.heartbeat.map(Duration::from_millis)
}
