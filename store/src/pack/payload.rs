//! A blob's payload: its plaintext, or one zstd frame of it.
//!
//! Invariant: decoding never yields more than the length the directory states, and that is at most 16 MiB: a frame that would
//! unpack to more is refused. What gains nothing is kept as it is. Trees hold keys: nothing of one is left behind in what is used
//! again for the next.

use std::borrow::Cow;

use crate::ids::BlobId;
use crate::pack::BLOB_LEN_MAX;
use crate::pack::codec;
use crate::seal::{BlobType, IdKeys};

/// How a payload holds the plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// One zstd frame.
    Zstd,
}

impl Encoding {
    /// The number in the format.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::Zstd => 1,
        }
    }

    /// The encoding of a number; None for one that format 1 does not know.
    #[must_use]
    pub fn of(number: u8) -> Option<Self> {
        [Self::Plain, Self::Zstd].into_iter().find(|e| e.number() == number)
    }
}

/// A blob that is ready to go into a pack.
pub struct Encoded {
    /// Its id.
    pub id: BlobId,
    /// What it holds.
    pub blob_type: BlobType,
    /// How the payload holds the plaintext.
    pub encoding: Encoding,
    /// Length of the plaintext.
    pub plain_len: u32,
    /// What is sealed.
    pub payload: Vec<u8>,
}

/// Why a payload does not give its plaintext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// An encoding this program does not know.
    #[error("it has encoding {0}, which this program does not know")]
    Encoding(u8),
    /// Not a zstd frame, or of another length than stated.
    #[error("its content does not unpack to the {0} bytes it should")]
    Length(u32),
    /// The plaintext is longer than a blob may be.
    #[error("it says it has {0} bytes, more than a blob may have")]
    TooLong(u64),
    /// The plaintext's keyed hash is not the id.
    #[error("its content is not what its id says")]
    OtherContent,
}

/// Compresses where it pays.
///
/// # Errors
/// The plaintext is longer than 16 MiB.
pub fn encode(
    id: BlobId,
    blob_type: BlobType,
    plaintext: Vec<u8>,
) -> Result<Encoded, PayloadError> {
    let too_long = PayloadError::TooLong(plaintext.len() as u64);
    if plaintext.len() > BLOB_LEN_MAX {
        return Err(too_long);
    }
    let plain_len = u32::try_from(plaintext.len()).map_err(|_| too_long)?;
    let worth_len = plaintext.len() - plaintext.len() / 32;
    let packed = if looks_random(&plaintext) { None } else { codec::pack(&plaintext, worth_len) };
    if blob_type != BlobType::Data {
        codec::wipe_packing(plaintext.len());
    }
    let (encoding, payload) = match packed {
        Some(packed) => (Encoding::Zstd, packed),
        None => (Encoding::Plain, plaintext),
    };
    Ok(Encoded { id, blob_type, encoding, plain_len, payload })
}

/// Unpacks a payload into exactly `plain_len` bytes and checks that they are what the id says.
///
/// # Errors
/// They are not.
pub(crate) fn decode(
    encoding: u8,
    payload: &[u8],
    plain_len: u32,
    id: &BlobId,
    blob_type: BlobType,
    keys: &IdKeys,
) -> Result<Vec<u8>, PayloadError> {
    plaintext(encoding, payload, plain_len, id, blob_type, keys).map(Cow::into_owned)
}

/// Checks as [`decode`] does, for those who do not need the bytes.
pub(crate) fn check(
    encoding: u8,
    payload: &[u8],
    plain_len: u32,
    id: &BlobId,
    blob_type: BlobType,
    keys: &IdKeys,
) -> Result<(), PayloadError> {
    plaintext(encoding, payload, plain_len, id, blob_type, keys).map(drop)
}

fn plaintext<'a>(
    encoding: u8,
    payload: &'a [u8],
    plain_len: u32,
    id: &BlobId,
    blob_type: BlobType,
    keys: &IdKeys,
) -> Result<Cow<'a, [u8]>, PayloadError> {
    let len = plain_len as usize;
    if len > BLOB_LEN_MAX {
        return Err(PayloadError::TooLong(len as u64));
    }
    let plain = match Encoding::of(encoding).ok_or(PayloadError::Encoding(encoding))? {
        Encoding::Plain => Cow::Borrowed(payload),
        Encoding::Zstd => {
            let plain = codec::unpack(payload, len);
            if blob_type != BlobType::Data {
                codec::wipe_unpacking();
            }
            Cow::Owned(plain.ok_or(PayloadError::Length(plain_len))?)
        }
    };
    if plain.len() != len {
        return Err(PayloadError::Length(plain_len));
    }
    if keys.blob_id(blob_type, &plain) != *id {
        return Err(PayloadError::OtherContent);
    }
    Ok(plain)
}

/// Whether bytes look incompressible, from up to 64 samples of 16 bytes spread over them: the sum of squared counts of byte values
/// is near the smallest it can be. Wrong guesses cost space or time, never content.
fn looks_random(bytes: &[u8]) -> bool {
    const RUN: usize = 16;
    const RUNS: usize = 64;
    if bytes.len() < RUN * RUNS * 2 {
        return false;
    }
    let mut counts = [0u32; 256];
    let step = bytes.len() / RUNS;
    for run in bytes.chunks(step).take(RUNS) {
        for byte in run.iter().take(RUN) {
            counts[usize::from(*byte)] += 1;
        }
    }
    // For n = 1024 random bytes the sum is about n + n²/256 = 5,120; text and databases give 10,000 and more.
    let sum: u64 = counts.iter().map(|c| u64::from(*c) * u64::from(*c)).sum();
    sum < 6_000
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::seal::Secret;
    use proptest::prelude::*;

    fn keys() -> IdKeys {
        IdKeys::new(&Secret::new([1; 32]), Secret::new([2; 32]))
    }

    fn noise(len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        blake3::Hasher::new().finalize_xof().fill(&mut out);
        out
    }

    #[test]
    fn noise_is_kept_as_it_is_and_zeros_shrink() {
        let id = BlobId::decode([0; 32]);
        assert_eq!(encode(id, BlobType::Data, noise(65_536)).unwrap().encoding, Encoding::Plain);
        let zeros = encode(id, BlobType::Data, vec![0; 65_536]).unwrap();
        assert_eq!(zeros.encoding, Encoding::Zstd);
        assert!(zeros.payload.len() < 100);
    }

    #[test]
    fn a_frame_that_unpacks_to_more_than_it_says_is_refused() {
        let bomb = codec::pack(&vec![0; 1 << 20], 1 << 20).unwrap();
        let id = keys().blob_id(BlobType::Data, &[0; 4096]);
        let got = decode(1, &bomb, 4096, &id, BlobType::Data, &keys());
        assert_eq!(got, Err(PayloadError::Length(4096)));
        let got = decode(1, &bomb, u32::MAX, &id, BlobType::Data, &keys());
        assert_eq!(got, Err(PayloadError::TooLong(u64::from(u32::MAX))));
    }

    #[test]
    fn what_stands_after_the_one_frame_is_refused() {
        let plain = vec![7; 4096];
        let id = keys().blob_id(BlobType::Data, &plain);
        let skippable = [0x50, 0x2a, 0x4d, 0x18, 1, 0, 0, 0, 9];
        for more in [&b"x"[..], &skippable, &codec::pack(&[], 100).unwrap()] {
            let mut payload = codec::pack(&plain, 4096).unwrap();
            payload.extend_from_slice(more);
            let got = decode(1, &payload, 4096, &id, BlobType::Data, &keys());
            assert_eq!(got, Err(PayloadError::Length(4096)), "{more:02x?}");
        }
    }

    #[test]
    fn a_payload_takes_no_more_room_than_it_has_bytes() {
        let id = BlobId::decode([0; 32]);
        let zeros = encode(id, BlobType::Data, vec![0; 1 << 20]).unwrap();
        assert!(zeros.payload.capacity() < 1000);
    }

    proptest! {
        #[test]
        fn content_comes_back_and_only_under_its_id(plain in proptest::collection::vec(0u8..4, 0..5000)) {
            let id = keys().blob_id(BlobType::Data, &plain);
            let e = encode(id, BlobType::Data, plain.clone()).unwrap();
            let back = decode(e.encoding.number(), &e.payload, e.plain_len, &id, BlobType::Data, &keys());
            prop_assert_eq!(back, Ok(plain));
            let as_tree = decode(e.encoding.number(), &e.payload, e.plain_len, &id, BlobType::Tree, &keys());
            prop_assert_eq!(as_tree, Err(PayloadError::OtherContent));
        }

        #[test]
        fn any_bytes_never_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), len in 0u32..100_000, encoding in 0u8..4) {
            let id = BlobId::decode([9; 32]);
            prop_assert!(decode(encoding, &payload, len, &id, BlobType::Data, &keys()).is_err());
        }
    }
}
