//! What this computer remembers of a repository: its writer id, and the heads of the chains it last saw, for each place.
//!
//! Invariant: losing it loses nothing but the warning that a drive is older than what was seen before; it holds no secret and no
//! name of a phone. A writer whose own last record is missing is never continued, nor one that a run may still be using.

use std::collections::{BTreeMap, BTreeSet};
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
    /// Writer ids of this computer that nobody uses now. Several, where a repository has several drives.
    #[serde(default)]
    writers: BTreeSet<WriterId>,
    /// Highest number seen anywhere.
    #[serde(default)]
    heads: Chains,
    /// Highest numbers seen at each place.
    #[serde(default)]
    places: BTreeMap<String, Chains>,
}

/// What is remembered.
#[derive(Debug)]
pub struct HostState {
    /// None: nothing is kept on this computer.
    path: Option<PathBuf>,
    json: Json,
    place: String,
    /// The writer id that was taken for this run.
    writer: Option<WriterId>,
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
    pub fn read(dir: Option<&Path>, repository: RepositoryId, place: &str) -> Self {
        let path = dir.map(|dir| dir.join(repository.to_string()).join("seen.json"));
        let json = path.as_deref().map(read_json).unwrap_or_default();
        Self { path, json, place: place.to_owned(), writer: None }
    }

    /// Compares with the chains that are there. A snapshot that was `forgotten`, by whatever computer, is not missing.
    #[must_use]
    pub fn compare(&self, chains: &Chains, forgotten: &dyn Fn(&RecordId) -> bool) -> Seen {
        let there = |writer: &WriterId| chains.get(writer).map_or(0, |(seq, _)| *seq);
        let lacking = |heads: &Chains| {
            let known = heads.iter().filter(|(_, (_, id))| !forgotten(id));
            known.map(|(writer, (seq, _))| seq.saturating_sub(there(writer))).sum()
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

    /// The writer id to use here: one of this computer whose last record is here, or a new one. It is taken out of the
    /// memory until [`HostState::remember`]: a run that is cut short, and one that goes on beside it on another drive
    /// of the same repository, must not number their records alike.
    ///
    /// # Errors
    /// A new one is needed and there are no random numbers.
    pub fn writer(
        &mut self,
        chains: &Chains,
        ambient: &dyn Ambient,
    ) -> Result<WriterId, NoRandomness> {
        let writer = match self.take_writer(chains) {
            Some(writer) => writer,
            None => WriterId::decode(draw(ambient)?),
        };
        self.writer = Some(writer);
        Ok(writer)
    }

    /// Never again uses the writer id of this run: nobody knows whether its last record was written.
    pub fn abandon_writer(&mut self) {
        self.writer = None;
    }

    fn take_writer(&self, chains: &Chains) -> Option<WriterId> {
        let path = self.path.as_deref()?;
        let mut json = read_json(path);
        let here = |writer: &&WriterId| {
            let there = chains.get(*writer).map_or(0, |(seq, _)| *seq);
            json.heads.get(*writer).map_or(0, |(seq, _)| *seq) == there
        };
        let writer = *json.writers.iter().find(here)?;
        json.writers.remove(&writer);
        write_json(path, &json).ok().map(|()| writer)
    }

    /// Remembers the chains. That it cannot be written is no reason to fail: it is told.
    ///
    /// # Errors
    /// The file could not be written.
    pub fn remember(&mut self, chains: &Chains) -> std::io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        // Another process may have written meanwhile, about another drive.
        let mut json = read_json(path);
        json.v = 1;
        json.writers.extend(self.writer);
        for (writer, head) in chains {
            let highest = json.heads.entry(*writer).or_insert(*head);
            if head.0 > highest.0 {
                *highest = *head;
            }
        }
        json.places.insert(self.place.clone(), chains.clone());
        write_json(path, &json)?;
        self.json = json;
        Ok(())
    }
}

fn read_json(path: &Path) -> Json {
    let json = fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    json.unwrap_or_default()
}

fn write_json(path: &Path, json: &Json) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec(json)?)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
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
        HostState::read(Some(dir), RepositoryId::decode([9; 16]), place)
    }

    #[test]
    fn an_older_copy_is_told_once_and_then_known() {
        let dir = tempfile::tempdir().unwrap();
        state(dir.path(), "/a").remember(&chains(5)).unwrap();
        assert_eq!(state(dir.path(), "/a").compare(&chains(5), &|_| false), Seen::Current);
        assert_eq!(
            state(dir.path(), "/a").compare(&chains(3), &|_| false),
            Seen::RolledBack { missing: 2 }
        );
        assert_eq!(
            state(dir.path(), "/b").compare(&chains(3), &|_| false),
            Seen::OlderThanOther { missing: 2 }
        );
        state(dir.path(), "/b").remember(&chains(3)).unwrap();
        assert_eq!(state(dir.path(), "/b").compare(&chains(3), &|_| false), Seen::Current);
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

    #[test]
    fn a_writer_of_a_run_that_was_cut_short_is_not_continued() {
        let dir = tempfile::tempdir().unwrap();
        let mut first = state(dir.path(), "/a");
        let writer = first.writer(&Chains::new(), &System).unwrap();
        first.remember(&Chains::new()).unwrap();
        let mut cut = state(dir.path(), "/a");
        assert_eq!(cut.writer(&Chains::new(), &System).unwrap(), writer);
        drop(cut);
        assert_ne!(state(dir.path(), "/b").writer(&Chains::new(), &System).unwrap(), writer);
    }

    #[test]
    fn each_of_two_drives_keeps_its_writer() {
        let dir = tempfile::tempdir().unwrap();
        let mut drives = [("/a", Chains::new()), ("/b", Chains::new())];
        let mut seen = BTreeSet::new();
        for seq in 1..5 {
            for (place, chains) in &mut drives {
                let mut host = state(dir.path(), place);
                let writer = host.writer(chains, &System).unwrap();
                chains.insert(writer, (seq, RecordId::decode([0; 32])));
                host.remember(chains).unwrap();
                seen.insert(writer);
            }
        }
        assert_eq!(seen.len(), 2);
    }

    #[test]
    fn a_forgotten_snapshot_is_not_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        state(dir.path(), "/a").remember(&chains(5)).unwrap();
        let host = state(dir.path(), "/a");
        assert_eq!(host.compare(&chains(4), &|_| true), Seen::Current);
        assert_eq!(host.compare(&chains(4), &|_| false), Seen::RolledBack { missing: 1 });
    }
}
