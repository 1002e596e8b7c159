//! The two ways bytes are sealed: small records under a random nonce, blobs of a pack under a counter.
//!
//! Invariant: a [`BlobCipher`] belongs to one pack and is made from that pack's own salt, so that no (key, nonce) pair is ever used
//! twice; a buffer whose tag is wrong is wiped, never returned.

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::aead::inout::InOutBuf;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroize;

use super::{SealBroken, Secret, derive};
use crate::header::Kind;
use crate::ids::RepositoryId;

/// Length of an authentication tag.
pub const TAG_LEN: usize = 16;

/// Seals `plaintext` under XChaCha20-Poly1305; the tag stands at the end.
#[must_use]
pub fn seal_record(key: &Secret, nonce: &[u8; 24], aad: &[u8], plaintext: Vec<u8>) -> Vec<u8> {
    let cipher = XChaCha20Poly1305::new(key.bytes().into());
    let mut out = plaintext;
    let tag = cipher.encrypt_inout_detached(&XNonce::from(*nonce), aad, out.as_mut_slice().into());
    match tag {
        Ok(tag) => out.extend_from_slice(&tag),
        // Only lengths of 256 GiB and more are refused, and no such buffer exists; an empty result can never be opened.
        Err(_) => {
            out.zeroize();
            out.clear();
        }
    }
    out
}

/// Opens what [`seal_record`] made.
///
/// # Errors
/// The tag is wrong.
pub fn open_record(
    key: &Secret,
    nonce: &[u8; 24],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Vec<u8>, SealBroken> {
    let cipher = XChaCha20Poly1305::new(key.bytes().into());
    let (text, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(SealBroken)?;
    let mut out = text.to_vec();
    match cipher.decrypt_inout_detached(
        &XNonce::from(*nonce),
        aad,
        out.as_mut_slice().into(),
        &Tag::from(*tag),
    ) {
        Ok(()) => Ok(out),
        Err(_) => {
            out.zeroize();
            Err(SealBroken)
        }
    }
}

/// Key of records of one kind (docs/format.md §5).
pub(crate) fn record_key(
    data_key: &Secret,
    repository: RepositoryId,
    epoch: u32,
    kind: Kind,
) -> Secret {
    derive(
        "russet format 1 record",
        &[data_key.bytes(), repository.as_bytes(), &epoch.to_le_bytes(), &[kind.number()]],
    )
}

/// The cipher of one pack: seals or opens blobs by ordinal, and the directory.
pub(crate) struct BlobCipher {
    blobs: ChaCha20Poly1305,
    directory: ChaCha20Poly1305,
    pack_type: u8,
}

impl BlobCipher {
    /// `material` is docs/format.md §6's, without the data key.
    pub(crate) fn new(data_key: &Secret, material: &[&[u8]], pack_type: u8) -> Self {
        let mut parts: Vec<&[u8]> = vec![data_key.bytes()];
        parts.extend_from_slice(material);
        let cipher = |context: &str| ChaCha20Poly1305::new(derive(context, &parts).bytes().into());
        Self {
            blobs: cipher("russet format 1 pack blobs"),
            directory: cipher("russet format 1 pack directory"),
            pack_type,
        }
    }

    fn place(&self, ordinal: u32) -> (Nonce, [u8; 5]) {
        let [a, b, c, d] = ordinal.to_le_bytes();
        (Nonce::from([a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0]), [self.pack_type, a, b, c, d])
    }

    /// Seals a blob's payload in place and gives its tag.
    pub(crate) fn seal_blob(
        &self,
        ordinal: u32,
        payload: &mut [u8],
    ) -> Result<[u8; TAG_LEN], SealBroken> {
        let (nonce, aad) = self.place(ordinal);
        let tag = self.blobs.encrypt_inout_detached(&nonce, &aad, payload.into());
        tag.map(|tag| tag.0).map_err(|_| SealBroken)
    }

    /// Opens a sealed blob (tag last) in place and gives the payload.
    pub(crate) fn open_blob<'a>(
        &self,
        ordinal: u32,
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], SealBroken> {
        let (nonce, aad) = self.place(ordinal);
        open_in_place(&self.blobs, &nonce, &aad, sealed)
    }

    /// Opens a sealed blob (tag last) into `out`, which grows where it is too short and is not shortened.
    pub(crate) fn open_blob_into<'a>(
        &self,
        ordinal: u32,
        sealed: &[u8],
        out: &'a mut Vec<u8>,
    ) -> Result<&'a [u8], SealBroken> {
        let (nonce, aad) = self.place(ordinal);
        let (text, tag) = sealed.split_last_chunk::<TAG_LEN>().ok_or(SealBroken)?;
        if out.len() < text.len() {
            out.resize(text.len(), 0);
        }
        let out = out.get_mut(..text.len()).ok_or(SealBroken)?;
        let buffer = InOutBuf::new(text, out).map_err(|_| SealBroken)?;
        match self.blobs.decrypt_inout_detached(&nonce, &aad, buffer, &Tag::from(*tag)) {
            Ok(()) => Ok(out),
            Err(_) => {
                out.zeroize();
                Err(SealBroken)
            }
        }
    }

    /// Seals the directory; the tag stands at the end.
    pub(crate) fn seal_directory(
        &self,
        head: &[u8],
        mut plain: Vec<u8>,
    ) -> Result<Vec<u8>, SealBroken> {
        let tag = self
            .directory
            .encrypt_inout_detached(&Nonce::default(), head, plain.as_mut_slice().into())
            .map_err(|_| SealBroken)?;
        plain.extend_from_slice(&tag);
        Ok(plain)
    }

    /// Opens a sealed directory.
    pub(crate) fn open_directory(&self, head: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealBroken> {
        let mut bytes = sealed.to_vec();
        let len = open_in_place(&self.directory, &Nonce::default(), head, &mut bytes)?.len();
        bytes.truncate(len);
        Ok(bytes)
    }
}

fn open_in_place<'a>(
    cipher: &ChaCha20Poly1305,
    nonce: &Nonce,
    aad: &[u8],
    sealed: &'a mut [u8],
) -> Result<&'a [u8], SealBroken> {
    let (text, tag) = sealed.split_last_chunk_mut::<TAG_LEN>().ok_or(SealBroken)?;
    let opened = cipher.decrypt_inout_detached(nonce, aad, (&mut *text).into(), &Tag::from(*tag));
    if opened.is_err() {
        text.zeroize();
        return Err(SealBroken);
    }
    Ok(text)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cipher(salt: u8) -> BlobCipher {
        BlobCipher::new(&Secret::new([1; 32]), &[&[salt; 32]], 1)
    }

    #[test]
    fn a_blob_opens_only_at_its_own_ordinal_and_in_its_own_pack() {
        let mut sealed = b"hello".to_vec();
        let tag = cipher(1).seal_blob(3, &mut sealed).unwrap();
        sealed.extend_from_slice(&tag);
        assert_eq!(cipher(1).open_blob(3, &mut sealed.clone()).unwrap(), b"hello");
        assert_eq!(cipher(1).open_blob(4, &mut sealed.clone()), Err(SealBroken));
        assert_eq!(cipher(2).open_blob(3, &mut sealed.clone()), Err(SealBroken));
        let mut out = vec![7; 9];
        assert_eq!(cipher(1).open_blob_into(3, &sealed, &mut out).unwrap(), b"hello");
        assert_eq!(cipher(1).open_blob_into(4, &sealed, &mut out), Err(SealBroken));
        assert_eq!(cipher(2).open_blob_into(3, &sealed, &mut out), Err(SealBroken));
    }

    proptest! {
        #[test]
        fn a_changed_record_does_not_open(plain in proptest::collection::vec(any::<u8>(), 0..200), at in any::<proptest::sample::Index>(), bit in 0u8..8) {
            let key = Secret::new([7; 32]);
            let mut sealed = seal_record(&key, &[5; 24], b"aad", plain.clone());
            prop_assert_eq!(open_record(&key, &[5; 24], b"aad", &sealed), Ok(plain));
            let at = at.index(sealed.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(open_record(&key, &[5; 24], b"aad", &sealed), Err(SealBroken));
            prop_assert_eq!(open_record(&key, &[5; 24], b"aad", &sealed[..at]), Err(SealBroken));
        }
    }
}
