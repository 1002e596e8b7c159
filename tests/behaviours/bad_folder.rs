//! Folders that are no backups, half backups, or made to do harm.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::tz::TimeZone;
use russet::apple::Passwords;
use russet::observe::{Observer, Phase};
use russet::ops;
use russet_store::config::Purpose;
use russet_store::seal::{Password, SlotSecret};
use russet_testkit::damage::{flip_bit, truncate};

use super::support::{
    DATE, Mounted, Ran, TestRepository, WEEK, differences, fake, noise, stored, text,
};

/// Refused with code 1 and these words; what was archived before is untouched.
#[track_caller]
fn assert_refused(repository: &TestRepository, folder: &Path, words: &[&str]) {
    repository.run(&["import", text(folder)]).code(1).says(words);
    let target = repository.run(&["snapshots", "--json"]).code(0);
    assert!(target.messages().len() <= 1, "{}", target.stdout);
}

/// With an older, whole snapshot in it.
fn with_one() -> (TestRepository, PathBuf) {
    let repository = TestRepository::new();
    let whole = fake().date(DATE - WEEK).write_to(repository.folder("whole"));
    repository.import(&whole);
    (repository, whole)
}

/// Taken as incomplete with these words; the whole one stays `latest`, and both come back.
#[track_caller]
fn assert_incomplete(folder: &Path, args: &[&str], words: &[&str]) -> (TestRepository, Ran) {
    assert_incomplete_and(0, folder, args, words)
}

/// The same of one whose list is damaged, which `verify` tells as well.
#[track_caller]
fn assert_damaged(folder: &Path, words: &[&str]) -> (TestRepository, Ran) {
    assert_incomplete_and(3, folder, &[], words)
}

#[track_caller]
fn assert_incomplete_and(
    code: i32,
    folder: &Path,
    args: &[&str],
    words: &[&str],
) -> (TestRepository, Ran) {
    let (repository, whole) = with_one();
    let ran = repository.run(&[&["import", text(folder)], args].concat()).code(3).says(words);
    let ran = ran.says(&["INCOMPLETE", "will not stand for the phone"]);
    let snapshots = repository.snapshots();
    assert_eq!(snapshots.len(), 2);
    assert_eq!(snapshots[1]["verdict"], "incomplete");
    repository.assert_restores("latest", &whole);
    let verified = repository.run(&["verify", "--read-data", "--json"]).code(code);
    assert_eq!(verified.summary()["damage_count"], 0);
    (repository, ran)
}

/// The id of the newer snapshot.
fn newer(repository: &TestRepository) -> String {
    repository.snapshots()[1]["snapshot_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_folder_of_something_else_is_refused_with_what_to_name() {
    let (repository, whole) = with_one();
    let folder = repository.folder("photos");
    fs::write(folder.join("1.jpg"), "x").unwrap();
    assert_refused(
        &repository,
        &folder,
        &["photos is not a backup folder", "next: name the folder that holds Manifest.db"],
    );
    repository.assert_restores("latest", &whole);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let (repository, _) = with_one();
    let folder = repository.beside("nowhere");
    assert_refused(
        &repository,
        &folder,
        &["there is no folder", text(&folder), "next: is the path right"],
    );
}

#[test]
fn a_file_in_place_of_a_folder_is_refused() {
    let (repository, _) = with_one();
    let file = repository.beside("file");
    fs::write(&file, "x").unwrap();
    assert_refused(&repository, &file, &["error: ", text(&file)]);
}

#[test]
fn a_list_that_is_missing_empty_or_malformed_is_named_and_taken_only_when_asked() {
    for list in ["Info.plist", "Status.plist", "Manifest.plist"] {
        let cases = [
            (fake().without(list), "is missing"),
            (fake().raw(list, ""), "cannot be read"),
            (fake().raw(list, "bplist00 and then nothing"), "cannot be read"),
            (fake().raw(list, "<plist><dict><key>A</key>"), "cannot be read"),
        ];
        for (backup, why) in cases {
            let dir = tempfile::tempdir().unwrap();
            let folder = backup.write_to(dir.path());
            let (repository, _) = with_one();
            let both = format!("{list} {why}");
            let next = "take it as it is with `--allow-incomplete`";
            assert_refused(&repository, &folder, &["is not complete", &both, next]);
            let (repository, _) = assert_incomplete(&folder, &["--allow-incomplete"], &[list, why]);
            repository.assert_restores(&newer(&repository), &folder);
        }
    }
}

#[test]
fn a_missing_manifest_database_is_named_and_taken_only_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().without("Manifest.db").write_to(dir.path());
    let (repository, _) = with_one();
    assert_refused(&repository, &folder, &["Manifest.db is missing"]);
    let (repository, _) = assert_incomplete(&folder, &["--allow-incomplete"], &["Manifest.db"]);
    repository.assert_restores(&newer(&repository), &folder);
}

#[test]
fn a_broken_manifest_database_is_carried_as_it_is_and_named() {
    type Break = fn(&Path);
    let breaks: [Break; 5] = [
        |path| fs::write(path, "").unwrap(),
        |path| fs::write(path, noise(3, 20_000)).unwrap(),
        |path| truncate(path, fs::metadata(path).unwrap().len() / 2).unwrap(),
        |path| truncate(path, 100).unwrap(),
        |path| {
            let mut bytes = fs::read(path).unwrap();
            for page in bytes.chunks_mut(4096).skip(1) {
                page[..64].fill(0xff);
            }
            fs::write(path, bytes).unwrap();
        },
    ];
    for break_it in breaks {
        let dir = tempfile::tempdir().unwrap();
        let folder = fake().write_to(dir.path());
        break_it(&folder.join("Manifest.db"));
        let (repository, _) = assert_damaged(&folder, &["problem: Manifest.db"]);
        repository.assert_restores(&newer(&repository), &folder);
    }
}

#[test]
fn whatever_bit_of_the_manifest_database_is_flipped_it_comes_back_the_same() {
    let repository = TestRepository::new();
    for step in 0..12 {
        let folder = fake().date(DATE + step * WEEK).write_to(repository.folder("many"));
        let path = folder.join("Manifest.db");
        let len = fs::metadata(&path).unwrap().len();
        flip_bit(&path, 16 + step * (len - 17) / 11, 7).unwrap();
        let ran = repository.run(&["import", "--json", text(&folder)]);
        assert!(matches!(ran.exit, Some(0 | 3)), "{}", ran.stderr);
        repository.assert_restores(ran.summary()["snapshot_id"].as_str().unwrap(), &folder);
        fs::remove_dir_all(&folder).unwrap();
    }
}

#[test]
fn an_unfinished_backup_is_refused_then_marked_and_never_the_latest() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().snapshot_state("moving").write_to(dir.path());
    let (repository, _) = with_one();
    let words = ["Status.plist says \"moving\", not \"finished\"", "until it finishes"];
    assert_refused(&repository, &folder, &words);
    let (repository, _) = assert_incomplete(&folder, &["--allow-incomplete"], &["moving"]);
    repository.assert_restores(&newer(&repository), &folder);
}

#[test]
fn a_whole_backup_after_an_unfinished_one_is_its_own() {
    let (repository, _) = with_one();
    let path = ("HomeDomain", "Library/late");
    let unfinished = fake().snapshot_state("moving").file(path.0, path.1, "half");
    let unfinished = unfinished.write_to(repository.folder("b"));
    repository.run(&["import", "--allow-incomplete", text(&unfinished)]).code(3);
    let whole = fake().date(DATE + WEEK).file(path.0, path.1, "full");
    let whole = whole.write_to(repository.folder("c"));
    repository.import(&whole);
    repository.assert_restores("latest", &whole);
}

#[test]
fn a_folder_known_to_be_incomplete_is_not_called_good_the_second_time() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().row_without_payload("HomeDomain", "Library/gone").write_to(dir.path());
    let (repository, _) = assert_incomplete(&folder, &[], &["Library/gone"]);
    let ran = repository.run(&["import", text(&folder)]).code(3);
    assert!(ran.stdout.contains("archived already"), "{}", ran.stdout);
    ran.says(&["INCOMPLETE"]);
}

#[test]
fn a_row_whose_file_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().row_without_payload("HomeDomain", "Library/gone").write_to(dir.path());
    let words = ["HomeDomain Library/gone", "its file is not in the folder"];
    let (repository, _) = assert_incomplete(&folder, &[], &words);
    repository.assert_restores(&newer(&repository), &folder);
}

#[test]
fn links_are_kept_as_links_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().write_to(dir.path());
    fs::write(dir.path().join("secret"), "a secret of the host").unwrap();
    symlink(dir.path().join("secret"), folder.join("leak")).unwrap();
    symlink("/etc", folder.join("etc")).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    let repository = TestRepository::new();
    repository.import(&folder);
    repository.assert_restores("latest", &folder);
    let back = repository.restore("latest");
    assert_eq!(fs::read_link(back.join("leak")).unwrap(), dir.path().join("secret"));
    repository.run(&["cat", "latest", "leak"]).code(1).says(&["has no file \"leak\""]);
    repository.run(&["cat", "latest", "etc/passwd"]).code(1);
    assert!(repository.ok(&["ls", "latest"]).contains("etc -> /etc\n"));
}

#[test]
fn a_payload_or_list_that_is_a_link_makes_the_snapshot_incomplete() {
    for name in [stored("HomeDomain", "Library/a.db"), "Manifest.db".into(), "Info.plist".into()] {
        let dir = tempfile::tempdir().unwrap();
        let folder = fake().write_to(dir.path());
        fs::rename(folder.join(&name), dir.path().join("elsewhere")).unwrap();
        symlink(dir.path().join("elsewhere"), folder.join(&name)).unwrap();
        let shown = if name.contains('/') { "Library/a.db" } else { &name };
        let (repository, _) = assert_incomplete(&folder, &[], &["problem: ", shown]);
        repository.assert_restores(&newer(&repository), &folder);
    }
}

#[test]
fn pipes_and_sockets_are_left_out_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().write_to(dir.path());
    let pipe = folder.join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let socket = folder.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    let words = ["problem: pipe: is neither file, folder nor link", "problem: socket: is neither"];
    let (repository, _) = assert_incomplete(&folder, &[], &words);
    fs::remove_file(pipe).unwrap();
    fs::remove_file(socket).unwrap();
    repository.assert_restores(&newer(&repository), &folder);
}

#[test]
fn a_pipe_in_place_of_a_list_or_payload_does_not_hang_the_import() {
    let payload = stored("HomeDomain", "Library/a.db");
    for name in ["Info.plist", "Status.plist", "Manifest.plist", "Manifest.db", &payload] {
        let repository = TestRepository::new();
        let folder = fake().write_to(repository.folder("a"));
        fs::remove_file(folder.join(name)).unwrap();
        assert!(Command::new("mkfifo").arg(folder.join(name)).status().unwrap().success());
        let ran = repository.run(&["import", text(&folder)]);
        assert!(matches!(ran.exit, Some(1 | 3)), "{name}: {:?}", ran.exit);
        ran.says(&[name]);
    }
}

#[test]
fn odd_names_come_back_and_each_takes_one_line_of_a_listing() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    let long = "n".repeat(255);
    let names: [&[u8]; 5] =
        [b"a\nb", b"\xff\xfe not UTF-8", long.as_bytes(), b"\x1b[2Jclear", b"back\\slash"];
    for name in names {
        fs::write(folder.join(OsStr::from_bytes(name)), name).unwrap();
    }
    fs::create_dir_all(folder.join("d/".repeat(150))).unwrap();
    repository.import(&folder);
    repository.assert_restores("latest", &folder);
    let listing = repository.run(&["ls", "latest"]).code(0);
    assert!(listing.stdout.contains("a\\nb\n"), "{}", listing.stdout);
    assert!(!listing.bytes.contains(&0x1b));
    let entries = repository.run(&["ls", "latest", "--json"]).code(0).messages();
    let odd = entries.iter().find(|e| e["stored_path_hex"].is_string()).unwrap();
    assert_eq!(odd["stored_path_hex"], "fffe206e6f74205554462d38");
    assert_eq!(repository.run(&["cat", "latest", "a\nb"]).code(0).bytes, b"a\nb");
}

#[test]
fn paths_of_the_phone_may_be_long_or_odd_and_never_lead_out_of_the_target() {
    let repository = TestRepository::new();
    let long = "p/".repeat(2048);
    let mut backup = fake();
    for path in [long.as_str(), "../../../../tmp/evil", "/etc/passwd", "a\nb", ""] {
        backup = backup.file("HomeDomain", path, path);
    }
    let folder = backup.write_to(repository.folder("a"));
    repository.import(&folder);
    repository.assert_restores("latest", &folder);
    let cat = |path: &str| repository.run(&["cat", "latest", path]).code(0).bytes;
    assert_eq!(cat("HomeDomain/../../../../tmp/evil"), b"../../../../tmp/evil");
    assert_eq!(cat(&format!("HomeDomain/{long}")), long.as_bytes());
}

#[test]
fn rows_made_to_do_harm_are_survived_and_those_that_name_no_file_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().write_to(dir.path());
    let database = rusqlite::Connection::open(folder.join("Manifest.db")).unwrap();
    database
        .execute_batch(
            "INSERT INTO Files VALUES ('../../../../etc/passwd', 'HomeDomain', 'x', 1, x'00');
             INSERT INTO Files VALUES (NULL, NULL, NULL, NULL, NULL);
             INSERT INTO Files VALUES (17, 18, 19, 'one', 20.5);
             INSERT INTO Files VALUES (x'ff00', x'ff00', x'ff00', -1, 'text');
             INSERT INTO Files VALUES ('aa', 'HomeDomain', 'huge', 2, zeroblob(20000000));
             INSERT INTO Files VALUES ('bb', zeroblob(100000), zeroblob(100000), 2, NULL);
             UPDATE Files SET file = zeroblob(17000000) WHERE relativePath = 'Library/a.db';
             UPDATE Files SET flags = 99 WHERE relativePath = 'Library/empty';",
        )
        .unwrap();
    drop(database);
    let words = [
        "problem: Manifest.db: 1 of its rows promises a file and names none",
        "problem: Manifest.db: 6 of its rows are damaged",
    ];
    let (repository, _) = assert_damaged(&folder, &words);
    repository.assert_restores(&newer(&repository), &folder);
}

#[test]
fn a_file_that_cannot_be_read_is_left_out_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let folder = fake().write_to(dir.path());
    let path = folder.join(stored("HomeDomain", "Library/a.db"));
    // The only file whose reading fails for root, too.
    let Some(mounted) = Mounted::bind(Path::new("/proc/self/mem"), &path) else { return };
    let words = ["Library/a.db", "cannot be"];
    let (repository, _) = assert_incomplete(&folder, &[], &words);
    drop(mounted);
    let back = repository.restore(&newer(&repository));
    let all = differences(&folder, &back);
    assert_eq!(all.len(), 1, "{all:?}");
}

/// Does something to a folder after it was looked at and before its files are read.
struct Meddler<F>(F);

impl<F: Fn() + Sync> Observer for Meddler<F> {
    fn begin(&self, phase: Phase, _: u64, _: u64) {
        if phase == Phase::Storing {
            (self.0)();
        }
    }

    fn advance(&self, _: u64, _: u64) {}

    fn problem(&self, _: &str, _: &str) {}

    fn remark(&self, _: &str) {}
}

/// Imports while `meddle` changes the payload of `Library/a.db`. Gives the snapshot's problems and what it restores to.
fn meddled(meddle: impl Fn(&Path) + Sync) -> (Vec<String>, TestRepository) {
    let (repository, whole) = with_one();
    // No row, length or time that the whole one has: the file must be read.
    let backup = fake().file_at("HomeDomain", "Library/a.db", "alpha", DATE + 1);
    let folder = backup.write_to(repository.folder("b"));
    let payload = folder.join(stored("HomeDomain", "Library/a.db"));
    let options = ops::open::OpenOptions {
        location: repository.path(),
        cache_dir: None,
        read_back: false,
        retry_lock: std::time::Duration::ZERO,
    };
    let secret = SlotSecret::Password(Password::new("correct horse").unwrap());
    let observer = Meddler(|| meddle(&payload));
    let mut opened = ops::open::open(&options, &secret, Purpose::Write, true, &observer).unwrap();
    let options = ops::import::ImportOptions::default();
    let (folders, refused) = ops::import::find(&[folder], &options, &TimeZone::UTC);
    assert!(refused.is_empty());
    let (sources, _) = ops::import::unlock(folders, &mut Passwords::default());
    let done = ops::import::import(&mut opened, &sources, &options, &observer, &|| false).unwrap();
    let Ok(ops::import::Outcome::New { snapshot, .. }) = &done[0].outcome else {
        panic!("{done:?}")
    };
    let problems = snapshot.record.problems.iter().map(|p| format!("{}: {}", p.path, p.why));
    let problems = problems.collect();
    drop(opened);
    repository.assert_restores("latest", &whole);
    repository.assert_sound();
    (problems, repository)
}

#[test]
fn a_file_that_vanishes_during_the_import_is_named() {
    let (problems, _) = meddled(|path| fs::remove_file(path).unwrap());
    assert!(problems[0].contains("Library/a.db") && problems[0].contains("cannot be opened"));
}

#[test]
fn a_file_that_grows_during_the_import_is_named() {
    let (problems, repository) = meddled(|path| fs::write(path, "alpha and more").unwrap());
    assert!(problems[0].contains("changed while it was read"), "{problems:?}");
    let cat = repository.run(&["cat", &newer(&repository), "HomeDomain/Library/a.db"]);
    assert_eq!(cat.code(0).bytes, b"alpha and more");
}

#[test]
fn a_file_that_becomes_a_link_during_the_import_is_not_followed() {
    let (problems, repository) = meddled(|path| {
        fs::remove_file(path).unwrap();
        symlink("/etc/passwd", path).unwrap();
    });
    assert!(problems[0].contains("Library/a.db"), "{problems:?}");
    repository.run(&["cat", &newer(&repository), "HomeDomain/Library/a.db"]).code(1);
}

#[test]
fn a_file_that_becomes_a_pipe_during_the_import_does_not_hang_it() {
    let (done, finished) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (problems, _) = meddled(|path| {
            fs::remove_file(path).unwrap();
            assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
        });
        let _ = done.send(problems);
    });
    let problems = finished.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert!(problems[0].contains("Library/a.db"), "{problems:?}");
}
