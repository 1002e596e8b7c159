//! The seam between the phone's questions and what answers them: the folder of backups that the phone believes in.
//!
//! Invariant: a [`DevicePath`] never leads out of that folder: no `..`, no NUL, no empty part. An error carries the kind that the
//! phone acts upon; "missing" is said only of what is truly missing.

use std::io::Read;

/// Longest path accepted, in bytes.
pub const PATH_LEN_MAX: usize = 4096;

/// A path below the folder of all backups, `UDID/…`, as raw bytes with `/` between its parts. Empty: that folder itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevicePath(Vec<u8>);

/// Why bytes are no path that a phone may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than [`PATH_LEN_MAX`].
    #[error("a path of {0} bytes")]
    TooLong(usize),
    /// A part is `..`.
    #[error("a path that leads upwards")]
    Upwards,
    /// A NUL byte.
    #[error("a path with a NUL byte")]
    Nul,
}

impl DevicePath {
    /// Checks a path as a phone sends it. A leading `/`, doubled ones and parts `.` are dropped, as working hosts do.
    ///
    /// # Errors
    /// See [`PathError`]; such a path is refused, never cleaned.
    pub fn parse(raw: &[u8]) -> Result<Self, PathError> {
        if raw.len() > PATH_LEN_MAX {
            return Err(PathError::TooLong(raw.len()));
        }
        if raw.contains(&0) {
            return Err(PathError::Nul);
        }
        let mut path = Vec::with_capacity(raw.len());
        for part in raw.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => return Err(PathError::Upwards),
                _ => {
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(part);
                }
            }
        }
        Ok(Self(path))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the folder of all backups itself.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// First part and the rest: the folder of one phone and the path in it, empty for that folder itself.
    #[must_use]
    pub fn split_first(&self) -> (&[u8], &[u8]) {
        match self.0.iter().position(|byte| *byte == b'/') {
            Some(at) => {
                let (first, rest) = self.0.split_at(at);
                (first, rest.get(1..).unwrap_or_default())
            }
            None => (&self.0, &[]),
        }
    }
}

/// What went wrong, as the phone distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileErrorKind {
    /// Truly not there.
    NotFound,
    /// There already.
    Exists,
    /// A folder was expected.
    NotADirectory,
    /// A file was expected.
    IsADirectory,
    /// It is there and cannot be read or written.
    Io,
    /// The drive has no more room.
    NoSpace,
    /// Anything else: refused.
    Refused,
}

/// Why a request of the phone could not be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct FileError {
    /// What the phone acts upon.
    pub kind: FileErrorKind,
    /// For a person; sent to the phone as well.
    pub text: String,
}

/// What a name in a listing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListedKind {
    /// A folder.
    Directory,
    /// A file.
    File,
    /// Something else, a link for instance.
    Other,
}

/// A name in a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// What it is.
    pub kind: ListedKind,
    /// Bytes as stored; 0 for folders.
    pub len: u64,
    /// Unix seconds.
    pub mtime_secs: i64,
}

/// Answers what a phone asks of its host. Requests come one at a time, in the phone's order.
pub trait Files {
    /// A file arrives; `body` is read to its end. An error of `body` means that the phone could not read it, or that the link
    /// broke: nothing of it may become visible. What stood at `path` is replaced at the end, not before.
    ///
    /// # Errors
    /// It cannot be kept. The caller reads the rest of the batch away and tells the phone.
    fn upload(&mut self, path: &DevicePath, body: &mut dyn Read) -> Result<(), FileError>;

    /// A batch of uploads ended; the phone hears success only if this succeeds.
    ///
    /// # Errors
    /// Something of the batch cannot be kept.
    fn uploaded(&mut self) -> Result<(), FileError>;

    /// The bytes of a file.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    fn download(&mut self, path: &DevicePath) -> Result<Box<dyn Read + '_>, FileError>;

    /// Every name directly in a folder, in any order.
    ///
    /// # Errors
    /// It is not there, is a file, or cannot be listed to its end.
    fn list(
        &mut self,
        path: &DevicePath,
        each: &mut dyn FnMut(&[u8], Listed),
    ) -> Result<(), FileError>;

    /// A folder, with those above it; one that is there already is fine.
    ///
    /// # Errors
    /// A file has that name.
    fn create_directory(&mut self, path: &DevicePath) -> Result<(), FileError>;

    /// Moves a file or a whole folder; what stood at `to` is replaced. Done already (`from` gone, `to` there) is fine.
    ///
    /// # Errors
    /// Neither is there, or the move makes no sense.
    fn rename(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError>;

    /// Removes a file or a whole folder; missing is fine.
    ///
    /// # Errors
    /// It must not be removed.
    fn remove(&mut self, path: &DevicePath) -> Result<(), FileError>;

    /// Copies a file or a whole folder; what stood at `to` is replaced.
    ///
    /// # Errors
    /// `from` is not there, or the copy makes no sense.
    fn copy(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError>;

    /// Bytes that the phone may count on.
    ///
    /// # Errors
    /// Nobody knows.
    fn free_len(&mut self) -> Result<u64, FileError>;

    /// The phone would like `wanted_len` bytes more; the answer is how many were freed.
    ///
    /// # Errors
    /// They cannot be freed.
    fn purge(&mut self, wanted_len: u64) -> Result<u64, FileError>;
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_leading_slash_is_relative() {
        assert_eq!(DevicePath::parse(b"/.b//7/./x").unwrap().as_bytes(), b".b/7/x");
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        assert_eq!(DevicePath::parse(b"a/../../b"), Err(PathError::Upwards));
        assert_eq!(DevicePath::parse(b".."), Err(PathError::Upwards));
        assert_eq!(DevicePath::parse(b"a\0b"), Err(PathError::Nul));
        assert_eq!(DevicePath::parse(&[b'a'; 4097]), Err(PathError::TooLong(4097)));
    }

    #[test]
    fn a_path_splits_into_phone_and_rest() {
        let split = |raw: &[u8]| {
            let path = DevicePath::parse(raw).unwrap();
            let (first, rest) = path.split_first();
            (first.to_vec(), rest.to_vec())
        };
        assert_eq!(split(b"U/Snapshot/ab"), (b"U".to_vec(), b"Snapshot/ab".to_vec()));
        assert_eq!(split(b"/U/"), (b"U".to_vec(), Vec::new()));
        assert!(DevicePath::parse(b"//").unwrap().is_root());
    }

    proptest! {
        #[test]
        fn any_accepted_path_stays_inside(raw in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(path) = DevicePath::parse(&raw) {
                let inside = path.as_bytes().split(|b| *b == b'/').all(|part| {
                    part != b".." && part != b"." && !part.contains(&0) && (path.is_root() || !part.is_empty())
                });
                prop_assert!(inside);
                prop_assert_eq!(DevicePath::parse(path.as_bytes()), Ok(path.clone()));
            }
        }
    }
}
