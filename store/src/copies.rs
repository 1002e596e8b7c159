//! Small files that stand three times: reading any good copy, and mending the others.
//!
//! Invariant: a copy counts only if BLAKE3 of its bytes is its name; mending writes bytes that were checked, over names that are
//! missing or hold something else, and only when asked to by a command that writes anyway.

use crate::backend::{Backend, BackendError, Name};
use crate::ids::{RecordId, hash_of_file};
use crate::layout::{Room, copy_names};

/// What is wrong with one copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyProblem {
    /// Not there, or not readable.
    #[error(transparent)]
    Unreadable(#[from] BackendError),
    /// Other bytes than its name says.
    #[error("{name} is damaged: its bytes are not what its name says")]
    Damaged {
        /// The copy.
        name: String,
    },
}

/// A file read from its copies.
#[derive(Debug)]
pub struct Copies {
    /// The file's id.
    pub id: RecordId,
    /// The bytes, if any copy is good.
    pub good: Option<Vec<u8>>,
    /// Copies that are missing or damaged, among those that were looked at.
    pub problems: Vec<(Name, CopyProblem)>,
}

/// How many copies are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Until one is good.
    First,
    /// All three.
    All,
}

/// Reads one file of a room.
#[must_use]
pub fn read(backend: &dyn Backend, room: Room, id: RecordId, len_max: u64, look: Look) -> Copies {
    let mut copies = Copies { id, good: None, problems: Vec::new() };
    for name in copy_names(room, &id) {
        match read_one(backend, &name, &id, len_max) {
            Ok(bytes) => {
                copies.good.get_or_insert(bytes);
                if look == Look::First {
                    break;
                }
            }
            Err(problem) => copies.problems.push((name, problem)),
        }
    }
    copies
}

fn read_one(
    backend: &dyn Backend,
    name: &Name,
    id: &RecordId,
    len_max: u64,
) -> Result<Vec<u8>, CopyProblem> {
    let bytes = backend.get(name, len_max)?;
    if hash_of_file(&bytes) == *id.as_bytes() {
        Ok(bytes)
    } else {
        Err(CopyProblem::Damaged { name: name.to_string() })
    }
}

/// Writes a new file three times.
///
/// # Errors
/// The first copy that could not be written. Copies before it are there.
pub fn write(backend: &dyn Backend, room: Room, bytes: &[u8]) -> Result<RecordId, BackendError> {
    let id = RecordId::decode(hash_of_file(bytes));
    // The main copy last: what is listed under the plain name has its copies already.
    for name in copy_names(room, &id).iter().rev() {
        backend.put_new(name, bytes)?;
    }
    Ok(id)
}

/// Writes the good bytes over the copies that had problems.
///
/// # Errors
/// A copy could not be written.
pub fn mend(backend: &dyn Backend, copies: &Copies) -> Result<usize, BackendError> {
    let Some(good) = &copies.good else { return Ok(0) };
    for (name, _) in &copies.problems {
        backend.put_new(name, good)?;
    }
    Ok(copies.problems.len())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::backend::MemoryBackend;

    #[test]
    fn two_bad_copies_of_three_are_read_around_and_mended() {
        let backend = MemoryBackend::new();
        let id = write(&backend, Room::Log, b"content").unwrap();
        let [first, second, third] = copy_names(Room::Log, &id);
        backend.put_new(&first, b"contenu").unwrap();
        backend.delete(&third).unwrap();
        let copies = read(&backend, Room::Log, id, 100, Look::First);
        assert_eq!(copies.good.as_deref(), Some(&b"content"[..]));
        let copies = read(&backend, Room::Log, id, 100, Look::All);
        assert_eq!(copies.problems.len(), 2);
        assert_eq!(mend(&backend, &copies).unwrap(), 2);
        for name in [first, second, third] {
            assert_eq!(backend.get(&name, 100).unwrap(), b"content");
        }
    }

    #[test]
    fn no_good_copy_is_no_content() {
        let backend = MemoryBackend::new();
        let id = write(&backend, Room::Log, b"content").unwrap();
        for name in copy_names(Room::Log, &id) {
            backend.put_new(&name, b"").unwrap();
        }
        let copies = read(&backend, Room::Log, id, 100, Look::First);
        assert!(copies.good.is_none());
        assert_eq!(copies.problems.len(), 3);
    }
}
