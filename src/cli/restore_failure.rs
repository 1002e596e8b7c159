//! What is said when a restore to a phone, or a change of its backup password, fails, and what to do then.
//!
//! Invariant: each message tells whether the phone may have been changed, as far as anybody here can know.

use std::error::Error;

use super::failure::{Failure, code};
use super::phone_failure::of_draft;
use crate::capture::device::LinkError;
use crate::capture::device::give::GiveError;
use crate::capture::device::shown::ShowError;
use crate::ops::phone_password::{ChangeError, PhonePasswordError};
use crate::ops::restore_phone::{PhoneRestoreError, Refusal, SafetyError};
use crate::pipeline::IngestError;

/// Files that are named of those that a phone did not get.
const SHOWN_COUNT: usize = 20;

const VERIFY: &str = "`russet verify --read-data` names everything that is affected; another snapshot, or another copy of the repository, may have it";

impl From<Refusal> for Failure {
    fn from(error: Refusal) -> Self {
        let failed = |next: &str| Self::of(code::FAILED, &error).next(next);
        match &error {
            Refusal::Incomplete { .. } => failed(
                "choose another snapshot; `russet restore SNAP --target DIR` writes an incomplete one to a folder",
            ),
            Refusal::OlderSystem { .. } => {
                failed("update the iPhone (Apple's error 203), then run it again")
            }
            Refusal::FindMyOn => failed(
                "turn Find My off on the iPhone for the restore (Settings › your name › Find My; Apple's error 211), then run it again",
            ),
            Refusal::TooLarge { .. } => Self::of(code::NO_SPACE, &error)
                .next("restore to an iPhone with more storage, or to a folder"),
            Refusal::Missing { named, .. } => {
                let failure = Self::of(code::DAMAGE, &error).next(VERIFY);
                named.iter().fold(failure, |failure, path| {
                    failure.because(format!("it misses pieces: {}", super::format::plain(path)))
                })
            }
            Refusal::Listing(_) => Self::of(code::DAMAGE, &error).next(VERIFY),
            Refusal::Repository(_) => Self::of(code::FAILED, &error),
        }
    }
}

impl From<SafetyError> for Failure {
    fn from(error: SafetyError) -> Self {
        match error {
            SafetyError::Backup(error) => {
                let failure = Self::from(error);
                failure.because(
                    "this was the safety snapshot: nothing on the iPhone was changed. `--no-safety-backup` goes without it",
                )
            }
            SafetyError::Incomplete { .. } => Self::of(code::INCOMPLETE, &error).next(
                "nothing on the iPhone was changed; unlock it and run it again, or go without with `--no-safety-backup`",
            ),
        }
    }
}

impl From<PhoneRestoreError> for Failure {
    fn from(error: PhoneRestoreError) -> Self {
        match error {
            PhoneRestoreError::Connect(error) => error.into(),
            PhoneRestoreError::Show(error @ ShowError::Tree(_)) => {
                Self::of(code::DAMAGE, &error).next(VERIFY)
            }
            PhoneRestoreError::Show(error) => Self::of(code::FAILED, &error),
            PhoneRestoreError::CancelledOnPhone => Self::of(code::NOT_TRUSTED, &error)
                .next("run it again to restore; a restore begins anew each time"),
            PhoneRestoreError::Give(error) => of_give(&error),
        }
    }
}

fn of_give(error: &GiveError) -> Failure {
    match error {
        GiveError::Phone { code: number, unsent, .. } => {
            // Whatever the phone calls it, that is why.
            let failure = if unsent.iter().any(|file| file.is_damaged) {
                Failure::of(code::DAMAGE, error).next(VERIFY)
            } else {
                of_phone(error, *number)
            };
            let named = unsent.iter().take(SHOWN_COUNT);
            named.fold(failure, |failure, file| {
                failure.because(format!("could not be sent: {}: {}", file.path, file.why))
            })
        }
        GiveError::ProbablyRebooting => Failure::of(code::CONNECTION, error).next(
            "wait until the iPhone has started, and look at it: if nothing of the snapshot is there, run the same command again",
        ),
        GiveError::HungUp | GiveError::Link(LinkError::Lost { .. }) => {
            Failure::of(code::CONNECTION, error).next(
                "look at the iPhone: if it shows no progress of a restore, it is as it was. Plug it in again, unlock it, and run the same command: it begins anew",
            )
        }
        GiveError::Link(_) => Failure::of(code::FAILED, error)
            .next("restart the iPhone and run it again; a restore begins anew each time"),
        GiveError::Stopped => {
            Failure::new(code::INTERRUPTED, "stopped as asked, in the middle of the restore").next(
                "look at the iPhone: if it shows no progress of a restore, it is as it was. The same command begins anew",
            )
        }
    }
}

/// What Apple's numbers mean in a restore.
fn of_phone(error: &dyn Error, number: i64) -> Failure {
    let (exit, next) = match number {
        25 => (
            code::FAILED,
            "the iPhone is still being restored from iCloud: wait until that is done",
        ),
        105 | 106 => (code::NO_SPACE, "free space on the iPhone, then run it again"),
        202 => (code::NOT_TRUSTED, "it was cancelled on the iPhone; run it again to restore"),
        203 => (code::FAILED, "update the iPhone: the snapshot is of a newer iOS"),
        204 => (
            code::FAILED,
            "the snapshot is of a backup that was never finished: choose another one",
        ),
        205 => (
            code::FAILED,
            "the iPhone found the snapshot at odds with itself: choose another one; `russet verify --read-data` looks for damage",
        ),
        207 => (
            code::PHONE_PASSWORD,
            "use the iPhone backup password of the day of that snapshot, not today's; nothing on the iPhone was changed",
        ),
        208 => (
            code::NOT_TRUSTED,
            "the passcode was not entered on the iPhone in time: unlock it, run it again, and enter the passcode when it asks",
        ),
        209 | 210 => (code::FAILED, "whoever manages this iPhone forbids restores"),
        211 => (
            code::FAILED,
            "turn Find My off on the iPhone for the restore (Settings › your name › Find My)",
        ),
        212 => {
            (code::FAILED, "go through the first steps of setting up the iPhone, then run it again")
        }
        _ => (code::FAILED, "run it again; if it happens again, restart the iPhone"),
    };
    Failure::of(exit, error).next(next)
}

impl From<PhonePasswordError> for Failure {
    fn from(error: PhonePasswordError) -> Self {
        match error {
            PhonePasswordError::IsOn => Self::of(code::FAILED, &error)
                .next("`russet phone-password change` gives it another password"),
            PhonePasswordError::IsOff => {
                Self::of(code::FAILED, &error).next("`russet phone-password enable` gives it one")
            }
            PhonePasswordError::Demanded => Self::of(code::FAILED, &error).next(
                "nothing was changed; whoever manages it can allow backups that are not encrypted",
            ),
            PhonePasswordError::Waits => {
                Self::of(code::PHONE_PASSWORD, &error).next(super::phone_failure::WAITS)
            }
            PhonePasswordError::Connect(error) => error.into(),
            PhonePasswordError::Draft(error) => of_draft(&error),
            PhonePasswordError::Change(error) => of_change(error),
            PhonePasswordError::NotInForce => Self::of(code::FAILED, &error).next(
                "`russet phone-password status` asks again; restart the iPhone if it stays so",
            ),
            PhonePasswordError::Ingest(IngestError::Session(error))
            | PhonePasswordError::Session(error) => error.into(),
            PhonePasswordError::Repository(error) => error.into(),
            PhonePasswordError::Cuts(_) => Self::of(code::FAILED, &error),
        }
    }
}

const UNKNOWN: &str = "try both passwords: nobody here knows whether the iPhone changed it. `russet phone-password status` tells whether backups are encrypted";

fn of_change(error: ChangeError) -> Failure {
    match error {
        ChangeError::Phone { code: 207, .. } => Failure::of(code::PHONE_PASSWORD, &error).next(
            "the iPhone backup password was wrong, and stays as it was; if it is forgotten, only Settings › General › Transfer or Reset › Reset All Settings removes it",
        ),
        ChangeError::Phone { code: 208, .. } => Failure::of(code::NOT_TRUSTED, &error).next(
            "the passcode was not entered on the iPhone in time: unlock it, run it again, and enter the passcode when it asks",
        ),
        ChangeError::Phone { code: 202, .. } => Failure::of(code::NOT_TRUSTED, &error)
            .next("it was cancelled on the iPhone; the password stays as it was"),
        ChangeError::Phone { code: 209, .. } => Failure::of(code::FAILED, &error)
            .next("whoever manages this iPhone forbids it"),
        ChangeError::Phone { .. } => Failure::of(code::FAILED, &error)
            .next("unlock the iPhone and run it again; if it happens again, restart it"),
        ChangeError::HungUp | ChangeError::Link(LinkError::Lost { .. }) => {
            Failure::of(code::CONNECTION, &error).next(UNKNOWN)
        }
        ChangeError::Link(_) => Failure::of(code::FAILED, &error).next(UNKNOWN),
        ChangeError::Stopped => {
            Failure::new(code::INTERRUPTED, "stopped as asked").next(UNKNOWN)
        }
        ChangeError::Host(error) => error.into(),
    }
}
