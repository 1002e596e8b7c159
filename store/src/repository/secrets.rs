//! Secrets that a person had remembered: small sealed records that can be forgotten again (docs/format.md §14).
//!
//! Invariant: unlike what the log says, a secret can go: its forgetting is logged before its files are deleted, so that no copy
//! brings it back, and what a crash or an older copy left of it is deleted by whoever writes next. The content is the caller's,
//! and wiped when it is dropped.

use zeroize::Zeroizing;

use super::{Repository, RepositoryError};
use crate::backend::BackendError;
use crate::config::Purpose;
use crate::copies::{self, CopyProblem, Look};
use crate::header::Kind;
use crate::ids::{RecordId, WriterId};
use crate::layout::{CopiesListed, Room, copy_names};
use crate::log::Said;
use crate::record::record_len_max;

/// A secret that opened.
pub struct OpenedSecret {
    /// Name of its file.
    pub id: RecordId,
    /// Its JSON.
    pub content: Zeroizing<Vec<u8>>,
}

impl Repository {
    /// The secrets that are remembered, in no order. One that does not open is passed over; `verify` names it.
    #[must_use]
    pub fn secrets(&self) -> Vec<OpenedSecret> {
        let forgotten = self.state().forgotten_secrets;
        let ids: Vec<RecordId> = self.with_inventory(|i| i.ids(Room::Secrets).collect());
        let read = |id: RecordId| {
            let (backend, len_max) = (self.backend.as_ref(), record_len_max(Kind::Secret));
            let file = copies::read(backend, Room::Secrets, id, len_max, Look::First).good?;
            let content = Zeroizing::new(self.open_record(Kind::Secret, &file).ok()?);
            Some(OpenedSecret { id, content })
        };
        ids.into_iter().filter(|id| !forgotten.contains(id)).filter_map(read).collect()
    }

    /// Secrets of which no copy is good, on a drive that answers: nobody can read them again, unless another copy of the repository
    /// has them. [`Self::forget_secret`] gives them up.
    #[must_use]
    pub fn lost_secrets(&self) -> Vec<RecordId> {
        let forgotten = self.state().forgotten_secrets;
        let ids: Vec<RecordId> = self.with_inventory(|i| i.ids(Room::Secrets).collect());
        let is_lost = |id: &RecordId| {
            let (backend, len_max) = (self.backend.as_ref(), record_len_max(Kind::Secret));
            let found = copies::read(backend, Room::Secrets, *id, len_max, Look::First);
            let is_away = |problem: &CopyProblem| {
                matches!(problem, CopyProblem::Unreadable(BackendError::Disconnected { .. }))
            };
            match found.good {
                Some(file) => self.open_record(Kind::Secret, &file).map(Zeroizing::new).is_err(),
                None => !found.problems.iter().any(|(_, problem)| is_away(problem)),
            }
        };
        ids.into_iter().filter(|id| !forgotten.contains(id)).filter(is_lost).collect()
    }

    /// Remembers a secret, durable when this returns.
    ///
    /// # Errors
    /// It could not be written.
    pub fn put_secret(&self, content: &[u8]) -> Result<RecordId, RepositoryError> {
        self.config(Purpose::Write)?;
        let file = self.seal_record(Kind::Secret, content)?;
        let id = copies::write(self.backend.as_ref(), Room::Secrets, &file)?;
        self.backend.barrier()?;
        let listed = CopiesListed([Some(file.len() as u64); 3]);
        self.with_inventory(|i| i.rooms.insert((Room::Secrets, id), listed));
        Ok(id)
    }

    /// Forgets a secret for good: nothing remembers it again but who is told it again.
    ///
    /// # Errors
    /// It could not be written down, and is not forgotten; or not deleted, and is used no more.
    pub fn forget_secret(&self, id: RecordId, writer: WriterId) -> Result<(), RepositoryError> {
        self.append(writer, Said::SecretForgotten { secret: id })?;
        self.delete_secret(id)?;
        Ok(self.backend.barrier()?)
    }

    pub(super) fn delete_secret(&self, id: RecordId) -> Result<(), RepositoryError> {
        for name in copy_names(Room::Secrets, &id) {
            match self.backend.delete(&name) {
                // A folder of that name is no secret.
                Ok(()) | Err(BackendError::NotAFile { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.with_inventory(|i| i.rooms.remove(&(Room::Secrets, id)));
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ambient::System;
    use crate::backend::{Backend, MemoryBackend};
    use crate::config::Cut;
    use crate::index::BTreeIndex;
    use crate::repository::{CreateOptions, LockedRepository, create};
    use crate::seal::{Kdf, Password, SlotSecret};

    const WRITER: WriterId = WriterId::decode([3; 16]);

    fn made() -> Arc<dyn Backend> {
        let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
        let password = Password::new("x").unwrap();
        let kdf = Kdf::Argon2id { memory_kib: 64, passes: 1, lanes: 1 };
        let options = CreateOptions { password, kdf, cut: Cut::default(), documents: vec![] };
        create(&backend, &System, options).unwrap();
        backend
    }

    fn opened(backend: &Arc<dyn Backend>) -> Repository {
        let secret = SlotSecret::Password(Password::new("x").unwrap());
        let found = LockedRepository::find(Arc::clone(backend), Arc::new(System)).unwrap();
        found.unlock(&secret, Purpose::Write, |_| Box::new(BTreeIndex::new())).unwrap()
    }

    fn remembered(backend: &Arc<dyn Backend>) -> Vec<Vec<u8>> {
        opened(backend).secrets().iter().map(|secret| secret.content.to_vec()).collect()
    }

    #[test]
    fn a_secret_is_read_back_from_any_copy_and_the_others_heal() {
        let backend = made();
        let id = opened(&backend).put_secret(b"{}").unwrap();
        let [first, second, third] = copy_names(Room::Secrets, &id);
        backend.delete(&first).unwrap();
        backend.put_new(&second, b"other bytes").unwrap();
        assert_eq!(remembered(&backend), [b"{}"]);
        assert_eq!(opened(&backend).mend().unwrap(), 2);
        backend.delete(&third).unwrap();
        backend.delete(&second).unwrap();
        assert_eq!(remembered(&backend), [b"{}"]);
    }

    #[test]
    fn what_is_forgotten_is_gone_from_all_copies_and_does_not_come_back_with_an_older_one() {
        let backend = made();
        let repository = opened(&backend);
        let (kept, id) =
            (repository.put_secret(b"1").unwrap(), repository.put_secret(b"2").unwrap());
        let names = copy_names(Room::Secrets, &id);
        let file = backend.get(&names[0], 1 << 20).unwrap();
        repository.forget_secret(id, WRITER).unwrap();
        assert!(names.iter().all(|name| backend.get(name, 1 << 20).is_err()));
        assert!(repository.secrets().iter().all(|secret| secret.id == kept));
        // An older copy of the drive is copied over this one.
        backend.put_new(&names[1], &file).unwrap();
        backend.put_new(&names[0], &file).unwrap();
        assert_eq!(remembered(&backend), [b"1"]);
        opened(&backend).mend().unwrap();
        assert!(names.iter().all(|name| backend.get(name, 1 << 20).is_err()));
        assert_eq!(remembered(&backend), [b"1"]);
    }

    #[test]
    fn a_secret_without_a_good_copy_is_lost_and_can_be_given_up() {
        let backend = made();
        let repository = opened(&backend);
        let (kept, id) =
            (repository.put_secret(b"1").unwrap(), repository.put_secret(b"2").unwrap());
        let names = copy_names(Room::Secrets, &id);
        backend.put_new(&names[0], b"other bytes").unwrap();
        backend.put_new(&names[1], b"").unwrap();
        assert!(opened(&backend).lost_secrets().is_empty());
        backend.delete(&names[2]).unwrap();
        assert_eq!(opened(&backend).lost_secrets(), [id]);
        opened(&backend).forget_secret(id, WRITER).unwrap();
        assert!(names.iter().all(|name| backend.get(name, 1 << 20).is_err()));
        assert!(opened(&backend).lost_secrets().is_empty());
        assert_eq!(opened(&backend).secrets().first().unwrap().id, kept);
    }

    #[test]
    fn a_forgetting_that_was_logged_and_no_more_counts() {
        let backend = made();
        let repository = opened(&backend);
        let id = repository.put_secret(b"{}").unwrap();
        repository.append(WRITER, Said::SecretForgotten { secret: id }).unwrap();
        assert!(repository.secrets().is_empty() && remembered(&backend).is_empty());
    }
}
