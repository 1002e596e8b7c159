//! One backup of a phone, from the request to a tree: the phone is served until it ends, and then asked nothing more.
//!
//! Invariant: there is a tree only if the phone said 0 and the Status.plist that it sent says `finished`. However it ends, what
//! came is kept in the draft as far as it can be made durable.

use std::io::{Read, Write};

use plist::{Dictionary, Value};
use russet_store::ids::BlobId;
use russet_store::session::Session;

use super::begin::Begun;
use super::connect::is_stopped;
use super::finish::{FinishError, finish};
use super::host::{Host, HostError, HostOptions, SCRATCH};
use super::link::{Ended, Link, LinkError, Told};
use super::open_files::{Unlocked, open_files};
use super::record::{DraftLoadError, FAILED_COUNT_MAX, Received};
use super::space::Space;
use super::{FileError, Response};
use crate::apple::{ManifestPlist, Status};
use crate::observe::{Observer, Phase, Prompt};
use crate::pipeline::Feeder;
use crate::snapshot::record::{Counts, Device, PROBLEM_COUNT_MAX, Problem, Verdict};

/// What a backup is asked for.
pub struct Wish<'a> {
    /// The phone's UDID, as its folder is named.
    pub udid: &'a str,
    /// Ask for everything, whatever the base holds.
    pub full: bool,
    /// Whether Apple's encryption is on.
    pub is_encrypted: bool,
    /// Bytes that the phone can hold at all.
    pub capacity_len: Option<u64>,
    /// What the record of the snapshot will say of the phone.
    pub device: &'a Device,
    /// How it is attached: `usb` or `wifi`.
    pub kind: &'a str,
    /// The bytes of Info.plist, with the time of the backup once it is known, Unix seconds.
    pub info: &'a dyn Fn(Option<i64>) -> Option<Vec<u8>>,
}

/// What came of a backup that the phone finished.
#[derive(Debug)]
pub struct Taken {
    /// Root of its tree.
    pub root: BlobId,
    /// How much there is.
    pub counts: Counts,
    /// Whether everything was there.
    pub verdict: Verdict,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// All problems.
    pub problem_count: u64,
    /// What the phone says of it.
    pub status: Status,
    /// Whether Manifest.plist says that it is encrypted.
    pub is_encrypted: Option<bool>,
    /// Bytes that the phone sent for it.
    pub received_len: u64,
    /// Files of an opened backup that stay encrypted.
    pub kept_count: u64,
}

impl Taken {
    /// Adds what is damaged of it.
    pub(super) fn with(mut self, damage: Vec<Problem>, observer: &dyn Observer) -> Self {
        for problem in damage {
            observer.problem(&problem.path, &problem.why);
            self.verdict = Verdict::Incomplete;
            self.problem_count += 1;
            self.problems.truncate(PROBLEM_COUNT_MAX - 1);
            // Before single files: it says why they are not whole.
            self.problems.insert(0, problem);
        }
        self
    }
}

/// What opens a backup, once its Manifest.plist is here.
pub type Unlock<'a> = dyn Fn(&[u8]) -> Result<Unlocked, Locked> + 'a;

/// An encrypted backup that nothing opens, and that is not to stay as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Locked {
    /// Nobody gave a password.
    #[error("no iPhone backup password was given for an encrypted backup")]
    NoPassword,
    /// None that was given is its own.
    #[error("the iPhone backup password does not open this backup")]
    WrongPassword,
}

/// A file that the phone could not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its path on the phone; that in the backup, which says nothing to a person, only if the phone names none.
    pub path: String,
    /// The phone's words.
    pub why: String,
}

/// Why there is no new snapshot. What came before is kept in the draft.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// This side.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The tree.
    #[error(transparent)]
    Finish(#[from] FinishError),
    /// The phone ended with an error.
    #[error("the phone ended the backup with error {code}: {description}")]
    Phone {
        /// Apple's MBErrorDomain.
        code: i64,
        /// The phone's words; may be empty.
        description: String,
        /// Files that it could not read.
        unreadable: Vec<Unreadable>,
        /// Whether it failed on the same files the last time.
        again: bool,
    },
    /// The phone hung up.
    #[error("the phone ended the backup without saying why")]
    HungUp,
    /// The phone said that all went well, and its Status.plist says otherwise.
    #[error("the phone said that it is done, but its backup is in the state {state:?}")]
    NotFinished {
        /// The state, empty if there is none.
        state: String,
    },
    /// What came cannot be gone on with.
    #[error(transparent)]
    Draft(#[from] DraftLoadError),
    /// All of it is here, and its keys are not.
    #[error(transparent)]
    Locked(#[from] Locked),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

impl TakeError {
    /// Whether trying again on the same phone may help.
    #[must_use]
    pub fn is_lost_link(&self) -> bool {
        matches!(self, Self::Link(LinkError::Lost { .. }) | Self::HungUp)
    }
}

/// What the phone tells, on its way to the observer.
struct Teller<'a> {
    observer: &'a dyn Observer,
    is_receiving: bool,
    /// What the phone calls the file that it sends.
    device_name: Vec<u8>,
    unreadable: Vec<Unreadable>,
}

impl Told for Teller<'_> {
    fn progress(&mut self, percent: f64) {
        if self.is_receiving {
            self.observer.share(percent / 100.0);
        }
    }

    fn batch(&mut self, _: Option<u64>) {
        if !self.is_receiving {
            self.is_receiving = true;
            self.observer.begin(Phase::Receiving, 0, 0);
        }
    }

    fn receiving(&mut self, device_name: &[u8], _: &[u8]) {
        self.device_name.clear();
        self.device_name.extend_from_slice(device_name);
    }

    fn phone_failed(&mut self, path: &[u8], text: &str) {
        let named = if self.device_name.is_empty() { path } else { &self.device_name };
        let path = String::from_utf8_lossy(named).into_owned();
        self.observer.problem(&path, &format!("the phone could not read it: {text}"));
        if self.unreadable.len() < FAILED_COUNT_MAX {
            self.unreadable.push(Unreadable { path, why: text.to_owned() });
        }
    }

    fn refused(&mut self, path: &[u8], error: &FileError) {
        // That nothing was there is the usual answer at the beginning of a first backup.
        if error.kind != super::FileErrorKind::NotFound {
            // Not every question is about a file.
            let path = String::from_utf8_lossy(path);
            let what = if path.is_empty() { "an answer" } else { &*path };
            self.observer.remark(&format!("the phone was refused {what}: {}", error.text));
        }
    }

    fn unknown(&mut self, tag: &str) {
        self.observer.remark(&format!("the phone asked something unknown and was refused: {tag}"));
    }
}

/// Lets the phone make its backup into the draft. When this returns well the phone is needed no more.
///
/// # Errors
/// See [`TakeError`].
pub fn take<'s, 'r, S: Read + Write>(
    link: &mut Link<S>,
    wish: &Wish<'_>,
    begun: Begun,
    session: &'s Session<'r>,
    feeder: &mut Feeder<'_, 's, 'r, ()>,
    observer: &dyn Observer,
) -> Result<Begun, TakeError> {
    let known_len = if wish.is_encrypted || begun.record.base.is_none() {
        0
    } else {
        begun.draft.tree().counts().len
    };
    let id = begun.id;
    let failed_before = begun.record.failed.clone();
    let is_resumed = begun.is_resumed;
    let options = HostOptions {
        udid: wish.udid,
        id: Some(begun.id),
        record: begun.record,
        space: Space::new(known_len, wish.capacity_len),
        with_sha1: !wish.is_encrypted,
        spool: begun.spool,
    };
    let mut host = Host::new(options, begun.draft, session, feeder, observer);
    if let Some(info) = (wish.info)(None) {
        host.put(b"Info.plist", &info)?;
    }
    // From here on there is something to go on with.
    host.checkpoint()?;
    let mut teller =
        Teller { observer, is_receiving: false, device_name: Vec::new(), unreadable: Vec::new() };
    observer.begin(Phase::Preparing, 0, 0);
    observer.prompt(Prompt::Passcode);
    let ended = match link.request("Backup", request(wish)) {
        Ok(()) => link.serve(&mut host, &mut teller),
        Err(error) => Err(error),
    };
    match judge(&mut host, ended, teller.unreadable, &failed_before) {
        Ok(status) => {
            receive(&mut host, wish, &status)?;
            let (options, draft) = host.into_parts();
            let HostOptions { record, spool, .. } = options;
            Ok(Begun { id, record, draft, is_resumed, spool, given_up: Vec::new() })
        }
        Err(error) => {
            // What came is worth more than what this run cost; if even that cannot be kept, the reason was told.
            let _ = host.checkpoint();
            Err(error)
        }
    }
}

/// Keeps all that a snapshot needs of the phone, which may go now.
fn receive(
    host: &mut Host<'_, '_, '_, '_>,
    wish: &Wish<'_>,
    status: &Status,
) -> Result<(), TakeError> {
    if let Some(info) = (wish.info)(status.date.map(|date| date.as_second())) {
        host.put(b"Info.plist", &info)?;
    }
    let (kind, device) = (wish.kind.to_owned(), wish.device.clone());
    host.record().received = Some(Received { at: host.now(), kind, device });
    Ok(host.checkpoint()?)
}

/// Makes a tree of a draft that the phone has finished: what it encrypted is opened on the way.
///
/// # Errors
/// See [`TakeError`]; what was done is kept, and this can be done again.
pub fn complete<'s, 'r>(
    begun: Begun,
    unlock: &Unlock<'_>,
    session: &'s Session<'r>,
    feeder: &mut Feeder<'_, 's, 'r, ()>,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Taken, TakeError> {
    let udid = begun.record.udid.clone();
    let options = HostOptions {
        udid: &udid,
        id: Some(begun.id),
        record: begun.record,
        space: Space::default(),
        with_sha1: false,
        spool: begun.spool,
    };
    let mut host = Host::new(options, begun.draft, session, feeder, observer);
    let lists = host.plist(b"Manifest.plist")?;
    let manifest = lists.as_ref().and_then(|bytes| ManifestPlist::parse(bytes).ok());
    let is_encrypted = manifest.and_then(|manifest| manifest.is_encrypted);
    let (mut keys, mut damage) = (None, Vec::new());
    if let Some(bytes) = lists.filter(|_| is_encrypted == Some(true)) {
        let unlocked = unlock(&bytes)?;
        damage.extend(unlocked.damage(&bytes));
        keys = unlocked.keys();
    }
    // No snapshot holds them, and nobody asks for them any more.
    host.take_away(b"Snapshot")?;
    host.take_away(SCRATCH)?;
    match open_files(&mut host, session, keys.as_deref(), observer, stop) {
        Ok(opened) => {
            let kept_count = opened.kept.total();
            if keys.is_some() && kept_count > 0 {
                observer.remark(&opened.kept.remark());
            }
            // Keys that nothing needs any more do not stay in memory while the tree is made.
            drop(keys);
            damage.extend(opened.damage);
            let taken = finish(&mut host, is_encrypted, opened.lost, session, observer)?;
            Ok(Taken { kept_count, ..taken.with(damage, observer) })
        }
        Err(error) => {
            // What is done need not be done again.
            let _ = host.checkpoint();
            Err(match error {
                HostError::Stopped => TakeError::Stopped,
                error => error.into(),
            })
        }
    }
}

fn request(wish: &Wish<'_>) -> Dictionary {
    let mut request = Dictionary::new();
    request.insert("TargetIdentifier".to_owned(), wish.udid.into());
    if wish.full {
        let mut options = Dictionary::new();
        options.insert("ForceFullBackup".to_owned(), Value::Boolean(true));
        request.insert("Options".to_owned(), options.into());
    }
    request
}

/// Whether one of Apple's numbers tells of the phone, its owner or a drive as they are just now, and so says nothing against
/// what stands in the draft: locked before the first unlock, being restored, no room, cancelled, no passcode, forbidden.
fn is_about_the_moment(code: i64) -> bool {
    matches!(code, 1 | 25 | 105 | 106 | 202 | 208 | 209 | 210)
}

/// The Status.plist of a backup that is good, or why it is not.
fn judge(
    host: &mut Host<'_, '_, '_, '_>,
    ended: Result<Ended, LinkError>,
    unreadable: Vec<Unreadable>,
    failed_before: &[String],
) -> Result<Status, TakeError> {
    if let Some(failure) = host.take_failure() {
        return Err(failure.into());
    }
    let response = match ended {
        Ok(Ended::Response(response)) => response,
        Ok(Ended::Disconnected) => return Err(TakeError::HungUp),
        Err(LinkError::Lost { source, .. }) if is_stopped(&source) => {
            return Err(TakeError::Stopped);
        }
        Err(error) => return Err(error.into()),
    };
    let failed: Vec<String> = unreadable.iter().map(|file| file.path.clone()).collect();
    let Response { error_code: code, description, .. } = response;
    if code != 0 {
        let record = host.record();
        let again = !failed.is_empty() && failed == failed_before;
        if !is_about_the_moment(code) {
            record.failure_count += 1;
            record.failed = failed;
        }
        let description = description.unwrap_or_default();
        return Err(TakeError::Phone { code, description, unreadable, again });
    }
    let status = host.status()?.unwrap_or_default();
    if status.is_finished() {
        return Ok(status);
    }
    host.record().failure_count += 1;
    Err(TakeError::NotFinished { state: status.snapshot_state.unwrap_or_default() })
}
