//! The iPhone backup password that the repository keeps: kept, found, shown when asked for by name, and gone when forgotten.

use std::fs;
use std::path::Path;

use russet_testkit::{Encryption, FakeBackup};

use super::support::{DATE, Ran, TestRepository, WEEK, fake, text};

const PASSWORD: &str = "pässwörd of the phone";

fn encrypted(password: &str) -> FakeBackup {
    under_keybag(password, 10)
}

/// Each number of rounds makes another keybag.
fn under_keybag(password: &str, iterations: u32) -> FakeBackup {
    let password = password.to_owned();
    fake().encryption(Encryption::Password { password, iterations })
}

fn password_file(repository: &TestRepository, password: &str) -> String {
    let file = repository.beside("phone password");
    fs::write(&file, password).unwrap();
    text(&file).to_owned()
}

fn import(repository: &TestRepository, folder: &Path, password: &str, more: &[&str]) -> Ran {
    let file = password_file(repository, password);
    let args = ["import", "--json", text(folder), "--phone-password-file", &file];
    repository.run(&[&args[..], more].concat())
}

/// The password that is shown for a snapshot.
fn shown(repository: &TestRepository, word: &str) -> Option<String> {
    let ran = repository.run(&["phone-password", "show", word, "--json"]);
    let messages = ran.messages();
    let said = messages.iter().find(|message| message["message_type"] == "phone_password");
    said.map(|said| said["password"].as_str().unwrap().to_owned())
}

#[test]
fn a_password_that_opened_a_backup_is_kept_and_shown_when_asked_for() {
    let repository = TestRepository::new();
    let folder = encrypted(PASSWORD).write_to(repository.folder("a"));
    let ran = import(&repository, &folder, PASSWORD, &[]).code(0);
    assert_eq!(ran.summary()["password_remembered"], true);
    assert_eq!(shown(&repository, "latest").as_deref(), Some(PASSWORD));
    // Not in a pipe, which nobody asked for.
    let piped = repository.run(&["phone-password", "show", "latest"]).code(2);
    assert!(!piped.stdout.contains(PASSWORD) && !piped.stderr.contains(PASSWORD));
    let target = repository.folder("target");
    let ran = repository.run(&["restore", "latest", "--target", text(&target)]).code(0);
    ran.says(&["russet phone-password show"]);
    repository.assert_sound();
}

#[test]
fn what_is_kept_opens_the_next_weeks_by_itself_also_under_new_keys() {
    let repository = TestRepository::new();
    let parent = repository.folder("weeks");
    let first = encrypted(PASSWORD).write_to(parent.join("1"));
    import(&repository, &first, PASSWORD, &[]).code(0);
    // Another salt in the keybag: a full backup with the same password.
    let second = under_keybag(PASSWORD, 12).date(DATE + WEEK).write_to(parent.join("2"));
    let ran = repository.run(&["import", "--json", text(&second)]).code(0);
    assert_eq!(
        (&ran.summary()["opened_count"], &ran.summary()["kept_count"]),
        (&4.into(), &0.into())
    );
    repository.assert_restores("latest", &second);
    assert_eq!(shown(&repository, "latest").as_deref(), Some(PASSWORD));
    // A password that nobody gave and that fits nothing is nobody's fault.
    let other = encrypted("other").date(DATE + 2 * WEEK).write_to(parent.join("3"));
    let ran = repository.run(&["import", text(&other)]).code(0);
    ran.says(&["no password was given"]);
    assert_eq!(shown(&repository, "latest"), None);
}

#[test]
fn each_snapshot_has_the_password_of_its_day() {
    let repository = TestRepository::new();
    let parent = repository.folder("weeks");
    let first = encrypted(PASSWORD).write_to(parent.join("1"));
    import(&repository, &first, PASSWORD, &[]).code(0);
    let second = encrypted("changed").date(DATE + WEEK).write_to(parent.join("2"));
    import(&repository, &second, "changed", &[]).code(0);
    assert_eq!(shown(&repository, "latest~1").as_deref(), Some(PASSWORD));
    assert_eq!(shown(&repository, "latest").as_deref(), Some("changed"));
}

#[test]
fn a_password_in_another_form_of_the_same_letters_opens_and_the_right_form_is_kept() {
    let repository = TestRepository::new();
    let folder = encrypted(PASSWORD).write_to(repository.folder("a"));
    import(&repository, &folder, "pa\u{308}sswo\u{308}rd of the phone", &[]).code(0);
    assert_eq!(shown(&repository, "latest").as_deref(), Some(PASSWORD));
}

#[test]
fn keeping_can_be_declined_and_made_up_for() {
    let repository = TestRepository::new();
    let folder = encrypted(PASSWORD).write_to(repository.folder("a"));
    let file = password_file(&repository, PASSWORD);
    let args = ["import", text(&folder), "--no-remember", "--phone-password-file", &file];
    repository.run(&args).code(0).says(&["is NOT kept", "twenty years"]);
    let kept = |copy: &str| repository.path().join(copy).join("secrets").exists();
    assert!(!kept("") && !kept("copy1"));
    let ran = repository.run(&["phone-password", "show", "latest", "--json"]).code(1);
    ran.says(&["does not keep", "phone-password remember"]);
    fs::write(&file, "wrong").unwrap();
    let args = ["phone-password", "remember", "latest", "--phone-password-file", &file];
    repository.run(&args).code(22).says(&["not the iPhone backup password"]);
    assert!(!kept("") && !kept("copy1"));
    fs::write(&file, PASSWORD).unwrap();
    repository.run(&args).code(0);
    assert_eq!(shown(&repository, "latest").as_deref(), Some(PASSWORD));
}

#[test]
fn what_is_forgotten_is_gone_from_the_drive_and_stays_gone() {
    let repository = TestRepository::new();
    let parent = repository.folder("weeks");
    for week in 0..2 {
        let folder = under_keybag(PASSWORD, 10 + week).date(DATE + u64::from(week) * WEEK);
        let folder = folder.write_to(parent.join(week.to_string()));
        import(&repository, &folder, PASSWORD, &[]).code(0);
    }
    let third = encrypted("kept").date(DATE + 3 * WEEK).write_to(parent.join("3"));
    import(&repository, &third, "kept", &[]).code(0);
    let older = repository.copy();
    let before = repository.files("").len();
    let args = ["phone-password", "forget", "latest~1"];
    repository.run(&args).code(2).says(&["--yes"]);
    assert_eq!(shown(&repository, "latest~1").as_deref(), Some(PASSWORD));
    let ran = repository.run(&[&args[..], &["--yes"]].concat()).code(0);
    assert!(ran.stdout.contains("Removed from the repository, 2 records"), "{}", ran.stdout);
    for (word, password) in [("latest~2", None), ("latest~1", None), ("latest", Some("kept"))] {
        assert_eq!(shown(&repository, word).as_deref(), password, "{word}");
    }
    // Two records, three copies each; one log record for each, three copies.
    assert_eq!((repository.files("secrets").len(), repository.files("").len()), (1, before));
    repository.run(&["prune"]).code(0);
    repository.assert_sound();
    // Files of an older copy that are put beside these bring nothing back.
    for file in older.files("secrets") {
        let name = file.file_name().unwrap();
        fs::copy(&file, repository.path().join("secrets").join(name)).unwrap();
    }
    assert_eq!(repository.files("secrets").len(), 3);
    assert_eq!(shown(&repository, "latest~1"), None);
    repository.assert_sound();
    let file = password_file(&repository, "kept");
    let args = ["phone-password", "remember", "latest", "--phone-password-file", &file];
    repository.run(&args).code(0);
    assert_eq!(repository.files("secrets").len(), 1);
}

#[test]
fn what_is_kept_survives_a_prune_a_copy_of_the_drive_and_the_loss_of_two_copies() {
    let repository = TestRepository::new();
    let folder = encrypted(PASSWORD).write_to(repository.folder("a"));
    import(&repository, &folder, PASSWORD, &[]).code(0);
    repository.run(&["prune", "--max-unused", "0%"]).code(0);
    for dir in ["secrets", "copy2/secrets"] {
        repository.files(dir).iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    let copy = repository.copy();
    assert_eq!(shown(&copy, "latest").as_deref(), Some(PASSWORD));
    let ran = copy.run(&["verify", "--json"]).code(20);
    assert!(ran.stdout.contains("copy2/secrets"), "{}", ran.stdout);
    copy.run(&["phone-password", "forget", "--all", "--yes"]).code(0);
    assert_eq!(shown(&copy, "latest"), None);
    for dir in ["secrets", "copy1/secrets", "copy2/secrets"] {
        let left = fs::read_dir(copy.path().join(dir)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{dir}");
    }
}

#[test]
fn an_unencrypted_snapshot_has_no_password() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    for verb in ["show", "remember", "forget"] {
        let file = password_file(&repository, PASSWORD);
        let mut args = vec!["phone-password", verb, "latest", "--json", "--yes"];
        if verb == "remember" {
            args.extend(["--phone-password-file", &file]);
        }
        repository.run(&args).code(1).says(&["not encrypted"]);
    }
}

#[test]
fn a_kept_password_that_nobody_can_read_is_named_given_up_and_kept_anew() {
    let repository = TestRepository::new();
    let folder = encrypted(PASSWORD).write_to(repository.folder("a"));
    import(&repository, &folder, PASSWORD, &[]).code(0);
    for dir in ["secrets", "copy1/secrets", "copy2/secrets"] {
        for file in repository.files(dir) {
            russet_testkit::damage::flip_bit(&file, 40, 1).unwrap();
        }
    }
    let ran = repository.run(&["verify"]).code(20);
    let words = ["secrets/", "an iPhone backup password that was kept is lost"];
    assert!(words.iter().all(|word| ran.stdout.contains(word)), "{}", ran.stdout);
    ran.says(&["phone-password forget --lost", "phone-password remember"]);
    // Nobody gives it up by the way.
    let args = ["phone-password", "forget", "--lost"];
    repository.run(&args).code(2).says(&["--yes"]);
    repository.run(&["prune"]).code(0);
    repository.run(&["verify"]).code(20);
    let ran = repository.run(&[&args[..], &["--yes"]].concat()).code(0);
    assert!(ran.stdout.contains("Gave up 1 iPhone backup password"), "{}", ran.stdout);
    repository.assert_sound();
    let id = repository.snapshots()[0]["snapshot_id"].as_str().unwrap()[..8].to_owned();
    repository.run(&["verify"]).code(0).says(&["no iPhone backup password is known", &id]);
    repository.run(&args).code(0);
    let file = password_file(&repository, PASSWORD);
    let args = ["phone-password", "remember", "latest", "--phone-password-file", &file];
    repository.run(&args).code(0);
    assert_eq!(shown(&repository, "latest").as_deref(), Some(PASSWORD));
    repository.assert_sound();
}

#[test]
fn a_given_password_that_opens_nothing_is_named_beside_the_kept_one_that_does() {
    let repository = TestRepository::new();
    repository.import(&encrypted(PASSWORD).write_to(repository.folder("a")));
    let right = password_file(&repository, PASSWORD);
    let wrong = repository.beside("wrong");
    fs::write(&wrong, "wrong").unwrap();
    let args = ["reopen", "latest", "--phone-password-file", text(&wrong)];
    let said = format!("{} does not open it: that of its day, ", text(&wrong));
    repository.run(&args).code(22).says(&[&said]);
    repository.ok(&["phone-password", "remember", "latest", "--phone-password-file", &right]);
    repository.run(&["verify", "--phone-password-file", text(&wrong)]).code(22);
    repository.run(&["verify", "--phone-password-file", &right]).code(0);
    let said = format!("{} opened nothing; another one did", text(&wrong));
    repository.run(&args).code(0).says(&[&said]);
    repository.run(&["verify"]).code(0);
}

#[test]
fn what_advice_names_can_be_typed_as_it_stands() {
    let repository = TestRepository::new();
    let folder = encrypted(PASSWORD).write_to(repository.folder("a"));
    let file = password_file(&repository, PASSWORD);
    let ran = repository.run(&["import", text(&folder), "--phone-password-file", &file]).code(0);
    let id = repository.snapshots()[0]["snapshot_id"].as_str().unwrap()[..8].to_owned();
    ran.says(&[
        &format!("`russet phone-password show {id}`"),
        &format!("`russet phone-password forget {id}`"),
    ]);
    let args = ["phone-password", "forget", "latest", "--yes"];
    repository.ok(&args);
    repository.run(&args).code(1).says(&["nothing is kept, so there is nothing to remove"]);
    repository.run(&["phone-password", "forget"]).code(2).says(&["--all", "--lost", "SNAPSHOT"]);
    repository.run(&["restore", "latest"]).code(2).says(&["--target", "--to-phone"]);
    repository.run(&["restore"]).code(2).says(&["--target", "--to-phone", "SNAPSHOT"]);
}

#[test]
fn a_plain_snapshot_has_nothing_to_open() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    let ran = repository.run(&["reopen", "latest"]).code(0);
    assert!(ran.stdout.contains("it was not encrypted"), "{}", ran.stdout);
    assert!(!ran.stderr.contains("keybag"), "{}", ran.stderr);
}

#[test]
fn a_folder_that_is_archived_closed_gets_no_twin() {
    let repository = TestRepository::new();
    let folder = encrypted(PASSWORD).write_to(repository.folder("a"));
    let id = repository.import(&folder)[..8].to_owned();
    let file = password_file(&repository, PASSWORD);
    let args = ["import", text(&folder), "--phone-password-file", &file];
    let ran = repository.run(&args).code(0);
    let said = format!("as closed snapshot {id}: `russet reopen {id}` opens it");
    assert!(ran.stdout.contains(&said), "{}", ran.stdout);
    assert_eq!(repository.snapshots().len(), 1);
    repository.ok(&["reopen", &id]);
    repository.assert_restores("latest", &folder);
}
