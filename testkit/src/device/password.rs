//! ChangePassword: encryption of backups on, off, or under another password.
//!
//! Invariant: a wrong old password changes nothing. If the script says so, the keybag in the host's last backup is
//! wrapped anew, and the next backup builds on it; otherwise the next backup is full.

use super::error::DeviceError;
use super::host_files::{Body, Fetched, HostFiles, ON, Upload};
use super::mobilebackup2::ask_for_passcode;
use crate::keybag::Keybag;
use crate::plists;
use crate::random::Random;
use plist::{Dictionary, Value};
use serde_json::json;
use std::io::Cursor;

/// What a phone says whose backups an organisation wants encrypted.
pub(crate) const MUST_ENCRYPT: DeviceError =
    DeviceError::Refused { code: 207, text: "Backups of this device must be encrypted" };

/// Answers `ChangePassword`.
pub(crate) fn change(host: &mut HostFiles<'_>, request: &Dictionary) -> Result<(), DeviceError> {
    let phone = host.phone;
    let word = |key| request.get(key).and_then(Value::as_string).filter(|word| !word.is_empty());
    let (old, new) = (word("OldPassword"), word("NewPassword"));
    if old.is_none() && new.is_none() {
        host.breach("ChangePassword names a password", &json!(0));
    }
    if new.is_none() && phone.script.requires_encryption {
        return Err(MUST_ENCRYPT);
    }
    ask_for_passcode(phone)?;
    let state = phone.state()?;
    if state.password.as_deref() != old {
        return Err(DeviceError::Refused { code: 207, text: "Invalid password" });
    }
    let mut is_rewrapped = false;
    if let (Some(old), Some(new)) = (old, new)
        && phone.script.rewrap
    {
        is_rewrapped = rewrap(host, old, new)?;
    }
    phone.journal.note(ON, "password changed", &json!({ "rewrapped": is_rewrapped }));
    phone.change(|state| {
        state.password = new.map(str::to_owned);
        state.was_encrypted = true;
        state.full_next = !is_rewrapped;
    })?;
    phone.notify("com.apple.mobile.backup.domain_changed");
    Ok(())
}

/// Wraps the keybag of the host's last backup anew; false if there is none that opens.
fn rewrap(host: &mut HostFiles<'_>, old: &str, new: &str) -> Result<bool, DeviceError> {
    let path = format!("{}/Manifest.plist", host.phone.udid());
    let mut bytes = Vec::new();
    host.held.clear();
    let fetched = host.download(std::slice::from_ref(&path), |_, part| {
        bytes.extend_from_slice(part);
        Ok(())
    })?;
    if fetched.first() == Some(&Fetched::Failed) {
        return Ok(false);
    }
    let manifest = Value::from_reader(Cursor::new(bytes)).ok().and_then(Value::into_dictionary);
    let Some(mut manifest) = manifest else { return Ok(false) };
    let keybag = manifest
        .get("BackupKeyBag")
        .and_then(Value::as_data)
        .and_then(|encoded| Keybag::open(encoded, old.as_bytes()));
    let Some(keybag) = keybag else { return Ok(false) };
    let state = host.phone.state()?;
    let parts = [state.seed, state.run, 0x7265_7772, plists::hash(new)];
    let rewrapped =
        keybag.rewrapped(&mut Random::of_parts(&parts), new.as_bytes(), state.iterations)?;
    let Some(rewrapped) = rewrapped else { return Ok(false) };
    manifest.insert("BackupKeyBag".into(), Value::Data(rewrapped.encoded().to_vec()));
    let bytes = plists::binary(&manifest.into())?;
    let upload = Upload {
        device_name: "/var/mobile/Library/Backup/Manifest.plist".to_owned(),
        host_path: path,
        body: Body::Bytes(&bytes),
    };
    let len = u64::try_from(bytes.len()).unwrap_or(0);
    host.upload(&[upload], len)?;
    Ok(true)
}
