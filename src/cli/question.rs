//! Waiting for a person at the terminal.
//!
//! Invariant: a question never outlives a wish to stop: whoever is asked can end the program at once, by Ctrl-C or a signal, and the
//! terminal is then as it was before. What is read is decided by the caller.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use super::stop;

/// How long a wish to stop may go unheard.
const LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Gives what `read` reads, which may wait for ever. It runs in a thread of its own: a signal does not end a read.
///
/// # Errors
/// What `read` gives, and `Interrupted` where somebody asked to stop meanwhile; the thread is left waiting then.
pub(super) fn wait<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let modes = Modes::now();
    let (sender, receiver) = channel();
    std::thread::spawn(move || drop(sender.send(read())));
    loop {
        match receiver.recv_timeout(LOOK_PAUSE) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(RecvTimeoutError::Timeout) if stop::asked() => {
                modes.restore();
                return Err(io::ErrorKind::Interrupted.into());
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// A line that was typed.
///
/// # Errors
/// As [`wait`].
pub(super) fn line() -> io::Result<String> {
    wait(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line)
    })
}

/// How the terminal was: a password is read without echo, and a read that is left does not put it back.
#[cfg(unix)]
struct Modes(Option<rustix::termios::Termios>);

#[cfg(unix)]
impl Modes {
    fn now() -> Self {
        Self(rustix::termios::tcgetattr(io::stdin()).ok())
    }

    fn restore(self) {
        if let Some(modes) = self.0 {
            use rustix::termios::{OptionalActions, tcsetattr};
            // A terminal that is gone needs nothing.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
        }
    }
}

#[cfg(not(unix))]
struct Modes;

#[cfg(not(unix))]
impl Modes {
    fn now() -> Self {
        Self
    }

    fn restore(self) {}
}
