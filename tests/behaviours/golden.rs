//! Golden repositories: what an earlier russet wrote is read by this one, byte for byte, for as long as there is a russet.
//!
//! Invariant: tests/golden/v<N> is never edited. Tests work on a copy.

mod make;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use jiff::tz::TimeZone;
use russet::observe::Collecting;
use russet::ops::open::{OpenOptions, Opened, open};
use russet::ops::restore::{RestoreOptions, restore};
use russet::ops::verify::{Depth, verify};
use russet::snapshot::{Snapshot, record};
use russet_store::config::Purpose;
use russet_store::header::FORMAT;
use russet_store::ids::{hex, unhex};
use russet_store::repository::RepositoryError;
use russet_store::seal::{Password, RecoveryKey, SlotSecret};
use russet_store::session::Session;
use serde_json::Value;

fn golden(version: u8) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// Names and bytes below a folder.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for child in fs::read_dir(folder).unwrap() {
            let path = child.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(
                    path.strip_prefix(root).unwrap().to_path_buf(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

/// A copy of golden v1 that nobody may write to.
fn copy() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&golden(1).join("repository")) {
        let path = dir.path().join("repository").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
    }
    dir
}

fn opened(dir: &Path, secret: &SlotSecret, purpose: Purpose) -> Result<Opened, String> {
    let options = OpenOptions {
        location: dir.join("repository"),
        cache_dir: None,
        read_back: false,
        retry_lock: Duration::ZERO,
    };
    let observer = Collecting::default();
    let opened =
        open(&options, secret, purpose, false, &observer).map_err(|error| error.to_string())?;
    assert_eq!(observer.told(), russet::observe::Told::default());
    Ok(opened)
}

fn password(text: &str) -> SlotSecret {
    SlotSecret::Password(Password::new(text).unwrap())
}

fn expected(snapshot: &Snapshot) -> Vec<Value> {
    let text =
        fs::read_to_string(golden(1).join(format!("expected/{}.jsonl", snapshot.id))).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bytes_of(line: &Value, name: &str) -> Vec<u8> {
    let digits = line[name].as_str().unwrap().as_bytes().chunks_exact(2);
    digits.map(|pair| unhex::<1>(std::str::from_utf8(pair).unwrap()).unwrap()[0]).collect()
}

/// What stands at a path: mtime, nanoseconds and what it is. Links have no time that every system keeps.
fn found_at(path: &Path) -> String {
    let metadata = fs::symlink_metadata(path).unwrap();
    if metadata.is_symlink() {
        return format!("link to {}", hex(fs::read_link(path).unwrap().as_os_str().as_bytes()));
    }
    let time = metadata.modified().unwrap();
    let nanos = match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i128::try_from(after.as_nanos()).unwrap(),
        Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap(),
    };
    match metadata.is_dir() {
        true => format!("directory of {nanos}"),
        false => format!("file of {nanos}, {}", blake3::hash(&fs::read(path).unwrap()).to_hex()),
    }
}

fn wanted_at(line: &Value) -> String {
    let nanos = i128::from(line["mtime"].as_i64().unwrap()) * 1_000_000_000
        + i128::from(line["nanos"].as_u64().unwrap());
    match line["what"].as_str().unwrap() {
        "link" => format!("link to {}", line["target_hex"].as_str().unwrap()),
        "directory" => format!("directory of {nanos}"),
        _ => format!("file of {nanos}, {}", line["blake3"].as_str().unwrap()),
    }
}

/// Every path below a folder, the folder itself as the empty one, but not the folders that no entry lists.
fn paths_below(
    root: &Path,
    prefix: &Path,
    listed: &BTreeSet<Vec<u8>>,
    out: &mut BTreeSet<Vec<u8>>,
) {
    for child in fs::read_dir(root.join(prefix)).unwrap() {
        let path = prefix.join(child.unwrap().file_name());
        let is_dir = root.join(&path).symlink_metadata().unwrap().is_dir();
        let stored = path.as_os_str().as_bytes().to_vec();
        if !is_dir || listed.contains(&stored) {
            out.insert(stored);
        }
        if is_dir {
            paths_below(root, &path, listed, out);
        }
    }
}

/// Whether this system can have a file of that name: some want Unicode.
fn can_stand_here(line: &Value) -> bool {
    cfg!(target_os = "linux") || String::from_utf8(bytes_of(line, "path_hex")).is_ok()
}

#[test]
fn every_format_has_a_golden_repository() {
    for version in 1..=FORMAT {
        let config = fs::read(golden(version).join("repository/config"));
        let config = config
            .unwrap_or_else(|error| panic!("format {version} has no golden repository: {error}"));
        assert_eq!(config.get(9), Some(&version));
    }
}

#[test]
fn golden_v1_says_what_it_said() {
    let dir = copy();
    let opened = opened(dir.path(), &password(make::PASSWORD), Purpose::Read).unwrap();
    let (snapshots, odd) = record::all(&opened.repository);
    assert!(odd.is_empty());
    let said: Vec<_> = snapshots
        .iter()
        .map(|s| {
            (
                s.time(),
                s.state.pinned,
                s.state.tags.iter().map(String::as_str).collect(),
                s.state.note.as_deref(),
            )
        })
        .collect();
    let keep: Vec<&str> = vec!["keep"];
    let weeks = [
        (1_760_604_800, true, keep, None),
        (1_761_209_600, false, vec![], Some("before the l\u{e4}ke")),
    ];
    assert_eq!(said, weeks);
    assert_eq!(opened.repository.keyslots().len(), 2);
}

#[test]
fn golden_v1_comes_back_as_it_was_and_is_not_written_to() {
    let dir = copy();
    let before = files(&dir.path().join("repository"));
    let opened = opened(dir.path(), &password(make::PASSWORD), Purpose::Read).unwrap();
    let (snapshots, _) = record::all(&opened.repository);
    assert_eq!(snapshots.len(), 2);
    for snapshot in &snapshots {
        let target = dir.path().join(snapshot.short_id());
        let options = RestoreOptions { target, zone: TimeZone::UTC };
        let observer = Collecting::default();
        let restored =
            restore(&opened.repository, snapshot, &options, &observer, &|| false).unwrap();
        assert_eq!(restored.folder.file_name().unwrap(), make::UDID);
        let (expected, lost) =
            expected(snapshot).into_iter().partition::<Vec<_>, _>(can_stand_here);
        assert_eq!(observer.told().problems.len(), lost.len(), "{:?}", observer.told().problems);
        let listed: BTreeSet<Vec<u8>> =
            expected.iter().map(|line| bytes_of(line, "path_hex")).collect();
        let mut found = BTreeSet::from([Vec::new()]);
        paths_below(&restored.folder, Path::new(""), &listed, &mut found);
        assert_eq!(found, listed);
        for line in &expected {
            let path =
                restored.folder.join(std::ffi::OsStr::from_bytes(&bytes_of(line, "path_hex")));
            assert_eq!(found_at(&path), wanted_at(line), "{}", line["path"]);
        }
    }
    assert_eq!(files(&dir.path().join("repository")), before);
}

#[test]
fn golden_v1_is_sound() {
    let dir = copy();
    let opened = opened(dir.path(), &password(make::PASSWORD), Purpose::Check).unwrap();
    let report = verify(&opened.repository, Depth::ReadData, &Collecting::default()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.snapshot_count, report.foreign_count), (2, 0));
}

#[test]
fn the_recovery_words_of_golden_v1_open_it() {
    let words = fs::read_to_string(golden(1).join("recovery-words")).unwrap();
    let key = SlotSecret::Recovery(RecoveryKey::parse(&words).unwrap());
    assert!(opened(copy().path(), &key, Purpose::Read).is_ok());
}

#[test]
fn the_revoked_password_of_golden_v1_is_refused() {
    let refused = opened(copy().path(), &password(make::REVOKED_PASSWORD), Purpose::Read).err();
    let revoked = RepositoryError::Revoked { secret: "repository password" };
    assert_eq!(refused, Some(revoked.to_string()));
}

#[test]
fn the_same_phone_gives_the_tree_of_golden_v1_and_nothing_new() {
    let dir = copy();
    let opened = opened(dir.path(), &password(make::PASSWORD), Purpose::Write).unwrap();
    let (snapshots, _) = record::all(&opened.repository);
    for (snapshot, week) in snapshots.iter().zip(1..) {
        let session = Session::begin(&opened.repository, None).unwrap();
        let root = make::put_tree(&session, &make::phone(week));
        assert_eq!(
            root, snapshot.record.tree,
            "week {week}: entries or cuts are no longer what they were"
        );
        assert_eq!(session.written().new_len, 0);
    }
}

/// `RUSSET_GOLDEN_OUT=<new folder>` keeps what was made, for a new format or to compare with what is there.
#[test]
fn a_golden_repository_is_made_the_same_way_twice() {
    let dir = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("RUSSET_GOLDEN_OUT").map(PathBuf::from);
    let (one, other) = (kept.unwrap_or_else(|| dir.path().join("one")), dir.path().join("other"));
    for out in [&one, &other] {
        fs::create_dir(out).unwrap();
        make::make(out);
    }
    let (one, other) = (files(&one), files(&other));
    assert!(one.keys().eq(other.keys()));
    assert!(one == other);
}
