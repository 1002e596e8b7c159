//! What is on a phone, by its own word, and whether a folder is a backup of exactly that.
//!
//! Invariant: a folder is held against the phone's files, Manifest.db and each other; nothing of russet reads it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use plist::{Dictionary, Value};
use russet_testkit::device::ScriptedPhone;
use russet_testkit::file_id;
use sha2::{Digest, Sha256};

/// What Info.plist of every backup says.
const INFO_KEYS: [&str; 16] = [
    "Applications",
    "Build Version",
    "Device Name",
    "Display Name",
    "GUID",
    "Installed Applications",
    "Last Backup Date",
    "Product Type",
    "Product Version",
    "Serial Number",
    "Target Identifier",
    "Target Type",
    "Unique Identifier",
    "iTunes Files",
    "iTunes Settings",
    "iTunes Version",
];

/// The files of a phone: SHA-256 and length by domain and path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Truth {
    pub(super) files: BTreeMap<(String, String), (String, u64)>,
    is_encrypted: bool,
}

impl Truth {
    pub(super) fn of(phone: &ScriptedPhone) -> Self {
        let mut lines = Vec::new();
        phone.write_truth(&mut lines).unwrap();
        let mut files = BTreeMap::new();
        for line in String::from_utf8(lines).unwrap().lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let word = |key: &str| line[key].as_str().unwrap().to_owned();
            let len = line["size"].as_u64().unwrap();
            files.insert((word("domain"), word("path")), (word("sha256"), len));
        }
        assert!(!files.is_empty());
        Self { files, is_encrypted: false }
    }

    /// The same, as an encrypted backup holds it: contents cannot be seen, only their lengths.
    pub(super) fn encrypted(mut self) -> Self {
        self.is_encrypted = true;
        self
    }

    /// All bytes.
    pub(super) fn len(&self) -> u64 {
        self.files.values().map(|(_, len)| len).sum()
    }

    /// The folder is a finished backup of exactly these files.
    #[track_caller]
    pub(super) fn assert_in(&self, folder: &Path) {
        let status = dictionary(&folder.join("Status.plist"));
        assert_eq!(status["SnapshotState"].as_string(), Some("finished"));
        self.assert_payloads(folder);
        if !self.is_encrypted {
            self.assert_rows(folder);
        }
        let udid = folder.file_name().unwrap().to_str().unwrap();
        assert_info(&dictionary(&folder.join("Info.plist")), &udid[..udid.len().min(25)]);
    }

    /// Exactly the payloads of the files are there, and of the rest the four files that every backup has.
    #[track_caller]
    fn assert_payloads(&self, folder: &Path) {
        let mut found = BTreeSet::new();
        let mut beside = BTreeSet::new();
        for entry in fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.len() != 2 {
                beside.insert(name);
                continue;
            }
            for payload in fs::read_dir(folder.join(&name)).unwrap() {
                let id = payload.unwrap().file_name().into_string().unwrap();
                assert_eq!(id[..2], name);
                found.insert(id);
            }
        }
        let four = ["Info.plist", "Manifest.db", "Manifest.plist", "Status.plist"];
        assert_eq!(beside, four.map(str::to_owned).into());
        for ((domain, path), (sha256, len)) in &self.files {
            let id = file_id(domain, path);
            let stored = fs::read(folder.join(&id[..2]).join(&id));
            let stored = stored.unwrap_or_else(|error| panic!("{domain}-{path}: {error}"));
            if self.is_encrypted {
                assert_eq!(stored.len() as u64, (len / 16 + 1) * 16, "{domain}-{path}");
            } else {
                assert_eq!(&hex(&Sha256::digest(&stored)), sha256, "{domain}-{path}");
            }
            assert!(found.remove(&id));
        }
        assert!(found.is_empty(), "nothing on the phone has these payloads: {found:?}");
    }

    /// Apple's list has a row for each file, and for no other.
    #[track_caller]
    fn assert_rows(&self, folder: &Path) {
        let database = rusqlite::Connection::open(folder.join("Manifest.db")).unwrap();
        let select = "SELECT fileID, domain, relativePath FROM Files WHERE flags = 1";
        let mut statement = database.prepare(select).unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut count = 0;
        while let Some(row) = rows.next().unwrap() {
            let word = |index: usize| row.get::<_, String>(index).unwrap();
            let name = (word(1), word(2));
            assert_eq!(word(0), file_id(&name.0, &name.1));
            assert!(self.files.contains_key(&name), "{name:?}");
            count += 1;
        }
        assert_eq!(count, self.files.len());
    }
}

#[track_caller]
fn assert_info(info: &Dictionary, udid: &str) {
    for key in INFO_KEYS {
        assert!(info.contains_key(key), "Info.plist lacks {key}");
    }
    let word = |key: &str| info[key].as_string().unwrap_or_default();
    assert_eq!(word("Target Identifier"), udid);
    assert_eq!(word("Unique Identifier"), udid.to_uppercase());
    assert_eq!(word("Device Name"), "Blue iPhone");
    assert!(info["Last Backup Date"].as_date().is_some());
}

#[track_caller]
pub(super) fn dictionary(path: &Path) -> Dictionary {
    Value::from_file(path).unwrap().into_dictionary().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
