//! What each command answers, in words and as JSON Lines.

use std::fs;
use std::path::PathBuf;

use russet_store::seal::{Kdf, Password};

use super::support::{DATE, Ran, TestRepository, UDID, WEEK, bare, fake, noise, run, stored, text};

/// Four snapshots of two phones: two weeks of "Test iPhone", an incomplete third, and an "Old iPad" before them all.
struct Shelf {
    repository: TestRepository,
    folders: Vec<PathBuf>,
    ids: Vec<String>,
}

const IPAD: &str = "00008020-00AABBCCDDEEFF00";

impl Shelf {
    fn new() -> Self {
        let repository = TestRepository::new();
        let photo = |n: u64| noise(40 + n, 120_000);
        let ipad = russet_testkit::FakeBackup::new(IPAD)
            .device_name("Old iPad")
            .date(DATE - WEEK)
            .file("CameraRollDomain", "Media/ipad.JPG", photo(0));
        let first = fake().file("CameraRollDomain", "Media/w1.JPG", photo(1));
        let second = fake().date(DATE + WEEK).file("CameraRollDomain", "Media/w2.JPG", photo(2));
        let third = fake().date(DATE + 2 * WEEK).snapshot_state("moving");
        let mut folders = Vec::new();
        for (number, backup) in [ipad, first, second, third].into_iter().enumerate() {
            let folder = backup.write_to(repository.folder(&format!("f{number}")));
            repository.run(&["import", "--allow-incomplete", text(&folder)]);
            folders.push(folder);
        }
        let id = |m: &serde_json::Value| m["snapshot_id"].as_str().unwrap().to_owned();
        let ids = repository.snapshots().iter().map(id).collect();
        Self { repository, folders, ids }
    }

    #[track_caller]
    fn assert_means(&self, word: &str, number: usize) {
        let ran = self.repository.run(&["cat", word, "Manifest.db"]).code(0);
        let wanted = fs::read(self.folders[number].join("Manifest.db")).unwrap();
        assert!(ran.bytes == wanted, "{word} is not number {number}");
    }
}

#[test]
fn a_snapshot_is_chosen_by_latest_date_phone_or_id() {
    let shelf = Shelf::new();
    for (word, number) in [
        ("latest", 2),
        ("latest~1", 1),
        ("latest~2", 0),
        ("2026-01-04", 1),
        ("2026-01-10", 1),
        ("2026-01-11", 2),
        ("2025-12-31", 0),
        ("Old iPad@latest", 0),
        ("test iphone@latest~1", 1),
        ("00008110@latest", 2),
        ("old ipad@2026-12-31", 0),
    ] {
        shelf.assert_means(word, number);
    }
    for (number, id) in shelf.ids.iter().enumerate() {
        shelf.assert_means(id, number);
        shelf.assert_means(&id[..12].to_uppercase(), number);
    }
    shelf.repository.run(&["ls", &shelf.ids[0][..1]]).code(1).says(&["two of its first digits"]);
    for word in ["latest~9", "2020-01-01", "20260105", "zzzz", "latest~-1", "", "Old iPad@zz"] {
        let ran = shelf.repository.run(&["ls", word]).code(1);
        ran.says(&["no snapshot fits", "next: `russet snapshots` lists what there is"]);
    }
    let ran = shelf.repository.run(&["ls", "Red@latest"]).code(1);
    ran.says(&[
        "a phone called \"Red\"",
        "Old iPad (00008020-00AA…), Test iPhone (00008110-0001…)",
    ]);
    shelf.repository.run(&["ls", "00008@latest"]).code(1).says(&[
        "fits several phones",
        IPAD,
        UDID,
    ]);
}

#[test]
fn snapshots_shows_phone_date_and_what_was_said() {
    let shelf = Shelf::new();
    let all = shelf.repository.ok(&["snapshots"]);
    assert_eq!(all.lines().count(), 5, "{all}");
    assert!(all.contains("2026-01-11 00:20  Test iPhone"), "{all}");
    assert_eq!(all.matches("INCOMPLETE").count(), 1);
    let of = |args: &[&str]| shelf.repository.run(args).code(0).messages().len();
    assert_eq!(of(&["snapshots", "--json", "old ipad"]), 1);
    assert_eq!(of(&["snapshots", "--json", "--last", "2"]), 2);
    shelf.repository.ok(&["tag", "latest", "moved house"]);
    assert_eq!(of(&["snapshots", "--json", "--tag", "moved house"]), 1);
}

#[test]
fn what_is_said_about_a_snapshot_is_kept_and_taken_back() {
    let shelf = Shelf::new();
    let of = |key: &str| shelf.repository.snapshots()[2][key].clone();
    shelf.repository.ok(&["pin", "latest"]);
    shelf.repository.ok(&["tag", "latest", "summer"]);
    shelf.repository.ok(&["note", "latest", "before the update"]);
    assert_eq!(of("pinned"), true);
    assert_eq!(of("tags"), serde_json::json!(["summer"]));
    assert_eq!(of("note"), "before the update");
    shelf.repository.ok(&["unpin", "latest"]);
    shelf.repository.ok(&["tag", "latest", "summer", "--remove"]);
    shelf.repository.ok(&["note", "latest", ""]);
    assert_eq!(of("pinned"), false);
    assert_eq!(of("tags"), serde_json::json!([]));
    assert!(matches!(of("note").as_str(), None | Some("")), "{}", of("note"));
    shelf.repository.run(&["tag", "latest", "nosuch", "--remove"]).code(1).says(&["no tag"]);
    let none = shelf.repository.run(&["snapshots", "--tag", "nosuch"]).code(0);
    assert_eq!(none.says(&["There is no snapshot with the tag \"nosuch\"."]).stdout, "");
    shelf.repository.run(&["tag", "latest", ""]).code(2).says(&["a tag is a word"]);
    shelf.repository.run(&["tag", "latest", "a\nb"]).code(2);
    shelf.repository.run(&["note", "latest", &"n".repeat(10_001)]).code(2).says(&["10,000 bytes"]);
    shelf.repository.assert_sound();
}

#[test]
fn an_import_can_be_tagged_noted_and_pinned_at_once() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    repository.ok(&["import", "--tag", "a", "--tag", "b", "--note", "n", "--pin", text(&folder)]);
    let snapshot = &repository.snapshots()[0];
    assert_eq!(snapshot["tags"], serde_json::json!(["a", "b"]));
    assert_eq!((&snapshot["note"], &snapshot["pinned"]), (&"n".into(), &true.into()));
}

#[test]
fn what_is_asked_for_a_folder_that_is_archived_already_is_said_of_its_snapshot() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    repository.ok(&["import", "--tag", "a", text(&folder)]);
    let again = ["import", "--tag", "a", "--tag", "b", "--note", "n", "--pin", text(&folder)];
    repository.run(&again).code(0).says(&["was given what was asked: tags, note, pin"]);
    let snapshot = &repository.snapshots()[0];
    assert_eq!(snapshot["tags"], serde_json::json!(["a", "b"]));
    assert_eq!((&snapshot["note"], &snapshot["pinned"]), (&"n".into(), &true.into()));
    assert!(!repository.run(&again).code(0).stderr.contains("was given"));
    repository.assert_sound();
}

#[test]
fn a_restore_says_how_the_folder_gets_onto_a_phone() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    let target = repository.folder("target");
    let args = ["restore", "latest", "--target", text(&target)];
    let first = repository.ok(&args);
    assert!(first.contains("To put it onto a phone") && !first.contains("must be called"));
    let second = repository.ok(&args);
    assert!(second.contains(&format!("must be called {UDID}.")), "{second}");
    let readme = include_str!("../../README.md");
    assert!(first.contains("\"Back onto a phone\"") && readme.contains("## Back onto a phone\n"));
}

#[test]
fn variables_that_are_set_to_nothing_count_as_not_set() {
    let repository = TestRepository::new();
    let mut command = repository.command(&["snapshots"]);
    command.env("RUSSET_REPOSITORY", "");
    run(command).code(2).says(&["no repository was named"]);
    let mut command = repository.command(&["snapshots"]);
    command.env("RUSSET_PASSWORD_FILE", "").env("RUSSET_PASSWORD_COMMAND", "");
    run(command).code(2).says(&["no repository password was given"]);
}

#[test]
fn a_file_is_found_by_phone_path_stored_path_and_id() {
    let shelf = Shelf::new();
    let path = stored("HomeDomain", "Library/a.db");
    for name in ["HomeDomain/Library/a.db", &path, &path[3..]] {
        assert_eq!(shelf.repository.run(&["cat", "latest", name]).code(0).bytes, b"alpha");
    }
    let photo = shelf.repository.run(&["dump", "latest", "CameraRollDomain/Media/w2.JPG"]).code(0);
    assert!(photo.bytes == noise(42, 120_000));
    for name in ["HomeDomain/Library", "nothing", "", "HomeDomain/Library/a"] {
        let ran = shelf.repository.run(&["cat", "latest", name]).code(1);
        ran.says(&["has no file", "next: `russet ls"]);
    }
}

#[test]
fn ls_shows_paths_sizes_and_categories() {
    let shelf = Shelf::new();
    let ls = |args: &[&str]| shelf.repository.ok(&[&["ls", "latest"], args].concat());
    let all = ls(&[]);
    for line in ["HomeDomain/Library/a.db", "Manifest.db", "_BackupExplorer/x", "Snapshot"] {
        assert!(all.lines().any(|l| l == line), "{line} is not in:\n{all}");
    }
    assert_eq!(ls(&["HomeDomain/Library/"]).lines().count(), 2);
    let ran = shelf.repository.run(&["ls", "latest", "HomeDomain/Lib"]).code(1);
    ran.says(&["has nothing below \"HomeDomain/Lib\"", "told apart by case"]);
    for command in ["ls", "cat"] {
        let ran = shelf.repository.run(&[command, "latest", "Media/w2.JPG"]).code(1);
        ran.says(&["next: a path begins with its domain: \"CameraRollDomain/Media/w2.JPG\""]);
    }
    let place = |wanted: &str| all.lines().position(|line| line == wanted).unwrap();
    assert!(place("HomeDomain/Library/a.db") < place("Manifest.db"), "{all}");
    assert!(all.lines().all(|line| line.len() != 2), "{all}");
    let long = ls(&["--long", "CameraRollDomain/Media/w2.JPG"]);
    assert!(long.contains("120000  2026-01-04 00:20  CameraRollDomain/Media/w2.JPG"), "{long}");
    let categories = ls(&["--categories"]);
    assert!(categories.contains("The backup's own lists"), "{categories}");
    let entries = shelf.repository.run(&["ls", "latest", "--json"]).code(0).messages();
    let entry = entries.iter().find(|e| e["path"] == "Library/a.db").unwrap();
    assert_eq!(entry["len"], 5);
    assert_eq!(entry["blake3"], blake3::hash(b"alpha").to_hex().as_str());
}

#[test]
fn an_encrypted_snapshot_says_so_and_that_its_files_are_hidden() {
    let repository = TestRepository::new();
    let password = "phone".to_owned();
    let encryption = russet_testkit::Encryption::Password { password, iterations: 1000 };
    repository.import(&fake().encryption(encryption).write_to(repository.folder("a")));
    let list = repository.ok(&["snapshots"]);
    assert!(list.contains("  encrypted unchecked\n"), "{list}");
    let sums = repository.run(&["ls", "latest", "--categories"]).code(0);
    assert!(sums.stdout.contains("Encrypted by Apple"), "{}", sums.stdout);
    sums.says(&["only its iPhone backup password tells"]);
}

#[test]
fn what_ends_for_a_machine_ends_with_a_summary_and_failures_have_all_their_parts() {
    let shelf = Shelf::new();
    let repository = &shelf.repository;
    let summary = |args: &[&str]| repository.run(&[args, &["--json"]].concat()).code(0).summary();
    assert_eq!(summary(&["forget", "-n", "latest"])["forgotten_count"], 0);
    assert_eq!(summary(&["forget", "--yes", "latest"])["forgotten_count"], 1);
    assert_eq!(summary(&["prune", "-n", "--drop-drafts"])["dry_run"], true);
    assert!(summary(&["prune"])["freed_len"].as_u64().unwrap() > 0);
    let error = repository.run(&["import", "--json", "/nonexistent"]).code(1).messages().remove(0);
    assert_eq!(error["item"], "/nonexistent");
    assert_eq!(error["what"], "there is no folder /nonexistent");
    assert!(error["causes"].is_array() && error["next"].is_string(), "{error}");
    assert!(repository.snapshots()[0]["counts"].get("stored_len").is_none());
}

#[test]
fn help_shows_a_commands_own_options_before_those_of_all_commands() {
    let help = run(bare(&["restore", "--help"])).code(0).stdout;
    let place = |words: &str| help.find(words).unwrap_or_else(|| panic!("{words}: {help}"));
    assert!(place("--target") < place("Global options:"), "{help}");
    assert!(place("Global options:") < place("--password-file"), "{help}");
    place("RUSSET_PASSWORD_FILE");
    let all = run(bare(&["--help"])).code(0).stdout;
    assert!(all.contains("RUSSET_CONFIG"), "{all}");
}

#[test]
fn every_line_of_json_is_a_message_and_nothing_else_is_on_stdout() {
    let shelf = Shelf::new();
    let repository = &shelf.repository;
    let target = repository.folder("target");
    fs::write(repository.beside("new"), "new password").unwrap();
    let photo = fake().date(DATE + 9 * WEEK).write_to(repository.folder("more"));
    let commands: [(&[&str], i32); 22] = [
        (&["import", text(&photo)], 0),
        (&["import", text(&photo)], 0),
        (&["import", "--dry-run", text(&photo)], 0),
        (&["import", "/nonexistent"], 1),
        (&["snapshots"], 0),
        (&["ls", "latest"], 0),
        (&["ls", "latest", "--categories"], 0),
        (&["ls", "nothing"], 1),
        (&["stats"], 0),
        (&["restore", "latest", "--target", text(&target)], 0),
        (&["verify"], 0),
        (&["verify", "--read-data"], 0),
        (&["pin", "latest~1"], 0),
        (&["tag", "latest", "t"], 0),
        (&["note", "latest", "n"], 0),
        (&["forget", "latest~2", "--dry-run"], 0),
        (&["forget", "latest~2", "--yes", "--prune"], 0),
        (&["prune"], 0),
        (&["key", "list"], 0),
        (&["key", "test"], 0),
        (&["repo", "info"], 0),
        (&["version"], 0),
    ];
    for (args, code) in commands {
        let ran = repository.run(&[args, &["--json"]].concat()).code(code);
        assert!(!ran.messages().is_empty(), "{args:?}");
    }
    for word in ["path", "show", "check"] {
        let ran = repository.run(&["config", word, "--json"]).code(0);
        assert_eq!(ran.messages()[0]["path"], "/nonexistent/russet.toml");
    }
    let words = repository.run(&["key", "recovery", "--json"]).code(0).summary();
    assert_eq!(words["recovery_key"].as_str().unwrap().split(' ').count(), 24);
    let error = repository.run(&["cat", "latest", "nothing", "--json"]).code(1).messages();
    assert_eq!((&error[0]["message_type"], &error[0]["code"]), (&"error".into(), &1.into()));
}

#[test]
fn stats_and_info_count_what_is_there() {
    let shelf = Shelf::new();
    let stats = shelf.repository.run(&["stats", "--json"]).code(0).messages();
    assert_eq!(stats[0]["snapshot_count"], 4);
    assert_eq!(stats[0]["pack_len"], shelf.repository.pack_len());
    assert!(shelf.repository.ok(&["stats"]).contains("times smaller"));
    let info = shelf.repository.ok(&["repo", "info"]);
    for words in ["Snapshots    4", "password (Argon2id", "recovery key (24 words)"] {
        assert!(info.contains(words), "{info}");
    }
}

#[test]
fn a_configuration_file_names_repositories_and_their_passwords() {
    let shelf = Shelf::new();
    let path = shelf.repository.beside("russet.toml");
    let command = |args: &[&str]| -> Ran {
        let mut command = bare(args);
        command
            .env("RUSSET_CONFIG", &path)
            .env("RUSSET_CACHE_DIR", shelf.repository.beside("cache"));
        run(command)
    };
    let written = format!(
        "default-repo = \"attic\"\n[repo.attic]\nurl = {:?}\npassword = {{ file = {:?} }}\n",
        shelf.repository.path(),
        shelf.repository.beside("password")
    );
    fs::write(&path, &written).unwrap();
    assert_eq!(command(&["snapshots", "--json"]).code(0).messages().len(), 4);
    assert!(command(&["config", "show"]).code(0).stdout.contains("default-repo = \"attic\""));
    assert_eq!(command(&["config", "path"]).code(0).stdout.trim(), text(&path));
    assert!(command(&["config", "check"]).code(0).stdout.contains("good"));
    fs::write(&path, written.replace("= \"attic\"", "= \"atic\"")).unwrap();
    let ran = command(&["config", "check"]).code(2);
    ran.says(&["\"atic\"", "nor a folder", "there are: attic"]);
    fs::write(&path, "defaultrepo = 1\n").unwrap();
    let ran = command(&["config", "check"]).code(2);
    ran.says(&[text(&path), "cannot be understood", "default-repo", "next: correct that file"]);
    for args in [&["version"][..], &["completions", "bash"], &["config", "path"]] {
        command(args).code(0);
    }
    command(&["snapshots"]).code(2);
}

#[test]
fn completions_and_version_need_no_repository() {
    let completions = run(bare(&["completions", "bash"])).code(0);
    assert!(completions.stdout.contains("complete -F _russet"), "{}", completions.stdout);
    let version = run(bare(&["version"])).code(0).stdout;
    assert_eq!(version, format!("russet {} (repository format 1)\n", env!("CARGO_PKG_VERSION")));
    run(bare(&["frobnicate"])).code(2).says(&["unrecognized subcommand"]);
}

#[test]
fn a_forgotten_snapshot_is_gone_and_its_space_comes_back() {
    let shelf = Shelf::new();
    let before = shelf.repository.pack_len();
    let said = shelf.repository.ok(&["forget", "--dry-run", &shelf.ids[0]]);
    assert!(said.contains("would forget snapshot") && said.contains("Old iPad"), "{said}");
    assert_eq!(shelf.repository.snapshots().len(), 4);
    let ran = shelf.repository.run(&["forget", &shelf.ids[0]]).code(2);
    ran.says(&["this needs a yes", "next: run it again with `--yes`"]);
    assert_eq!(shelf.repository.snapshots().len(), 4);
    shelf.repository.ok(&["forget", "--yes", &shelf.ids[0]]);
    assert_eq!(shelf.repository.snapshots().len(), 3);
    assert_eq!(shelf.repository.pack_len(), before);
    shelf.repository.ok(&["prune", "--dry-run"]);
    assert_eq!(shelf.repository.pack_len(), before);
    shelf.repository.ok(&["prune"]);
    assert!(shelf.repository.pack_len() < before - 100_000);
    for (id, folder) in shelf.ids.iter().zip(&shelf.folders).skip(1) {
        shelf.repository.assert_restores(id, folder);
    }
    shelf.repository.run(&["ls", &shelf.ids[0]]).code(1);
    shelf.repository.assert_sound();
}

#[test]
fn a_prune_that_moves_blobs_keeps_every_byte() {
    let shelf = Shelf::new();
    shelf.repository.ok(&["forget", "--yes", &shelf.ids[1], &shelf.ids[3]]);
    shelf.repository.ok(&["prune", "--max-unused", "0%"]);
    shelf.repository.assert_restores(&shelf.ids[0], &shelf.folders[0]);
    shelf.repository.assert_restores(&shelf.ids[2], &shelf.folders[2]);
    shelf.repository.assert_sound();
    fs::remove_dir_all(shelf.repository.beside("cache")).unwrap();
    shelf.repository.assert_restores(&shelf.ids[2], &shelf.folders[2]);
    let before = shelf.repository.pack_len();
    shelf.repository.ok(&["prune", "--max-unused", "0%"]);
    assert_eq!(shelf.repository.pack_len(), before);
}

#[test]
fn a_pinned_snapshot_is_not_forgotten_nor_are_those_named_with_it() {
    let shelf = Shelf::new();
    shelf.repository.ok(&["pin", &shelf.ids[1]]);
    let args = ["forget", "--yes", &shelf.ids[0], &shelf.ids[1]];
    let ran = shelf.repository.run(&args).code(1);
    ran.says(&["is pinned", "next: `russet unpin` first", "nothing was forgotten"]);
    assert_eq!(shelf.repository.snapshots().len(), 4);
}

#[test]
fn after_all_is_forgotten_a_folder_can_be_archived_again() {
    let shelf = Shelf::new();
    let ids: Vec<&str> = shelf.ids.iter().map(String::as_str).collect();
    shelf.repository.ok(&[&["forget", "--yes", "--prune"], &ids[..]].concat());
    assert!(shelf.repository.files("packs").is_empty());
    let ran = shelf.repository.run(&["restore", "latest", "--target", "/proc/nowhere"]).code(1);
    ran.says(&["the repository holds no snapshots yet"]);
    shelf.repository.import(&shelf.folders[1]);
    shelf.repository.assert_restores("latest", &shelf.folders[1]);
    shelf.repository.assert_sound();
}

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
    words[5] = "zzzz";
    with(&words.join(" ")).code(12).says(&["a word is misspelt", "next: compare with the printed"]);
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
