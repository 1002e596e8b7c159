//! The iPhone backup password: switching Apple's encryption of backups on or off, or changing its password.
//!
//! Invariant: snapshots stay as they are, and open with the password of their day. What the phone wrote while it changed the
//! password is the base of its next backup. Done means that the phone says so, and that its settings say so too; only then is the
//! new password kept.

use std::cell::RefCell;
use std::time::Duration;

use russet_store::config::Purpose;
use russet_store::repository::{Repository, RepositoryError};
use russet_store::session::{Session, SessionError};

use super::beside::SERVICE;
use super::open::Opened;
use super::remembered;
use super::rows::draft_manifest;
use crate::apple::{LockedKeys, Passwords, PhonePassword};
use crate::capture::device::Link;
use crate::capture::device::begin::{BeginError, begin};
use crate::capture::device::change_password::change_password;
pub use crate::capture::device::change_password::{Change, ChangeError};
use crate::capture::device::connect::{ConnectError, Phone, Values, same_udid};
use crate::capture::device::host::HostError;
use crate::capture::device::link::LinkError;
use crate::capture::device::record::{self as draft, DraftLoadError};
use crate::capture::device::spool::SpoolPlace;
use crate::observe::Observer;
use crate::pipeline::{Cuts, IngestError, SizesError, run};
use crate::snapshot::record;

/// How often, and after how long each time, the phone is asked whether its settings say so.
const LOOK_COUNT: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(250);

/// Why the password was not changed, or is not known to be.
#[derive(Debug, thiserror::Error)]
pub enum PhonePasswordError {
    /// There is a password already.
    #[error("backups of this iPhone are encrypted already")]
    IsOn,
    /// There is none.
    #[error("backups of this iPhone are not encrypted: it has no backup password")]
    IsOff,
    /// An organisation wants its backups encrypted.
    #[error("whoever manages this iPhone demands encrypted backups (Apple's error 207)")]
    Demanded,
    /// The way to the phone.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The change.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The phone said 0, and its settings say otherwise.
    #[error("the phone said that it is done, but its settings still say the opposite")]
    NotInForce,
    /// Its last backup is not opened yet: its keybag must stay what it was.
    #[error("a backup of this iPhone waits for its iPhone backup password")]
    Waits,
    /// What an interrupted backup left cannot be read now.
    #[error("the backup that was interrupted cannot be gone on with now")]
    Draft(#[source] DraftLoadError),
    /// Storing what the phone wrote.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// Storing.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The repository's parameters.
    #[error("the repository's parameters for cutting files cannot be used")]
    Cuts(#[from] SizesError),
}

impl From<BeginError> for PhonePasswordError {
    fn from(error: BeginError) -> Self {
        match error {
            BeginError::Waits => Self::Waits,
            BeginError::Draft(error) => Self::Draft(error),
            BeginError::Repository(error) => Self::Repository(error),
        }
    }
}

impl From<LinkError> for PhonePasswordError {
    fn from(error: LinkError) -> Self {
        Self::Change(error.into())
    }
}

impl From<HostError> for PhonePasswordError {
    fn from(error: HostError) -> Self {
        Self::Change(error.into())
    }
}

/// Whether the change makes sense on this phone, before anybody is asked for a password.
///
/// # Errors
/// [`PhonePasswordError::IsOn`] or [`PhonePasswordError::IsOff`].
pub fn makes_sense(is_first: bool, values: &Values) -> Result<(), PhonePasswordError> {
    match values.will_encrypt {
        Some(true) if is_first => Err(PhonePasswordError::IsOn),
        Some(false) if !is_first => Err(PhonePasswordError::IsOff),
        // A phone that does not tell knows better itself.
        _ => Ok(()),
    }
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Whether the phone wrote something that its next backup goes on from.
    pub is_rewrapped: bool,
    /// Whether the new password is kept in the repository: only beside the keybag that it opens, which may come with the next
    /// backup alone.
    pub is_kept: bool,
}

/// Has the phone change its backup password. With `remembers` the new one is kept, if the phone showed the keybag that it opens.
/// `place` is where an interrupted backup of it may wait.
///
/// # Errors
/// See [`PhonePasswordError`].
pub fn change(
    opened: &mut Opened,
    phone: &mut Phone,
    change: Change<'_>,
    remembers: bool,
    place: &SpoolPlace,
    observer: &dyn Observer,
) -> Result<Changed, PhonePasswordError> {
    let config = opened.repository.config(Purpose::Write)?.clone();
    let cuts = Cuts::new(&config.cut, opened.repository.id_keys().cut_seed())?;
    opened.prepare_to_write(observer)?;
    opened.repository.mend_segments()?;
    let values = phone.values()?;
    let udid = values.udid.clone().unwrap_or_else(|| phone.attached().udid.clone());
    let repository = &opened.repository;
    let (snapshots, _) = record::all(repository);
    let begun = begin(repository, &snapshots, &udid, false, place, observer)?;
    let mut link = Link::open(phone.start_service(SERVICE, true)?)?;
    let session = Session::begin(repository, None)?;
    let begun = RefCell::new(Some(begun));
    let is_rewrapped = run(&session, &cuts, |feeder| {
        let Some(begun) = begun.take() else { return Err(ChangeError::HungUp.into()) };
        let asked = (udid.as_str(), change);
        Ok::<_, PhonePasswordError>(change_password(
            &mut link, asked, begun, &session, feeder, observer,
        )?)
    });
    let _lost = link.disconnect();
    let is_rewrapped = is_rewrapped.map_err(|error| told_apart(error, change, &values))?;
    drop(session);
    let settled = is_in_force(phone, change.encrypts());
    let new = change.new_password().filter(|_| settled.is_ok() && is_rewrapped && remembers);
    let is_kept = new.is_some_and(|new| keep(&opened.repository, &udid, new, observer));
    opened.remember(observer);
    settled?;
    Ok(Changed { is_rewrapped, is_kept })
}

/// Apple's 207 is a wrong password, or that encryption is demanded: the phone's words decide, and where they say neither, what
/// its settings say.
fn told_apart(
    error: PhonePasswordError,
    change: Change<'_>,
    values: &Values,
) -> PhonePasswordError {
    let PhonePasswordError::Change(ChangeError::Phone { code: 207, description }) = &error else {
        return error;
    };
    let words = description.to_lowercase();
    let is_demanded = words.contains("must be encrypted")
        || values.requires_encryption == Some(true) && !words.contains("password");
    if is_demanded && !change.encrypts() { PhonePasswordError::Demanded } else { error }
}

/// Keeps the new password beside the keybag that the phone wrapped anew. The change is done whether this succeeds or not.
fn keep(repository: &Repository, udid: &str, new: &PhonePassword, observer: &dyn Observer) -> bool {
    let (drafts, _) = draft::all(repository);
    let mut of_phone = drafts.into_iter().filter(|d| same_udid(&d.record.udid, udid));
    let shown = of_phone.find_map(|d| {
        let draft = draft::read(repository, &d.record).ok()?;
        LockedKeys::parse(&draft_manifest(repository, &draft)?).ok()
    });
    let Some(locked) = shown else { return false };
    let opening = Passwords::new(vec![new.again()]).that_opens(&locked.keybag);
    let Some(password) = opening else { return false };
    match remembered::remember(repository, udid, &locked.keybag.id(), &password) {
        Ok(_) => true,
        Err(error) => {
            observer.remark(&format!("the new iPhone backup password could not be kept: {error}"));
            false
        }
    }
}

fn is_in_force(phone: &mut Phone, encrypts: bool) -> Result<(), PhonePasswordError> {
    for _ in 0..LOOK_COUNT {
        match phone.values()?.will_encrypt {
            Some(told) if told != encrypts => std::thread::sleep(LOOK_PAUSE),
            // None: the phone does not tell; its word is all there is.
            _ => return Ok(()),
        }
    }
    Err(PhonePasswordError::NotInForce)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn what_207_means_is_told_by_the_phone_s_words_and_else_by_its_settings() {
        let old = PhonePassword::new("x").unwrap();
        let is_demanded = |words: &str, requires_encryption, change| {
            let description = words.to_owned();
            let error = ChangeError::Phone { code: 207, description }.into();
            let values = Values { requires_encryption, ..Values::default() };
            matches!(told_apart(error, change, &values), PhonePasswordError::Demanded)
        };
        let off = Change::Disable { old: &old };
        assert!(is_demanded("Backups of this device must be encrypted", None, off));
        assert!(is_demanded("", Some(true), off));
        assert!(!is_demanded("", None, off));
        assert!(!is_demanded("Invalid password", Some(true), off));
        assert!(!is_demanded("", Some(true), Change::Change { old: &old, new: &old }));
    }

    #[test]
    fn a_password_is_enabled_once_and_changed_only_where_there_is_one() {
        let of = |will_encrypt| Values { will_encrypt, ..Values::default() };
        assert!(matches!(makes_sense(true, &of(Some(true))), Err(PhonePasswordError::IsOn)));
        assert!(matches!(makes_sense(false, &of(Some(false))), Err(PhonePasswordError::IsOff)));
        assert!(makes_sense(true, &of(Some(false))).is_ok());
        assert!(makes_sense(false, &of(None)).is_ok());
    }
}
