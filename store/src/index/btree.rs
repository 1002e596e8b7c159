//! The index in memory: for hosts without a cache folder, for a second process, and for tests.
//!
//! Invariant: the same answers as the cache on disk. About 150 bytes a blob, so it is not for repositories
//! of a hundred million.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::numbers::{Copied, Numbers};
use super::{Index, IndexError, Place, Spot};
use crate::ids::{BlobId, PackId};

/// An index that lives and dies with the process.
#[derive(Debug, Default)]
pub struct BTreeIndex {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    packs: Numbers,
    blobs: BTreeMap<BlobId, Vec<Copied>>,
}

impl BTreeIndex {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index for BTreeIndex {
    fn lookup(&self, id: &BlobId) -> Result<Vec<Place>, IndexError> {
        let state = self.read();
        let copies = state.blobs.get(id).into_iter().flatten().copied();
        Ok(state.packs.places(copies))
    }

    fn insert_pack(
        &self,
        pack: &PackId,
        file_len: u64,
        entries: &[(BlobId, Spot)],
    ) -> Result<(), IndexError> {
        let mut state = self.write();
        let State { packs, blobs } = &mut *state;
        let number = packs.draw()?;
        packs.admit(number, *pack, file_len);
        for (id, spot) in entries {
            let copies = blobs.entry(*id).or_default();
            // What forgotten packs left is cleaned where we pass.
            copies.retain(|copied| packs.is_known(copied.number));
            if copies.iter().all(|copied| copied.number != number) {
                copies.push(Copied { number, spot: *spot });
            }
        }
        Ok(())
    }

    fn forget_pack(&self, pack: &PackId) -> Result<(), IndexError> {
        self.write().packs.forget(pack);
        Ok(())
    }

    fn packs(&self) -> Result<Vec<(PackId, u64)>, IndexError> {
        Ok(self.read().packs.list())
    }

    fn flush(&self) -> Result<(), IndexError> {
        Ok(())
    }

    fn clear(&self) -> Result<(), IndexError> {
        let mut state = self.write();
        state.packs.clear();
        state.blobs.clear();
        Ok(())
    }
}
