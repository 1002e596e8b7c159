//! zstd, with one context a thread that is used again and again (RFC 8878).
//!
//! Invariant: a context keeps what it last saw until something takes its place: after what is secret, its `wipe_` function puts
//! something else there. Knows nothing of blobs.

use std::cell::RefCell;
use std::sync::LazyLock;

use zeroize::Zeroize;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{compress_bound, find_frame_compressed_size, get_frame_content_size};

const LEVEL: i32 = 3;
/// Bytes that the library takes at once (RFC 8878 §3.1.1.2.3).
const BLOCK_LEN_MAX: usize = 128 << 10;
/// What fills the whole buffer that the library keeps unpacked literals in.
const ZEROS_LEN: usize = 64 << 10;
/// So many zeros, by a literal that is repeated. RFC 8878 §3.1.1: the magic number, one segment, a length of four bytes; one last,
/// compressed block of five bytes; in it literals by repetition with 20 bits of length, the byte to repeat, and no sequence.
const ZEROS: [u8; 17] = [
    0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0x00, 0x00, 0x01, 0x00, 0x2d, 0x00, 0x00, 0x0d, 0x00, 0x10, 0x00,
    0x00,
];

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    /// Frames are made here and copied out: one made in place would keep the room of its plaintext until its pack is written.
    static FRAME: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// One frame, if it is shorter than `worth_len`.
pub(super) fn pack(plaintext: &[u8], worth_len: usize) -> Option<Vec<u8>> {
    COMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Compressor::new(LEVEL).ok();
        }
        FRAME.with_borrow_mut(|frame| {
            frame.clear();
            frame.reserve(compress_bound(plaintext.len()));
            let len = slot.as_mut()?.compress_to_buffer(plaintext, frame).ok()?;
            frame.get(..len).filter(|f| f.len() < worth_len).map(<[u8]>::to_vec)
        })
    })
}

/// After a secret of `len` bytes was packed by this thread. The library copies what it finds no match for into a buffer whose
/// place follows from the length: noise of the same length, for which there is never a match, fills the same place.
pub(super) fn wipe_packing(len: usize) {
    static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut noise = vec![0; 2 * BLOCK_LEN_MAX];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        noise
    });
    let mut longer = Vec::new();
    let noise = NOISE.get(..len).unwrap_or_else(|| {
        longer = NOISE.iter().copied().cycle().take(len).collect();
        &longer
    });
    let _frame = pack(noise, 0);
    FRAME.with_borrow_mut(Zeroize::zeroize);
}

/// Exactly `len` bytes, from one frame that says it holds so many, with nothing after it: libzstd alone would join several frames
/// and pass over skippable ones.
pub(super) fn unpack(frame: &[u8], len: usize) -> Option<Vec<u8>> {
    let is_whole = find_frame_compressed_size(frame) == Ok(frame.len());
    if !is_whole || !get_frame_content_size(frame).is_ok_and(|said| said == Some(len as u64)) {
        return None;
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        if slot.is_none() {
            *slot = Decompressor::new().ok();
        }
        slot.as_mut()?.decompress(frame, len).ok()
    })
}

/// After a secret was unpacked by this thread.
pub(super) fn wipe_unpacking() {
    let _zeros = unpack(&ZEROS, ZEROS_LEN);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn what_wipes_is_a_frame_of_zeros() {
        assert_eq!(unpack(&ZEROS, ZEROS_LEN), Some(vec![0; ZEROS_LEN]));
    }

    /// Text without a repetition, which the library copies before it packs it.
    fn secret() -> Zeroizing<Vec<u8>> {
        let mut text = Zeroizing::new(vec![0; 50_000]);
        blake3::Hasher::new_derive_key("a secret of a test").finalize_xof().fill(&mut text);
        text.iter_mut().for_each(|byte| *byte = b'0' + (*byte & 63));
        text
    }

    /// Whether some of the secret lies in the memory of this process. Nobody else in it knows the secret.
    #[cfg(target_os = "linux")]
    fn is_in_memory() -> bool {
        use std::io::{Read, Seek, SeekFrom};
        const MASK: u8 = 0xa5;
        let masked: Vec<u8> = secret().iter().skip(1000).take(32).map(|byte| byte ^ MASK).collect();
        let is_it =
            |found: &[u8]| found.iter().zip(&masked).all(|(byte, known)| byte ^ MASK == *known);
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut memory = std::fs::File::open("/proc/self/mem").unwrap();
        let mut found = false;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            memory.seek(SeekFrom::Start(start)).unwrap();
            let mut bytes = Zeroizing::new(vec![0; usize::try_from(end - start).unwrap()]);
            // Other threads come and go, and their stacks with them.
            let len = memory.read(&mut bytes).unwrap_or(0);
            found |= bytes[..len].windows(32).any(is_it);
        }
        found
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nothing_of_a_secret_stays_where_it_was_packed_and_unpacked() {
        let frame = pack(&secret(), 50_000).unwrap();
        assert!(is_in_memory(), "the library has copied nothing: what is there to wipe?");
        wipe_packing(50_000);
        assert!(!is_in_memory(), "packed");
        assert!(Zeroizing::new(unpack(&frame, 50_000).unwrap()) == secret());
        assert!(is_in_memory(), "the library has copied nothing: what is there to wipe?");
        wipe_unpacking();
        assert!(!is_in_memory(), "unpacked");
    }
}
