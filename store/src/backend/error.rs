//! What can go wrong between us and the place where files lie.
//!
//! Invariant: a caller can tell "this file is not there" from "the drive is gone" and "the drive is full"
//! without reading text; nothing here decides what to do about it.

use std::io;
use std::path::PathBuf;

/// Why a backend did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// There is no file of that name, and the place itself answers.
    #[error("{name} is missing")]
    NotFound {
        /// The file asked for.
        name: String,
    },
    /// The file ends before the range does.
    #[error("{name} is too short: {got_len} of {wanted_len} bytes are there")]
    ShortRead {
        /// The file asked for.
        name: String,
        /// Bytes asked for.
        wanted_len: u64,
        /// Bytes the file has from that offset on.
        got_len: u64,
    },
    /// The file is longer than the caller is ready to hold in memory.
    #[error("{name} has {got_len} bytes, more than the {len_max} that make sense")]
    TooLong {
        /// The file asked for.
        name: String,
        /// Bytes the file has.
        got_len: u64,
        /// What the caller allowed.
        len_max: u64,
    },
    /// The drive or the quota is full.
    #[error("no space is left on {location}")]
    NoSpace {
        /// Where.
        location: String,
    },
    /// The drive was pulled, the share dropped, or another drive answers in its place.
    #[error("{location} is not connected any more")]
    Disconnected {
        /// Where.
        location: String,
    },
    /// Nothing can be written here.
    #[error("{location} is read-only")]
    ReadOnly {
        /// Where.
        location: String,
    },
    /// What was written reads back differently: the drive, its cable or its driver lies.
    #[error("{name} was written but reads back differently")]
    WrittenDiffers {
        /// The file that was to be written; it was not given its name.
        name: String,
    },
    /// Something else stands where a folder must be.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// What stands in the way.
        path: PathBuf,
    },
    /// Something else stands where a file must be: a folder, a link, a device.
    #[error("{name} is not a file")]
    NotAFile {
        /// What stands in the way.
        name: String,
    },
    /// More files than any repository has: listing stops before it fills the memory.
    #[error("{location} holds more than {count_max} files")]
    TooManyFiles {
        /// Where.
        location: String,
        /// The bound.
        count_max: usize,
    },
    /// Some folders could not be read; raised only for those who need the whole list.
    #[error("{} folders of {location} cannot be read, first {first}", count)]
    Unlistable {
        /// Where.
        location: String,
        /// The first such folder.
        first: String,
        /// How many there are.
        count: usize,
        /// What the system said about the first.
        source: io::Error,
    },
    /// Anything else the system says.
    #[error("could not {doing} {name}")]
    Io {
        /// A verb for the message.
        doing: &'static str,
        /// The file or folder.
        name: String,
        /// What the system said.
        source: io::Error,
    },
}
