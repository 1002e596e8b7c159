//! A phone's backup of the current week, written as a folder.
//!
//! Invariant: Manifest.db is new each week, in another order of domains, with what was sent this week at the end
//! (docs/apple-format.md §3). Writing twice in one week gives the same bytes. Memory does not grow with file sizes.

use super::{Directory, Phone, PhoneFile, Role, Symlink};
use crate::Encryption;
use crate::content::Content;
use crate::folder::BackupFolder;
use crate::keybag::{Key, Keybag, WrappedKey};
use crate::manifest_db::{ManifestDb, RowKind};
use crate::mbfile::MbFile;
use crate::plists::{self, Device, time_of};
use crate::random::Random;
use crate::write_error::WriteError;
use plist::{Dictionary, Value};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The class that Manifest.db's key is wrapped under.
const MANIFEST_CLASS: u32 = 4;

/// One row to be, as the phone's scan meets it.
#[derive(Clone, Copy)]
pub(super) enum Found<'a> {
    Directory(Directory),
    Symlink(&'a Symlink),
    File(&'a PhoneFile),
}

struct Writing<'a> {
    phone: &'a Phone,
    keybag: Option<Keybag>,
    folder: BackupFolder,
    database: ManifestDb,
}

impl Phone {
    /// Writes the backup of the current week to `<parent>/<UDID>`, which must not exist.
    pub fn write_backup(
        &self,
        parent: &Path,
        encryption: &Encryption,
    ) -> Result<PathBuf, WriteError> {
        let folder = BackupFolder::create(parent, &self.options.udid)?;
        let database = ManifestDb::create(&self.work.path().join("Manifest.db"))?;
        let mut writing =
            Writing { phone: self, keybag: self.keybag(encryption)?, folder, database };
        writing.rows()?;
        writing.root_files()
    }

    fn keybag(&self, encryption: &Encryption) -> Result<Option<Keybag>, WriteError> {
        let Encryption::Password { password, iterations } = encryption else {
            return Ok(None);
        };
        let generation = u64::from(self.key_generation);
        let mut keys = Random::of_parts(&[self.options.seed, 0x6b65_7962_6167, generation]);
        let mut salts = Random::of_parts(&[self.options.seed, generation, plists::hash(password)]);
        Keybag::new(&mut keys, &mut salts, password.as_bytes(), *iterations).map(Some)
    }

    /// All rows, domain by domain in this week's order, by path within.
    pub(super) fn scan(&self) -> Vec<(&str, &str, Found<'_>)> {
        let mut domains: Vec<&str> = self.directories.keys().map(|domain| &**domain).collect();
        Random::of_parts(&[self.options.seed, 0x7363_616e, u64::from(self.week)])
            .shuffle(&mut domains);
        let ranks: BTreeMap<&str, usize> = domains.into_iter().zip(0..).collect();

        let mut found = Vec::with_capacity(self.files.len() * 2);
        for (domain, directories) in &self.directories {
            let rows = directories
                .iter()
                .map(|(path, each)| (&**domain, path.as_str(), Found::Directory(*each)));
            found.extend(rows);
        }
        found.extend(
            self.links.iter().map(|link| (&*link.domain, link.path.as_str(), Found::Symlink(link))),
        );
        found.extend(
            self.files.iter().map(|file| (&*file.domain, file.path.as_str(), Found::File(file))),
        );
        found.sort_by_cached_key(|(domain, path, _)| (ranks.get(domain).copied(), *path));
        found
    }
}

impl PhoneFile {
    /// The week in which the bytes on disk were sent.
    fn sent_week(&self, phone: &Phone) -> u32 {
        self.stored_week.max(phone.full_week)
    }

    fn key(&self, phone: &Phone) -> Key {
        let parts = [
            phone.options.seed,
            u64::from(phone.key_generation),
            self.inode,
            u64::from(self.version),
        ];
        Random::of_parts(&parts).array()
    }

    /// When the payload arrived: some minutes into its week's backup, as precise as NTFS can keep.
    fn arrived(&self, phone: &Phone) -> SystemTime {
        let mut random = Random::of_parts(&[self.inode, u64::from(self.version)]);
        let ticks = random.below(1200 * 10_000_000);
        time_of(Phone::date_of(self.sent_week(phone))) + Duration::from_nanos(ticks * 100)
    }
}

impl Writing<'_> {
    fn rows(&mut self) -> Result<(), WriteError> {
        let phone = self.phone;
        let rows = phone.scan();
        for (domain, path, found) in &rows {
            match found {
                Found::Directory(directory) => self.directory(domain, path, *directory)?,
                Found::Symlink(link) => self.symlink(link)?,
                Found::File(file) if file.sent_week(phone) < phone.week => self.file(file)?,
                Found::File(file) => {
                    self.database.put(domain, path, RowKind::File, &placeholder(file)?)?
                }
            }
        }
        for (_, _, found) in &rows {
            if let Found::File(file) = found
                && file.sent_week(phone) == phone.week
            {
                self.file(file)?;
            }
        }
        Ok(())
    }

    fn directory(
        &mut self,
        domain: &str,
        path: &str,
        directory: Directory,
    ) -> Result<(), WriteError> {
        let row = MbFile {
            mode: 0o040_755,
            inode: directory.inode,
            modified: signed(directory.modified),
            birth: signed(directory.birth),
            ..empty_row(path)
        };
        self.database.put(domain, path, RowKind::Directory, &row.encode()?)
    }

    fn symlink(&mut self, link: &Symlink) -> Result<(), WriteError> {
        let row = MbFile {
            mode: 0o120_755,
            inode: link.inode,
            modified: signed(link.modified),
            birth: signed(link.modified),
            target: Some(&link.target),
            ..empty_row(&link.path)
        };
        self.database.put(&link.domain, &link.path, RowKind::Symlink, &row.encode()?)
    }

    fn file(&mut self, file: &PhoneFile) -> Result<(), WriteError> {
        let key = file.key(self.phone);
        let id = crate::file_id(&file.domain, &file.path);
        let arrived = file.arrived(self.phone);
        let digest =
            self.folder.payload(&id, &file.content, self.keybag.as_ref().map(|_| &key), arrived)?;
        let mut row = file_row(file)?;
        row.digest = crate::has_digest(&file.domain).then_some(digest);
        row.encryption_key = self.wrapped(file.class, &key)?;
        self.database.put(&file.domain, &file.path, RowKind::File, &row.encode()?)
    }

    fn root_files(self) -> Result<PathBuf, WriteError> {
        let phone = self.phone;
        let device = Device::new(phone.options.udid.clone(), phone.options.name.clone());
        let date = phone.now();
        let week = u64::from(phone.week);
        let mut random =
            Random::of_parts(&[phone.options.seed, u64::from(phone.key_generation), week, 0x6d61]);
        let manifest_key: Key = random.array();
        let wrapped = self.wrapped(MANIFEST_CLASS, &manifest_key)?;
        let encryption = self.keybag.as_ref().map(Keybag::encoded).zip(wrapped);
        let is_full = phone.full_week == phone.week;
        let info = plists::xml(&device.info(date, &phone.apps))?;
        let status = plists::binary(&plists::status(date, random.uuid(), is_full, "finished"))?;
        let manifest = plists::binary(&device.manifest(date, &phone.apps, encryption))?;

        // The backup ends when its last payload has arrived.
        let end = time_of(date) + Duration::from_secs(1201);
        let mut folder = self.folder;
        let database = Content::Database(self.database.finish()?);
        folder.file("Manifest.db", &database, wrapped.map(|_| &manifest_key), end)?;
        for (name, bytes) in
            [("Info.plist", info), ("Status.plist", status), ("Manifest.plist", manifest)]
        {
            folder.file(name, &Content::Bytes(bytes.into()), None, end)?;
        }
        folder.finish(end)
    }

    fn wrapped(&self, class: u32, key: &Key) -> Result<Option<WrappedKey>, WriteError> {
        self.keybag.as_ref().map(|keybag| keybag.wrap(class, key)).transpose()
    }
}

/// What the phone puts in before a file is sent: no digest and no key yet.
fn placeholder(file: &PhoneFile) -> Result<Vec<u8>, WriteError> {
    file_row(file)?.encode()
}

pub(super) fn file_row(file: &PhoneFile) -> Result<MbFile<'_>, WriteError> {
    // One in fifty files was downloaded and says from where.
    let attributes = file.inode.is_multiple_of(50).then(|| {
        let mut list = Dictionary::new();
        list.insert(
            "com.apple.quarantine".to_owned(),
            Value::Data(b"0083;65a1b2c3;Safari;".to_vec()),
        );
        plists::binary(&list.into())
    });
    let len = file.content.len().map_err(WriteError::io(Path::new(&file.path)))?;
    // The size of a live database is often wrong in real rows: it was taken before the WAL was folded in
    // (docs/apple-format.md §3.1). Here one in four says a page too much.
    let is_wrong = file.role == Role::Database && file.inode.is_multiple_of(4);
    Ok(MbFile {
        size: if is_wrong { len + 4096 } else { len },
        mode: 0o100_644,
        protection_class: file.class,
        inode: file.inode,
        modified: signed(file.modified),
        birth: signed(file.birth),
        extended_attributes: attributes.transpose()?,
        ..empty_row(&file.path)
    })
}

fn empty_row(path: &str) -> MbFile<'_> {
    MbFile {
        relative_path: path,
        size: 0,
        mode: 0,
        protection_class: 0,
        inode: 0,
        modified: 0,
        birth: 0,
        encryption_key: None,
        digest: None,
        extended_attributes: None,
        target: None,
    }
}

pub(super) fn signed(unix_secs: u64) -> i64 {
    i64::try_from(unix_secs).unwrap_or(i64::MAX)
}
