//! What a password opens, and what becomes of it when passwords and keys change.

use std::fs;
use std::path::{Path, PathBuf};

use russet_testkit::damage::flip_bit;
use russet_testkit::{Encryption, FakeBackup, Phone, PhoneOptions};

use super::super::support::{DATE, TestRepository, WEEK, fake, noise, run, stored, text};
use super::{PASSWORD, cat, counted, encrypted, encryption, id_of, import, import_by, import_with};

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
    let ran = run(command).code(0);
    assert_eq!(ran.summary()["opened_count"], 4);
    fs::write(&file, "\n").unwrap();
    let mut command = repository.command(&["import", text(&folder)]);
    command.env("RUSSET_PHONE_PASSWORD_FILE", &file);
    run(command).code(2).says(&["holds no password"]);
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
