//! Keybags, lists and files that are damaged, that lie, or that are of older phones: every file comes back as it was.

use std::fs;
use std::path::Path;

use russet_testkit::Encryption;
use russet_testkit::damage::truncate;

use super::super::support::{DATE, TestRepository, WEEK, fake, noise, stored, text};
use super::{
    PASSWORD, cat, counted, edit_manifest, encrypted, import, import_says, import_with, replace,
};

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

/// Puts bytes in place of what follows a field's name in the keybag.
fn edit_keybag(folder: &Path, tag: &[u8], nth: usize, edit: impl FnOnce(&mut [u8])) {
    let path = folder.join("Manifest.plist");
    let mut bytes = fs::read(&path).unwrap();
    let at = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(tag)).nth(nth).unwrap();
    edit(&mut bytes[at + 8..]);
    fs::write(&path, bytes).unwrap();
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
