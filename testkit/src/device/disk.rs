//! The phone's own file system: the generated files of the week, under those that a restore wrote.
//!
//! Invariant: one item for each domain and path; a restored one hides a generated one. The restored part lies in
//! `restored/` and is replaced as a whole, so that a restore that fails leaves what was there.

use super::error::DeviceError;
use super::{ScriptedPhone, locked, options_of};
use crate::content::Content;
use crate::item::{Item, What};
use crate::phone::Phone;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const LIST: &str = "restored/items.jsonl";

/// One restored item as its line tells it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) domain: String,
    pub(crate) path: String,
    pub(crate) sort: Sort,
    pub(crate) mode: u32,
    pub(crate) class: u32,
    pub(crate) inode: u64,
    pub(crate) modified: i64,
    pub(crate) birth: i64,
    pub(crate) size: u64,
}

/// What a restored item is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Sort {
    /// Its bytes are in this file of `restored/`.
    File(String),
    Directory,
    Symlink(String),
}

/// Everything on the phone, in the order of its scan.
pub(crate) fn items(phone: &ScriptedPhone) -> Result<Vec<Item>, DeviceError> {
    let restored: BTreeMap<(String, String), Item> = restored(&phone.folder)?
        .into_iter()
        .map(|record| {
            ((record.domain.clone(), record.path.clone()), item_of(&phone.folder, record))
        })
        .collect();
    let mut items = if phone.state()?.is_generated {
        with_generated(phone, |generated| Ok(generated.items()?))?
    } else {
        Vec::new()
    };
    if !restored.is_empty() {
        items.retain(|item| !restored.contains_key(&(item.domain.clone(), item.path.clone())));
        items.extend(restored.into_values());
    }
    Ok(items)
}

/// The bundle ids of its apps.
pub(crate) fn apps(phone: &ScriptedPhone) -> Result<Vec<String>, DeviceError> {
    with_generated(phone, |generated| Ok(generated.apps().to_vec()))
}

/// One JSON line for each file, by domain and path.
pub(crate) fn write_truth(phone: &ScriptedPhone, sink: &mut dyn Write) -> Result<(), DeviceError> {
    let mut items = items(phone)?;
    items.sort_by(|a, b| (&a.domain, &a.path).cmp(&(&b.domain, &b.path)));
    for item in items {
        let What::File(content) = &item.what else { continue };
        let mut hash = Hash(Sha256::new(), 0);
        content.copy_to(&mut hash)?;
        let hex = crate::random::hex_of(&hash.0.finalize());
        let line =
            json!({ "domain": item.domain, "path": item.path, "sha256": hex, "size": hash.1 });
        writeln!(sink, "{line}")?;
    }
    Ok(())
}

struct Hash(Sha256, u64);

impl Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        self.1 += u64::try_from(bytes.len()).unwrap_or(0);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What restores wrote so far.
pub(crate) fn restored(folder: &Path) -> Result<Vec<Record>, DeviceError> {
    let file = match File::open(folder.join(LIST)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    BufReader::new(file).lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect()
}

/// Makes `records` the restored part. Their files are there already.
pub(crate) fn replace_restored(folder: &Path, records: &[Record]) -> Result<(), DeviceError> {
    let place = restored_folder(folder)?;
    let mut file = BufWriter::new(tempfile::NamedTempFile::new_in(&place)?);
    for record in records {
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")?;
    }
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.persist(folder.join(LIST)).map_err(|error| error.error)?;
    drop_unnamed(&place, records)
}

/// Removes files of earlier restores that no record names any more.
fn drop_unnamed(place: &Path, records: &[Record]) -> Result<(), DeviceError> {
    let named: BTreeSet<&str> = records
        .iter()
        .filter_map(|record| match &record.sort {
            Sort::File(name) => Some(name.as_str()),
            _ => None,
        })
        .chain(["items.jsonl"])
        .collect();
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        if !named.contains(entry.file_name().to_string_lossy().as_ref()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A folder for the databases of one run, on the phone's own disk; what a run that was killed left is removed.
pub(crate) fn work_folder(folder: &Path) -> Result<TempDir, DeviceError> {
    let place = folder.join("work");
    match std::fs::remove_dir_all(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => std::fs::create_dir_all(&place)?,
    }
    Ok(tempfile::tempdir_in(&place)?)
}

/// The folder that restored files are written to.
pub(crate) fn restored_folder(folder: &Path) -> Result<PathBuf, DeviceError> {
    let place = folder.join("restored");
    std::fs::create_dir_all(&place)?;
    Ok(place)
}

fn item_of(folder: &Path, record: Record) -> Item {
    Item {
        what: match record.sort {
            Sort::File(name) => What::File(Content::File(folder.join("restored").join(name))),
            Sort::Directory => What::Directory,
            Sort::Symlink(target) => What::Symlink(target),
        },
        domain: record.domain,
        path: record.path,
        mode: record.mode,
        class: record.class,
        inode: record.inode,
        modified: record.modified,
        birth: record.birth,
        size: record.size,
        attributes: None,
    }
}

/// The generated phone in the state's week. It is made again when a week was taken back.
fn with_generated<T>(
    phone: &ScriptedPhone,
    read: impl FnOnce(&Phone) -> Result<T, DeviceError>,
) -> Result<T, DeviceError> {
    let state = phone.state()?;
    let mut kept = locked(&phone.generated);
    let mut generated = match kept.take() {
        Some(generated) if generated.week() <= state.week => generated,
        _ => Phone::new(options_of(&state))?,
    };
    while generated.week() < state.week {
        if state.quiet_weeks.contains(&(generated.week() + 1)) {
            generated.rest_a_week();
        } else {
            generated.advance_week()?;
        }
    }
    let answer = read(&generated);
    *kept = Some(generated);
    answer
}
