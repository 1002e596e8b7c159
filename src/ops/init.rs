//! Making a repository on a drive.
//!
//! Invariant: a folder that holds anything else than a new repository is not touched.

use std::path::Path;
use std::sync::Arc;

use russet_store::ambient::System;
use russet_store::backend::{Backend, BackendError, Durability, LocalBackend};
use russet_store::config::Cut;
use russet_store::repository::{CreateOptions, Created, RepositoryError, create};
use russet_store::seal::{Kdf, Password};

/// The format document, the independent reader and the list of recovery words, as they travel in every repository.
const FORMAT: &[u8] = include_bytes!("../../docs/format.md");
const READER: &[u8] = include_bytes!("../../docs/russet_reader.py");
const WORDS: &[u8] = include_bytes!("../../docs/recovery-words.txt");
const README: &str = include_str!("../../docs/RUSSET.txt.in");

/// Why no repository was made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something else is there.
    #[error("{location} is not empty and holds no repository: choose an empty or new folder")]
    NotEmpty {
        /// Where.
        location: String,
    },
    /// The folder.
    #[error("could not make {location}")]
    Location {
        /// Where.
        location: String,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// The repository.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
}

/// Documents of a new repository.
#[must_use]
pub fn documents() -> Vec<(String, Vec<u8>)> {
    let hash = |bytes: &[u8]| blake3::hash(bytes).to_hex().to_string();
    let text = README
        .replace("{format_md_blake3}", &hash(FORMAT))
        .replace("{reader_blake3}", &hash(READER))
        .replace("{words_blake3}", &hash(WORDS));
    vec![
        ("RUSSET.txt".to_owned(), text.into_bytes()),
        ("docs/format.md".to_owned(), FORMAT.to_vec()),
        ("docs/russet_reader.py".to_owned(), READER.to_vec()),
        ("docs/recovery-words.txt".to_owned(), WORDS.to_vec()),
    ]
}

/// Makes a repository in a new or empty folder.
///
/// # Errors
/// See [`InitError`].
pub fn init(location: &Path, password: Password, kdf: Kdf) -> Result<Created, InitError> {
    let shown = location.display().to_string();
    let durability = Durability { read_back: true };
    let backend = LocalBackend::create(location, durability)
        .map_err(|source| InitError::Location { location: shown.clone(), source })?;
    let listing = backend.list("").map_err(RepositoryError::from)?;
    // What a run that was cut short left can be taken over; anything else is somebody's.
    let ours = |name: &str| {
        let documents = documents();
        name.starts_with("keys/")
            || name.contains("/keys/")
            || documents.iter().any(|(d, _)| d == name)
    };
    let has_config = listing.files.iter().any(|file| file.name == "config");
    if has_config {
        return Err(RepositoryError::Exists { location: shown }.into());
    }
    let system_file =
        |name: &str| name.starts_with('.') || name.starts_with("System Volume Information");
    if listing.files.iter().any(|file| !ours(&file.name) && !system_file(&file.name)) {
        return Err(InitError::NotEmpty { location: shown });
    }
    let backend: Arc<dyn Backend> = Arc::new(backend);
    let options = CreateOptions { password, kdf, cut: Cut::default(), documents: documents() };
    Ok(create(&backend, &System, options)?)
}
