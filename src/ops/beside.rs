//! What goes on beside the work with a phone's backup service: its notifications are heard, so that its owner can cancel there.
//!
//! Invariant: the listening ends with the work, however that ends. Decides nothing about the work.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::capture::device::connect::{Notification, SyncGuard};
use crate::observe::{Observer, Prompt};

/// The phone's backup service.
pub(super) const SERVICE: &str = "com.apple.mobilebackup2";

const PAUSE: Duration = Duration::from_millis(200);

/// Works while the phone's notifications are heard. `cancelled` is set when the owner cancels on the phone.
pub(super) fn heard<T>(
    guard: &SyncGuard,
    cancelled: &AtomicBool,
    observer: &dyn Observer,
    work: impl FnOnce() -> T,
) -> T {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| listen(guard, &done, cancelled, observer));
        let _end = End(&done);
        work()
    })
}

/// Ends the listening, also when the work panics: the scope waits for it.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn listen(guard: &SyncGuard, done: &AtomicBool, cancelled: &AtomicBool, observer: &dyn Observer) {
    while !done.load(Ordering::Relaxed) {
        match guard.notifications().recv_timeout(PAUSE) {
            Ok(Notification::CancelRequested) => cancelled.store(true, Ordering::Relaxed),
            Ok(Notification::PasscodeShown) => observer.prompt(Prompt::Passcode),
            Ok(Notification::Ended) => return,
            Ok(_) | Err(_) => {}
        }
    }
}
