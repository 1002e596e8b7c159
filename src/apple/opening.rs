//! Opening a file that the phone encrypted, and making the same bytes again: AES-256-CBC from an IV of zeros, PKCS#7.
//!
//! Invariant: plaintext is handed out only after each of its blocks, encrypted again, gave the stored block; so key, plaintext
//! and length of the padding are enough to make the stored file. What is no such file is an error, never cut to fit: Apple's
//! `Size` is not asked. Holds one buffer, whatever the length. Format: docs/apple-format.md §6.

use std::io::{self, Read, Seek, SeekFrom};

use aes::Aes256;
use aes::cipher::{
    Array, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, KeyInit, KeyIvInit,
};
use cbc::{Decryptor, Encryptor};

use super::{FileKey, PageSource};

/// Length of a block of AES.
const BLOCK_LEN: usize = 16;
const BUFFER_LEN: usize = 128 << 10;

type Block = [u8; BLOCK_LEN];

/// Why a stored file does not open. It is kept as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpeningError {
    /// Of length zero, or cut in the middle of a block.
    #[error("its length is no multiple of 16")]
    Length,
    /// It does not end in padding: cut at the end of a block, damaged there, or encrypted with another key.
    #[error("it does not end as encrypted files do")]
    Padding,
    /// Encrypting what was opened gave other bytes.
    #[error("what was opened does not encrypt to what is stored")]
    NotTheSame,
}

/// What a stored file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// Its length.
    pub len: u64,
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
    /// Bytes of padding at its end, 1 to 16.
    pub padding: u8,
}

/// Gives the plaintext of a stored file as it is read.
///
/// An [`OpeningError`] comes as the cause of an I/O error; [`Opening::failure`] tells it apart from one of the source.
pub struct Opening<R> {
    source: R,
    decryptor: Decryptor<Aes256>,
    prover: Aes256,
    hasher: blake3::Hasher,
    len: u64,
    /// The last stored block of the buffer before.
    chained: Block,
    /// The last block of plaintext so far: it is padding or not only once the end is seen.
    held: Option<Block>,
    /// Plaintext, the held block of before in front of it; `stored` beside it.
    plain: Vec<u8>,
    stored: Vec<u8>,
    proof: Vec<u8>,
    ready: std::ops::Range<usize>,
    padding: Option<u8>,
    failure: Option<OpeningError>,
}

impl<R: Read> Opening<R> {
    /// Reads `source` from its beginning; `len` bytes are expected, which only sizes the buffer.
    pub fn new(source: R, key: &FileKey, len: u64) -> Self {
        // One block more than a small file has, so that its end is seen in the same read.
        let room = usize::try_from(len).unwrap_or(BUFFER_LEN).min(BUFFER_LEN) / BLOCK_LEN + 1;
        let room = (room * BLOCK_LEN).min(BUFFER_LEN);
        Self {
            source,
            decryptor: Decryptor::new(key.as_bytes().into(), &[0; BLOCK_LEN].into()),
            prover: Aes256::new(key.as_bytes().into()),
            hasher: blake3::Hasher::new(),
            len: 0,
            chained: [0; BLOCK_LEN],
            held: None,
            plain: vec![0; BLOCK_LEN + room],
            stored: vec![0; room],
            proof: vec![0; room],
            ready: 0..0,
            padding: None,
            failure: None,
        }
    }

    /// Why reading failed, if it was not the source.
    pub fn failure(&self) -> Option<OpeningError> {
        self.failure
    }

    /// What the stored file is; none before all of it was read.
    pub fn stored(&self) -> Option<Stored> {
        let hash = *self.hasher.finalize().as_bytes();
        self.padding.map(|padding| Stored { len: self.len, hash, padding })
    }

    fn fail(&mut self, why: OpeningError) -> io::Error {
        self.failure = Some(why);
        io::Error::new(io::ErrorKind::InvalidData, why)
    }

    /// Makes the next plaintext ready; at the end, what the padding leaves of the held block.
    fn advance(&mut self) -> io::Result<()> {
        let len = read_full(&mut self.source, &mut self.stored)?;
        self.len += len as u64;
        if !len.is_multiple_of(BLOCK_LEN) {
            return Err(self.fail(OpeningError::Length));
        }
        if len == 0 {
            let last = self.held.take().ok_or(OpeningError::Length);
            let padding = last.and_then(|last| padding_of(&last).ok_or(OpeningError::Padding));
            let padding = padding.map_err(|why| self.fail(why))?;
            self.padding = Some(padding);
            let (Ok(last), Some(place)) = (last, self.plain.first_chunk_mut()) else {
                return Ok(());
            };
            *place = last;
            self.ready = 0..BLOCK_LEN - usize::from(padding);
            return Ok(());
        }
        let stored = self.stored.get(..len).unwrap_or_default();
        self.hasher.update(stored);
        let Some((front, plain)) = self.plain.split_at_mut_checked(BLOCK_LEN) else {
            return Ok(());
        };
        let plain = plain.get_mut(..len).unwrap_or_default();
        plain.copy_from_slice(stored);
        self.decryptor.decrypt_blocks(Array::slice_as_chunks_mut(plain).0);
        let proof = self.proof.get_mut(..len).unwrap_or_default();
        let proven = proves(&self.prover, &self.chained, plain, stored, proof);
        let last = plain.last_chunk().copied();
        self.chained = stored.last_chunk().copied().unwrap_or_default();
        let start = match std::mem::replace(&mut self.held, last) {
            None => BLOCK_LEN,
            Some(held) => {
                front.copy_from_slice(&held);
                0
            }
        };
        if !proven {
            return Err(self.fail(OpeningError::NotTheSame));
        }
        self.ready = start..len;
        Ok(())
    }
}

impl<R: Read> Read for Opening<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(why) = self.failure {
            return Err(self.fail(why));
        }
        while self.ready.is_empty() && self.padding.is_none() {
            self.advance()?;
        }
        let ready = self.plain.get(self.ready.clone()).unwrap_or_default();
        let len = ready.len().min(buffer.len());
        let (Some(to), Some(from)) = (buffer.get_mut(..len), ready.get(..len)) else {
            return Ok(0);
        };
        to.copy_from_slice(from);
        self.ready.start += len;
        Ok(len)
    }
}

/// Whether `plain`, encrypted after the block `before`, is `stored`. Each block follows from its plaintext and the stored block
/// before it, which is known: where every one agrees, so does the chain from the first, and many are computed at once.
fn proves(cipher: &Aes256, before: &Block, plain: &[u8], stored: &[u8], room: &mut [u8]) -> bool {
    let (Some((head, rest)), Some((plain_head, plain_rest))) =
        (room.split_first_chunk_mut::<BLOCK_LEN>(), plain.split_first_chunk::<BLOCK_LEN>())
    else {
        return stored.is_empty();
    };
    for ((place, plain), earlier) in head.iter_mut().zip(plain_head).zip(before) {
        *place = plain ^ earlier;
    }
    for ((place, plain), earlier) in rest.iter_mut().zip(plain_rest).zip(stored) {
        *place = plain ^ earlier;
    }
    cipher.encrypt_blocks(Array::slice_as_chunks_mut(room).0);
    room == stored
}

/// The length of the padding that a last block of plaintext ends in.
fn padding_of(last: &Block) -> Option<u8> {
    let padding = *last.last()?;
    let start = BLOCK_LEN.checked_sub(usize::from(padding))?;
    let good = padding > 0 && last.get(start..)?.iter().all(|byte| *byte == padding);
    good.then_some(padding)
}

/// A stored file whose plaintext is read by place. Nothing of it is held.
pub struct OpenedFile<R> {
    source: R,
    key: FileKey,
    len: u64,
}

impl<R: Read + Seek> OpenedFile<R> {
    /// Looks at the end of a stored file of `stored_len` bytes: whether it is whole and ends in padding.
    ///
    /// # Errors
    /// The source cannot be read, or does not open; see [`OpeningError`], which is the error's cause then.
    pub fn new(source: R, key: FileKey, stored_len: u64) -> io::Result<Self> {
        let odd = |why: OpeningError| io::Error::new(io::ErrorKind::InvalidData, why);
        let last_at = stored_len.checked_sub(BLOCK_LEN as u64);
        let last_at = last_at.filter(|at| at.is_multiple_of(BLOCK_LEN as u64));
        let last_at = last_at.ok_or_else(|| odd(OpeningError::Length))?;
        let mut file = Self { source, key, len: stored_len };
        let mut last = [0; BLOCK_LEN];
        file.read_at(last_at, &mut last)?;
        let padding = padding_of(&last).ok_or_else(|| odd(OpeningError::Padding))?;
        file.len = stored_len - u64::from(padding);
        Ok(file)
    }
}

impl<R: Read + Seek> PageSource for OpenedFile<R> {
    fn total_len(&self) -> u64 {
        self.len
    }

    fn read_at(&mut self, at: u64, buf: &mut [u8]) -> io::Result<()> {
        let block_len = BLOCK_LEN as u64;
        let outside = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let end = at.checked_add(buf.len() as u64).filter(|end| *end <= self.len);
        let end = end.ok_or_else(outside)?;
        let first = at - at % block_len;
        let whole_len = end.next_multiple_of(block_len) - first;
        let mut before = [0; BLOCK_LEN];
        match first.checked_sub(block_len) {
            None => {
                self.source.seek(SeekFrom::Start(0))?;
            }
            Some(start) => {
                self.source.seek(SeekFrom::Start(start))?;
                self.source.read_exact(&mut before)?;
            }
        }
        let mut blocks = vec![0; usize::try_from(whole_len).map_err(|_| outside())?];
        self.source.read_exact(&mut blocks)?;
        Decryptor::<Aes256>::new(self.key.as_bytes().into(), &before.into())
            .decrypt_blocks(Array::slice_as_chunks_mut(&mut blocks).0);
        let skip = usize::try_from(at - first).map_err(|_| outside())?;
        let wanted = blocks.get(skip..).and_then(|rest| rest.get(..buf.len()));
        buf.copy_from_slice(wanted.ok_or_else(outside)?);
        Ok(())
    }
}

/// Makes the stored bytes of a file again from its plaintext.
pub struct Closing {
    encryptor: Encryptor<Aes256>,
    buffer: Vec<u8>,
}

/// The plaintext and the padding do not fill whole blocks: they are not of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its length and its padding do not belong together")]
pub struct PaddingError;

impl Closing {
    /// From the beginning of a file.
    #[must_use]
    pub fn new(key: &FileKey) -> Self {
        let encryptor = Encryptor::new(key.as_bytes().into(), &[0; BLOCK_LEN].into());
        Self { encryptor, buffer: Vec::new() }
    }

    /// Takes the next plaintext and gives `out` what is whole of the stored bytes.
    ///
    /// # Errors
    /// What `out` returns.
    pub fn push<E>(
        &mut self,
        plain: &[u8],
        out: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.buffer.extend_from_slice(plain);
        let (blocks, _) = Array::slice_as_chunks_mut(&mut self.buffer);
        self.encryptor.encrypt_blocks(blocks);
        let len = self.buffer.len() - self.buffer.len() % BLOCK_LEN;
        out(self.buffer.get(..len).unwrap_or_default())?;
        self.buffer.drain(..len);
        Ok(())
    }

    /// The last block: what is left of the plaintext, and the padding.
    ///
    /// # Errors
    /// They are no block.
    pub fn finish(mut self, padding: u8) -> Result<Vec<u8>, PaddingError> {
        self.buffer.resize(self.buffer.len() + usize::from(padding), padding);
        if padding > 16 || !self.buffer.len().is_multiple_of(BLOCK_LEN) {
            return Err(PaddingError);
        }
        self.encryptor.encrypt_blocks(Array::slice_as_chunks_mut(&mut self.buffer).0);
        Ok(self.buffer)
    }
}

fn read_full(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while let Some(rest) = buffer.get_mut(len..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests;
