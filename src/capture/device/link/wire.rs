//! Bytes of a link: property lists with a length before them, names, and blocks of files.
//!
//! Invariant: no memory is taken on the word of a length; it grows with the bytes that came. What is sent is gathered, so that a
//! message leaves in one write, and a download in few. Does not know what a message means.

use super::{Breach, Doing, LinkError};
use crate::apple::{Limits, PlistError, parse_value};
use crate::capture::device::files::PATH_LEN_MAX;
use plist::Value;
use std::error::Error;
use std::io::{self, BufReader, Read, Write};

use zeroize::Zeroize as _;

/// Longest message taken from a phone. Its batches of 128 moves have some 20 KB; a restore that asked for 100,000 files at once
/// would have 7 MB.
const MESSAGE_LEN_MAX: u32 = 16 << 20;
/// A name of this length is refused but read away; a longer one means that the link is out of step.
const NAME_LEN_LIMIT: u32 = 1 << 20;
/// Most bytes of a file in one block to a phone. Its agent holds a whole block in memory and is killed when it takes too much.
const BLOCK_DATA_LEN_MAX: usize = 32 << 10;
/// Reads shorter than this go through a buffer of this length.
const INBOX_LEN: usize = 64 << 10;
/// What is gathered before it is sent: eight full blocks.
const OUTBOX_LEN: usize = 8 * (BLOCK_DATA_LEN_MAX + BLOCK_HEAD_LEN);
const BLOCK_HEAD_LEN: usize = 5;

/// Codes of blocks.
pub(super) mod code {
    /// The file is whole.
    pub(in super::super) const SUCCESS: u8 = 0x00;
    /// The sender could not go on; the text says why.
    pub(in super::super) const ERROR_LOCAL: u8 = 0x06;
    /// The phone could not read the file. Without text after data, old phones mean the end.
    pub(in super::super) const ERROR_REMOTE: u8 = 0x0b;
    /// Bytes of the file.
    pub(in super::super) const DATA: u8 = 0x0c;
}

/// What went wrong, without what was going on.
#[derive(Debug)]
pub(super) enum WireError {
    Io(io::Error),
    Breach(Breach),
    Unreadable(PlistError),
    Unsendable(Box<dyn Error + Send + Sync>),
}

impl From<io::Error> for WireError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Breach> for WireError {
    fn from(breach: Breach) -> Self {
        Self::Breach(breach)
    }
}

impl WireError {
    pub(super) fn during(self, doing: Doing) -> LinkError {
        match self {
            Self::Io(source) => LinkError::Lost { doing, source },
            Self::Breach(breach) => LinkError::Broken { doing, breach },
            Self::Unreadable(source) => LinkError::Unreadable { doing, source },
            Self::Unsendable(source) => LinkError::Unsendable { doing, source },
        }
    }
}

/// A name as it came.
#[derive(Debug)]
pub(super) struct Name {
    /// Its first bytes, no more than a path may have.
    pub(super) bytes: Vec<u8>,
    /// How many it had.
    pub(super) len: usize,
}

/// What became of one block of a file.
#[derive(Debug)]
pub(super) enum Pushed {
    /// Full: there may be more.
    Full,
    /// The file ended.
    End,
    /// The file could not be read any further.
    Failed(io::Error),
}

/// Both directions of a stream.
pub(super) struct Wire<S> {
    inbox: BufReader<S>,
    outbox: Vec<u8>,
}

impl<S: Read + Write> Wire<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            inbox: BufReader::with_capacity(INBOX_LEN, stream),
            outbox: Vec::with_capacity(OUTBOX_LEN),
        }
    }

    /// What comes from the phone.
    pub(super) fn inbox(&mut self) -> &mut BufReader<S> {
        &mut self.inbox
    }

    /// Reads one message.
    pub(super) fn receive(&mut self) -> Result<Value, WireError> {
        let len = read_u32(&mut self.inbox)?;
        if len > MESSAGE_LEN_MAX {
            return Err(Breach::MessageTooLong { len }.into());
        }
        let bytes = read_bytes(&mut self.inbox, len)?;
        parse_value(&bytes, Limits::MESSAGE).map_err(WireError::Unreadable)
    }

    /// Reads a name; `None` is one of length 0, which ends a batch.
    pub(super) fn receive_name(&mut self) -> Result<Option<Name>, WireError> {
        let len = read_u32(&mut self.inbox)?;
        if len > NAME_LEN_LIMIT {
            return Err(Breach::NameTooLong { len }.into());
        }
        if len == 0 {
            return Ok(None);
        }
        let mut bytes = read_bytes(&mut self.inbox, len)?;
        let len = bytes.len();
        bytes.truncate(PATH_LEN_MAX);
        Ok(Some(Name { bytes, len }))
    }

    /// Sends a message, after whatever was gathered before.
    pub(super) fn send(&mut self, message: Vec<Value>) -> Result<(), WireError> {
        self.send_value(&Value::Array(message))
    }

    /// Sends a message that may hold a password, and wipes it here.
    pub(super) fn send_secret(&mut self, message: Vec<Value>) -> Result<(), WireError> {
        let mut message = Value::Array(message);
        // What grows leaves copies behind.
        self.outbox.reserve(SECRET_LEN);
        let sent = self.send_value(&message);
        self.outbox.zeroize();
        wipe(&mut message);
        sent
    }

    fn send_value(&mut self, message: &Value) -> Result<(), WireError> {
        let start = self.outbox.len();
        self.outbox.extend_from_slice(&[0; 4]);
        message
            .to_writer_binary(&mut self.outbox)
            .map_err(|error| WireError::Unsendable(Box::new(error)))?;
        let len = u32::try_from(self.outbox.len().saturating_sub(start).saturating_sub(4))
            .map_err(|error| WireError::Unsendable(Box::new(error)))?;
        self.patch(start, &len.to_be_bytes());
        self.spill()?;
        Ok(self.inbox.get_mut().flush()?)
    }

    /// Gathers a name.
    pub(super) fn push_name(&mut self, name: &[u8]) -> Result<(), WireError> {
        let len =
            u32::try_from(name.len()).map_err(|error| WireError::Unsendable(Box::new(error)))?;
        self.outbox.extend_from_slice(&len.to_be_bytes());
        self.outbox.extend_from_slice(name);
        self.spill_if_full()
    }

    /// Gathers the end of a batch: a name of length 0.
    pub(super) fn push_end(&mut self) {
        self.outbox.extend_from_slice(&[0; 4]);
    }

    /// Gathers a block; what does not fit into one is left out, as only texts can be that long.
    pub(super) fn push_block(&mut self, code: u8, text: &[u8]) -> Result<(), WireError> {
        let text = text.get(..BLOCK_DATA_LEN_MAX).unwrap_or(text);
        let start = self.outbox.len();
        self.outbox.extend_from_slice(&[0; BLOCK_HEAD_LEN]);
        self.outbox.extend_from_slice(text);
        self.close_block(start, code, text.len());
        self.spill_if_full()
    }

    /// Gathers one block of a file's bytes, full unless the file ends or fails.
    pub(super) fn push_data(&mut self, file: &mut dyn Read) -> Result<Pushed, WireError> {
        let start = self.outbox.len();
        let data_start = start + BLOCK_HEAD_LEN;
        self.outbox.resize(data_start + BLOCK_DATA_LEN_MAX, 0);
        let mut filled = 0;
        let pushed = loop {
            let room = self.outbox.get_mut(data_start + filled..).unwrap_or_default();
            if room.is_empty() {
                break Pushed::Full;
            }
            match file.read(room) {
                Ok(0) => break Pushed::End,
                // No more than there is room for, whatever the reader says.
                Ok(read) => filled += read.min(room.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Pushed::Failed(error),
            }
        };
        if filled == 0 {
            self.outbox.truncate(start);
        } else {
            self.outbox.truncate(data_start + filled);
            self.close_block(start, code::DATA, filled);
        }
        self.spill_if_full()?;
        Ok(pushed)
    }

    /// Writes the head of a block with `data_len` bytes, at most [`BLOCK_DATA_LEN_MAX`].
    fn close_block(&mut self, start: usize, code: u8, data_len: usize) {
        let len = u32::try_from(data_len).map_or(u32::MAX, |len| len.saturating_add(1));
        let [a, b, c, d] = len.to_be_bytes();
        self.patch(start, &[a, b, c, d, code]);
    }

    fn patch(&mut self, start: usize, bytes: &[u8]) {
        for (place, byte) in self.outbox.iter_mut().skip(start).zip(bytes) {
            *place = *byte;
        }
    }

    fn spill_if_full(&mut self) -> Result<(), WireError> {
        if self.outbox.len() + BLOCK_HEAD_LEN + BLOCK_DATA_LEN_MAX > OUTBOX_LEN {
            self.spill()?;
        }
        Ok(())
    }

    fn spill(&mut self) -> Result<(), WireError> {
        self.inbox.get_mut().write_all(&self.outbox)?;
        self.outbox.clear();
        // A listing of a million names is not kept in memory for good.
        if self.outbox.capacity() > 2 * OUTBOX_LEN {
            self.outbox.shrink_to(OUTBOX_LEN);
        }
        Ok(())
    }
}

/// A number before something.
pub(super) fn read_u32(source: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

/// `len` bytes; memory grows with what comes.
pub(super) fn read_bytes(source: &mut impl Read, len: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.by_ref().take(u64::from(len)).read_to_end(&mut bytes)?;
    if u32::try_from(bytes.len()) != Ok(len) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}
/// More than a request with two passwords takes.
const SECRET_LEN: usize = 64 << 10;

/// Overwrites every text in a message.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Dictionary(members) => members.iter_mut().for_each(|(_, member)| wipe(member)),
        _ => {}
    }
}
