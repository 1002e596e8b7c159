//! The small part of a phone's media that hosts may read and write (AFC): iTunes' files, the sync lock, and what a restore
//! leaves there.
//!
//! Invariant: one request, one answer of the same number, within [`ANSWER_LEN_MAX`]. A file is read up to the caller's limit
//! and no further. All numbers are little-endian.

use super::message;
use super::muxer::ANSWER_IDLE;
use super::{ConnectError, Phone, PhoneStream};
use std::io::{Read, Write};
use std::time::Duration;

const FROM: &str = "the phone's media service";
const SERVICE: &str = "com.apple.afc";
const MAGIC: &[u8; 8] = b"CFA6LPAA";
const HEADER_LEN: u64 = 40;
/// Bytes read or written at once.
const PIECE_LEN: usize = 256 * 1024;
const ANSWER_LEN_MAX: u64 = 1 << 20;

const STATUS: u64 = 1;
const DATA: u64 = 2;
const REMOVE_PATH: u64 = 8;
const MAKE_DIR: u64 = 9;
const FILE_OPEN: u64 = 13;
const FILE_OPEN_RESULT: u64 = 14;
const READ: u64 = 15;
const WRITE: u64 = 16;
const CLOSE: u64 = 20;
const LOCK: u64 = 27;

const NOT_FOUND: u64 = 8;
const WOULD_BLOCK: u64 = 19;
/// flock's LOCK_EX and LOCK_NB, LOCK_UN and LOCK_NB.
const EXCLUSIVE: u64 = 2 | 4;
const UNLOCK: u64 = 8 | 4;

/// How a file is opened.
#[derive(Clone, Copy)]
enum Mode {
    Read = 1,
    ReadWrite = 2,
    Replace = 3,
}

/// A connection to the phone's media folder.
#[derive(Debug)]
pub struct Media<S = PhoneStream> {
    stream: S,
    number: u64,
}

/// An open file of [`Media`]; closed with the connection at the latest.
#[derive(Debug)]
pub(super) struct MediaFile(u64);

struct Answer {
    operation: u64,
    arguments: Vec<u8>,
    payload: Vec<u8>,
}

impl Media {
    /// Connects.
    ///
    /// # Errors
    /// As [`Phone::start_service`].
    pub fn open(phone: &mut Phone) -> Result<Self, ConnectError> {
        let mut stream = phone.start_service(SERVICE, true)?;
        stream.set_idle(ANSWER_IDLE);
        Ok(Self { stream, number: 0 })
    }

    /// From now on, nothing stops it, and answers have `idle`: for cleaning up.
    pub fn insist(&mut self, idle: Duration) {
        self.stream.set_stop(std::sync::Arc::new(|| false));
        self.stream.set_idle(idle);
    }
}

impl<S: Read + Write> Media<S> {
    /// Over any connection.
    pub fn over(stream: S) -> Self {
        Self { stream, number: 0 }
    }

    /// The bytes of a file; none if there is none.
    ///
    /// # Errors
    /// It cannot be read, or is longer than `len_max`.
    pub fn read_file(&mut self, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, ConnectError> {
        let file = match self.open_file(path, Mode::Read) {
            Err(ConnectError::File { code: NOT_FOUND }) => return Ok(None),
            other => other?,
        };
        let bytes = self.read_to_end(&file, len_max);
        self.close(file)?;
        bytes.map(Some)
    }

    /// Replaces a file.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_file(&mut self, path: &str, bytes: &[u8]) -> Result<(), ConnectError> {
        let file = self.open_file(path, Mode::Replace)?;
        let written = bytes
            .chunks(PIECE_LEN)
            .try_for_each(|piece| self.ask(WRITE, &file.0.to_le_bytes(), piece).map(drop));
        self.close(file)?;
        written
    }

    /// Makes a folder, with those above it; one that is there is fine.
    ///
    /// # Errors
    /// The phone refused.
    pub fn create_directory(&mut self, path: &str) -> Result<(), ConnectError> {
        self.ask(MAKE_DIR, &terminated(path), &[]).map(drop)
    }

    /// Removes a file or an empty folder; one that is missing is fine.
    ///
    /// # Errors
    /// The phone refused.
    pub fn remove(&mut self, path: &str) -> Result<(), ConnectError> {
        match self.ask(REMOVE_PATH, &terminated(path), &[]) {
            Ok(_) | Err(ConnectError::File { code: NOT_FOUND }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Opens a file to be locked, and makes it if it is not there.
    pub(super) fn open_lock(&mut self, path: &str) -> Result<MediaFile, ConnectError> {
        self.open_file(path, Mode::ReadWrite)
    }

    /// Locks a file alone; false if somebody else has it.
    pub(super) fn try_lock(&mut self, file: &MediaFile) -> Result<bool, ConnectError> {
        match self.ask(LOCK, &pair(file.0, EXCLUSIVE), &[]) {
            Ok(_) => Ok(true),
            Err(ConnectError::File { code: WOULD_BLOCK }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn unlock(&mut self, file: &MediaFile) -> Result<(), ConnectError> {
        self.ask(LOCK, &pair(file.0, UNLOCK), &[]).map(drop)
    }

    pub(super) fn close(&mut self, file: MediaFile) -> Result<(), ConnectError> {
        self.ask(CLOSE, &file.0.to_le_bytes(), &[]).map(drop)
    }

    fn open_file(&mut self, path: &str, mode: Mode) -> Result<MediaFile, ConnectError> {
        let arguments = [&(mode as u64).to_le_bytes()[..], &terminated(path)].concat();
        let answer = self.ask(FILE_OPEN, &arguments, &[])?;
        match (answer.operation, answer.arguments.first_chunk()) {
            (FILE_OPEN_RESULT, Some(handle)) => Ok(MediaFile(u64::from_le_bytes(*handle))),
            _ => Err(ConnectError::Malformed { from: FROM, what: "a file handle" }),
        }
    }

    fn read_to_end(&mut self, file: &MediaFile, len_max: u64) -> Result<Vec<u8>, ConnectError> {
        let mut bytes = Vec::new();
        loop {
            let answer = self.ask(READ, &pair(file.0, PIECE_LEN as u64), &[])?;
            if answer.operation == DATA && answer.payload.is_empty() {
                return Ok(bytes);
            }
            bytes.extend_from_slice(&answer.payload);
            let len = bytes.len() as u64;
            if answer.operation != DATA || len > len_max {
                return Err(ConnectError::TooLong { from: FROM, len });
            }
        }
    }

    fn ask(
        &mut self,
        operation: u64,
        arguments: &[u8],
        payload: &[u8],
    ) -> Result<Answer, ConnectError> {
        self.number += 1;
        let this_len = HEADER_LEN + arguments.len() as u64;
        let mut bytes = MAGIC.to_vec();
        for word in [this_len + payload.len() as u64, this_len, self.number, operation] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        bytes.extend_from_slice(arguments);
        bytes.extend_from_slice(payload);
        self.stream.write_all(&bytes)?;
        self.stream.flush()?;
        let answer = self.receive()?;
        match (answer.operation, answer.arguments.first_chunk()) {
            (STATUS, None) => Err(ConnectError::Malformed { from: FROM, what: "a status" }),
            (STATUS, Some(code)) if *code != [0; 8] => {
                Err(ConnectError::File { code: u64::from_le_bytes(*code) })
            }
            _ => Ok(answer),
        }
    }

    fn receive(&mut self) -> Result<Answer, ConnectError> {
        let mut magic = [0; 8];
        self.stream.read_exact(&mut magic)?;
        let mut words = [0; 4];
        for word in &mut words {
            let mut bytes = [0; 8];
            self.stream.read_exact(&mut bytes)?;
            *word = u64::from_le_bytes(bytes);
        }
        let [entire_len, this_len, number, operation] = words;
        let lens = (this_len.checked_sub(HEADER_LEN), entire_len.checked_sub(this_len));
        let (Some(arguments_len), Some(payload_len)) = lens else {
            return Err(ConnectError::Malformed { from: FROM, what: "a sound header" });
        };
        if &magic != MAGIC || number != self.number {
            return Err(ConnectError::Malformed { from: FROM, what: "an answer in turn" });
        }
        let arguments = message::read(&mut self.stream, FROM, arguments_len, ANSWER_LEN_MAX)?;
        let payload = message::read(&mut self.stream, FROM, payload_len, ANSWER_LEN_MAX)?;
        Ok(Answer { operation, arguments, payload })
    }
}

fn terminated(path: &str) -> Vec<u8> {
    [path.as_bytes(), &[0]].concat()
}

fn pair(one: u64, other: u64) -> Vec<u8> {
    [one.to_le_bytes(), other.to_le_bytes()].concat()
}
