//! Why what a phone encrypted stays as it is, from wherever it comes.
//!
//! Invariant: a reason that no password mends and that an iPhone stumbles over is told apart from those that are nobody's fault.

use std::io;

use crate::apple::KeybagError;

/// Why the files of an encrypted backup stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum Kept {
    /// Nobody gave a password.
    #[error("no password was given")]
    NoPassword,
    /// iOS before 10.2: derived and listed in another way, and never opened.
    #[error("it is of iOS 10.1 or older, which russet does not open")]
    Old,
    /// Its keybag.
    #[error("{0}")]
    Keybag(#[source] KeybagError),
    /// The keybag opens, and the key of Manifest.db does not.
    #[error("the key of its Manifest.db does not open")]
    ManifestKey,
    /// A list that cannot be read.
    #[error("Manifest.plist or Manifest.db cannot be read: {0}")]
    Io(#[source] io::Error),
}

impl Kept {
    /// Whether something about it is damaged, which no password mends and an iPhone would not take.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Keybag(_) | Self::ManifestKey => true,
            Self::NoPassword | Self::Old | Self::Io(_) => false,
        }
    }
}
