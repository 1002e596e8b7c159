//! Apple's digests of stored files: SHA-1 of the bytes as they lie in the folder, for the domains that have it.
//!
//! Invariant: what does not agree is told, never changed or left out: the bytes are kept as they are. Where two rows of a file
//! disagree neither is believed.

use std::io::{self, Read};

use sha1::{Digest as _, Sha1};

use crate::apple::{MbFile, Row, RowFileId};

type Id = [u8; 20];
type Digest = [u8; 20];

/// The digests of a backup's files, by file id.
#[derive(Default)]
pub(super) struct Digests(Vec<(Id, Digest)>);

impl Digests {
    /// Takes a row's digest; none is found before [`Self::sort`].
    pub(super) fn add(&mut self, row: &Row, file: &MbFile) {
        let (1, RowFileId::Id(id)) = (row.flags, &row.file_id) else { return };
        self.0.extend(file.digest.map(|digest| (*id.as_bytes(), digest)));
    }

    /// Ends the rows.
    pub(super) fn sort(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
    }

    /// What Apple says of a file.
    pub(super) fn of(&self, id: &Id) -> Option<&Digest> {
        let at = self.0.partition_point(|(known, _)| known < id);
        let [(found, digest), rest @ ..] = self.0.get(at..)? else { return None };
        (found == id && rest.first().is_none_or(|(next, _)| next != id)).then_some(digest)
    }
}

/// Passes bytes on and hashes them, if there is anything to compare with.
pub(super) struct Hashing<R> {
    source: R,
    sha1: Option<Sha1>,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(source: R, wanted: bool) -> Self {
        Self { source, sha1: wanted.then(Sha1::new) }
    }

    /// SHA-1 of what was read.
    pub(super) fn finish(self) -> Option<Digest> {
        self.sha1.map(|sha1| sha1.finalize().into())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buffer)?;
        if let (Some(sha1), Some(read)) = (&mut self.sha1, buffer.get(..len)) {
            sha1.update(read);
        }
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_digest_of_its_rows_where_they_agree() {
        let mut digests = Digests(vec![([3; 20], [1; 20]), ([1; 20], [9; 20]), ([3; 20], [2; 20])]);
        digests.0.extend([([2; 20], [5; 20]), ([2; 20], [5; 20])]);
        digests.sort();
        assert_eq!(digests.of(&[1; 20]), Some(&[9; 20]));
        assert_eq!(digests.of(&[2; 20]), Some(&[5; 20]));
        assert_eq!((digests.of(&[3; 20]), digests.of(&[4; 20])), (None, None));
    }
}
