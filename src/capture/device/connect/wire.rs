//! One socket to the mux daemon, with a blocking face.
//!
//! Invariant: no call blocks longer than the patience it was given, and none outlives a stop by more than [`SLICE`]. Bytes
//! that are there are read without a timer and without a copy; a timer exists only while waiting. Small messages leave at
//! once (TCP_NODELAY). Does not know what the bytes mean.

use super::{ConnectError, MuxerAddress};
use std::future::Future;
use std::io::{self, IoSlice, Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::runtime::Runtime;

/// How often a wait looks whether to stop.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// Says whether to stop; asked while waiting, at least five times a second.
pub type Stop = Arc<dyn Fn() -> bool + Send + Sync>;

/// How long to wait.
#[derive(Clone)]
pub(super) struct Patience {
    /// For each read, and each write.
    pub(super) idle: Duration,
    pub(super) stop: Stop,
}

/// The caller asked to stop. Not `ErrorKind::Interrupted`: `read_exact` and its kin would try again for ever.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
struct Stopped;

fn stopped() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, Stopped)
}

/// Whether an error of a [`PhoneStream`](super::PhoneStream) is the stop that its owner asked for.
#[must_use]
pub fn is_stopped(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

/// Waits for `future` with patience.
pub(super) fn wait<F: Future>(
    runtime: &Runtime,
    patience: &Patience,
    future: F,
) -> io::Result<F::Output> {
    let since = Instant::now();
    runtime.block_on(async {
        let mut future = pin!(future);
        loop {
            if (patience.stop)() {
                return Err(stopped());
            }
            let left = patience.idle.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if let Ok(output) = tokio::time::timeout(SLICE.min(left), future.as_mut()).await {
                return Ok(output);
            }
        }
    })
}

enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

/// A connected socket.
pub(super) struct Wire {
    socket: Socket,
    runtime: Arc<Runtime>,
    pub(super) patience: Patience,
}

impl Wire {
    /// Connects to the mux daemon.
    pub(super) fn connect(
        address: &MuxerAddress,
        runtime: &Arc<Runtime>,
        patience: &Patience,
    ) -> Result<Self, ConnectError> {
        let outcome = wait(runtime, patience, connect(address))?;
        let socket = outcome.map_err(|source| unreachable_muxer(address, source))?;
        Ok(Self { socket, runtime: Arc::clone(runtime), patience: patience.clone() })
    }

    fn wait_readable(&self) -> io::Result<()> {
        wait(&self.runtime, &self.patience, async {
            match &self.socket {
                Socket::Tcp(socket) => socket.readable().await,
                #[cfg(unix)]
                Socket::Unix(socket) => socket.readable().await,
            }
        })?
    }

    fn wait_writable(&self) -> io::Result<()> {
        wait(&self.runtime, &self.patience, async {
            match &self.socket {
                Socket::Tcp(socket) => socket.writable().await,
                #[cfg(unix)]
                Socket::Unix(socket) => socket.writable().await,
            }
        })?
    }
}

async fn connect(address: &MuxerAddress) -> io::Result<Socket> {
    match address {
        #[cfg(unix)]
        MuxerAddress::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        #[cfg(not(unix))]
        MuxerAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        MuxerAddress::Tcp { host, port } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            socket.set_nodelay(true)?;
            Ok(Socket::Tcp(socket))
        }
    }
}

fn unreachable_muxer(address: &MuxerAddress, source: io::Error) -> ConnectError {
    let is_file = matches!(address, MuxerAddress::Unix(_));
    let address = address.to_string();
    match source.kind() {
        io::ErrorKind::NotFound if is_file => ConnectError::NoMuxer { address },
        io::ErrorKind::ConnectionRefused if is_file => ConnectError::MuxerStale { address },
        io::ErrorKind::ConnectionRefused => ConnectError::MuxerRefused { address },
        _ => ConnectError::MuxerUnreachable { address, source },
    }
}

impl Read for Wire {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let outcome = match &self.socket {
                Socket::Tcp(socket) => socket.try_read(bytes),
                #[cfg(unix)]
                Socket::Unix(socket) => socket.try_read(bytes),
            };
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_readable()?,
                other => return other,
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        loop {
            let outcome = match &self.socket {
                Socket::Tcp(socket) => socket.try_write_vectored(pieces),
                #[cfg(unix)]
                Socket::Unix(socket) => socket.try_write_vectored(pieces),
            };
            match outcome {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable()?,
                other => return other,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
