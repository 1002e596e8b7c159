//! Reading blobs.
//!
//! Invariant: a plaintext comes back only if its keyed hash is the id that was asked for; where a blob stands in several packs, the
//! others are tried before it is given up.

use std::sync::Arc;

use super::{Repository, RepositoryError, lock};
use crate::backend::BackendError;
use crate::ids::{BlobId, PackId, hash_of_file};
use crate::index::{IndexError, Place, Spot};
use crate::layout::pack_name;
use crate::pack::{BlobError, Entry, PACK_HEAD_LEN, PACK_LEN_MAX, PackHead, PackHeadError};
use crate::seal::BlobType;

/// Why a blob or directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// No listed pack holds it.
    #[error("blob {0} stands in none of the packs that are there")]
    Missing(BlobId),
    /// The pack could not be read.
    #[error("pack {pack} cannot be read")]
    Pack {
        /// The pack.
        pack: PackId,
        /// Storage's reason.
        #[source]
        source: BackendError,
    },
    /// The pack is not one.
    #[error("pack {pack} is damaged")]
    PackDamaged {
        /// The pack.
        pack: PackId,
        /// What is wrong.
        #[source]
        source: PackHeadError,
    },
    /// The blob is damaged.
    #[error("blob {blob} in pack {pack} is damaged")]
    Blob {
        /// The pack.
        pack: PackId,
        /// The blob.
        blob: BlobId,
        /// What is wrong.
        #[source]
        source: BlobError,
    },
    /// The host's index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl FetchError {
    /// Whether it tells of a drive or a computer that does not read now, and not of damage: what was asked for may be whole.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Pack { source, .. } => {
                matches!(source, BackendError::Disconnected { .. } | BackendError::Io { .. })
            }
            Self::Index(_) => true,
            Self::Missing(_) | Self::PackDamaged { .. } | Self::Blob { .. } => false,
        }
    }
}

impl Repository {
    /// The plaintext of a blob.
    ///
    /// # Errors
    /// Missing or damaged in every pack that should hold it.
    pub fn blob(&self, id: &BlobId, blob_type: BlobType) -> Result<Vec<u8>, FetchError> {
        let mut problem = FetchError::Missing(*id);
        for place in self.index.lookup(id)? {
            let entry = place.entry(*id);
            if entry.blob_type != blob_type {
                continue;
            }
            match self.read_place(&place, &entry) {
                Ok(plain) => return Ok(plain),
                Err(error) => problem = error,
            }
        }
        Err(problem)
    }

    /// Whether this very copy of a blob can be read and is what its id says.
    pub(crate) fn opens(&self, pack: &PackId, entry: &Entry) -> bool {
        self.read_place(&Spot::of(entry).within(*pack), entry).is_ok()
    }

    fn read_place(&self, place: &Place, entry: &Entry) -> Result<Vec<u8>, FetchError> {
        let pack = place.pack;
        let head = self.head(&pack)?;
        let name = pack_name(&pack);
        let mut sealed = self
            .backend
            .get_range(&name, u64::from(entry.offset), entry.sealed_len)
            .map_err(|source| FetchError::Pack { pack, source })?;
        head.open_blob(entry, &mut sealed, &self.id_keys).map_err(|source| FetchError::Blob {
            pack,
            blob: entry.id,
            source,
        })
    }

    /// The head of a pack; kept, for every blob of the pack needs it.
    pub(crate) fn head(&self, pack: &PackId) -> Result<Arc<PackHead>, FetchError> {
        if let Some(head) = lock(&self.heads).get(pack) {
            return Ok(Arc::clone(head));
        }
        let len = u32::try_from(PACK_HEAD_LEN).unwrap_or(u32::MAX);
        let bytes = self
            .backend
            .get_range(&pack_name(pack), 0, len)
            .map_err(|source| FetchError::Pack { pack: *pack, source })?;
        let head = PackHead::decode(&bytes, self.id, &self.data_keys)
            .map_err(|source| FetchError::PackDamaged { pack: *pack, source })?;
        let head = Arc::new(head);
        lock(&self.heads).insert(*pack, Arc::clone(&head));
        Ok(head)
    }

    /// The directory of a pack, from the pack itself.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn read_directory(&self, pack: &PackId, file_len: u64) -> Result<Vec<Entry>, FetchError> {
        let damaged = |source| FetchError::PackDamaged { pack: *pack, source };
        let head = self.head(pack)?;
        if head.file_len() != file_len {
            lock(&self.heads).remove(pack);
            return Err(damaged(PackHeadError::Lengths));
        }
        let len = u32::try_from(file_len - head.directory_at()).unwrap_or(u32::MAX);
        let sealed = self
            .backend
            .get_range(&pack_name(pack), head.directory_at(), len)
            .map_err(|source| FetchError::Pack { pack: *pack, source })?;
        head.open_directory(&sealed).map_err(damaged)
    }

    /// Reads a whole pack, checks its name and opens every blob. Returns the blobs that are damaged; an error means that the
    /// pack as a whole cannot be used.
    ///
    /// # Errors
    /// It cannot be read, or its directory is damaged.
    pub fn check_pack(&self, pack: &PackId) -> Result<PackCheck, FetchError> {
        let file = self
            .backend
            .get(&pack_name(pack), PACK_LEN_MAX)
            .map_err(|source| FetchError::Pack { pack: *pack, source })?;
        let damaged = |source| FetchError::PackDamaged { pack: *pack, source };
        let head = PackHead::decode(&file, self.id, &self.data_keys).map_err(damaged)?;
        let at = usize::try_from(head.directory_at()).unwrap_or(usize::MAX);
        let sealed = file.get(at..).unwrap_or_default();
        let (entries, directory_problem) = match head.open_directory(sealed) {
            Ok(entries) => (entries, None),
            Err(error) => match self.directory_elsewhere(pack, file.len() as u64) {
                Some(entries) => (entries, Some(error)),
                None => return Err(damaged(error)),
            },
        };
        let mut check = PackCheck {
            directory_problem,
            name_is_right: hash_of_file(&file) == *pack.as_bytes(),
            file_len: file.len() as u64,
            entries,
            bad: Vec::new(),
        };
        let mut scratch = Vec::new();
        for entry in &check.entries {
            if let Err(error) = head.check_blob(entry, &file, &mut scratch, &self.id_keys) {
                check.bad.push((entry.id, error));
            }
        }
        Ok(check)
    }

    /// Every blob the tree needs that stands in no listed pack, of those given.
    ///
    /// # Errors
    /// The index cannot be read.
    pub fn absent(&self, ids: &[BlobId]) -> Result<Vec<BlobId>, RepositoryError> {
        let found = self.index.lookup_many(ids)?;
        Ok(ids
            .iter()
            .zip(found)
            .filter(|(_, places)| places.is_empty())
            .map(|(id, _)| *id)
            .collect())
    }
}

/// What reading a whole pack showed.
#[derive(Debug)]
pub struct PackCheck {
    /// Whether BLAKE3 of the file is its name.
    pub name_is_right: bool,
    /// Length of the file.
    pub file_len: u64,
    /// Why its own directory cannot be used: `entries` come from an index segment then.
    pub directory_problem: Option<PackHeadError>,
    /// Its directory.
    pub entries: Vec<Entry>,
    /// Blobs that do not open, or are not what their id says.
    pub bad: Vec<(BlobId, BlobError)>,
}
