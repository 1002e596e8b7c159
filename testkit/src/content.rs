//! What a generated file holds: bytes that are made again each time they are read, small literals, or a live database.
//!
//! Invariant: reading the same content twice gives the same bytes, and `len` is their number. Memory stays bounded:
//! nothing larger than one block of a generated piece is held. Does not know where the bytes go.

use crate::random::Random;
use plist::Dictionary;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

const BLOCK_LEN: u64 = 4096;

/// What a generated piece looks like to a compressor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Cannot be compressed: photos, videos.
    Noise,
    /// Words: shrinks to about a third.
    Text,
    /// Nothing but zero bytes: bitmaps, preallocated files.
    Zero,
}

/// Part `start..start + len` of an endless stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) fill: Fill,
    pub(crate) seed: u64,
    pub(crate) start: u64,
    pub(crate) len: u64,
}

/// The bytes of one file.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    /// Generated pieces, one after the other.
    Pieces(Vec<Piece>),
    /// A binary property list of an app's settings; `len` is that of its encoding.
    Settings { seed: u64, aim: u64, len: u64 },
    /// A literal, for tests and the files in the root.
    Bytes(Arc<[u8]>),
    /// A SQLite file, closed. It is read with the WAL mark that the phone's own databases carry.
    Database(PathBuf),
    /// A file that was written to the phone.
    File(PathBuf),
}

impl Content {
    /// One generated piece.
    pub(crate) fn generated(fill: Fill, seed: u64, len: u64) -> Self {
        Self::Pieces(vec![Piece { fill, seed, start: 0, len }])
    }

    /// Settings of about `aim` bytes, and at least some 70.
    pub(crate) fn settings(seed: u64, aim: u64) -> Self {
        Self::Settings { seed, aim, len: len_of(&settings(seed, aim)) }
    }

    /// Number of bytes.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::Pieces(pieces) => Ok(pieces.iter().map(|piece| piece.len).sum()),
            Self::Bytes(bytes) => Ok(len_of(bytes)),
            Self::Settings { len, .. } => Ok(*len),
            Self::Database(path) | Self::File(path) => Ok(std::fs::metadata(path)?.len()),
        }
    }

    /// Writes all bytes to `sink`.
    pub(crate) fn copy_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        match self {
            Self::Pieces(pieces) => pieces.iter().try_for_each(|piece| piece.copy_to(sink)),
            Self::Settings { seed, aim, .. } => sink.write_all(&settings(*seed, *aim)),
            Self::Bytes(bytes) => sink.write_all(bytes),
            Self::Database(path) => copy_database(path, sink),
            Self::File(path) => io::copy(&mut File::open(path)?, sink).map(|_| ()),
        }
    }

    /// Puts `new` at byte `offset`; what follows moves back, as when a line is added to a text.
    /// Only generated content can be edited; other content is left as it is.
    pub(crate) fn insert(&mut self, offset: u64, new: Piece) {
        let Self::Pieces(pieces) = self else { return };
        let mut before = offset;
        for index in 0..pieces.len() {
            let old = pieces[index];
            if before <= old.len {
                let head = Piece { len: before, ..old };
                let tail = Piece { start: old.start + before, len: old.len - before, ..old };
                let parts = [head, new, tail].into_iter().filter(|piece| piece.len > 0);
                pieces.splice(index..=index, parts);
                return;
            }
            before -= old.len;
        }
        pieces.push(new);
    }
}

impl Piece {
    fn copy_to(&self, sink: &mut dyn Write) -> io::Result<()> {
        let end = self.start + self.len;
        let mut position = self.start;
        let mut block = Vec::new();
        while position < end {
            let number = position / BLOCK_LEN;
            self.fill_block(number, &mut block);
            let from = position - number * BLOCK_LEN;
            let to = (end - number * BLOCK_LEN).min(BLOCK_LEN);
            sink.write_all(&block[small(from)..small(to)])?;
            position = number * BLOCK_LEN + to;
        }
        Ok(())
    }

    fn fill_block(&self, number: u64, block: &mut Vec<u8>) {
        let mut random = Random::of_parts(&[self.seed, number]);
        match self.fill {
            Fill::Noise => {
                block.resize(small(BLOCK_LEN), 0);
                random.fill(block);
            }
            Fill::Text => {
                block.clear();
                while block.len() < small(BLOCK_LEN) {
                    push_word(&mut random, block);
                }
                block.truncate(small(BLOCK_LEN));
            }
            Fill::Zero => {
                block.clear();
                block.resize(small(BLOCK_LEN), 0);
            }
        }
    }
}

fn settings(seed: u64, aim: u64) -> Vec<u8> {
    let mut random = Random::of_parts(&[seed]);
    let mut list = Dictionary::new();
    let mut left = aim;
    while left > 24 {
        let word_len = random.between(4..=60).min(left - 16);
        list.insert(
            format!("Setting{}", random.below(100_000)),
            words(&mut random, small(word_len)).into(),
        );
        left = left.saturating_sub(word_len + 16);
    }
    list.insert("LastUse".to_owned(), random.below(1_000_000_000).into());
    crate::plists::binary(&list.into()).expect("strings and one small number always encode")
}

fn len_of(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("a length in memory fits 64 bits")
}

/// `len` bytes of words, for rows of databases and values of property lists.
pub(crate) fn words(random: &mut Random, len: usize) -> String {
    let mut bytes = Vec::with_capacity(len + 16);
    while bytes.len() < len {
        push_word(random, &mut bytes);
    }
    bytes.truncate(len);
    String::from_utf8(bytes).expect("the words are ASCII")
}

fn push_word(random: &mut Random, text: &mut Vec<u8>) {
    const WORDS: [&str; 64] = [
        "apple", "winter", "letter", "garden", "window", "river", "music", "bread", "morning",
        "street", "family", "photo", "ticket", "train", "coffee", "market", "number", "answer",
        "summer", "school", "paper", "doctor", "kitchen", "bridge", "the", "and", "you", "that",
        "was", "for", "are", "with", "this", "have", "from", "not", "but", "what", "all", "were",
        "when", "your", "can", "said", "there", "each", "which", "will", "about", "how", "many",
        "then", "them", "some", "her", "would", "make", "like", "into", "time", "has", "look",
        "two", "more",
    ];
    let roll = random.next_u64();
    match roll % 24 {
        // Numbers and marks keep the text from shrinking to almost nothing.
        0 | 1 => text.extend_from_slice(format!("{} ", (roll >> 8) % 100_000).as_bytes()),
        2 => text.extend_from_slice(b"\", \"key\": \""),
        3 => text.extend_from_slice(b".\n"),
        _ => {
            let word = WORDS.get(small((roll >> 8) % 64)).copied().unwrap_or("apple");
            text.extend_from_slice(word.as_bytes());
            text.push(b' ');
        }
    }
}

/// Bytes 18 and 19 of a SQLite file say how it is to be written: 2 is WAL, as on the phone.
/// Source: docs/apple-format.md §3.
fn copy_database(path: &PathBuf, sink: &mut dyn Write) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut head = Vec::new();
    Read::by_ref(&mut file).take(20).read_to_end(&mut head)?;
    if head.starts_with(b"SQLite format 3\0") && head.len() == 20 {
        head[18] = 2;
        head[19] = 2;
    }
    sink.write_all(&head)?;
    io::copy(&mut file, sink)?;
    Ok(())
}

fn small(number: u64) -> usize {
    usize::try_from(number).expect("only called with numbers up to one block")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;

    fn bytes(content: &Content) -> Vec<u8> {
        let mut all = Vec::new();
        content.copy_to(&mut all).unwrap();
        assert_eq!(content.len().unwrap(), u64::try_from(all.len()).unwrap());
        all
    }

    #[test]
    fn an_insertion_moves_the_rest_and_changes_nothing_else() {
        for (len, offset) in
            [(10_000, 4096), (10_000, 0), (10_000, 10_000), (9, 5), (10_000, 5_001)]
        {
            let mut content = Content::generated(Fill::Text, 3, len);
            let before = bytes(&content);
            let new = Piece { fill: Fill::Noise, seed: 9, start: 17, len: 700 };
            content.insert(offset, new);
            let at = usize::try_from(offset).unwrap();
            let expected =
                [&before[..at], &bytes(&Content::Pieces(vec![new]))[..], &before[at..]].concat();
            assert_eq!(bytes(&content), expected, "{len} {offset}");
        }
    }

    #[test]
    fn settings_are_a_property_list_of_about_the_length_asked_for() {
        for aim in [0, 24, 300, 20_000] {
            let encoded = bytes(&Content::settings(4, aim));
            assert!(
                plist::Value::from_reader(io::Cursor::new(&encoded))
                    .unwrap()
                    .as_dictionary()
                    .is_some()
            );
            let len = u64::try_from(encoded.len()).unwrap();
            assert!(len >= aim / 2 && len <= aim * 2 + 120, "{aim}: {len}");
        }
    }

    #[test]
    fn a_longer_piece_of_the_same_seed_starts_with_the_shorter_one() {
        let short = bytes(&Content::generated(Fill::Text, 5, 5_000));
        let long = bytes(&Content::generated(Fill::Text, 5, 9_000));
        assert_eq!(long[..5_000], short);
    }
}
