//! Keyslots of an unlocked repository: adding, removing, listing.
//!
//! Invariant: the last slot is never removed; a removed slot is revoked in the log before its file goes, so that no copy can
//! bring it back.

use super::{Repository, RepositoryError};
use crate::copies::{self, Look};
use crate::header::{Header, Kind};
use crate::ids::{RecordId, WriterId};
use crate::layout::{Room, copy_names};
use crate::log::Said;
use crate::record::{self, record_len_max};
use crate::seal::{Kdf, Keyring, Keyslot, KeyslotFacts, SlotSecret};

/// Why a keyslot was not removed.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// No slot, or several, begin with that id.
    #[error("no single keyslot has an id that begins with {0}")]
    NoSuchSlot(String),
    /// It is the only one.
    #[error("it is the last keyslot: without it nobody could open the repository")]
    Last,
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

impl Repository {
    /// The slot that opened the repository.
    #[must_use]
    pub fn opened_by(&self) -> RecordId {
        self.slot
    }

    /// The label of the slot that opened the repository. Those of other slots are sealed under their own secrets.
    #[must_use]
    pub fn opened_by_label(&self) -> &str {
        &self.slot_label
    }

    /// Slots that are there and not revoked.
    #[must_use]
    pub fn keyslots(&self) -> Vec<KeyslotFacts> {
        let revoked = self.state().revoked_keyslots;
        let ids: Vec<RecordId> = self.with_inventory(|i| i.ids(Room::Keys).collect());
        let read = |id: RecordId| {
            let backend = self.backend.as_ref();
            let file =
                copies::read(backend, Room::Keys, id, record_len_max(Kind::Keyring), Look::First);
            let slot = Keyslot::decode(&file.good?, Some(self.id)).ok()?;
            slot.is_of(&self.master).then(|| slot.facts())
        };
        ids.into_iter().filter(|id| !revoked.contains(id)).filter_map(read).collect()
    }

    /// Wraps the master key under one more secret.
    ///
    /// # Errors
    /// It could not be written.
    pub fn add_keyslot(
        &self,
        secret: &SlotSecret,
        kdf: Kdf,
        label: &str,
    ) -> Result<RecordId, RepositoryError> {
        let slot =
            Keyslot::create(&self.master, self.id, secret, kdf, label, self.ambient.as_ref())?;
        let id = copies::write(self.backend.as_ref(), Room::Keys, slot.bytes())?;
        self.backend.barrier()?;
        let listed = crate::layout::CopiesListed([Some(slot.bytes().len() as u64); 3]);
        self.with_inventory(|i| i.rooms.insert((Room::Keys, id), listed));
        Ok(id)
    }

    /// Revokes a slot and deletes its copies.
    ///
    /// # Errors
    /// See [`RemoveError`].
    pub fn remove_keyslot(&self, prefix: &str, writer: WriterId) -> Result<RecordId, RemoveError> {
        let slots = self.keyslots();
        let mut fitting = slots.iter().filter(|s| s.id.to_string().starts_with(prefix));
        let (Some(slot), None) = (fitting.next(), fitting.next()) else {
            return Err(RemoveError::NoSuchSlot(prefix.to_owned()));
        };
        if slots.len() == 1 {
            return Err(RemoveError::Last);
        }
        self.append(writer, Said::KeyslotRevoked { keyslot: slot.id })?;
        for name in copy_names(Room::Keys, &slot.id) {
            self.backend.delete(&name).map_err(RepositoryError::from)?;
        }
        self.backend.barrier().map_err(RepositoryError::from)?;
        self.with_inventory(|i| i.rooms.remove(&(Room::Keys, slot.id)));
        Ok(slot.id)
    }

    /// Whether a secret opens one of the slots, and which.
    ///
    /// # Errors
    /// A slot asks for more memory than there is.
    pub fn test_secret(&self, secret: &SlotSecret) -> Result<Option<RecordId>, RepositoryError> {
        for facts in self.keyslots() {
            let backend = self.backend.as_ref();
            let file = copies::read(
                backend,
                Room::Keys,
                facts.id,
                record_len_max(Kind::Keyring),
                Look::First,
            );
            let Some(file) = file.good else { continue };
            match Keyslot::decode(&file, Some(self.id))?.open(secret) {
                Ok(_) => return Ok(Some(facts.id)),
                Err(crate::seal::KeyslotError::Wrong | crate::seal::KeyslotError::OtherSecret) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    pub(super) fn is_our_key_file(&self, bytes: &[u8]) -> bool {
        match Header::decode(bytes).map(|h| h.kind) {
            Ok(Kind::Keyring) => {
                let key = |_| Ok(Keyring::sealing_key(&self.master, self.id));
                record::open(bytes, Kind::Keyring, self.id, key).is_ok()
            }
            _ => Keyslot::decode(bytes, Some(self.id)).is_ok_and(|slot| slot.is_of(&self.master)),
        }
    }
}
