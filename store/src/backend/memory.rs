//! A repository in memory, and what a power cut leaves of it.
//!
//! Invariant: the same answers as a folder gives, and a model of durability: what was put or deleted
//! after the last barrier may or may not survive [`MemoryBackend::crash`], each on its own. Files are
//! whole or absent; torn ones are the business of fault injection. Never leaves the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::name::SEGMENT_COUNT_MAX;
use super::{Backend, BackendError, Listed, Listing, Name};

type Files = BTreeMap<String, Arc<[u8]>>;

/// Files in memory.
#[derive(Debug, Default)]
pub struct MemoryBackend {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone)]
struct State {
    files: Files,
    /// The files as of the last barrier.
    durable: Files,
    /// What happened since: a name, and its bytes or their removal.
    pending: Vec<(String, Option<Arc<[u8]>>)>,
}

impl MemoryBackend {
    /// An empty repository.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power cut at this moment leaves: everything up to the last barrier, and of the operations
    /// since any subset, drawn by `seed`. This repository stays as it is.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let state = self.state().clone();
        let mut files = state.durable;
        let mut random = seed;
        for (name, bytes) in state.pending {
            if next(&mut random) & 1 == 1 {
                apply(&mut files, name, bytes);
            }
        }
        let durable = files.clone();
        Self { state: Mutex::new(State { files, durable, pending: Vec::new() }) }
    }

    /// Places a file as damage or a stranger would: under any name, in place of anything, durable at once.
    pub fn plant(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let bytes: Arc<[u8]> = bytes.into();
        state.durable.insert(name.to_owned(), bytes.clone());
        state.files.insert(name.to_owned(), bytes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &Name) -> Result<Arc<[u8]>, BackendError> {
        let found = self.state().files.get(name.as_str()).cloned();
        found.ok_or_else(|| BackendError::NotFound { name: name.to_string() })
    }
}

fn apply(files: &mut Files, name: String, bytes: Option<Arc<[u8]>>) {
    match bytes {
        Some(bytes) => files.insert(name, bytes),
        None => files.remove(&name),
    };
}

/// SplitMix64: any seed will do, and equal seeds give equal crashes.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Backend for MemoryBackend {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<(), BackendError> {
        let mut state = self.state();
        let bytes: Arc<[u8]> = bytes.into();
        if state.files.get(name.as_str()) != Some(&bytes) {
            state.files.insert(name.to_string(), bytes.clone());
            state.pending.push((name.to_string(), Some(bytes)));
        }
        Ok(())
    }

    fn get(&self, name: &Name, len_max: u64) -> Result<Vec<u8>, BackendError> {
        let bytes = self.file(name)?;
        let got_len = bytes.len() as u64;
        if got_len > len_max {
            return Err(BackendError::TooLong { name: name.to_string(), got_len, len_max });
        }
        Ok(bytes.to_vec())
    }

    fn get_range(&self, name: &Name, offset: u64, len: u32) -> Result<Vec<u8>, BackendError> {
        let bytes = self.file(name)?;
        let rest = usize::try_from(offset).ok().and_then(|start| bytes.get(start..));
        let rest = rest.unwrap_or_default();
        rest.get(..len as usize).map(<[u8]>::to_vec).ok_or_else(|| BackendError::ShortRead {
            name: name.to_string(),
            wanted_len: u64::from(len),
            got_len: rest.len() as u64,
        })
    }

    fn list(&self, dir: &str) -> Result<Listing, BackendError> {
        if !dir.is_empty() && Name::parse(dir).is_err() {
            return Err(BackendError::NotAFolder { path: dir.into() });
        }
        let prefix = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        let mut listing = Listing::default();
        for (name, bytes) in &self.state().files {
            if !name.starts_with(&prefix) {
                continue;
            }
            if name.contains(char::is_control) || name.split('/').count() > SEGMENT_COUNT_MAX {
                listing.skipped_count += 1;
            } else {
                listing.files.push(Listed { name: name.clone(), len: bytes.len() as u64 });
            }
        }
        Ok(listing)
    }

    fn delete(&self, name: &Name) -> Result<(), BackendError> {
        let mut state = self.state();
        if state.files.remove(name.as_str()).is_some() {
            state.pending.push((name.to_string(), None));
        }
        Ok(())
    }

    fn barrier(&self) -> Result<(), BackendError> {
        let mut state = self.state();
        state.durable = state.files.clone();
        state.pending.clear();
        Ok(())
    }

    fn free_len(&self) -> Result<Option<u64>, BackendError> {
        Ok(None)
    }

    fn is_read_only(&self) -> Result<bool, BackendError> {
        Ok(false)
    }

    fn sweep_temporaries(&self) -> Result<u64, BackendError> {
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn names(backend: &MemoryBackend) -> Vec<String> {
        backend.list("").unwrap().files.into_iter().map(|file| file.name).collect()
    }

    #[test]
    fn a_crash_keeps_what_stood_before_the_barrier() {
        let backend = MemoryBackend::new();
        backend.put_new(&name("a"), b"1").unwrap();
        backend.barrier().unwrap();
        for seed in 0..64 {
            assert_eq!(names(&backend.crash(seed)), ["a"]);
        }
    }

    #[test]
    fn a_crash_keeps_any_subset_of_what_came_after_the_barrier() {
        let backend = MemoryBackend::new();
        backend.put_new(&name("gone"), b"0").unwrap();
        backend.barrier().unwrap();
        backend.put_new(&name("a"), b"1").unwrap();
        backend.delete(&name("gone")).unwrap();
        let seen: std::collections::BTreeSet<_> =
            (0..64).map(|seed| names(&backend.crash(seed))).collect();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_planted_name_that_is_not_ours_is_listed_raw() {
        let backend = MemoryBackend::new();
        backend.plant("._x", b"1");
        assert_eq!(names(&backend), ["._x"]);
    }
}
