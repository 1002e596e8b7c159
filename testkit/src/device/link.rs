//! One conversation's bytes: a socket, with TLS or without, and the property lists that travel on it.
//!
//! Invariant: a message leaves in one write; nothing is allocated on a peer's word before the bytes have come. Does not
//! know what a message means.

use super::error::DeviceError;
use plist::Value;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Cursor, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

/// Longest property list a host may send: a listing of a million names has some 200 MB.
const PLIST_LEN_MAX: u64 = 512 * 1024 * 1024;

/// A connected socket.
pub(crate) trait Wire: Read + Write + Send {
    /// How long a read waits; none is forever.
    fn patience(&self, patience: Option<Duration>) -> io::Result<()>;

    /// What ends it from another thread.
    fn shut(&self) -> io::Result<Shut>;
}

/// Ends a socket; one that has ended already is fine.
pub(crate) type Shut = Box<dyn Fn() + Send>;

impl Wire for TcpStream {
    fn patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }

    fn shut(&self) -> io::Result<Shut> {
        let own = self.try_clone()?;
        Ok(Box::new(move || drop(own.shutdown(Shutdown::Both))))
    }
}

impl Wire for UnixStream {
    fn patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(patience)
    }

    fn shut(&self) -> io::Result<Shut> {
        let own = self.try_clone()?;
        Ok(Box::new(move || drop(own.shutdown(Shutdown::Both))))
    }
}

/// A socket, with TLS or without.
pub(crate) enum Link {
    Plain(Box<dyn Wire>),
    Tls(Box<StreamOwned<ServerConnection, Box<dyn Wire>>>),
    /// Between two forms; never seen outside this file.
    Gone,
}

impl Link {
    /// Shakes hands as the server.
    pub(crate) fn start_tls(&mut self, config: Arc<ServerConfig>) -> Result<(), DeviceError> {
        let Self::Plain(wire) = std::mem::replace(self, Self::Gone) else {
            return Err(DeviceError::Breach { rule: "TLS is started once" });
        };
        let mut stream = StreamOwned::new(ServerConnection::new(config)?, wire);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        *self = Self::Tls(Box::new(stream));
        Ok(())
    }

    /// Ends TLS and goes on in the clear, as lockdown does after StopSession.
    pub(crate) fn stop_tls(&mut self) -> io::Result<()> {
        match std::mem::replace(self, Self::Gone) {
            Self::Tls(mut stream) => {
                stream.conn.send_close_notify();
                stream.flush()?;
                let mut rest = [0; 256];
                while stream.read(&mut rest)? > 0 {}
                *self = Self::Plain(stream.sock);
            }
            other => *self = other,
        }
        Ok(())
    }

    /// How long a read waits; none is forever.
    pub(crate) fn patience(&self, patience: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.patience(patience),
            Self::Tls(stream) => stream.sock.patience(patience),
            Self::Gone => Ok(()),
        }
    }

    /// Reads one message.
    pub(crate) fn read_plist(&mut self) -> Result<Value, DeviceError> {
        let len = u64::from(self.read_u32()?);
        let bytes = self.read_bytes(len, PLIST_LEN_MAX)?;
        Ok(Value::from_reader(Cursor::new(bytes))?)
    }

    /// Sends one message, in XML as lockdown does.
    pub(crate) fn write_xml(&mut self, message: &Value) -> Result<(), DeviceError> {
        let mut bytes = vec![0; 4];
        message.to_writer_xml(&mut bytes)?;
        self.write_framed(bytes)
    }

    /// Sends one message, in binary as the services do.
    pub(crate) fn write_binary(&mut self, message: &Value) -> Result<(), DeviceError> {
        let mut bytes = Vec::new();
        message.to_writer_binary(&mut bytes)?;
        bytes.splice(0..0, [0; 4]);
        self.write_framed(bytes)
    }

    fn write_framed(&mut self, mut bytes: Vec<u8>) -> Result<(), DeviceError> {
        let len = u64::try_from(bytes.len().saturating_sub(4)).unwrap_or(u64::MAX);
        let short = u32::try_from(len)
            .map_err(|_| DeviceError::TooLong { len, len_max: u64::from(u32::MAX) })?;
        for (byte, value) in bytes.iter_mut().zip(short.to_be_bytes()) {
            *byte = value;
        }
        self.write_all(&bytes)?;
        Ok(self.flush()?)
    }

    /// A big-endian number.
    pub(crate) fn read_u32(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        self.read_exact(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    /// `len` bytes, if that is no more than `len_max`.
    pub(crate) fn read_bytes(&mut self, len: u64, len_max: u64) -> Result<Vec<u8>, DeviceError> {
        if len > len_max {
            return Err(DeviceError::TooLong { len, len_max });
        }
        let mut bytes = Vec::new();
        self.take(len).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(0) < len {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        Ok(bytes)
    }
}

impl Read for Link {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Write for Link {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(wire) => wire.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
            Self::Gone => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Gone => Ok(()),
        }
    }
}
