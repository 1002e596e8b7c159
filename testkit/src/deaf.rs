//! The other end of a connection, written down beforehand.
//!
//! Invariant: says its bytes and then nothing, whatever it is told.

use std::io::{self, Cursor, Read, Write};

/// Says what was written for it beforehand, and hears nothing.
#[derive(Debug)]
pub struct Deaf(Cursor<Vec<u8>>);

impl Deaf {
    /// Says these bytes, and then that it has ended.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Cursor::new(bytes))
    }
}

impl Read for Deaf {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Deaf {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
