//! The journal: one JSON line for each request, answer and breach of the protocol.
//!
//! Invariant: lines are numbered without gaps and hold no clock, so that two runs can be compared. Data in property
//! lists is told by length only: pair records are keys. Must not be read by the phone itself.

use super::error::DeviceError;
use plist::Value;
use serde::Deserialize;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Longest text that is written out.
const TEXT_LEN_MAX: usize = 400;
/// Most items of one list or dictionary that are written out.
const ITEM_COUNT_MAX: usize = 40;

/// One line.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Event {
    /// Its number, from 1.
    pub line: u64,
    /// The service.
    pub on: String,
    /// `request`, `answer`, `violation`, or what happened.
    pub event: String,
    /// More about it.
    pub detail: serde_json::Value,
}

impl Event {
    /// The rule that a violation broke; empty for other events.
    pub fn rule(&self) -> &str {
        self.detail.get("rule").and_then(serde_json::Value::as_str).unwrap_or_default()
    }
}

/// Reads a journal; one that is not there has no lines.
pub(crate) fn read(path: &Path) -> Result<Vec<Event>, DeviceError> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Where the phone writes what it saw.
#[derive(Debug)]
pub struct Journal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    line: u64,
}

impl Journal {
    /// Appends to the file at `path`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let text = std::fs::read(path).unwrap_or_default();
        let line = text.iter().filter(|byte| **byte == b'\n').count();
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { state: Mutex::new(State { file, line: u64::try_from(line).unwrap_or(0) }) })
    }

    /// What the host asked of service `on`.
    pub(crate) fn request(&self, on: &str, message: &Value) {
        self.write(on, "request", &json_of(message));
    }

    /// What the phone sent: an answer, or in mobilebackup2 a request of its own.
    pub(crate) fn answer(&self, on: &str, message: &Value) {
        self.write(on, "answer", &json_of(message));
    }

    /// Anything else worth a line.
    pub(crate) fn note(&self, on: &str, event: &str, detail: &serde_json::Value) {
        self.write(on, event, detail);
    }

    /// A host broke a rule.
    pub(crate) fn violation(&self, on: &str, rule: &'static str, detail: &serde_json::Value) {
        self.write(on, "violation", &json!({ "rule": rule, "detail": detail }));
    }

    /// A full disk must not end the conversation: a line that cannot be written is lost.
    fn write(&self, on: &str, event: &str, detail: &serde_json::Value) {
        let mut state: MutexGuard<'_, State> =
            self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.line += 1;
        let line = json!({ "line": state.line, "on": on, "event": event, "detail": detail });
        let _lost = writeln!(state.file, "{line}");
    }
}

/// A property list as JSON, shortened.
pub(crate) fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Array(items) => {
            let mut list: Vec<_> = items.iter().take(ITEM_COUNT_MAX).map(json_of).collect();
            if items.len() > ITEM_COUNT_MAX {
                list.push(json!(format!("and {} more", items.len() - ITEM_COUNT_MAX)));
            }
            list.into()
        }
        Value::Dictionary(items) => {
            let mut map: serde_json::Map<_, _> = items
                .iter()
                .take(ITEM_COUNT_MAX)
                .map(|(key, each)| (shortened(key), json_of(each)))
                .collect();
            if items.len() > ITEM_COUNT_MAX {
                map.insert("...".to_owned(), json!(format!("{} keys", items.len())));
            }
            map.into()
        }
        Value::Boolean(flag) => json!(flag),
        Value::Data(bytes) => json!({ "data_len": bytes.len() }),
        Value::Date(date) => json!({ "date": date.to_xml_format() }),
        Value::Integer(number) => {
            number.as_signed().map_or_else(|| json!(number.as_unsigned()), |number| json!(number))
        }
        Value::Real(number) => json!({ "real": number }),
        Value::String(text) => json!(shortened(text)),
        Value::Uid(uid) => json!({ "uid": uid.get() }),
        _ => json!("?"),
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(TEXT_LEN_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn lines_are_numbered_on_when_the_journal_is_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        Journal::open(&path).unwrap().request("lockdown", &Value::from("a\nb"));
        Journal::open(&path).unwrap().violation("mux", "order", &json!(1));
        let text = std::fs::read_to_string(&path).unwrap();
        let numbers: Vec<u64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["line"].as_u64().unwrap())
            .collect();
        assert_eq!(numbers, [1, 2]);
    }

    #[test]
    fn a_pair_record_is_told_by_its_length_only() {
        let secret = Value::Data(b"very secret".to_vec());
        assert_eq!(json_of(&secret), json!({ "data_len": 11 }));
    }
}
