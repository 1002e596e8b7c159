//! What this computer remembers of a repository: its writer id, and the heads of the chains it last saw, for each place.
//!
//! Invariant: losing it loses nothing but the warning that a drive is older than what was seen before; it holds no secret and no
//! name of a phone. A writer whose own last record is missing is never continued.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use russet_store::ambient::{Ambient, NoRandomness, draw};
use russet_store::ids::{RecordId, RepositoryId, WriterId};
use serde::{Deserialize, Serialize};

/// Chains as a repository holds them: highest number and its record.
pub type Chains = BTreeMap<WriterId, (u64, RecordId)>;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Json {
    v: u32,
    writer: Option<WriterId>,
    /// Highest number seen anywhere.
    #[serde(default)]
    heads: BTreeMap<WriterId, u64>,
    /// Highest numbers seen at each place.
    #[serde(default)]
    places: BTreeMap<String, BTreeMap<WriterId, u64>>,
}

/// What is remembered.
#[derive(Debug)]
pub struct HostState {
    path: PathBuf,
    json: Json,
    place: String,
}

/// How a repository compares with what was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// Nothing is missing.
    Current,
    /// This place lacks records that it had when it was last seen here.
    RolledBack {
        /// How many.
        missing: u64,
    },
    /// This place was never seen here, and another one has records that it lacks.
    OlderThanOther {
        /// How many.
        missing: u64,
    },
}

impl HostState {
    /// Reads what is remembered; a file that cannot be read is as if it were not there.
    #[must_use]
    pub fn read(dir: &Path, repository: RepositoryId, place: &str) -> Self {
        let path = dir.join(repository.to_string()).join("seen.json");
        let json = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, json: json.unwrap_or_default(), place: place.to_owned() }
    }

    /// Compares with the chains that are there.
    #[must_use]
    pub fn compare(&self, chains: &Chains) -> Seen {
        let lacking = |heads: &BTreeMap<WriterId, u64>| {
            heads
                .iter()
                .map(|(w, n)| n.saturating_sub(chains.get(w).map_or(0, |(seq, _)| *seq)))
                .sum()
        };
        match self.json.places.get(&self.place).map(lacking) {
            Some(0) => Seen::Current,
            Some(missing) => Seen::RolledBack { missing },
            None => match lacking(&self.json.heads) {
                0 => Seen::Current,
                missing => Seen::OlderThanOther { missing },
            },
        }
    }

    /// The writer id to use here: the one used before, unless its last record is missing here.
    ///
    /// # Errors
    /// A new one is needed and there are no random numbers.
    pub fn writer(
        &mut self,
        chains: &Chains,
        ambient: &dyn Ambient,
    ) -> Result<WriterId, NoRandomness> {
        if let Some(writer) = self.json.writer {
            let there = chains.get(&writer).map_or(0, |(seq, _)| *seq);
            if self.json.heads.get(&writer).copied().unwrap_or(0) == there {
                return Ok(writer);
            }
        }
        let writer = WriterId::decode(draw(ambient)?);
        self.json.writer = Some(writer);
        Ok(writer)
    }

    /// Remembers the chains. That it cannot be written is no reason to fail: it is told.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn remember(&mut self, chains: &Chains) -> std::io::Result<()> {
        self.json.v = 1;
        let now: BTreeMap<WriterId, u64> = chains.iter().map(|(w, (seq, _))| (*w, *seq)).collect();
        for (writer, seq) in &now {
            let head = self.json.heads.entry(*writer).or_default();
            *head = (*head).max(*seq);
        }
        self.json.places.insert(self.place.clone(), now);
        let dir = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(&self.json)?)?;
        file.persist(&self.path).map_err(|e| e.error)?;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use russet_store::ambient::System;

    fn chains(seq: u64) -> Chains {
        Chains::from([(WriterId::decode([1; 16]), (seq, RecordId::decode([0; 32])))])
    }

    fn state(dir: &Path, place: &str) -> HostState {
        HostState::read(dir, RepositoryId::decode([9; 16]), place)
    }

    #[test]
    fn an_older_copy_is_told_once_and_then_known() {
        let dir = tempfile::tempdir().unwrap();
        state(dir.path(), "/a").remember(&chains(5)).unwrap();
        assert_eq!(state(dir.path(), "/a").compare(&chains(5)), Seen::Current);
        assert_eq!(state(dir.path(), "/a").compare(&chains(3)), Seen::RolledBack { missing: 2 });
        assert_eq!(
            state(dir.path(), "/b").compare(&chains(3)),
            Seen::OlderThanOther { missing: 2 }
        );
        state(dir.path(), "/b").remember(&chains(3)).unwrap();
        assert_eq!(state(dir.path(), "/b").compare(&chains(3)), Seen::Current);
    }

    #[test]
    fn a_writer_whose_last_record_is_missing_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = state(dir.path(), "/a");
        let writer = first.writer(&Chains::new(), &System).unwrap();
        let own = Chains::from([(writer, (2, RecordId::decode([0; 32])))]);
        first.remember(&own).unwrap();
        assert_eq!(state(dir.path(), "/a").writer(&own, &System).unwrap(), writer);
        assert_ne!(state(dir.path(), "/a").writer(&Chains::new(), &System).unwrap(), writer);
    }
}
