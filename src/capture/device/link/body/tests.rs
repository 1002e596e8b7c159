//! The reader of blocks against a naive one that holds everything.
//!
//! Invariant: the naive twin takes a whole slice and knows nothing of pieces.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use super::*;
use proptest::prelude::*;
use std::io::BufReader;

/// What a file turned out to be.
#[derive(Debug, PartialEq)]
enum Outcome {
    Whole(Vec<u8>),
    Failed(Vec<u8>, String),
    Broken,
}

/// Reads a file from a slice that holds all of it; gives what follows too.
fn naive(mut bytes: &[u8]) -> (Outcome, &[u8]) {
    let mut data = Vec::new();
    let mut block_count = 0;
    loop {
        let Some((head, rest)) = bytes.split_first_chunk::<4>() else {
            return (Outcome::Broken, &[]);
        };
        let len = u32::from_be_bytes(*head) as usize;
        if len == 0 || len > rest.len() {
            return (Outcome::Broken, &[]);
        }
        let (block, rest) = rest.split_at(len);
        bytes = rest;
        match (block[0], &block[1..]) {
            (0x0c, piece) => data.extend_from_slice(piece),
            (0x00, _) => return (Outcome::Whole(data), rest),
            (0x0b, []) if block_count > 0 => return (Outcome::Whole(data), rest),
            (0x0b | 0x06, text) => {
                let text = String::from_utf8_lossy(text);
                let text = if text.is_empty() { NO_REASON } else { &text };
                return (Outcome::Failed(data, text.to_owned()), rest);
            }
            _ => return (Outcome::Broken, &[]),
        }
        block_count += 1;
    }
}

/// A stream that gives no more than so many bytes at once.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(self.1);
        self.0.read(&mut out[..len])
    }
}

/// The same with a [`Body`], reading `read_len` bytes at once.
fn read(bytes: &[u8], drip_len: usize, inbox_len: usize, read_len: usize) -> (Outcome, Vec<u8>) {
    let mut link = BufReader::with_capacity(inbox_len, Drip(bytes, drip_len));
    let mut body = Body::new(&mut link);
    let mut data = Vec::new();
    let mut piece = vec![0; read_len];
    let outcome = loop {
        match body.read(&mut piece) {
            Ok(0) => break Outcome::Whole(data),
            Ok(read) => data.extend_from_slice(&piece[..read]),
            Err(error) => match BodyError::of(&error).unwrap() {
                BodyError::Phone { text } => break Outcome::Failed(data, text.clone()),
                BodyError::LinkLost => break Outcome::Broken,
            },
        }
    };
    assert!(body.was_read_to_its_end());
    let state = body.finish();
    let agrees = match &outcome {
        Outcome::Whole(_) => matches!(state, State::Whole),
        Outcome::Failed(..) => matches!(state, State::Failed(_)),
        Outcome::Broken => matches!(state, State::Broken(_)),
    };
    assert!(agrees, "{outcome:?} {state:?}");
    let mut rest = Vec::new();
    if outcome != Outcome::Broken {
        link.read_to_end(&mut rest).unwrap();
    }
    (outcome, rest)
}

fn block(code: u8, bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len() + 1).unwrap();
    [&len.to_be_bytes(), [code].as_slice(), bytes].concat()
}

fn any_block() -> impl Strategy<Value = Vec<u8>> {
    let data = proptest::collection::vec(any::<u8>(), 0..100);
    let code = prop_oneof![12 => Just(0x0c), 1 => Just(0x00), 1 => Just(0x0b), 1 => Just(0x06), 1 => any::<u8>()];
    let is_bare = prop::bool::weighted(0.2);
    (code, data, is_bare)
        .prop_map(|(code, data, is_bare)| block(code, if is_bare { b"" } else { &data }))
}

proptest! {
    #[test]
    fn any_blocks_in_any_pieces_are_what_the_naive_reader_sees(
        blocks in proptest::collection::vec(any_block(), 0..8),
        tail in proptest::collection::vec(any::<u8>(), 0..8),
        drip_len in 1..40_usize,
        inbox_len in 1..80_usize,
        read_len in 1..120_usize,
    ) {
        let bytes = [blocks.concat(), tail].concat();
        let (wanted, rest) = naive(&bytes);
        prop_assert_eq!(read(&bytes, drip_len, inbox_len, read_len), (wanted, rest.to_vec()));
    }

    #[test]
    fn a_file_left_unread_is_skipped_to_its_end(
        blocks in proptest::collection::vec(any_block(), 0..8),
        drip_len in 1..40_usize,
        read_len in 0..120_usize,
    ) {
        let bytes = blocks.concat();
        let (wanted, rest) = naive(&bytes);
        let mut link = BufReader::with_capacity(16, Drip(&bytes, drip_len));
        let mut body = Body::new(&mut link);
        let _ = body.read(&mut vec![0; read_len]);
        let agrees = match (body.finish(), wanted) {
            (State::Whole, Outcome::Whole(_)) => true,
            (State::Failed(text), Outcome::Failed(_, wanted)) => text == wanted,
            (State::Broken(_), Outcome::Broken) => return Ok(()),
            _ => false,
        };
        prop_assert!(agrees);
        let mut left = Vec::new();
        link.read_to_end(&mut left).unwrap();
        prop_assert_eq!(left, rest);
    }
}

#[test]
fn an_error_is_repeated_and_never_becomes_an_end() {
    let bytes = [block(0x0c, b"1"), block(0x0b, b"why")].concat();
    let mut link = BufReader::new(bytes.as_slice());
    let mut body = Body::new(&mut link);
    assert_eq!(body.read(&mut [0; 9]).unwrap(), 1);
    for _ in 0..3 {
        let error = body.read(&mut [0; 9]).unwrap_err();
        assert_eq!(BodyError::of(&error), Some(&BodyError::Phone { text: "why".to_owned() }));
    }
}

#[test]
fn a_long_reason_is_cut_and_read_away() {
    let bytes = [block(0x0b, &[b'x'; 100_000]), b"next".to_vec()].concat();
    let mut link = BufReader::new(bytes.as_slice());
    let State::Failed(text) = Body::new(&mut link).finish() else { panic!("it failed") };
    assert_eq!(text, "x".repeat(4096));
    let mut rest = Vec::new();
    link.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"next");
}

#[test]
fn a_lost_link_keeps_the_kind_of_its_error() {
    let mut link = BufReader::new([0_u8, 0].as_slice());
    let error = Body::new(&mut link).read(&mut [0; 9]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}
