//! One file on its way from the phone: its blocks, read as one stream of bytes.
//!
//! Invariant: the stream ends without an error only after the phone's end mark. An error is repeated at every later read, so
//! that no reader takes it for an end. Holds no block: bytes go from the link into the reader's own buffer.

use super::Breach;
use super::wire::{WireError, code, read_u32};
use std::io::{self, BufRead, Read};

/// Longest text of the phone that is kept; the rest is read away.
const TEXT_LEN_MAX: u64 = 4096;
/// Said when the phone gives no reason.
const NO_REASON: &str = "the phone gives no reason";

/// Why reading a file that arrives fails; found inside the [`io::Error`] of the read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The phone could not read it, or not to its end. The link is fine.
    #[error("the phone could not read the file: {text}")]
    Phone {
        /// The phone's words.
        text: String,
    },
    /// The link broke in the middle of it.
    #[error("the link broke in the middle of the file")]
    LinkLost,
}

impl BodyError {
    /// What the error of a read says, if it came from the link.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// How far a file is.
#[derive(Debug)]
pub(super) enum State {
    /// Bytes left in the block that has begun.
    InBlock(u32),
    /// The phone's end mark came.
    Whole,
    /// The phone's error came; the file is over.
    Failed(String),
    /// The link broke.
    Broken(WireError),
}

/// A file that arrives.
pub(super) struct Body<'a, R> {
    link: &'a mut R,
    state: State,
    has_data: bool,
    was_told: bool,
}

impl<'a, R: BufRead> Body<'a, R> {
    pub(super) fn new(link: &'a mut R) -> Self {
        Self { link, state: State::InBlock(0), has_data: false, was_told: false }
    }

    /// Whether a reader saw the end or an error.
    pub(super) fn was_read_to_its_end(&self) -> bool {
        self.was_told
    }

    /// Reads what is left away, and tells how the file ended.
    pub(super) fn finish(mut self) -> State {
        while let State::InBlock(left) = self.state {
            let step = if left == 0 { self.next_block() } else { self.skip(left) };
            if let Err(error) = step {
                self.state = State::Broken(error);
            }
        }
        self.state
    }

    /// Drops up to `left` bytes of the block.
    fn skip(&mut self, left: u32) -> Result<(), WireError> {
        let there = match self.link.fill_buf() {
            Ok([]) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(bytes) => bytes.len(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let taken = u32::try_from(there).unwrap_or(u32::MAX).min(left);
        self.link.consume(usize::try_from(taken).unwrap_or(there));
        self.state = State::InBlock(left - taken);
        Ok(())
    }

    /// Reads the head of a block, and the whole of one that ends the file.
    fn next_block(&mut self) -> Result<(), WireError> {
        let len = read_u32(self.link)?;
        let data_len = len.checked_sub(1).ok_or(Breach::BlockWithoutCode)?;
        let mut block_code = [0];
        self.link.read_exact(&mut block_code)?;
        let [block_code] = block_code;
        self.state = match block_code {
            code::DATA => {
                self.has_data = true;
                State::InBlock(data_len)
            }
            code::SUCCESS => {
                self.text(data_len)?;
                State::Whole
            }
            // Phones of long ago end a file with this mark.
            code::ERROR_REMOTE if data_len == 0 && self.has_data => State::Whole,
            code::ERROR_REMOTE | code::ERROR_LOCAL => State::Failed(self.text(data_len)?),
            code => return Err(Breach::UnknownBlock { code }.into()),
        };
        Ok(())
    }

    /// The text of a block, cut if it is long.
    fn text(&mut self, len: u32) -> Result<String, WireError> {
        let len = u64::from(len);
        let mut kept = Vec::new();
        let mut whole = self.link.by_ref().take(len);
        whole.by_ref().take(TEXT_LEN_MAX).read_to_end(&mut kept)?;
        io::copy(&mut whole, &mut io::sink())?;
        if whole.limit() > 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let text = String::from_utf8_lossy(&kept);
        Ok(if text.is_empty() { NO_REASON.to_owned() } else { text.into_owned() })
    }

    /// Reads into `out` from the block, whose next `left` bytes are due.
    fn take(&mut self, left: u32, out: &mut [u8]) -> Result<usize, WireError> {
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let read = match self.link.read(out.get_mut(..len).unwrap_or_default()) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(read) => read.min(len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error.into()),
        };
        // `read` is at most `left`.
        self.state = State::InBlock(left.saturating_sub(u32::try_from(read).unwrap_or(left)));
        Ok(read)
    }
}

impl<R: BufRead> Read for Body<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        loop {
            let step = match &self.state {
                State::InBlock(0) => self.next_block().map(|()| 0),
                State::InBlock(left) => self.take(*left, out),
                State::Whole => {
                    self.was_told = true;
                    return Ok(0);
                }
                State::Failed(text) => {
                    self.was_told = true;
                    return Err(io::Error::other(BodyError::Phone { text: text.clone() }));
                }
                State::Broken(error) => {
                    self.was_told = true;
                    let kind = match error {
                        WireError::Io(error) => error.kind(),
                        _ => io::ErrorKind::InvalidData,
                    };
                    return Err(io::Error::new(kind, BodyError::LinkLost));
                }
            };
            match step {
                Ok(0) => {}
                Ok(read) => return Ok(read),
                Err(error) => self.state = State::Broken(error),
            }
        }
    }
}

#[cfg(test)]
mod tests;
