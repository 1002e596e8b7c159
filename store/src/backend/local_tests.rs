//! What the local folder does where drives are odd, full, damaged or hostile.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stderr, reason = "a skipped test says so")]

use super::*;
use std::process::Command;

/// Held by whoever starts a process: between fork and exec it keeps every file open, and a file that was
/// deleted meanwhile still fills the drive.
static STARTING: Mutex<()> = Mutex::new(());

fn starting() -> MutexGuard<'static, ()> {
    STARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

const TRUSTING: Durability = Durability { read_back: false };
const CAREFUL: Durability = Durability { read_back: true };

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn fresh(durability: Durability) -> (tempfile::TempDir, LocalBackend) {
    let folder = tempfile::tempdir().unwrap();
    let backend = LocalBackend::create(&folder.path().join("r"), durability).unwrap();
    (folder, backend)
}

fn names(backend: &LocalBackend) -> Vec<String> {
    backend.list("").unwrap().files.into_iter().map(|file| file.name).collect()
}

#[test]
fn a_file_read_back_past_the_cache_stands_under_its_name() {
    let (_folder, backend) = fresh(CAREFUL);
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    backend.put_new(&name("packs/91/a"), &bytes).unwrap();
    backend.barrier().unwrap();
    assert_eq!(backend.get(&name("packs/91/a"), u64::MAX).unwrap(), bytes);
}

#[test]
fn leftovers_of_a_dead_writer_are_hidden_and_swept_in_every_folder() {
    let (_folder, backend) = fresh(TRUSTING);
    backend.put_new(&name("packs/91/a"), b"1").unwrap();
    fs::write(backend.root.join(".russet-tmp-0123"), b"torn").unwrap();
    fs::write(backend.root.join("packs/91/.russet-tmp-4567"), b"torn").unwrap();
    assert_eq!(names(&backend), ["packs/91/a"]);
    assert_eq!(backend.sweep_temporaries().unwrap(), 2);
    assert_eq!(backend.sweep_temporaries().unwrap(), 0);
    assert_eq!(backend.get(&name("packs/91/a"), 9).unwrap(), b"1");
}

#[test]
fn a_folder_goes_with_its_last_file_and_comes_again_with_the_next() {
    let (_folder, backend) = fresh(TRUSTING);
    for file in ["drafts/91/1", "drafts/91/2", "log/1"] {
        backend.put_new(&name(file), b"1").unwrap();
    }
    backend.delete(&name("drafts/91/1")).unwrap();
    assert!(backend.root.join("drafts/91").exists());
    backend.delete(&name("drafts/91/2")).unwrap();
    backend.delete(&name("log/1")).unwrap();
    backend.barrier().unwrap();
    let children = fs::read_dir(backend.root.join("drafts")).unwrap().count();
    assert_eq!((children, backend.root.join("log").exists()), (0, true));
    backend.put_new(&name("drafts/91/3"), b"3").unwrap();
    backend.barrier().unwrap();
    assert_eq!(names(&backend), ["drafts/91/3"]);
}

#[test]
fn a_folder_that_goes_and_comes_never_loses_a_file() {
    let (_folder, backend) = fresh(TRUSTING);
    let [first, second] = ["packs/91/a", "packs/91/b"].map(name);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..300 {
                backend.put_new(&first, b"a").unwrap();
                backend.delete(&first).unwrap();
            }
        });
        for _ in 0..300 {
            backend.put_new(&second, b"b").unwrap();
            assert_eq!(backend.get(&second, 9).unwrap(), b"b");
            backend.delete(&second).unwrap();
        }
    });
}

#[test]
fn the_lock_file_is_neither_listed_nor_counted_as_content() {
    let (_folder, backend) = fresh(TRUSTING);
    let lock = backend.lock_exclusive().unwrap();
    assert!(lock.is_enforced());
    assert_eq!(names(&backend), [""; 0]);
    assert!(backend.is_empty().unwrap());
}

#[test]
fn what_systems_put_on_a_new_drive_does_not_make_it_full() {
    let (_folder, backend) = fresh(TRUSTING);
    fs::create_dir(backend.root.join("lost+found")).unwrap();
    fs::write(backend.root.join(".DS_Store"), b"x").unwrap();
    assert!(backend.is_empty().unwrap());
    fs::write(backend.root.join("letter.txt"), b"x").unwrap();
    assert!(!backend.is_empty().unwrap());
}

#[test]
fn a_torn_file_is_replaced_by_the_right_bytes() {
    let (_folder, backend) = fresh(TRUSTING);
    backend.put_new(&name("packs/91/a"), b"12345").unwrap();
    for torn in [b"".as_slice(), b"123", b"12395", b"123456"] {
        fs::write(backend.path(&name("packs/91/a")), torn).unwrap();
        backend.put_new(&name("packs/91/a"), b"12345").unwrap();
        assert_eq!(backend.get(&name("packs/91/a"), 9).unwrap(), b"12345");
    }
}

#[test]
fn a_file_that_is_there_already_is_not_written_again() {
    let (_folder, backend) = fresh(CAREFUL);
    backend.put_new(&name("a"), b"12345").unwrap();
    let before = fs::metadata(backend.path(&name("a"))).unwrap().modified().unwrap();
    backend.put_new(&name("a"), b"12345").unwrap();
    let after = fs::metadata(backend.path(&name("a"))).unwrap().modified().unwrap();
    assert_eq!(before, after);
}

#[test]
fn a_file_in_place_of_a_fan_out_folder_is_named() {
    let (_folder, backend) = fresh(TRUSTING);
    backend.put_new(&name("packs/90/a"), b"1").unwrap();
    fs::write(backend.root.join("packs/91"), b"").unwrap();
    let error = backend.put_new(&name("packs/91/a"), b"1").unwrap_err();
    let BackendError::NotAFolder { path } = error else { panic!("{error:?}") };
    assert!(path.ends_with("packs/91"));
    let error = backend.get(&name("packs/91/a"), 9).unwrap_err();
    assert!(matches!(error, BackendError::NotAFolder { .. }), "{error:?}");
    assert_eq!(names(&backend), ["packs/90/a", "packs/91"]);
}

#[test]
fn a_folder_in_place_of_a_file_is_refused_and_kept() {
    let (_folder, backend) = fresh(TRUSTING);
    fs::create_dir_all(backend.root.join("packs/91/a")).unwrap();
    let target = name("packs/91/a");
    let is_refused = |error| matches!(error, BackendError::NotAFile { .. });
    assert!(is_refused(backend.put_new(&target, b"1").unwrap_err()));
    assert!(is_refused(backend.get(&target, 9).unwrap_err()));
    assert!(is_refused(backend.delete(&target).unwrap_err()));
    assert!(backend.root.join("packs/91/a").is_dir());
    assert_eq!(backend.sweep_temporaries().unwrap(), 0);
}

#[cfg(unix)]
#[test]
fn links_and_pipes_on_the_drive_are_shown_but_never_followed() {
    let (folder, backend) = fresh(TRUSTING);
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"host").unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), backend.root.join("config")).unwrap();
    std::os::unix::fs::symlink(&outside, backend.root.join("packs")).unwrap();
    let _alone = starting();
    assert!(Command::new("mkfifo").arg(backend.root.join("pipe")).status().unwrap().success());
    assert_eq!(names(&backend), ["config", "packs", "pipe"]);
    for target in ["config", "pipe"] {
        let error = backend.get(&name(target), 9).unwrap_err();
        assert!(matches!(error, BackendError::NotAFile { .. }), "{target}: {error:?}");
    }
    let error = backend.put_new(&name("packs/a"), b"1").unwrap_err();
    assert!(matches!(error, BackendError::NotAFolder { .. }), "{error:?}");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn a_link_in_place_of_the_lock_does_not_lead_us_elsewhere() {
    let (folder, backend) = fresh(TRUSTING);
    let outside = folder.path().join("outside");
    fs::write(&outside, b"host").unwrap();
    std::os::unix::fs::symlink(&outside, backend.root.join("lock")).unwrap();
    assert!(backend.lock_exclusive().is_err());
    assert_eq!(fs::read(&outside).unwrap(), b"host");
}

#[cfg(unix)]
#[test]
fn names_that_cannot_be_shown_are_counted_and_skipped() {
    use std::os::unix::ffi::OsStrExt;
    let (_folder, backend) = fresh(TRUSTING);
    backend.put_new(&name("a"), b"1").unwrap();
    fs::write(backend.root.join("two\nlines"), b"x").unwrap();
    fs::write(backend.root.join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), b"x").unwrap();
    let listing = backend.list("").unwrap();
    assert_eq!(listing.files, [crate::backend::Listed { name: "a".to_owned(), len: 1 }]);
    assert_eq!(listing.skipped_count, 2);
}

#[test]
fn folders_deeper_than_our_names_are_not_entered() {
    let (_folder, backend) = fresh(TRUSTING);
    fs::create_dir_all(backend.root.join("a/b/c/d")).unwrap();
    fs::write(backend.root.join("a/b/c/d/e"), b"x").unwrap();
    let listing = backend.list("").unwrap();
    assert_eq!((listing.files.len(), listing.skipped_count), (0, 1));
}

#[test]
fn a_vanished_drive_is_not_an_empty_repository() {
    let (folder, backend) = fresh(TRUSTING);
    backend.put_new(&name("a"), b"1").unwrap();
    fs::rename(&backend.root, folder.path().join("unplugged")).unwrap();
    let is_gone = |error| matches!(error, BackendError::Disconnected { .. });
    assert!(is_gone(backend.list("packs").unwrap_err()));
    assert!(is_gone(backend.get(&name("a"), 9).unwrap_err()));
    assert!(is_gone(backend.put_new(&name("b"), b"1").unwrap_err()));
    assert!(is_gone(backend.delete(&name("a")).unwrap_err()));
    assert!(is_gone(backend.barrier().unwrap_err()));
}

#[test]
fn a_missing_folder_is_not_opened_and_a_file_is_no_repository() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("r");
    let error = LocalBackend::open(&path, TRUSTING).unwrap_err();
    assert!(matches!(error, BackendError::NotFound { .. }), "{error:?}");
    fs::write(&path, b"").unwrap();
    let error = LocalBackend::open(&path, TRUSTING).unwrap_err();
    assert!(matches!(error, BackendError::NotAFolder { .. }), "{error:?}");
    let error = LocalBackend::create(&path, TRUSTING).unwrap_err();
    assert!(matches!(error, BackendError::NotAFolder { .. }), "{error:?}");
}

#[test]
fn a_path_that_leaves_the_folder_is_not_listed() {
    let (_folder, backend) = fresh(TRUSTING);
    for dir in ["..", "/", "a/../.."] {
        assert!(matches!(backend.list(dir), Err(BackendError::NotAFolder { .. })), "{dir}");
    }
}

/// A small file system of its own; gone when dropped.
struct Mount(tempfile::TempDir, #[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Mount {
    /// `None` where the tests may not mount.
    fn tmpfs(options: &str) -> Option<Self> {
        let alone = starting();
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(folder.path())
            .output()
            .is_ok_and(|output| output.status.success());
        if !mounted {
            eprintln!("SKIPPED: mounting a tmpfs needs Linux and root");
        }
        mounted.then_some(Self(folder, alone))
    }

    fn remount(&self, option: &str) {
        let options = format!("remount,{option}");
        let status =
            Command::new("mount").args(["-o", &options]).arg(self.0.path()).status().unwrap();
        assert!(status.success());
    }

    fn unmount(&self) {
        // Lazily, as a pulled drive goes: whoever has it open keeps a dead handle.
        assert!(Command::new("umount").arg("-l").arg(self.0.path()).status().unwrap().success());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_drive_is_named_keeps_nothing_half_and_can_still_be_cleared() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    let backend = LocalBackend::open(mount.0.path(), CAREFUL).unwrap();
    backend.put_new(&name("packs/a"), &[1; 600_000]).unwrap();
    let error = backend.put_new(&name("packs/b"), &[2; 600_000]).unwrap_err();
    assert!(matches!(error, BackendError::NoSpace { .. }), "{error:?}");
    assert_eq!(names(&backend), ["packs/a"]);
    assert_eq!(backend.sweep_temporaries().unwrap(), 0, "the torn file was left behind");
    assert!(backend.free_len().unwrap().unwrap() > 300_000);
    backend.delete(&name("packs/a")).unwrap();
    backend.put_new(&name("packs/b"), &[2; 600_000]).unwrap();
    backend.barrier().unwrap();
}

#[test]
fn a_read_only_drive_can_be_read_and_says_so_when_written() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    let backend = LocalBackend::open(mount.0.path(), TRUSTING).unwrap();
    backend.put_new(&name("packs/a"), b"1").unwrap();
    assert!(!backend.is_read_only().unwrap());
    mount.remount("ro");
    assert!(backend.is_read_only().unwrap());
    assert_eq!(backend.get(&name("packs/a"), 9).unwrap(), b"1");
    let is_refused = |error| matches!(error, BackendError::ReadOnly { .. });
    assert!(is_refused(backend.put_new(&name("packs/b"), b"1").unwrap_err()));
    assert!(is_refused(backend.put_new(&name("new/b"), b"1").unwrap_err()));
    assert!(is_refused(backend.delete(&name("packs/a")).unwrap_err()));
    assert!(matches!(backend.lock_exclusive(), Err(LockError::ReadOnly { .. })));
    backend.barrier().unwrap();
}

#[test]
fn nothing_is_written_to_the_bare_mount_point_of_a_pulled_drive() {
    let Some(mount) = Mount::tmpfs("size=1m") else {
        return;
    };
    let backend = LocalBackend::open(mount.0.path(), TRUSTING).unwrap();
    backend.put_new(&name("a"), b"1").unwrap();
    mount.unmount();
    let is_gone = |error| matches!(error, BackendError::Disconnected { .. });
    assert!(is_gone(backend.put_new(&name("b"), b"1").unwrap_err()));
    assert!(is_gone(backend.barrier().unwrap_err()));
    assert!(is_gone(backend.get(&name("a"), 9).unwrap_err()));
    assert!(is_gone(backend.list("").unwrap_err()));
    assert_eq!(fs::read_dir(mount.0.path()).unwrap().count(), 0);
}
