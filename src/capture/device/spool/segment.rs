//! A segment of a spool: a head and frames, each sealed under its number (docs/format.md §15).
//!
//! Invariant: a segment is written from its beginning to its end by one writer, which drew its salt; a frame is read only if all
//! of it is there and opens. Knows nothing of files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use russet_store::backend::beside;
use russet_store::seal::{FrameCipher, TAG_LEN};

use super::{Durable, SpoolKey};

/// Bytes in a frame.
pub const FRAME_LEN: usize = 64 << 10;
/// Bytes of a sealed frame.
pub const SEALED_LEN: usize = FRAME_LEN + TAG_LEN;
/// Bytes before the first frame.
pub const HEAD_LEN: usize = 64;
const MAGIC: [u8; 16] = *b"russet spool 1\r\n";
const SALT_LEN: usize = 32;
const CHECK_LEN: usize = 16;

/// Why bytes are not the head of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// Cut short.
    #[error("it is cut short")]
    Length,
    /// Something else.
    #[error("it is no segment of a spool")]
    Magic,
    /// Changed.
    #[error("its beginning is damaged")]
    Check,
}

/// The head of a segment.
#[must_use]
pub fn encode_head(salt: &[u8; SALT_LEN]) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    let checked = [&MAGIC[..], salt].concat();
    let check = blake3::hash(&checked);
    let bytes = checked.iter().chain(check.as_bytes().iter().take(CHECK_LEN));
    head.iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
    head
}

/// The salt in the head of a segment.
///
/// # Errors
/// See [`HeadError`].
pub fn decode_head(bytes: &[u8]) -> Result<[u8; SALT_LEN], HeadError> {
    let (magic, rest) = bytes.split_first_chunk::<16>().ok_or(HeadError::Length)?;
    if *magic != MAGIC {
        return Err(HeadError::Magic);
    }
    let (salt, rest) = rest.split_first_chunk::<SALT_LEN>().ok_or(HeadError::Length)?;
    if rest.len() < CHECK_LEN {
        return Err(HeadError::Length);
    }
    if bytes.get(..HEAD_LEN) != Some(&encode_head(salt)[..]) {
        return Err(HeadError::Check);
    }
    Ok(*salt)
}

/// Where a frame begins in the file of its segment; one past the last: how long the file is.
#[must_use]
pub fn frame_at(number: u32) -> u64 {
    HEAD_LEN as u64 + u64::from(number) * SEALED_LEN as u64
}

/// How many whole frames a file of that length can have.
#[must_use]
pub fn frame_count(file_len: u64) -> u64 {
    file_len.saturating_sub(HEAD_LEN as u64) / SEALED_LEN as u64
}

/// A segment that grows.
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    cipher: FrameCipher,
    /// Frames so far.
    pub(super) count: u32,
}

impl Writer {
    /// A new segment; what lay at `path` is no longer there.
    pub(super) fn create(
        path: &Path,
        key: &SpoolKey,
        number: u32,
        salt: &[u8; SALT_LEN],
    ) -> io::Result<Self> {
        // What a crash left under this number is named by no checkpoint.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
        file.write_all(&encode_head(salt))?;
        let cipher = FrameCipher::new(key.as_bytes(), number, salt);
        Ok(Self { path: path.to_path_buf(), file, cipher, count: 0 })
    }

    /// Adds a frame of [`FRAME_LEN`] bytes.
    pub(super) fn push(&mut self, frame: Vec<u8>) -> io::Result<()> {
        let sealed = self.cipher.seal(self.count, frame).map_err(io::Error::other)?;
        self.file.write_all(&sealed)?;
        self.count += 1;
        Ok(())
    }

    pub(super) fn sync(&self, durable: &dyn Durable) -> io::Result<()> {
        durable.file(&self.path, &self.file)
    }
}

/// A segment that is read.
pub(super) struct Reader {
    file: File,
    cipher: FrameCipher,
}

impl Reader {
    pub(super) fn open(path: &Path, key: &SpoolKey, number: u32) -> io::Result<Self> {
        let mut file = beside::open_to_read(path)?;
        let mut head = [0; HEAD_LEN];
        file.read_exact(&mut head)?;
        let salt = decode_head(&head).map_err(io::Error::other)?;
        Ok(Self { file, cipher: FrameCipher::new(key.as_bytes(), number, &salt) })
    }

    /// A frame's bytes.
    pub(super) fn frame(&mut self, number: u32) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(frame_at(number)))?;
        let mut sealed = vec![0; SEALED_LEN];
        self.file.read_exact(&mut sealed)?;
        self.cipher.open(number, sealed).map_err(io::Error::other)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_comes_back_and_no_other_bytes_pass_for_one(salt in any::<[u8; 32]>(), at in 0..HEAD_LEN, bit in 0u8..8) {
            let head = encode_head(&salt);
            prop_assert_eq!(decode_head(&head), Ok(salt));
            prop_assert_eq!(decode_head(&head[..at]).is_err(), true);
            let mut other = head;
            other[at] ^= 1 << bit;
            prop_assert!(decode_head(&other).is_err());
        }

        #[test]
        fn any_bytes_are_a_head_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode_head(&bytes).is_err());
        }
    }

    #[test]
    fn frames_that_fit_are_counted() {
        assert_eq!(frame_count(0), 0);
        assert_eq!(frame_count(frame_at(3)), 3);
        assert_eq!(frame_count(frame_at(3) - 1), 2);
    }

    #[test]
    fn a_frame_of_a_segment_under_another_number_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("segment");
        let key = SpoolKey::new([1; 32]);
        let mut writer = Writer::create(&path, &key, 5, &[2; 32]).unwrap();
        writer.push(vec![7; FRAME_LEN]).unwrap();
        assert_eq!(Reader::open(&path, &key, 5).unwrap().frame(0).unwrap(), vec![7; FRAME_LEN]);
        assert!(Reader::open(&path, &key, 6).unwrap().frame(0).is_err());
        assert!(Reader::open(&path, &key, 5).unwrap().frame(1).is_err());
    }
}
