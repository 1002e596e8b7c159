//! A connection to one service of a phone: bytes in, bytes out, with TLS or in the clear.
//!
//! Invariant: as the wire below it: no call blocks longer than its patience. In the clear, bytes go straight into the
//! caller's buffer; under TLS the wire is read in large pieces, since rustls asks for 4 KiB at a time.

use super::wire::{Patience, Stop, Wire};
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::fmt;
use std::io::{self, BufReader, IoSlice, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// Bytes read from the wire at once under TLS.
const AHEAD_LEN: usize = 256 * 1024;
/// The name in the handshake. Phones ignore it; it is the subject of the certificate that hosts make for them.
const SERVER_NAME: &str = "Device";

/// A connection to one service of a phone. Reads and writes block; see [`PhoneStream::set_idle`] and
/// [`PhoneStream::set_stop`]. Write a message in one piece: each piece becomes a packet.
pub struct PhoneStream(Form);

enum Form {
    Plain(Wire),
    Tls(Box<StreamOwned<ClientConnection, Ahead>>),
}

impl PhoneStream {
    pub(super) fn plain(wire: Wire) -> Self {
        Self(Form::Plain(wire))
    }

    /// Shakes hands as the client. Nothing may have been read ahead, so this is refused on a stream that has TLS.
    pub(super) fn start_tls(self, config: &Arc<ClientConfig>) -> io::Result<Self> {
        let Form::Plain(wire) = self.0 else {
            return Err(io::ErrorKind::AlreadyExists.into());
        };
        let name = SERVER_NAME.try_into().map_err(io::Error::other)?;
        let connection =
            ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let ahead = Ahead(BufReader::with_capacity(AHEAD_LEN, wire));
        let mut stream = Box::new(StreamOwned::new(connection, ahead));
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self(Form::Tls(stream)))
    }

    /// How long a read or a write may wait before it fails with `TimedOut`. The stream stays usable then.
    pub fn set_idle(&mut self, idle: Duration) {
        self.patience().idle = idle;
    }

    /// What is asked while waiting; once it says true, reads and writes fail with an error that
    /// [`is_stopped`](super::is_stopped) knows.
    pub fn set_stop(&mut self, stop: Stop) {
        self.patience().stop = stop;
    }

    fn patience(&mut self) -> &mut Patience {
        match &mut self.0 {
            Form::Plain(wire) => &mut wire.patience,
            Form::Tls(stream) => &mut stream.sock.0.get_mut().patience,
        }
    }
}

impl fmt::Debug for PhoneStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match &self.0 {
            Form::Plain(_) => "plain",
            Form::Tls(_) => "tls",
        };
        f.debug_tuple("PhoneStream").field(&form).finish()
    }
}

impl Read for PhoneStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Plain(wire) => wire.read(bytes),
            Form::Tls(stream) => stream.read(bytes).map_err(ended),
        }
    }
}

impl Write for PhoneStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Form::Plain(wire) => wire.write(bytes),
            Form::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Form::Plain(wire) => wire.flush(),
            Form::Tls(stream) => stream.flush(),
        }
    }
}

/// A cable that was pulled, in plain words: rustls sends its reader to its own documentation.
fn ended(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), "the connection ended"),
        _ => error,
    }
}

/// A wire that is read ahead and written through.
struct Ahead(BufReader<Wire>);

impl Read for Ahead {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl Write for Ahead {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.get_mut().flush()
    }
}
