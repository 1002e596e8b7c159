//! Passwords of phones' encrypted backups, kept in the repository until they are forgotten.
//!
//! Invariant: a password is kept only after it opened its keybag, beside that keybag's id and never without it; it goes no
//! further than to a keybag, to a phone, or to a person who asks for it by name. Record: docs/format.md §14.

use std::collections::BTreeSet;
use std::io::Cursor;

use russet_store::ids::{RecordId, hex};
use russet_store::repository::{OpenedSecret, Repository, RepositoryError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::list::{CatError, cat};
use super::open::Opened;
use super::rows::{draft_manifest, root_file};
use crate::apple::{KeybagError, KeybagId, LockedKeys, Passwords, PhonePassword, RootFile};
use crate::capture::device::connect::same_udid;
use crate::capture::device::record as draft;
use crate::capture::folder::PLIST_LEN_MAX;
use crate::snapshot::{Snapshot, record};

/// Passwords of one phone that are tried on a keybag that nobody knows: each costs seconds.
const CANDIDATE_COUNT_MAX: usize = 4;
const TYPE: &str = "phone_password";

/// What stands in the record.
#[derive(Serialize, Deserialize)]
struct Content<'a> {
    v: u32,
    #[serde(rename = "type")]
    what: &'a str,
    keybag: &'a str,
    udid: &'a str,
    time: u64,
    /// Hex of UTF-8: a decoder makes no copies of it that are not wiped.
    password: &'a str,
}

/// A password that is kept.
pub struct Remembered {
    /// Its record.
    pub id: RecordId,
    /// The keybag that it opens.
    pub keybag: KeybagId,
    /// The phone.
    pub udid: String,
    /// Since when, Unix seconds.
    pub time: u64,
    /// It.
    pub password: PhonePassword,
}

/// All that are kept, the newest first.
#[must_use]
pub fn all(repository: &Repository) -> Vec<Remembered> {
    let mut all: Vec<Remembered> = repository.secrets().iter().filter_map(decode).collect();
    all.sort_by_key(|each| (std::cmp::Reverse(each.time), each.id));
    all
}

fn decode(secret: &OpenedSecret) -> Option<Remembered> {
    let content: Content<'_> = serde_json::from_slice(&secret.content).ok()?;
    if content.v != 1 || content.what != TYPE {
        return None;
    }
    let keybag = unhex(content.keybag)?;
    let password = unhex(content.password)?;
    Some(Remembered {
        id: secret.id,
        keybag: KeybagId::from_bytes(keybag.as_slice().try_into().ok()?),
        udid: content.udid.to_owned(),
        time: content.time,
        password: PhonePassword::new(std::str::from_utf8(&password).ok()?).ok()?,
    })
}

fn unhex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let mut bytes = Zeroizing::new(Vec::with_capacity(pairs.len()));
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    rest.is_empty().then_some(bytes)
}

/// The password that opened this keybag before.
#[must_use]
pub fn remembered(repository: &Repository, keybag: &KeybagId) -> Option<PhonePassword> {
    all(repository).into_iter().find(|each| each.keybag == *keybag).map(|each| each.password)
}

/// The password that opened what a phone's backups go on from, which is its password now unless it was changed elsewhere; else the
/// one of the phone that was kept last.
#[must_use]
pub fn newest(repository: &Repository, udid: &str) -> Option<Remembered> {
    let is_known = |known: &str| same_udid(known, udid);
    let (drafts, _) = draft::all(repository);
    let in_draft = drafts.into_iter().filter(|found| is_known(&found.record.udid)).find_map(|d| {
        let draft = draft::read(repository, &d.record).ok()?;
        Some(LockedKeys::parse(&draft_manifest(repository, &draft)?).ok()?.keybag.id())
    });
    let keybag = in_draft.or_else(|| {
        let (snapshots, _) = record::all(repository);
        let mut of_phone = snapshots.iter().rev().filter(|s| is_known(&s.record.udid));
        let last = of_phone.find(|s| s.record.encrypted == Some(true))?;
        Some(keys_of(repository, last).ok()?.keybag.id())
    });
    let (meant, others): (Vec<_>, Vec<_>) = all(repository)
        .into_iter()
        .filter(|each| is_known(&each.udid))
        .partition(|each| Some(each.keybag) == keybag);
    meant.into_iter().chain(others).next()
}

/// Keeps the password that opened a keybag of this phone. Gives whether it was not kept before.
///
/// # Errors
/// It could not be written.
pub fn remember(
    repository: &Repository,
    udid: &str,
    keybag: &KeybagId,
    password: &PhonePassword,
) -> Result<bool, RepositoryError> {
    let is_known = |each: &Remembered| {
        each.keybag == *keybag && each.password.text() == password.text() && each.udid == udid
    };
    if all(repository).iter().any(is_known) {
        return Ok(false);
    }
    let keybag = hex(keybag.as_bytes());
    let password = Zeroizing::new(hex(password.text().as_bytes()));
    let time = repository.ambient().now_secs();
    let content = Content { v: 1, what: TYPE, keybag: &keybag, udid, time, password: &password };
    // Room for all of it at once: what grows leaves copies behind.
    let mut json = Zeroizing::new(Vec::with_capacity(password.len() + udid.len() * 6 + 512));
    serde_json::to_writer(&mut *json, &content).map_err(RepositoryError::Json)?;
    repository.put_secret(&json)?;
    Ok(true)
}

/// Adds to passwords what is kept: those of these keybags, and a few of these phones, which often have the same one again.
pub fn add_to(
    passwords: &mut Passwords,
    repository: &Repository,
    keybags: &[KeybagId],
    udids: &[&str],
) {
    let mut candidates = BTreeSet::new();
    for each in all(repository) {
        if keybags.contains(&each.keybag) {
            passwords.add_meant(each.keybag, each.password);
        } else if udids.contains(&each.udid.as_str()) && candidates.len() < CANDIDATE_COUNT_MAX {
            candidates.insert(*blake3::hash(each.password.text().as_bytes()).as_bytes());
            passwords.add_known(each.password);
        }
    }
}

/// Forgets a password: all records of it, whatever keybags it opens. Gives how many those were.
///
/// # Errors
/// It could not be written down or deleted.
pub fn forget(opened: &mut Opened, password: &PhonePassword) -> Result<usize, RepositoryError> {
    let all = all(&opened.repository);
    let same: Vec<_> = all.iter().filter(|e| e.password.text() == password.text()).collect();
    let writer = opened.writer()?;
    for each in &same {
        opened.repository.forget_secret(each.id, writer)?;
    }
    Ok(same.len())
}

/// Gives up the passwords of which no copy is good any more: see [`Repository::lost_secrets`].
///
/// # Errors
/// It could not be written down or deleted.
pub fn give_up_lost(opened: &mut Opened, lost: &[RecordId]) -> Result<(), RepositoryError> {
    if lost.is_empty() {
        return Ok(());
    }
    let writer = opened.writer()?;
    lost.iter().try_for_each(|id| opened.repository.forget_secret(*id, writer))
}

/// Why nobody can tell which password a snapshot wants.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Its `Manifest.plist` is not there.
    #[error("the snapshot has no Manifest.plist")]
    Missing,
    /// It cannot be read.
    #[error("Manifest.plist of the snapshot cannot be read")]
    Read(#[from] CatError),
    /// It holds no keybag that can be used.
    #[error(transparent)]
    Keybag(#[from] KeybagError),
}

/// The keybag of an encrypted snapshot, still locked.
///
/// # Errors
/// See [`KeysError`].
pub fn keys_of(repository: &Repository, snapshot: &Snapshot) -> Result<LockedKeys, KeysError> {
    let content = root_file(repository, snapshot, RootFile::ManifestPlist)
        .filter(|content| content.len <= PLIST_LEN_MAX)
        .ok_or(KeysError::Missing)?;
    let mut plist = Cursor::new(Vec::new());
    cat(repository, &content, &mut plist)?;
    Ok(LockedKeys::parse(&plist.into_inner())?)
}
