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
    stored: Stored<File>,
}

/// The stored form on its way to `sink`.
pub(crate) struct Stored<W> {
    sink: W,
    cipher: Option<cbc::Encryptor<aes::Aes256>>,
    digest: Sha1,
    is_digested: bool,
    pending: Vec<u8>,
    len: u64,
}

impl Payload {
    /// Creates `path`, which must not exist. With a key the bytes are encrypted.
    pub(crate) fn create(path: &Path, key: Option<&Key>) -> Result<Self, WriteError> {
        let file = File::create_new(path).map_err(WriteError::io(path))?;
        Ok(Self { path: path.to_path_buf(), stored: Stored::new(file, key) })
    }

    /// Ends the file; the answer is the SHA-1 of what was stored.
    pub(crate) fn finish(self, modified: SystemTime) -> Result<[u8; 20], WriteError> {
        let (file, digest, _) = self.stored.finish().map_err(WriteError::io(&self.path))?;
        let times = FileTimes::new().set_modified(modified).set_accessed(modified);
        file.set_times(times).map_err(WriteError::io(&self.path))?;
        Ok(digest)
    }
}

impl Write for Payload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stored.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Stored<W> {
    /// With a key the bytes are encrypted.
    pub(crate) fn new(sink: W, key: Option<&Key>) -> Self {
        let cipher =
            key.map(|key| cbc::Encryptor::new(&(*key).into(), &[0; CIPHER_BLOCK_LEN].into()));
        let (digest, pending) = (Sha1::new(), Vec::new());
        Self { sink, cipher, digest, is_digested: true, pending, len: 0 }
    }

    /// Nobody wants the SHA-1, which costs more than all else: `finish` gives that of nothing.
    pub(crate) fn undigested(self) -> Self {
        Self { is_digested: false, ..self }
    }

    /// Pads and ends; the answer is the sink, and SHA-1 and number of the bytes it got.
    pub(crate) fn finish(mut self) -> io::Result<(W, [u8; 20], u64)> {
        if self.cipher.is_some() {
            let pad_len = CIPHER_BLOCK_LEN - self.pending.len() % CIPHER_BLOCK_LEN;
            let pad = u8::try_from(pad_len).expect("a pad has 1 to 16 bytes");
            self.pending.resize(self.pending.len() + pad_len, pad);
        }
        self.store()?;
        Ok((self.sink, self.digest.finalize().into(), self.len))
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
        if self.is_digested {
            self.digest.update(bytes);
        }
        self.sink.write_all(bytes)?;
        self.len += u64::try_from(bytes.len()).unwrap_or(0);
        self.pending.drain(..ready);
        Ok(())
    }
}

impl<W: Write> Write for Stored<W> {
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;
    use aes::cipher::{BlockModeDecrypt, block_padding::Pkcs7};

    /// Lengths around the edges of blocks and of the buffer.
    const LENS: [usize; 9] =
        [0, 1, 15, 16, 17, BUFFER_LEN - 1, BUFFER_LEN, BUFFER_LEN + 1, 700_001];

    fn stored(bytes: &[u8], piece_len: usize, key: Option<&Key>) -> (Vec<u8>, [u8; 20]) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("payload");
        let mut payload = Payload::create(&path, key).unwrap();
        for piece in bytes.chunks(piece_len) {
            payload.write_all(piece).unwrap();
        }
        let digest = payload.finish(SystemTime::UNIX_EPOCH).unwrap();
        (std::fs::read(&path).unwrap(), digest)
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        crate::random::Random::new(1).fill(&mut bytes);
        bytes
    }

    #[test]
    fn an_encrypted_payload_decrypts_to_what_was_written() {
        let key: Key = [7; 32];
        for len in LENS {
            let bytes = noise(len);
            for piece_len in [4096, 5000, BUFFER_LEN * 2] {
                let (cipher, _) = stored(&bytes, piece_len, Some(&key));
                assert_eq!(cipher.len(), (len / 16 + 1) * 16);
                let decryptor = cbc::Decryptor::<aes::Aes256>::new(&key.into(), &[0; 16].into());
                let plain = decryptor.decrypt_padded_vec::<Pkcs7>(&cipher).unwrap();
                assert!(plain == bytes, "{len} bytes in pieces of {piece_len}");
            }
        }
    }

    #[test]
    fn a_plain_payload_is_what_was_written() {
        for len in LENS {
            let bytes = noise(len);
            assert!(stored(&bytes, 4096, None).0 == bytes, "{len} bytes");
        }
    }

    #[test]
    fn the_digest_is_of_the_stored_bytes_not_of_the_plaintext() {
        for key in [None, Some([7; 32])] {
            let (bytes, digest) = stored(&noise(300_000), 4096, key.as_ref());
            assert_eq!(digest, <[u8; 20]>::from(Sha1::digest(&bytes)));
        }
    }
}
