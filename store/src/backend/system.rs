//! The few calls where systems differ: sync, cache, free space, open without surprises.
//!
//! Invariant: every function works, or says plainly that it could not, on Linux, macOS and Windows; an
//! odd file system that knows no sync is not an error here. Knows nothing of names or layout.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// How much of a sync the drive understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Synced {
    /// All that the system offers.
    Full,
    /// Less than that: exFAT on macOS knows no `F_FULLFSYNC`, some network and FUSE file systems know no
    /// sync at all. Only reading back tells what happened.
    Partly,
}

/// "Not known here", as opposed to "tried and failed".
fn is_unsupported(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, Unsupported};
    #[cfg(unix)]
    if let Some(code) = error.raw_os_error() {
        use rustix::io::Errno;
        let known = [Errno::NOTTY, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS];
        return known.iter().any(|errno| errno.raw_os_error() == code);
    }
    matches!(error.kind(), Unsupported | InvalidInput)
}

/// Makes a file's bytes and length durable. std's `sync_all` is `F_FULLFSYNC` on Apple systems.
pub(super) fn sync_file(file: &File) -> io::Result<Synced> {
    match file.sync_all() {
        Ok(()) => Ok(Synced::Full),
        Err(error) if is_unsupported(&error) => sync_plainly(file),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn sync_plainly(file: &File) -> io::Result<Synced> {
    match rustix::fs::fsync(file).map_err(io::Error::from) {
        Err(error) if !is_unsupported(&error) => Err(error),
        Ok(()) | Err(_) => Ok(Synced::Partly),
    }
}

#[cfg(not(unix))]
fn sync_plainly(_file: &File) -> io::Result<Synced> {
    Ok(Synced::Partly)
}

/// Makes a folder's entries durable, where folders can be synced at all.
#[cfg(unix)]
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    sync_file(&File::open(path)?).map(|_| ())
}

/// Windows cannot sync a folder; NTFS journals its entries.
#[cfg(not(unix))]
pub(super) fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Asks that the next reads of this file come from the drive. Advice: a system may not know it.
pub(super) fn read_past_cache(file: &File) {
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let _advice = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    #[cfg(target_vendor = "apple")]
    let _advice = rustix::fs::fcntl_nocache(file, true);
    #[cfg(not(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_vendor = "apple"
    )))]
    let _ = file;
}

/// Opens for reading; a link is not followed and a pipe planted on the drive cannot make us wait.
pub(super) fn open_to_read(path: &Path) -> io::Result<File> {
    open_warily(OpenOptions::new().read(true), path)
}

/// Opens what is there to lock or write it; a link is not followed.
pub(super) fn open_to_write(path: &Path) -> io::Result<File> {
    open_warily(OpenOptions::new().read(true).write(true), path)
}

/// Opens the lock file, or makes it; a link in its place would have us write elsewhere and is refused.
pub(super) fn open_to_lock(path: &Path) -> io::Result<File> {
    open_warily(OpenOptions::new().read(true).write(true).create(true).truncate(false), path)
}

fn open_warily(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        options.custom_flags(flags.cast_signed());
    }
    options.open(path)
}

/// Whether the error of an open means that a link stands there.
pub(super) fn is_link_refused(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

/// What tells one mounted drive from another at the same path, while it stays mounted.
#[cfg(unix)]
pub(super) fn device(path: &Path) -> io::Result<Option<u64>> {
    use std::os::unix::fs::MetadataExt;
    // Not the inode: exFAT by FUSE hands out new ones.
    std::fs::metadata(path).map(|metadata| Some(metadata.dev()))
}

/// Windows has drive letters instead: a drive that is gone has no root.
#[cfg(not(unix))]
pub(super) fn device(path: &Path) -> io::Result<Option<u64>> {
    std::fs::metadata(path).map(|_| None)
}

/// Whether the system says that the device or the connection is gone.
pub(super) fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, NotConnected, StaleNetworkFileHandle};
    #[cfg(unix)]
    if let Some(code) = error.raw_os_error() {
        use rustix::io::Errno;
        if [Errno::NODEV, Errno::NXIO, Errno::HOSTDOWN].iter().any(|e| e.raw_os_error() == code) {
            return true;
        }
    }
    matches!(error.kind(), NotConnected | ConnectionAborted | StaleNetworkFileHandle)
}

/// Bytes an ordinary user can still write.
#[cfg(unix)]
pub(super) fn free_len(path: &Path) -> io::Result<Option<u64>> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(Some(stat.f_bavail.saturating_mul(stat.f_frsize)))
}

/// Not asked on Windows.
#[cfg(not(unix))]
pub(super) fn free_len(_path: &Path) -> io::Result<Option<u64>> {
    Ok(None)
}

/// Whether the file system is mounted read-only.
#[cfg(unix)]
pub(super) fn is_read_only(path: &Path) -> io::Result<bool> {
    let stat = rustix::fs::statvfs(path)?;
    Ok(stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY))
}

/// Windows says so at the first write.
#[cfg(not(unix))]
pub(super) fn is_read_only(_path: &Path) -> io::Result<bool> {
    Ok(false)
}

/// The name of this computer, for messages.
pub(super) fn host_name() -> String {
    #[cfg(unix)]
    {
        rustix::system::uname().nodename().to_string_lossy().into_owned()
    }
    #[cfg(not(unix))]
    {
        "this computer".to_owned()
    }
}
