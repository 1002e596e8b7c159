//! What a scripted phone keeps between runs: one JSON file, which can be copied with its folder.
//!
//! Invariant: the file is replaced as a whole or not at all, and holds everything that decides what the phone does next.
//! Must not hold a clock.

use super::error::DeviceError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const NAME: &str = "phone.json";

/// Everything about a phone but its files.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Decides what is on the phone and every random number it draws.
    pub seed: u64,
    /// Which generated phone it is.
    pub preset: Preset,
    /// Weeks lived since it was new.
    pub week: u32,
    /// Those of them in which nothing changed.
    #[serde(default)]
    pub quiet_weeks: BTreeSet<u32>,
    /// Backups and restores begun.
    pub run: u64,
    /// Whether the generated files are there; a restore that removes, or an erased phone, has none.
    pub is_generated: bool,
    /// The password of encrypted backups.
    pub password: Option<String>,
    /// Rounds of the key derivation.
    pub iterations: u32,
    /// Whether encryption was ever on: hosts are told that it is off only then.
    #[serde(default)]
    pub was_encrypted: bool,
    /// Whether the next backup is full whatever the host has.
    pub full_next: bool,
    /// The hosts that were told "Trust", by HostID.
    pub hosts: BTreeMap<String, Host>,
    /// What the mux daemon keeps for its clients: hex of the property list, by UDID.
    pub pair_records: BTreeMap<String, String>,
    /// The upload that was not finished, if any.
    pub unfinished: Option<Unfinished>,
}

/// The generated phone a state is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// About 10 MB in about 400 files.
    Small,
    /// About 250 MB in about 4 000 files.
    Demo,
    /// That many tiny files.
    Many(u64),
    /// That many bytes.
    Bench(u64),
    /// A million tiny files.
    Million,
    /// That many bytes that no codec can shrink, more than 4 GiB of them in one file.
    Huge(u64),
}

/// A host that was told "Trust".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// The daemon's id on that host.
    pub system_buid: String,
    /// PEM.
    pub device_certificate: String,
    /// PEM.
    pub host_certificate: String,
    /// PEM.
    pub root_certificate: String,
    /// Hex of the 32 bytes that open the phone while it is locked.
    pub escrow_bag: String,
}

/// An upload that was not finished: what a later run needs to go on with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfinished {
    /// The UUID in the Status.plist that it wrote.
    pub uuid: String,
    /// The run whose keys it uses.
    pub run: u64,
}

impl State {
    /// A phone that was never paired.
    pub fn new(seed: u64, preset: Preset) -> Self {
        Self {
            seed,
            preset,
            week: 0,
            quiet_weeks: BTreeSet::new(),
            run: 0,
            is_generated: true,
            password: None,
            iterations: 1_000,
            was_encrypted: false,
            full_next: false,
            hosts: BTreeMap::new(),
            pair_records: BTreeMap::new(),
            unfinished: None,
        }
    }

    /// Reads the state in `folder`; none if there is none.
    pub fn load(folder: &Path) -> Result<Option<Self>, DeviceError> {
        match std::fs::read(folder.join(NAME)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces the state in `folder`.
    pub fn save(&self, folder: &Path) -> Result<(), DeviceError> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer_pretty(&mut file, self)?;
        file.persist(folder.join(NAME)).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    #[test]
    fn a_saved_state_is_read_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        assert!(State::load(folder.path()).unwrap().is_none());
        let mut state = State::new(7, Preset::Many(12));
        state.pair_records.insert("a".to_owned(), "00ff".to_owned());
        state.unfinished = Some(Unfinished { uuid: "u".to_owned(), run: 3 });
        state.save(folder.path()).unwrap();
        let read = State::load(folder.path()).unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{state:?}"));
    }
}
