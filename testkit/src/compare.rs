//! Whether two folders are the same backup.
//!
//! Invariant: no difference in names, kinds, bytes, link targets or the files' mtimes goes unnoticed, empty folders
//! included; every difference is named by its path. mtimes of folders and links are not compared: tools cannot set them
//! everywhere. Reads only; memory is bounded by the listing.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What two equal folders hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Regular files.
    pub file_count: u64,
    /// Folders below the root.
    pub folder_count: u64,
    /// Symbolic links.
    pub link_count: u64,
    /// Bytes in the files.
    pub len: u64,
}

/// One way in which two folders differ; paths are relative to both.
#[derive(Debug, thiserror::Error)]
pub enum Difference {
    /// Only the first folder has it.
    #[error("{0}: missing in the second")]
    OnlyInFirst(PathBuf),
    /// Only the second folder has it.
    #[error("{0}: missing in the first")]
    OnlyInSecond(PathBuf),
    /// A file here, a folder or link there.
    #[error("{0}: not the same kind")]
    Kind(PathBuf),
    /// The bytes differ.
    #[error("{path}: differs from byte {offset} on ({first_len} and {second_len} bytes)")]
    Bytes {
        /// The file.
        path: PathBuf,
        /// The first byte that differs or that only one of them has.
        offset: u64,
        /// Its length in the first folder.
        first_len: u64,
        /// Its length in the second folder.
        second_len: u64,
    },
    /// The mtimes differ.
    #[error("{path}: modified {first:?} and {second:?}")]
    Modified {
        /// The file.
        path: PathBuf,
        /// Its mtime in the first folder.
        first: SystemTime,
        /// Its mtime in the second folder.
        second: SystemTime,
    },
    /// The links point elsewhere.
    #[error("{path}: points to {first} and {second}")]
    Target {
        /// The link.
        path: PathBuf,
        /// Its target in the first folder.
        first: PathBuf,
        /// Its target in the second folder.
        second: PathBuf,
    },
    /// Something could not be read, so nothing can be said about it.
    #[error("{path}: could not be read: {source}")]
    Unreadable {
        /// The file or folder, with its root.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Compares two folders entry by entry. Reads both whole.
pub fn same_folder(first: &Path, second: &Path) -> Result<Counts, Vec<Difference>> {
    let mut differences = Vec::new();
    let firsts = listing(first, &mut differences);
    let mut seconds = listing(second, &mut differences);
    let mut counts = Counts::default();
    for (path, metadata) in &firsts {
        match seconds.remove(path) {
            None => differences.push(Difference::OnlyInFirst(path.clone())),
            Some(other) => compare_entry(
                first,
                second,
                path,
                (metadata, &other),
                &mut counts,
                &mut differences,
            ),
        }
    }
    differences.extend(seconds.into_keys().map(Difference::OnlyInSecond));
    if differences.is_empty() { Ok(counts) } else { Err(differences) }
}

/// Panics with all differences unless the two folders are the same backup.
#[track_caller]
pub fn assert_same_backup(first: &Path, second: &Path) -> Counts {
    same_folder(first, second).unwrap_or_else(|differences| {
        let lines: Vec<String> = differences.iter().map(|each| format!("  {each}")).collect();
        panic!("{} and {} differ:\n{}", first.display(), second.display(), lines.join("\n"))
    })
}

fn listing(root: &Path, differences: &mut Vec<Difference>) -> BTreeMap<PathBuf, Metadata> {
    let mut entries = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        match list_folder(root, &folder) {
            Err(source) => {
                differences.push(Difference::Unreadable { path: root.join(folder), source })
            }
            Ok(found) => {
                folders.extend(
                    found
                        .iter()
                        .filter(|(_, metadata)| metadata.is_dir())
                        .map(|(path, _)| path.clone()),
                );
                entries.extend(found);
            }
        }
    }
    entries
}

fn list_folder(root: &Path, folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    std::fs::read_dir(root.join(folder))?
        .map(|entry| {
            let path = folder.join(entry?.file_name());
            let metadata = std::fs::symlink_metadata(root.join(&path))?;
            Ok((path, metadata))
        })
        .collect()
}

fn compare_entry(
    first: &Path,
    second: &Path,
    path: &Path,
    (a, b): (&Metadata, &Metadata),
    counts: &mut Counts,
    differences: &mut Vec<Difference>,
) {
    if a.file_type() != b.file_type() {
        differences.push(Difference::Kind(path.to_path_buf()));
        return;
    }
    let outcome = if a.is_dir() {
        counts.folder_count += 1;
        Ok(None)
    } else if a.is_symlink() {
        counts.link_count += 1;
        compare_targets(first, second, path)
    } else {
        counts.file_count += 1;
        counts.len += a.len();
        differences.extend(compare_modified(path, a, b));
        compare_bytes(first, second, path)
    };
    let unreadable = |source| Some(Difference::Unreadable { path: path.to_path_buf(), source });
    differences.extend(outcome.unwrap_or_else(unreadable));
}

fn compare_modified(path: &Path, a: &Metadata, b: &Metadata) -> Option<Difference> {
    let path = path.to_path_buf();
    match (a.modified(), b.modified()) {
        (Ok(first), Ok(second)) if first == second => None,
        (Ok(first), Ok(second)) => Some(Difference::Modified { path, first, second }),
        (Err(source), _) | (_, Err(source)) => Some(Difference::Unreadable { path, source }),
    }
}

fn compare_targets(first: &Path, second: &Path, path: &Path) -> io::Result<Option<Difference>> {
    let first = std::fs::read_link(first.join(path))?;
    let second = std::fs::read_link(second.join(path))?;
    Ok((first != second).then(|| Difference::Target { path: path.to_path_buf(), first, second }))
}

fn compare_bytes(first: &Path, second: &Path, path: &Path) -> io::Result<Option<Difference>> {
    const PART_LEN: u64 = 128 * 1024;
    let (mut a, mut b) = (File::open(first.join(path))?, File::open(second.join(path))?);
    let (mut part_a, mut part_b) = (Vec::new(), Vec::new());
    let mut offset = 0_u64;
    loop {
        part_a.clear();
        part_b.clear();
        Read::by_ref(&mut a).take(PART_LEN).read_to_end(&mut part_a)?;
        Read::by_ref(&mut b).take(PART_LEN).read_to_end(&mut part_b)?;
        if part_a != part_b {
            let same = part_a.iter().zip(&part_b).take_while(|(x, y)| x == y).count();
            offset += u64::try_from(same).unwrap_or(PART_LEN);
            let (first_len, second_len) = (a.metadata()?.len(), b.metadata()?.len());
            return Ok(Some(Difference::Bytes {
                path: path.to_path_buf(),
                offset,
                first_len,
                second_len,
            }));
        }
        if part_a.is_empty() {
            return Ok(None);
        }
        offset += u64::try_from(part_a.len()).unwrap_or(PART_LEN);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
    use super::*;
    use std::fs;
    use std::time::Duration;

    /// Two equal folders, then `change` on the second; what is found.
    fn differences(change: impl FnOnce(&Path)) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let roots = ["a", "b"].map(|name| folder.path().join(name));
        for root in &roots {
            fs::create_dir_all(root.join("ab/empty")).unwrap();
            fs::write(root.join("ab/file"), vec![5; 300_000]).unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink("ab/file", root.join("link")).unwrap();
            set_time(&root.join("ab/file"), 1);
        }
        change(&roots[1]);
        match same_folder(&roots[0], &roots[1]) {
            Ok(counts) => {
                assert_eq!(counts.file_count, 1);
                Vec::new()
            }
            Err(found) => found.iter().map(ToString::to_string).collect(),
        }
    }

    fn set_time(path: &Path, nanos: u64) {
        let time = SystemTime::UNIX_EPOCH
            + Duration::new(1_700_000_000, u32::try_from(nanos).unwrap() * 100);
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn equal_folders_are_equal() {
        assert_eq!(differences(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn one_changed_byte_is_named_with_its_offset() {
        let found = differences(|root| {
            crate::damage::flip_bit(&root.join("ab/file"), 299_999, 0).unwrap();
            set_time(&root.join("ab/file"), 1);
        });
        assert_eq!(found, ["ab/file: differs from byte 299999 on (300000 and 300000 bytes)"]);
    }

    #[test]
    fn a_shorter_file_differs_from_where_it_ends() {
        let found = differences(|root| {
            crate::damage::truncate(&root.join("ab/file"), 131_072).unwrap();
            set_time(&root.join("ab/file"), 1);
        });
        assert_eq!(found, ["ab/file: differs from byte 131072 on (300000 and 131072 bytes)"]);
    }

    #[test]
    fn a_tenth_of_a_microsecond_in_the_mtime_is_a_difference() {
        let found = differences(|root| set_time(&root.join("ab/file"), 2));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("ab/file: modified"), "{found:?}");
    }

    #[test]
    fn a_missing_empty_folder_is_a_difference() {
        let found = differences(|root| fs::remove_dir(root.join("ab/empty")).unwrap());
        assert_eq!(found, ["ab/empty: missing in the second"]);
    }

    #[test]
    fn a_file_too_many_is_a_difference() {
        let found = differences(|root| fs::write(root.join("new"), "").unwrap());
        assert_eq!(found, ["new: missing in the first"]);
    }

    #[test]
    fn a_file_in_place_of_a_folder_is_a_difference() {
        let found = differences(|root| {
            fs::remove_dir(root.join("ab/empty")).unwrap();
            fs::write(root.join("ab/empty"), "").unwrap();
        });
        assert_eq!(found, ["ab/empty: not the same kind"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_elsewhere_is_a_difference() {
        let found = differences(|root| {
            fs::remove_file(root.join("link")).unwrap();
            std::os::unix::fs::symlink("ab", root.join("link")).unwrap();
        });
        assert_eq!(found, ["link: points to ab/file and ab"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_equal_to_an_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        assert!(same_folder(folder.path(), &folder.path().join("nothing")).is_err());
    }
}
