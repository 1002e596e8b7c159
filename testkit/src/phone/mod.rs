//! A phone that lives through weeks and is backed up after each.
//!
//! Invariant: everything follows from `PhoneOptions` and the calls made; a file that nothing touched keeps its bytes, its
//! key and its mtimes. A plain and an encrypted backup of the same week hold the same files: what a real phone leaves
//! out of a plain one (health, call history) is not modelled. Bytes are made again when read, so memory holds one small
//! record for each file; only databases lie on disk, in a folder of the phone's own.

mod backup;
mod database;
mod items;
mod options;
mod population;
mod week;

pub use options::PhoneOptions;

use crate::content::Content;
use crate::random::Random;
use crate::write_error::WriteError;
use database::Database;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;
use tempfile::TempDir;

/// The first backup: 4 January 2026, 00:20:30 UTC.
const FIRST_BACKUP: u64 = 1_767_486_030;
const WEEK_SECS: u64 = 7 * 86_400;

/// A generated phone.
#[derive(Debug)]
pub struct Phone {
    options: PhoneOptions,
    random: Random,
    week: u32,
    /// Grows with each forced full backup: all keys follow from it.
    key_generation: u32,
    /// The week in which everything was last sent anew.
    full_week: u32,
    next_inode: u64,
    apps: Vec<String>,
    files: Vec<PhoneFile>,
    databases: Vec<Database>,
    directories: BTreeMap<Arc<str>, BTreeMap<String, Directory>>,
    links: Vec<Symlink>,
    work: TempDir,
}

/// How the files of `Phone::touch_share` lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All files of a few apps.
    FewApps,
    /// Anywhere.
    Random,
}

/// What a restored file must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Bytes of plaintext.
    pub len: u64,
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
    /// BLAKE3 of the plaintext.
    pub blake3: [u8; 32],
}

#[derive(Debug)]
struct PhoneFile {
    domain: Arc<str>,
    path: String,
    content: Content,
    role: Role,
    class: u32,
    inode: u64,
    /// Counts changes; a new key comes with each.
    version: u32,
    modified: u64,
    birth: u64,
    /// The week whose backup first holds this version.
    stored_week: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Media,
    Small,
    PropertyList,
    Database,
}

#[derive(Clone, Copy, Debug)]
struct Directory {
    inode: u64,
    modified: u64,
    birth: u64,
}

#[derive(Debug)]
struct Symlink {
    domain: Arc<str>,
    path: String,
    target: String,
    inode: u64,
    modified: u64,
}

impl Phone {
    /// A phone after its first years, ready for its first backup.
    pub fn new(options: PhoneOptions) -> Result<Self, WriteError> {
        let work = tempfile::tempdir().map_err(WriteError::io(&std::env::temp_dir()))?;
        let mut phone = Self {
            random: Random::of_parts(&[options.seed, 0x7068_6f6e_6500]),
            options,
            week: 0,
            key_generation: 0,
            full_week: 0,
            next_inode: 10_000,
            apps: Vec::new(),
            files: Vec::new(),
            databases: Vec::new(),
            directories: BTreeMap::new(),
            links: Vec::new(),
            work,
        };
        phone.populate()?;
        Ok(phone)
    }

    /// The options it was made from.
    pub fn options(&self) -> &PhoneOptions {
        &self.options
    }

    /// Number of weeks lived since `new`.
    pub fn week(&self) -> u32 {
        self.week
    }

    /// Makes the backup of the current week a full one: a new keybag, a new key for every file, every payload sent anew.
    pub fn force_full(&mut self) {
        self.key_generation += 1;
        self.full_week = self.week;
    }

    /// The plaintext hashes of all files, by domain and path. Reads all contents.
    pub fn truth(&self) -> Result<BTreeMap<(String, String), Truth>, WriteError> {
        let mut truths = BTreeMap::new();
        for file in &self.files {
            let mut hashes =
                Hashes { len: 0, sha256: Sha256::new(), blake3: blake3::Hasher::new() };
            file.content.copy_to(&mut hashes).map_err(WriteError::io(self.work.path()))?;
            let sha256 = hashes.sha256.finalize().into();
            let truth = Truth { len: hashes.len, sha256, blake3: hashes.blake3.finalize().into() };
            truths.insert((file.domain.to_string(), file.path.clone()), truth);
        }
        Ok(truths)
    }

    /// When the backup of a week is made.
    fn date_of(week: u32) -> u64 {
        FIRST_BACKUP + u64::from(week) * WEEK_SECS
    }

    fn now(&self) -> u64 {
        Self::date_of(self.week)
    }

    fn add_file(
        &mut self,
        domain: &str,
        path: String,
        content: Content,
        role: Role,
        modified: u64,
    ) {
        let domain = self.domain(domain);
        self.add_parents(&domain, &path, modified);
        let class = match self.random.below(20) {
            0 => 1,
            1 => 2,
            2 | 3 => 4,
            _ => 3,
        };
        let inode = self.new_inode();
        let (version, stored_week, birth) = (0, self.week, modified - self.random.below(86_400));
        self.files.push(PhoneFile {
            domain,
            path,
            content,
            role,
            class,
            inode,
            version,
            modified,
            birth,
            stored_week,
        });
    }

    fn add_link(&mut self, domain: &str, path: &str, target: &str, modified: u64) {
        let domain = self.domain(domain);
        self.add_parents(&domain, path, modified);
        let inode = self.new_inode();
        self.links.push(Symlink {
            domain,
            path: path.to_owned(),
            target: target.to_owned(),
            inode,
            modified,
        });
    }

    fn add_directory(&mut self, domain: &str, path: &str, modified: u64) {
        let domain = self.domain(domain);
        self.add_parents(&domain, path, modified);
        let directory = Directory { inode: self.new_inode(), modified, birth: modified };
        self.directories.entry(domain).or_default().entry(path.to_owned()).or_insert(directory);
    }

    /// Every directory above `path` has a row, down to the domain's root; the nearest one notes the change.
    fn add_parents(&mut self, domain: &Arc<str>, path: &str, modified: u64) {
        let mut next_inode = self.next_inode;
        let directories = self.directories.entry(Arc::clone(domain)).or_default();
        let mut child = path;
        let mut is_nearest = true;
        while !child.is_empty() {
            let parent = child.rsplit_once('/').map_or("", |(parent, _)| parent);
            match directories.get_mut(parent) {
                Some(directory) if is_nearest => {
                    directory.modified = directory.modified.max(modified)
                }
                Some(_) => break,
                None => {
                    let directory = Directory { inode: next_inode, modified, birth: modified };
                    directories.insert(parent.to_owned(), directory);
                    next_inode += 1;
                }
            }
            is_nearest = false;
            child = parent;
        }
        self.next_inode = next_inode;
    }

    fn domain(&self, name: &str) -> Arc<str> {
        self.directories
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(domain, _)| Arc::clone(domain))
    }

    fn new_inode(&mut self) -> u64 {
        self.next_inode += 1;
        self.next_inode - 1
    }
}

/// Counts and hashes what is written to it.
struct Hashes {
    len: u64,
    sha256: Sha256,
    blake3: blake3::Hasher,
}

impl Write for Hashes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.len += u64::try_from(bytes.len()).unwrap_or(0);
        self.sha256.update(bytes);
        self.blake3.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
