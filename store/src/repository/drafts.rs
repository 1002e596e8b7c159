//! Drafts: checkpoints of captures that are not finished (docs/format.md §13).
//!
//! Invariant: a checkpoint is written under a new number and durable before older ones go; the highest that opens counts. What
//! it names must be durable before it is written, so that after a crash a draft is exactly one checkpoint.

use super::{Repository, RepositoryError, lock};
use crate::config::Purpose;
use crate::header::Kind;
use crate::ids::DraftId;
use crate::layout::draft_name;
use crate::record::record_len_max;

/// A checkpoint that opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The draft.
    pub draft: DraftId,
    /// Its number, from 1.
    pub number: u64,
    /// Its JSON.
    pub content: Vec<u8>,
}

impl Repository {
    /// A new draft's id.
    ///
    /// # Errors
    /// No random numbers.
    pub fn new_draft(&self) -> Result<DraftId, RepositoryError> {
        Ok(DraftId::decode(crate::ambient::draw(self.ambient.as_ref())?))
    }

    /// Of each draft the newest checkpoint that opens, and the drafts of which none does.
    #[must_use]
    pub fn drafts(&self) -> (Vec<Checkpoint>, Vec<DraftId>) {
        let listed = lock(&self.inventory).drafts.clone();
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        for (draft, numbers) in listed {
            let newest = numbers.keys().rev().find_map(|number| {
                let name = draft_name(&draft, *number);
                let file = self.backend.get(&name, record_len_max(Kind::Draft)).ok()?;
                let content = self.open_record(Kind::Draft, &file).ok()?;
                Some(Checkpoint { draft, number: *number, content })
            });
            match newest {
                Some(checkpoint) => found.push(checkpoint),
                None => lost.push(draft),
            }
        }
        (found, lost)
    }

    /// Writes the next checkpoint of a draft, durable when this returns, and removes the earlier ones.
    ///
    /// # Errors
    /// It could not be written; the one before still counts. That an earlier one could not be removed is no error.
    pub fn put_checkpoint(&self, draft: DraftId, content: &[u8]) -> Result<u64, RepositoryError> {
        self.config(Purpose::Write)?;
        let before: Vec<u64> = self.with_inventory(|i| {
            i.drafts
                .get(&draft)
                .map(|numbers| numbers.keys().copied().collect())
                .unwrap_or_default()
        });
        // What is listed is far below the greatest number (layout).
        let number = before.last().copied().unwrap_or(0).saturating_add(1);
        let file = self.seal_record(Kind::Draft, content)?;
        self.backend.put_new(&draft_name(&draft, number), &file)?;
        self.backend.barrier()?;
        let len = file.len() as u64;
        self.with_inventory(|i| i.drafts.entry(draft).or_default().insert(number, len));
        for old in before {
            if self.backend.delete(&draft_name(&draft, old)).is_ok() {
                self.with_inventory(|i| i.drafts.entry(draft).or_default().remove(&old));
            }
        }
        Ok(number)
    }

    /// Removes a draft, its newest checkpoint last: what is left after a crash is what counted before.
    ///
    /// # Errors
    /// A checkpoint could not be removed.
    pub fn remove_draft(&self, draft: DraftId) -> Result<(), RepositoryError> {
        let numbers: Vec<u64> = self.with_inventory(|i| {
            i.drafts
                .get(&draft)
                .map(|numbers| numbers.keys().copied().collect())
                .unwrap_or_default()
        });
        for number in numbers {
            self.backend.delete(&draft_name(&draft, number))?;
            self.with_inventory(|i| i.drafts.entry(draft).or_default().remove(&number));
        }
        self.backend.barrier()?;
        self.with_inventory(|i| i.drafts.remove(&draft));
        Ok(())
    }
}
