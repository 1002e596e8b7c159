//! Packs by number: entries name their pack in four bytes instead of thirty-two.
//!
//! Invariant: a number is given to one pack, once, and never again, so that an entry whose number is not
//! known belongs to a pack that is gone. Knows packs, not blobs.

use std::collections::HashMap;

use super::{IndexError, PLACE_COUNT_MAX, Place, Spot};
use crate::ids::PackId;

/// One copy of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) number: u32,
    pub(super) spot: Spot,
}

/// The packs that are known.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    by_number: HashMap<u32, (PackId, u64)>,
    by_id: HashMap<PackId, u32>,
    next: u32,
}

impl Numbers {
    /// As read back: the packs, and the first number that was never given.
    #[cfg(feature = "rocks")]
    pub(super) fn restored(packs: impl Iterator<Item = (u32, PackId, u64)>, next: u32) -> Self {
        let mut numbers = Self { next, ..Self::default() };
        for (number, pack, file_len) in packs {
            numbers.admit(number, pack, file_len);
        }
        numbers
    }

    /// Gives out a number that no pack ever had.
    pub(super) fn draw(&mut self) -> Result<u32, IndexError> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(IndexError::Full)?;
        Ok(number)
    }

    /// The first number that was never given.
    #[cfg(feature = "rocks")]
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    /// Makes a pack known, in place of an earlier one of the same id.
    pub(super) fn admit(&mut self, number: u32, pack: PackId, file_len: u64) {
        if let Some(earlier) = self.by_id.insert(pack, number) {
            self.by_number.remove(&earlier);
        }
        self.by_number.insert(number, (pack, file_len));
    }

    /// Makes a pack unknown; the number it had.
    pub(super) fn forget(&mut self, pack: &PackId) -> Option<u32> {
        let number = self.by_id.remove(pack)?;
        self.by_number.remove(&number);
        Some(number)
    }

    /// Makes all packs unknown. Their numbers stay used.
    pub(super) fn clear(&mut self) {
        self.by_number.clear();
        self.by_id.clear();
    }

    #[cfg(feature = "rocks")]
    pub(super) fn number(&self, pack: &PackId) -> Option<u32> {
        self.by_id.get(pack).copied()
    }

    pub(super) fn is_known(&self, number: u32) -> bool {
        self.by_number.contains_key(&number)
    }

    #[cfg(feature = "rocks")]
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.by_number.keys().copied()
    }

    /// Id and length of each, by id.
    pub(super) fn list(&self) -> Vec<(PackId, u64)> {
        let mut packs: Vec<_> = self.by_number.values().copied().collect();
        packs.sort_unstable();
        packs
    }

    /// The copies that stand in known packs, by pack, bounded.
    pub(super) fn places(&self, copies: impl Iterator<Item = Copied>) -> Vec<Place> {
        let place = |copied: Copied| {
            let (pack, _) = self.by_number.get(&copied.number)?;
            Some(copied.spot.within(*pack))
        };
        let mut places: Vec<Place> = copies.filter_map(place).collect();
        places.sort_unstable_by_key(|place| place.pack);
        places.truncate(PLACE_COUNT_MAX);
        places
    }
}
