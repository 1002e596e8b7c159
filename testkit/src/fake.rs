//! A small backup spelled out by a test.
//!
//! Invariant: it holds exactly what the test said and the four root files, nothing more; the same calls give the same
//! folder. Everything is kept in memory: for large phones there is `Phone`.

use crate::Encryption;
use crate::content::Content;
use crate::folder::BackupFolder;
use crate::keybag::{Key, Keybag};
use crate::manifest_db::{ManifestDb, RowKind};
use crate::mbfile::MbFile;
use crate::plists::{self, Device, time_of};
use crate::random::Random;
use crate::write_error::WriteError;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// When files and backups were made unless a test says otherwise: 4 January 2026.
const DATE: u64 = 1_767_486_030;
/// The class that almost all files of a phone have: readable after the first unlock.
const PROTECTION_CLASS: u32 = 3;

/// A backup that a test spells out. `Clone` it and go on to make the next week.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let backup = russet_testkit::FakeBackup::new("00008110-0001A2B3C4D5E6F7")
///     .directory("HomeDomain", "Library")
///     .file("HomeDomain", "Library/a.db", "bytes")
///     .write_to(folder.path());
/// assert!(backup.join("Manifest.db").exists());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FakeBackup {
    device: Device,
    date: u64,
    snapshot_state: String,
    encryption: Encryption,
    entries: Vec<Entry>,
    extras: BTreeMap<String, Vec<u8>>,
    raw: BTreeMap<String, Vec<u8>>,
    without: BTreeSet<String>,
    /// What rows say of a file's length, where it is not the truth.
    sizes: BTreeMap<(String, String), u64>,
}

#[derive(Clone, Debug)]
struct Entry {
    domain: String,
    path: String,
    modified: u64,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    File(Vec<u8>),
    FileWithoutPayload,
    Directory,
    Symlink(String),
}

impl FakeBackup {
    /// An empty, unencrypted, finished backup of the device `udid`.
    pub fn new(udid: &str) -> Self {
        Self {
            device: Device::new(udid.to_owned(), "Test iPhone".to_owned()),
            date: DATE,
            snapshot_state: "finished".to_owned(),
            encryption: Encryption::None,
            entries: Vec::new(),
            extras: BTreeMap::new(),
            raw: BTreeMap::new(),
            without: BTreeSet::new(),
            sizes: BTreeMap::new(),
        }
    }

    /// A file with its row; replaces one of the same domain and path.
    pub fn file(self, domain: &str, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.file_at(domain, path, bytes, DATE)
    }

    /// A file last changed at `modified`, Unix seconds: in its row and on disk.
    pub fn file_at(self, domain: &str, path: &str, bytes: impl AsRef<[u8]>, modified: u64) -> Self {
        self.entry(domain, path, modified, Kind::File(bytes.as_ref().to_vec()))
    }

    /// A row that promises a file whose payload is not there.
    pub fn row_without_payload(self, domain: &str, path: &str) -> Self {
        self.entry(domain, path, DATE, Kind::FileWithoutPayload)
    }

    /// A directory: a row only. Parents are not added.
    pub fn directory(self, domain: &str, path: &str) -> Self {
        self.entry(domain, path, DATE, Kind::Directory)
    }

    /// A symlink of the phone: a row only.
    pub fn symlink(self, domain: &str, path: &str, target: &str) -> Self {
        self.entry(domain, path, DATE, Kind::Symlink(target.to_owned()))
    }

    /// Takes an entry out again.
    pub fn forget(mut self, domain: &str, path: &str) -> Self {
        self.entries.retain(|entry| (entry.domain.as_str(), entry.path.as_str()) != (domain, path));
        self
    }

    /// A file under the backup's root that no row knows. A name that ends in `/` makes an empty folder.
    pub fn extra_file(mut self, name: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.extras.insert(name.to_owned(), bytes.as_ref().to_vec());
        self
    }

    /// When the backup was made, in Unix seconds. Files keep their own times.
    pub fn date(mut self, unix_secs: u64) -> Self {
        self.date = unix_secs;
        self
    }

    /// `SnapshotState` of Status.plist; all but `finished` mean that the backup was interrupted.
    pub fn snapshot_state(mut self, state: &str) -> Self {
        state.clone_into(&mut self.snapshot_state);
        self
    }

    /// The version of the phone's iOS.
    pub fn product_version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.device.version);
        self
    }

    /// The name of the phone.
    pub fn device_name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.device.name);
        self
    }

    /// Encrypts the backup as a phone with a backup password does.
    pub fn encryption(mut self, encryption: Encryption) -> Self {
        self.encryption = encryption;
        self
    }

    /// The row of this file says that it has that many bytes, as rows of databases often do.
    pub fn row_size(mut self, domain: &str, path: &str, size: u64) -> Self {
        self.sizes.insert((domain.to_owned(), path.to_owned()), size);
        self
    }

    /// Leaves out one of Info.plist, Status.plist, Manifest.plist, Manifest.db.
    pub fn without(mut self, root_file: &str) -> Self {
        self.without.insert(root_file.to_owned());
        self
    }

    /// Puts these bytes in place of a root file.
    pub fn raw(mut self, root_file: &str, bytes: impl AsRef<[u8]>) -> Self {
        self.raw.insert(root_file.to_owned(), bytes.as_ref().to_vec());
        self
    }

    /// Writes `<parent>/<UDID>/` and returns its path. Panics if it exists or cannot be written: a test has nothing
    /// better to do then.
    #[track_caller]
    pub fn write_to(&self, parent: impl AsRef<Path>) -> PathBuf {
        match self.write(parent.as_ref()) {
            Ok(root) => root,
            Err(error) => panic!("the fake backup could not be written: {error:?}"),
        }
    }

    fn entry(self, domain: &str, path: &str, modified: u64, kind: Kind) -> Self {
        let mut backup = self.forget(domain, path);
        backup.entries.push(Entry {
            domain: domain.to_owned(),
            path: path.to_owned(),
            modified,
            kind,
        });
        backup
    }

    fn write(&self, parent: &Path) -> Result<PathBuf, WriteError> {
        let mut folder = BackupFolder::create(parent, &self.device.udid)?;
        let keybag = self.keybag()?;
        let work = tempfile::tempdir().map_err(WriteError::io(parent))?;
        let database = ManifestDb::create(&work.path().join("Manifest.db"))?;
        for (index, entry) in self.entries.iter().enumerate() {
            self.write_entry(index, entry, keybag.as_ref(), &mut folder, &database)?;
        }
        let database = database.finish()?;

        let manifest_key: Key =
            Random::of_parts(&[plists::hash(&self.device.udid), self.date]).array();
        let wrapped = keybag.as_ref().map(|keybag| keybag.wrap(4, &manifest_key)).transpose()?;
        let encryption = keybag.as_ref().map(Keybag::encoded).zip(wrapped);
        let uuid = Random::of_parts(&[self.date]).uuid();
        let no_apps = [];
        let info = self.device.info(self.date, &no_apps);
        let status = plists::status(self.date, uuid, true, &self.snapshot_state);
        let manifest = self.device.manifest(self.date, &no_apps, encryption);
        let key = keybag.is_some().then_some(&manifest_key);
        self.root_file(
            &mut folder,
            "Info.plist",
            Content::Bytes(plists::binary(&info)?.into()),
            None,
        )?;
        self.root_file(
            &mut folder,
            "Status.plist",
            Content::Bytes(plists::binary(&status)?.into()),
            None,
        )?;
        self.root_file(
            &mut folder,
            "Manifest.plist",
            Content::Bytes(plists::binary(&manifest)?.into()),
            None,
        )?;
        self.root_file(&mut folder, "Manifest.db", Content::Database(database), key)?;
        for (name, bytes) in &self.extras {
            if name.ends_with('/') {
                folder.folder(Path::new(name))?;
            } else {
                folder.file(
                    name,
                    &Content::Bytes(bytes.clone().into()),
                    None,
                    time_of(self.date),
                )?;
            }
        }
        folder.finish(time_of(self.date))
    }

    fn keybag(&self) -> Result<Option<Keybag>, WriteError> {
        let Encryption::Password { password, iterations } = &self.encryption else {
            return Ok(None);
        };
        let mut keys = Random::of_parts(&[plists::hash(&self.device.udid), 1]);
        let mut salts =
            Random::of_parts(&[plists::hash(&self.device.udid), plists::hash(password)]);
        Keybag::new(&mut keys, &mut salts, password.as_bytes(), *iterations).map(Some)
    }

    fn write_entry(
        &self,
        index: usize,
        entry: &Entry,
        keybag: Option<&Keybag>,
        folder: &mut BackupFolder,
        database: &ManifestDb,
    ) -> Result<(), WriteError> {
        let modified = i64::try_from(entry.modified).unwrap_or(i64::MAX);
        let mut row = MbFile {
            relative_path: &entry.path,
            size: 0,
            mode: 0o040_755,
            protection_class: 0,
            inode: 1000 + u64::try_from(index).unwrap_or(0),
            modified,
            birth: modified,
            encryption_key: None,
            digest: None,
            extended_attributes: None,
            target: None,
        };
        let kind = match &entry.kind {
            Kind::Directory => RowKind::Directory,
            Kind::Symlink(target) => {
                row.mode = 0o120_755;
                row.target = Some(target);
                RowKind::Symlink
            }
            Kind::File(_) | Kind::FileWithoutPayload => {
                let bytes =
                    if let Kind::File(bytes) = &entry.kind { bytes.as_slice() } else { &[] };
                row.mode = 0o100_644;
                row.protection_class = PROTECTION_CLASS;
                let said = self.sizes.get(&(entry.domain.clone(), entry.path.clone())).copied();
                row.size = said.unwrap_or(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
                let name = format!("{} {} {}", entry.domain, entry.path, entry.modified);
                let key: Key = Random::of_parts(&[plists::hash(&name)]).array();
                row.encryption_key =
                    keybag.map(|keybag| keybag.wrap(PROTECTION_CLASS, &key)).transpose()?;
                if let Kind::File(bytes) = &entry.kind {
                    let id = crate::file_id(&entry.domain, &entry.path);
                    let content = Content::Bytes(bytes.as_slice().into());
                    let digest = folder.payload(
                        &id,
                        &content,
                        keybag.map(|_| &key),
                        time_of(entry.modified),
                    )?;
                    row.digest = crate::has_digest(&entry.domain).then_some(digest);
                }
                RowKind::File
            }
        };
        database.put(&entry.domain, &entry.path, kind, &row.encode()?)
    }

    fn root_file(
        &self,
        folder: &mut BackupFolder,
        name: &str,
        content: Content,
        key: Option<&Key>,
    ) -> Result<(), WriteError> {
        if let Some(bytes) = self.raw.get(name) {
            folder.file(
                name,
                &Content::Bytes(bytes.as_slice().into()),
                None,
                time_of(self.date),
            )?;
        } else if !self.without.contains(name) {
            folder.file(name, &content, key, time_of(self.date))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;
    use std::fs;

    const UDID: &str = "00008110-0001A2B3C4D5E6F7";

    fn example() -> FakeBackup {
        FakeBackup::new(UDID)
            .directory("HomeDomain", "Library")
            .file("HomeDomain", "Library/a.db", "alpha")
            .file("CameraRollDomain", "Media/DCIM/1.JPG", [7; 40_000])
            .symlink("DatabaseDomain", "timezone/localtime", "/var/db/timezone")
            .row_without_payload("HomeDomain", "Library/gone")
            .extra_file("_BackupExplorer/x", "x")
            .extra_file("Snapshot/", "")
    }

    fn rows(root: &Path) -> Vec<(String, String, i64)> {
        let uri = format!("file:{}?immutable=1", root.join("Manifest.db").display());
        let flags =
            rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY | rusqlite::OpenFlags::SQLITE_OPEN_URI;
        let connection = rusqlite::Connection::open_with_flags(uri, flags).unwrap();
        let mut statement = connection
            .prepare("SELECT fileID, relativePath, flags FROM Files ORDER BY rowid")
            .unwrap();
        let rows =
            statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    #[test]
    fn what_was_said_is_what_lies_there() {
        let folder = tempfile::tempdir().unwrap();
        let root = example().write_to(folder.path());
        let id = crate::file_id("HomeDomain", "Library/a.db");
        assert_eq!(fs::read(root.join(&id[..2]).join(&id)).unwrap(), b"alpha");
        assert_eq!(fs::read(root.join("_BackupExplorer/x")).unwrap(), b"x");
        assert!(root.join("Snapshot").is_dir());
        let flags: Vec<i64> = rows(&root).into_iter().map(|row| row.2).collect();
        assert_eq!(flags, [2, 1, 1, 4, 1]);
        let files = crate::damage::all_files(&root).unwrap();
        assert_eq!(files.len(), 7, "{files:?}");
        assert_eq!(fs::read(root.join("Manifest.db")).unwrap()[18..20], [2, 2], "marked as WAL");
    }

    #[test]
    fn the_same_calls_give_the_same_folder() {
        let folder = tempfile::tempdir().unwrap();
        let password = Encryption::Password { password: "pear".to_owned(), iterations: 10 };
        for backup in [example(), example().encryption(password)] {
            let parents = tempfile::tempdir_in(folder.path()).unwrap();
            let roots = ["a", "b"].map(|name| backup.write_to(parents.path().join(name)));
            crate::assert_same_backup(&roots[0], &roots[1]);
        }
    }

    #[test]
    fn root_files_can_be_left_out_or_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let root =
            example().without("Status.plist").raw("Manifest.plist", "junk").write_to(folder.path());
        assert!(!root.join("Status.plist").exists());
        assert_eq!(fs::read(root.join("Manifest.plist")).unwrap(), b"junk");
    }

    #[test]
    fn an_encrypted_payload_has_whole_blocks_and_hides_its_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let password = Encryption::Password { password: "pear".to_owned(), iterations: 10 };
        let root = example().encryption(password).write_to(folder.path());
        let id = crate::file_id("HomeDomain", "Library/a.db");
        let stored = fs::read(root.join(&id[..2]).join(&id)).unwrap();
        assert_eq!(stored.len(), 16);
        let manifest = fs::read(root.join("Manifest.db")).unwrap();
        assert_eq!(manifest.len() % 4096, 16);
        assert!(!manifest.starts_with(b"SQLite"));
    }
}
