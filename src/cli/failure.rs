//! Every way to fail: what is said, what to do next, and with which code the program ends. The only place that knows all three.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use russet_store::backend::{BackendError, LockError};
use russet_store::repository::{FetchError, RemoveError, RepositoryError};
use russet_store::seal::{KeyslotError, PasswordError, RecoveryError};
use russet_store::session::SessionError;
use russet_store::sweep::SweepError;

use super::output;
use crate::capture::folder::{FolderError, TakeError};
use crate::ops::commit::CommitError;
use crate::ops::forget::ForgetError;
use crate::ops::import::ImportError;
use crate::ops::init::InitError;
use crate::ops::list::CatError;
use crate::ops::open::OpenError;
use crate::ops::restore::RestoreError;
use crate::pipeline::IngestError;
use crate::snapshot::select::SelectError;
use crate::snapshot::tree::BuildError;

/// Exit codes.
pub(super) mod code {
    pub(in crate::cli) const FAILED: u8 = 1;
    pub(in crate::cli) const USAGE: u8 = 2;
    pub(in crate::cli) const INCOMPLETE: u8 = 3;
    pub(in crate::cli) const NO_REPOSITORY: u8 = 10;
    pub(in crate::cli) const LOCKED: u8 = 11;
    pub(in crate::cli) const WRONG_PASSWORD: u8 = 12;
    pub(in crate::cli) const NO_DRIVE: u8 = 13;
    pub(in crate::cli) const NO_PHONE: u8 = 14;
    pub(in crate::cli) const NOT_TRUSTED: u8 = 15;
    pub(in crate::cli) const NO_SPACE: u8 = 16;
    pub(in crate::cli) const CONNECTION: u8 = 17;
    pub(in crate::cli) const DAMAGE: u8 = 20;
    pub(in crate::cli) const PHONE_PASSWORD: u8 = 22;
    pub(in crate::cli) const BUG: u8 = 70;
    pub(in crate::cli) const INTERRUPTED: u8 = 130;
}

/// Of two codes the one that matters more: an interruption, then a failure, then an incomplete snapshot.
pub(super) fn worse(a: u8, b: u8) -> u8 {
    let rank = |c: u8| match c {
        0 => 0,
        code::INCOMPLETE => 1,
        code::INTERRUPTED => 3,
        _ => 2,
    };
    if rank(b) > rank(a) { b } else { a }
}

/// A failed command.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: u8,
    what: String,
    causes: Vec<String>,
    next: Option<String>,
    silent: bool,
}

impl Failure {
    pub(super) fn new(code: u8, what: impl Into<String>) -> Self {
        Self { code, what: what.into(), causes: Vec::new(), next: None, silent: false }
    }

    pub(super) fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }

    pub(super) fn what(&self) -> &str {
        &self.what
    }

    pub(super) fn code(&self) -> u8 {
        self.code
    }

    /// One more thing that led to it.
    pub(super) fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    pub(super) fn of(code: u8, error: &dyn Error) -> Self {
        let mut causes = Vec::new();
        let mut last = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !last.contains(&text) {
                causes.push(text.clone());
            }
            last = text;
            source = cause.source();
        }
        Self { causes, ..Self::new(code, error.to_string()) }
    }

    pub(super) fn bug() -> Self {
        Self::new(
            code::BUG,
            "russet has a bug and stopped; nothing that was saved before is affected",
        )
        .next("please report what is printed above, and the command")
    }

    pub(super) fn interrupted() -> Self {
        Self::new(code::INTERRUPTED, "stopped as asked; nothing that was saved before is affected")
            .next("run the same command again: what was stored already is not stored again")
    }

    pub(super) fn stdout(error: io::Error) -> Self {
        // Whoever read the answer has had enough: no failure, and nobody to tell.
        let closed = error.kind() == io::ErrorKind::BrokenPipe;
        let mut failure = Self::of(if closed { 0 } else { code::FAILED }, &error);
        failure.what = format!("could not write to stdout: {error}");
        failure.silent = closed;
        failure
    }

    /// The code of work that was done, whether or not the reader of the answer stayed to its end: damage is damage.
    pub(super) fn unless_closed(told: Result<(), Self>, exit: u8) -> Result<u8, Self> {
        match told {
            Err(failure) if !failure.silent => Err(failure),
            _ => Ok(exit),
        }
    }

    /// Tells it and gives the exit code.
    pub(super) fn report(&self, json: bool) -> ExitCode {
        if json && !self.silent {
            let _ = output::message("error", self.json());
        }
        if !self.silent {
            output::note(&self.text());
        }
        ExitCode::from(self.code)
    }

    /// What a machine is told of it.
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "code": self.code, "what": self.what, "causes": self.causes, "next": self.next,
        })
    }

    /// Tells of one of several things that failed while others went on.
    pub(super) fn tell_of(&self, item: &str, json: bool) -> Result<(), Self> {
        if !json {
            return Ok(());
        }
        let mut body = self.json();
        if let Some(map) = body.as_object_mut() {
            map.insert("item".to_owned(), item.into());
        }
        output::message("error", body)
    }

    pub(super) fn text(&self) -> String {
        // A phone's words, or a folder's, may be among them.
        let mut text = format!("error: {}", super::format::plain(&self.what));
        for cause in &self.causes {
            text.push_str(&format!("\n  cause: {}", super::format::plain(cause)));
        }
        if let Some(next) = &self.next {
            text.push_str(&format!("\n  next: {next}"));
        }
        text
    }
}

fn backend_code(error: &BackendError) -> (u8, Option<&'static str>) {
    match error {
        BackendError::NoSpace { .. } => (
            code::NO_SPACE,
            Some(
                "free some space on the drive, or forget snapshots and run `russet prune`; nothing was half saved",
            ),
        ),
        BackendError::Disconnected { .. } => (
            code::CONNECTION,
            Some(
                "plug the drive in again and run the same command: what was stored is not stored again",
            ),
        ),
        BackendError::ReadOnly { .. } => (
            code::FAILED,
            Some("make the drive writable; restore, ls, cat and verify work on a read-only drive"),
        ),
        BackendError::WrittenDiffers { .. } => (
            code::DAMAGE,
            Some(
                "the drive does not give back what is written to it: do not trust it with anything; nothing was committed",
            ),
        ),
        _ => (code::FAILED, None),
    }
}

fn with(code: u8, error: &dyn Error, next: Option<&str>) -> Failure {
    let failure = Failure::of(code, error);
    match next {
        Some(next) => failure.next(next),
        None => failure,
    }
}

impl From<BackendError> for Failure {
    fn from(error: BackendError) -> Self {
        let (code, next) = backend_code(&error);
        with(code, &error, next)
    }
}

impl From<RepositoryError> for Failure {
    fn from(error: RepositoryError) -> Self {
        let (code, next) = repository_code(&error);
        with(code, &error, next.as_deref())
    }
}

fn repository_code(error: &RepositoryError) -> (u8, Option<String>) {
    let (code, next) = match error {
        RepositoryError::NotFound { .. } => (
            code::NO_REPOSITORY,
            Some(
                "is the drive connected, and the path right? `russet init` makes a new repository",
            ),
        ),
        RepositoryError::Exists { .. } => {
            (code::FAILED, Some("choose another folder, or use the repository that is there"))
        }
        RepositoryError::NewerFormat(_) | RepositoryError::Feature(_) => (
            code::FAILED,
            Some("install a newer russet; this one changes nothing in this repository"),
        ),
        RepositoryError::NoKeyslot { .. } | RepositoryError::NoKeyring => (
            code::DAMAGE,
            Some(
                "another copy of the repository has the same files in keys/: copy them into keys/ here",
            ),
        ),
        RepositoryError::WrongSecret { tried: 0, .. } => (
            code::WRONG_PASSWORD,
            Some(
                "no such secret opens this repository any more: use the other one, the password or `--recovery-file`",
            ),
        ),
        RepositoryError::WrongSecret { .. } => (
            code::WRONG_PASSWORD,
            Some(
                "try again; `--recovery-file` opens it with the 24 words that were printed at init",
            ),
        ),
        RepositoryError::Revoked { .. } => {
            (code::WRONG_PASSWORD, Some("use a password that is still listed in `russet key list`"))
        }
        RepositoryError::NoConfig => (
            code::DAMAGE,
            Some("another copy of the repository has the same file `config`: copy it here"),
        ),
        RepositoryError::Unreadable { .. } => (
            code::DAMAGE,
            Some("`russet verify` names them; another copy of the repository may have them"),
        ),
        RepositoryError::Keyslot(KeyslotError::Memory { .. }) => {
            (code::FAILED, Some("close other programs, or use a computer with more memory"))
        }
        RepositoryError::Keyslot(_) => (code::DAMAGE, None),
        RepositoryError::Backend(error) => backend_code(error),
        RepositoryError::Index(_) => (
            code::FAILED,
            Some("`--no-cache` works without this computer's index; it can be deleted at any time"),
        ),
        RepositoryError::Record(_)
        | RepositoryError::Seal(_)
        | RepositoryError::Randomness(_)
        | RepositoryError::Json(_) => (code::FAILED, None),
    };
    (code, next.map(str::to_owned))
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match &error {
            LockError::Held { holder } => {
                let who = holder.as_ref().map_or_else(
                    || "another process".to_owned(),
                    |h| format!("process {} on {}", h.pid, super::format::plain(&h.host)),
                );
                Self::new(code::LOCKED, format!("the repository is being written to by {who}"))
                    .next("wait for it, or run again with `--retry-lock 10m`; the lock ends with that process")
            }
            LockError::ReadOnly { .. } => Self::of(code::FAILED, &error).next(
                "make the drive writable; restore, ls, cat and verify work on a read-only drive",
            ),
            LockError::Io { .. } => Self::of(code::FAILED, &error),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Repository(error) => error.into(),
            OpenError::Lock(error) => error.into(),
            OpenError::Location { ref source, .. } => {
                let (_, next) = backend_code(source);
                with(code::NO_DRIVE, &error, next.or(Some("is the drive connected and mounted?")))
            }
        }
    }
}

impl From<InitError> for Failure {
    fn from(error: InitError) -> Self {
        match error {
            InitError::Repository(error) => error.into(),
            InitError::Location { ref source, .. } => {
                let (code, next) = backend_code(source);
                with(code, &error, next)
            }
            InitError::NotEmpty { .. } => Self::of(code::FAILED, &error)
                .next("name a new folder on the drive, such as …/russet"),
        }
    }
}

impl From<SelectError> for Failure {
    fn from(error: SelectError) -> Self {
        Self::of(code::FAILED, &error).next(match error {
            SelectError::Empty => {
                "`russet backup` takes the iPhone that is plugged in, `russet import FOLDER` a Finder or iTunes backup"
            }
            _ => "`russet snapshots` lists what there is",
        })
    }
}

impl From<PasswordError> for Failure {
    fn from(error: PasswordError) -> Self {
        Self::of(code::USAGE, &error).next("give another one; nothing was done")
    }
}

impl From<RecoveryError> for Failure {
    fn from(error: RecoveryError) -> Self {
        Self::of(code::WRONG_PASSWORD, &error).next("compare with the printed sheet, word by word")
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        match &error {
            SessionError::Write(source) => {
                let (code, next) = backend_code(source);
                with(code, &error, next)
            }
            SessionError::Repository(source) => {
                let (code, next) = repository_code(source);
                with(code, &error, next.as_deref())
            }
            SessionError::Absent { .. } => Self::of(code::DAMAGE, &error)
                .next("run it again; `russet verify` tells what is missing"),
            _ => Self::of(code::FAILED, &error),
        }
    }
}

impl From<ImportError> for Failure {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Folder(error) => error.into(),
            ImportError::Password { .. } => Self::of(code::PHONE_PASSWORD, &error).next(
                "it is the password of the backup's day that counts, not today's; if you are sure of it, the keybag in Manifest.plist may be damaged, which looks the same; without a password the backup is kept encrypted as it is",
            ),
            ImportError::Session(error)
            | ImportError::Take(
                TakeError::Session(error) | TakeError::Ingest(IngestError::Session(error)),
            ) => error.into(),
            ImportError::Take(TakeError::Stopped) => Self::interrupted(),
            ImportError::Repository(error) => error.into(),
            ImportError::Commit(error) => error.into(),
            ImportError::Take(TakeError::Build(BuildError::Session(error))) => error.into(),
            other => Self::of(code::FAILED, &other),
        }
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Session(error) => error.into(),
            CommitError::Json(_) => Self::of(code::FAILED, &error),
        }
    }
}

impl From<FolderError> for Failure {
    fn from(error: FolderError) -> Self {
        let next = match &error {
            FolderError::Missing { .. } => "is the path right, and the drive connected?".to_owned(),
            FolderError::NotABackup { .. } => {
                "name the folder that holds Manifest.db (its name is the phone's UDID), or a folder one or two above it".to_owned()
            }
            FolderError::Forbidden { .. } if cfg!(target_os = "macos") => {
                "grant Full Disk Access to the program you type in (System Settings › Privacy & Security › Full Disk Access), then run it again".to_owned()
            }
            FolderError::Forbidden { .. } => "run it as a user who may read that folder".to_owned(),
            FolderError::Incomplete { .. } => {
                "back the phone up again until it finishes, or take it as it is with `--allow-incomplete`".to_owned()
            }
            FolderError::NoUdid { .. } => "rename the folder to the phone's UDID and run it again".to_owned(),
            FolderError::Io { .. } => return Self::of(code::FAILED, &error),
        };
        Self::of(code::FAILED, &error).next(next)
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match &error {
            RestoreError::NoSpace { .. } => Self::of(code::NO_SPACE, &error)
                .next("delete the folder whose name ends with .unfinished, and restore to a drive with more space"),
            RestoreError::Exists { .. } => {
                Self::of(code::FAILED, &error).next("restore to another folder")
            }
            RestoreError::Stopped => {
                Self::new(code::INTERRUPTED, "stopped as asked; the restored folder is not done")
                    .next("delete it (its name ends with .unfinished) and restore again")
            }
            RestoreError::InsideRepository { .. } => Self::of(code::FAILED, &error)
                .next("restore to a folder outside: what is restored is not sealed"),
            RestoreError::ReadOnly { .. } => {
                Self::of(code::FAILED, &error).next("name a folder that this program may write in")
            }
            RestoreError::Target { .. } | RestoreError::Udid(_) => Self::of(code::FAILED, &error),
        }
    }
}

impl From<CatError> for Failure {
    fn from(error: CatError) -> Self {
        match error {
            CatError::Write(error) => Self::stdout(error),
            other => Self::of(code::DAMAGE, &other)
                .next("`russet verify --read-data` names everything that is affected"),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::of(code::DAMAGE, &error)
    }
}

impl From<RemoveError> for Failure {
    fn from(error: RemoveError) -> Self {
        match error {
            RemoveError::Repository(error) => error.into(),
            other => Self::of(code::FAILED, &other)
                .next("`russet key list` shows them; `russet key add` adds another first"),
        }
    }
}

impl From<ForgetError> for Failure {
    fn from(error: ForgetError) -> Self {
        let damage =
            "`russet verify` names what is missing; another copy of the repository may have it";
        match error {
            ForgetError::Pinned(_) => Self::of(code::FAILED, &error)
                .next("`russet unpin` first, if you mean it; nothing was forgotten"),
            ForgetError::Drafts { .. } => Self::of(code::DAMAGE, &error)
                .next("`russet prune --drop-drafts` gives them up; the phones are asked for everything again"),
            ForgetError::Repository(error) => error.into(),
            ForgetError::Sweep(SweepError::Repository(error)) => error.into(),
            ForgetError::Sweep(SweepError::Session(error)) => error.into(),
            ForgetError::Sweep(SweepError::Backend(error)) => error.into(),
            ForgetError::Sweep(SweepError::Stopped) => Self::interrupted(),
            // The index is this computer's: it says nothing about the repository.
            ForgetError::Sweep(SweepError::Index(_)) => Self::of(code::FAILED, &error),
            other => Self::of(code::DAMAGE, &other).next(damage),
        }
    }
}
