//! The way to a phone, walked against the scripted one.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod any_answers;
mod around;
mod hostile;
mod scripted;
mod trust;

use super::*;
use std::io::{self, Read, Write};

/// What a phone says, and what it is answered.
pub(super) struct Talk {
    said: io::Cursor<Vec<u8>>,
    pub(super) answered: Vec<u8>,
}

impl Talk {
    /// A phone that says one thing.
    pub(super) fn of(said: plist::Dictionary) -> Self {
        let mut bytes = Vec::new();
        message::send(&mut bytes, said).unwrap();
        Self { said: io::Cursor::new(bytes), answered: Vec::new() }
    }
}

impl Read for Talk {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.said.read(bytes)
    }
}

impl Write for Talk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.answered.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
