//! Opening and closing: known answers, every length around a block and a buffer, and files that are none.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

fn key() -> FileKey {
    FileKey::from_bytes(&std::array::from_fn(|at| 0xc0 + u8::try_from(at).unwrap()))
}

fn close(key: &FileKey, plain: &[u8], piece_len: usize, padding: u8) -> Vec<u8> {
    let mut closing = Closing::new(key);
    let mut stored = Vec::new();
    for piece in plain.chunks(piece_len) {
        let mut out = |bytes: &[u8]| -> Result<(), ()> {
            stored.extend_from_slice(bytes);
            Ok(())
        };
        closing.push(piece, &mut out).unwrap();
    }
    stored.extend(closing.finish(padding).unwrap());
    stored
}

fn padding_for(len: usize) -> u8 {
    u8::try_from(16 - len % 16).unwrap()
}

fn open(key: &FileKey, stored: &[u8]) -> Result<(Vec<u8>, Stored), OpeningError> {
    let mut opening = Opening::new(stored, key, stored.len() as u64);
    let mut plain = Vec::new();
    match opening.read_to_end(&mut plain) {
        Ok(_) => Ok((plain, opening.stored().unwrap())),
        Err(_) => Err(opening.failure().unwrap()),
    }
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&len.to_string().into_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// Made with the Python package cryptography.
#[test]
fn another_implementation_s_files_open_and_are_made_again() {
    let known: [(&[u8], &str); 3] = [
        (b"", "943ba8c2b786b54f945db58f6c5392d9"),
        (b"hello", "9088613793d2e7385fa65531c4cb992f"),
        (
            &std::array::from_fn::<u8, 32, _>(|at| u8::try_from(at).unwrap()),
            "19c672e408f2242a7ce0e46f1b8acbf04d7781ea65a0f15162c30e6cc80ad64982f685e93e3230178ae01cc2c1f16800",
        ),
    ];
    for (plain, hex) in known {
        let stored = close(&key(), plain, 7, padding_for(plain.len()));
        let text: String = stored.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(text, hex);
        let (opened, facts) = open(&key(), &stored).unwrap();
        assert_eq!(opened, plain);
        let hash = *blake3::hash(&stored).as_bytes();
        let padding = padding_for(plain.len());
        assert_eq!(facts, Stored { len: stored.len() as u64, hash, padding });
    }
}

#[test]
fn lengths_around_blocks_and_buffers_come_back() {
    let mut lens: Vec<usize> = (0..70).collect();
    for around in [BUFFER_LEN, 2 * BUFFER_LEN, 3 * BUFFER_LEN + 5] {
        lens.extend(around - 33..around + 34);
    }
    for len in lens {
        let plain = noise(len);
        let stored = close(&key(), &plain, 50_001, padding_for(len));
        assert_eq!(stored.len(), (len / 16 + 1) * 16);
        assert_eq!(open(&key(), &stored).unwrap().0, plain, "{len}");
    }
}

#[test]
fn a_file_of_length_zero_or_cut_in_a_block_does_not_open() {
    let stored = close(&key(), &noise(100_000), 100_000, padding_for(100_000));
    for len in [0, 1, 15, 17, stored.len() - 1] {
        assert_eq!(open(&key(), &stored[..len]).unwrap_err(), OpeningError::Length, "{len}");
    }
}

#[test]
fn a_file_cut_at_a_block_or_without_padding_does_not_open() {
    let plain = vec![0xff; 4096];
    let stored = close(&key(), &plain, 4096, 16);
    assert_eq!(open(&key(), &stored[..4096]).unwrap_err(), OpeningError::Padding);
    assert_eq!(close(&key(), &plain, 4096, 0), stored[..4096]);
    let other = FileKey::from_bytes(&[9; 32]);
    assert_eq!(open(&other, &stored).unwrap_err(), OpeningError::Padding);
}

#[test]
fn the_length_that_was_expected_decides_nothing() {
    let plain = noise(300_000);
    let stored = close(&key(), &plain, 300_000, padding_for(300_000));
    for expected in [0, 1, 4096, 200_000, u64::MAX] {
        let mut opened = Vec::new();
        Opening::new(&stored[..], &key(), expected).read_to_end(&mut opened).unwrap();
        assert_eq!(opened, plain, "{expected}");
    }
}

fn by_place(stored: &[u8]) -> io::Result<OpenedFile<io::Cursor<&[u8]>>> {
    OpenedFile::new(io::Cursor::new(stored), key(), stored.len() as u64)
}

#[test]
fn a_file_read_by_place_must_end_in_padding() {
    let stored = close(&key(), &[0xff; 64], 64, 16);
    for len in [0, 15, 79] {
        assert!(by_place(&stored[..len]).is_err(), "{len}");
    }
    assert!(by_place(&stored[..64]).is_err());
    assert_eq!(by_place(&stored).unwrap().total_len(), 64);
    assert_eq!(by_place(&close(&key(), b"", 1, 16)).unwrap().total_len(), 0);
}

#[test]
fn what_does_not_prove_is_never_handed_out() {
    let cipher = Aes256::new(key().as_bytes().into());
    let plain = noise(64);
    let stored = close(&key(), &plain, 64, 0);
    let proof = |plain: &[u8], stored: &[u8]| {
        proves(&cipher, &[0; 16], plain, stored, &mut vec![0; stored.len()])
    };
    assert!(proof(&plain, &stored));
    for at in 0..64 {
        let mut wrong = plain.clone();
        wrong[at] ^= 0x10;
        assert!(!proof(&wrong, &stored), "{at}");
        let mut wrong = stored.clone();
        wrong[at] ^= 0x10;
        assert!(!proof(&plain, &wrong), "{at}");
    }
}

#[test]
fn a_source_that_fails_is_not_taken_for_a_file_that_does_not_open() {
    struct Fails;
    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }
    let mut opening = Opening::new(Fails, &key(), 1);
    let error = opening.read(&mut [0; 9]).unwrap_err();
    assert_eq!((error.kind(), opening.failure()), (io::ErrorKind::PermissionDenied, None));
}

proptest! {
    #[test]
    fn what_opens_is_made_again_to_the_byte(
        bytes: [u8; 32], plain in prop::collection::vec(any::<u8>(), 0..600), piece_len in 1..700_usize,
    ) {
        let key = FileKey::from_bytes(&bytes);
        let stored = close(&key, &plain, piece_len, padding_for(plain.len()));
        let (opened, facts) = open(&key, &stored).unwrap();
        prop_assert_eq!(&opened, &plain);
        prop_assert_eq!(close(&key, &opened, 1, facts.padding), stored);
    }

    #[test]
    fn any_place_of_a_file_can_be_read(
        plain in prop::collection::vec(any::<u8>(), 1..300), at in 0..320_u64, len in 0..320_usize,
    ) {
        let stored = close(&key(), &plain, 300, padding_for(plain.len()));
        let mut file = by_place(&stored).unwrap();
        prop_assert_eq!(file.total_len(), plain.len() as u64);
        let mut bytes = vec![0; len];
        let there = plain.get(usize::try_from(at).unwrap()..).and_then(|rest| rest.get(..len));
        match file.read_at(at, &mut bytes) {
            Ok(()) => prop_assert_eq!(Some(&bytes[..]), there),
            Err(_) => prop_assert!(there.is_none()),
        }
    }

    #[test]
    fn any_bytes_open_to_what_makes_them_again_or_not_at_all(stored in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((plain, facts)) = open(&key(), &stored) {
            prop_assert_eq!(close(&key(), &plain, 9, facts.padding), stored);
        }
    }

    #[test]
    fn padding_that_does_not_fit_is_an_error(plain in prop::collection::vec(any::<u8>(), 0..40), padding: u8) {
        let mut closing = Closing::new(&key());
        closing.push(&plain, &mut |_| Ok::<(), ()>(())).unwrap();
        let fits = padding <= 16 && (plain.len() + usize::from(padding)) % 16 == 0;
        prop_assert_eq!(closing.finish(padding).is_ok(), fits);
    }
}
