//! Uploads: batches of files, cut into blocks; and where the script breaks, slows or ends them.
//!
//! Invariant: what counts for a cut or a pace is file data alone, without names, lengths and codes. A batch that is not
//! cut ends with its end mark and the host's answer.

use super::super::error::DeviceError;
use super::super::script::Script;
use super::{DATA, ERROR_REMOTE, HostFiles, NO_SPACE, ON, SUCCESS, Sent, Status};
use crate::content::Content;
use crate::device::link::Link;
use crate::keybag::Key;
use crate::payload::Stored;
use crate::random::Random;
use plist::{Dictionary, Value};
use serde_json::json;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

const CANCEL: &str = "com.apple.itunes-client.syncCancelRequest";
/// How long a phone whose owner cancelled waits for the host to go away.
const CANCEL_PATIENCE: Duration = Duration::from_secs(5);
/// Shorter pauses are saved up.
const PAUSE_MIN: Duration = Duration::from_millis(10);
/// What leaves together at most.
const OUTBOX_LEN: usize = 64 * 1024;

/// One file on its way to the host.
pub(crate) struct Upload<'a> {
    pub(crate) device_name: String,
    pub(crate) host_path: String,
    pub(crate) body: Body<'a>,
}

/// Its bytes.
pub(crate) enum Body<'a> {
    Bytes(&'a [u8]),
    Content(&'a Content, Option<Key>),
    /// The same, and nobody wants its SHA-1.
    Undigested(&'a Content, Option<Key>),
    /// The phone cannot read it and says why.
    Unreadable(&'static str),
}

/// Bytes of a batch on their way: small ones leave together, as from a real phone.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
}

impl Outbox {
    fn push(&mut self, link: &mut Link, bytes: &[u8]) -> io::Result<()> {
        if self.bytes.len() + bytes.len() > OUTBOX_LEN {
            self.leave(link)?;
        }
        if bytes.len() > OUTBOX_LEN {
            return link.write_all(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn leave(&mut self, link: &mut Link) -> io::Result<()> {
        link.write_all(&self.bytes)?;
        self.bytes.clear();
        link.flush()
    }
}

/// What was sent on this connection, and what the script makes of it.
pub(super) struct Pace {
    file_count: u64,
    sent_len: u64,
    cut_at: Option<u64>,
    len_per_sec: Option<u64>,
    owed: Duration,
}

/// The script's end of the link, on its way up through writers that know I/O errors only.
#[derive(Debug, thiserror::Error)]
#[error("the script cut the link")]
struct LinkCut;

impl Pace {
    pub(super) fn of(script: &Script) -> Self {
        let (cut_at, len_per_sec) = (script.cut_after_len, script.slow);
        Self { file_count: 0, sent_len: 0, cut_at, len_per_sec, owed: Duration::ZERO }
    }

    /// How many of the next `len` bytes may leave before the link is cut; none if all may.
    fn bytes_before_cut(&self, len: u64) -> Option<u64> {
        let left = self.cut_at?.saturating_sub(self.sent_len);
        (left <= len).then_some(left)
    }

    /// Notes `len` bytes; the answer is how long to pause now.
    fn sent(&mut self, len: u64) -> Duration {
        self.sent_len += len;
        let Some(len_per_sec) = self.len_per_sec else { return Duration::ZERO };
        let micros = len.saturating_mul(1_000_000) / len_per_sec.max(1);
        self.owed += Duration::from_micros(micros);
        if self.owed < PAUSE_MIN { Duration::ZERO } else { std::mem::take(&mut self.owed) }
    }
}

impl HostFiles<'_> {
    /// Sends a batch of files. Answers with SHA-1, where it is wanted, and stored length of each that could be read.
    pub(crate) fn upload(
        &mut self,
        batch: &[Upload<'_>],
        total_len: u64,
    ) -> Result<Vec<Option<Sent>>, DeviceError> {
        let (sent, status) = self.send_batch(batch, total_len)?;
        let names: Vec<_> = batch.iter().map(|upload| upload.host_path.as_str()).collect();
        let detail = json!({ "count": names.len(), "first": names.first(), "code": status.code });
        self.phone.journal.note(ON, "uploaded", &detail);
        if status.code == NO_SPACE {
            return Err(self.host_is_full());
        }
        if status.code != 0 {
            self.breach("uploads succeed", &detail);
            return Err(DeviceError::Refused {
                code: 104,
                text: "Multiple errors uploading files",
            });
        }
        for (upload, sent) in batch.iter().zip(&sent) {
            match sent {
                Some((_, len)) => self.held.insert(upload.host_path.clone(), *len),
                None => self.held.remove(&upload.host_path),
            };
        }
        Ok(sent)
    }

    /// Sends a batch and reads the answer, whatever it is.
    pub(crate) fn send_batch(
        &mut self,
        batch: &[Upload<'_>],
        total_len: u64,
    ) -> Result<(Vec<Option<Sent>>, Status), DeviceError> {
        let sent = self.send_files(batch, total_len)?;
        Ok((sent, self.status("DLMessageUploadFiles")?))
    }

    /// Sends a batch, and leaves it to the caller to read the answer.
    pub(crate) fn send_files(
        &mut self,
        batch: &[Upload<'_>],
        total_len: u64,
    ) -> Result<Vec<Option<Sent>>, DeviceError> {
        self.send(vec![
            "DLMessageUploadFiles".into(),
            Dictionary::new().into(),
            Value::Real(self.progress),
            total_len.into(),
        ])?;
        let mut sent = Vec::with_capacity(batch.len());
        for upload in batch {
            if self.phone.script.cancel_after_files == Some(self.pace.file_count) {
                return Err(self.cancel()?);
            }
            self.write_name(&upload.device_name)?;
            self.write_name(&upload.host_path)?;
            if self.phone.script.cut_after_files == Some(self.pace.file_count) {
                // The link breaks inside a block of the next file.
                self.outbox.push(&mut self.link, &[0, 0, 0x10, 0, DATA, 1, 2, 3])?;
                self.outbox.leave(&mut self.link)?;
                return Err(DeviceError::Cut);
            }
            sent.push(self.write_body(upload).map_err(cut_or_broken)?);
            self.pace.file_count += 1;
        }
        self.end_batch()?;
        Ok(sent)
    }

    fn end_batch(&mut self) -> io::Result<()> {
        self.outbox.push(&mut self.link, &0_u32.to_be_bytes())?;
        self.outbox.leave(&mut self.link)
    }

    /// Bytes of file data that left on this connection.
    pub(crate) fn sent_len(&self) -> u64 {
        self.pace.sent_len
    }

    /// The owner cancels: the phone says so and sends nothing more. The answer is how the run ends.
    fn cancel(&mut self) -> Result<DeviceError, DeviceError> {
        self.outbox.leave(&mut self.link)?;
        self.phone.notify(CANCEL);
        self.link.patience(Some(CANCEL_PATIENCE))?;
        let heard = self.receive();
        self.link.patience(None)?;
        match heard {
            Err(DeviceError::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                self.phone.journal.note(ON, "cancelled", &json!("the host stayed"));
                self.end_batch()?;
                self.status("DLMessageUploadFiles")?;
                Ok(DeviceError::Refused { code: 202, text: "Cancelled" })
            }
            Err(DeviceError::HostLeft | DeviceError::Io(_)) => {
                self.phone.journal.note(ON, "cancelled", &json!("the host left"));
                Ok(DeviceError::HostLeft)
            }
            Err(other) => Err(other),
            Ok(_) => {
                self.breach("a batch is answered at its end", &json!(0));
                Ok(DeviceError::Breach { rule: "a batch is answered at its end" })
            }
        }
    }

    fn write_name(&mut self, name: &str) -> io::Result<()> {
        let len = u32::try_from(name.len()).unwrap_or(u32::MAX);
        let mut bytes = len.to_be_bytes().to_vec();
        bytes.extend_from_slice(name.as_bytes());
        self.outbox.push(&mut self.link, &bytes)
    }

    fn write_body(&mut self, upload: &Upload<'_>) -> io::Result<Option<Sent>> {
        let odd = self.phone.script.odd_frames;
        let sizes = if odd {
            Sizes::Odd(self.random(0x6672_616d, upload.host_path.as_bytes()))
        } else {
            Sizes::Even(usize::try_from(self.phone.script.block_len.max(2)).unwrap_or(2))
        };
        let phone = self.phone;
        let pause = |pause| {
            phone.pause(pause);
        };
        let mut blocks = Blocks {
            link: &mut self.link,
            outbox: &mut self.outbox,
            pace: &mut self.pace,
            pause: &pause,
            block: block_of(DATA),
            block_len: 0,
            sizes,
        };
        blocks.block_len = blocks.sizes.next();
        let (content, key, is_digested) = match &upload.body {
            Body::Bytes(bytes) => (Content::Bytes((*bytes).into()), None, false),
            Body::Content(content, key) => ((*content).clone(), *key, true),
            Body::Undigested(content, key) => ((*content).clone(), *key, false),
            Body::Unreadable(why) => {
                blocks.block = block_of(ERROR_REMOTE);
                blocks.block.extend_from_slice(why.as_bytes());
                blocks.send()?;
                return Ok(None);
            }
        };
        let stored = Stored::new(blocks, key.as_ref());
        let mut stored = if is_digested { stored } else { stored.undigested() };
        content.copy_to(&mut stored)?;
        let (mut blocks, digest, len) = stored.finish()?;
        if blocks.block.len() > HEAD_LEN {
            blocks.send()?;
        }
        blocks.block = block_of(SUCCESS);
        blocks.send()?;
        Ok(Some((digest, len)))
    }
}

fn cut_or_broken(error: io::Error) -> DeviceError {
    match error.get_ref() {
        Some(inner) if inner.is::<LinkCut>() => DeviceError::Cut,
        _ => error.into(),
    }
}

/// Bytes of a block before its data: the length and the code.
const HEAD_LEN: usize = 5;

/// Blocks of one file; the first four bytes of `block` are its length when it is sent.
struct Blocks<'a> {
    link: &'a mut Link,
    outbox: &'a mut Outbox,
    pace: &'a mut Pace,
    pause: &'a dyn Fn(Duration),
    block: Vec<u8>,
    /// Length of this block with its code.
    block_len: usize,
    sizes: Sizes,
}

/// Lengths of blocks, each with its code.
enum Sizes {
    Even(usize),
    /// From one byte of data to 8 MiB, each magnitude as often as the others.
    Odd(Random),
}

impl Sizes {
    fn next(&mut self) -> usize {
        match self {
            Self::Even(len) => *len,
            Self::Odd(random) => {
                let magnitude = 1 << random.below(23);
                1 + usize::try_from(magnitude + random.below(magnitude)).unwrap_or(1)
            }
        }
    }
}

fn block_of(code: u8) -> Vec<u8> {
    vec![0, 0, 0, 0, code]
}

impl Blocks<'_> {
    fn send(&mut self) -> io::Result<()> {
        let len = u32::try_from(self.block.len().saturating_sub(4)).unwrap_or(u32::MAX);
        for (place, byte) in self.block.iter_mut().zip(len.to_be_bytes()) {
            *place = byte;
        }
        let is_data = self.block.get(HEAD_LEN - 1) == Some(&DATA);
        let data_len = if is_data { u64::from(len.saturating_sub(1)) } else { 0 };
        if is_data && let Some(left) = self.pace.bytes_before_cut(data_len) {
            let end = HEAD_LEN + usize::try_from(left).unwrap_or(0);
            self.outbox.push(self.link, self.block.get(..end).unwrap_or(&self.block))?;
            self.outbox.leave(self.link)?;
            return Err(io::Error::other(LinkCut));
        }
        self.outbox.push(self.link, &self.block)?;
        self.block.truncate(HEAD_LEN);
        self.block_len = self.sizes.next();
        let pause = self.pace.sent(data_len);
        if !pause.is_zero() {
            self.outbox.leave(self.link)?;
            (self.pause)(pause);
        }
        Ok(())
    }
}

impl Write for Blocks<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (self.block_len + 4).saturating_sub(self.block.len());
        let taken = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.block.extend_from_slice(taken);
        if self.block.len() >= self.block_len + 4 {
            self.send()?;
        }
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_link_pauses_as_long_as_its_bytes_take() {
        let mut pace = Pace::of(&Script { slow: Some(1_000_000), ..Script::default() });
        let paused: Duration = (0..3_000).map(|_| pace.sent(1_000)).sum();
        assert_eq!((paused + pace.owed).as_millis(), 3_000);
        assert!(pace.owed < PAUSE_MIN);
        let mut pace = Pace::of(&Script::default());
        assert!(pace.sent(1 << 40).is_zero());
    }

    #[test]
    fn a_cut_at_the_end_of_a_block_lets_the_block_through_and_nothing_more() {
        let mut pace = Pace::of(&Script { cut_after_len: Some(100), ..Script::default() });
        assert_eq!(pace.bytes_before_cut(99), None);
        pace.sent(99);
        assert_eq!(pace.bytes_before_cut(1), Some(1));
        assert_eq!(pace.bytes_before_cut(50), Some(1));
    }
}
