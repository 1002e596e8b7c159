//! A restore, as the phone drives it: the manifests, every payload, and only then its own files.
//!
//! Invariant: the phone changes when everything has come, opens and has its digest; otherwise it is as it was. Paths of
//! a host's rows are names in the phone's list, never paths of this computer.

use super::cipher::decrypted;
use super::disk::{self, Record, Sort};
use super::error::DeviceError;
use super::host_files::{Fetched, HostFiles, ON};
use super::manifest::{self, Archived, Row};
use super::usbmuxd::text;
use crate::keybag::Keybag;
use crate::phone::Phone;
use crate::plists::PRODUCT_VERSION;
use plist::{Dictionary, Value};
use serde_json::json;
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Cursor, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const NOTHING: DeviceError =
    DeviceError::Refused { code: 204, text: "There is no complete backup to restore" };

struct Restore<'a, 'b> {
    host: &'b mut HostFiles<'a>,
    source: String,
    options: Dictionary,
    keybag: Option<Keybag>,
    work: TempDir,
    place: PathBuf,
    run: u64,
}

/// A row that is to be on the phone.
struct Wanted {
    row: Row,
    file: Archived,
}

/// Answers `Restore`.
pub(crate) fn run(host: &mut HostFiles<'_>, request: &Dictionary) -> Result<(), DeviceError> {
    let phone = host.phone;
    if phone.script.find_my {
        return Err(DeviceError::Refused { code: 211, text: "Find My must be turned off" });
    }
    let source = match text(request, "SourceIdentifier") {
        "" => text(request, "TargetIdentifier"),
        source => source,
    };
    let options = request.get("Options").and_then(Value::as_dictionary).cloned();
    phone.change(|state| state.run += 1)?;
    let state = phone.state()?;
    host.begin(&state);
    let mut restore = Restore {
        source: source.to_owned(),
        options: options.unwrap_or_default(),
        keybag: None,
        work: disk::work_folder(&phone.folder)?,
        place: disk::restored_folder(&phone.folder)?,
        run: state.run,
        host,
    };
    restore.go()?;
    if phone.script.silent_reboot { Err(DeviceError::Cut) } else { Ok(()) }
}

impl Restore<'_, '_> {
    fn go(&mut self) -> Result<(), DeviceError> {
        let (manifest, database) = self.read_manifests()?;
        let database = self.open(&manifest, database)?;
        let mut wanted = Vec::new();
        manifest::read(&database, |row| {
            let file = Archived::read(&row.blob);
            let file = file.ok_or(DeviceError::Breach { rule: "rows are archives" })?;
            wanted.push(Wanted { row, file });
            Ok(())
        })?;
        if !self.option("RestoreDontCopyBackup") {
            self.host.free_space()?;
            let day = Phone::backup_date(self.host.phone.state()?.week);
            self.host.copy_item(&self.source.clone(), &format!("{}-{day}", self.source))?;
        }
        let names = self.fetch(&wanted)?;
        self.commit(&wanted, &names)
    }

    fn option(&self, key: &str) -> bool {
        self.options.get(key).and_then(Value::as_boolean).unwrap_or(false)
    }

    fn read_manifests(&mut self) -> Result<(Dictionary, PathBuf), DeviceError> {
        let names = ["Manifest.plist", "Status.plist", "Manifest.db", "Info.plist"];
        let paths = names.map(|name| format!("{}/{name}", self.source));
        let database = self.work.path().join("Manifest.db");
        let mut sink = BufWriter::new(File::create(&database)?);
        let mut bytes: [Vec<u8>; 4] = Default::default();
        let fetched = self.host.download(&paths, |index, part| {
            if index == 2 {
                return sink.write_all(part);
            }
            if let Some(own) = bytes.get_mut(index) {
                own.extend_from_slice(part);
            }
            Ok(())
        })?;
        sink.flush()?;
        if fetched.iter().take(3).any(|each| *each == Fetched::Failed) {
            return Err(NOTHING);
        }
        let [manifest, status, _, info] = bytes.map(|bytes| {
            Value::from_reader(Cursor::new(bytes)).ok().and_then(Value::into_dictionary)
        });
        let (Some(manifest), Some(status)) = (manifest, status) else { return Err(NOTHING) };
        if text(&status, "SnapshotState") != "finished" {
            return Err(NOTHING);
        }
        let version = info.as_ref().map(|info| text(info, "Product Version")).unwrap_or_default();
        if version_parts(version) > version_parts(PRODUCT_VERSION) {
            return Err(DeviceError::Refused { code: 203, text: "The backup is of a newer iOS" });
        }
        Ok((manifest, database))
    }

    fn open(&mut self, manifest: &Dictionary, database: PathBuf) -> Result<PathBuf, DeviceError> {
        let data = |key| manifest.get(key).and_then(Value::as_data).unwrap_or_default();
        if manifest.get("IsEncrypted").and_then(Value::as_boolean) != Some(true) {
            return Ok(database);
        }
        let keybag = Keybag::open(data("BackupKeyBag"), text(&self.options, "Password").as_bytes())
            .ok_or(DeviceError::Refused { code: 207, text: "Invalid password" })?;
        let key = keybag
            .unwrap(data("ManifestKey"))
            .ok_or(DeviceError::Refused { code: 205, text: "ManifestKey does not open" })?;
        self.keybag = Some(keybag);
        decrypted(&database, &key)
    }

    /// Asks for every payload; the answer is each file's name in `restored/`, by file id.
    fn fetch(&mut self, wanted: &[Wanted]) -> Result<BTreeMap<String, String>, DeviceError> {
        let files: Vec<&Wanted> = wanted.iter().filter(|each| each.row.flags == 1).collect();
        let mut names = BTreeMap::new();
        let (mut missing, mut mismatched) = (0, 0);
        let batch_count = self.host.phone.script.batch_count.max(1);
        for (number, part) in files.chunks(batch_count).enumerate() {
            self.host.progress = f64::from(u32::try_from(number % 100).unwrap_or(0));
            let paths: Vec<String> = part.iter().map(|each| self.path(&each.row.id)).collect();
            let places: Vec<String> =
                (0..part.len()).map(|index| format!("{}-{number}-{index}", self.run)).collect();
            let mut sinks = Vec::new();
            for place in &places {
                sinks.push((File::create(self.place.join(place))?, Sha1::new()));
            }
            let fetched = self.host.download(&paths, |index, bytes| {
                let Some((file, digest)) = sinks.get_mut(index) else { return Ok(()) };
                digest.update(bytes);
                file.write_all(bytes)
            })?;
            for (((each, place), sink), fetched) in part.iter().zip(places).zip(sinks).zip(fetched)
            {
                let digest: [u8; 20] = sink.1.finalize().into();
                let expected = each.file.object("Digest").and_then(Value::as_data);
                if fetched == Fetched::Failed {
                    missing += 1;
                } else if expected.is_some_and(|expected| expected != digest) {
                    mismatched += 1;
                } else {
                    self.decrypt(each, &self.place.join(&place))?;
                    names.insert(each.row.id.clone(), place);
                }
            }
        }
        let detail = json!({ "files": names.len(), "missing": missing, "mismatched": mismatched });
        self.host.phone.journal.note(ON, "fetched", &detail);
        if missing > 0 {
            let text = "Multiple errors downloading files";
            return Err(DeviceError::Refused { code: 205, text });
        }
        if mismatched > 0 {
            let text = "Digest didn't match for some files";
            return Err(DeviceError::Refused { code: 205, text });
        }
        Ok(names)
    }

    fn path(&self, id: &str) -> String {
        format!("{}/{}/{id}", self.source, id.get(..2).unwrap_or("xx"))
    }

    fn decrypt(&self, wanted: &Wanted, path: &Path) -> Result<(), DeviceError> {
        let Some(keybag) = &self.keybag else { return Ok(()) };
        let key = wanted
            .file
            .encryption_key()
            .and_then(|wrapped| keybag.unwrap(wrapped))
            .ok_or(DeviceError::Refused { code: 205, text: "Encryption key missing" })?;
        Ok(std::fs::rename(decrypted(path, &key)?, path)?)
    }

    /// Makes what came the phone's own.
    fn commit(
        &mut self,
        wanted: &[Wanted],
        names: &BTreeMap<String, String>,
    ) -> Result<(), DeviceError> {
        let phone = self.host.phone;
        let removes = self.option("RemoveItemsNotRestored");
        let mut records = BTreeMap::new();
        if !removes {
            for record in disk::restored(&phone.folder)? {
                records.insert((record.domain.clone(), record.path.clone()), record);
            }
        }
        for each in wanted {
            let record = record_of(each, names.get(&each.row.id));
            records.insert((record.domain.clone(), record.path.clone()), record);
        }
        let records: Vec<Record> = records.into_values().collect();
        disk::replace_restored(&phone.folder, &records)?;
        phone.change(|state| {
            state.is_generated &= !removes;
            state.unfinished = None;
        })?;
        let apps = phone.folder.join("afc/iTunesRestore/RestoreApplications.plist");
        let detail = json!({
            "items": records.len(),
            "removes": removes,
            "reboots": self.option("RestoreShouldReboot"),
            "apps_are_listed": apps.exists(),
        });
        phone.journal.note(ON, "restored", &detail);
        Ok(())
    }
}

fn record_of(wanted: &Wanted, name: Option<&String>) -> Record {
    let number = |key| wanted.file.number(key).unwrap_or(0);
    let target = wanted.file.object("Target").and_then(Value::as_string).unwrap_or_default();
    let unsigned = |key| u64::try_from(number(key)).unwrap_or(0);
    let short = |key| u32::try_from(number(key)).unwrap_or(0);
    Record {
        domain: wanted.row.domain.clone(),
        path: wanted.row.path.clone(),
        sort: match (wanted.row.flags, name) {
            (1, Some(name)) => Sort::File(name.clone()),
            (4, _) => Sort::Symlink(target.to_owned()),
            _ => Sort::Directory,
        },
        mode: short("Mode"),
        class: short("ProtectionClass"),
        inode: unsigned("InodeNumber"),
        modified: number("LastModified"),
        birth: number("Birth"),
        size: unsigned("Size"),
    }
}

/// "18.6.2" as numbers.
fn version_parts(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}
