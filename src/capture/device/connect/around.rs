//! What a good host does around a backup or a restore: it takes the sync lock, says so, listens, and lets go.
//!
//! Invariant: whatever happens in between, dropping a [`SyncGuard`] releases the lock and tells the phone that the sync is
//! over, also after the caller's stop; only a host that is killed leaves the sync sign on the phone's screen.

use super::media::{Media, MediaFile};
use super::message::{self, dictionary, text};
use super::notify::{Notification, Proxy};
use super::{ConnectError, Phone};
use crossbeam_channel::Receiver;
use std::fmt;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LOCK_FILE: &str = "/com.apple.itunes.lock_sync";
const LOCK_ATTEMPTS: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(200);
/// How long letting go may take, each step.
const LET_GO_IDLE: Duration = Duration::from_secs(5);

const WILL_START: &str = "com.apple.itunes-mobdev.syncWillStart";
const LOCK_REQUEST: &str = "com.apple.itunes-mobdev.syncLockRequest";
const DID_START: &str = "com.apple.itunes-mobdev.syncDidStart";
const DID_FINISH: &str = "com.apple.itunes-mobdev.syncDidFinish";

const HEARTBEAT: &str = "com.apple.mobile.heartbeat";
/// Phones ask every ten seconds or so.
const HEARTBEAT_IDLE: Duration = Duration::from_secs(120);

/// The phone's sync lock, and its notifications while it is held.
pub struct SyncGuard {
    proxy: Proxy,
    media: Media,
    locked: Option<MediaFile>,
    is_over: bool,
}

impl SyncGuard {
    /// Observes, announces, and takes the lock; ten seconds are given to whoever holds it.
    ///
    /// # Errors
    /// [`ConnectError::SyncBusy`], or a service could not be reached. The phone has been told that nothing came of it.
    pub fn begin(phone: &mut Phone) -> Result<Self, ConnectError> {
        let proxy = Proxy::start(phone)?;
        let media = Media::open(phone)?;
        let mut guard = Self { proxy, media, locked: None, is_over: false };
        guard.take(phone)?;
        Ok(guard)
    }

    /// What the phone tells from now on. At most 256 wait; later ones are dropped.
    #[must_use]
    pub fn notifications(&self) -> &Receiver<Notification> {
        self.proxy.news()
    }

    /// Lets go, and says whether the phone heard it.
    ///
    /// # Errors
    /// The connection had ended.
    pub fn finish(mut self) -> Result<(), ConnectError> {
        self.let_go()
    }

    fn take(&mut self, phone: &Phone) -> Result<(), ConnectError> {
        self.proxy.post(WILL_START)?;
        let file = self.media.open_lock(LOCK_FILE)?;
        self.proxy.post(LOCK_REQUEST)?;
        for _ in 0..LOCK_ATTEMPTS {
            if self.media.try_lock(&file)? {
                self.locked = Some(file);
                return self.proxy.post(DID_START);
            }
            if phone.muxer().is_stopped() {
                return Err(ConnectError::Stopped);
            }
            std::thread::sleep(LOCK_PAUSE);
        }
        Err(ConnectError::SyncBusy)
    }

    fn let_go(&mut self) -> Result<(), ConnectError> {
        if std::mem::replace(&mut self.is_over, true) {
            return Ok(());
        }
        self.media.insist(LET_GO_IDLE);
        let released = match self.locked.take() {
            Some(file) => {
                let unlocked = self.media.unlock(&file);
                self.media.close(file).and(unlocked)
            }
            None => Ok(()),
        };
        // The notification matters even if the media service is gone: it takes the sign off the screen.
        self.proxy.post(DID_FINISH).and(released)
    }
}

impl Drop for SyncGuard {
    fn drop(&mut self) {
        // Nobody is left to hear of a failure; the phone lets go by itself when the connection ends.
        let _lost = self.let_go();
    }
}

impl fmt::Debug for SyncGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncGuard").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

/// Tells a phone on the network again and again that this computer is there; without it, its services end.
#[derive(Debug)]
pub struct Heartbeat {
    is_over: Arc<AtomicBool>,
    has_ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Heartbeat {
    /// Begins, on a thread of its own, until this is dropped or the phone goes to sleep.
    ///
    /// # Errors
    /// The service could not be reached.
    pub fn start(phone: &mut Phone) -> Result<Self, ConnectError> {
        let mut stream = phone.start_service(HEARTBEAT, true)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let has_ended = Arc::new(AtomicBool::new(false));
        let (stop, ended) = (Arc::clone(&is_over), Arc::clone(&has_ended));
        stream.set_stop(Arc::new(move || stop.load(Ordering::Relaxed)));
        stream.set_idle(HEARTBEAT_IDLE);
        let thread = std::thread::Builder::new()
            .name("heartbeat".to_owned())
            .spawn(move || {
                while answer(&mut stream).unwrap_or(false) {}
                ended.store(true, Ordering::Relaxed);
            })
            .map_err(ConnectError::NoThread)?;
        Ok(Self { is_over, has_ended, thread: Some(thread) })
    }

    /// Whether it ended by itself: the phone sleeps, or the connection broke.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// One question and its answer; false when the phone goes to sleep.
fn answer(stream: &mut (impl Read + Write)) -> Result<bool, ConnectError> {
    let question = message::receive(stream, "the phone's heartbeat")?;
    if text(&question, "Command") == "SleepyTime" {
        return Ok(false);
    }
    message::send(stream, dictionary([("Command", "Polo".into())]))?;
    Ok(true)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::super::tests::Talk;
    use super::*;
    fn talk(command: &str) -> Talk {
        Talk::of(dictionary([("Command", command.into())]))
    }

    #[test]
    fn marco_is_answered_with_polo() {
        let mut marco = talk("Marco");
        assert!(answer(&mut marco).unwrap());
        let answered = message::receive(&mut marco.answered.as_slice(), "us").unwrap();
        assert_eq!(text(&answered, "Command"), "Polo");
    }

    #[test]
    fn a_phone_that_goes_to_sleep_is_let_go() {
        let mut sleepy = talk("SleepyTime");
        assert!(!answer(&mut sleepy).unwrap());
        assert!(sleepy.answered.is_empty());
    }
}
