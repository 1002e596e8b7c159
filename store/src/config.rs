//! The config: parameters of a repository, written once, in the clear, with a MAC (docs/format.md §4).
//!
//! Invariant: a repository whose features this program does not know is refused by the feature's name before anything else is
//! tried; unknown members are ignored; nothing here is secret.

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::header::{HEADER_LEN, Header, HeaderError, Kind};
use crate::ids::RepositoryId;
use crate::repository::version_of;
use crate::seal::{Secret, mac, mac_key};

/// Longest config that is read.
pub const CONFIG_LEN_MAX: u64 = 1 << 20;

/// Parameters of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Version of this JSON, 1.
    pub v: u32,
    /// When the repository was made, Unix seconds.
    pub created: u64,
    /// Features beyond format 1.
    #[serde(default)]
    pub features: Features,
    /// How files are cut.
    pub cut: Cut,
}

/// Names of features in three classes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Needed to read.
    #[serde(default)]
    pub read: Vec<String>,
    /// Needed to write.
    #[serde(default)]
    pub write: Vec<String>,
    /// Needed to verify, prune or repair.
    #[serde(default)]
    pub check: Vec<String>,
}

/// How files are cut: decides what deduplicates, never what is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Name of the rule, docs/format-cut.md.
    pub rule: String,
    /// Smallest, average and largest chunk of ordinary files.
    pub general: [u32; 3],
    /// The same for incompressible files.
    pub media: [u32; 3],
    /// Chunk length aimed at for SQLite files, in whole pages.
    pub page_target: u32,
    /// Files up to this length are one chunk.
    pub whole_max: u32,
}

impl Default for Cut {
    fn default() -> Self {
        Self {
            rule: "two-level-1".to_owned(),
            general: [16 << 10, 64 << 10, 256 << 10],
            media: [256 << 10, 1 << 20, 4 << 20],
            page_target: 16 << 10,
            whole_max: 64 << 10,
        }
    }
}

/// What somebody wants to do with a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Read snapshots.
    Read,
    /// Add snapshots or log records.
    Write,
    /// Verify, prune or repair.
    Check,
}

/// Why a config cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not a config's file.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Cut short or with a wrong length inside.
    #[error("it is damaged")]
    Damaged,
    /// A version of the JSON that this program does not know.
    #[error("it has version {0}, this program knows version 1: a newer russet is needed")]
    Version(u32),
    /// The text is not what a config holds.
    #[error("its text is not a config: {0}")]
    Json(#[source] serde_json::Error),
}

/// A feature that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the repository uses the feature \"{name}\", which this program does not know: a newer russet is needed"
)]
pub struct UnknownFeature {
    /// Its name.
    pub name: String,
}

/// Features that this program knows.
const KNOWN: &[&str] = &[];

impl Config {
    /// A new repository's.
    #[must_use]
    pub fn new(created: u64, cut: Cut) -> Self {
        Self { v: 1, created, features: Features::default(), cut }
    }

    /// The file, with its MAC.
    pub(crate) fn encode(&self, repository: RepositoryId, master: &Secret) -> Vec<u8> {
        let json = serde_json::to_vec(self).unwrap_or_default();
        let file_len = HEADER_LEN + 4 + json.len() + 32;
        let header = Header {
            kind: Kind::Config,
            algorithm: 0,
            pack_type: 0,
            epoch: 0,
            repository,
            file_len: file_len as u64,
        };
        let mut out = header.encode().to_vec();
        out.extend_from_slice(&u32::try_from(json.len()).unwrap_or(0).to_le_bytes());
        out.extend_from_slice(&json);
        let sum = mac(&mac_key(master, repository), &out);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads a file; the MAC is for `Config::is_of`, once the master key is known.
    ///
    /// # Errors
    /// It is not a config.
    pub fn decode(file: &[u8]) -> Result<(Self, RepositoryId), ConfigError> {
        let header = Header::of_file(file, Kind::Config, None)?;
        let body = file.get(HEADER_LEN..).unwrap_or_default();
        let (len, rest) = body.split_first_chunk::<4>().ok_or(ConfigError::Damaged)?;
        let len = usize::try_from(u32::from_le_bytes(*len)).map_err(|_| ConfigError::Damaged)?;
        if rest.len() != len.saturating_add(32) {
            return Err(ConfigError::Damaged);
        }
        let json = rest.get(..len).ok_or(ConfigError::Damaged)?;
        // The version first: a newer text need not hold the members of this one.
        if let Some(v) = version_of(json).filter(|v| *v != 1) {
            return Err(ConfigError::Version(v));
        }
        let config = serde_json::from_slice(json).map_err(ConfigError::Json)?;
        Ok((config, header.repository))
    }

    /// Whether whoever knew this master key wrote these bytes.
    pub(crate) fn is_of(file: &[u8], repository: RepositoryId, master: &Secret) -> bool {
        let Some((body, sum)) = file.split_last_chunk::<32>() else { return false };
        mac(&mac_key(master, repository), body).ct_eq(sum).into()
    }

    /// Whether this program may do that here.
    ///
    /// # Errors
    /// The first feature that it does not know.
    pub fn allows(&self, purpose: Purpose) -> Result<(), UnknownFeature> {
        let needed: &[&Vec<String>] = match purpose {
            Purpose::Read => &[&self.features.read],
            Purpose::Write => &[&self.features.read, &self.features.write],
            Purpose::Check => &[&self.features.read, &self.features.check],
        };
        match needed.iter().flat_map(|l| l.iter()).find(|n| !KNOWN.contains(&n.as_str())) {
            Some(name) => Err(UnknownFeature { name: name.chars().take(80).collect() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file() -> Vec<u8> {
        let id = RepositoryId::decode([4; 16]);
        Config::new(7, Cut::default()).encode(id, &Secret::new([1; 32]))
    }

    #[test]
    fn a_config_comes_back_and_knows_its_master_key() {
        let (config, id) = Config::decode(&file()).unwrap();
        assert_eq!(config, Config::new(7, Cut::default()));
        assert!(Config::is_of(&file(), id, &Secret::new([1; 32])));
        assert!(!Config::is_of(&file(), id, &Secret::new([2; 32])));
    }

    #[test]
    fn an_unknown_feature_is_refused_by_name_only_where_it_matters() {
        let mut config = Config::new(7, Cut::default());
        config.features.write.push("deltas".to_owned());
        assert!(config.allows(Purpose::Read).is_ok());
        assert_eq!(
            config.allows(Purpose::Write),
            Err(UnknownFeature { name: "deltas".to_owned() })
        );
        config.features.check.push("parity".to_owned());
        assert_eq!(
            config.allows(Purpose::Check),
            Err(UnknownFeature { name: "parity".to_owned() })
        );
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_refused(at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let mut bytes = file();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let accepted = Config::decode(&bytes)
                .is_ok_and(|(_, id)| Config::is_of(&bytes, id, &Secret::new([1; 32])));
            prop_assert!(!accepted);
            prop_assert!(Config::decode(&file()[..at]).is_err());
        }
    }
}
