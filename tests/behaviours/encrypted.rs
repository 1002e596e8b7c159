//! Backups that the phone encrypted: opened with their password, stored as plaintext, given back to the byte.

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use russet::apple::{Closing, LockedKeys, Opening, Passwords, PhonePassword};
use russet_testkit::damage::{flip_bit, truncate};
use russet_testkit::{Encryption, FakeBackup, Phone, PhoneOptions};

use super::support::{DATE, Ran, TestRepository, WEEK, fake, noise, stored, text};

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

/// The different wrapped keys in the plaintext of Manifest.db, 44 bytes each. A database has copies of rows that moved.
fn wrapped_keys(plain: &[u8]) -> Vec<Vec<u8>> {
    // Data of 44 bytes in a binary property list, then the class of almost every file.
    let marker = [0x4f, 0x10, 44, 3, 0, 0, 0];
    let places = (0..plain.len()).filter(|at| plain[*at..].starts_with(&marker));
    let mut keys: Vec<_> = places.map(|at| plain[at + 3..at + 47].to_vec()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Puts other bytes in place of some, wherever they stand.
fn replace(plain: &mut [u8], old: &[u8], new: &[u8]) {
    for at in 0..plain.len() {
        if plain[at..].starts_with(old) {
            plain[at..at + new.len()].copy_from_slice(new);
        }
    }
}

/// Puts bytes in place of what follows a field's name in the keybag.
fn edit_keybag(folder: &Path, tag: &[u8], nth: usize, edit: impl FnOnce(&mut [u8])) {
    let path = folder.join("Manifest.plist");
    let mut bytes = fs::read(&path).unwrap();
    let at = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(tag)).nth(nth).unwrap();
    edit(&mut bytes[at + 8..]);
    fs::write(&path, bytes).unwrap();
}

struct Week {
    folder: PathBuf,
    password: &'static str,
}

/// Five weeks: the password changes in the third, the fourth is a full backup with new keys for everything.
fn weeks(phone: &mut Phone, parent: &Path, encrypt: bool) -> Vec<Week> {
    let passwords = [PASSWORD, PASSWORD, "another", "another", "another"];
    let weeks = passwords.iter().zip(0..).map(|(password, week)| {
        if week > 0 {
            phone.advance_week().unwrap();
        }
        if week == 3 {
            phone.force_full();
        }
        let encryption = if encrypt { encryption(password) } else { Encryption::None };
        let folder = phone.write_backup(&parent.join(week.to_string()), &encryption).unwrap();
        Week { folder, password }
    });
    weeks.collect()
}

#[test]
fn every_week_comes_back_identical_through_a_password_change_and_a_full_backup() {
    let repository = TestRepository::new();
    let mut phone = Phone::new(PhoneOptions::small()).unwrap();
    let weeks = weeks(&mut phone, &repository.folder("weeks"), true);
    let mut ids = Vec::new();
    for week in &weeks {
        let summary = import_with(&repository, &week.folder, &[week.password]).code(0).summary();
        assert_eq!(summary["verdict"], "complete");
        // All but the three property lists.
        assert_eq!(
            summary["opened_count"].as_u64().unwrap() + 3,
            summary["files"].as_u64().unwrap()
        );
        assert_eq!(summary["kept_count"], 0);
        ids.push(id_of(&summary));
    }
    for (id, week) in ids.iter().zip(&weeks) {
        repository.assert_restores(id, &week.folder);
    }
    repository.assert_sound();
    let truth = phone.truth().unwrap();
    for ((domain, path), truth) in truth.iter().step_by(23) {
        let plain = cat(&repository, ids.last().unwrap(), &format!("{domain}/{path}"));
        assert_eq!(blake3::hash(&plain).as_bytes(), &truth.blake3, "{domain}/{path}");
    }
}

#[test]
fn an_encrypted_phone_costs_what_it_would_cost_in_the_clear() {
    let (clear, sealed) = (TestRepository::new(), TestRepository::new());
    let mut phone = Phone::new(PhoneOptions::small()).unwrap();
    let in_the_clear = weeks(&mut phone, &clear.folder("weeks"), false);
    let mut phone = Phone::new(PhoneOptions::small()).unwrap();
    let encrypted = weeks(&mut phone, &sealed.folder("weeks"), true);
    for (plain, closed) in in_the_clear.iter().zip(&encrypted) {
        clear.import(&plain.folder);
        import_with(&sealed, &closed.folder, &[closed.password]).code(0);
        let (plain_len, opened_len) = (clear.pack_len(), sealed.pack_len());
        // Keys, and 44 bytes in each row; on a phone this small they are seen.
        assert!(opened_len <= plain_len + plain_len / 10, "{opened_len} for {plain_len}");
    }
}

#[test]
fn unchanged_files_are_taken_over_opened_and_not_read_again() {
    let repository = TestRepository::new();
    import(&repository, &encrypted().write_to(repository.folder("a")));
    let second = encrypted().date(DATE + WEEK).write_to(repository.folder("b"));
    let summary = import(&repository, &second);
    assert_eq!((&summary["unchanged_count"], &summary["opened_count"]), (&3.into(), &4.into()));
    repository.assert_restores("latest", &second);
}

#[test]
fn a_password_of_other_keys_does_not_take_over_what_others_opened() {
    let repository = TestRepository::new();
    // The same wrapped bytes in the rows of two phones' worth of keys cannot be made; another content under the same name can.
    import(&repository, &encrypted().write_to(repository.folder("a")));
    let other = encrypted()
        .date(DATE + WEEK)
        .file_at("HomeDomain", "Library/a.db", "omega", DATE + 9)
        .write_to(repository.folder("b"));
    import(&repository, &other);
    assert_eq!(cat(&repository, "latest", "HomeDomain/Library/a.db"), b"omega");
    assert_eq!(cat(&repository, "latest~1", "HomeDomain/Library/a.db"), b"alpha");
    repository.assert_restores("latest", &other);
}

#[test]
fn a_wrong_password_is_refused_before_anything_is_written() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    let files = || {
        let mut files = repository.files("");
        // Says who looks at the repository, and may go at any time.
        files.retain(|file| !file.ends_with("lock"));
        files
    };
    let before = files();
    let ran = import_with(&repository, &folder, &["wrong", "Wrong"]).code(22);
    ran.says(&["the password does not open", text(&folder), "next: "]);
    assert_eq!(files(), before);
}

#[test]
fn of_several_passwords_the_one_that_opens_counts_and_the_folder_that_none_opens_is_named() {
    let repository = TestRepository::new();
    let parent = repository.folder("all");
    let first = encrypted().write_to(parent.join("1"));
    let other = fake().date(DATE + WEEK).encryption(encryption("other")).write_to(parent.join("2"));
    let third = fake().date(DATE + 2 * WEEK).encryption(encryption("lost"));
    let third = third.write_to(parent.join("3"));
    import_with(&repository, &first, &["other", PASSWORD]).code(0);
    import_with(&repository, &other, &["other", PASSWORD]).code(0);
    import_with(&repository, &third, &["other", PASSWORD]).code(22).says(&[text(&third)]);
    repository.assert_restores("latest~1", &first);
    repository.assert_restores("latest", &other);
}

#[test]
fn the_environment_names_the_password_file_too() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    let file = repository.beside("phone");
    fs::write(&file, PASSWORD).unwrap();
    let mut command = repository.command(&["import", "--json", text(&folder)]);
    command.env("RUSSET_PHONE_PASSWORD_FILE", &file);
    let ran = super::support::run(command).code(0);
    assert_eq!(ran.summary()["opened_count"], 4);
    fs::write(&file, "\n").unwrap();
    let mut command = repository.command(&["import", text(&folder)]);
    command.env("RUSSET_PHONE_PASSWORD_FILE", &file);
    super::support::run(command).code(2).says(&["holds no password"]);
}

#[test]
fn what_was_kept_for_want_of_a_password_is_opened_with_one() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    let ran = repository.run(&["import", text(&folder)]).code(0);
    ran.says(&["no password was given", "--phone-password-file"]);
    assert_eq!(counted(&repository), (0, "unchecked".to_owned()));
    let second = encrypted().date(DATE + WEEK).write_to(repository.folder("b"));
    let summary = import(&repository, &second);
    assert_eq!((&summary["unchanged_count"], &summary["opened_count"]), (&0.into(), &4.into()));
    repository.assert_restores("latest", &second);
    repository.assert_restores("latest~1", &folder);
}

#[test]
fn what_was_opened_is_known_again_without_its_password_unless_a_byte_is_new() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    let how = ["--json", "--no-remember"];
    let id = id_of(&import_by(&repository, &folder, &[PASSWORD], &how).code(0).summary());
    let before = repository.files("packs");
    let again = repository.run(&["import", "--json", text(&folder)]).code(0).summary();
    assert_eq!((&again["new"], &again["snapshot_id"]), (&false.into(), &id.into()));
    assert_eq!(repository.files("packs"), before);
    // The same length and time, another byte; and a file more.
    let payload = folder.join(stored("CameraRollDomain", "Media/DCIM/1.JPG"));
    let modified = fs::metadata(&payload).unwrap().modified().unwrap();
    flip_bit(&payload, 1000, 3).unwrap();
    fs::File::options().write(true).open(&payload).unwrap().set_modified(modified).unwrap();
    assert_eq!(repository.run(&["import", "--json", text(&folder)]).code(0).summary()["new"], true);
    repository.assert_restores("latest", &folder);
}

#[test]
fn a_week_in_the_clear_among_encrypted_ones_shares_their_plaintext() {
    let repository = TestRepository::new();
    let with_photo =
        |backup: FakeBackup| backup.file("CameraRollDomain", "Media/2.JPG", noise(2, 3_000_000));
    let first = with_photo(encrypted()).write_to(repository.folder("a"));
    import(&repository, &first);
    let before = repository.pack_len();
    let clear = with_photo(fake().date(DATE + WEEK)).write_to(repository.folder("b"));
    import(&repository, &clear);
    let again = with_photo(encrypted().date(DATE + 2 * WEEK)).write_to(repository.folder("c"));
    import(&repository, &again);
    assert!(repository.pack_len() - before < 200_000, "{}", repository.pack_len() - before);
    for (word, folder) in [("latest~2", &first), ("latest~1", &clear), ("latest", &again)] {
        repository.assert_restores(word, folder);
    }
}

#[test]
fn a_restore_tells_which_password_a_phone_will_ask_for() {
    let repository = TestRepository::new();
    import(&repository, &encrypted().write_to(repository.folder("a")));
    let target = repository.folder("target");
    let ran = repository.run(&["restore", "latest", "--target", text(&target)]).code(0);
    ran.says(&["the iPhone backup password of 2026-01-04"]);
}

#[test]
fn ls_and_cat_speak_of_the_plaintext() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    import(&repository, &folder);
    let path = stored("HomeDomain", "Library/a.db");
    for name in ["HomeDomain/Library/a.db", &path] {
        assert_eq!(cat(&repository, "latest", name), b"alpha");
    }
    assert_eq!(cat(&repository, "latest", "HomeDomain/Library/empty"), b"");
    assert!(cat(&repository, "latest", "Manifest.db").starts_with(b"SQLite format 3\0"));
    let listed = repository.run(&["ls", "--json", "latest", "HomeDomain/Library/a.db"]).code(0);
    let entry = &listed.messages()[0];
    let in_the_folder = fs::read(folder.join(&path)).unwrap();
    let hash = blake3::hash(&in_the_folder).to_string();
    assert_eq!((&entry["len"], &entry["stored_len"]), (&5.into(), &16.into()));
    assert_eq!((&entry["opened"], &entry["blake3"]), (&true.into(), &hash.into()));
}

#[test]
fn files_that_do_not_fit_stay_as_they_are_and_are_counted() {
    let repository = TestRepository::new();
    let large = |name: &str| (name.to_owned(), noise(7, 2_000_000));
    let (cut, cut_at_block) = (large("Media/cut"), large("Media/block"));
    let folder = encrypted()
        .file("CameraRollDomain", &cut.0, &cut.1)
        .file("CameraRollDomain", &cut_at_block.0, &cut_at_block.1)
        .file("HomeDomain", "Library/short", "cut to nothing")
        .extra_file("ab/abcdef0123456789abcdef0123456789abcdef01", "no row names it")
        .write_to(repository.folder("a"));
    truncate(&folder.join(stored("CameraRollDomain", &cut.0)), 1_000_003).unwrap();
    truncate(&folder.join(stored("CameraRollDomain", &cut_at_block.0)), 1_600_000).unwrap();
    truncate(&folder.join(stored("HomeDomain", "Library/short")), 0).unwrap();
    let words = [
        "4 of its files could not be opened",
        "2 whose length",
        "1 that do not end",
        "1 that no row",
    ];
    let ran = import_says(&repository, &folder, 0, &words);
    assert_eq!(counted(&repository), (4, "complete".to_owned()));
    assert_eq!(ran.stderr.matches("could not be opened").count(), 1, "{}", ran.stderr);
    repository.assert_restores("latest", &folder);
    repository.assert_sound();
}

#[test]
fn a_manifest_that_lies_about_keys_costs_no_byte() {
    let repository = TestRepository::new();
    let folder = encrypted()
        .file("HomeDomain", "Library/b", noise(3, 100_000))
        .file("HomeDomain", "Library/c", noise(4, 100_000))
        .write_to(repository.folder("a"));
    edit_manifest(&folder, |plain| {
        let keys = wrapped_keys(plain);
        assert_eq!(keys.len(), 5);
        // One key twice, one damaged, one of a class that there is not.
        replace(plain, &keys[0], &keys[1]);
        replace(plain, &keys[2], &[&keys[2][..20], &[keys[2][20] ^ 1]].concat());
        replace(plain, &keys[3], &[77]);
    });
    import_says(&repository, &folder, 0, &["2 whose row has no key that opens"]);
    // The file under another's key ends in padding once in 256 times, and is opened to noise then.
    assert!((3..=4).contains(&counted(&repository).0));
    repository.assert_restores("latest", &folder);
}

#[test]
fn sizes_that_are_wrong_by_a_page_decide_nothing() {
    let repository = TestRepository::new();
    let bytes = noise(5, 20_000);
    for (number, wrong) in [0, 15_904, 24_096, u64::MAX >> 1].into_iter().enumerate() {
        let folder = encrypted()
            .date(DATE + number as u64 * WEEK)
            .file("HomeDomain", "Library/big", &bytes)
            .row_size("HomeDomain", "Library/big", wrong)
            .write_to(repository.folder(&number.to_string()));
        import(&repository, &folder);
        assert_eq!(cat(&repository, "latest", "HomeDomain/Library/big"), bytes);
        repository.assert_restores("latest", &folder);
    }
}

#[test]
fn a_keybag_with_a_flipped_bit_opens_less_or_nothing_and_everything_comes_back() {
    // (field, which of them, code, opened): salts make any password wrong; a class costs its files; other fields nothing.
    let cases: [(&[u8], usize, i32, u64); 5] = [
        (b"SALT", 0, 22, 0),
        (b"DPSL", 0, 22, 0),
        (b"HMCK", 0, 0, 4),
        // Class 3, the ninth of them: all files but Manifest.db.
        (b"WPKY", 8, 0, 1),
        // Class 4: Manifest.db, and with it every row.
        (b"WPKY", 7, 0, 0),
    ];
    for (tag, nth, code, opened) in cases {
        let repository = TestRepository::new();
        let folder = encrypted().write_to(repository.folder("a"));
        edit_keybag(&folder, tag, nth, |value| value[5] ^= 4);
        let ran = import_with(&repository, &folder, &[PASSWORD]).code(code);
        if code == 0 {
            assert_eq!(ran.summary()["opened_count"], opened, "{} {}", ran.stdout, ran.stderr);
            repository.assert_restores("latest", &folder);
        }
    }
}

#[test]
fn a_keybag_that_asks_for_years_or_is_of_ios_10_1_is_kept_as_it_is_and_said() {
    let cases: [(&[u8], &[u8], &str); 3] = [
        (b"DPIC", &(1_u32 << 31).to_be_bytes(), "2147483648 rounds"),
        (b"ITER", &u32::MAX.to_be_bytes(), "rounds"),
        (b"CLAS", &[0, 0, 0, 10], "twice"),
    ];
    for (tag, value, words) in cases {
        let repository = TestRepository::new();
        let folder = encrypted().write_to(repository.folder("a"));
        edit_keybag(&folder, tag, 0, |place| place[..4].copy_from_slice(value));
        import_says(&repository, &folder, 0, &["stay encrypted", words]);
        assert_eq!(counted(&repository).0, 0);
        repository.assert_restores("latest", &folder);
    }
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    edit_manifest(&folder, |plain| fs::write(folder.join("clear"), plain).unwrap());
    fs::rename(folder.join("clear"), folder.join("Manifest.db")).unwrap();
    import_says(&repository, &folder, 0, &["iOS 10.1 or older"]);
    assert_eq!(counted(&repository), (0, "complete".to_owned()));
    repository.assert_restores("latest", &folder);
}

#[test]
fn a_manifest_that_does_not_open_is_told_and_every_file_comes_back() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    let manifest = folder.join("Manifest.db");
    let len = fs::metadata(&manifest).unwrap().len();
    truncate(&manifest, len - 16).unwrap();
    import_says(&repository, &folder, 3, &["does not open with its key"]);
    assert_eq!(counted(&repository), (0, "incomplete".to_owned()));
    repository.assert_restores("latest", &folder);
}

#[test]
fn neither_passwords_nor_keys_nor_ciphertext_are_told_or_lie_in_the_repository() {
    let repository = TestRepository::new();
    let folder = encrypted().file("HomeDomain", "Library/b", noise(3, 50_000));
    let folder = folder.write_to(repository.folder("a"));
    let ran = import_with(&repository, &folder, &[PASSWORD]).code(0);
    let shown = repository.run(&["ls", "-vv", "--json", "latest"]).code(0);
    let plist = fs::read(folder.join("Manifest.plist")).unwrap();
    let salt = plist.windows(4).position(|window| window == b"SALT").unwrap() + 8;
    let payload = fs::read(folder.join(stored("HomeDomain", "Library/b"))).unwrap();
    let mut said = [ran.stdout, ran.stderr, shown.stdout, shown.stderr].concat().into_bytes();
    for file in repository.files("").iter().chain(&all_below(&repository.beside("cache"))) {
        said.extend(fs::read(file).unwrap());
    }
    let secrets =
        [PASSWORD.as_bytes(), &plist[salt..salt + 20], &payload[..32], &payload[40_000..40_032]];
    for (number, secret) in secrets.into_iter().enumerate() {
        assert!(!said.windows(secret.len()).any(|window| window == secret), "secret {number}");
    }
}

fn all_below(folder: &Path) -> Vec<PathBuf> {
    russet_testkit::damage::all_files(folder).unwrap()
}

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
        let words =
            ["1 of its files are not what Apple's list has the digest of", "Library/rotten"];
        import_says(&repository, &folder, 0, &words);
        repository.assert_restores("latest", &folder);
        assert_eq!(repository.run(&["verify", "--json"]).code(0).summary()["digest_count"], 0);
        // Told each time; the repository is sound, and nobody can mend it.
        let ran = repository.run(&["verify", "--read-data", "--json"]).code(0);
        let finding = ran.messages().into_iter().find(|m| m["message_type"] == "finding").unwrap();
        assert_eq!((&finding["flaw"], &finding["count"]), (&"digest".into(), &1.into()));
        assert_eq!(finding["items"][0], "HomeDomain/Library/rotten");
        let ran = repository.run(&["verify", "--read-data"]).code(0);
        assert!(ran.stdout.contains("a phone may refuse them"), "{}", ran.stdout);
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
}

#[test]
fn names_composed_decomposed_and_not_unicode_are_told_apart_and_come_back() {
    let repository = TestRepository::new();
    let folder = encrypted()
        .file("HomeDomain", "Library/\u{e4}", "composed")
        .file("HomeDomain", "Library/a\u{308}", "decomposed")
        .write_to(repository.folder("a"));
    import(&repository, &folder);
    assert_eq!(cat(&repository, "latest", "HomeDomain/Library/\u{e4}"), b"composed");
    assert_eq!(cat(&repository, "latest", "HomeDomain/Library/a\u{308}"), b"decomposed");
    repository.assert_restores("latest", &folder);
    // A row whose path is no text; its file keeps its name, and its key.
    let odd = encrypted().date(DATE + WEEK).write_to(repository.folder("b"));
    edit_manifest(&odd, |plain| {
        replace(plain, b"HomeDomainLibrary/a.db", b"HomeDomainLibrary/\xff.db")
    });
    let summary = import(&repository, &odd);
    assert_eq!((&summary["verdict"], &summary["opened_count"]), (&"complete".into(), &4.into()));
    repository.assert_restores("latest", &odd);
    assert_eq!(cat(&repository, "latest", &stored("HomeDomain", "Library/a.db")), b"alpha");
    let listed = repository.run(&["ls", "--json", "latest"]).code(0).messages();
    let hex = |entry: &serde_json::Value| entry["path_hex"] == "4c6962726172792fff2e6462";
    assert!(listed.iter().any(hex));
    let target = repository.folder("out");
    repository.run(&["extract", "latest", "--target", text(&target)]).code(0);
    assert_eq!(fs::read(target.join("HomeDomain/Library/\u{fffd}.db")).unwrap(), b"alpha");
}

#[test]
fn a_backup_of_ios_9_is_kept_as_it_is_and_said() {
    let repository = TestRepository::new();
    let folder = encrypted()
        .without("Manifest.db")
        .extra_file("Manifest.mbdb", b"mbdb\x05\x00")
        .extra_file(&"ab".repeat(20), noise(4, 5000))
        .write_to(repository.folder("a"));
    import_says(&repository, &folder, 0, &["stay encrypted", "iOS 10.1 or older"]);
    assert_eq!(counted(&repository), (0, "unchecked".to_owned()));
    repository.assert_restores("latest", &folder);
    let ran = repository.run(&["extract", "latest", "--target", text(&repository.folder("out"))]);
    ran.code(1).says(&["kept as the phone encrypted it"]);
    repository.run(&["verify", "--json"]).code(0);
}

#[test]
fn ten_million_rounds_open_a_backup_and_two_billion_are_refused_at_once() {
    let repository = TestRepository::new();
    let rounds = Encryption::Password { password: PASSWORD.to_owned(), iterations: 10_000_000 };
    let folder = fake().encryption(rounds).write_to(repository.folder("a"));
    assert_eq!(import(&repository, &folder)["opened_count"], 4);
    repository.assert_restores("latest", &folder);
    // Forty minutes of work, were it begun.
    let hostile = encrypted().date(DATE + WEEK).write_to(repository.folder("b"));
    edit_keybag(&hostile, b"DPIC", 0, |place| {
        place[..4].copy_from_slice(&(1_u32 << 31).to_be_bytes())
    });
    import_says(&repository, &hostile, 0, &["2147483648 rounds"]);
}

#[test]
fn a_keybag_that_contradicts_itself_is_refused_by_name_and_every_file_comes_back() {
    // (bytes that stand there, bytes in their place, what is said): a length beyond the end, a wrong one, a field twice.
    let cases: [(&[u8], &[u8], &str); 3] = [
        (b"DPSL\0\0\0\x14", b"DPSL\0\x10\0\0", "cut short"),
        (b"ITER\0\0\0\x04", b"ITER\0\0\0\x05", "ITER"),
        (b"DPWT", b"DPIC", "DPIC twice"),
    ];
    for (there, instead, words) in cases {
        let repository = TestRepository::new();
        let folder = encrypted().write_to(repository.folder("a"));
        let path = folder.join("Manifest.plist");
        let mut plist = fs::read(&path).unwrap();
        let at = plist.windows(there.len()).position(|window| window == there).unwrap();
        plist[at..at + there.len()].copy_from_slice(instead);
        fs::write(&path, plist).unwrap();
        import_says(&repository, &folder, 0, &["stay encrypted", words]);
        repository.assert_restores("latest", &folder);
    }
}
