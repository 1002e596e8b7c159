//! A fixed list of questions, of every kind that DeviceLink has, so that the answers of several hosts can be laid side by side.
//!
//! Invariant: the same questions in the same order whatever a host answers, less those that the script leaves out; each answer is in
//! the journal in full (event `survey`), in a form that tells a placeholder from a text and a signed number from an unsigned one.
//! Judges nothing. What it makes on the host is gone afterwards.

use super::super::error::DeviceError;
use super::super::host_files::{Body, DATA, EMPTY, HostFiles, ON, Upload};
use super::Backup;
use crate::random::Random;
use plist::{Dictionary, Value};
use serde_json::json;
use std::collections::BTreeSet;

const PLACE: &str = "Survey";
const LARGE_LEN: usize = 200_000;
const NAME_LEN_MAX: u64 = 4096;
const FRAME_LEN_MAX: u64 = 1 << 30;
const DEVICE_NAME: &str = "/private/var/mobile/survey";

/// What is asked; paths are below a folder of the survey's own.
enum Question {
    FreeSpace,
    Purge,
    Unknown,
    Make(&'static str),
    Upload(&'static [(&'static str, Sent)]),
    List(&'static str),
    Download(&'static [&'static str]),
    Move(&'static [(&'static str, &'static str)]),
    Copy(&'static str, &'static str),
    Remove(&'static [&'static str]),
}

/// What a file holds that is sent.
#[derive(Clone, Copy)]
enum Sent {
    Bytes(&'static [u8]),
    Large,
    Unreadable,
}

use Question::{
    Copy, Download, FreeSpace, List, Make, Move, Purge, Remove, Unknown, Upload as Put,
};
use Sent::{Bytes, Large, Unreadable};

const QUESTIONS: &[(&str, Question)] = &[
    ("free space", FreeSpace),
    ("make a directory", Make("")),
    ("make a directory that is there", Make("")),
    ("make a directory with those above it", Make("/a/b/c")),
    ("make another directory", Make("/d")),
    ("make a third directory", Make("/x")),
    ("upload a file", Put(&[("/file", Bytes(b"first"))])),
    ("upload a file over another", Put(&[("/file", Bytes(b"second"))])),
    (
        "upload an empty file, a large one, one in a directory",
        Put(&[("/empty", Bytes(b"")), ("/large", Large), ("/a/b/deep", Bytes(b"d"))]),
    ),
    ("upload no file", Put(&[])),
    ("upload a file that the phone cannot read", Put(&[("/unreadable", Unreadable)])),
    ("upload a file to where no directory is", Put(&[("/none/file", Bytes(b"n"))])),
    ("remove the directory that was not there", Remove(&["/none"])),
    ("make a directory where a file is", Make("/file")),
    ("list what was made", List("")),
    ("remove what could not be read", Remove(&["/unreadable"])),
    ("list an empty directory", List("/a/b/c")),
    ("list what is not there", List("/zz")),
    ("list a file", List("/file")),
    ("download a file", Download(&["/file"])),
    ("download an empty file", Download(&["/empty"])),
    ("download a large file", Download(&["/large"])),
    ("download what is not there", Download(&["/zz"])),
    ("download no file", Download(&[])),
    ("download a directory", Download(&["/d"])),
    ("download a file, what is not there, a file", Download(&["/file", "/zz", "/empty"])),
    ("move a file", Move(&[("/file", "/moved")])),
    ("move a file over a file", Move(&[("/moved", "/empty")])),
    ("move a directory", Move(&[("/a", "/e")])),
    ("upload a file into the directory in the way", Put(&[("/d/in the way", Bytes(b"x"))])),
    ("move a directory over one with a file in it", Move(&[("/e", "/d")])),
    ("move two files", Move(&[("/large", "/l1"), ("/empty", "/l2")])),
    ("move nothing", Move(&[])),
    ("list after the moves", List("")),
    ("list a directory that was moved", List("/d")),
    ("list a directory in one that was moved", List("/d/b")),
    ("upload files for moves that fail", Put(&[("/x/1", Bytes(b"1")), ("/x/2", Bytes(b"2"))])),
    ("move one of them", Move(&[("/x/1", "/x/moved")])),
    ("move what was moved already", Move(&[("/x/1", "/x/moved")])),
    ("move what never was", Move(&[("/x/zz", "/x/zzz")])),
    ("move what never was, then a file", Move(&[("/x/aa", "/x/aaa"), ("/x/2", "/x/3")])),
    ("list after moves that fail", List("/x")),
    ("remove what is left of them", Remove(&["/x"])),
    ("upload a file to copy", Put(&[("/original", Bytes(b"original"))])),
    ("copy a file", Copy("/original", "/copied")),
    ("copy what is not there", Copy("/zz", "/zzz")),
    ("download what was copied", Download(&["/copied"])),
    ("copy a directory", Copy("/d", "/f")),
    ("list a directory that was copied", List("/f")),
    ("list a directory in one that was copied", List("/f/b")),
    ("remove a file", Remove(&["/copied"])),
    ("remove what is gone", Remove(&["/copied"])),
    (
        "remove a file, what is gone, a directory with files",
        Remove(&["/original", "/copied", "/d"]),
    ),
    ("remove nothing", Remove(&[])),
    ("remove the directory that was copied", Remove(&["/f"])),
    ("list after the removals", List("")),
    ("make room for an exabyte", Purge),
    ("ask what nobody knows", Unknown),
    ("remove all that was made", Remove(&[""])),
];

impl Backup<'_, '_> {
    pub(super) fn ask_survey(&mut self) -> Result<(), DeviceError> {
        let unasked = self.phone.script.survey.clone().unwrap_or_default();
        let mut unasked: BTreeSet<_> = unasked.iter().map(String::as_str).collect();
        let udid = self.udid.clone();
        let mut survey = Survey { host: self.host, place: format!("{udid}/{PLACE}") };
        for (name, question) in QUESTIONS {
            if !unasked.remove(name) {
                survey.put(name, question)?;
            }
        }
        if unasked.is_empty() {
            return Ok(());
        }
        // A misspelt name must not pass.
        self.host.breach("a survey leaves out questions that it has", &json!(unasked));
        Err(DeviceError::Breach { rule: "a survey leaves out questions that it has" })
    }
}

struct Survey<'a, 'b> {
    host: &'b mut HostFiles<'a>,
    place: String,
}

impl Survey<'_, '_> {
    fn put(&mut self, name: &str, question: &Question) -> Result<(), DeviceError> {
        match question {
            FreeSpace => self.send("DLMessageGetFreeDiskSpace", vec![])?,
            Purge => self.send("DLMessagePurgeDiskSpace", vec![(1_u64 << 60).into(), 4.into()])?,
            Unknown => self.send("DLMessageOrchardReport", vec![1.into()])?,
            Make(below) => self.send("DLMessageCreateDirectory", vec![self.path(below)])?,
            List(below) => self.send("DLContentsOfDirectory", vec![self.path(below)])?,
            Copy(from, to) => {
                self.send("DLMessageCopyItem", vec![self.path(from), self.path(to)])?;
            }
            Move(pairs) => {
                let text = |below: &str| format!("{}{below}", self.place);
                let moves: Dictionary =
                    pairs.iter().map(|(from, to)| (text(from), Value::from(text(to)))).collect();
                self.send("DLMessageMoveItems", with_options(moves.into()))?;
            }
            Remove(below) => self.send("DLMessageRemoveItems", with_options(self.paths(below)))?,
            Put(files) => self.upload(files)?,
            Download(below) => {
                let mut arguments = with_options(self.paths(below));
                arguments.push(0.into());
                self.send("DLMessageDownloadFiles", arguments)?;
                let files = self.read_files()?;
                self.note(&format!("{name}: frames"), &files);
            }
        }
        let answer = self.host.receive()?;
        let names = ["tag", "code", "text", "value"].iter().map(|name| (*name).to_owned());
        let named = names.chain((4..).map(|index| format!("part {index}")));
        let parts = named.zip(answer.iter().map(told)).collect::<serde_json::Map<_, _>>();
        self.note(name, &parts.into());
        Ok(())
    }

    fn send(&mut self, request: &str, arguments: Vec<Value>) -> Result<(), DeviceError> {
        self.host.send(std::iter::once(request.into()).chain(arguments).collect())
    }

    fn upload(&mut self, files: &[(&str, Sent)]) -> Result<(), DeviceError> {
        let mut large = vec![0; LARGE_LEN];
        Random::of_parts(&[0x7375_7276]).fill(&mut large);
        let upload = |(below, sent): &(&str, Sent)| Upload {
            device_name: DEVICE_NAME.to_owned(),
            host_path: format!("{}{below}", self.place),
            body: match sent {
                Bytes(bytes) => Body::Bytes(bytes),
                Large => Body::Bytes(&large),
                Unreadable => Body::Unreadable("Operation not permitted"),
            },
        };
        let batch: Vec<Upload<'_>> = files.iter().map(upload).collect();
        self.host.send_files(&batch, 0).map(|_| ())
    }

    /// The files of a download until the host ends them.
    fn read_files(&mut self) -> Result<serde_json::Value, DeviceError> {
        let mut files = serde_json::Map::new();
        loop {
            let len = self.host.link.read_u32()?;
            if len == 0 {
                return Ok(files.into());
            }
            let name = self.host.link.read_bytes(u64::from(len), NAME_LEN_MAX)?;
            let body = self.read_frames()?;
            files.insert(String::from_utf8_lossy(&name).into_owned(), body);
        }
    }

    /// The frames of one file as runs of one length, how it ended, and the words for it.
    fn read_frames(&mut self) -> Result<serde_json::Value, DeviceError> {
        let mut frames: Vec<(u32, u32)> = Vec::new();
        loop {
            let len = self.host.link.read_u32()?;
            let bytes = self.host.link.read_bytes(u64::from(len), FRAME_LEN_MAX)?;
            let Some((code, data)) = bytes.split_first() else {
                return Ok(json!({ "frames": frames, "end": "a frame without a code" }));
            };
            if *code != DATA {
                let text = String::from_utf8_lossy(data);
                return Ok(
                    json!({ "frames": frames, "end": format!("{code:#04x}"), "text": text }),
                );
            }
            match frames.last_mut() {
                Some((known, count)) if *known == len => *count += 1,
                _ => frames.push((len, 1)),
            }
        }
    }

    fn path(&self, below: &str) -> Value {
        format!("{}{below}", self.place).into()
    }

    fn paths(&self, below: &[&str]) -> Value {
        Value::Array(below.iter().map(|each| self.path(each)).collect())
    }

    fn note(&self, question: &str, answer: &serde_json::Value) {
        let detail = json!({ "question": question, "answer": answer });
        self.host.phone.journal.note(ON, "survey", &detail);
    }
}

/// What a request is about, options, progress.
fn with_options(subject: Value) -> Vec<Value> {
    vec![subject, Dictionary::new().into(), Value::Real(5.0)]
}

/// A value in full, with its type where JSON does not tell it.
fn told(value: &Value) -> serde_json::Value {
    match value {
        Value::Array(items) => items.iter().map(told).collect(),
        Value::Dictionary(items) => {
            items.iter().map(|(key, each)| (key.clone(), told(each))).collect()
        }
        Value::Boolean(flag) => json!(flag),
        Value::Integer(number) => match number.as_signed() {
            Some(number) => json!(number),
            None => json!(format!("unsigned {number}")),
        },
        Value::Real(number) => json!(format!("real {number}")),
        Value::Date(_) => json!("a date"),
        Value::Data(bytes) => json!(format!("{} bytes of data", bytes.len())),
        Value::String(text) if text == EMPTY => json!("the placeholder"),
        Value::String(text) => json!(format!("text: {text}")),
        _ => json!("something else"),
    }
}
