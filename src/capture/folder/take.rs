//! Taking a folder into a session: unchanged files from the parent's tree, the others from disk, and a tree of all.
//!
//! Invariant: a file is taken over from the parent only if Apple's list names it, its row, length and time are the same, and every
//! blob of it stands in a listed pack. Length and time alone are not enough: two folders of one phone can have lists of equal
//! length written in the same second. A file that cannot be read is left out and named, never half kept. A file that the phone
//! encrypted is stored opened only if all of it was proved to come back to the byte, else as it is; a parent's file that was not
//! opened is read again where it can be.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Seek};

use russet_store::ids::BlobId;
use russet_store::session::{Session, SessionError};

use super::super::catalogue::{ItemKind, file_id_of};
use super::super::damage;
use super::super::digests::Hashing;
use super::super::file_keys::FileKeys;
use super::super::opener::{Fed, KeptCounts, feed_opened, opened_content};
use super::lock::{Lock, open_file};
use super::look::BackupFolder;
use super::names::{bytes_of, path_of};
use super::plan::{Item, Plan, mtime, shown};
use crate::apple::{FileKey, OpenedFile, OpeningError, RootFile, Stored};
use crate::observe::{Observer, Phase, count};
use crate::pipeline::{Cuts, Done, Feeder, IngestError, ReadOutcome, run};
use crate::snapshot::record::{Counts, Problem, Verdict};
use crate::snapshot::tree::{BuildError, fold_ids};
use crate::snapshot::walk::{TreeError, visit_chunks};
use crate::snapshot::{Content, Entry, TreeBuilder, TreeWalk, What};

/// What came of taking a folder.
#[derive(Debug)]
pub struct Taken {
    /// Root of its tree.
    pub root: BlobId,
    /// How much there is; what was stored is for the session to say.
    pub counts: Counts,
    /// Files that were not read because nothing about them changed.
    pub unchanged_count: u64,
    /// Files of an opened backup that stay encrypted.
    pub kept_count: u64,
    /// Whether everything was there.
    pub verdict: Verdict,
    /// The first problems.
    pub problems: Vec<Problem>,
    /// All problems.
    pub problem_count: u64,
}

/// Why a folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// The folder itself.
    #[error("could not read the backup folder")]
    Folder(#[source] io::Error),
    /// Storing.
    #[error(transparent)]
    Ingest(#[from] IngestError),
    /// The tree.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Storing.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The caller asked to stop.
    #[error("stopped")]
    Stopped,
}

struct Tag {
    at: usize,
    content: Option<Content>,
    target: Vec<u8>,
    /// What was read is the plaintext.
    is_opened: bool,
}

/// Files whose bytes are not those that Apple's list has the digest of: damaged before they came here.
#[derive(Default)]
struct Unlike {
    count: u64,
    first: Vec<String>,
}

impl Unlike {
    fn add(&mut self, path: String) {
        self.count += 1;
        if self.first.len() < UNLIKE_COUNT_SHOWN {
            self.first.push(path);
        }
    }

    fn remark(&self) -> String {
        let rest = if self.count > self.first.len() as u64 { ", …" } else { "" };
        let (are, they, them) = match self.count {
            1 => ("is", "is kept as it is", "it"),
            _ => ("are", "are kept as they are", "them"),
        };
        format!(
            "{} of its files {are} not what Apple's list has the digest of, and {they}; a phone may refuse {them}: {}{rest}",
            count(self.count),
            self.first.join(", ")
        )
    }
}

const UNLIKE_COUNT_SHOWN: usize = 5;

/// From this length on the end of a file is looked at before all of it is read.
const LOOK_AHEAD_LEN: u64 = 1 << 20;

struct Taking<'a, 's, 'r> {
    folder: &'a BackupFolder,
    plan: Plan,
    keys: FileKeys<'a>,
    /// What opened files were as stored, until their entries are made.
    stored: HashMap<usize, Stored>,
    kept: KeptCounts,
    /// Files whose bytes are not those that Apple's list has the digest of.
    unlike: Unlike,
    session: &'s Session<'r>,
    parent: Option<std::iter::Peekable<TreeWalk<'r>>>,
    builder: TreeBuilder<'s, 'r>,
    observer: &'a dyn Observer,
    counts: Counts,
    unchanged_count: u64,
    stop: &'a dyn Fn() -> bool,
}

/// Reads a folder into the session. `parent` is the root of the tree whose unchanged files may be taken over.
///
/// # Errors
/// The folder is gone, nothing more can be stored, or `stop` said so; files that cannot be read are no errors.
pub fn take<'r>(
    session: &Session<'r>,
    cuts: &Cuts,
    folder: &BackupFolder,
    lock: &Lock,
    parent: Option<BlobId>,
    observer: &dyn Observer,
    stop: &dyn Fn() -> bool,
) -> Result<Taken, TakeError> {
    let repository = session.repository();
    observer.begin(Phase::Looking, 0, 0);
    let mut keys = FileKeys::new(match lock {
        Lock::Open(unlocked) => Some(&unlocked.keys),
        Lock::None | Lock::Kept(_) => None,
    });
    let is_encrypted = !matches!(lock, Lock::None);
    let mark = |flags: i64, blob: &[u8]| {
        let [a, b, c, d, e, f, g, h, ..] = repository.id_keys().row(&[&flags.to_le_bytes(), blob]);
        [a, b, c, d, e, f, g, h]
    };
    let mut plan =
        Plan::of(&folder.path, is_encrypted, &mark, &mut keys).map_err(TakeError::Folder)?;
    if let Lock::Kept(why) = lock {
        plan.remarks.push(format!("its files stay encrypted by the phone as they are: {why}"));
    }
    for (file, why) in &folder.lacks {
        plan.problems.add(file.clone(), why);
    }
    plan.problems.extend(damage_of(lock));
    for problem in &plan.problems.first {
        observer.problem(&problem.path, &problem.why);
    }
    for remark in &plan.remarks {
        observer.remark(remark);
    }
    observer.begin(Phase::Storing, plan.total_len(), plan.items.len() as u64);
    let mut taking = Taking {
        folder,
        plan,
        keys,
        stored: HashMap::new(),
        kept: KeptCounts::default(),
        unlike: Unlike::default(),
        session,
        parent: parent.map(|root| TreeWalk::new(repository, root).peekable()),
        builder: TreeBuilder::new(session),
        observer,
        counts: Counts::default(),
        unchanged_count: 0,
        stop,
    };
    run(session, cuts, |feeder| taking.feed_all(feeder))?;
    taking.finish()
}

/// What is damaged of a folder's keys.
fn damage_of(lock: &Lock) -> Option<Problem> {
    match lock {
        Lock::Open(unlocked) => damage::of_classes(&unlocked.keys),
        Lock::Kept(why) if why.is_damage() => Some(damage::of_keybag(why)),
        Lock::None | Lock::Kept(_) => None,
    }
}

impl<'r> Taking<'_, '_, 'r> {
    fn feed_all(&mut self, feeder: &mut Feeder<'_, '_, 'r, Tag>) -> Result<(), TakeError> {
        for at in 0..self.plan.items.len() {
            let Some(item) = self.plan.items.get(at).copied() else { break };
            self.feed(feeder, at, &item)?;
            if (self.stop)() {
                return Err(TakeError::Stopped);
            }
            while let Some(done) = feeder.finished(false)? {
                self.enter(done)?;
            }
        }
        while let Some(done) = feeder.finished(true)? {
            self.enter(done)?;
        }
        Ok(())
    }

    fn feed(
        &mut self,
        feeder: &mut Feeder<'_, '_, 'r, Tag>,
        at: usize,
        item: &Item,
    ) -> Result<(), TakeError> {
        let known = self.known(item)?;
        let (.., stored) = self.plan.names(item);
        let Some(path) = path_of(&self.folder.path, stored) else { return Ok(()) };
        let mut tag = Tag { at, content: None, target: Vec::new(), is_opened: false };
        match item.kind {
            ItemKind::Directory => feeder.pass(tag, Vec::new(), 0, [0; 32]),
            ItemKind::Link => match fs::read_link(&path).map(|t| bytes_of(t.as_os_str())) {
                Ok(Some(target)) => {
                    tag.target = target;
                    feeder.pass(tag, Vec::new(), 0, [0; 32]);
                }
                Ok(None) => self.skip(item, "points to a name that is not Unicode"),
                Err(error) => self.skip(item, &format!("cannot be read: {error}")),
            },
            ItemKind::File => {
                self.count_keyless(item);
                match known {
                    Some(content) => {
                        tag.content = Some(content);
                        self.unchanged_count += 1;
                        feeder.pass(tag, Vec::new(), 0, [0; 32]);
                    }
                    None => self.read(feeder, at, item, &path)?,
                }
            }
        }
        self.observer.advance(item.len, 1);
        Ok(())
    }

    fn read(
        &mut self,
        feeder: &mut Feeder<'_, '_, 'r, Tag>,
        at: usize,
        item: &Item,
        path: &std::path::Path,
    ) -> Result<(), TakeError> {
        let mut file = match open_file(path) {
            Ok(file) => file,
            Err(error) => {
                self.skip(item, &format!("cannot be opened: {error}"));
                return Ok(());
            }
        };
        if let Some(key) = self.key_of(item).map(|key| FileKey::from_bytes(key.as_bytes())) {
            match self.read_opened(feeder, at, item, &file, &key)? {
                None => return Ok(()),
                Some(why) => self.kept.add(why),
            }
            if let Err(error) = file.rewind() {
                self.unread(item, &error);
                return Ok(());
            }
        }
        let tag = Tag { at, content: None, target: Vec::new(), is_opened: false };
        let mut source = self.hashing(item, &file);
        let outcome = feeder.feed(tag, &mut source)?;
        match outcome {
            ReadOutcome::Failed(error) => self.unread(item, &error),
            ReadOutcome::Whole { len } => {
                self.compare_digest(item, source.finish());
                self.compare(item, &file, len);
            }
        }
        Ok(())
    }

    /// Reads a file that has a key and feeds its plaintext. Gives the reason if it does not open and has to be read as it is.
    fn read_opened(
        &mut self,
        feeder: &mut Feeder<'_, '_, 'r, Tag>,
        at: usize,
        item: &Item,
        file: &File,
        key: &FileKey,
    ) -> Result<Option<OpeningError>, TakeError> {
        if item.len >= LOOK_AHEAD_LEN
            && let Some(why) = look_at_end(file, key, item.len)
        {
            return Ok(Some(why));
        }
        let mut source = self.hashing(item, file);
        let tag = Tag { at, content: None, target: Vec::new(), is_opened: true };
        match feed_opened(feeder, tag, &mut source, key, item.len)? {
            Fed::Opened(stored) => {
                self.compare_digest(item, source.finish());
                self.compare(item, file, stored.len);
                self.stored.insert(at, stored);
            }
            Fed::Odd(why) => return Ok(Some(why)),
            Fed::Unread(error) => self.unread(item, &error),
        }
        Ok(None)
    }

    fn unread(&mut self, item: &Item, error: &io::Error) {
        if !(self.stop)() {
            self.skip(item, &format!("cannot be read: {error}"));
        }
    }

    /// Reads a file, with its SHA-1 where Apple's list has one.
    fn hashing<'f>(&self, item: &Item, file: &'f File) -> Hashing<Stoppable<'f>>
    where
        Self: 'f,
    {
        let wanted = self.digest_of(item).is_some();
        Hashing::new(Stoppable { file, stop: self.stop }, wanted)
    }

    fn digest_of(&self, item: &Item) -> Option<&[u8; 20]> {
        let (.., stored) = self.plan.names(item);
        self.plan.digests.of(&file_id_of(stored)?)
    }

    /// Notes a file that a phone would refuse; it is kept as it is.
    fn compare_digest(&mut self, item: &Item, sha1: Option<[u8; 20]>) {
        if sha1.is_some() && sha1.as_ref() != self.digest_of(item) {
            let (domain, relative, _) = self.plan.names(item);
            self.unlike.add(format!("{}/{}", shown(domain), shown(relative)));
        }
    }

    /// Says so if a file changed while it was read.
    fn compare(&mut self, item: &Item, file: &File, len: u64) {
        let same = file
            .metadata()
            .is_ok_and(|m| m.len() == len && mtime(&m) == (item.mtime_secs, item.mtime_nanos));
        if !same || len != item.len {
            self.skip(item, "changed while it was read; it is kept as it was read");
        }
    }

    /// The key that a file is encrypted under.
    fn key_of(&self, item: &Item) -> Option<&FileKey> {
        let (.., stored) = self.plan.names(item);
        if stored == RootFile::ManifestDb.name().as_bytes() {
            return self.keys.manifest();
        }
        self.keys.of(&file_id_of(stored)?)
    }

    /// Counts a file that nothing could open.
    fn count_keyless(&mut self, item: &Item) {
        if !self.keys.are_open() || self.key_of(item).is_some() {
            return;
        }
        let (.., stored) = self.plan.names(item);
        match file_id_of(stored) {
            // Nothing is there to be opened.
            Some(_) if item.len == 0 => {}
            Some(id) if self.keys.knows(&id) => self.kept.no_key += 1,
            Some(_) => self.kept.no_row += 1,
            None => {}
        }
    }

    fn skip(&mut self, item: &Item, why: &str) {
        let (domain, relative, stored) = self.plan.names(item);
        let mut path = shown(stored);
        if !domain.is_empty() {
            path = format!("{path} ({} {})", shown(domain), shown(relative));
        }
        self.observer.problem(&path, why);
        self.plan.problems.add(path, why);
    }

    /// The parent's content of a file that did not change since, if all of it is there.
    fn known(&mut self, item: &Item) -> Result<Option<Content>, TakeError> {
        let Some(parent) = &mut self.parent else { return Ok(None) };
        let key = self.plan.names(item);
        let mut found = None;
        while let Some(next) = parent.next_if(|e| e.as_ref().map_or(true, |e| e.key() <= key)) {
            // What cannot be read of the parent is read from disk instead.
            let Ok(entry) = next else { continue };
            found = (entry.key() == key).then_some(entry);
        }
        let Some(Entry { mtime_secs, mtime_nanos, row, what: What::File(content), .. }) = found
        else {
            return Ok(None);
        };
        let same = row.is_some()
            && (content.len, mtime_secs, mtime_nanos, row)
                == (item.len, item.mtime_secs, item.mtime_nanos, self.plan.mark(item));
        if !same || !self.opens_alike(item, &content) {
            return Ok(None);
        }
        Ok(self.all_there(&content)?.then_some(content))
    }

    /// Whether the parent's file was opened with the key that this backup has for it, or neither has one.
    fn opens_alike(&self, item: &Item, content: &Content) -> bool {
        let key = self.key_of(item).map(FileKey::as_bytes);
        content.opened.as_ref().map(|opened| opened.key.as_bytes()) == key
    }

    fn all_there(&self, content: &Content) -> Result<bool, TakeError> {
        let mut there = true;
        let mut visit = |id: BlobId, blob_type| -> Result<(), Stop> {
            match self.session.knows(&id, blob_type) {
                Ok(true) => Ok(()),
                Ok(false) => {
                    there = false;
                    Err(Stop::Lost)
                }
                Err(error) => Err(Stop::Failed(error)),
            }
        };
        match visit_chunks(self.session.repository(), content, &mut visit) {
            Ok(()) => Ok(there),
            Err(Stop::Lost) => Ok(false),
            Err(Stop::Failed(error)) => Err(error.into()),
        }
    }

    fn enter(&mut self, done: Done<Tag>) -> Result<(), TakeError> {
        let Some(item) = self.plan.items.get(done.tag.at).copied() else { return Ok(()) };
        let what = match item.kind {
            ItemKind::Directory => {
                self.counts.directories += 1;
                What::Directory
            }
            ItemKind::Link => {
                self.counts.links += 1;
                What::Link { target: done.tag.target }
            }
            ItemKind::File => {
                let Some(content) = self.content(done, &item)? else { return Ok(()) };
                self.counts.files += 1;
                self.counts.len += content.len;
                self.counts.opened += u64::from(content.opened.is_some());
                What::File(content)
            }
        };
        let (domain, relative_path, stored_path) = self.plan.names(&item);
        let entry = Entry {
            domain: domain.to_vec(),
            relative_path: relative_path.to_vec(),
            stored_path: stored_path.to_vec(),
            mtime_secs: item.mtime_secs,
            mtime_nanos: item.mtime_nanos,
            row: self.plan.mark(&item),
            what,
        };
        Ok(self.builder.push(&entry)?)
    }

    fn content(&mut self, done: Done<Tag>, item: &Item) -> Result<Option<Content>, TakeError> {
        let Done { tag, ids, len, hash } = done;
        if let Some(content) = tag.content {
            return Ok(Some(content));
        }
        if !tag.is_opened {
            return Ok(Some(fold_ids(self.session, len, hash, ids)?));
        }
        // Without both it was named as not read, and its plaintext must not pass for what is stored.
        let (Some(stored), Some(key)) = (self.stored.remove(&tag.at), self.key_of(item)) else {
            return Ok(None);
        };
        let chunks = fold_ids(self.session, len, hash, ids)?;
        Ok(Some(opened_content(chunks, &stored, key)))
    }

    fn finish(mut self) -> Result<Taken, TakeError> {
        if (self.stop)() {
            return Err(TakeError::Stopped);
        }
        if self.unlike.count > 0 {
            self.observer.remark(&self.unlike.remark());
        }
        if self.kept.total() > 0 {
            self.observer.remark(&self.kept.remark());
        }
        if let Some(problem) = damage::of_rows(self.kept.no_key) {
            self.observer.problem(&problem.path, &problem.why);
            self.plan.problems.extend([problem]);
        }
        self.observer.begin(Phase::Committing, 0, 0);
        let verdict = match (self.plan.problems.count, self.plan.rows_known) {
            (0, true) => Verdict::Complete,
            (0, false) => Verdict::Unchecked,
            _ => Verdict::Incomplete,
        };
        Ok(Taken {
            root: self.builder.finish()?,
            counts: self.counts,
            unchanged_count: self.unchanged_count,
            kept_count: self.kept.total(),
            verdict,
            problems: self.plan.problems.first,
            problem_count: self.plan.problems.count,
        })
    }
}

/// Why a long file will not open, as far as its end tells.
fn look_at_end(file: &File, key: &FileKey, len: u64) -> Option<OpeningError> {
    let looked = OpenedFile::new(file, FileKey::from_bytes(key.as_bytes()), len);
    let why = looked.err().and_then(|error| error.get_ref()?.downcast_ref().copied());
    let mut start = file;
    // Where that fails the reading fails, and says so.
    let _ = start.rewind();
    why
}

/// A file that ends with an error once somebody asked to stop: one video can take an hour.
struct Stoppable<'a> {
    file: &'a File,
    stop: &'a dyn Fn() -> bool,
}

impl io::Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.stop)() {
            return Err(io::Error::other("stopped as asked"));
        }
        self.file.read(buffer)
    }
}

enum Stop {
    Lost,
    Failed(SessionError),
}

impl From<TreeError> for Stop {
    fn from(_: TreeError) -> Self {
        Self::Lost
    }
}
