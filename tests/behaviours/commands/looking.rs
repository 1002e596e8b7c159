//! What is shown: snapshots, their files, counts, help; in words and as JSON Lines.
//!
//! Invariant: with `--json` every line of stdout is one message, and the last is the summary.

use std::fs;

use super::super::support::{
    DATE, TestRepository, UDID, WEEK, bare, fake, noise, run, stored, text,
};
use super::{IPAD, Shelf};

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
fn a_restore_says_how_the_folder_gets_onto_a_phone() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    let target = repository.folder("target");
    let args = ["restore", "latest", "--target", text(&target)];
    let first = repository.ok(&args);
    assert!(first.contains("To put it onto a phone") && !first.contains("must be called"));
    let second = repository.ok(&args);
    assert!(second.contains(&format!("must be called {UDID}.")), "{second}");
    let readme = include_str!("../../../README.md");
    assert!(first.contains("\"Back onto a phone\"") && readme.contains("## Back onto a phone\n"));
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
    assert!(list.contains("  encrypted, closed ") && list.ends_with(" unchecked\n"), "{list}");
    let sums = repository.run(&["ls", "latest", "--categories"]).code(0);
    assert!(sums.stdout.contains("Encrypted by Apple"), "{}", sums.stdout);
    sums.says(&["only its iPhone backup password tells"]);
}

#[test]
fn what_opens_a_closed_snapshot_is_named_wherever_it_is_in_the_way() {
    let repository = TestRepository::new();
    let encryption =
        || russet_testkit::Encryption::Password { password: "pear".to_owned(), iterations: 1 };
    let opened =
        fake().date(DATE + WEEK).encryption(encryption()).write_to(repository.folder("opened"));
    let file = repository.beside("pear");
    fs::write(&file, "pear").unwrap();
    let args = ["import", text(&opened), "--no-remember", "--phone-password-file", text(&file)];
    repository.ok(&args);
    repository.import(&fake().write_to(repository.folder("plain")));
    let list = repository.ok(&["snapshots"]);
    for words in ["  not encrypted", "  encrypted, opened"] {
        assert_eq!(list.matches(words).count(), 1, "{list}");
    }
    let closed = fake().date(DATE + 2 * WEEK).encryption(encryption());
    let id = repository.import(&closed.write_to(repository.folder("closed")));
    let ran = repository.run(&["snapshots"]).code(0);
    ran.says_of("1 snapshot is kept as the phone encrypted it", "`russet reopen`");
    assert_eq!(ran.stdout.matches("  encrypted, closed").count(), 1, "{}", ran.stdout);
    let told: Vec<_> = repository.snapshots().iter().map(|s| s["opened"].clone()).collect();
    assert_eq!(told, [serde_json::Value::Null, true.into(), false.into()]);
    let reopen = format!("`russet reopen {}`", &id[..8]);
    let target = repository.folder("target");
    for (args, code) in [
        (&["ls", "latest"][..], 0),
        (&["ls", "latest", "HomeDomain"], 1),
        (&["ls", "latest", "--categories"], 0),
        (&["cat", "latest", "HomeDomain/Library/a.db"], 1),
        (&["extract", "latest", "--photos", "--target", text(&target)], 1),
    ] {
        repository.run(args).code(code).says(&[&reopen]);
    }
    repository.run(&["verify"]).code(0).says(&["`russet reopen"]);
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
    for word in ["path", "show"] {
        let ran = repository.run(&["config", word, "--json"]).code(0);
        assert_eq!(ran.messages()[0]["path"], "/nonexistent/russet.toml");
    }
    repository.run(&["config", "check"]).code(2).says(&["there is no", "RUSSET_CONFIG names"]);
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
fn completions_and_version_need_no_repository() {
    let completions = run(bare(&["completions", "bash"])).code(0);
    assert!(completions.stdout.contains("complete -F _russet"), "{}", completions.stdout);
    let version = run(bare(&["version"])).code(0).stdout;
    assert_eq!(version, format!("russet {} (repository format 1)\n", env!("CARGO_PKG_VERSION")));
    run(bare(&["frobnicate"])).code(2).says(&["unrecognized subcommand"]);
}
