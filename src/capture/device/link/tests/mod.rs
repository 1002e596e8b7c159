//! A phone made of bytes: what it says is written beforehand, what it hears is kept and read afterwards.
//!
//! Invariant: the script decides; nothing here judges an answer. Reads may be as short as a test wants.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod downloads;
mod greeting;
mod hostile;
mod memory;
mod questions;
mod uploads;

use super::*;
use memory::Memory;
use plist::{Dictionary, Value};
use std::cell::RefCell;
use std::io::{Cursor, Read, Write};
use std::rc::Rc;

/// Text where none is used.
const EMPTY: &str = "___EmptyParameterString___";
const DATA: u8 = 0x0c;
const SUCCESS: u8 = 0x00;
const ERROR_LOCAL: u8 = 0x06;
const ERROR_REMOTE: u8 = 0x0b;

/// What a phone says, in order.
#[derive(Clone, Default)]
struct Script(Vec<u8>);

impl Script {
    fn message(mut self, parts: Vec<Value>) -> Self {
        let mut bytes = Vec::new();
        Value::Array(parts).to_writer_binary(&mut bytes).unwrap();
        self.0.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        self.0.extend_from_slice(&bytes);
        self
    }

    fn tag(self, tag: &str) -> Self {
        self.message(vec![tag.into()])
    }

    /// A phone that gets through the greeting.
    fn greeted() -> Self {
        let mut answer = response(0);
        answer.insert("ProtocolVersion".into(), Value::Real(2.1));
        Self::default()
            .message(vec!["DLMessageVersionExchange".into(), 400.into(), 0.into()])
            .tag("DLMessageDeviceReady")
            .message(vec!["DLMessageProcessMessage".into(), answer.into()])
    }

    fn upload(self) -> Self {
        let options = Dictionary::new();
        self.message(vec!["DLMessageUploadFiles".into(), options.into(), 12.5.into(), 99.into()])
    }

    fn name(mut self, name: &[u8]) -> Self {
        self.0.extend_from_slice(&u32::try_from(name.len()).unwrap().to_be_bytes());
        self.0.extend_from_slice(name);
        self
    }

    fn names(self, path: &str) -> Self {
        self.name(b"/var/mobile/x").name(path.as_bytes())
    }

    fn block(mut self, code: u8, bytes: &[u8]) -> Self {
        let len = u32::try_from(bytes.len() + 1).unwrap();
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.push(code);
        self.0.extend_from_slice(bytes);
        self
    }

    fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.names(path).block(DATA, bytes).block(SUCCESS, b"")
    }

    fn end(self) -> Self {
        self.name(b"")
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn done(self) -> Self {
        self.message(vec!["DLMessageProcessMessage".into(), response(0).into()])
    }
}

fn response(code: i64) -> Dictionary {
    let mut answer = Dictionary::new();
    answer.insert("MessageName".into(), "Response".into());
    answer.insert("ErrorCode".into(), code.into());
    answer
}

/// What a phone heard, and how.
#[derive(Default)]
struct Heard {
    bytes: Vec<u8>,
    write_count: usize,
    flush_count: usize,
    /// Longest read asked for.
    wanted_len_max: usize,
    /// Longest read asked for, less what had come by then.
    ahead_len_max: usize,
}

/// The phone's end of a stream.
struct Phone {
    says: Cursor<Vec<u8>>,
    read_len_max: usize,
    said_len: usize,
    heard: Rc<RefCell<Heard>>,
}

impl Phone {
    fn new(script: Script, read_len_max: usize) -> (Self, Rc<RefCell<Heard>>) {
        let heard = Rc::new(RefCell::new(Heard::default()));
        let phone =
            Self { says: Cursor::new(script.0), read_len_max, said_len: 0, heard: heard.clone() };
        (phone, heard)
    }
}

impl Read for Phone {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut heard = self.heard.borrow_mut();
        heard.wanted_len_max = heard.wanted_len_max.max(out.len());
        heard.ahead_len_max = heard.ahead_len_max.max(out.len().saturating_sub(self.said_len));
        let len = out.len().min(self.read_len_max);
        let read = self.says.read(&mut out[..len])?;
        self.said_len += read;
        Ok(read)
    }
}

impl Write for Phone {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut heard = self.heard.borrow_mut();
        heard.bytes.extend_from_slice(bytes);
        heard.write_count += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.heard.borrow_mut().flush_count += 1;
        Ok(())
    }
}

/// What the phone told, a line each.
#[derive(Default)]
struct Lines(Vec<String>);

impl Told for Lines {
    fn progress(&mut self, percent: f64) {
        self.0.push(format!("progress {percent}"));
    }

    fn batch(&mut self, announced_len: Option<u64>) {
        self.0.push(format!("batch {announced_len:?}"));
    }

    fn receiving(&mut self, device_name: &[u8], path: &[u8]) {
        self.0.push(format!("receiving {} {}", device_name.escape_ascii(), path.escape_ascii()));
    }

    fn sending(&mut self, path: &[u8]) {
        self.0.push(format!("sending {}", path.escape_ascii()));
    }

    fn phone_failed(&mut self, path: &[u8], text: &str) {
        self.0.push(format!("phone failed {}: {text}", path.escape_ascii()));
    }

    fn refused(&mut self, path: &[u8], error: &FileError) {
        self.0.push(format!("refused {}: {error}", path.escape_ascii()));
    }

    fn unknown(&mut self, tag: &str) {
        self.0.push(format!("unknown {tag}"));
    }
}

/// One conversation, after it.
struct Talk {
    ended: Result<Ended, LinkError>,
    told: Vec<String>,
    /// What the phone heard after the greeting.
    answers: Cursor<Vec<u8>>,
    heard: Rc<RefCell<Heard>>,
}

impl Talk {
    fn u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.answers.read_exact(&mut bytes).unwrap();
        u32::from_be_bytes(bytes)
    }

    fn bytes(&mut self) -> Vec<u8> {
        let len = usize::try_from(self.u32()).unwrap();
        let mut bytes = vec![0; len];
        self.answers.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn message(&mut self) -> Vec<Value> {
        let bytes = self.bytes();
        Value::from_reader(Cursor::new(bytes)).unwrap().into_array().unwrap()
    }

    fn block(&mut self) -> (u8, Vec<u8>) {
        let bytes = self.bytes();
        (bytes[0], bytes[1..].to_vec())
    }

    /// Code, text and value of the next status.
    fn status(&mut self) -> (i64, String, Value) {
        let parts: [Value; 4] = self.message().try_into().unwrap();
        let [tag, code, text, value] = parts;
        assert_eq!(tag.as_string(), Some("DLMessageStatusResponse"));
        (code.as_signed_integer().unwrap(), text.into_string().unwrap(), value)
    }

    fn code(&mut self) -> i64 {
        self.status().0
    }

    /// Whether nothing more was heard.
    fn is_over(&self) -> bool {
        self.answers.position() == self.answers.get_ref().len() as u64
    }

    #[track_caller]
    fn ended_well(&self) {
        let Ok(Ended::Response(response)) = &self.ended else { panic!("{:?}", self.ended) };
        assert_eq!(response.error_code, 0);
    }
}

/// Serves a phone that says `script` after its greeting, in reads of at most `read_len_max`.
fn talk_in(script: Script, files: &mut dyn Files, read_len_max: usize) -> Talk {
    let (phone, heard) = Phone::new(Script::greeted().raw(&script.0), read_len_max);
    let mut link = Link::open(phone).unwrap();
    heard.replace(Heard::default());
    let mut told = Lines::default();
    let ended = link.serve(files, &mut told);
    let answers = Cursor::new(heard.borrow().bytes.clone());
    Talk { ended, told: told.0, answers, heard }
}

fn talk(script: Script, files: &mut dyn Files) -> Talk {
    talk_in(script, files, usize::MAX)
}

fn text_list(texts: &[&str]) -> Value {
    Value::Array(texts.iter().map(|text| Value::from(*text)).collect())
}

fn dictionary<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().map(|(key, value)| (key.to_owned(), value));
    Value::Dictionary(members.collect())
}

fn nothing() -> Value {
    Dictionary::new().into()
}
