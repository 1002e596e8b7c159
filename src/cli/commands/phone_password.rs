//! `phone-password`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::phone::{job, muxer, one};
use super::phone_keys::place;
use super::remembered;
use crate::apple;
use crate::cli::args::PhonePassword;
use crate::cli::context::Context;
use crate::cli::failure::{Failure, code};
use crate::cli::format::{moment, plain};
use crate::cli::progress::OfPhone;
use crate::cli::{output, secret};
use crate::observe::Observer;
use crate::ops::open::Opened;
use crate::ops::phone_password::{Change, Changed, change, makes_sense};
use crate::ops::phones::{Phone, Values};
use crate::ops::remembered::newest;
use crate::wipe;

const OLD: &str = "iPhone backup password until now";
const NEW: &str = "New iPhone backup password";

pub(super) fn phone_password(context: &Context, args: &PhonePassword) -> Result<u8, Failure> {
    match args {
        PhonePassword::Show { snapshot } => remembered::show(context, snapshot),
        PhonePassword::Remember { snapshot, phone_password_file } => {
            remembered::remember(context, snapshot, phone_password_file.as_deref())
        }
        PhonePassword::Forget { lost: true, .. } => remembered::give_up_lost(context),
        PhonePassword::Forget { snapshot, .. } => remembered::forget(context, snapshot.as_deref()),
        PhonePassword::Status { device } => status(context, device.as_deref()),
        PhonePassword::Enable { device, new_password_file, no_remember, spool } => {
            let mut met = meet(context, device.as_deref(), "enable", true)?;
            (met.remembers, met.spool) = (!no_remember, spool.clone());
            let changed = wipe::after(|| {
                let new = new_password(new_password_file.as_deref())?;
                met.run(context, Change::Enable { new: &new })
            })?;
            met.tell(context, Now::Encrypted, changed)
        }
        PhonePassword::Change {
            device,
            old_password_file,
            new_password_file,
            no_remember,
            spool,
        } => {
            let mut met = meet(context, device.as_deref(), "change", false)?;
            (met.remembers, met.spool) = (!no_remember, spool.clone());
            let changed = wipe::after(|| {
                let old = met.old_password(context, old_password_file.as_deref())?;
                let new = new_password(new_password_file.as_deref())?;
                met.with_old(context, old, Some(&new))
            })?;
            met.tell(context, Now::Changed, changed)
        }
        PhonePassword::Disable { device, old_password_file, yes_really, spool } => {
            if !yes_really {
                return Err(Failure::new(
                    code::USAGE,
                    "without encryption Apple leaves saved passwords, Health, call history and Safari history out of backups",
                )
                .next("if you mean it: `russet phone-password disable --yes-really`"));
            }
            let mut met = meet(context, device.as_deref(), "disable", false)?;
            met.spool.clone_from(spool);
            let changed = wipe::after(|| {
                let old = met.old_password(context, old_password_file.as_deref())?;
                met.with_old(context, old, None)
            })?;
            met.tell(context, Now::Open, changed)
        }
    }
}

fn new_password(file: Option<&Path>) -> Result<apple::PhonePassword, Failure> {
    secret::of_phone(file, false, "--new-password-file", NEW, true)
}

fn asked_old_password(file: Option<&Path>) -> Result<apple::PhonePassword, Failure> {
    secret::of_phone(file, true, "--old-password-file", OLD, false)
}

/// The password until now, and since when the repository keeps it, if that is where it comes from.
struct Old {
    password: apple::PhonePassword,
    kept_since: Option<i64>,
}

/// How the phone makes its backups from now on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Now {
    Encrypted,
    Changed,
    Open,
}

/// The phone that is meant, what it says of itself, and the repository that goes with it.
struct Met {
    phone: Phone,
    values: Values,
    opened: Opened,
    remembers: bool,
    /// Where an interrupted backup of it waits, if a person says so.
    spool: Option<PathBuf>,
}

/// The phone that is meant, and what it says of itself, before anybody types a password.
fn meet(
    context: &Context,
    device: Option<&str>,
    verb: &str,
    is_first: bool,
) -> Result<Met, Failure> {
    let muxer = muxer()?;
    let seen = one(&muxer, device, &format!("phone-password {verb} NAME"))?;
    let own = seen.observer(context, true);
    let mut phone = job(&muxer, seen, &own)?.phone;
    let values = phone.values()?;
    makes_sense(is_first, &values)?;
    Ok(Met { phone, values, opened: context.write()?, remembers: false, spool: None })
}

fn status(context: &Context, device: Option<&str>) -> Result<u8, Failure> {
    let muxer = muxer()?;
    let seen = one(&muxer, device, "phone-password status NAME")?;
    let udid = seen.attached.udid.clone();
    let own = seen.observer(context, true);
    let values = job(&muxer, seen, &own)?.phone.values()?;
    context.progress.clear();
    let name = values.name.as_deref().unwrap_or(&udid);
    if context.json() {
        output::message(
            "summary",
            json!({
                "udid": udid, "name": name, "encrypted": values.will_encrypt, "required": values.requires_encryption,
                "exit_code": 0,
            }),
        )?;
        return Ok(0);
    }
    let name = plain(name);
    output::line(&match values.will_encrypt {
        Some(true) => format!("✓ Backups of {name} are encrypted"),
        Some(false) => format!("! Backups of {name} are NOT encrypted"),
        None => format!("? {name} does not tell whether its backups are encrypted"),
    })?;
    if values.will_encrypt == Some(false) {
        output::note("  `russet phone-password enable` encrypts them from now on");
    }
    if values.requires_encryption == Some(true) {
        output::note("  An organisation that manages it demands encrypted backups");
    }
    Ok(0)
}

impl Met {
    /// What was given, else what is kept, else what is typed.
    fn old_password(&self, context: &Context, file: Option<&Path>) -> Result<Old, Failure> {
        if file.is_none() && secret::phone_password_variable().is_none() {
            let udid = &self.phone.attached().udid;
            if let Some(kept) = newest(&self.opened.repository, udid) {
                let kept_since = i64::try_from(kept.time).ok();
                let since = kept_since.map_or(String::new(), |at| format!(" since {}", moment(at)));
                context.progress.remark(&format!(
                    "the iPhone backup password until now is taken from the repository, which keeps it{since}"
                ));
                return Ok(Old { password: kept.password, kept_since });
            }
        }
        context.progress.clear();
        Ok(Old { password: asked_old_password(file)?, kept_since: None })
    }

    /// Changes the password, or without a new one takes it away. Where the one that was kept is not the phone's, a person is asked.
    fn with_old(
        &mut self,
        context: &Context,
        old: Old,
        new: Option<&apple::PhonePassword>,
    ) -> Result<Changed, Failure> {
        let done = self.run(context, wanted(&old.password, new));
        let (Err(failure), Some(at)) = (&done, old.kept_since) else { return done };
        if failure.code() != code::PHONE_PASSWORD {
            return done;
        }
        let what = format!(
            "the iPhone has another backup password than the one that the repository keeps since {}",
            moment(at)
        );
        if !secret::is_terminal() {
            return Err(Failure::new(code::PHONE_PASSWORD, what).next(
                "nothing was changed; give the iPhone's password with `--old-password-file FILE`",
            ));
        }
        output::note(&format!("{what}."));
        self.run(context, wanted(&asked_old_password(None)?, new))
    }

    fn run(&mut self, context: &Context, wanted: Change<'_>) -> Result<Changed, Failure> {
        let place = place(context, self.spool.as_deref())?;
        let own = OfPhone::new(&context.progress, &self.name(), &self.phone.attached().udid, true);
        let (opened, phone) = (&mut self.opened, &mut self.phone);
        Ok(change(opened, phone, wanted, self.remembers, &place, &own)?)
    }

    fn name(&self) -> String {
        self.values.name.clone().unwrap_or_else(|| self.phone.attached().udid.clone())
    }

    fn tell(&self, context: &Context, now: Now, changed: Changed) -> Result<u8, Failure> {
        context.progress.clear();
        let encrypts = now != Now::Open;
        let (name, udid) = (self.name(), &self.phone.attached().udid);
        if context.json() {
            output::message(
                "summary",
                json!({
                    "udid": udid, "name": name, "encrypted": encrypts, "rewrapped": changed.is_rewrapped,
                    "password_remembered": encrypts.then_some(changed.is_kept), "exit_code": 0,
                }),
            )?;
            return Ok(0);
        }
        let name = plain(&name);
        output::line(&match now {
            Now::Encrypted => format!("✓ Backups of {name} are encrypted from now on"),
            Now::Changed => format!("✓ {name} has a new backup password"),
            Now::Open => format!("✓ Backups of {name} are no longer encrypted"),
        })?;
        output::line(match now {
            Now::Encrypted => {
                "  Snapshots that were made before stay as they are: what was not encrypted then is not encrypted now."
            }
            Now::Changed | Now::Open => {
                "  Snapshots that were made before stay as they are: each opens with the password of its day. Keep them all."
            }
        })?;
        if encrypts {
            context.progress.remark(memory(changed, self.remembers));
        }
        if !changed.is_rewrapped {
            context.progress.remark("the next backup of this phone will be a full one");
        }
        Ok(0)
    }
}

fn wanted<'p>(old: &'p apple::PhonePassword, new: Option<&'p apple::PhonePassword>) -> Change<'p> {
    match new {
        Some(new) => Change::Change { old, new },
        None => Change::Disable { old },
    }
}

/// What became of the new password.
fn memory(changed: Changed, remembers: bool) -> &'static str {
    match (changed.is_kept, remembers) {
        (true, _) => {
            "the new iPhone backup password is kept in the repository, sealed. Once a backup was made with it, `russet phone-password forget SNAPSHOT` with that snapshot removes it; `forget --all` would remove those of all older snapshots too"
        }
        (false, true) => {
            "the new iPhone backup password is not kept yet: it is known which backups it opens when the next one is made. Give it there once (`--phone-password-file FILE`, or typed), and it is kept"
        }
        (false, false) => {
            "the new iPhone backup password is NOT kept: the next backup asks for it, and who does not know it brings no snapshot made with it back to an iPhone, in twenty years either"
        }
    }
}
