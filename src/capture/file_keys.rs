//! The keys of a backup's files, by the name under which each is stored.
//!
//! Invariant: a file has one key or none: where two rows disagree neither is believed. Keys lie where they were put until they
//! are wiped: a table that grows would leave copies behind.

use std::collections::HashMap;

use crate::apple::{BackupKeys, FileKey, MbFile, Row, RowFileId};

const BLOCK_COUNT: usize = 1024;

/// What the rows say of a file's key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Number of the key.
    Key(u32),
    /// No key, one that does not open, or two that differ.
    Nothing,
}

/// Keys of files and of Manifest.db.
#[derive(Default)]
pub(super) struct FileKeys<'k> {
    keys: Option<&'k BackupKeys>,
    said: HashMap<[u8; 20], Said>,
    blocks: Vec<Vec<FileKey>>,
}

impl<'k> FileKeys<'k> {
    /// None yet. Without the backup's keys there never are any.
    pub(super) fn new(keys: Option<&'k BackupKeys>) -> Self {
        Self { keys, ..Self::default() }
    }

    /// Whether files are opened at all.
    pub(super) fn are_open(&self) -> bool {
        self.keys.is_some()
    }

    /// The key of Manifest.db.
    pub(super) fn manifest(&self) -> Option<&FileKey> {
        self.keys.map(BackupKeys::manifest)
    }

    /// Takes a row's key.
    pub(super) fn add(&mut self, row: &Row) {
        let (Some(keys), RowFileId::Id(id)) = (self.keys, &row.file_id) else { return };
        let wrapped = MbFile::parse(&row.file).ok().and_then(|file| file.encryption_key);
        let key = wrapped.and_then(|wrapped| keys.file_key(&wrapped));
        if row.flags != 1 && key.is_none() {
            return;
        }
        let said = match (self.said.get(id.as_bytes()), key) {
            (None, Some(key)) => self.put(key),
            (Some(Said::Key(number)), Some(key))
                if self.at(*number).is_some_and(|known| known.as_bytes() == key.as_bytes()) =>
            {
                Said::Key(*number)
            }
            _ => Said::Nothing,
        };
        self.said.insert(*id.as_bytes(), said);
    }

    fn put(&mut self, key: FileKey) -> Said {
        if self.blocks.last().is_none_or(|block| block.len() == BLOCK_COUNT) {
            self.blocks.push(Vec::with_capacity(BLOCK_COUNT));
        }
        let number = (self.blocks.len() - 1) * BLOCK_COUNT;
        let Some(block) = self.blocks.last_mut() else { return Said::Nothing };
        let number = u32::try_from(number + block.len());
        block.push(key);
        number.map_or(Said::Nothing, Said::Key)
    }

    fn at(&self, number: u32) -> Option<&FileKey> {
        let number = number as usize;
        self.blocks.get(number / BLOCK_COUNT)?.get(number % BLOCK_COUNT)
    }

    /// Whether a row names the file of this id.
    pub(super) fn knows(&self, id: &[u8; 20]) -> bool {
        self.said.contains_key(id)
    }

    /// The key of the file of this id.
    pub(super) fn of(&self, id: &[u8; 20]) -> Option<&FileKey> {
        match self.said.get(id)? {
            Said::Key(number) => self.at(*number),
            Said::Nothing => None,
        }
    }
}
