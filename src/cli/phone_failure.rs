//! What is said when a phone or the way to it fails, and what to do then. Codes of Apple's: docs/scripted-phone.md.
//!
//! Invariant: each message names what a person can do at the phone or the cable; Apple's number stands beside it, for searching.

use super::failure::{Failure, code};
use super::stop;
use crate::capture::device::connect::ConnectError;
use crate::capture::device::host::HostError;
use crate::capture::device::record::DraftLoadError;
use crate::capture::device::reopen::ReopenError as TreeError;
use crate::capture::device::spool::SpoolError;
use crate::capture::device::take::{Locked, TakeError, Unreadable};
use crate::capture::device::{LinkError, finish::FinishError};
use crate::ops::backup::BackupError;
use crate::ops::reopen::ReopenError;
use crate::pipeline::IngestError;
use crate::snapshot::tree::BuildError;

/// Files that are named of those a phone could not read.
const SHOWN_COUNT: usize = 20;

const TRUST: &str = "unlock the iPhone, plug it in again, tap Trust and enter its passcode; `russet pair` does that step alone";
const RESUMES: &str =
    "plug the iPhone in again, unlock it, and run the same command: it goes on where it stopped";

/// What opens a backup that is here and waits.
pub(super) const WAITS: &str = "all that the iPhone sent is kept: `russet reopen --phone-password-file FILE` with the right password makes the snapshot, and the iPhone is not needed; `--store-encrypted` stores it as it is (also if the password is right and the iPhone's keybag damaged, which looks the same), `russet backup --restart` throws it away";

/// Of a spool in which something waits, or may.
const WAITS_THERE: &str = "nothing already saved is affected, and nothing that came is given up; is the drive of the spool connected and writable? Then run the same command again: it goes on with what waits there. If its folder was moved, `--spool DIR` names the one it lies in now; `russet backup --restart` gives up what waits and asks the iPhone again";

/// Of a spool that was to be made.
const NOTHING_WAITS: &str = "nothing already saved is affected, and nothing was begun; is the drive of the spool connected and writable? `--spool DIR` names another folder";

/// What waits and has lost the phone's list.
const LIST_LOST: &str = "all that waits is kept, and no snapshot is affected; without that list it is no backup. Is the drive of the spool sound? Once it reads again, or a good copy of the spool is in its place, `russet backup` makes the snapshot; `russet backup --restart` gives up what waits and asks the iPhone again";

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        let (exit, next) = connect_next(&error);
        let failure = Self::of(exit, &error);
        if next.is_empty() { failure } else { failure.next(next) }
    }
}

fn connect_next(error: &ConnectError) -> (u8, &'static str) {
    use ConnectError as E;
    match error {
        E::NoMuxer { .. } | E::MuxerStale { .. } | E::MuxerRefused { .. } => (
            code::NO_PHONE,
            if cfg!(windows) {
                "install \"Apple Devices\" from the Microsoft Store and start it once"
            } else if cfg!(target_os = "macos") {
                "plug the iPhone in and allow the accessory to connect"
            } else {
                "plug the iPhone in; if it is, install usbmuxd (`apt install usbmuxd`): it runs while a phone is connected"
            },
        ),
        E::MuxerUnreachable { .. } | E::MuxerSaid { .. } => {
            (code::NO_PHONE, "`russet doctor` looks at the way to the phone step by step")
        }
        E::PhoneGone => (code::CONNECTION, RESUMES),
        E::NotPaired | E::PairingGone | E::PairRecordDamaged => (code::NOT_TRUSTED, TRUST),
        E::PasswordProtected => (code::NOT_TRUSTED, "unlock the iPhone and run it again"),
        E::DialogPending => {
            (code::NOT_TRUSTED, "tap Trust on the iPhone and enter its passcode, then run it again")
        }
        E::Denied => (
            code::NOT_TRUSTED,
            "plug the iPhone in again to be asked anew; Settings › General › Transfer or Reset › Reset Location & Privacy forgets the answer",
        ),
        E::ProhibitedOverWifi => {
            (code::NOT_TRUSTED, "connect the iPhone by cable once, and pair there")
        }
        E::Supervised { .. } => {
            (code::NOT_TRUSTED, "ask whoever manages this iPhone to allow pairing")
        }
        E::RestoreMode { .. } => {
            (code::NO_PHONE, "let Finder or iTunes finish restoring it, or restart it")
        }
        E::NoSuchService { .. } => (code::FAILED, "is this iPhone's iOS at least version 10?"),
        E::NotThePhone => (code::NOT_TRUSTED, "connect the iPhone by cable"),
        E::SyncBusy => (
            code::FAILED,
            "wait until Finder or iTunes is done with the iPhone, or unplug it and plug it in again",
        ),
        E::Lost(_) | E::TimedOut => (code::CONNECTION, RESUMES),
        E::Stopped => {
            (code::INTERRUPTED, "run the same command again: it goes on where it stopped")
        }
        _ => (code::FAILED, ""),
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Connect(error) => error.into(),
            BackupError::Take(error) => error.into(),
            BackupError::CancelledOnPhone => Self::of(code::NOT_TRUSTED, &error)
                .next("run it again to go on where it stopped; nothing already saved is affected"),
            BackupError::NoPassword => Self::of(code_of(&Locked::NoPassword), &error).next(
                "give it with `--phone-password-file FILE` or RUSSET_PHONE_PASSWORD_FILE: then only what changed is stored; `--store-encrypted` stores backups as the iPhone encrypted them, every file that changed as a whole and after a full backup all of them",
            ),
            BackupError::Waits => Self::of(code::PHONE_PASSWORD, &error).next(WAITS),
            BackupError::SpoolTooSmall { .. } => Self::of(code::NO_SPACE, &error).next(
                "nothing was begun; name a folder on a larger drive with `--spool DIR`: what an encrypted iPhone sends in one run waits there, sealed, until its keys come",
            ),
            BackupError::Spool(error) => of_spool(&error, WAITS_THERE),
            BackupError::NoSpool(error) => of_spool(&error, NOTHING_WAITS),
            BackupError::Ingest(IngestError::Session(error)) | BackupError::Session(error) => {
                error.into()
            }
            BackupError::Repository(error) => error.into(),
            BackupError::Commit(error) => error.into(),
            other => Self::of(code::FAILED, &other),
        }
    }
}

impl From<ReopenError> for Failure {
    fn from(error: ReopenError) -> Self {
        match error {
            ReopenError::Tree(TreeError::Locked(ref why)) => Self::of(code_of(why), &error).next(
                "give it with `--phone-password-file FILE` or RUSSET_PHONE_PASSWORD_FILE; the snapshot stays as it is; it is the password of the backup's day that counts, not today's; a damaged keybag looks the same",
            ),
            ReopenError::Tree(TreeError::Host(error)) => error.into(),
            ReopenError::Ingest(IngestError::Session(error)) | ReopenError::Session(error) => {
                error.into()
            }
            ReopenError::Commit(error) => error.into(),
            ReopenError::Forget(error) => error.into(),
            ReopenError::Repository(error) => error.into(),
            ReopenError::Stopped => Self::interrupted(),
            other => Self::of(code::FAILED, &other),
        }
    }
}

/// A password that is needed and was not given is wrong usage, as the repository's; one that does not open has a code of its own.
fn code_of(locked: &Locked) -> u8 {
    match locked {
        // Whoever stopped the question gave none.
        _ if stop::asked() => code::INTERRUPTED,
        Locked::NoPassword => code::USAGE,
        Locked::WrongPassword => code::PHONE_PASSWORD,
    }
}

/// What an interrupted backup left, and cannot be read now.
pub(super) fn of_draft(error: &DraftLoadError) -> Failure {
    match error {
        DraftLoadError::Spool(error) => of_spool(error, WAITS_THERE),
        error => Failure::of(code::FAILED, error).next(
            "nothing that is kept was touched; is the drive sound and connected? Run the same command again; `russet backup --restart` gives up what was interrupted",
        ),
    }
}

fn of_spool(error: &SpoolError, next: &str) -> Failure {
    match error {
        SpoolError::Busy { .. } => {
            return Failure::of(code::LOCKED, error).next(
                "another copy of this repository is being backed up to: wait until that is done, then run it again",
            );
        }
        SpoolError::Anothers { .. } => {
            return Failure::of(code::FAILED, error).next(
                "nothing was touched. If there is another copy of this repository, finish that backup with it. If this one only lies elsewhere now, delete the file `owner` in that folder, and run it again. `russet backup --restart` gives up what waits for this copy and asks the iPhone again; that folder stays as it is",
            );
        }
        _ => {}
    }
    let exit = match error {
        error if error.is_full() => code::NO_SPACE,
        error if error.is_absent() => code::NO_DRIVE,
        _ => code::FAILED,
    };
    Failure::of(exit, error).next(next)
}

impl From<TakeError> for Failure {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::Host(HostError::Full)
            | TakeError::Finish(FinishError::Host(HostError::Full)) => Self::new(
                code::NO_SPACE,
                "the drive is full; what came so far is kept, and nothing already saved is affected",
            )
            .next("free some space on it (`russet forget`, then `russet prune`), and run the same command: it goes on where it stopped"),
            TakeError::Locked(ref why) => Self::of(code_of(why), &error).next(WAITS),
            TakeError::Host(HostError::Spool(ref error)) => of_spool(error, WAITS_THERE),
            TakeError::Draft(ref error) => of_draft(error),
            TakeError::Host(HostError::ListLost(_)) => Self::of(code::INCOMPLETE, &error).next(
                LIST_LOST,
            ),
            TakeError::Host(error) | TakeError::Finish(FinishError::Host(error)) => error.into(),
            TakeError::Finish(FinishError::Build(BuildError::Session(error))) => error.into(),
            TakeError::Stopped => Self::new(
                code::INTERRUPTED,
                "stopped as asked; what came so far is kept",
            )
            .next("run the same command again: it goes on where it stopped"),
            TakeError::Link(LinkError::Lost { .. }) | TakeError::HungUp => {
                Self::of(code::CONNECTION, &error).next(RESUMES)
            }
            TakeError::Phone { code: number, ref unreadable, again, .. } => {
                of_phone(&error, number, unreadable, again)
            }
            TakeError::NotFinished { .. } => Self::of(code::FAILED, &error)
                .next("run it again; if it happens again, restart the iPhone"),
            other => Self::of(code::FAILED, &other),
        }
    }
}

impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        match error {
            HostError::Ingest(IngestError::Session(error)) | HostError::Session(error) => {
                error.into()
            }
            HostError::Repository(error) => error.into(),
            HostError::Build(BuildError::Session(error)) => error.into(),
            HostError::Space(error) => error.into(),
            other => Self::of(code::FAILED, &other),
        }
    }
}

/// What Apple's numbers mean, as far as working clients know.
fn of_phone(error: &TakeError, number: i64, unreadable: &[Unreadable], again: bool) -> Failure {
    let (exit, next) = match number {
        1 => (code::NOT_TRUSTED, "unlock the iPhone once after it was started, then run it again"),
        3 => (
            code::FAILED,
            "an earlier backup left something behind on the iPhone: restart the iPhone, then run it again",
        ),
        4 | 205 => (
            code::FAILED,
            "run it again with `--full`; the phone did not find what it expected here",
        ),
        25 => (
            code::FAILED,
            "the iPhone is still being restored from iCloud: wait until that is done",
        ),
        100..=103 => (
            code::CONNECTION,
            "unlock the iPhone, check the cable, and run it again: it goes on where it stopped",
        ),
        104 if again => (
            code::FAILED,
            "the same files failed the last time: restart the iPhone and run it with `--restart`; if they fail again, remove them or their app on the iPhone: it finishes no backup while it cannot read one of its files",
        ),
        104 => (
            code::FAILED,
            "unlock the iPhone, leave it unlocked, and run it again: only what is missing is sent",
        ),
        105 => (
            code::NO_SPACE,
            "free space on the drive, or use a larger one; the phone wants room for a full backup",
        ),
        106 => (code::NO_SPACE, "free space on the iPhone"),
        202 => (code::NOT_TRUSTED, "it was cancelled on the iPhone; run it again to go on"),
        203 => (code::FAILED, "update the iPhone: what it was shown comes from a newer iOS"),
        // A backup is asked for without a password: none can be wrong.
        207 => (
            code::FAILED,
            "whoever manages this iPhone demands encrypted backups: `russet phone-password enable` switches encryption on, then run it again",
        ),
        208 => (
            code::NOT_TRUSTED,
            "the passcode was not entered on the iPhone in time: unlock it, run it again, and enter the passcode when it asks",
        ),
        209 => (code::FAILED, "whoever manages this iPhone forbids backups"),
        _ => (code::FAILED, "run it again; if it happens again, restart the iPhone"),
    };
    let mut failure = Failure::of(exit, error).next(next);
    for file in unreadable.iter().take(SHOWN_COUNT) {
        failure =
            failure.because(format!("not readable on the phone: {}: {}", file.path, file.why));
    }
    if unreadable.len() > SHOWN_COUNT {
        failure = failure.because(format!("and {} more", unreadable.len() - SHOWN_COUNT));
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;
    use russet_store::backend::BackendError;

    #[test]
    fn a_drive_that_went_away_is_that_also_where_its_free_space_was_asked_for() {
        let gone = BackendError::Disconnected { location: "/drive".to_owned() };
        let failure = Failure::from(TakeError::Host(HostError::Space(gone)));
        assert_eq!(failure.code(), code::CONNECTION);
        assert!(failure.text().contains("next: plug the drive in again"), "{}", failure.text());
    }
}
