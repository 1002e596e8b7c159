//! No password and no key of a phone is left in memory once the work that needed it is done.
//!
//! Invariant: a command is looked at when its work is done and only its answer is still to be written: it waits there, for the pipe
//! is full that takes the answer. What is looked for did its part before: the same command's result needs it.

use std::fs;
use std::io::{self, PipeReader, Read, Seek, SeekFrom, Write};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::secrets::{Scene, Secrets};
use super::support::{TestRepository, text};

const PATIENCE: Duration = Duration::from_secs(120);

/// A command that waits to write its answer.
pub(super) struct Held {
    child: Child,
    answer: PipeReader,
}

impl Held {
    /// Runs a command until it writes to stdout.
    #[track_caller]
    pub(super) fn at_answer(mut command: Command) -> Self {
        let (answer, full) = full_pipe();
        let mut child = command.stdout(full).spawn().unwrap();
        // The command holds the other end.
        drop(command);
        let start = Instant::now();
        while !writes_to_stdout(child.id()) {
            assert_eq!(child.try_wait().unwrap(), None, "it ended without an answer");
            assert!(start.elapsed() < PATIENCE, "it never answers");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, answer }
    }

    /// Which of them are in its memory, and where.
    pub(super) fn finds(&self, secrets: &Secrets) -> Vec<String> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.child.id())).unwrap();
        let mut memory = fs::File::open(format!("/proc/{}/mem", self.child.id())).unwrap();
        let mut found = Vec::new();
        let mut len = 0;
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, rights) = (fields.next().unwrap(), fields.next().unwrap());
            let (start, end) = range.split_once('-').unwrap();
            let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).unwrap());
            if !rights.starts_with("rw") {
                continue;
            }
            memory.seek(SeekFrom::Start(start)).unwrap();
            // A guard page, or one of a device, cannot be read.
            let mut bytes = Vec::new();
            let _ = Read::by_ref(&mut memory).take(end - start).read_to_end(&mut bytes);
            len += bytes.len();
            let name = fields.nth(3).unwrap_or("mapped");
            for secret in secrets.find_all(&bytes[..]) {
                found.push(format!("{secret} in {name} {range}"));
            }
        }
        assert!(len > 1 << 20, "{maps}");
        found
    }

    /// Lets it answer.
    pub(super) fn ends(mut self) -> (ExitStatus, String) {
        let mut said = Vec::new();
        self.answer.read_to_end(&mut said).unwrap();
        let filling = said.iter().take_while(|byte| **byte == FILLING).count();
        (self.child.wait().unwrap(), String::from_utf8(said.split_off(filling)).unwrap())
    }
}

const FILLING: u8 = b'.';

fn full_pipe() -> (PipeReader, io::PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    for len in [4096, 1] {
        while writer.write_all(&[FILLING; 4096][..len]).is_ok() {}
    }
    fcntl_setfl(&writer, flags).unwrap();
    (reader, writer)
}

/// Whether one of its threads is in a call that writes to the first descriptor.
fn writes_to_stdout(id: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return false };
    threads.flatten().any(|thread| {
        let call = fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
        let mut fields = call.split_whitespace();
        let number = fields.next().and_then(|number| number.parse().ok());
        number.is_some_and(|number: u32| WRITES.contains(&number)) && fields.next() == Some("0x1")
    })
}

/// Numbers of `write` and `writev`.
#[cfg(target_arch = "x86_64")]
const WRITES: [u32; 2] = [1, 20];
#[cfg(not(target_arch = "x86_64"))]
const WRITES: [u32; 2] = [64, 66];

/// When a command has done its work nothing of these is in its memory. They are asked for while it waits: by then what it made is
/// there.
#[track_caller]
pub(super) fn assert_forgets(command: Command, secrets: impl FnOnce() -> Secrets) {
    let what = format!("{:?}", command.get_args().collect::<Vec<_>>());
    let held = Held::at_answer(command);
    let found = held.finds(&secrets());
    let (status, said) = held.ends();
    assert!(status.success(), "{what}: {said}");
    assert!(found.is_empty(), "{what}: {} left:\n{}", found.len(), found.join("\n"));
}

#[test]
fn what_only_a_password_opens_is_forgotten_when_a_folder_is_archived() {
    let scene = Scene::new(TestRepository::new());
    for week in 0..2 {
        assert_forgets(scene.import(week, &[]), || {
            let mut secrets = Secrets::of(&scene.weeks[week]).that_open();
            secrets.add_password("correct horse");
            secrets
        });
    }
}

#[test]
fn what_a_snapshot_holds_of_keys_is_forgotten_when_it_was_read() {
    let scene = Scene::new(TestRepository::new());
    assert!(scene.import(0, &[]).output().unwrap().status.success());
    let secrets = || {
        let mut secrets = Secrets::of(&scene.weeks[0]).that_open();
        secrets.add_password("correct horse");
        secrets
    };
    let (restored, extracted) =
        (scene.repository.folder("restored"), scene.repository.folder("extracted"));
    for args in [
        &["restore", "latest", "--target", text(&restored)][..],
        &["extract", "latest", "--target", text(&extracted)],
        &["verify", "--read-data"],
        &["verify", "--phone-password-file", text(&scene.password)],
    ] {
        assert_forgets(scene.repository.command(args), secrets);
    }
}
