//! Snapshot records that are lost under their own names, and found again in packs: each session puts a copy into its last one
//! (docs/format.md §9).
//!
//! Invariant: only bytes whose BLAKE3 is the lost name, and that open as a snapshot's record, are taken. Nothing is written here;
//! [`Repository::mend`] does that.

use std::collections::BTreeSet;

use super::{OpenedRecord, Remark, Repository, link_of, lock, version_of};
use crate::header::Kind;
use crate::ids::{RecordId, hash_of_file};
use crate::seal::BlobType;

impl Repository {
    /// Looks for records that are damaged in all copies, or that others name and nobody has.
    pub(super) fn rescue_snapshots(&mut self) {
        let mut wanted: BTreeSet<RecordId> = self.lost.iter().copied().collect();
        wanted.extend(self.missing_links());
        if wanted.is_empty() {
            return;
        }
        for (pack, file_len) in self.packs() {
            let Ok(entries) = self.read_directory(&pack, file_len) else { continue };
            for entry in entries.iter().filter(|entry| entry.blob_type == BlobType::Record) {
                let Ok(file) = self.blob(&entry.id, BlobType::Record) else { continue };
                let id = RecordId::decode(hash_of_file(&file));
                if wanted.remove(&id) {
                    self.take_rescued(id, file);
                }
            }
        }
    }

    fn take_rescued(&mut self, id: RecordId, file: Vec<u8>) {
        let Ok(content) = self.open_record(Kind::Snapshot, &file) else { return };
        let Some(link) = link_of(&content).filter(|_| version_of(&content) == Some(1)) else {
            return;
        };
        self.lost.retain(|lost| *lost != id);
        {
            let mut chains = lock(&self.chains);
            let head = chains.entry(link.writer).or_insert((link.seq, id));
            if link.seq > head.0 {
                *head = (link.seq, id);
            }
        }
        lock(&self.snapshots).push(OpenedRecord { id, content });
        lock(&self.rescued).push((id, file));
        self.remark(Remark::Rescued { id });
    }
}
