//! One restore of a phone, from the request to its answer: the phone reads the snapshot that it is shown.
//!
//! Invariant: it is done only if the phone said 0. A link that ends without that word is no success, however much was sent.

use std::io::{Read, Write};

use plist::{Dictionary, Value};

use super::connect::is_stopped;
use super::link::{Doing, Ended, Link, LinkError, Response, Told};
use super::shown::Shown;
use super::{FileError, FileErrorKind};
use crate::apple::PhonePassword;
use crate::observe::Observer;

/// Most files that an error names.
const NAMED_COUNT_MAX: usize = 200;

/// A file that a phone wanted and did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsent {
    /// Its path in the backup.
    pub path: String,
    /// Why.
    pub why: String,
    /// Whether it is there and cannot be read: the repository is damaged.
    pub is_damaged: bool,
}

/// What a phone is asked to do with a snapshot. The host's copy, which Apple's protocol offers, is never asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreWish {
    /// `RestorePreserveSettings`: the phone keeps its own settings.
    pub keep_settings: bool,
    /// `RestoreSystemFiles`.
    pub system: bool,
    /// `RestoreShouldReboot`.
    pub reboot: bool,
    /// `RemoveItemsNotRestored`: what is on the phone and not in the snapshot goes.
    pub remove_items: bool,
}

/// Why a restore did not end well.
#[derive(Debug, thiserror::Error)]
pub enum GiveError {
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The phone ended with an error.
    #[error("the phone ended the restore with error {code}: {description}")]
    Phone {
        /// Apple's MBErrorDomain.
        code: i64,
        /// The phone's words; may be empty.
        description: String,
        /// Files that it wanted and that could not be sent.
        unsent: Vec<Unsent>,
    },
    /// The phone hung up.
    #[error("the phone ended the restore without saying why")]
    HungUp,
    /// Everything was sent, and the link ended before the phone said how it went.
    #[error(
        "everything was sent, and the link ended before the phone said that it is done: it is probably restarting now"
    )]
    ProbablyRebooting,
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

/// What the phone tells, on its way to the observer.
struct Teller<'a> {
    observer: &'a dyn Observer,
    unsent: Vec<Unsent>,
}

impl Told for Teller<'_> {
    fn refused(&mut self, path: &[u8], error: &FileError) {
        let path = String::from_utf8_lossy(path).into_owned();
        // Phones look for files that need not be there.
        let is_damaged = error.kind == FileErrorKind::Io;
        if is_damaged {
            self.observer.problem(&path, &error.text);
        }
        if self.unsent.len() < NAMED_COUNT_MAX {
            self.unsent.push(Unsent { path, why: error.text.clone(), is_damaged });
        }
    }

    fn unknown(&mut self, tag: &str) {
        self.observer.remark(&format!("the phone asked something unknown and was refused: {tag}"));
    }
}

/// Lets the phone restore what it is shown. `source` is the snapshot's folder, `target` this phone.
///
/// # Errors
/// See [`GiveError`].
pub fn give<S: Read + Write>(
    link: &mut Link<S>,
    (source, target): (&str, &str),
    wish: RestoreWish,
    password: Option<&PhonePassword>,
    shown: &mut Shown<'_>,
    observer: &dyn Observer,
) -> Result<(), GiveError> {
    let mut teller = Teller { observer, unsent: Vec::new() };
    let ended = match link.request("Restore", request(source, target, wish, password)) {
        Ok(()) => link.serve(shown, &mut teller),
        Err(error) => Err(error),
    };
    judge(ended, shown.is_all_sent(), teller.unsent)
}

fn request(
    source: &str,
    target: &str,
    wish: RestoreWish,
    password: Option<&PhonePassword>,
) -> Dictionary {
    let mut options = Dictionary::new();
    for (key, value) in [
        ("RestoreShouldReboot", wish.reboot),
        // Else the phone has the host keep a second copy of what is being restored.
        ("RestoreDontCopyBackup", true),
        ("RestorePreserveSettings", wish.keep_settings),
        ("RestoreSystemFiles", wish.system),
        ("RemoveItemsNotRestored", wish.remove_items),
    ] {
        options.insert(key.to_owned(), Value::Boolean(value));
    }
    if let Some(password) = password {
        options.insert("Password".to_owned(), password.text().into());
    }
    let mut request = Dictionary::new();
    request.insert("SourceIdentifier".to_owned(), source.into());
    request.insert("TargetIdentifier".to_owned(), target.into());
    request.insert("Options".to_owned(), options.into());
    request
}

fn judge(
    ended: Result<Ended, LinkError>,
    is_all_sent: bool,
    unsent: Vec<Unsent>,
) -> Result<(), GiveError> {
    match ended {
        Ok(Ended::Response(Response { error_code: 0, .. })) => Ok(()),
        Ok(Ended::Response(Response { error_code: code, description, .. })) => {
            Err(GiveError::Phone { code, description: description.unwrap_or_default(), unsent })
        }
        Ok(Ended::Disconnected) if is_all_sent => Err(GiveError::ProbablyRebooting),
        Ok(Ended::Disconnected) => Err(GiveError::HungUp),
        Err(LinkError::Lost { source, .. }) if is_stopped(&source) => Err(GiveError::Stopped),
        // Waiting for its next message, or telling it that the last file was sent.
        Err(LinkError::Lost { doing: Doing::Waiting | Doing::Answering, .. }) if is_all_sent => {
            Err(GiveError::ProbablyRebooting)
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use std::io;

    const CAREFUL: RestoreWish =
        RestoreWish { keep_settings: true, system: false, reboot: true, remove_items: false };

    fn lost(doing: Doing) -> Result<Ended, LinkError> {
        Err(LinkError::Lost { doing, source: io::ErrorKind::UnexpectedEof.into() })
    }

    #[test]
    fn a_link_that_ends_after_everything_was_sent_is_a_restart_and_no_success() {
        let judged = judge(lost(Doing::Waiting), true, Vec::new());
        assert!(matches!(judged, Err(GiveError::ProbablyRebooting)), "{judged:?}");
    }

    #[test]
    fn a_link_that_ends_before_is_lost() {
        for (doing, is_all_sent) in [(Doing::Waiting, false), (Doing::Sending(b"a".to_vec()), true)]
        {
            let judged = judge(lost(doing), is_all_sent, Vec::new());
            assert!(matches!(judged, Err(GiveError::Link(_))), "{judged:?}");
        }
    }

    #[test]
    fn an_error_of_the_phone_is_one_after_everything_was_sent_too() {
        let response = Response { error_code: 205, description: None, content: None };
        let judged = judge(Ok(Ended::Response(response)), true, Vec::new());
        assert!(matches!(judged, Err(GiveError::Phone { code: 205, .. })), "{judged:?}");
    }

    #[test]
    fn the_host_is_never_asked_for_a_copy_and_the_password_goes_with_the_options() {
        let password = PhonePassword::new("x y").unwrap();
        let request = request("S", "T", CAREFUL, Some(&password));
        let options = request.get("Options").and_then(Value::as_dictionary).unwrap();
        let flag = |key: &str| options.get(key).and_then(Value::as_boolean);
        assert_eq!(flag("RestoreDontCopyBackup"), Some(true));
        assert_eq!(flag("RestorePreserveSettings"), Some(true));
        assert_eq!(flag("RemoveItemsNotRestored"), Some(false));
        assert_eq!(options.get("Password").and_then(Value::as_string), Some("x y"));
        assert_eq!(request.get("SourceIdentifier").and_then(Value::as_string), Some("S"));
    }
}
