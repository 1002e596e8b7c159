//! What goes wrong, by script: a JSON file that names faults and habits of the phone.
//!
//! Invariant: an empty script is a phone in a good mood. An unknown key is an error, so that a misspelt fault does not
//! pass a test. Does not carry out what it names.

use serde::Deserialize;
use std::collections::BTreeMap;

/// Faults and habits.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Script {
    /// Largest block of an upload, with its code byte.
    pub block_len: u32,
    /// Files in one batch of uploads, moves or removals.
    pub batch_count: usize,
    /// How often `Pair` is answered "the dialog is still up" before the owner taps Trust.
    pub trust_polls: u32,
    /// The owner taps "Don't trust".
    pub deny_pairing: bool,
    /// The phone is locked: pairing is refused, and services need the escrow bag.
    pub locked: bool,
    /// What the owner does with the passcode sheet of a backup.
    pub passcode: Passcode,
    /// Services on connections of their own speak TLS.
    pub service_tls: bool,
    /// The link ends after that many files were uploaded.
    pub cut_after_files: Option<u64>,
    /// The link ends right after Status.plist was uploaded with this SnapshotState.
    pub cut_at_phase: Option<String>,
    /// These cannot be read: `domain-path`.
    pub unreadable: Vec<String>,
    /// The run ends with 0 right after `moving` was told: nothing is moved.
    pub ends_early: bool,
    /// The phone asks something no host knows, once a run.
    pub unknown_message: bool,
    /// Every question is asked twice, and every removal and new directory.
    pub duplicates: bool,
    /// Every move is made twice; idevicebackup2 loses the files then.
    pub repeated_moves: bool,
    /// Asks the host to make room when there is not enough.
    pub purge: bool,
    /// Bytes that the phone believes to need beyond what it uploads.
    pub extra_need: u64,
    /// Changing the password rewrites the keybag in the host's Manifest.plist; otherwise the next backup is full.
    pub rewrap: bool,
    /// The link ends after that many bytes of file data were sent, wherever in a block that is.
    pub cut_after_len: Option<u64>,
    /// At most that many bytes of file data a second.
    pub slow: Option<u64>,
    /// After that many files the owner cancels on the phone, which then waits for the host to go away.
    pub cancel_after_files: Option<u64>,
    /// Asks for what no host may do: names that lead out of the phone's folder, in each kind of request.
    pub hostile_names: bool,
    /// Blocks from one byte to several MiB, and some messages in XML.
    pub odd_frames: bool,
    /// `domain-path` of a file that has a row in Manifest.db and is never sent.
    pub missing_file: Option<String>,
    /// `domain-path` of a file whose row has the digest of something else.
    pub wrong_digest: Option<String>,
    /// The keybag that is sent has the key of class 3 damaged, under which most files are.
    pub damaged_keybag: bool,
    /// Files are uploaded to `/.b/1/` and moved from there.
    pub b_paths: bool,
    /// An organisation demands encrypted backups: others end with 207.
    pub requires_encryption: bool,
    /// How the phone is attached.
    pub connection: Connection,
    /// Over the network, services end when no Polo came for that many milliseconds; none: they do not.
    pub heartbeat: Option<u64>,
    /// The link ends after that many files were downloaded.
    pub cut_after_downloads: Option<u64>,
    /// After a restore the phone starts anew at once: the link ends where its answer would come.
    pub silent_reboot: bool,
    /// Find My is on: restores are refused.
    pub find_my: bool,
    /// A backup begins with a fixed list of questions, whose answers are in the journal; less those that are named here.
    pub survey: Option<Vec<String>>,
    /// Requests of a host (`Backup`, `Restore`, `ChangePassword`) that end with an error of this number before anything is done.
    pub ends_with: BTreeMap<String, i64>,
    /// The phone says nothing more once it was asked for a backup (`asked`), or has told this SnapshotState.
    pub silent_at: Option<String>,
    /// Bytes that hosts are told are in use on the phone.
    pub used_len: Option<u64>,
    /// The phone tells what product it is, as those before iOS 17.4 do.
    pub tells_product_name: bool,
}

/// How the phone is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connection {
    /// By cable.
    Usb,
    /// Over Wi-Fi.
    Network,
    /// Both: the mux daemon lists it twice.
    Both,
}

/// What the owner does with the passcode sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Passcode {
    /// No passcode is set: no sheet.
    None,
    /// Types it after that many milliseconds.
    After(u64),
    /// Leaves the sheet alone until it goes away.
    Never,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            block_len: 128 * 1024,
            batch_count: 128,
            trust_polls: 0,
            deny_pairing: false,
            locked: false,
            passcode: Passcode::None,
            service_tls: true,
            cut_after_files: None,
            cut_at_phase: None,
            unreadable: Vec::new(),
            ends_early: false,
            unknown_message: false,
            duplicates: false,
            repeated_moves: false,
            purge: true,
            extra_need: 0,
            rewrap: true,
            cut_after_len: None,
            slow: None,
            cancel_after_files: None,
            hostile_names: false,
            odd_frames: false,
            missing_file: None,
            wrong_digest: None,
            damaged_keybag: false,
            b_paths: false,
            requires_encryption: false,
            connection: Connection::Usb,
            heartbeat: Some(10_000),
            cut_after_downloads: None,
            silent_reboot: false,
            find_my: false,
            survey: None,
            ends_with: BTreeMap::new(),
            silent_at: None,
            used_len: None,
            tells_product_name: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_fault_is_an_error() {
        assert!(serde_json::from_str::<Script>(r#"{"cut_after_file": 3}"#).is_err());
    }

    #[test]
    fn a_script_names_only_what_differs() {
        let script: Result<Script, _> =
            serde_json::from_str(r#"{"cut_after_files": 3, "passcode": {"after": 20}}"#);
        let script = script.unwrap_or_default();
        assert_eq!((script.cut_after_files, script.passcode), (Some(3), Passcode::After(20)));
        assert_eq!(script.batch_count, 128);
    }
}
