//! Whatever a phone's small services answer: media (AFC), and the list of apps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::capture::device::connect::{Media, browse};
use std::io::{self, Cursor, Read, Write};

/// Bytes of a file that are wanted, at most.
const FILE_LEN_MAX: u64 = 4096;

/// Says what it is told to say, and hears nothing.
struct Phone<'a>(Cursor<&'a [u8]>);

impl Read for Phone<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Phone<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers in turn, whatever they hold: the input alone would seldom begin as one and have its number.
fn answers(data: &[u8]) -> Vec<u8> {
    let mut answers = Vec::new();
    for (number, part) in (1_u64..).zip(data.split(|byte| *byte == 0x7f)) {
        let (operation, rest) = part.split_first().unwrap_or((&0, &[]));
        let arguments_len = rest.len().min(8) as u64;
        answers.extend_from_slice(b"CFA6LPAA");
        for word in [40 + rest.len() as u64, 40 + arguments_len, number, u64::from(*operation)] {
            answers.extend_from_slice(&word.to_le_bytes());
        }
        answers.extend_from_slice(rest);
    }
    answers
}

fn talk(bytes: &[u8]) {
    let mut media = Media::over(Phone(Cursor::new(bytes)));
    while let Ok(file) = media.read_file("/a", FILE_LEN_MAX) {
        assert!(file.is_none_or(|bytes| bytes.len() as u64 <= FILE_LEN_MAX));
        if media.write_file("/b", b"bytes").and_then(|()| media.remove("/b")).is_err() {
            break;
        }
    }
    let _ = Media::over(Phone(Cursor::new(bytes))).create_directory("/c");
}

fuzz_target!(|data: &[u8]| {
    talk(data);
    talk(&answers(data));
    let _ = browse(&mut Phone(Cursor::new(data)));
    let framed = [&u32::try_from(data.len()).unwrap_or(0).to_be_bytes(), data].concat();
    let _ = browse(&mut Phone(Cursor::new(&framed)));
});
