//! Where hosts connect: a socket, the phones behind it, and the threads that talk.
//!
//! Invariant: when a [`Server`] is dropped, no thread of its conversations is left, so that the phones' folders can be read
//! and copied. Does not know what is said.

use super::link::Wire;
use super::wires::{Sort, Wires};
use super::{ScriptedPhone, locked, usbmuxd};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Where hosts connect to.
pub enum Listener {
    /// `host:port`.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener),
}

impl Listener {
    /// `host:port`, or the path of a socket, which is replaced.
    pub fn bind(address: &str) -> io::Result<Self> {
        if address.contains('/') {
            let path = Path::new(address);
            if path.exists() {
                std::fs::remove_file(path)?;
            }
            return UnixListener::bind(path).map(Self::Unix);
        }
        TcpListener::bind(address).map(Self::Tcp)
    }

    /// The address hosts can be given.
    pub fn address(&self) -> io::Result<String> {
        match self {
            Self::Tcp(listener) => Ok(listener.local_addr()?.to_string()),
            Self::Unix(listener) => Ok(listener
                .local_addr()?
                .as_pathname()
                .map(|path| path.display().to_string())
                .unwrap_or_default()),
        }
    }

    fn accept(&self) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept()?.0)),
        }
    }
}

/// Serves hosts of one phone until the process ends.
pub fn serve(phone: &Arc<ScriptedPhone>, listener: &Listener) -> io::Result<()> {
    serve_all(&[Arc::clone(phone)], listener)
}

/// Serves hosts of several phones behind one mux daemon until the process ends.
pub fn serve_all(phones: &[Arc<ScriptedPhone>], listener: &Listener) -> io::Result<()> {
    Arc::new(Mux::new(phones.to_vec())).accept_all(listener)
}

/// Phones that are served by threads of this process, until it is dropped.
///
/// ```
/// use russet_testkit::device::{Preset, Script, ScriptedPhone, Server, State};
/// let folder = tempfile::tempdir()?;
/// let new = State::new(1, Preset::Many(4));
/// let phone = ScriptedPhone::open(&folder.path().join("phone"), new, Script::default())?;
/// let server = Server::start(vec![phone.into()], "127.0.0.1:0")?;
/// println!("USBMUXD_SOCKET_ADDRESS={}", server.address());
/// assert!(server.phones()[0].violations()?.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Server {
    mux: Arc<Mux>,
    address: String,
    accepting: Option<JoinHandle<io::Result<()>>>,
}

impl Server {
    /// Serves `phones` at `host:port` (port 0 takes a free one), or at the path of a socket, which is replaced.
    pub fn start(phones: Vec<Arc<ScriptedPhone>>, address: &str) -> io::Result<Self> {
        let listener = Listener::bind(address)?;
        let address = listener.address()?;
        phones.iter().for_each(|phone| phone.halt(false));
        let mux = Arc::new(Mux::new(phones));
        let own = Arc::clone(&mux);
        let accepting = std::thread::spawn(move || own.accept_all(&listener));
        Ok(Self { mux, address, accepting: Some(accepting) })
    }

    /// For `USBMUXD_SOCKET_ADDRESS`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The phones, in the order in which they were given.
    pub fn phones(&self) -> &[Arc<ScriptedPhone>] {
        &self.mux.phones
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.mux.stopping.store(true, Ordering::SeqCst);
        self.mux.phones.iter().for_each(|phone| phone.halt(true));
        // Only a connection wakes a thread that accepts; if none can be made, it has ended.
        let is_path = self.address.contains('/');
        let _woken = if is_path {
            UnixStream::connect(&self.address).map(drop)
        } else {
            TcpStream::connect(&self.address).map(drop)
        };
        if let Some(accepting) = self.accepting.take() {
            let _ended = accepting.join();
        }
        self.mux.wires.end(&[Sort::Control]);
        for thread in std::mem::take(&mut *locked(&self.mux.threads)) {
            let _ended = thread.join();
        }
        if is_path {
            let _gone_already = std::fs::remove_file(&self.address);
        }
    }
}

/// What the conversations of one socket share.
pub(super) struct Mux {
    pub(super) phones: Vec<Arc<ScriptedPhone>>,
    wires: Arc<Wires>,
    stopping: AtomicBool,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Mux {
    fn new(phones: Vec<Arc<ScriptedPhone>>) -> Self {
        let (wires, threads) = (Arc::default(), Mutex::default());
        Self { phones, wires, stopping: AtomicBool::new(false), threads }
    }

    fn accept_all(self: &Arc<Self>, listener: &Listener) -> io::Result<()> {
        loop {
            let wire = listener.accept()?;
            if self.stopping.load(Ordering::SeqCst) {
                return Ok(());
            }
            let registered = self.wires.add(Sort::Control, &*wire)?;
            let mux = Arc::clone(self);
            let thread = std::thread::spawn(move || {
                usbmuxd::converse(&mux, wire);
                drop(registered);
            });
            let mut threads = locked(&self.threads);
            threads.retain(|thread| !thread.is_finished());
            threads.push(thread);
        }
    }
}
