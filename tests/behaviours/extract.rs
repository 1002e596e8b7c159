//! Files under their real names and dates, and nothing anywhere else.

use std::fs;
use std::path::{Path, PathBuf};
#[cfg(target_os = "linux")]
use std::process::Command;
use std::time::UNIX_EPOCH;

use russet_testkit::damage::all_files;
use russet_testkit::{Encryption, FakeBackup};

#[cfg(target_os = "linux")]
use super::support::Mounted;
use super::support::{DATE, Ran, TestRepository, WEEK, fake, noise, text};

const PASSWORD: &str = "apple";
/// 5 June 2020, 10:40:00 UTC.
const SUMMER: u64 = 1_591_353_600;

fn encrypted(backup: FakeBackup) -> FakeBackup {
    backup.encryption(Encryption::Password { password: PASSWORD.to_owned(), iterations: 10 })
}

fn import(repository: &TestRepository, folder: &Path) {
    let file = repository.beside("phone password");
    fs::write(&file, PASSWORD).unwrap();
    let args = ["import", "--phone-password-file", text(&file), text(folder)];
    repository.run(&args).code(0);
}

fn extract(repository: &TestRepository, args: &[&str]) -> (PathBuf, Ran) {
    let target = repository.beside("out");
    let all = [&["extract", "latest", "--json", "--target", text(&target)], args].concat();
    let ran = repository.run(&all);
    (target, ran)
}

fn names(target: &Path) -> Vec<String> {
    let name = |file: &PathBuf| text(file.strip_prefix(target).unwrap()).to_owned();
    all_files(target).unwrap().iter().map(name).collect()
}

fn modified(file: &Path) -> u64 {
    fs::metadata(file).unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn an_opened_backup_s_files_come_out_as_they_are_on_the_phone() {
    let repository = TestRepository::new();
    let photo = noise(3, 300_000);
    let backup = fake()
        .file_at("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.HEIC", &photo, SUMMER)
        .file_at("HomeDomain", "Library/SMS/sms.db", "messages", SUMMER + 9);
    import(&repository, &encrypted(backup).write_to(repository.folder("a")));
    let (target, ran) = extract(&repository, &[]);
    assert_eq!(ran.code(0).summary()["files"], 5);
    let at = |path: &str| target.join(path);
    assert_eq!(fs::read(at("HomeDomain/Library/SMS/sms.db")).unwrap(), b"messages");
    assert_eq!(modified(&at("HomeDomain/Library/SMS/sms.db")), SUMMER + 9);
    let photo_at = at("CameraRollDomain/Media/DCIM/100APPLE/IMG_0001.HEIC");
    assert_eq!((fs::read(&photo_at).unwrap(), modified(&photo_at)), (photo, SUMMER));
    assert_eq!(fs::read(at("HomeDomain/Library/empty")).unwrap(), b"");
    assert!(
        !names(&target).iter().any(|name| name.contains("Manifest") || name.contains(".russet"))
    );
}

#[test]
fn a_backup_in_the_clear_gives_the_same() {
    let files = |encrypt: bool| {
        let repository = TestRepository::new();
        let folder = if encrypt { encrypted(fake()) } else { fake() };
        import(&repository, &folder.write_to(repository.folder("a")));
        let (target, ran) = extract(&repository, &[]);
        ran.code(0);
        let read = |name: &String| (name.clone(), fs::read(target.join(name)).unwrap());
        names(&target).iter().map(read).collect::<Vec<_>>()
    };
    assert_eq!(files(false), files(true));
}

#[test]
fn what_is_asked_for_is_what_comes() {
    let repository = TestRepository::new();
    let backup = fake()
        .file("CameraRollDomain", "Media/PhotoData/Photos.sqlite", "db")
        .file("AppDomain-org.example.app", "Documents/a.txt", "a")
        .file("AppDomainGroup-group.org.example.app", "b.txt", "b")
        .file("AppDomain-org.example.apple", "c.txt", "c");
    repository.import(&backup.write_to(repository.folder("a")));
    let cases: [(&[&str], &[&str]); 4] = [
        (&["--photos"], &["CameraRollDomain/Media/DCIM/1.JPG"]),
        (
            &["--app", "org.example.app"],
            &[
                "AppDomain-org.example.app/Documents/a.txt",
                "AppDomainGroup-group.org.example.app/b.txt",
            ],
        ),
        (&["--path", "HomeDomain/Library/*.db"], &["HomeDomain/Library/a.db"]),
        (
            &["--path", "**/c.txt", "--path", "HomeDomain/Library/a.db"],
            &["AppDomain-org.example.apple/c.txt", "HomeDomain/Library/a.db"],
        ),
    ];
    for (args, expected) in cases {
        let (target, ran) = extract(&repository, args);
        ran.code(0);
        assert_eq!(names(&target), expected, "{args:?}");
        fs::remove_dir_all(&target).unwrap();
    }
    let (_, ran) = extract(&repository, &["--path", "HomeDomain/nothing"]);
    ran.code(1).says(&["has no such file", "russet ls"]);
}

#[test]
fn by_date_photos_lie_in_years_and_months_and_none_takes_another_s_place() {
    let repository = TestRepository::new();
    let backup = fake()
        .file_at("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.JPG", "first", SUMMER)
        .file_at("CameraRollDomain", "Media/DCIM/101APPLE/IMG_0001.JPG", "second", SUMMER + 60)
        .file_at(
            "CameraRollDomain",
            "Media/DCIM/101APPLE/IMG_0002.JPG",
            "third",
            SUMMER + 40 * 86_400,
        );
    repository.import(&backup.write_to(repository.folder("a")));
    let (target, ran) = extract(&repository, &["--photos", "--layout", "date"]);
    ran.code(0);
    let names = names(&target);
    for name in
        ["2020/2020-06/IMG_0001.JPG", "2020/2020-06/IMG_0001 (2).JPG", "2020/2020-07/IMG_0002.JPG"]
    {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    assert_eq!(fs::read(target.join("2020/2020-06/IMG_0001.JPG")).unwrap(), b"first");
}

#[test]
fn hostile_names_stay_in_the_target_and_cost_no_file() {
    let repository = TestRepository::new();
    let long = "x".repeat(300) + ".txt";
    let paths = [
        "../../../escaped",
        "/absolute",
        "a/../../b",
        "..",
        "a\\..\\c",
        "Case",
        "case",
        "CASE/below",
        "nul\0byte",
        "\u{e4}.txt",
        "a\u{308}.txt",
        "bell\u{7}",
        long.as_str(),
        "dir",
        "dir/file",
    ];
    let mut backup =
        fake().symlink("HomeDomain", "link", "/etc").file("HomeDomain", "link/passwd", "no");
    for (number, path) in paths.iter().enumerate() {
        backup = backup.file("HomeDomain", path, format!("content {number}"));
    }
    let backup = backup.file("../../OutDomain", "f", "out").file("/", "g", "root");
    repository.import(&backup.write_to(repository.folder("a")));
    let outside = || {
        let mut all = all_files(repository.beside("out").parent().unwrap()).unwrap();
        all.retain(|file| {
            !file.starts_with(repository.beside("out"))
                && !file.starts_with(repository.beside("cache"))
        });
        all
    };
    let before = outside();
    let (target, ran) = extract(&repository, &[]);
    let summary = ran.code(0).summary();
    assert_eq!((&summary["lost_count"], &summary["link_count"]), (&0.into(), &2.into()));
    assert_eq!(outside(), before);
    let contents: Vec<String> = all_files(&target)
        .unwrap()
        .iter()
        .map(|f| fs::read_to_string(f).unwrap_or_default())
        .collect();
    for (number, path) in paths.iter().enumerate() {
        let content = format!("content {number}");
        assert_eq!(contents.iter().filter(|c| **c == content).count(), 1, "{path:?}");
    }
    assert_eq!(summary["files"].as_u64().unwrap(), contents.len() as u64);
    assert!(summary["changed_name_count"].as_u64().unwrap() >= 10);
}

#[test]
fn what_is_there_already_is_never_overwritten() {
    let repository = TestRepository::new();
    let first = fake().file_at("HomeDomain", "Library/b", "bb", SUMMER);
    repository.import(&first.write_to(repository.folder("a")));
    let (target, ran) = extract(&repository, &[]);
    ran.code(0);
    // Once more: everything is there, and one file is a person's own by now.
    let own = target.join("HomeDomain/Library/a.db");
    fs::write(&own, "my own").unwrap();
    let (_, ran) = extract(&repository, &[]);
    let ran = ran.code(3);
    assert!(ran.stdout.contains("is there already, and stays as it is"), "{}", ran.stdout);
    let summary = ran.summary();
    assert_eq!(
        (&summary["files"], &summary["there_count"], &summary["lost_count"]),
        (&0.into(), &3.into(), &1.into())
    );
    assert_eq!(fs::read(&own).unwrap(), b"my own");
}

#[cfg(unix)]
#[test]
fn a_link_in_the_target_leads_nowhere() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    let elsewhere = repository.folder("elsewhere");
    std::os::unix::fs::symlink(&elsewhere, repository.folder("out").join("HomeDomain")).unwrap();
    std::os::unix::fs::symlink(elsewhere.join("new"), repository.beside("out/CameraRollDomain"))
        .unwrap();
    let (_, ran) = extract(&repository, &[]);
    let ran = ran.code(3);
    assert!(ran.stdout.contains("is no folder"), "{}", ran.stdout);
    assert_eq!(ran.summary()["lost_count"], 3);
    assert!(all_files(&elsewhere).unwrap().is_empty());
}

#[test]
fn what_is_still_encrypted_is_said_and_not_passed_off_as_a_file() {
    let repository = TestRepository::new();
    let folder = encrypted(fake()).write_to(repository.folder("a"));
    repository.run(&["import", text(&folder)]).code(0);
    let (target, ran) = extract(&repository, &[]);
    ran.code(1).says(&["is kept as the phone encrypted it", "`russet reopen "]);
    assert!(names(&target).is_empty());
    let cut = encrypted(fake().date(DATE + WEEK)).write_to(repository.folder("b"));
    let payload = cut.join(super::support::stored("HomeDomain", "Library/a.db"));
    fs::write(&payload, "cut off in the middle of things").unwrap();
    import(&repository, &cut);
    let (target, ran) = extract(&repository, &[]);
    let summary = ran.code(3).summary();
    assert_eq!((&summary["encrypted_count"], &summary["files"]), (&1.into(), &2.into()));
    assert!(!target.join("HomeDomain/Library/a.db").exists());
}

#[test]
fn nothing_goes_into_the_repository_and_damage_costs_its_files_only() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    let inside = repository.path().join("packs");
    repository.run(&["extract", "latest", "--target", text(&inside)]).code(1);
    let data = fs::metadata(&repository.files("packs")[0]).unwrap().len();
    assert!(data > 0);
    for pack in repository.files("packs") {
        let mut bytes = fs::read(&pack).unwrap();
        // The type of a pack stands in the clear: data, not trees.
        if bytes[11] == 1 {
            let end = bytes.len() - 4096;
            bytes[96..end].iter_mut().step_by(64).for_each(|byte| *byte ^= 1);
            fs::write(&pack, bytes).unwrap();
        }
    }
    let (target, ran) = extract(&repository, &[]);
    let summary = ran.code(3).summary();
    let (lost, written) = (summary["lost_count"].as_u64(), summary["files"].as_u64());
    assert_eq!(lost.unwrap() + written.unwrap(), 3);
    assert!(lost.unwrap() >= 1);
    assert_eq!(names(&target).len() as u64, written.unwrap());
}

#[test]
fn photos_and_apps_add_up_and_paths_narrow_them() {
    let repository = TestRepository::new();
    let backup = fake().file("AppDomain-org.example.app", "Documents/a.txt", "a").file(
        "AppDomain-org.example.app",
        "Documents/b.txt",
        "b",
    );
    repository.import(&backup.write_to(repository.folder("a")));
    let (photo, a) =
        ("CameraRollDomain/Media/DCIM/1.JPG", "AppDomain-org.example.app/Documents/a.txt");
    let app = ["--app", "org.example.app"];
    let cases: [(&[&str], &[&str]); 3] = [
        (
            &["--photos"],
            &[
                "AppDomain-org.example.app/Documents/a.txt",
                "AppDomain-org.example.app/Documents/b.txt",
                photo,
            ],
        ),
        (&["--photos", "--path", "**/a.txt", "--path", "**/*.JPG"], &[a, photo]),
        (&["--path", "**/a.txt"], &[a]),
    ];
    for (more, expected) in cases {
        let (target, ran) = extract(&repository, &[&app[..], more].concat());
        ran.code(0);
        assert_eq!(names(&target), expected, "{more:?}");
        fs::remove_dir_all(&target).unwrap();
    }
}

#[test]
fn files_in_no_domain_get_a_folder_of_their_own() {
    let repository = TestRepository::new();
    let backup = fake().file("", "Library/lost", "found").file("_without domain", "other", "o");
    repository.import(&backup.write_to(repository.folder("a")));
    let (target, ran) = extract(&repository, &[]);
    assert_eq!(ran.code(0).summary()["files"], 5);
    assert_eq!(fs::read(target.join("_without domain/Library/lost")).unwrap(), b"found");
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_drive_is_told_once_and_the_next_run_goes_on() {
    let repository = TestRepository::new();
    let mut backup = fake();
    for number in 0..40_u8 {
        let path = format!("Media/DCIM/{number}.MOV");
        backup =
            backup.file_at("CameraRollDomain", &path, noise(u64::from(number), 300_000), SUMMER);
    }
    repository.import(&backup.write_to(repository.folder("a")));
    let target = repository.folder("out");
    let Some(mounted) = Mounted::drive(6 << 20, &target) else { return };
    let args = ["extract", "latest", "--target", text(&target)];
    let ran = repository.run(&args).code(16);
    let ran =
        ran.says(&["no space is left", "what was written is whole", "the same command goes on"]);
    assert!(!ran.stderr.contains("problem") && !ran.stderr.contains("delete"), "{}", ran.stderr);
    let there = names(&target);
    assert!(!there.is_empty() && there.iter().all(|name| !name.contains(".russet-")), "{there:?}");
    for name in &there {
        let len = fs::metadata(target.join(name)).unwrap().len();
        assert!(!name.ends_with(".MOV") || len == 300_000, "{name}");
    }
    let larger = Command::new("mount").args(["-o", "remount,size=40m", text(&target)]).status();
    assert!(larger.unwrap().success());
    let ran = repository.run(&["extract", "latest", "--json", "--target", text(&target)]).code(0);
    let summary = ran.summary();
    assert_eq!(summary["there_count"].as_u64().unwrap(), there.len() as u64);
    assert_eq!(summary["files"].as_u64().unwrap(), 43 - there.len() as u64);
    drop(mounted);
}

#[cfg(target_os = "linux")]
#[test]
fn a_target_that_can_only_be_read_is_one_error() {
    let repository = TestRepository::new();
    repository.import(&fake().write_to(repository.folder("a")));
    let target = repository.folder("out");
    let Some(mounted) = Mounted::drive(1 << 20, &target) else { return };
    let only = Command::new("mount").args(["-o", "remount,ro", text(&target)]).status();
    assert!(only.unwrap().success());
    let ran = repository.run(&["extract", "latest", "--target", text(&target)]).code(1);
    let ran = ran.says(&["nothing can be written in", "name a folder"]);
    assert!(!ran.stderr.contains("problem"), "{}", ran.stderr);
    drop(mounted);
}
