//! One file of a backup folder, written as it streams by: encrypted or not, hashed or not.
//!
//! Invariant: `finish` leaves the whole file with the given mtime, and the digest is of the bytes on disk.
//! Holds at most one buffer. Format: docs/apple-format.md §6.

use crate::keybag::Key;
use crate::write_error::WriteError;
use aes::cipher::{Array, BlockModeEncrypt, KeyIvInit};
use sha1::{Digest, Sha1};
use std::fs::{File, FileTimes};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const BUFFER_LEN: usize = 256 * 1024;
const CIPHER_BLOCK_LEN: usize = 16;

/// A file being written.
pub(crate) struct Payload {
    path: PathBuf,
    file: File,
    cipher: Option<cbc::Encryptor<aes::Aes256>>,
    digest: Sha1,
    pending: Vec<u8>,
}

impl Payload {
    /// Creates `path`, which must not exist. With a key the bytes are encrypted.
    pub(crate) fn create(path: &Path, key: Option<&Key>) -> Result<Self, WriteError> {
        let file = File::create_new(path).map_err(WriteError::io(path))?;
        let cipher =
            key.map(|key| cbc::Encryptor::new(&(*key).into(), &[0; CIPHER_BLOCK_LEN].into()));
        Ok(Self {
            path: path.to_path_buf(),
            file,
            cipher,
            digest: Sha1::new(),
            pending: Vec::new(),
        })
    }

    /// Ends the file; the answer is the SHA-1 of what was stored.
    pub(crate) fn finish(mut self, modified: SystemTime) -> Result<[u8; 20], WriteError> {
        if self.cipher.is_some() {
            let pad_len = CIPHER_BLOCK_LEN - self.pending.len() % CIPHER_BLOCK_LEN;
            let pad = u8::try_from(pad_len).expect("a pad has 1 to 16 bytes");
            self.pending.resize(self.pending.len() + pad_len, pad);
        }
        self.store().map_err(WriteError::io(&self.path))?;
        let times = FileTimes::new()
            .set_modified(modified)
            .set_accessed(modified);
        self.file
            .set_times(times)
            .map_err(WriteError::io(&self.path))?;
        Ok(self.digest.finalize().into())
    }

    /// Stores what is pending; with a cipher only whole blocks of it.
    fn store(&mut self) -> io::Result<()> {
        let ready = match &mut self.cipher {
            None => self.pending.len(),
            Some(cipher) => {
                let (blocks, rest) = Array::slice_as_chunks_mut(&mut self.pending);
                let rest_len = rest.len();
                cipher.encrypt_blocks(blocks);
                self.pending.len() - rest_len
            }
        };
        let bytes = self.pending.get(..ready).unwrap_or_default();
        self.digest.update(bytes);
        self.file.write_all(bytes)?;
        self.pending.drain(..ready);
        Ok(())
    }
}

impl Write for Payload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BUFFER_LEN {
            self.store()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
