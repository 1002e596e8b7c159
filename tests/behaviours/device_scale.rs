//! A phone's backup at scale: what it takes of every disk, of memory and of the processor while it runs.
//!
//! Invariant: the program is watched from outside, as the system sees it, from its start to its end. Files that have no name
//! any more and are still open count as well. The phone's own folder lies elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use russet::snapshot::walk::{TreeError, visit_chunks};
use russet::snapshot::{TreeWalk, What, record};
use russet_store::pack::ENTRY_LEN;
use russet_store::seal::BlobType;
use russet_testkit::device::{Listener, Preset, Script, ScriptedPhone, State, serve};
use tempfile::TempDir;

use super::drive::{soak, tell_soak};
use super::support::TestRepository;

/// What may lie anywhere besides packs and index.
const SPARE_LEN: u64 = 64 << 20;

/// A phone, and a folder with everything that russet may write to.
struct Scene {
    repository: TestRepository,
    phone: TempDir,
}

/// Bytes of disks, as the file system gives them out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Use {
    /// Below `packs` and `index` of the repository, files with temporary names among them.
    stored_len: u64,
    /// Everywhere else: drafts, cache, state, temporary folders.
    rest_len: u64,
}

/// What was seen of a run.
#[derive(Debug, Default)]
struct Watched {
    /// Before it, and after it.
    ends: [Use; 2],
    all_len_max: u64,
    rest_len_max: u64,
    /// Peak of its memory.
    resident_len_max: u64,
    /// Of the processor.
    cpu_secs: f64,
    sample_count: u64,
    /// Files that it had open for writing and that lie elsewhere.
    elsewhere: BTreeSet<PathBuf>,
}

impl Watched {
    /// What it added to packs and index.
    fn stored_len(&self) -> u64 {
        self.ends[1].stored_len - self.ends[0].stored_len
    }
}

impl Scene {
    fn new(preset: Preset) -> Self {
        let scene = Self { repository: TestRepository::new(), phone: tempfile::tempdir().unwrap() };
        scene.open(State::new(41, preset));
        scene
    }

    fn open(&self, new: State) -> ScriptedPhone {
        let script = Script { service_tls: false, ..Script::default() };
        ScriptedPhone::open(&self.phone.path().join("phone"), new, script).unwrap()
    }

    fn phone(&self) -> ScriptedPhone {
        self.open(State::load(&self.phone.path().join("phone")).unwrap().unwrap())
    }

    /// Backs the phone up, and watches.
    fn backup(&self) -> Watched {
        let phone = Arc::new(self.phone());
        let socket = tempfile::tempdir().unwrap();
        let listener = Listener::bind(socket.path().join("mux").to_str().unwrap()).unwrap();
        let address = listener.address().unwrap();
        std::thread::spawn(move || serve(&phone, &listener));
        let root = self.repository.beside("");
        let mut command = self.repository.command(&["backup", "--json"]);
        command.env("USBMUXD_SOCKET_ADDRESS", address);
        for (name, folder) in [
            ("TMPDIR", "tmp"),
            ("XDG_STATE_HOME", "state"),
            ("XDG_CONFIG_HOME", "config"),
            ("HOME", "home"),
        ] {
            command.env(name, self.repository.folder(folder));
        }
        let said = |name| fs::File::create(self.repository.beside(name)).unwrap();
        let mut watched = Watched { ends: [used(&root); 2], ..Watched::default() };
        let mut child = command.stdout(said("stdout")).stderr(said("stderr")).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            watched.sample(&child, &root);
            std::thread::sleep(Duration::from_millis(10));
        }
        watched.ends[1] = used(&root);
        let said = |name| fs::read_to_string(self.repository.beside(name)).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{}\n{}", said("stdout"), said("stderr"));
        watched
    }
}

impl Watched {
    /// What a process that has just ended no longer tells is not missed.
    fn sample(&mut self, child: &Child, root: &Path) {
        let process = PathBuf::from(format!("/proc/{}", child.id()));
        let used = used(root);
        let nameless_len = self.open_files(&process, root).unwrap_or(0);
        let rest_len = used.rest_len + nameless_len;
        self.rest_len_max = self.rest_len_max.max(rest_len);
        self.all_len_max = self.all_len_max.max(used.stored_len + rest_len);
        self.sample_count += 1;
        let Ok(status) = fs::read_to_string(process.join("status")) else { return };
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
        let Some(peak) = peak else { return };
        self.resident_len_max = peak.trim().parse::<u64>().unwrap() * 1024;
        let Ok(stat) = fs::read_to_string(process.join("stat")) else { return };
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields[at].parse::<u32>().unwrap();
        self.cpu_secs = f64::from(ticks(11) + ticks(12)) / 100.0;
    }

    /// Bytes of open files without a name; files elsewhere are noted.
    fn open_files(&mut self, process: &Path, root: &Path) -> io::Result<u64> {
        let mut nameless_len = 0;
        for open in fs::read_dir(process.join("fd"))? {
            let open = open?.path();
            let metadata = fs::metadata(&open)?;
            if !metadata.is_file() {
                continue;
            }
            let path = fs::read_link(&open)?;
            let info = process.join("fdinfo").join(open.file_name().unwrap());
            let info = fs::read_to_string(info)?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            let is_for_writing = u32::from_str_radix(flags, 8).unwrap() & 3 != 0;
            if path.to_string_lossy().ends_with(" (deleted)") {
                nameless_len += metadata.blocks() * 512;
            } else if is_for_writing && !path.starts_with(root) {
                self.elsewhere.insert(path);
            }
        }
        Ok(nameless_len)
    }
}

/// What lies below a folder that is being written to.
fn used(root: &Path) -> Use {
    let mut used = Use::default();
    let stored = ["packs", "index"].map(|name| root.join("repository").join(name));
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        let Ok(children) = fs::read_dir(&dir) else { continue };
        for child in children.flatten() {
            let Ok(metadata) = child.metadata() else { continue };
            let len = metadata.blocks() * 512;
            let path = child.path();
            if stored.iter().any(|room| path.starts_with(room)) {
                used.stored_len += len;
            } else {
                used.rest_len += len;
            }
            if metadata.is_dir() {
                dirs.push(path);
            }
        }
    }
    used
}

#[test]
fn a_backup_takes_no_more_of_any_disk_than_its_packs_and_64_mib() {
    let long_len = std::env::var("RUSSET_SOAK_PHONE_LEN").ok().and_then(|len| len.parse().ok());
    let len = if soak() { long_len.unwrap_or(5_000_000_000) } else { 50_000_000 };
    let scene = Scene::new(Preset::Huge(len));
    let watched = scene.backup();
    let [before, _] = watched.ends;
    let all_len = watched.all_len_max - before.stored_len - before.rest_len;
    let rest_len = watched.rest_len_max - before.rest_len;
    tell_soak(&format!(
        "device: a phone of {len} incompressible bytes: {} bytes of packs and index; at most {all_len} in use, of these {rest_len} elsewhere; peak memory {} MB, {:.0} s CPU, {} samples",
        watched.stored_len(),
        watched.resident_len_max / 1_000_000,
        watched.cpu_secs,
        watched.sample_count,
    ));
    assert_eq!(watched.elsewhere, BTreeSet::new());
    assert!(watched.sample_count > 0);
    assert!(all_len <= watched.stored_len() + SPARE_LEN, "{all_len}, {watched:?}");
    assert!(rest_len <= SPARE_LEN, "{rest_len} elsewhere, {watched:?}");
    // Else a second copy could hide among the packs.
    assert!(watched.stored_len() <= len + len / 50 + (8 << 20), "{watched:?}");
}

/// What a run added to a repository.
#[derive(Debug, Default)]
struct Added {
    /// Bytes of all its files.
    all_len: u64,
    /// Of these what is of Manifest.db, which a phone writes anew each week: its pieces and lists of pieces as they are sealed,
    /// and their entries in directory and index.
    manifest_len: u64,
    /// Other pieces of files.
    data_len: u64,
    /// Nodes, other lists, edits of the draft.
    tree_len: u64,
}

impl Added {
    fn beside_manifest_len(&self) -> u64 {
        self.all_len - self.manifest_len
    }
}

impl Scene {
    fn files(&self) -> BTreeMap<PathBuf, u64> {
        let files = self.repository.files("").into_iter();
        files.map(|path| (path.clone(), fs::metadata(&path).unwrap().len())).collect()
    }

    /// What came into the repository after `before`.
    fn added(&self, before: &BTreeMap<PathBuf, u64>) -> Added {
        let after = self.files();
        let removed_len: u64 =
            before.iter().filter(|(path, _)| !after.contains_key(*path)).map(|(_, len)| len).sum();
        let new = after.into_iter().filter(|(path, _)| !before.contains_key(path));
        let new: BTreeMap<String, u64> = new
            .map(|(path, len)| (path.file_name().unwrap().to_str().unwrap().to_owned(), len))
            .collect();
        let opened = self.repository.open();
        let repository = &opened.repository;
        let (snapshots, _) = record::all(repository);
        let root = snapshots.last().unwrap().record.tree;
        let mut own = BTreeSet::new();
        let manifest = TreeWalk::new(repository, root).map(Result::unwrap);
        let manifest = manifest.into_iter().find(|entry| entry.stored_path == b"Manifest.db");
        let What::File(content) = manifest.unwrap().what else { panic!("Manifest.db is no file") };
        let mut visit = |id, _| -> Result<(), TreeError> {
            own.insert(id);
            Ok(())
        };
        visit_chunks(repository, &content, &mut visit).unwrap();
        let mut added =
            Added { all_len: new.values().sum::<u64>() - removed_len, ..Added::default() };
        for (pack, len) in repository.packs() {
            if !new.contains_key(&pack.to_string()) {
                continue;
            }
            for entry in repository.read_directory(&pack, len).unwrap() {
                let len = u64::from(entry.sealed_len) + 2 * ENTRY_LEN as u64;
                match entry.blob_type {
                    _ if own.contains(&entry.id) => added.manifest_len += len,
                    BlobType::Data => added.data_len += len,
                    BlobType::Tree | BlobType::Record => added.tree_len += len,
                }
            }
        }
        added
    }
}

#[test]
fn a_week_without_changes_adds_next_to_nothing_beside_manifest_db() {
    let (preset, added_len_max) =
        if soak() { (Preset::Million, 2_000_000) } else { (Preset::Many(5_000), 150_000) };
    let scene = Scene::new(preset);
    let first = scene.backup();
    scene.phone().rest().unwrap();
    let before = scene.files();
    let rested = scene.backup();
    let added = scene.added(&before);
    for (what, watched) in [("all", &first), ("a week without changes", &rested)] {
        tell_soak(&format!(
            "device: {preset:?}, {what}: peak memory {} MB, {:.0} s CPU",
            watched.resident_len_max / 1_000_000,
            watched.cpu_secs,
        ));
    }
    let beside_len = added.beside_manifest_len();
    tell_soak(&format!("device: that week: {beside_len} bytes beside Manifest.db, {added:?}"));
    assert!(added.manifest_len > 0);
    assert!(beside_len <= added_len_max, "{beside_len}, {added:?}");
    if soak() {
        assert!(first.resident_len_max <= 600_000_000, "{first:?}");
        assert!(rested.resident_len_max <= 600_000_000, "{rested:?}");
    }
}
