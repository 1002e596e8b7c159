//! What opens a phone's encrypted backups, and what is done where nothing does.
//!
//! Invariant: passwords live here alone while a command runs, and are wiped with it. Nobody is asked but through `ask`, which
//! answers nothing where there is no terminal.

use std::path::Path;
use std::sync::{Mutex, Once, PoisonError};

use jiff::tz::TimeZone;
use russet_store::repository::Repository;

use super::remembered;
use crate::apple::{KeybagError, LockedKeys, Passwords, PhonePassword, WrongPassword};
use crate::capture::device::open_files::{self, Unlocked};
use crate::capture::device::spool::SpoolPlace;
use crate::capture::device::take::Locked;
use crate::capture::kept::Kept;
use crate::observe::{Observer, moment};

/// What a person is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'a> {
    /// The password of a phone of this name, before its backup begins.
    First(&'a str),
    /// The password of a backup that is here; without one it stays as it is. What it is called.
    Closed(&'a str),
    /// Another one: what was given does not open the backup of the phone of this name.
    Again(&'a str),
}

/// What becomes of an encrypted backup that nothing opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unopened {
    /// It is stored as it is.
    Store,
    /// It is not made, unless this phone's backups were stored so before; what came already waits.
    Refuse,
}

/// What a person answers.
pub enum Answer {
    /// A password.
    Password(PhonePassword),
    /// There is none to give: encrypted backups are to be stored as they are.
    Decline,
    /// There is nobody to ask.
    Nobody,
}

/// Asks a person.
pub type Ask<'a> = dyn Fn(Asked<'_>) -> Answer + Sync + 'a;

/// Passwords, and where files wait for them.
pub struct PhoneKeys<'a> {
    passwords: Mutex<Passwords>,
    ask: &'a Ask<'a>,
    /// What becomes of backups that nothing opens.
    pub unopened: Unopened,
    /// Where the spool is made, and found again.
    pub spool: SpoolPlace,
    /// Whether a password that opened a backup is kept in the repository.
    pub remembers: bool,
    /// In which dates are told.
    pub zone: TimeZone,
    /// What earlier runs left of spools is looked at once.
    pub(super) cleaned: Once,
}

impl<'a> PhoneKeys<'a> {
    /// Passwords to try, whom to ask for others, and the folder that the repository lies in.
    #[must_use]
    pub fn new(
        passwords: Passwords,
        ask: &'a Ask<'a>,
        unopened: Unopened,
        repository: &Path,
    ) -> Self {
        let (passwords, spool) = (Mutex::new(passwords), SpoolPlace::beside(repository));
        let (zone, cleaned) = (TimeZone::UTC, Once::new());
        Self { passwords, ask, unopened, spool, remembers: true, zone, cleaned }
    }

    /// A moment, as people read it.
    pub(super) fn moment(&self, secs: i64) -> String {
        moment(secs, &self.zone)
    }

    fn with<T>(&self, look: impl FnOnce(&mut Passwords) -> T) -> T {
        look(&mut self.passwords.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tries the passwords that were given on an opened backup, which another one may have opened.
    pub(super) fn hold_given_against(&self, manifest_plist: &[u8]) {
        if let Ok(locked) = LockedKeys::parse(manifest_plist) {
            self.with(|passwords| passwords.hold_given_against(&locked.keybag));
        }
    }

    /// Forgets every password: nothing is opened any more.
    pub fn forget(&self) {
        self.with(Passwords::forget);
    }

    /// The places of passwords that were given and opened nothing.
    #[must_use]
    pub fn given_in_vain(&self) -> Vec<usize> {
        self.with(|passwords| passwords.given_in_vain())
    }

    /// Adds what the repository remembers of a phone, and of the keybag in its list, if that is here.
    pub(super) fn add_remembered(
        &self,
        repository: &Repository,
        udid: &str,
        manifest_plist: Option<&[u8]>,
    ) {
        let locked = manifest_plist.and_then(|bytes| LockedKeys::parse(bytes).ok());
        let keybags: Vec<_> = locked.iter().map(|locked| locked.keybag.id()).collect();
        self.with(|passwords| remembered::add_to(passwords, repository, &keybags, &[udid]));
    }

    /// Keeps the password that opened a backup, unless that was declined.
    pub(super) fn keep(
        &self,
        repository: &Repository,
        udid: &str,
        manifest_plist: &[u8],
        observer: &dyn Observer,
    ) {
        let Some(locked) = LockedKeys::parse(manifest_plist).ok().filter(|_| self.remembers) else {
            return;
        };
        let keybag = &locked.keybag;
        let Some(password) = self.with(|passwords| passwords.that_opens(keybag)) else { return };
        match remembered::remember(repository, udid, &keybag.id(), &password) {
            Ok(true) => observer.remark(
                "the iPhone backup password is kept in the repository, sealed; `russet phone-password forget SNAPSHOT` (or `--all`) removes it",
            ),
            Ok(false) => {}
            Err(error) => observer
                .remark(&format!("the iPhone backup password could not be kept: {error}")),
        }
    }

    /// Whether there is a password to try.
    pub(super) fn is_given(&self) -> bool {
        self.with(|passwords| !passwords.is_empty())
    }

    /// The passwords that are there for a phone, as one names them before "does" or "do": where each came from.
    pub(super) fn named(&self, repository: &Repository, udid: &str) -> String {
        let given = !self.with(|passwords| passwords.none_given());
        let kept = remembered::newest(repository, udid);
        let since = kept.and_then(|kept| i64::try_from(kept.time).ok());
        let since = since.map(|secs| self.moment(secs));
        match (given, since) {
            (true, None) => "the iPhone backup password that was given does".to_owned(),
            (true, Some(since)) => format!(
                "the iPhone backup password that was given and the one that the repository keeps since {since} do"
            ),
            (false, Some(since)) => {
                format!("the iPhone backup password that the repository keeps since {since} does")
            }
            (false, None) => "the iPhone backup password that was typed does".to_owned(),
        }
    }

    /// Asks for the first password of a phone. Gives what its backups are to be without one; none: there is one.
    pub(super) fn ask_first(&self, device: &str) -> Option<Unopened> {
        match (self.ask)(Asked::First(device)) {
            Answer::Password(typed) => {
                self.with(|passwords| passwords.add(typed));
                None
            }
            Answer::Decline => Some(Unopened::Store),
            Answer::Nobody => Some(self.unopened),
        }
    }

    /// Whether a password opens the keybag of an older backup; true where that cannot be said.
    pub(super) fn opens(&self, manifest_plist: &[u8]) -> bool {
        let Ok(locked) = LockedKeys::parse(manifest_plist) else { return true };
        self.with(|passwords| passwords.unlock(&locked.keybag).is_ok())
    }

    /// The keys of a backup; none: it stays as it is. A person is asked until a password opens it, or none is typed.
    ///
    /// # Errors
    /// Nothing opens it, and it is not to stay as it is.
    pub(super) fn unlock(
        &self,
        manifest_plist: &[u8],
        device: &str,
        unopened: Unopened,
        observer: &dyn Observer,
    ) -> Result<Unlocked, Locked> {
        // Nobody is asked for a password that would do nothing.
        let is_old = matches!(LockedKeys::parse(manifest_plist), Err(KeybagError::Old));
        self.with(|passwords| {
            loop {
                let is_first = passwords.is_empty() && !is_old;
                let tried = match is_first {
                    true => Err(WrongPassword),
                    false => open_files::unlock(manifest_plist, passwords),
                };
                let asked = match tried {
                    Ok(unlocked) => {
                        if let Unlocked::Kept(why) = &unlocked {
                            let what = "what the phone encrypted stays as it is";
                            observer.remark(&format!("{what}: {why}"));
                        }
                        return Ok(unlocked);
                    }
                    Err(WrongPassword) if unopened == Unopened::Store && is_first => {
                        return Ok(Unlocked::Kept(Kept::NoPassword));
                    }
                    Err(WrongPassword) if is_first => Asked::Closed(device),
                    Err(WrongPassword) => Asked::Again(device),
                };
                match ((self.ask)(asked), unopened) {
                    (Answer::Password(typed), _) => passwords.add(typed),
                    (Answer::Decline | Answer::Nobody, Unopened::Store) => {
                        return Ok(Unlocked::Kept(Kept::NoPassword));
                    }
                    (Answer::Decline | Answer::Nobody, Unopened::Refuse) if is_first => {
                        return Err(Locked::NoPassword);
                    }
                    (Answer::Decline | Answer::Nobody, Unopened::Refuse) => {
                        return Err(Locked::WrongPassword);
                    }
                }
            }
        })
    }
}
