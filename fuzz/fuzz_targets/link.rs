//! Whatever a phone says after its greeting: it is answered or refused, and no file that did not come whole is kept.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::capture::device::{
    DevicePath, FileError, FileErrorKind, Files, Link, Listed, ListedKind, Told,
};
use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Write};

const GREETING: [&str; 3] = [
    "<array><string>DLMessageVersionExchange</string><integer>400</integer><integer>0</integer></array>",
    "<array><string>DLMessageDeviceReady</string></array>",
    "<array><string>DLMessageProcessMessage</string><dict><key>MessageName</key><string>Response</string>\
     <key>ErrorCode</key><integer>0</integer><key>ProtocolVersion</key><real>2.1</real></dict></array>",
];

/// Says what it is told to say, and hears nothing.
struct Phone(Cursor<Vec<u8>>);

impl Read for Phone {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.0.read(out)
    }
}

impl Write for Phone {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Default)]
struct Memory(BTreeMap<DevicePath, Vec<u8>>);

fn not_found() -> FileError {
    FileError { kind: FileErrorKind::NotFound, text: String::new() }
}

impl Files for Memory {
    fn upload(&mut self, path: &DevicePath, body: &mut dyn Read) -> Result<(), FileError> {
        assert!(!path.is_root());
        let mut bytes = Vec::new();
        if let Err(error) = body.read_to_end(&mut bytes) {
            assert!(body.read(&mut [0]).is_err(), "an error became an end");
            return Err(FileError { kind: FileErrorKind::Io, text: error.to_string() });
        }
        self.0.insert(path.clone(), bytes);
        Ok(())
    }

    fn uploaded(&mut self) -> Result<(), FileError> {
        Ok(())
    }

    fn download(&mut self, path: &DevicePath) -> Result<Box<dyn Read + '_>, FileError> {
        self.0
            .get(path)
            .map(|bytes| Box::new(bytes.as_slice()) as Box<dyn Read>)
            .ok_or_else(not_found)
    }

    fn list(
        &mut self,
        _path: &DevicePath,
        each: &mut dyn FnMut(&[u8], Listed),
    ) -> Result<(), FileError> {
        for (path, bytes) in &self.0 {
            let len = bytes.len() as u64;
            each(path.as_bytes(), Listed { kind: ListedKind::File, len, mtime_secs: i64::MIN });
        }
        Ok(())
    }

    fn create_directory(&mut self, _path: &DevicePath) -> Result<(), FileError> {
        Ok(())
    }

    fn rename(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        assert!(!from.is_root() && !to.is_root());
        let bytes = self.0.remove(from).ok_or_else(not_found)?;
        self.0.insert(to.clone(), bytes);
        Ok(())
    }

    fn remove(&mut self, path: &DevicePath) -> Result<(), FileError> {
        assert!(!path.is_root());
        self.0.remove(path);
        Ok(())
    }

    fn copy(&mut self, from: &DevicePath, to: &DevicePath) -> Result<(), FileError> {
        assert!(!from.is_root() && !to.is_root());
        // A name alone: copies of copies would fill the memory, which is not what is sought here.
        self.0.get(from).ok_or_else(not_found)?;
        self.0.insert(to.clone(), Vec::new());
        Ok(())
    }

    fn free_len(&mut self) -> Result<u64, FileError> {
        Ok(u64::MAX)
    }

    fn purge(&mut self, _wanted_len: u64) -> Result<u64, FileError> {
        Err(not_found())
    }
}

/// Holds what is told to its bounds.
struct Bounds;

impl Told for Bounds {
    fn progress(&mut self, percent: f64) {
        assert!((0.0..=100.0).contains(&percent));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut says = Vec::new();
    for message in GREETING {
        let message = format!("<plist version=\"1.0\">{message}</plist>");
        says.extend_from_slice(&(message.len() as u32).to_be_bytes());
        says.extend_from_slice(message.as_bytes());
    }
    says.extend_from_slice(data);
    let mut link = Link::open(Phone(Cursor::new(says))).expect("the greeting is good");
    let _ = link.serve(&mut Memory::default(), &mut Bounds);
    // And a phone that does not get that far.
    let _ = Link::open(Phone(Cursor::new(data.to_vec())));
});
