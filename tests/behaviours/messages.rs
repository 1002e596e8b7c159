//! The exact words of the messages that matter most. `{repository}` and the like stand for paths.

use std::fs;

use super::support::{DATE, TestRepository, UDID, WEEK, bare, fake, run, text};

/// What stderr says, with this test's paths taken out.
fn said(repository: &TestRepository, args: &[&str]) -> String {
    let stderr = repository.run(args).stderr;
    stderr
        .replace(text(&repository.path()), "{repository}")
        .replace(text(&repository.beside("")).trim_end_matches('/'), "{dir}")
}

#[track_caller]
fn assert_says(repository: &TestRepository, args: &[&str], wanted: &str) {
    assert_eq!(said(repository, args), wanted);
}

fn with_one() -> TestRepository {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    repository
}

#[test]
fn no_repository() {
    assert_says(
        &TestRepository::new(),
        &["--repo", "/nonexistent/attic", "snapshots"],
        "error: there is no repository at /nonexistent/attic
  cause: there is no such folder
  next: is the drive connected, and the path right? `russet init` makes a new repository
",
    );
}

#[test]
fn no_repository_of_that_name() {
    let repository = TestRepository::new();
    let config = repository.beside("russet.toml");
    fs::write(&config, "[repo.attic]\nurl = \"/nonexistent/attic\"\n").unwrap();
    let mut command = repository.command(&["-r", "atic", "snapshots"]);
    command.env("RUSSET_CONFIG", &config).current_dir(repository.beside(""));
    let here = fs::canonicalize(repository.beside("")).unwrap();
    assert_eq!(
        run(command).code(10).stderr.replace(text(&here), "{dir}"),
        "error: there is no repository at {dir}/atic
  cause: there is no such folder
  cause: \"atic\" is no name in the configuration file either (names there: attic)
  next: is the drive connected, and the path right? `russet init` makes a new repository
"
    );
}

#[test]
fn no_snapshots_yet() {
    assert_says(
        &TestRepository::new(),
        &["restore", "latest", "--target", "/proc/nowhere"],
        "error: the repository holds no snapshots yet
  next: `russet backup` takes the iPhone that is plugged in, `russet import FOLDER` a Finder or iTunes backup
",
    );
}

#[test]
fn no_repository_named() {
    assert_eq!(
        run(bare(&["snapshots"])).stderr,
        "error: no repository was named
  next: use `--repo FOLDER`, or set RUSSET_REPOSITORY
"
    );
}

#[test]
fn wrong_password() {
    let repository = with_one();
    fs::write(repository.beside("password"), "wrong").unwrap();
    assert_says(
        &repository,
        &["snapshots"],
        "error: wrong repository password
  next: try again; `--recovery-file` opens it with the 24 words that were printed at init
",
    );
}

#[test]
fn no_password() {
    let repository = with_one();
    let mut command = repository.command(&["snapshots"]);
    command.env_remove("RUSSET_PASSWORD_FILE");
    assert_eq!(
        run(command).stderr,
        "error: no repository password was given, and there is no terminal to ask on
  next: use `--password-file FILE`, `--password-command CMD`, RUSSET_PASSWORD_FILE or RUSSET_PASSWORD_COMMAND
"
    );
}

#[test]
fn mistyped_recovery_key() {
    let repository = with_one();
    let sheet = repository.beside("sheet");
    fs::write(&sheet, "zoo ".repeat(24)).unwrap();
    assert_says(
        &repository,
        &["--recovery-file", text(&sheet), "snapshots"],
        "error: these 24 words are not a recovery key: one is another than it was, or two are swapped
  next: compare with the printed sheet, word by word
",
    );
}

#[test]
fn not_a_backup() {
    let repository = with_one();
    let folder = repository.folder("photos");
    assert_says(
        &repository,
        &["import", text(&folder)],
        "error: {dir}/photos is not a backup folder: it has neither Manifest.db nor Info.plist, Manifest.plist or Status.plist
  next: name the folder that holds Manifest.db (its name is the phone's UDID), or a folder one or two above it
",
    );
}

#[test]
fn no_folder() {
    assert_says(
        &with_one(),
        &["import", "/nonexistent/backup"],
        "error: there is no folder /nonexistent/backup
  next: is the path right, and the drive connected?
",
    );
}

#[test]
fn unfinished_backup() {
    let repository = with_one();
    let folder = fake().date(DATE + WEEK).snapshot_state("moving").write_to(repository.folder("b"));
    let wanted = format!(
        "error: the backup in {{dir}}/b/{UDID} is not complete: Status.plist says \"moving\", not \"finished\"
  next: back the phone up again until it finishes, or take it as it is with `--allow-incomplete`
"
    );
    assert_says(&repository, &["import", text(&folder)], &wanted);
}

#[test]
fn row_without_file() {
    let repository = with_one();
    let backup = fake().date(DATE + WEEK).row_without_payload("HomeDomain", "Library/gone");
    let folder = backup.write_to(repository.folder("b"));
    assert_says(
        &repository,
        &["import", text(&folder)],
        "problem: HomeDomain Library/gone: is listed in Manifest.db, but its file is not in the folder
  It is INCOMPLETE: 1 thing is missing or could not be read. It will not stand for the phone while a complete one exists.
",
    );
}

#[test]
fn many_problems() {
    let repository = TestRepository::new();
    let paths: Vec<String> = (0..300).map(|n| format!("Library/gone {n}")).collect();
    let backup = paths.iter().fold(fake(), |fake, p| fake.row_without_payload("HomeDomain", p));
    let folder = backup.write_to(repository.folder("a"));
    let ran = repository.run(&["import", text(&folder)]).code(3);
    let told = ran.stderr.lines().filter(|line| line.starts_with("problem: "));
    assert_eq!(told.count(), 21, "{}", ran.stderr);
    ran.says(&["problem: … and more; -v shows", "INCOMPLETE: 300 things are missing"]);
    let repository = TestRepository::new();
    let ran = repository.run(&["import", "--json", text(&folder)]).code(3);
    let problems = ran.messages().into_iter().filter(|m| m["message_type"] == "problem");
    assert_eq!((problems.count(), &ran.summary()["problem_count"]), (200, &300.into()));
}

#[test]
fn no_such_snapshot() {
    assert_says(
        &with_one(),
        &["restore", "latest~3", "--target", "/proc/nowhere"],
        "error: no snapshot fits \"latest~3\"
  next: `russet snapshots` lists what there is
",
    );
}

#[test]
fn restore_would_overwrite() {
    let repository = with_one();
    let target = repository.folder("target");
    let args = ["restore", "latest", "--target", text(&target)];
    repository.ok(&args);
    repository.ok(&args);
    let wanted = format!(
        "error: {{dir}}/target/{UDID} exists already, and so does {{dir}}/target/{UDID}-20260104-002030: nothing is overwritten
  next: restore to another folder
"
    );
    assert_says(&repository, &args, &wanted);
}

#[test]
fn pinned() {
    let repository = with_one();
    let id = repository.snapshots()[0]["short_id"].as_str().unwrap().to_owned();
    repository.ok(&["pin", "latest"]);
    let wanted = format!(
        "error: snapshot {id} is pinned
  next: `russet unpin` first, if you mean it; nothing was forgotten
"
    );
    assert_says(&repository, &["forget", "--yes", "latest"], &wanted);
}

#[test]
fn lost_pack() {
    let repository = with_one();
    let id = repository.snapshots()[0]["short_id"].as_str().unwrap().to_owned();
    let mut packs = repository.files("packs");
    packs.sort_by_key(|path| fs::metadata(path).unwrap().len());
    fs::remove_file(packs.last().unwrap()).unwrap();
    let target = repository.folder("target");
    let stderr = said(&repository, &["restore", "latest", "--target", text(&target)]);
    let told: Vec<&str> = stderr.lines().filter(|line| !line.starts_with("problem: ")).collect();
    let first = format!("snapshot {id} (\"Test iPhone\", 2026-01-04 00:20)");
    assert!(
        told[0].starts_with("error: could not restore ") && told[0].ends_with(&first),
        "{stderr}"
    );
    assert_eq!(
        told[1..],
        [
            &format!("  the rest is in {{dir}}/target/{UDID}")[..],
            "  next: `russet verify --read-data` lists everything affected; other snapshots may still hold these files",
        ]
    );
}
