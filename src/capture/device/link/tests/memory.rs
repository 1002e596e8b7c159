//! Files in memory, with faults on demand.
//!
//! Invariant: a file is kept only if its body ended without an error; a fault stands for a path, whatever is asked of it.

use crate::capture::device::files::{
    DevicePath, FileError, FileErrorKind, Files, Listed, ListedKind,
};
use crate::capture::device::link::BodyError;
use std::collections::BTreeMap;
use std::io::{self, Read};

/// See the head of this file.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// Paths that fail, and how.
    pub(super) faults: BTreeMap<String, FileErrorKind>,
    /// Files whose bytes fail after those that are there.
    pub(super) broken: Vec<String>,
    /// Every call that changes something, a line each.
    pub(super) calls: Vec<String>,
    /// What each failed body said.
    pub(super) body_errors: Vec<Option<BodyError>>,
    /// Reads of a body are this long; 0 stands for 64 KiB.
    pub(super) read_len: usize,
    /// Bodies are read up to this length only, and then called good.
    pub(super) stops_at: Option<usize>,
    /// What the end of a batch fails with.
    pub(super) batch_fault: Option<FileErrorKind>,
    pub(super) free_len: u64,
}

impl Memory {
    pub(super) fn with(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec()));
        Self { files: files.collect(), ..Self::default() }
    }

    pub(super) fn failing(mut self, path: &str, kind: FileErrorKind) -> Self {
        self.faults.insert(path.to_owned(), kind);
        self
    }

    fn check(&self, path: &str) -> Result<(), FileError> {
        self.faults.get(path).map_or(Ok(()), |kind| Err(fault(*kind)))
    }
}

pub(super) fn fault(kind: FileErrorKind) -> FileError {
    FileError { kind, text: format!("{kind:?} on demand") }
}

fn name(path: &DevicePath) -> String {
    String::from_utf8_lossy(path.as_bytes()).into_owned()
}

/// Gives its bytes and then an error.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        match self.0.read(out)? {
            0 => Err(io::Error::other("the drive clicks")),
            read => Ok(read),
        }
    }
}

impl Files for Memory {
    fn upload(&mut self, path: &DevicePath, body: &mut dyn Read) -> Result<(), FileError> {
        let path = name(path);
        self.calls.push(format!("upload {path}"));
        self.check(&path)?;
        let mut bytes = Vec::new();
        let mut piece = vec![0; if self.read_len == 0 { 1 << 16 } else { self.read_len }];
        while self.stops_at.is_none_or(|stop| bytes.len() < stop) {
            match body.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
                Err(error) => {
                    self.body_errors.push(BodyError::of(&error).cloned());
                    let text = error.to_string();
                    return Err(FileError { kind: FileErrorKind::Io, text });
                }
            }
        }
        self.files.insert(path, bytes);
        Ok(())
    }

    fn uploaded(&mut self) -> Result<(), FileError> {
        self.calls.push("uploaded".to_owned());
        self.batch_fault.map_or(Ok(()), |kind| Err(fault(kind)))
    }

    fn download(&mut self, path: &DevicePath) -> Result<Box<dyn Read + '_>, FileError> {
        let path = name(path);
        self.check(&path)?;
        let bytes = self.files.get(&path).ok_or_else(|| fault(FileErrorKind::NotFound))?;
        if self.broken.contains(&path) {
            return Ok(Box::new(Broken(bytes)));
        }
        Ok(Box::new(bytes.as_slice()))
    }

    fn list(
        &mut self,
        path: &DevicePath,
        each: &mut dyn FnMut(&[u8], Listed),
    ) -> Result<(), FileError> {
        let path = name(path);
        let below = if path.is_empty() { String::new() } else { format!("{path}/") };
        let mut is_there = false;
        for (name, bytes) in &self.files {
            let Some(rest) = name.strip_prefix(&below) else { continue };
            is_there = true;
            let (name, kind, len) = match rest.split_once('/') {
                Some((folder, _)) => (folder, ListedKind::Directory, 0),
                None => (rest, ListedKind::File, bytes.len() as u64),
            };
            each(name.as_bytes(), Listed { kind, len, mtime_secs: 1_700_000_000 });
        }
        self.check(&path)?;
        if is_there { Ok(()) } else { Err(fault(FileErrorKind::NotFound)) }
    }

    fn create_directory(&mut self, path: &DevicePath) -> Result<(), FileError> {
        self.calls.push(format!("create {}", name(path)));
        self.check(&name(path))
    }

    fn rename(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        self.calls.push(format!("rename {} {}", name(from), name(to)));
        self.check(&name(from))
    }

    fn remove(&mut self, path: &DevicePath) -> Result<(), FileError> {
        self.calls.push(format!("remove {}", name(path)));
        self.check(&name(path))
    }

    fn copy(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        self.calls.push(format!("copy {} {}", name(from), name(to)));
        self.check(&name(from))
    }

    fn free_len(&mut self) -> Result<u64, FileError> {
        self.check("")?;
        Ok(self.free_len)
    }

    fn purge(&mut self, wanted_len: u64) -> Result<u64, FileError> {
        self.check("")?;
        Ok(wanted_len / 2)
    }
}
