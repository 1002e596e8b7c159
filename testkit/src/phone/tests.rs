//! What a generated phone promises.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use super::*;
use crate::{Encryption, assert_same_backup, damage, file_id};
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};

fn password() -> Encryption {
    Encryption::Password { password: "pear".to_owned(), iterations: 10 }
}

fn tiny() -> PhoneOptions {
    PhoneOptions {
        media_len: 600_000,
        database_len: 900_000,
        small_file_count: 150,
        small_len: 200_000,
        ..PhoneOptions::small()
    }
}

fn open(path: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(format!("file:{}?immutable=1", path.display()), flags).unwrap()
}

/// Payloads by name with bytes and mtime.
fn payloads(root: &Path) -> BTreeMap<PathBuf, (Vec<u8>, std::time::SystemTime)> {
    let files =
        damage::all_files(root).unwrap().into_iter().filter(|path| path.parent() != Some(root));
    files
        .map(|path| {
            let modified = fs::metadata(&path).unwrap().modified().unwrap();
            (path.strip_prefix(root).unwrap().to_path_buf(), (fs::read(&path).unwrap(), modified))
        })
        .collect()
}

#[test]
fn the_same_seed_lives_the_same_weeks_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    for encryption in [Encryption::None, password()] {
        let runs = ["a", "b"].map(|run| {
            let parent = tempfile::tempdir_in(folder.path()).unwrap().keep().join(run);
            let mut phone = Phone::new(tiny()).unwrap();
            (0..3)
                .map(|week| {
                    if week > 0 {
                        phone.advance_week().unwrap();
                    }
                    phone.write_backup(&parent.join(week.to_string()), &encryption).unwrap()
                })
                .collect::<Vec<_>>()
        });
        for (a, b) in runs[0].iter().zip(&runs[1]) {
            assert_same_backup(a, b);
        }
    }
}

#[test]
fn another_seed_is_another_phone() {
    let folder = tempfile::tempdir().unwrap();
    let roots = [1, 2].map(|seed| {
        Phone::new(tiny().with_seed(seed))
            .unwrap()
            .write_backup(folder.path(), &Encryption::None)
            .unwrap()
    });
    assert_ne!(roots[0], roots[1]);
    let shared = payloads(&roots[0]).into_iter().filter(|(path, (bytes, _))| {
        bytes.len() > 5000 && fs::read(roots[1].join(path)).is_ok_and(|other| other == *bytes)
    });
    // The wallpaper is all zeros on every phone.
    assert_eq!(shared.count(), 1);
}

#[test]
fn what_a_week_did_not_touch_keeps_bytes_and_mtime() {
    let folder = tempfile::tempdir().unwrap();
    for encryption in [Encryption::None, password()] {
        let parent = tempfile::tempdir_in(folder.path()).unwrap();
        let mut phone = Phone::new(tiny()).unwrap();
        let first = payloads(&phone.write_backup(&parent.path().join("1"), &encryption).unwrap());
        phone.advance_week().unwrap();
        let second = payloads(&phone.write_backup(&parent.path().join("2"), &encryption).unwrap());
        let sent: std::collections::BTreeSet<PathBuf> = phone
            .files
            .iter()
            .filter(|file| file.stored_week == 1)
            .map(|file| file_id(&file.domain, &file.path))
            .map(|id| Path::new(&id[..2]).join(&id))
            .collect();
        assert!(sent.len() > 10);
        for (path, (bytes, modified)) in &second {
            match first.get(path) {
                Some(old) if !sent.contains(path) => {
                    assert!(old.0 == *bytes && old.1 == *modified, "{path:?} changed")
                }
                Some(old) => {
                    assert_ne!(old.1, *modified, "{path:?} was sent again and keeps its mtime")
                }
                None => assert!(sent.contains(path), "{path:?} is new and was not sent"),
            }
        }
        assert!(second.len() - sent.len() > 100, "most files stay");
    }
}

#[test]
fn every_database_passes_sqlites_own_check_each_week() {
    let folder = tempfile::tempdir().unwrap();
    let mut phone = Phone::new(tiny()).unwrap();
    for week in 0..3 {
        if week > 0 {
            phone.advance_week().unwrap();
        }
        let root =
            phone.write_backup(&folder.path().join(week.to_string()), &Encryption::None).unwrap();
        let mut checked = 0;
        for path in damage::all_files(&root).unwrap() {
            if fs::read(&path).unwrap().starts_with(b"SQLite format 3\0") {
                let answer: String =
                    open(&path).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
                assert_eq!(answer, "ok", "{path:?}");
                checked += 1;
            }
        }
        assert_eq!(checked, 13, "twelve of the phone and Manifest.db");
    }
}

#[test]
fn a_week_changes_pages_all_over_a_database_and_leaves_most_alone() {
    let folder = tempfile::tempdir().unwrap();
    let mut phone =
        Phone::new(PhoneOptions { database_len: 12_000_000, media_len: 0, ..tiny() }).unwrap();
    let id = file_id("HomeDomain", "Library/SMS/sms.db");
    let read = |phone: &Phone, name: &str| {
        let root = phone.write_backup(&folder.path().join(name), &Encryption::None).unwrap();
        fs::read(root.join(&id[..2]).join(&id)).unwrap()
    };
    let before = read(&phone, "1");
    phone.advance_week().unwrap();
    let after = read(&phone, "2");
    assert!(after.len() > before.len());
    let changed: Vec<usize> = before
        .chunks(4096)
        .zip(after.chunks(4096))
        .enumerate()
        .filter(|(_, (old, new))| old != new)
        .map(|(index, _)| index)
        .collect();
    let page_count = before.len() / 4096;
    assert!(
        (page_count / 20..page_count * 3 / 5).contains(&changed.len()),
        "{} of {page_count}",
        changed.len()
    );
    assert!(
        changed.iter().any(|&index| index < page_count / 4)
            && changed.iter().any(|&index| index > page_count / 2)
    );
}

#[test]
fn the_rows_are_those_of_a_phone_and_each_file_has_its_payload() {
    let folder = tempfile::tempdir().unwrap();
    let mut phone = Phone::new(tiny()).unwrap();
    phone.advance_week().unwrap();
    let root = phone.write_backup(folder.path(), &Encryption::None).unwrap();
    let connection = open(&root.join("Manifest.db"));
    let count = |flags: i64| -> usize {
        connection
            .query_row("SELECT count(*) FROM Files WHERE flags = ?1", [flags], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(count(1), phone.files.len());
    assert_eq!(count(1), payloads(&root).len());
    assert_eq!(count(4), phone.links.len());
    assert!(count(2) > 60);
    let highest: usize =
        connection.query_row("SELECT max(rowid) FROM Files", [], |row| row.get(0)).unwrap();
    assert!(highest > count(1) + count(2) + count(4), "late rows leave gaps");
    let truth = phone.truth().unwrap();
    assert_eq!(truth.len(), phone.files.len(), "no two files share a path");
    for ((domain, path), truth) in truth {
        let id = file_id(&domain, &path);
        let bytes = fs::read(root.join(&id[..2]).join(&id)).unwrap();
        assert_eq!(truth.sha256, <[u8; 32]>::from(Sha256::digest(&bytes)), "{domain} {path}");
        assert_eq!(truth.blake3, *blake3::hash(&bytes).as_bytes(), "{domain} {path}");
    }
}

#[test]
fn a_full_backup_changes_every_stored_byte_and_no_content() {
    let folder = tempfile::tempdir().unwrap();
    let mut phone = Phone::new(tiny()).unwrap();
    let first = payloads(&phone.write_backup(&folder.path().join("1"), &password()).unwrap());
    let truth = phone.truth().unwrap();
    phone.force_full();
    let second = payloads(&phone.write_backup(&folder.path().join("2"), &password()).unwrap());
    assert_eq!(phone.truth().unwrap(), truth);
    assert!(first.keys().eq(second.keys()));
    assert!(
        first.iter().all(|(path, (bytes, _))| second.get(path).is_some_and(|new| new.0 != *bytes))
    );
}

#[test]
fn another_password_leaves_the_payloads_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let phone = Phone::new(tiny()).unwrap();
    let plum = Encryption::Password { password: "plum".to_owned(), iterations: 10 };
    let first = phone.write_backup(&folder.path().join("1"), &password()).unwrap();
    let second = phone.write_backup(&folder.path().join("2"), &plum).unwrap();
    assert_eq!(payloads(&first), payloads(&second));
    assert_ne!(
        fs::read(first.join("Manifest.plist")).unwrap(),
        fs::read(second.join("Manifest.plist")).unwrap()
    );
}

#[test]
fn a_touched_share_is_that_share_and_lies_where_it_was_asked() {
    for (spread, domains) in [(Spread::FewApps, 1..=3), (Spread::Random, 5..=10_000)] {
        let mut phone =
            Phone::new(PhoneOptions { app_count: 20, ..PhoneOptions::many_files(2_000) }).unwrap();
        let before = phone.truth().unwrap();
        let count = phone.touch_share(0.05, spread);
        let after = phone.truth().unwrap();
        let changed: Vec<&(String, String)> = after
            .iter()
            .filter(|(key, truth)| before.get(*key) != Some(truth))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(changed.len(), count, "{spread:?}");
        let touched: std::collections::BTreeSet<&String> =
            changed.iter().map(|(domain, _)| domain).collect();
        assert!(domains.contains(&touched.len()), "{spread:?}: {}", touched.len());
    }
}

#[test]
fn a_phone_is_about_as_large_as_was_asked() {
    let phone = Phone::new(PhoneOptions::small()).unwrap();
    let len: u64 = phone.files.iter().map(|file| file.content.len().unwrap()).sum();
    assert!((9_000_000..13_500_000).contains(&len), "{len}");
    assert!((300..700).contains(&phone.files.len()), "{}", phone.files.len());
}

/// The `MBFile` of each row of a file, by payload.
fn file_rows(root: &Path) -> Vec<(String, String, plist::Dictionary, Vec<plist::Value>)> {
    let connection = open(&root.join("Manifest.db"));
    let mut statement =
        connection.prepare("SELECT fileID, domain, file FROM Files WHERE flags = 1").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    rows.map(|row| {
        let (id, domain, blob): (String, String, Vec<u8>) = row.unwrap();
        let archive = plist::Value::from_reader(io::Cursor::new(blob)).unwrap();
        let objects =
            archive.as_dictionary().unwrap().get("$objects").unwrap().as_array().unwrap().clone();
        (id, domain, objects[1].as_dictionary().unwrap().clone(), objects)
    })
    .collect()
}

#[test]
fn some_databases_have_another_size_in_their_row_and_no_other_file_has() {
    let folder = tempfile::tempdir().unwrap();
    let phone = Phone::new(tiny()).unwrap();
    let root = phone.write_backup(folder.path(), &Encryption::None).unwrap();
    let (mut right, mut wrong) = (0, 0);
    for (id, _, file, _) in file_rows(&root) {
        let size = file.get("Size").unwrap().as_unsigned_integer().unwrap();
        let bytes = fs::read(root.join(&id[..2]).join(&id)).unwrap();
        if size == u64::try_from(bytes.len()).unwrap() {
            right += 1;
        } else {
            assert!(bytes.starts_with(b"SQLite format 3\0"), "{id}");
            wrong += 1;
        }
    }
    assert!((1..=8).contains(&wrong) && right > 150, "{wrong} wrong, {right} right");
}

#[test]
fn digests_are_of_the_stored_bytes_and_only_where_phones_have_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut phone = Phone::new(tiny()).unwrap();
    phone.advance_week().unwrap();
    let root = phone.write_backup(folder.path(), &Encryption::None).unwrap();
    let (mut with, mut without) = (0, 0);
    for (id, domain, file, objects) in file_rows(&root) {
        let Some(plist::Value::Uid(digest)) = file.get("Digest") else {
            assert!(
                domain.starts_with("App")
                    || domain.starts_with("Camera")
                    || domain.starts_with("Media"),
                "{domain}"
            );
            without += 1;
            continue;
        };
        let bytes = fs::read(root.join(&id[..2]).join(&id)).unwrap();
        let expected = <sha1::Sha1 as sha1::Digest>::digest(&bytes).to_vec();
        let digest = usize::try_from(digest.get()).unwrap();
        assert_eq!(objects[digest].as_data().unwrap(), expected, "{domain} {id}");
        with += 1;
    }
    assert!(with > 20 && without > 100, "{with} with, {without} without");
}

#[test]
fn manifest_db_is_new_each_week_with_its_rows_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let mut phone = Phone::new(tiny()).unwrap();
    let mut read = |week: &str| {
        let root = phone.write_backup(&folder.path().join(week), &Encryption::None).unwrap();
        phone.advance_week().unwrap();
        fs::read(root.join("Manifest.db")).unwrap()
    };
    let (first, second) = (read("1"), read("2"));
    let old: std::collections::BTreeSet<&[u8]> = first.chunks(4096).collect();
    let shared = second.chunks(4096).filter(|page| old.contains(page)).count();
    assert!(shared * 20 < second.len() / 4096, "{shared} pages shared");
}
