//! Names, ids, words and passwords: what parses is written the same way again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use russet::apple::{BackupKind, FileId, FolderName, Udid, category};
use russet_store::backend::Name;
use russet_store::ids::{BlobId, RepositoryId};
use russet_store::layout::document_name;
use russet_store::seal::{Password, RecoveryKey};

fuzz_target!(|data: &[u8]| {
    let _ = FileId::parse(data);
    let _ = category(data, data);
    let _ = Password::from_file(data);
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = Name::parse(text) {
        assert_eq!(name.as_str(), text);
        assert!(
            !text.starts_with('/') && text.split('/').all(|part| !matches!(part, "" | "." | ".."))
        );
    }
    if let Some(id) = BlobId::parse(text) {
        assert_eq!(id.to_string(), text);
    }
    let _ = RepositoryId::parse(text);
    let _ = document_name(text);
    let _ = FolderName::parse(text);
    if let Some(udid) = Udid::parse(text) {
        assert!(!udid.as_str().contains(['/', '\\', '\0', '.']));
    }
    let _ = BackupKind::of(text.lines());
    if let Ok(key) = RecoveryKey::parse(text) {
        let words = key.words();
        assert_eq!(RecoveryKey::parse(&words).expect("its own words").words(), words);
    }
});
