//! File names as bytes, and back.
//!
//! Invariant: on Unix every name goes there and back unchanged; elsewhere a name that is not Unicode has no bytes and is reported.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The bytes of a name.
#[must_use]
pub fn bytes_of(name: &OsStr) -> Option<Vec<u8>> {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        Some(name.as_bytes().to_vec())
    }
    #[cfg(not(unix))]
    {
        name.to_str().map(|text| text.as_bytes().to_vec())
    }
}

/// The path of a stored path below a folder; None where this system cannot have such a name.
#[must_use]
pub fn path_of(root: &Path, stored: &[u8]) -> Option<PathBuf> {
    let mut path = root.to_path_buf();
    for name in stored.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
        #[cfg(unix)]
        {
            use std::os::unix::ffi::OsStrExt;
            path.push(OsStr::from_bytes(name));
        }
        #[cfg(not(unix))]
        {
            let name = std::str::from_utf8(name).ok()?;
            if name.contains(['\\', ':', '<', '>', '"', '|', '?', '*']) {
                return None;
            }
            path.push(name);
        }
    }
    Some(path)
}
