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

    /// Takes a row's key; `file` is what its blob says, if it says anything.
    pub(super) fn add(&mut self, row: &Row, file: Option<&MbFile>) {
        let (Some(keys), RowFileId::Id(id)) = (self.keys, &row.file_id) else { return };
        let wrapped = file.and_then(|file| file.encryption_key.as_ref());
        let key = wrapped.and_then(|wrapped| keys.file_key(wrapped));
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::ops::ControlFlow;

    use russet_testkit::{Encryption, FakeBackup};

    use super::*;
    use crate::apple::{LockedKeys, ManifestPages, OpenedFile, Passwords, PhonePassword};

    /// The keys of a backup, and the rows of two files and a folder.
    fn backup() -> (BackupKeys, Vec<Row>) {
        let dir = tempfile::tempdir().unwrap();
        let encryption = Encryption::Password { password: "pear".to_owned(), iterations: 1 };
        let folder = FakeBackup::new("00008110-0001A2B3C4D5E6F7")
            .file("HomeDomain", "a", "a")
            .file("HomeDomain", "b", "b")
            .directory("HomeDomain", "c")
            .encryption(encryption)
            .write_to(dir.path());
        let locked = LockedKeys::parse(&std::fs::read(folder.join("Manifest.plist")).unwrap());
        let mut passwords = Passwords::new(vec![PhonePassword::new("pear").unwrap()]);
        let keys = locked.unwrap().unlock(&mut passwords).unwrap();
        let file = std::fs::File::open(folder.join("Manifest.db")).unwrap();
        let len = file.metadata().unwrap().len();
        let manifest_key = FileKey::from_bytes(keys.manifest().as_bytes());
        let source = OpenedFile::new(file, manifest_key, len).unwrap();
        let mut rows = Vec::new();
        let mut add = |row| {
            rows.push(row);
            ControlFlow::Continue(())
        };
        ManifestPages::open(source).unwrap().for_each_row(&mut add).unwrap();
        (keys, rows)
    }

    fn add(keys: &mut FileKeys<'_>, row: &Row) {
        keys.add(row, MbFile::parse(&row.file).ok().as_ref());
    }

    fn id(row: &Row) -> [u8; 20] {
        let RowFileId::Id(id) = &row.file_id else { panic!("{row:?}") };
        *id.as_bytes()
    }

    #[test]
    fn each_file_has_its_own_key_and_a_folder_none() {
        let (keys, rows) = backup();
        let mut file_keys = FileKeys::new(Some(&keys));
        rows.iter().for_each(|row| add(&mut file_keys, row));
        let [a, b, c] = [0, 1, 2].map(|at| file_keys.of(&id(&rows[at])).map(FileKey::as_bytes));
        assert!(a.is_some() && b.is_some() && a != b && c.is_none());
        assert!(!file_keys.knows(&id(&rows[2])) && file_keys.knows(&id(&rows[0])));
    }

    #[test]
    fn of_two_rows_for_one_file_neither_is_believed_unless_they_agree() {
        let (keys, rows) = backup();
        let twin = |of: &Row| Row { file_id: rows[0].file_id.clone(), ..of.clone() };
        let said = |others: &[Row]| {
            let mut file_keys = FileKeys::new(Some(&keys));
            add(&mut file_keys, &rows[0]);
            others.iter().for_each(|row| add(&mut file_keys, row));
            assert!(file_keys.knows(&id(&rows[0])));
            file_keys.of(&id(&rows[0])).is_some()
        };
        let without = Row { file: Vec::new(), ..twin(&rows[0]) };
        assert!(said(&[]));
        assert!(said(&[twin(&rows[0])]));
        assert!(!said(&[twin(&rows[1])]));
        assert!(!said(&[without]));
        assert!(!said(&[twin(&rows[1]), twin(&rows[0])]));
    }

    #[test]
    fn without_the_backup_s_keys_there_are_none() {
        let (_, rows) = backup();
        let mut file_keys = FileKeys::new(None);
        rows.iter().for_each(|row| add(&mut file_keys, row));
        assert!(!file_keys.are_open() && file_keys.of(&id(&rows[0])).is_none());
        assert!(file_keys.manifest().is_none());
    }

    #[test]
    fn more_files_than_a_block_holds_keep_their_keys() {
        let (keys, rows) = backup();
        let mut file_keys = FileKeys::new(Some(&keys));
        let name = |number: usize| crate::apple::FileId::of(b"D", number.to_string().as_bytes());
        for number in 0..3 * BLOCK_COUNT {
            let row = &rows[number % 2];
            add(&mut file_keys, &Row { file_id: RowFileId::Id(name(number)), ..row.clone() });
        }
        let of = |number| *file_keys.of(name(number).as_bytes()).unwrap().as_bytes();
        assert!((2..3 * BLOCK_COUNT).all(|number| of(number) == of(number % 2)));
    }
}
