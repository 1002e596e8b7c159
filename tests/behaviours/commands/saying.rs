//! What is said of a snapshot, on the command line or in the configuration, and what the environment says.
//!
//! Invariant: what was said is shown until it is taken back.

use std::fs;

use super::super::support::{Ran, TestRepository, bare, fake, run, text};
use super::Shelf;

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
