//! Repositories for tests: quick to unlock, and with a clock and random numbers that come from a seed.
//!
//! Invariant: what is made here is a real repository in all but the cost of its password. Never a source of keys for
//! anything real.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use russet_store::ambient::{Ambient, NoRandomness};
use russet_store::backend::Backend;
use russet_store::config::{Cut, Purpose};
use russet_store::ids::RepositoryId;
use russet_store::index::BTreeIndex;
use russet_store::repository::{
    CreateOptions, LockedRepository, Repository, RepositoryError, create,
};
use russet_store::seal::{Kdf, Password, PasswordError, SlotSecret};

use crate::Random;

/// The password of every repository made here.
pub const PASSWORD: &str = "golden russet";

/// A key derivation that takes no time worth mentioning.
pub const QUICK_KDF: Kdf = Kdf::Argon2id { memory_kib: 64, passes: 1, lanes: 1 };

/// A clock and random numbers from a seed.
pub struct Seeded {
    random: Mutex<Random>,
    nanos: AtomicU64,
}

impl Seeded {
    /// The stream of `seed`; the clock begins in 2026 and moves a second at each look.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let nanos = AtomicU64::new(1_790_000_000_000_000_000);
        Self { random: Mutex::new(Random::new(seed)), nanos }
    }
}

impl Ambient for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), NoRandomness> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fill(out);
        Ok(())
    }

    fn now_nanos(&self) -> u64 {
        self.nanos.fetch_add(1_000_000_000, Ordering::Relaxed)
    }

    fn process(&self) -> u32 {
        1
    }
}

/// Why a test repository was not made or opened.
#[derive(Debug, thiserror::Error)]
pub enum TestRepositoryError {
    /// The store.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// The password.
    #[error(transparent)]
    Password(#[from] PasswordError),
}

/// Makes a repository with [`PASSWORD`], [`QUICK_KDF`] and these documents.
///
/// # Errors
/// One is there already, or something could not be written.
pub fn create_quick(
    backend: &Arc<dyn Backend>,
    ambient: &dyn Ambient,
    documents: Vec<(String, Vec<u8>)>,
) -> Result<RepositoryId, TestRepositoryError> {
    let password = Password::new(PASSWORD)?;
    let options = CreateOptions { password, kdf: QUICK_KDF, cut: Cut::default(), documents };
    Ok(create(backend, ambient, options)?.id)
}

/// Opens such a repository with an index in memory.
///
/// # Errors
/// It cannot be opened.
pub fn open_quick(
    backend: &Arc<dyn Backend>,
    ambient: &Arc<dyn Ambient>,
    purpose: Purpose,
) -> Result<Repository, TestRepositoryError> {
    let found = LockedRepository::find(Arc::clone(backend), Arc::clone(ambient))?;
    let secret = SlotSecret::Password(Password::new(PASSWORD)?);
    Ok(found.unlock(&secret, purpose, |_| Box::new(BTreeIndex::new()))?)
}
