//! Backups that the phone encrypted: opened with their password, stored as plaintext, given back to the byte.

mod bad_input;
mod digests;
mod opening;

use std::fs;
use std::io::{Cursor, Read};
use std::path::Path;

use russet::apple::{Closing, LockedKeys, Opening, Passwords, PhonePassword};
use russet_testkit::{Encryption, FakeBackup};

use super::support::{Ran, TestRepository, fake, text};

const PASSWORD: &str = "pässwörd of the phone";

fn encryption(password: &str) -> Encryption {
    Encryption::Password { password: password.to_owned(), iterations: 10 }
}

fn encrypted() -> FakeBackup {
    fake().encryption(encryption(PASSWORD))
}

/// Imports with passwords.
fn import_with(repository: &TestRepository, folder: &Path, passwords: &[&str]) -> Ran {
    import_by(repository, folder, passwords, &["--json"])
}

/// The same in words.
#[track_caller]
fn import_says(repository: &TestRepository, folder: &Path, code: i32, words: &[&str]) -> Ran {
    import_by(repository, folder, &[PASSWORD], &[]).code(code).says(words)
}

/// What was counted when a folder was taken for the first time.
#[track_caller]
fn counted(repository: &TestRepository) -> (u64, String) {
    let snapshot = repository.snapshots().pop().unwrap();
    let opened = snapshot["counts"]["opened"].as_u64().unwrap_or(0);
    (opened, snapshot["verdict"].as_str().unwrap().to_owned())
}

fn import_by(repository: &TestRepository, folder: &Path, passwords: &[&str], how: &[&str]) -> Ran {
    let mut args = vec!["import".to_owned(), text(folder).to_owned()];
    args.extend(how.iter().map(ToString::to_string));
    for (number, password) in passwords.iter().enumerate() {
        let file = repository.beside(&format!("phone password {number}"));
        fs::write(&file, format!("{password}\n")).unwrap();
        args.push("--phone-password-file".to_owned());
        args.push(text(&file).to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    repository.run(&args)
}

/// Imports with the password and wants code 0; gives the summary.
#[track_caller]
fn import(repository: &TestRepository, folder: &Path) -> serde_json::Value {
    import_with(repository, folder, &[PASSWORD]).code(0).summary()
}

fn id_of(summary: &serde_json::Value) -> String {
    summary["snapshot_id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn cat(repository: &TestRepository, word: &str, path: &str) -> Vec<u8> {
    repository.run(&["cat", word, path]).code(0).bytes
}

/// Changes the plaintext of a folder's Manifest.db, and encrypts it again.
fn edit_manifest(folder: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let locked = LockedKeys::parse(&fs::read(folder.join("Manifest.plist")).unwrap()).unwrap();
    let mut passwords = Passwords::new(vec![PhonePassword::new(PASSWORD).unwrap()]);
    let keys = locked.unlock(&mut passwords).unwrap();
    let path = folder.join("Manifest.db");
    let stored = fs::read(&path).unwrap();
    let mut plain = Vec::new();
    let len = stored.len() as u64;
    Opening::new(Cursor::new(stored), keys.manifest(), len).read_to_end(&mut plain).unwrap();
    edit(&mut plain);
    let mut closing = Closing::new(keys.manifest());
    let mut again = Vec::new();
    let mut out = |bytes: &[u8]| -> Result<(), ()> {
        again.extend_from_slice(bytes);
        Ok(())
    };
    closing.push(&plain, &mut out).unwrap();
    again.extend(closing.finish(u8::try_from(16 - plain.len() % 16).unwrap()).unwrap());
    fs::write(&path, again).unwrap();
}

/// Puts other bytes in place of some, wherever they stand.
fn replace(plain: &mut [u8], old: &[u8], new: &[u8]) {
    for at in 0..plain.len() {
        if plain[at..].starts_with(old) {
            plain[at..at + new.len()].copy_from_slice(new);
        }
    }
}
