//! What the targets share: a small repository in memory, and headers that get past their checksum.
//!
//! Invariant: a repository is made anew for each input that writes to it, so that one input cannot hide the fault of
//! another. Keys are drawn by chance, so no target may depend on ids.

use std::sync::Arc;

use russet_store::ambient::System;
use russet_store::backend::{Backend, MemoryBackend};
use russet_store::config::{Cut, Purpose};
use russet_store::index::BTreeIndex;
use russet_store::repository::{CreateOptions, LockedRepository, Repository, create};
use russet_store::seal::{Kdf, Password, SlotSecret};

/// Length of the header that every file of ours begins with.
pub const HEADER_LEN: usize = 48;

/// A repository and the memory it lies in.
pub struct Small {
    /// Where files can be planted.
    pub memory: Arc<MemoryBackend>,
    /// Unlocked.
    pub repository: Repository,
}

/// Makes an empty repository with the cheapest key derivation there is.
pub fn small() -> Small {
    let memory = Arc::new(MemoryBackend::new());
    let backend: Arc<dyn Backend> = memory.clone();
    let options = CreateOptions {
        password: password(),
        kdf: Kdf::Argon2id { memory_kib: 8, passes: 1, lanes: 1 },
        cut: Cut::default(),
        documents: Vec::new(),
    };
    create(&backend, &System, options).expect("memory takes everything");
    Small { repository: unlock(backend), memory }
}

/// Opens a repository that [`small`] made.
pub fn unlock(backend: Arc<dyn Backend>) -> Repository {
    LockedRepository::find(backend, Arc::new(System))
        .and_then(|locked| {
            let index = |_| -> Box<dyn russet_store::index::Index> { Box::new(BTreeIndex::new()) };
            locked.unlock(&SlotSecret::Password(password()), Purpose::Write, index)
        })
        .expect("what was just made opens")
}

fn password() -> Password {
    Password::new("fuzz").expect("it is a password")
}

/// Gives bytes our magic, format, length and checksum, so that what is behind these is reached. `kind` replaces the
/// kind; bytes shorter than a header stay as they are.
pub fn mended(data: &[u8], kind: u8) -> Vec<u8> {
    let mut file = data.to_vec();
    let len = file.len() as u64;
    if let Some(head) = file.first_chunk_mut::<HEADER_LEN>() {
        head[..8].copy_from_slice(b"\x89russet\n");
        head[8] = kind;
        head[9] = 1;
        head[32..40].copy_from_slice(&len.to_le_bytes());
        let sum = blake3::hash(&head[..40]);
        head[40..].copy_from_slice(&sum.as_bytes()[..8]);
    }
    file
}
