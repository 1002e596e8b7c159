//! The stream form: the same cuts, whatever the reader does.

use std::io::{self, Error, ErrorKind, Read};

use proptest::prelude::*;
use russet_chunker::{Chunks, Cut};

use crate::{cutter, noise};

/// Gives its bytes in portions of the lengths told, over and over; a portion of 0 is an interruption.
struct Portions<'a> {
    rest: &'a [u8],
    portions: Vec<usize>,
    turn: usize,
}

impl Read for Portions<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let portion = self.portions[self.turn % self.portions.len()];
        self.turn += 1;
        if portion == 0 {
            return Err(Error::from(ErrorKind::Interrupted));
        }
        let into_len = into.len();
        self.rest.read(&mut into[..portion.min(into_len)])
    }
}

fn streamed(reader: impl Read, cut: &Cut) -> Vec<Vec<u8>> {
    Chunks::new(reader, cut.clone()).map(|chunk| chunk.unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_stream_is_cut_like_a_slice(
        len in 0..400_000usize,
        mut portions in proptest::collection::vec(prop_oneof![Just(0), 1..70_000usize], 0..5),
        small in 1..5000usize,
        pages: bool,
    ) {
        portions.push(small);
        let data = noise("stream", len);
        let (cut, slices) = if pages {
            (Cut::pages(4096), data.chunks(16384).map(<[u8]>::to_vec).collect::<Vec<_>>())
        } else {
            (Cut::Content(cutter()), cutter().cuts(&data).map(<[u8]>::to_vec).collect())
        };
        prop_assert_eq!(streamed(Portions { rest: &data, portions, turn: 0 }, &cut), slices);
    }
}

#[test]
fn a_stream_of_single_bytes_is_cut_like_a_slice() {
    let data = [noise("bytes", 60_000), vec![0; 40_000]].concat();
    let single = || Portions { rest: &data, portions: vec![1], turn: 0 };
    let slices: Vec<Vec<u8>> = cutter().cuts(&data).map(<[u8]>::to_vec).collect();
    assert_eq!(streamed(single(), &Cut::Content(cutter())), slices);
    let pages: Vec<Vec<u8>> = data.chunks(16384).map(<[u8]>::to_vec).collect();
    assert_eq!(streamed(single(), &Cut::pages(4096)), pages);
}

#[test]
fn an_empty_stream_has_no_chunk() {
    assert!(streamed(io::empty(), &Cut::Content(cutter())).is_empty());
    assert!(streamed(io::empty(), &Cut::pages(512)).is_empty());
}

#[test]
fn the_buffer_is_bounded() {
    struct Widest(usize, usize);
    impl Read for Widest {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.max(into.len());
            let len = into.len().min(self.1);
            self.1 -= len;
            Ok(len)
        }
    }
    let mut widest = Widest(0, 1 << 20);
    assert!(Chunks::new(&mut widest, Cut::Content(cutter())).all(|chunk| chunk.is_ok()));
    assert!(widest.0 <= 2 * 16384, "{}", widest.0);
}

#[test]
fn an_error_is_handed_on_and_loses_nothing() {
    struct Once(bool);
    impl Read for Once {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            if std::mem::take(&mut self.0) { Err(Error::from(ErrorKind::TimedOut)) } else { Ok(0) }
        }
    }
    let data = noise("error", 100_000);
    let (before, after) = data.split_at(50_001);
    let chunks = Chunks::new(before.chain(Once(true)).chain(after), Cut::Content(cutter()));
    let mut got = Vec::new();
    let mut errors = 0;
    for chunk in chunks {
        match chunk {
            Ok(chunk) => got.push(chunk),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                errors += 1;
            }
        }
    }
    assert_eq!(errors, 1);
    assert_eq!(got, cutter().cuts(&data).map(<[u8]>::to_vec).collect::<Vec<_>>());
}
