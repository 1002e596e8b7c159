//! How fast the DeviceLink loop takes what a phone sends: `cargo run --release --example link_speed -- 8000000000`.
//!
//! The phone is a process of its own that sends the same bytes over and over through a unix socket, in the clear; what arrives
//! is read and dropped. Prints bytes, seconds, and the seconds of the processor that this side took.
#![expect(clippy::print_stdout, reason = "this prints figures and nothing else")]

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    unix::main()
}

#[cfg(not(unix))]
fn main() {
    println!("unix sockets are needed");
}

#[cfg(unix)]
mod unix {
    use std::error::Error;
    use std::io::{self, BufWriter, Read, Write};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;
    use std::time::Instant;

    use plist::{Dictionary, Value};
    use russet::capture::device::{
        DevicePath, Ended, FileError, FileErrorKind, Files, Link, Listed, Told,
    };

    /// Bytes of a file; phones send 2 to 3 MB for a photo.
    const FILE_LEN: u64 = 3_000_000;
    const BLOCK_LEN: usize = 128 << 10;

    pub(super) fn main() -> Result<(), Box<dyn Error>> {
        let mut arguments = std::env::args().skip(1);
        let first = arguments.next().unwrap_or_else(|| "8000000000".to_owned());
        match arguments.next() {
            Some(socket) => phone(UnixStream::connect(socket)?, first.parse()?),
            None => host(first.parse()?),
        }
    }

    fn host(len: u64) -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("phone");
        let listener = UnixListener::bind(&socket)?;
        let mut phone =
            Command::new(std::env::current_exe()?).arg(len.to_string()).arg(&socket).spawn()?;
        let (stream, _) = listener.accept()?;
        let mut sink = Sink { piece: vec![0; 1 << 20], len: 0 };
        let (start, cpu) = (Instant::now(), cpu_secs());
        let mut link = Link::open(stream)?;
        let ended = link.serve(&mut sink, &mut Deaf)?;
        let (secs, cpu) = (start.elapsed().as_secs_f64(), cpu_secs() - cpu);
        drop(link);
        phone.wait()?;
        let is_well = matches!(ended, Ended::Response(response) if response.error_code == 0);
        if !is_well || sink.len != len {
            return Err(format!("{} bytes came", sink.len).into());
        }
        println!("{len} {secs:.2} {cpu:.2}");
        Ok(())
    }

    /// Of this process, as far as the system tells.
    fn cpu_secs() -> f64 {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / 100.0
    }

    struct Deaf;

    impl Told for Deaf {}

    /// Drops what arrives, and has nothing.
    struct Sink {
        piece: Vec<u8>,
        len: u64,
    }

    fn nothing() -> FileError {
        FileError { kind: FileErrorKind::NotFound, text: "there is nothing here".to_owned() }
    }

    impl Files for Sink {
        fn upload(&mut self, _: &DevicePath, body: &mut dyn Read) -> Result<(), FileError> {
            loop {
                match body.read(&mut self.piece) {
                    Ok(0) => return Ok(()),
                    Ok(read) => self.len += read as u64,
                    Err(_) => return Err(nothing()),
                }
            }
        }

        fn uploaded(&mut self) -> Result<(), FileError> {
            Ok(())
        }

        fn download(&mut self, _: &DevicePath) -> Result<Box<dyn Read + '_>, FileError> {
            Err(nothing())
        }

        fn list(
            &mut self,
            _: &DevicePath,
            _: &mut dyn FnMut(&[u8], Listed),
        ) -> Result<(), FileError> {
            Err(nothing())
        }

        fn create_directory(&mut self, _: &DevicePath) -> Result<(), FileError> {
            Ok(())
        }

        fn rename(&mut self, _: &DevicePath, _: &DevicePath) -> Result<(), FileError> {
            Err(nothing())
        }

        fn remove(&mut self, _: &DevicePath) -> Result<(), FileError> {
            Ok(())
        }

        fn copy(&mut self, _: &DevicePath, _: &DevicePath) -> Result<(), FileError> {
            Err(nothing())
        }

        fn free_len(&mut self) -> Result<u64, FileError> {
            Err(nothing())
        }

        fn purge(&mut self, _: u64) -> Result<u64, FileError> {
            Err(nothing())
        }
    }

    /// Says what a phone says in one upload; what it hears is read and dropped.
    fn phone(stream: UnixStream, len: u64) -> Result<(), Box<dyn Error>> {
        let mut heard = stream.try_clone()?;
        let ears = std::thread::spawn(move || io::copy(&mut heard, &mut io::sink()));
        let mut out = BufWriter::new(stream);
        let mut answer = Dictionary::new();
        answer.insert("MessageName".into(), "Response".into());
        answer.insert("ErrorCode".into(), 0.into());
        answer.insert("ProtocolVersion".into(), Value::Real(2.1));
        let process = vec!["DLMessageProcessMessage".into(), answer.into()];
        say(&mut out, vec!["DLMessageVersionExchange".into(), 400.into(), 0.into()])?;
        say(&mut out, vec!["DLMessageDeviceReady".into()])?;
        say(&mut out, process.clone())?;
        let options = Dictionary::new();
        let upload = vec!["DLMessageUploadFiles".into(), options.into(), 5.into(), len.into()];
        say(&mut out, upload)?;
        let mut block = vec![0x5a; 5 + BLOCK_LEN];
        let mut left = len;
        while left > 0 {
            let mut of_file = left.min(FILE_LEN);
            left -= of_file;
            name(&mut out, b"/var/mobile/Media/DCIM/100APPLE/IMG_0001.HEIC")?;
            name(&mut out, b"udid/Snapshot/ab/abcdefabcdefabcdefabcdefabcdefabcdefabcd")?;
            while of_file > 0 {
                let data_len = usize::try_from(of_file)?.min(BLOCK_LEN);
                block[..4].copy_from_slice(&u32::try_from(data_len + 1)?.to_be_bytes());
                block[4] = 0x0c;
                out.write_all(&block[..5 + data_len])?;
                of_file -= data_len as u64;
            }
            out.write_all(&[0, 0, 0, 1, 0])?;
        }
        name(&mut out, b"")?;
        say(&mut out, process)?;
        out.flush()?;
        ears.join().map_err(|_| "the listener failed")??;
        Ok(())
    }

    fn say(out: &mut impl Write, parts: Vec<Value>) -> Result<(), Box<dyn Error>> {
        let mut bytes = Vec::new();
        Value::Array(parts).to_writer_binary(&mut bytes)?;
        name(out, &bytes)?;
        Ok(())
    }

    fn name(out: &mut impl Write, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        out.write_all(&u32::try_from(bytes.len())?.to_be_bytes())?;
        Ok(out.write_all(bytes)?)
    }
}
