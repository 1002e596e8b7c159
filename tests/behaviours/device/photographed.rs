//! A drive that is photographed, as a power cut would leave it, before and after all that changes it: the repository on it, and
//! the spool beside that.
//!
//! Invariant: of what was not made durable any subset is left, of the end of a file any part. Repository and spool of one
//! photograph are of one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use russet::capture::device::spool::Durable;
use russet_store::backend::{Backend, BackendError, Listing, MemoryBackend, Name};
use russet_testkit::Random;

/// What a power cut leaves.
pub(super) struct Image {
    /// Of the repository.
    pub(super) repository: MemoryBackend,
    /// Of the spool.
    pub(super) spool: SpoolImage,
}

/// What a power cut leaves of a spool.
#[derive(Default)]
pub(super) struct SpoolImage {
    folder: Option<PathBuf>,
    /// What a file holds, how much of that is left, and how many zeros follow.
    files: BTreeMap<String, (Arc<[u8]>, usize, usize)>,
}

impl SpoolImage {
    /// How many segments are left.
    pub(super) fn segment_count(&self) -> usize {
        self.files.keys().filter(|name| *name != "owner").count()
    }

    /// Puts it on a drive, below `dir`.
    pub(super) fn write_to(&self, dir: &Path) {
        let Some(folder) = &self.folder else { return };
        let folder = dir.join(folder.file_name().unwrap());
        fs::create_dir(&folder).unwrap();
        for (name, (bytes, kept_len, zero_count)) in &self.files {
            let bytes = [&bytes[..*kept_len], &vec![0; *zero_count]].concat();
            fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

/// What of a spool is durable.
#[derive(Default)]
struct Spool {
    folder: Option<PathBuf>,
    names: BTreeSet<String>,
    files: BTreeMap<String, Arc<[u8]>>,
}

impl Spool {
    /// What is there now, durable or not.
    fn now(&self) -> BTreeMap<String, Arc<[u8]>> {
        let children = self.folder.as_ref().and_then(|folder| fs::read_dir(folder).ok());
        let mut now = BTreeMap::new();
        for child in children.into_iter().flatten().flatten() {
            let name = child.file_name().into_string().unwrap();
            // One that is removed at this moment is not there.
            let Ok(len) = child.metadata().map(|metadata| metadata.len()) else { continue };
            let same = self.files.get(&name).filter(|known| known.len() as u64 == len).cloned();
            let bytes = same.or_else(|| fs::read(child.path()).ok().map(Arc::from));
            now.extend(bytes.map(|bytes| (name, bytes)));
        }
        now
    }

    fn crash(&self, random: &mut Random) -> SpoolImage {
        let now = self.now();
        let mut files = BTreeMap::new();
        for name in self.names.iter().chain(now.keys()).collect::<BTreeSet<_>>() {
            let is_left = random.below(2) == 0;
            let durable = self.files.get(name);
            let durable_len = durable.map_or(0, |bytes| bytes.len());
            match now.get(name) {
                // Removed, and perhaps not for good.
                None => {
                    let back = durable.filter(|_| is_left);
                    files.extend(back.map(|b| (name.clone(), (Arc::clone(b), durable_len, 0))));
                }
                Some(_) if !self.names.contains(name) && !is_left => {}
                Some(bytes) => {
                    let unsure_len = bytes.len() - durable_len.min(bytes.len());
                    let lost_len = match random.below(3) {
                        0 => 0,
                        1 => unsure_len,
                        _ => usize::try_from(random.below(unsure_len as u64 + 1)).unwrap(),
                    };
                    // Some drives keep the length and lose what was in it.
                    let zero_count = if random.below(2) == 0 { lost_len } else { 0 };
                    let left = (Arc::clone(bytes), bytes.len() - lost_len, zero_count);
                    files.insert(name.clone(), left);
                }
            }
        }
        SpoolImage { folder: self.folder.clone(), files }
    }
}

/// See above.
pub(super) struct Photographed {
    memory: MemoryBackend,
    /// Photographs of each moment.
    image_count: u64,
    is_on: AtomicBool,
    random: Mutex<Random>,
    spool: Mutex<Spool>,
    images: Mutex<Vec<Image>>,
    /// Whoever changes something has it.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Photographed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Photographed")
    }
}

impl Photographed {
    /// An empty drive, of which no photographs are taken yet.
    pub(super) fn new(seed: u64, image_count: u64) -> Arc<Self> {
        Arc::new(Self {
            memory: MemoryBackend::new(),
            image_count,
            is_on: AtomicBool::new(false),
            random: Mutex::new(Random::new(seed)),
            spool: Mutex::default(),
            images: Mutex::default(),
            turn: Mutex::default(),
        })
    }

    /// From now on photographs are taken.
    pub(super) fn begin(&self) {
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// All photographs, in their order.
    pub(super) fn take_images(&self) -> Vec<Image> {
        std::mem::take(&mut *self.images.lock().unwrap())
    }

    fn photograph(&self) {
        if !self.is_on.load(Ordering::Relaxed) {
            return;
        }
        for _ in 0..self.image_count {
            let mut random = self.random.lock().unwrap();
            let repository = self.memory.crash(random.next_u64());
            let spool = self.spool.lock().unwrap().crash(&mut random);
            self.images.lock().unwrap().push(Image { repository, spool });
        }
    }

    fn around<T>(&self, change: impl FnOnce() -> T) -> T {
        let _turn = self.turn.lock().unwrap();
        self.photograph();
        let done = change();
        self.photograph();
        done
    }
}

impl Durable for Photographed {
    fn file(&self, path: &Path, _: &File) -> io::Result<()> {
        self.around(|| {
            let mut spool = self.spool.lock().unwrap();
            spool.folder = path.parent().map(Path::to_path_buf);
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            spool.files.insert(name, fs::read(path)?.into());
            Ok(())
        })
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        let is_spool = |path: &PathBuf| {
            path.file_name().unwrap().to_str().unwrap().starts_with("russet-spool-")
        };
        // The folder that it lies in makes the spool's own durable, and nothing in that.
        let children = fs::read_dir(path)?.map(|child| child.unwrap().path());
        let made = children.into_iter().find(is_spool);
        self.around(|| {
            let mut spool = self.spool.lock().unwrap();
            if made.is_some() {
                spool.folder = made;
                return Ok(());
            }
            spool.names = spool.now().into_keys().collect();
            Ok(())
        })
    }
}

impl Backend for Photographed {
    fn location(&self) -> String {
        self.memory.location()
    }

    fn put_new(&self, name: &Name, bytes: &[u8]) -> Result<(), BackendError> {
        self.around(|| self.memory.put_new(name, bytes))
    }

    fn get(&self, name: &Name, len_max: u64) -> Result<Vec<u8>, BackendError> {
        self.memory.get(name, len_max)
    }

    fn get_range(&self, name: &Name, offset: u64, len: u32) -> Result<Vec<u8>, BackendError> {
        self.memory.get_range(name, offset, len)
    }

    fn list(&self, dir: &str) -> Result<Listing, BackendError> {
        self.memory.list(dir)
    }

    fn delete(&self, name: &Name) -> Result<(), BackendError> {
        self.around(|| self.memory.delete(name))
    }

    fn barrier(&self) -> Result<(), BackendError> {
        self.around(|| self.memory.barrier())
    }

    fn free_len(&self) -> Result<Option<u64>, BackendError> {
        Ok(Some(1 << 40))
    }

    fn is_read_only(&self) -> Result<bool, BackendError> {
        Ok(false)
    }

    fn sweep_temporaries(&self) -> Result<u64, BackendError> {
        Ok(0)
    }
}
