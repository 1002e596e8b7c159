//! The phone's notifications: what it tells while it is backed up, and what it wants to be told.
//!
//! Invariant: one thread has the connection; it reads, and posts what it is handed. News that nobody takes is dropped, never
//! piled up. The thread ends with its [`Proxy`].

use super::message::{self, LIMITS, dictionary, text};
use super::wire::is_stopped;
use super::{ConnectError, Phone, PhoneStream};
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};
use std::io::{self, Read};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

const SERVICE: &str = "com.apple.mobile.notification_proxy";
const FROM: &str = "the phone's notification service";
const NEWS_COUNT_MAX: usize = 256;
const MESSAGE_LEN_MAX: u64 = 1 << 20;
/// How long a post may take to leave.
const POST_PATIENCE: Duration = Duration::from_secs(10);
/// How long the phone may take to hang up.
const FAREWELL_IDLE: Duration = Duration::from_secs(1);

/// What a phone tells while it is backed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// Its owner wants the backup to end.
    CancelRequested,
    /// It asks for a pause.
    SuspendRequested,
    /// It asks to go on.
    ResumeRequested,
    /// It shows a sheet that wants the passcode, or a face or finger.
    PasscodeShown,
    /// That sheet is gone: answered or not.
    PasscodeDismissed,
    /// Its settings for backups changed, encryption for instance.
    BackupSettingsChanged,
    /// It tells nothing more: the connection ended.
    Ended,
}

const OBSERVED: [(&str, Notification); 6] = [
    ("com.apple.itunes-client.syncCancelRequest", Notification::CancelRequested),
    ("com.apple.itunes-client.syncSuspendRequest", Notification::SuspendRequested),
    ("com.apple.itunes-client.syncResumeRequest", Notification::ResumeRequested),
    ("com.apple.LocalAuthentication.ui.presented", Notification::PasscodeShown),
    ("com.apple.LocalAuthentication.ui.dismissed", Notification::PasscodeDismissed),
    ("com.apple.mobile.backup.domain_changed", Notification::BackupSettingsChanged),
];

enum Order {
    Post(&'static str, Sender<Result<(), ConnectError>>),
    End,
}

/// The connection, and the thread that has it.
pub(super) struct Proxy {
    orders: Sender<Order>,
    news: Receiver<Notification>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Connects and observes.
    pub(super) fn start(phone: &mut Phone) -> Result<Self, ConnectError> {
        let mut stream = phone.start_service(SERVICE, true)?;
        for (name, _) in OBSERVED {
            command(&mut stream, "ObserveNotification", Some(name))?;
        }
        let (orders, ordered) = unbounded::<Order>();
        let (tell, news) = bounded(NEWS_COUNT_MAX);
        stream.set_idle(Duration::MAX);
        let waiting = ordered.clone();
        stream.set_stop(Arc::new(move || !waiting.is_empty()));
        let thread = std::thread::Builder::new()
            .name("notifications".to_owned())
            .spawn(move || run(stream, &ordered, &tell))
            .map_err(ConnectError::NoThread)?;
        Ok(Self { orders, news, thread: Some(thread) })
    }

    /// What the phone tells from now on.
    pub(super) fn news(&self) -> &Receiver<Notification> {
        &self.news
    }

    /// Tells the phone something, and waits until it has left.
    pub(super) fn post(&self, name: &'static str) -> Result<(), ConnectError> {
        let (done, outcome) = bounded(1);
        let ended = || ConnectError::Lost(io::ErrorKind::BrokenPipe.into());
        self.orders.send(Order::Post(name, done)).map_err(|_| ended())?;
        outcome.recv_timeout(POST_PATIENCE).map_err(|_| ended())?
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // If the thread has ended already, there is nobody to tell.
        let _ended = self.orders.send(Order::End);
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

fn command(
    stream: &mut PhoneStream,
    command: &str,
    name: Option<&str>,
) -> Result<(), ConnectError> {
    let mut members = dictionary([("Command", command.into())]);
    members.extend(name.map(|name| ("Name".to_owned(), name.into())));
    message::send(stream, members)
}

fn run(mut stream: PhoneStream, orders: &Receiver<Order>, tell: &Sender<Notification>) {
    let mut pending = Vec::new();
    let mut bytes = vec![0; 4096];
    loop {
        while let Ok(order) = orders.try_recv() {
            match order {
                Order::Post(name, done) => {
                    // Whoever asked may have lost patience.
                    let _gone = done.send(command(&mut stream, "PostNotification", Some(name)));
                }
                Order::End => {
                    let _lost = command(&mut stream, "Shutdown", None);
                    // To the phone's end: closing on unread bytes could take back what was posted.
                    stream.set_idle(FAREWELL_IDLE);
                    while stream.read(&mut bytes).is_ok_and(|len| len > 0) {}
                    return;
                }
            }
        }
        let outcome = match stream.read(&mut bytes) {
            Ok(0) => Err(()),
            Ok(len) => {
                pending.extend_from_slice(bytes.get(..len).unwrap_or_default());
                take_all(&mut pending, tell).map_err(drop)
            }
            Err(error) if is_stopped(&error) => Ok(()),
            Err(_) => Err(()),
        };
        if outcome.is_err() {
            let _full = tell.try_send(Notification::Ended);
            return;
        }
    }
}

/// Takes every whole message off `pending`.
fn take_all(pending: &mut Vec<u8>, tell: &Sender<Notification>) -> Result<(), ConnectError> {
    while let Some(head) = pending.first_chunk::<4>() {
        let len = u64::from(u32::from_be_bytes(*head));
        if len > MESSAGE_LEN_MAX.min(LIMITS.len_max) {
            return Err(ConnectError::TooLong { from: FROM, len });
        }
        let end = 4 + usize::try_from(len).unwrap_or(usize::MAX - 4);
        let Some(body) = pending.get(4..end) else { return Ok(()) };
        let message = message::parse(body, FROM)?;
        pending.drain(..end);
        let name = text(&message, "Name");
        let known = OBSERVED.iter().find(|(observed, _)| *observed == name);
        if let Some((_, news)) = known.filter(|_| text(&message, "Command") == "RelayNotification")
        {
            // Nobody listens, or too slowly: what is new matters less than that this goes on.
            let _full = tell.try_send(*news);
        }
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn relayed(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let members = dictionary([("Command", "RelayNotification".into()), ("Name", name.into())]);
        message::send(&mut bytes, members).unwrap();
        bytes
    }

    #[test]
    fn messages_are_told_however_they_are_cut() {
        let (tell, news) = bounded(9);
        let all = [relayed(OBSERVED[3].0), relayed("com.example"), relayed(OBSERVED[0].0)].concat();
        let mut pending = Vec::new();
        for byte in all {
            pending.push(byte);
            take_all(&mut pending, &tell).unwrap();
        }
        let told: Vec<Notification> = news.try_iter().collect();
        assert_eq!(told, [Notification::PasscodeShown, Notification::CancelRequested]);
        assert!(pending.is_empty());
    }

    #[test]
    fn an_endless_message_is_refused() {
        let (tell, _news) = bounded(9);
        assert!(take_all(&mut vec![0xff; 4], &tell).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let (tell, _news) = bounded(9);
            let _ = take_all(&mut bytes, &tell);
        }
    }
}
