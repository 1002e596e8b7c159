//! Making a new repository.
//!
//! Invariant: the config is written last, so that a repository that has one has its keys; nothing is written where a repository
//! already is.

use std::sync::Arc;

use super::RepositoryError;
use crate::ambient::{Ambient, draw};
use crate::backend::Backend;
use crate::config::{Config, Cut};
use crate::copies;
use crate::header::Kind;
use crate::ids::RepositoryId;
use crate::layout::{Inventory, Room, config_names, document_name};
use crate::record::{self, RecordPlace};
use crate::seal::{Kdf, Keyring, Keyslot, Password, RecoveryKey, Secret, SlotSecret};

/// What a new repository is made with.
pub struct CreateOptions {
    /// The repository password.
    pub password: Password,
    /// How a key is made of it.
    pub kdf: Kdf,
    /// How files are cut.
    pub cut: Cut,
    /// Documents that travel in the repository: `RUSSET.txt` and `docs/…`.
    pub documents: Vec<(String, Vec<u8>)>,
}

/// A new repository.
pub struct Created {
    /// Its id.
    pub id: RepositoryId,
    /// To be shown once; it is nowhere else.
    pub recovery: RecoveryKey,
}

/// Makes a repository. The folder or bucket must hold none.
///
/// # Errors
/// One is there already, or something could not be written.
pub fn create(
    backend: &Arc<dyn Backend>,
    ambient: &dyn Ambient,
    options: CreateOptions,
) -> Result<Created, RepositoryError> {
    let listing = backend.list("")?;
    let inventory = Inventory::sort(&listing.files);
    let taken = inventory.config.0.iter().any(Option::is_some)
        || !inventory.rooms.is_empty()
        || !inventory.packs.is_empty();
    if taken || !listing.unreadable.is_empty() {
        return Err(RepositoryError::Exists { location: backend.location() });
    }
    let id = RepositoryId::decode(draw(ambient)?);
    let master = Secret::new(draw(ambient)?);
    let recovery = RecoveryKey::draw(ambient)?;
    let words = recovery.words();
    for (name, bytes) in &options.documents {
        if let Some(name) = document_name(name) {
            backend.put_new(&name, bytes)?;
        }
    }
    let secret = SlotSecret::Password(options.password);
    let slot = Keyslot::create(&master, id, &secret, options.kdf, "password", ambient)?;
    copies::write(backend.as_ref(), Room::Keys, slot.bytes())?;
    let secret = SlotSecret::Recovery(recovery);
    let slot = Keyslot::create(&master, id, &secret, Kdf::Recovery, "recovery key", ambient)?;
    copies::write(backend.as_ref(), Room::Keys, slot.bytes())?;
    let ring = Keyring::draw(ambient)?;
    let key = Keyring::sealing_key(&master, id);
    let place = RecordPlace { kind: Kind::Keyring, repository: id, epoch: 0 };
    let file = record::seal(place, &key, &ring.encode(), ambient)?;
    copies::write(backend.as_ref(), Room::Keys, &file)?;
    backend.barrier()?;
    let config = Config::new(ambient.now_secs(), options.cut).encode(id, &master);
    for name in config_names().iter().rev() {
        backend.put_new(name, &config)?;
    }
    backend.barrier()?;
    let recovery = RecoveryKey::parse(&words).map_err(|_| crate::seal::SealBroken)?;
    Ok(Created { id, recovery })
}
