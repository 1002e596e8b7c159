//! Keyslots: passwords added, changed and removed, and the recovery key.
//!
//! Invariant: one way in always stays, and one that was removed does not come back.

use std::fs;
use std::path::PathBuf;

use russet_store::seal::{Kdf, Password};

use super::super::support::{TestRepository, fake, run, text};

/// Ids of keyslots as `key list` shows them, and which one opened.
fn slots(repository: &TestRepository) -> Vec<(String, bool)> {
    let list = repository.run(&["key", "list", "--json"]).code(0).messages();
    let of =
        |m: &serde_json::Value| (m["id"].as_str().unwrap().to_owned(), m["opened_this"] == true);
    list.iter().map(of).collect()
}

#[test]
fn passwords_are_added_changed_and_removed_and_the_last_one_stays() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    repository.import(&folder);
    let (old, new) = (repository.beside("password"), repository.beside("new"));
    fs::write(&new, "nová fráze\r\n").unwrap();
    repository.ok(&["key", "add", "--new-password-file", text(&new)]);
    assert_eq!(slots(&repository).len(), 3);
    let with_new =
        |args: &[&str]| repository.run(&[&["--password-file", text(&new)], args].concat());
    with_new(&["key", "test"]).code(0);
    let first = slots(&repository).into_iter().find(|slot| slot.1).unwrap().0;
    with_new(&["key", "remove", "--yes", &first[..10]]).code(0);
    repository.run(&["snapshots"]).code(12).says(&["wrong repository password"]);
    with_new(&["snapshots"]).code(0);
    // Now only the new password and the recovery key are left.
    fs::copy(&new, &old).unwrap();
    for (id, _) in slots(&repository).into_iter().filter(|slot| !slot.1) {
        repository.ok(&["key", "remove", "--yes", &id]);
    }
    let last = slots(&repository);
    assert_eq!(last.len(), 1);
    let ran = repository.run(&["key", "remove", "--yes", &last[0].0]).code(1);
    ran.says(&["it is the last keyslot", "next: "]);
    let ran = repository.run(&["key", "remove", "--yes", "zz"]).code(1);
    ran.says(&["no single keyslot has an id that begins with zz"]);
    fs::write(&new, "third").unwrap();
    repository.ok(&["key", "passwd", "--new-password-file", text(&new)]);
    repository.run(&["snapshots"]).code(12);
    with_new(&["snapshots"]).code(0);
    fs::copy(&new, &old).unwrap();
    repository.assert_restores("latest", &folder);
    repository.assert_sound();
}

#[test]
fn key_list_tells_kinds_and_the_label_of_the_one_that_opened() {
    let repository = TestRepository::new();
    let new = repository.beside("new");
    fs::write(&new, "another").unwrap();
    repository.run(&["key", "add"]).code(2).says(&["next: use `--new-password-file FILE`"]);
    let added =
        repository.ok(&["key", "add", "--label", "laptop", "--new-password-file", text(&new)]);
    assert!(added.contains("called \"laptop\""), "{added}");
    let args = ["--password-file", text(&new), "key", "list"];
    assert!(repository.ok(&args).contains("\"laptop\"  ← opened it now"));
    let list = repository.run(&[&args[..], &["--json"]].concat()).code(0).messages();
    let kinds: Vec<_> = list.iter().map(|m| m["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "password").count(), 2);
    assert!(kinds.contains(&"recovery key"));
    for slot in &list {
        let label =
            if slot["opened_this"] == true { "laptop".into() } else { serde_json::Value::Null };
        assert_eq!(slot["label"], label);
    }
    assert!(repository.ok(&["key", "test"]).contains("(\"password\") opens"));
}

#[test]
fn a_removed_password_does_not_come_back_with_an_old_copy_of_its_file() {
    let repository = TestRepository::new();
    let kept: Vec<(PathBuf, Vec<u8>)> =
        repository.files("keys").into_iter().map(|p| (p.clone(), fs::read(p).unwrap())).collect();
    let new = repository.beside("new");
    fs::write(&new, "another").unwrap();
    repository.ok(&["key", "passwd", "--new-password-file", text(&new)]);
    for (path, bytes) in kept {
        fs::write(path, bytes).unwrap();
    }
    let ran = repository.run(&["snapshots"]).code(12);
    ran.says(&["was removed from the repository", "next: use a password that is still listed"]);
    repository.run(&["--password-file", text(&new), "snapshots"]).code(0);
}

#[test]
fn the_recovery_key_opens_and_a_mistyped_one_is_refused_before_it_is_tried() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    repository.import(&folder);
    let sheet = repository.beside("sheet");
    let with = |words: &str| {
        fs::write(&sheet, words).unwrap();
        let mut command = repository.command(&["--recovery-file", text(&sheet), "key", "test"]);
        command.env_remove("RUSSET_PASSWORD_FILE");
        run(command)
    };
    with(&repository.words).code(0);
    with(&repository.words.to_uppercase().replace(' ', "\r\n  ")).code(0);
    let mut words: Vec<&str> = repository.words.split(' ').collect();
    words.swap(0, 1);
    if words[0] != words[1] {
        let ran = with(&words.join(" "));
        // One swap in 256 passes the checksum; it then opens nothing.
        ran.code(12).says(&["error: "]);
    }
    words[5] = "amuse";
    with(&words.join(" "))
        .code(12)
        .says(&["word 6, `amuse`, is not in the list", "next: compare with the printed"]);
    words.pop();
    with(&words.join(" ")).code(12).says(&["has 24 words, these are 23"]);
    let other = TestRepository::new();
    with(&other.words).code(12).says(&["wrong recovery key"]);
    let made = repository.ok(&["key", "recovery"]);
    let drawn: Vec<&str> = made
        .lines()
        .filter(|line| line.starts_with("  "))
        .flat_map(|line| line.split_whitespace().filter(|word| word.parse::<u32>().is_err()))
        .collect();
    assert_eq!(drawn.len(), 24, "{made}");
    with(&drawn.join(" ")).code(0);
    with(&repository.words).code(0);
    repository.assert_sound();
}

#[test]
fn init_prints_a_recovery_key_that_opens_the_repository() {
    let repository = TestRepository::new();
    let place = repository.beside("second");
    let made = repository.run(&["init", text(&place), "--json"]).code(0).summary();
    fs::write(repository.beside("sheet"), made["recovery_key"].as_str().unwrap()).unwrap();
    let sheet = repository.beside("sheet");
    let args = ["--repo", text(&place), "--recovery-file", text(&sheet), "snapshots"];
    repository.run(&args).code(0).says(&["No snapshots yet"]);
    assert!(place.join("RUSSET.txt").is_file() && place.join("docs/format.md").is_file());
}

#[test]
fn init_finishes_what_was_cut_short() {
    let repository = TestRepository::new();
    let place = repository.folder("cut short");
    let kdf = Kdf::Argon2id { memory_kib: 64, passes: 1, lanes: 1 };
    let password = || Password::new("correct horse").unwrap();
    russet::ops::init::init(&place, password(), kdf).unwrap();
    for root in ["", "copy1/", "copy2/"] {
        fs::remove_file(place.join(format!("{root}config"))).unwrap();
    }
    // All keys are there: it can be read as it is, and init must not put a second set beside them.
    let again = russet::ops::init::init(&place, password(), kdf);
    assert!(again.is_err());
    repository.run(&["--repo", text(&place), "snapshots"]).code(0);
}

#[test]
fn a_place_for_a_new_repository_is_named_once() {
    let repository = TestRepository::new();
    let (a, b) = (repository.beside("a"), repository.beside("b"));
    let ran = repository.run(&["init", text(&a), "--repo", text(&b)]).code(2);
    ran.says(&["two places were named", text(&a), text(&b)]);
    assert!(!a.exists() && !b.exists());
    repository.run(&["init", text(&a), "--repo", text(&a)]).code(0);
}
