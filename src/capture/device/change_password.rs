//! A change of the iPhone backup password: the phone is shown its backup as for a backup, for it may wrap its keybag there anew.
//!
//! Invariant: nothing is kept unless the phone said 0. What it wrote then is a draft over the last snapshot, which the next backup
//! goes on from; snapshots stay as they are.

use std::io::{Read, Write};

use plist::Dictionary;
use russet_store::session::Session;

use super::begin::Begun;
use super::connect::is_stopped;
use super::host::{Host, HostError, HostOptions};
use super::link::{Ended, Link, LinkError, Response, Told};
use super::space::Space;
use crate::apple::PhonePassword;
use crate::observe::{Observer, Phase, Prompt};
use crate::pipeline::Feeder;

/// What is asked of the phone.
#[derive(Clone, Copy)]
pub enum Change<'p> {
    /// Backups become encrypted.
    Enable {
        /// The password from now on.
        new: &'p PhonePassword,
    },
    /// Another password.
    Change {
        /// The password until now.
        old: &'p PhonePassword,
        /// And from now on.
        new: &'p PhonePassword,
    },
    /// Backups are no longer encrypted.
    Disable {
        /// The password until now.
        old: &'p PhonePassword,
    },
}

impl Change<'_> {
    /// Whether backups are encrypted afterwards.
    #[must_use]
    pub fn encrypts(&self) -> bool {
        match self {
            Self::Enable { .. } | Self::Change { .. } => true,
            Self::Disable { .. } => false,
        }
    }

    /// The password from now on; none, if there is none.
    #[must_use]
    pub fn new(&self) -> Option<&PhonePassword> {
        match self {
            Self::Enable { new } | Self::Change { new, .. } => Some(new),
            Self::Disable { .. } => None,
        }
    }

    fn request(&self, udid: &str) -> Dictionary {
        let (old, new) = match self {
            Self::Enable { new } => (None, Some(new)),
            Self::Change { old, new } => (Some(old), Some(new)),
            Self::Disable { old } => (Some(old), None),
        };
        let mut request = Dictionary::new();
        request.insert("TargetIdentifier".to_owned(), udid.into());
        for (key, password) in [("OldPassword", old), ("NewPassword", new)] {
            if let Some(password) = password {
                request.insert(key.to_owned(), password.text().into());
            }
        }
        request
    }
}

/// Why the password is as it was, as far as anybody here can know.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This side.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The phone refused.
    #[error("the phone refused to change its backup password, error {code}: {description}")]
    Phone {
        /// Apple's MBErrorDomain.
        code: i64,
        /// The phone's words; may be empty.
        description: String,
    },
    /// The phone hung up.
    #[error("the phone hung up without saying whether it changed its backup password")]
    HungUp,
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

/// The phone's questions are of no interest here.
struct Deaf;

impl Told for Deaf {}

/// Has the phone change its password. Gives whether the draft is to be gone on with, which was saved then.
///
/// # Errors
/// See [`ChangeError`].
pub fn change_password<'s, 'r, S: Read + Write>(
    link: &mut Link<S>,
    (udid, change): (&str, Change<'_>),
    begun: Begun,
    session: &'s Session<'r>,
    feeder: &mut Feeder<'_, 's, 'r, ()>,
    observer: &dyn Observer,
) -> Result<bool, ChangeError> {
    let received_len = begun.record.received_len;
    let options = HostOptions {
        udid,
        id: Some(begun.id),
        record: begun.record,
        space: Space::new(0, None),
        with_sha1: false,
        // Only lists are asked for.
        spool: None,
    };
    let mut host = Host::new(options, begun.draft, session, feeder, observer);
    let before = state(&mut host)?;
    observer.begin(Phase::Preparing, 0, 0);
    observer.prompt(Prompt::Passcode);
    let ended = match link.request("ChangePassword", change.request(udid)) {
        Ok(()) => link.serve(&mut host, &mut Deaf),
        Err(error) => Err(error),
    };
    if let Some(failure) = host.take_failure() {
        return Err(failure.into());
    }
    judge(ended)?;
    if state(&mut host)? == before {
        return Ok(false);
    }
    // It is a base, not an interrupted backup: nothing of a backup came.
    host.record().received_len = received_len;
    host.checkpoint()?;
    Ok(true)
}

/// What changes when the phone changes anything in the draft.
fn state(host: &mut Host<'_, '_, '_, '_>) -> Result<(usize, usize, u64), HostError> {
    let edits_len = host.draft()?.edits_len();
    let record = host.record();
    Ok((edits_len, record.edits.len(), record.received_len))
}

fn judge(ended: Result<Ended, LinkError>) -> Result<(), ChangeError> {
    match ended {
        Ok(Ended::Response(Response { error_code: 0, .. })) => Ok(()),
        Ok(Ended::Response(Response { error_code: code, description, .. })) => {
            Err(ChangeError::Phone { code, description: description.unwrap_or_default() })
        }
        Ok(Ended::Disconnected) => Err(ChangeError::HungUp),
        Err(LinkError::Lost { source, .. }) if is_stopped(&source) => Err(ChangeError::Stopped),
        Err(error) => Err(error.into()),
    }
}
