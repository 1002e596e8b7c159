//! Apple's list held against files, digests and keys: at import and by `verify`.

use std::fs;
use std::path::Path;

use russet_testkit::Encryption;
use russet_testkit::damage::flip_bit;

use super::super::support::{DATE, TestRepository, WEEK, fake, noise, stored, text};
use super::{PASSWORD, encrypted, encryption, import, import_says};

/// Changes a stored byte and keeps the file's time.
fn rot(file: &Path) {
    let modified = fs::metadata(file).unwrap().modified().unwrap();
    flip_bit(file, 3, 2).unwrap();
    fs::File::options().write(true).open(file).unwrap().set_modified(modified).unwrap();
}

#[test]
fn a_file_that_is_not_what_its_digest_says_is_told_and_kept() {
    for encryption in [encryption(PASSWORD), Encryption::None] {
        let repository = TestRepository::new();
        let folder = fake()
            .file("HomeDomain", "Library/rotten", noise(8, 70_000))
            .encryption(encryption)
            .write_to(repository.folder("a"));
        rot(&folder.join(stored("HomeDomain", "Library/rotten")));
        // Photos have no digest: nobody can tell.
        rot(&folder.join(stored("CameraRollDomain", "Media/DCIM/1.JPG")));
        let words = ["1 of its files is not what Apple's list has the digest of", "Library/rotten"];
        import_says(&repository, &folder, 0, &words);
        repository.assert_restores("latest", &folder);
        assert_eq!(repository.run(&["verify", "--json"]).code(0).summary()["digest_count"], 0);
        // Told each time; the repository is sound, and nobody can mend it.
        let ran = repository.run(&["verify", "--read-data", "--json"]).code(0);
        let finding = ran.messages().into_iter().find(|m| m["message_type"] == "finding").unwrap();
        assert_eq!((&finding["flaw"], &finding["count"]), (&"digest".into(), &1.into()));
        assert_eq!(finding["items"][0], "HomeDomain/Library/rotten");
        let ran = repository.run(&["verify", "--read-data"]).code(0);
        assert!(
            ran.stdout.contains(
                "1 file is not what Apple's list has the digest of; a phone may refuse it"
            ),
            "{}",
            ran.stdout
        );
    }
}

#[test]
fn verify_holds_lists_files_and_keys_against_each_other() {
    let repository = TestRepository::new();
    let parent = repository.folder("weeks");
    import(&repository, &encrypted().write_to(parent.join("1")));
    let closed = encrypted().date(DATE + WEEK).encryption(encryption("nobody knows"));
    let closed = closed.write_to(parent.join("2"));
    repository.run(&["import", text(&closed)]).code(0);
    repository.import(&fake().date(DATE + 2 * WEEK).write_to(parent.join("3")));
    let summary = repository.run(&["verify", "--read-data", "--json"]).code(0).summary();
    let counts = ["list_count", "closed_list_count", "keybag_count", "closed_keybag_count"];
    assert_eq!(counts.map(|name| summary[name].as_u64().unwrap()), [2, 1, 1, 1]);
    assert_eq!(summary["digest_count"], 4);
    let file = repository.beside("known");
    fs::write(&file, "nobody knows").unwrap();
    let args = ["verify", "--json", "--phone-password-file", text(&file)];
    let summary = repository.run(&args).code(0).summary();
    assert_eq!((&summary["keybag_count"], &summary["closed_keybag_count"]), (&2.into(), &0.into()));
    assert_eq!(summary["password_files_in_vain"], serde_json::json!([]));
    // One that opens nothing is named, also beside one that does.
    let wrong = repository.beside("wrong");
    fs::write(&wrong, "wrong").unwrap();
    let args = [&args[..], &["--phone-password-file", text(&wrong)]].concat();
    let summary = repository.run(&args).code(22).summary();
    assert_eq!(summary["password_files_in_vain"], serde_json::json!([text(&wrong)]));
    let ran = repository.run(&["verify", "--phone-password-file", text(&wrong)]).code(22);
    let said = format!("{} opens none of the encrypted snapshots", text(&wrong));
    assert!(ran.stdout.contains(&said), "{}", ran.stdout);
}
