//! Looks at everything a backup needs, one thing after the other, and says of each what to do if it is not right.
//!
//! Invariant: changes nothing, but for a file that is written to the drive and removed again; a check that cannot be made says
//! so and does not keep the others from being made. Names and numbers of phones stand in fields of their own, so that a report
//! can go without them.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use russet_store::repository::Repository;

use super::backup::{interrupted, waiting};
use super::phones::{Attached, ConnectError, Connection, Muxer, Phone, Values};
use super::reopen::is_openable;
use crate::observe::{by_count, count, counted, size};
use crate::snapshot::record;

/// How a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// As it should be.
    Good,
    /// A backup works, but something is worth knowing.
    Worth,
    /// A backup does not work like this.
    Bad,
    /// It was not looked at.
    Skipped,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What, in a word or two.
    pub what: &'static str,
    /// How it is.
    pub health: Health,
    /// What was found. Holds nothing of a phone's or its owner's.
    pub found: String,
    /// What to do; empty where there is nothing to do.
    pub next: String,
    /// The phone it is about, as its owner calls it, or the folder; not for reports.
    pub about: Option<String>,
}

impl Check {
    fn new(what: &'static str, health: Health, found: impl Into<String>) -> Self {
        Self { what, health, found: found.into(), next: String::new(), about: None }
    }

    fn next(mut self, next: &str) -> Self {
        next.clone_into(&mut self.next);
        self
    }
}

const SYSTEM: &str = if cfg!(target_os = "linux") {
    "linux"
} else if cfg!(target_os = "macos") {
    "macos"
} else if cfg!(windows) {
    "windows"
} else {
    "another"
};
/// This was written in 2026: a clock that shows an earlier year is wrong.
const YEAR_MIN: i16 = 2026;
/// Apple's agent wants room to prepare a backup.
const PHONE_FREE_LEN_MIN: u64 = 1_000_000_000;
const BATTERY_PERCENT_MIN: u64 = 20;
/// Below this a weekly backup of a phone in use may not fit.
const DRIVE_FREE_LEN_MIN: u64 = 10_000_000_000;

/// The program, the system and its clock.
#[must_use]
pub fn computer(now: jiff::Timestamp, system: &str) -> Vec<Check> {
    let version = format!("russet {} on {system}", env!("CARGO_PKG_VERSION"));
    let year = now.to_zoned(jiff::tz::TimeZone::UTC).year();
    let clock = if (YEAR_MIN..2100).contains(&year) {
        Check::new("clock", Health::Good, format!("{}", now.strftime("%Y-%m-%d %H:%M UTC")))
    } else {
        Check::new(
            "clock",
            Health::Bad,
            format!("the computer believes that it is the year {year}"),
        )
        .next("set the clock: snapshots are dated and kept by it")
    };
    vec![Check::new("program", Health::Good, version), clock]
}

/// A phone that is connected and encrypts its backups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encrypting {
    /// Its UDID.
    pub udid: String,
    /// What its owner calls it.
    name: String,
}

/// The way to phones, and each phone that is connected; with those whose password matters.
#[must_use]
pub fn phones(muxer: &Muxer) -> (Vec<Check>, Vec<Encrypting>) {
    let attached = match muxer.list() {
        Ok(attached) => attached,
        Err(error) => {
            let next = match (&error, SYSTEM) {
                (ConnectError::NoMuxer { .. }, "linux") => {
                    "install it: `apt install usbmuxd`; it is started when an iPhone is plugged in"
                }
                (ConnectError::MuxerStale { .. } | ConnectError::MuxerRefused { .. }, "linux") => {
                    "plug the iPhone in: usbmuxd ends when the last one is unplugged; if it is plugged in, `systemctl status usbmuxd` says more"
                }
                (_, "macos") => "plug the iPhone in, and allow the accessory to connect",
                (_, "windows") => {
                    "install \"Apple Devices\" from the Microsoft Store, and see that the Apple Mobile Device Service runs"
                }
                _ => "is USBMUXD_SOCKET_ADDRESS set to another place?",
            };
            let check = Check::new("mux daemon", Health::Bad, error.to_string()).next(next);
            return (vec![check], Vec::new());
        }
    };
    let mut checks = vec![Check::new("mux daemon", Health::Good, "answers")];
    if attached.is_empty() {
        checks.push(none_is_told(is_on_usb(Path::new("/sys/bus/usb/devices"))));
    }
    let mut encrypting = Vec::new();
    for phone in &attached {
        checks.extend(one_phone(muxer, phone, &mut encrypting));
    }
    (checks, encrypting)
}

fn none_is_told(is_on_usb: bool) -> Check {
    if is_on_usb {
        let found = "one is plugged in, and the mux daemon does not tell it";
        return Check::new("phones", Health::Bad, found).next(
            "unlock it and plug it in again; if that does not help, `sudo systemctl restart usbmuxd`; a container or WSL must be given the USB device",
        );
    }
    Check::new("phones", Health::Bad, "none is connected").next(
        "unlock the iPhone and plug it in; if it only charges, try another cable (some carry power alone) and another port",
    )
}

/// Whether an iPhone, iPad or iPod is on the USB bus, where Linux tells that: Apple's number, and theirs.
fn is_on_usb(devices: &Path) -> bool {
    let begins = |device: &Path, file: &str, with: &str| {
        fs::read_to_string(device.join(file)).is_ok_and(|text| text.starts_with(with))
    };
    let devices = fs::read_dir(devices).into_iter().flatten().flatten();
    devices.map(|device| device.path()).any(|device| {
        let is_theirs = |with| begins(&device, "idProduct", with);
        begins(&device, "idVendor", "05ac") && (is_theirs("129") || is_theirs("12a"))
    })
}

fn one_phone(muxer: &Muxer, attached: &Attached, encrypting: &mut Vec<Encrypting>) -> Vec<Check> {
    let values = Phone::connect(muxer, attached).and_then(|mut phone| phone.values());
    let name = values.as_ref().ok().and_then(|values| values.name.clone());
    let name = name.unwrap_or_else(|| attached.udid.clone());
    let mut checks = match values {
        Ok(values) => {
            if values.will_encrypt == Some(true) {
                let udid = values.udid.clone().unwrap_or_else(|| attached.udid.clone());
                encrypting.push(Encrypting { udid, name: name.clone() });
            }
            of_values(&values, attached.connection)
        }
        Err(error) => {
            let next = match error {
                ConnectError::NotPaired
                | ConnectError::PairingGone
                | ConnectError::PairRecordDamaged => {
                    "`russet pair`, then tap Trust on the iPhone and enter its passcode"
                }
                ConnectError::PasswordProtected => "unlock the iPhone",
                ConnectError::DialogPending => "tap Trust on the iPhone and enter its passcode",
                ConnectError::Denied => {
                    "plug it in again to be asked anew; Settings › General › Transfer or Reset › Reset Location & Privacy forgets the answer"
                }
                ConnectError::RestoreMode { .. } => {
                    "it waits to be restored: let Finder or iTunes finish, or restart it"
                }
                _ => "unlock the iPhone, unplug it and plug it in again",
            };
            vec![Check::new("trust", Health::Bad, error.to_string()).next(next)]
        }
    };
    for check in &mut checks {
        check.about = Some(name.clone());
    }
    checks
}

fn of_values(values: &Values, connection: Connection) -> Vec<Check> {
    let how = if connection == Connection::Usb { "by cable" } else { "over Wi-Fi" };
    let mut checks =
        vec![Check::new("trust", Health::Good, format!("trusts this computer, {how}"))];
    let version = values.product_version.as_deref().unwrap_or("unknown");
    checks.push(Check::new("iOS", Health::Good, version));
    if values.is_locked == Some(true) {
        let check = Check::new("lock", Health::Worth, "the phone is locked");
        checks.push(
            check.next("unlock it before a backup begins, and enter its passcode when it asks"),
        );
    }
    if let Some(percent) = values.battery_percent {
        let low = percent < BATTERY_PERCENT_MIN && values.is_charging != Some(true);
        let check = Check::new(
            "battery",
            if low { Health::Worth } else { Health::Good },
            format!("{percent} %"),
        );
        checks.push(if low { check.next("let it charge while it is backed up") } else { check });
    }
    if let Some(len) = values.free_data_len {
        checks.push(if len < PHONE_FREE_LEN_MIN {
            Check::new("room on the phone", Health::Worth, size(len))
                .next("free some space on the iPhone: it needs room to prepare a backup")
        } else {
            Check::new("room on the phone", Health::Good, size(len))
        });
    }
    checks.push(encryption(values));
    checks
}

fn encryption(values: &Values) -> Check {
    let check = |health, found| Check::new("encryption", health, found);
    match (values.will_encrypt == Some(true), values.requires_encryption == Some(true)) {
        (true, false) => check(Health::Good, "the phone encrypts its backups"),
        (true, true) => {
            check(Health::Good, "the phone encrypts its backups, as whoever manages it demands")
        }
        (false, true) => check(
            Health::Bad,
            "the phone does not encrypt its backups, and whoever manages it demands that",
        )
        .next("`russet phone-password enable` switches it on"),
        (false, false) => check(Health::Worth, "the phone does not encrypt its backups").next(
            "turn it on: without it Apple leaves passwords, Health, call history and Safari history out of every backup",
        ),
    }
}

/// Whether the password that a phone's newest snapshot wants is kept; `newest` is its short id, and that.
#[must_use]
pub fn password(phone: &Encrypting, newest: Option<(String, bool)>) -> Check {
    let mut check = match newest {
        Some((_, true)) => Check::new(
            "its password",
            Health::Good,
            "the one of its newest snapshot is kept in the repository",
        ),
        Some((id, false)) => Check::new(
            "its password",
            Health::Worth,
            "the one of its newest snapshot is not kept: without it no iPhone takes that back",
        )
        .next(&format!(
            "know it in twenty years, or have it kept: `russet phone-password remember {id}`"
        )),
        None => skipped("its password", "there is no encrypted snapshot of it yet"),
    };
    check.about = Some(phone.name.clone());
    check
}

/// The drive of a repository, before it is opened.
#[must_use]
pub fn drive(location: &Path) -> Vec<Check> {
    let mut checks = drive_checks(location);
    for check in &mut checks {
        check.about = Some(location.display().to_string());
    }
    checks
}

fn drive_checks(location: &Path) -> Vec<Check> {
    match fs::metadata(location) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            let check = Check::new("drive", Health::Bad, "is not a folder");
            return vec![check.next("name the folder of the repository")];
        }
        Err(error) => {
            let check = Check::new("drive", Health::Bad, error.to_string());
            return vec![check.next("is the drive connected, and the path right?")];
        }
    }
    let mut checks = vec![Check::new("drive", Health::Good, "is there")];
    checks.push(match probe(location) {
        Ok(()) => Check::new("writing", Health::Good, "a file can be written, synced and renamed"),
        Err(error) => Check::new("writing", Health::Bad, error.to_string()).next(
            "nothing can be backed up like this; restore, ls, cat and verify work all the same",
        ),
    });
    if let Ok(Some(len)) = free_len(location) {
        checks.push(if len < DRIVE_FREE_LEN_MIN {
            Check::new("room on the drive", Health::Worth, size(len))
                .next("forget old snapshots and prune, or think of a larger drive")
        } else {
            Check::new("room on the drive", Health::Good, size(len))
        });
    }
    checks
}

fn free_len(location: &Path) -> Result<Option<u64>, russet_store::backend::BackendError> {
    use russet_store::backend::{Backend, Durability, LocalBackend};
    LocalBackend::open(location, Durability { read_back: false })?.free_len()
}

/// What every pack is written with.
fn probe(location: &Path) -> std::io::Result<()> {
    // Under a name that nobody could lay a link at beforehand.
    let mut file = tempfile::Builder::new().prefix(".russet-probe~").tempfile_in(location)?;
    file.write_all(&[0x5a; 4096])?;
    file.as_file().sync_all()?;
    let mut after = file.path().as_os_str().to_owned();
    after.push("~");
    file.persist_noclobber(&after)?;
    fs::remove_file(after)
}

/// That it was not looked at, and why.
#[must_use]
pub fn skipped(what: &'static str, why: &str) -> Check {
    Check::new(what, Health::Skipped, why)
}

/// That a repository opened, or why not.
#[must_use]
pub fn repository(outcome: Result<Holdings, String>) -> Vec<Check> {
    let held = match outcome {
        Ok(held) => held,
        Err(error) => {
            return vec![Check::new("repository", Health::Bad, error).next(
                "`russet verify` names what is damaged; the recovery key opens it when the password is lost",
            )];
        }
    };
    let found = format!("opens, and holds {}", counted(held.snapshot_count, "snapshot"));
    let mut checks = vec![Check::new("repository", Health::Good, found)];
    if held.waiting_count > 0 {
        let found = format!(
            "{} that an iPhone has finished {} yet",
            count(held.waiting_count),
            by_count(held.waiting_count, "is no snapshot", "are no snapshots")
        );
        checks.push(Check::new("waiting backups", Health::Worth, found).next(
            "`russet reopen --phone-password-file FILE`, or the next `russet backup`, makes the snapshots, without the iPhone",
        ));
    }
    if held.interrupted_count > 0 {
        let found =
            format!("{} of which an iPhone has not sent everything", count(held.interrupted_count));
        let check = Check::new("interrupted backups", Health::Worth, found);
        checks.push(check.next("connect it: the next `russet backup` goes on there"));
    }
    if held.closed_count > 0 {
        let (are, them) = match held.closed_count {
            1 => ("is", "it"),
            _ => ("are", "them"),
        };
        let found =
            format!("{} {are} kept as an iPhone encrypted {them}", count(held.closed_count));
        checks.push(Check::new("closed snapshots", Health::Worth, found).next(&format!(
            "`russet reopen --phone-password-file FILE` opens {them}; then only what changed takes room",
        )));
    }
    checks
}

/// What is in a repository, in counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holdings {
    /// Snapshots.
    pub snapshot_count: u64,
    /// Backups that wait for their iPhone backup password.
    pub waiting_count: u64,
    /// Backups of which their iPhones have not sent everything.
    pub interrupted_count: u64,
    /// Snapshots that are kept as an iPhone encrypted them, and that its password may open.
    pub closed_count: u64,
}

/// Counts what is in a repository.
#[must_use]
pub fn holdings(repository: &Repository) -> Holdings {
    let (snapshots, _) = record::all(repository);
    Holdings {
        snapshot_count: snapshots.len() as u64,
        waiting_count: waiting(repository).len() as u64,
        interrupted_count: interrupted(repository).len() as u64,
        closed_count: snapshots.iter().filter(|snapshot| is_openable(snapshot)).count() as u64,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_another_century_is_bad() {
        let health =
            |secs| computer(jiff::Timestamp::from_second(secs).unwrap(), "a system")[1].health;
        assert_eq!(health(0), Health::Bad);
        assert_eq!(health(1_790_000_000), Health::Good);
        assert_eq!(health(5_000_000_000), Health::Bad);
    }

    #[test]
    fn a_drive_that_is_not_there_is_bad_and_one_that_is_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let missing = drive(&folder.path().join("missing"));
        assert_eq!((missing.len(), missing[0].health), (1, Health::Bad));
        let there = drive(folder.path());
        assert!(there.iter().all(|check| check.health != Health::Bad), "{there:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_phone_on_the_bus_that_the_daemon_does_not_tell_is_not_called_missing() {
        let bus = tempfile::tempdir().unwrap();
        let plug = |name: &str, vendor: &str, product: &str| {
            let device = bus.path().join(name);
            fs::create_dir(&device).unwrap();
            fs::write(device.join("idVendor"), format!("{vendor}\n")).unwrap();
            fs::write(device.join("idProduct"), format!("{product}\n")).unwrap();
        };
        assert!(!is_on_usb(&bus.path().join("no such bus")));
        plug("usb1", "1d6b", "0002");
        plug("1-1", "05ac", "024f");
        assert!(!is_on_usb(bus.path()), "that is a keyboard");
        plug("1-2", "05ac", "12a8");
        assert!(is_on_usb(bus.path()));
        assert!(none_is_told(true).next.contains("systemctl restart usbmuxd"));
        assert!(none_is_told(false).next.contains("another cable"));
    }

    #[test]
    fn a_locked_phone_is_worth_a_word() {
        let locked = Values { is_locked: Some(true), ..Values::default() };
        let health = |values| {
            let checks = of_values(values, Connection::Usb);
            checks.into_iter().find(|check| check.what == "lock").map(|check| check.health)
        };
        assert_eq!(health(&locked), Some(Health::Worth));
        assert_eq!(health(&Values::default()), None);
    }

    #[test]
    fn a_phone_without_encryption_is_worth_a_word() {
        let health = |will_encrypt| {
            let values = Values { will_encrypt, ..Values::default() };
            of_values(&values, Connection::Usb).pop().unwrap().health
        };
        assert_eq!(health(Some(true)), Health::Good);
        assert_eq!(health(Some(false)), Health::Worth);
        assert_eq!(health(None), Health::Worth);
    }
}
