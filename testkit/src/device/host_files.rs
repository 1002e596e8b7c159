//! DeviceLink from the phone's side: the host as a file server, and the judge of its answers.
//!
//! Invariant: the phone knows what each answer must look like; whatever deviates is a violation in the journal, with
//! the rule it breaks. `held` is what the host must have, by path and stored length, from what it acknowledged.

mod upload;

pub(crate) use upload::{Body, Upload};

use super::error::DeviceError;
use super::link::Link;
use super::usbmuxd::text;
use super::{ScriptedPhone, State};
use crate::plists;
use crate::random::Random;
use plist::{Dictionary, Value};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Read};
use upload::{Outbox, Pace};

pub(crate) const ON: &str = "mobilebackup2";
pub(crate) const EMPTY: &str = "___EmptyParameterString___";
/// Most bytes of data a host may put in one frame.
const FRAME_LEN_MAX: u32 = 32 * 1024;
/// Beyond this a frame is not read at all.
const FRAME_LEN_LIMIT: u32 = 1024 * 1024 * 1024;

pub(crate) const DATA: u8 = 0x0c;
const SUCCESS: u8 = 0x00;
const ERROR_LOCAL: u8 = 0x06;
const ERROR_REMOTE: u8 = 0x0b;

pub(crate) const MULTI_STATUS: i64 = -13;
pub(crate) const NOT_FOUND: i64 = -6;
const NO_SPACE: i64 = -15;

/// The host's files and the link to them.
pub(crate) struct HostFiles<'a> {
    pub(crate) phone: &'a ScriptedPhone,
    pub(crate) link: Link,
    /// What the host must have: stored length by path.
    pub(crate) held: BTreeMap<String, u64>,
    /// 0 to 100, told with each request.
    pub(crate) progress: f64,
    /// Seed and run, from which odd sizes are drawn.
    draws: [u64; 2],
    pace: Pace,
    outbox: Outbox,
    downloaded_count: u64,
}

/// The answer to one request.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) code: i64,
    pub(crate) value: Value,
}

/// SHA-1, of nothing where it is not wanted, and length of what was stored.
pub(crate) type Sent = ([u8; 20], u64);

/// One entry of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) is_dir: bool,
    pub(crate) len: u64,
}

/// What became of a file that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fetched {
    Whole(u64),
    Failed,
}

impl<'a> HostFiles<'a> {
    pub(crate) fn new(phone: &'a ScriptedPhone, link: Link) -> Self {
        let pace = Pace::of(&phone.script);
        let (held, outbox) = (BTreeMap::new(), Outbox::default());
        Self { phone, link, held, progress: 0.0, draws: [0; 2], pace, outbox, downloaded_count: 0 }
    }

    /// A backup or a restore begins.
    pub(crate) fn begin(&mut self, state: &State) {
        self.held.clear();
        self.progress = 0.0;
        self.draws = [state.seed, state.run];
    }

    fn random(&self, purpose: u64, name: &[u8]) -> Random {
        let [seed, run] = self.draws;
        Random::of_parts(&[seed, run, purpose, plists::hash_of(name)])
    }

    /// Where the script wants it, says nothing more until the host has gone.
    pub(crate) fn be_silent_at(&mut self, moment: &str) -> Result<(), DeviceError> {
        if self.phone.script.silent_at.as_deref() != Some(moment) {
            return Ok(());
        }
        self.phone.journal.note(ON, "silent", &json!(moment));
        while self.receive().is_ok() {}
        Err(DeviceError::HostLeft)
    }

    /// Notes a breach.
    pub(crate) fn breach(&self, rule: &'static str, detail: &serde_json::Value) {
        self.phone.journal.violation(ON, rule, detail);
    }

    /// Sends a message of ours.
    pub(crate) fn send(&mut self, message: Vec<Value>) -> Result<(), DeviceError> {
        let message = Value::Array(message);
        self.phone.journal.answer(ON, &message);
        if self.phone.script.odd_frames {
            let bytes = plists::binary(&message)?;
            if self.random(0x0078_6d6c, &bytes).chance(0.3) {
                return self.link.write_xml(&message);
            }
        }
        self.link.write_binary(&message)
    }

    /// Asks what must be refused, in binary: XML has no NUL.
    pub(crate) fn ask_badly(&mut self, message: Vec<Value>) -> Result<Status, DeviceError> {
        let message = Value::Array(message);
        self.phone.journal.answer(ON, &message);
        self.link.write_binary(&message)?;
        self.status("a hostile request")
    }

    /// Reads a message of the host's.
    pub(crate) fn receive(&mut self) -> Result<Vec<Value>, DeviceError> {
        let message = self.link.read_plist()?;
        self.phone.journal.request(ON, &message);
        let list = message.into_array().unwrap_or_default();
        if list.first().and_then(Value::as_string) == Some("DLMessageDisconnect") {
            return Err(DeviceError::HostLeft);
        }
        Ok(list)
    }

    /// Reads the answer to the request `to`.
    fn status(&mut self, to: &str) -> Result<Status, DeviceError> {
        let message = self.receive()?;
        let mut parts = message.into_iter();
        let tag = parts.next();
        if tag.as_ref().and_then(Value::as_string) != Some("DLMessageStatusResponse") {
            self.breach("a request is answered with DLMessageStatusResponse", &json!(to));
            return Err(DeviceError::Breach { rule: "a request is answered" });
        }
        let code = parts.next().as_ref().and_then(code_of);
        let text = parts.next();
        let value = parts.next();
        let text = text.as_ref().and_then(Value::as_string).unwrap_or_default();
        if text.is_empty() {
            self.breach("the text of a status is a string, the placeholder if unused", &json!(to));
        }
        if value.is_none() || parts.next().is_some() {
            self.breach("a status has four parts", &json!(to));
        }
        let Some(code) = code else {
            self.breach("the code of a status is an integer", &json!(to));
            return Err(DeviceError::Breach { rule: "a status has a code" });
        };
        let value = value.unwrap_or_else(|| Value::from(EMPTY));
        let is_usual = matches!(&value, Value::Dictionary(_) | Value::Integer(_))
            || value.as_string() == Some(EMPTY);
        if !is_usual {
            self.breach(
                "the value of a status is a dictionary, a number or the placeholder",
                &json!(to),
            );
        }
        Ok(Status { code, value })
    }

    /// Asks and reads the answer; some questions are asked twice if the script says so.
    fn ask(&mut self, message: Vec<Value>, may_repeat: bool) -> Result<Status, DeviceError> {
        let tag = message.first().and_then(Value::as_string).unwrap_or_default().to_owned();
        if may_repeat && self.phone.script.duplicates {
            self.send(message.clone())?;
            let _first = self.status(&tag)?;
        }
        self.send(message)?;
        self.status(&tag)
    }

    /// Free bytes on the host.
    pub(crate) fn free_space(&mut self) -> Result<u64, DeviceError> {
        let status = self.ask(vec!["DLMessageGetFreeDiskSpace".into()], true)?;
        let free = status.value.as_unsigned_integer();
        if status.code != 0 || free.is_none() {
            self.breach("free space is answered with 0 and a number", &json!(status.code));
        }
        Ok(free.unwrap_or(0))
    }

    /// Asks the host to make room; false if it cannot. Otherwise its free space is worth another question.
    pub(crate) fn purge(&mut self, wanted: u64) -> Result<bool, DeviceError> {
        let message = vec!["DLMessagePurgeDiskSpace".into(), wanted.into(), 4.into()];
        let status = self.ask(message, false)?;
        if status.value.as_unsigned_integer().is_none() {
            self.breach("a purge is answered with a number", &json!(status.code));
        }
        Ok(status.code == 0)
    }

    /// Something no host knows; it must be refused and the link must live.
    pub(crate) fn unknown(&mut self) -> Result<(), DeviceError> {
        let status = self.ask(vec!["DLMessageOrchardReport".into(), 1.into()], false)?;
        if status.code == 0 {
            self.breach("an unknown message is refused", &json!(status.code));
        }
        Ok(())
    }

    /// Makes a directory and those above it.
    pub(crate) fn create_directory(&mut self, path: &str) -> Result<(), DeviceError> {
        let message = vec!["DLMessageCreateDirectory".into(), path.into()];
        let status = self.ask(message, true)?;
        self.must_succeed("an existing directory is no error", path, &status)
    }

    /// What is in a directory of the host.
    pub(crate) fn list(&mut self, path: &str) -> Result<BTreeMap<String, Listed>, DeviceError> {
        let status = self.ask(vec!["DLContentsOfDirectory".into(), path.into()], true)?;
        let Some(names) = status.value.as_dictionary().filter(|_| status.code == 0) else {
            self.breach(
                "a listing is answered with 0 and a dictionary",
                &json!([path, status.code]),
            );
            return Ok(BTreeMap::new());
        };
        let mut listing = BTreeMap::new();
        for (name, entry) in names {
            let entry = entry.as_dictionary().cloned().unwrap_or_default();
            let sort = text(&entry, "DLFileType");
            let len = entry.get("DLFileSize").and_then(Value::as_unsigned_integer);
            let date = entry.get("DLFileModificationDate").and_then(Value::as_date);
            let is_known =
                ["DLFileTypeDirectory", "DLFileTypeRegular", "DLFileTypeUnknown"].contains(&sort);
            if !is_known || len.is_none() || date.is_none() {
                self.breach(
                    "a listing gives type, size and date of each name",
                    &json!([path, name]),
                );
            }
            let is_dir = sort == "DLFileTypeDirectory";
            listing.insert(name.clone(), Listed { is_dir, len: len.unwrap_or(0) });
        }
        Ok(listing)
    }

    /// Renames files or directories; what is in the way is replaced.
    pub(crate) fn move_items(&mut self, moves: &[(String, String)]) -> Result<(), DeviceError> {
        let mut pairs = Dictionary::new();
        for (from, to) in moves {
            pairs.insert(from.clone(), to.clone().into());
        }
        let message = vec![
            "DLMessageMoveItems".into(),
            pairs.into(),
            Dictionary::new().into(),
            Value::Real(self.progress),
        ];
        let repeats = self.phone.script.repeated_moves;
        self.send(message.clone())?;
        let status = self.status("DLMessageMoveItems")?;
        if repeats {
            self.send(message)?;
            let again = self.status("DLMessageMoveItems")?;
            if again.code != 0 && again.code != NOT_FOUND && again.code != MULTI_STATUS {
                self.breach("a move that was done already is no failure", &json!(again.code));
            }
        }
        for (from, to) in moves {
            if let Some(len) = self.held.remove(from) {
                self.held.insert(to.clone(), len);
            }
        }
        let first = moves.first().map(|(from, _)| from.as_str()).unwrap_or_default();
        self.must_succeed("moves succeed", first, &status)
    }

    /// Removes files or whole directories; what is not there is no error.
    pub(crate) fn remove_items(&mut self, paths: &[String]) -> Result<(), DeviceError> {
        let list: Vec<Value> = paths.iter().map(|path| path.clone().into()).collect();
        let message = vec![
            "DLMessageRemoveItems".into(),
            list.into(),
            Dictionary::new().into(),
            Value::Real(self.progress),
        ];
        let status = self.ask(message, true)?;
        for path in paths {
            let below = format!("{path}/");
            self.held.retain(|held, _| held != path && !held.starts_with(&below));
        }
        let first = paths.first().map(String::as_str).unwrap_or_default();
        self.must_succeed("removals succeed, of missing files too", first, &status)
    }

    /// Copies a file or a tree on the host.
    pub(crate) fn copy_item(&mut self, from: &str, to: &str) -> Result<(), DeviceError> {
        let message = vec!["DLMessageCopyItem".into(), from.into(), to.into()];
        let status = self.ask(message, false)?;
        self.must_succeed("copies succeed", from, &status)
    }

    /// The host has no room: no fault of its own.
    fn host_is_full(&self) -> DeviceError {
        self.phone.journal.note(ON, "the host is full", &json!(self.progress));
        DeviceError::Refused { code: 105, text: "Insufficient free disk space" }
    }

    fn must_succeed(
        &self,
        rule: &'static str,
        path: &str,
        status: &Status,
    ) -> Result<(), DeviceError> {
        if status.code == 0 {
            return Ok(());
        }
        if status.code == NO_SPACE {
            return Err(self.host_is_full());
        }
        self.breach(rule, &json!([path, status.code]));
        Err(DeviceError::Refused { code: 100, text: "The host could not do what was asked" })
    }

    /// Asks for files of the host; `take` gets the bytes of each by its place in `paths`.
    pub(crate) fn download(
        &mut self,
        paths: &[String],
        take: impl FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> Result<Vec<Fetched>, DeviceError> {
        let (fetched, status) = self.fetch(paths, take)?;
        if let Some(status) = status {
            self.check_download(paths, &fetched, &status);
        }
        Ok(fetched)
    }

    /// Asks for files, and leaves it to the caller to judge the answer; none if the host ended the batch early.
    pub(crate) fn fetch(
        &mut self,
        paths: &[String],
        mut take: impl FnMut(usize, &[u8]) -> io::Result<()>,
    ) -> Result<(Vec<Fetched>, Option<Status>), DeviceError> {
        let list: Vec<Value> = paths.iter().map(|path| path.clone().into()).collect();
        self.send(vec![
            "DLMessageDownloadFiles".into(),
            list.into(),
            Dictionary::new().into(),
            Value::Real(self.progress),
            0.into(),
        ])?;
        let mut fetched = Vec::with_capacity(paths.len());
        for (index, path) in paths.iter().enumerate() {
            let len = u64::from(self.link.read_u32()?);
            if len == 0 {
                return Ok((self.cut_short(paths, fetched)?, None));
            }
            let name = self.link.read_bytes(len, 4096)?;
            if name != path.as_bytes() {
                let got = String::from_utf8_lossy(&name).into_owned();
                self.breach(
                    "files come in the order asked for, under their names",
                    &json!([path, got]),
                );
                return Err(DeviceError::Breach { rule: "downloads keep their order" });
            }
            if self.phone.script.cut_after_downloads == Some(self.downloaded_count) {
                return Err(DeviceError::Cut);
            }
            fetched.push(self.read_body(path, |bytes| take(index, bytes))?);
            self.downloaded_count += 1;
        }
        if self.link.read_u32()? != 0 {
            return Err(DeviceError::Breach { rule: "a download ends with a zero length" });
        }
        let status = self.status("DLMessageDownloadFiles")?;
        Ok((fetched, Some(status)))
    }

    /// The host ended the batch early, as idevicebackup2 does at the first file it does not have.
    fn cut_short(
        &mut self,
        paths: &[String],
        mut fetched: Vec<Fetched>,
    ) -> Result<Vec<Fetched>, DeviceError> {
        let _told = self.status("DLMessageDownloadFiles")?;
        self.breach("a file that fails does not end the batch", &json!(paths.get(fetched.len())));
        fetched.resize(paths.len(), Fetched::Failed);
        Ok(fetched)
    }

    fn read_body(
        &mut self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<Fetched, DeviceError> {
        let mut total = 0;
        let mut told = false;
        loop {
            let len = self.link.read_u32()?;
            if len == 0 || len > FRAME_LEN_LIMIT {
                return Err(DeviceError::Breach { rule: "a frame has a code and a sane length" });
            }
            let mut code = [0];
            self.link.read_exact(&mut code)?;
            let data_len = len - 1;
            if data_len > FRAME_LEN_MAX && !told {
                self.breach("frames to the phone hold at most 32 KiB", &json!([path, data_len]));
                told = true;
            }
            let bytes = self.link.read_bytes(u64::from(data_len), u64::from(FRAME_LEN_LIMIT))?;
            match code {
                [DATA] => {
                    take(&bytes)?;
                    total += u64::from(data_len);
                }
                [SUCCESS] => {
                    if !bytes.is_empty() {
                        self.breach("the end of a file carries nothing", &json!(path));
                    }
                    return Ok(Fetched::Whole(total));
                }
                [ERROR_LOCAL] => {
                    if bytes.is_empty() {
                        self.breach("an error block carries a text", &json!(path));
                    }
                    return Ok(Fetched::Failed);
                }
                _ => return Err(DeviceError::Breach { rule: "codes of frames are known" }),
            }
        }
    }

    /// A failed file must be named with its reason; a file that the host must have must come whole.
    fn check_download(&self, paths: &[String], fetched: &[Fetched], status: &Status) {
        let failures = status.value.as_dictionary().cloned().unwrap_or_default();
        let failed_count = fetched.iter().filter(|each| **each == Fetched::Failed).count();
        if (failed_count > 0) != (status.code == MULTI_STATUS)
            || (failed_count == 0 && status.code != 0)
        {
            let detail = json!({ "failed": failed_count, "code": status.code });
            self.breach("a download is answered with -13 if a file failed, else with 0", &detail);
        }
        for (path, each) in paths.iter().zip(fetched) {
            let reason = failures.get(path).and_then(Value::as_dictionary);
            let code = reason.and_then(|reason| reason.get("DLFileErrorCode")).and_then(code_of);
            let held = self.held.get(path);
            match each {
                Fetched::Whole(len) if held.is_some_and(|held| held != len) => {
                    self.breach(
                        "a file comes back in its stored length",
                        &json!([path, len, held]),
                    );
                }
                Fetched::Whole(_) => {}
                Fetched::Failed => {
                    if held.is_some() {
                        self.breach("what was uploaded can be downloaded", &json!([path, code]));
                    }
                    if code.is_none()
                        || reason.is_some_and(|r| text(r, "DLFileErrorString").is_empty())
                    {
                        self.breach(
                            "a failed file has a code and a text in the status",
                            &json!(path),
                        );
                    } else if held.is_none() && code != Some(NOT_FOUND) {
                        self.breach("a missing file is -6", &json!([path, code]));
                    }
                }
            }
        }
    }
}

/// Hosts send negative codes signed or as 64 bits of two's complement.
fn code_of(value: &Value) -> Option<i64> {
    value.as_signed_integer().or_else(|| value.as_unsigned_integer().map(u64::cast_signed))
}

#[cfg(test)]
mod tests;
