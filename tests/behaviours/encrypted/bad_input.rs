//! Keybags, lists and files that are damaged, that lie, or that are of older phones: every file comes back as it was.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use russet::apple::{
    Closing, FileId, LockedKeys, ManifestPages, MbFile, Passwords, PhonePassword, Row,
};
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

/// Gives a field of the keybag a name that nothing knows.
fn edit_tag(folder: &Path, tag: &[u8]) {
    let path = folder.join("Manifest.plist");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(tag.len()).position(|window| window == tag).unwrap();
    bytes[at] = b'X';
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
        "1 that does not end",
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
    import_says(&repository, &folder, 3, &["2 whose row has no key that opens"]);
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
        (b"WPKY", 8, 3, 1),
        // Class 4: Manifest.db, and with it every row.
        (b"WPKY", 7, 3, 0),
    ];
    for (tag, nth, code, opened) in cases {
        let repository = TestRepository::new();
        let folder = encrypted().write_to(repository.folder("a"));
        edit_keybag(&folder, tag, nth, |value| value[5] ^= 4);
        let ran = import_with(&repository, &folder, &[PASSWORD]).code(code);
        if code != 22 {
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
        import_says(&repository, &folder, 3, &["stay encrypted", words]);
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
    let (was, is) = (
        FileId::of(b"HomeDomain", b"Library/a.db").stored_path(),
        FileId::of(b"HomeDomain", b"Library/\xff.db").stored_path(),
    );
    edit_manifest(&odd, |plain| {
        replace(plain, b"HomeDomainLibrary/a.db", b"HomeDomainLibrary/\xff.db");
        replace(plain, &was.as_bytes()[3..], &is.as_bytes()[3..]);
    });
    fs::create_dir_all(odd.join(&is[..2])).unwrap();
    fs::rename(odd.join(&was), odd.join(&is)).unwrap();
    let summary = import(&repository, &odd);
    assert_eq!((&summary["verdict"], &summary["opened_count"]), (&"complete".into(), &4.into()));
    repository.assert_restores("latest", &odd);
    assert_eq!(cat(&repository, "latest", &is), b"alpha");
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
fn nobody_is_sent_to_reopen_what_is_of_an_ios_whose_backups_are_never_opened() {
    for version in ["9.3.5", "10.1.1"] {
        let repository = TestRepository::new();
        let backup = encrypted().product_version(version).without("Manifest.db");
        let folder = backup
            .extra_file("Manifest.mbdb", b"mbdb\x05\x00")
            .extra_file(&"ab".repeat(20), noise(4, 5000))
            .write_to(repository.folder("a"));
        let ran = repository.run(&["import", text(&folder)]).code(0);
        ran.says(&["stay encrypted", "iOS 10.1 or older"]);
        let again = repository.run(&["import", text(&folder)]).code(0).stdout;
        let listed = repository.run(&["snapshots"]).code(0).says(&["stays encrypted as it was"]);
        let checked = repository.run(&["verify"]).code(0);
        let reopened = repository.run(&["reopen"]).code(0);
        assert!(reopened.stdout.contains("Nothing is to be opened"), "{}", reopened.stdout);
        for said in [again, listed.stderr, checked.stderr] {
            assert!(!said.contains("russet reopen"), "{said}");
        }
        // Nobody gave a password, and none is asked for.
        let why = format!("of iOS {version}, and russet does not open");
        let ran = repository.run(&["reopen", "latest"]).code(0);
        assert!(ran.stdout.contains(&why), "{}", ran.stdout);
        repository.run(&["cat", "latest", "HomeDomain/x"]).code(1).says(&[&why]);
        repository.assert_restores("latest", &folder);
    }
}

#[test]
fn without_its_version_an_old_backup_is_told_by_its_keybag_and_needs_no_password() {
    let repository = TestRepository::new();
    let folder = encrypted().product_version("").write_to(repository.folder("a"));
    for tag in [b"DPSL", b"DPIC"] {
        edit_tag(&folder, tag);
    }
    import_says(&repository, &folder, 0, &["iOS 10.1 or older"]);
    let ran = repository.run(&["reopen"]).code(0).says(&["it is of iOS 10.1 or older"]);
    assert!(ran.stdout.contains("there is nothing to open"), "{}", ran.stdout);
    repository.assert_restores("latest", &folder);
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
    import_says(&repository, &hostile, 3, &["2147483648 rounds"]);
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
        import_says(&repository, &folder, 3, &["stay encrypted", words]);
        repository.assert_restores("latest", &folder);
    }
}

/// Both commands tell it, until nobody has the snapshot any more; and all of it comes back.
#[track_caller]
fn assert_told(repository: &TestRepository, folder: &Path, file: &str) {
    let words = [file, "damaged", "INCOMPLETE", "make a new backup"];
    import_says(repository, folder, 3, &words);
    assert_eq!(counted(repository).1, "incomplete");
    repository.assert_restores("latest", folder);
    let ran = repository.run(&["verify"]).code(3).says(&["make a new backup"]);
    assert!(ran.stdout.contains("Apple's lists ✗"), "{}", ran.stdout);
    repository.run(&["forget", "latest", "--yes"]).code(0);
    repository.run(&["verify"]).code(0);
}

#[test]
fn a_damaged_keybag_is_told_by_import_and_by_verify() {
    type Edit = fn(&mut Vec<u8>);
    let cases: [(&str, Edit); 4] = [
        ("no class has a key", |plist| replace(plist, b"WPKY", b"XPKY")),
        ("a key is cut", |plist| replace(plist, b"WPKY\0\0\0\x28", b"WPKY\0\0\0\x27")),
        ("it ends too early", |plist| replace(plist, b"DPSL\0\0\0\x14", b"DPSL\0\x10\0\0")),
        ("the key of one class", |plist| {
            let at = plist.windows(4).enumerate().filter(|(_, tag)| tag == b"WPKY").nth(8);
            let at = at.unwrap().0;
            plist[at + 20] ^= 1;
        }),
    ];
    for (what, edit) in cases {
        let repository = TestRepository::new();
        let folder = encrypted().write_to(repository.folder(what));
        let path = folder.join("Manifest.plist");
        let mut plist = fs::read(&path).unwrap();
        edit(&mut plist);
        fs::write(&path, plist).unwrap();
        assert_told(&repository, &folder, "Manifest.plist");
    }
}

#[test]
fn a_keybag_that_is_none_is_told_without_a_password_too() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    edit_keybag(&folder, b"UUID", 1, |value| value[16..20].copy_from_slice(b"CLAX"));
    repository.run(&["import", text(&folder)]).code(3).says(&["Manifest.plist", "damaged"]);
    repository.assert_restores("latest", &folder);
    repository.run(&["verify"]).code(3);
}

#[test]
fn a_wrong_password_and_a_keybag_that_no_password_opens_are_not_told_apart() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    for nth in 0..11 {
        edit_keybag(&folder, b"WPKY", nth, |value| value[5] ^= 4);
    }
    let ran = import_says(&repository, &folder, 22, &["may be damaged, which looks the same"]);
    assert!(ran.stdout.is_empty(), "{}", ran.stdout);
    assert!(repository.snapshots().is_empty());
}

#[test]
fn damaged_pages_of_an_encrypted_list_are_told_by_import_and_by_verify() {
    let mut backup = encrypted();
    for number in 0..40 {
        backup = backup.file("HomeDomain", &format!("Library/{number}"), number.to_string());
    }
    let mut pages = Vec::new();
    let whole = tempfile::tempdir().unwrap();
    edit_manifest(&backup.clone().write_to(whole.path()), |plain| {
        let of_table = |page: &&[u8]| page[0] == 13 && page.windows(10).any(|w| w == b"HomeDomain");
        let chunks = plain.chunks(4096).enumerate();
        pages.extend(chunks.filter(|(_, page)| of_table(page)).map(|(number, _)| number));
    });
    assert!(pages.len() > 3, "{pages:?}");
    // The first of them, and one in the middle: a head, the end, where rows are, and all of it.
    for page in [pages[0], pages[2]] {
        for damaged in [0..16, 4000..4090, 2000..2600, 0..4096] {
            let repository = TestRepository::new();
            let folder = backup.clone().write_to(repository.folder("a"));
            let manifest = folder.join("Manifest.db");
            let mut bytes = fs::read(&manifest).unwrap();
            let at = page * 4096;
            bytes[at + damaged.start..at + damaged.end].iter_mut().for_each(|byte| *byte ^= 0x5a);
            fs::write(&manifest, bytes).unwrap();
            assert_told(&repository, &folder, "Manifest.db");
        }
    }
}

#[test]
fn a_row_that_vanished_from_an_encrypted_list_is_missed_by_its_index() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    edit_manifest(&folder, |plain| {
        let of_table = |page: &[u8]| page[0] == 13 && page.windows(10).any(|w| w == b"HomeDomain");
        let page = plain.chunks(4096).position(of_table).unwrap();
        plain[page * 4096 + 4] -= 1;
    });
    import_says(&repository, &folder, 3, &["Manifest.db", "do not name the same files"]);
    repository.assert_restores("latest", &folder);
}

#[test]
fn a_row_that_vanished_from_a_list_in_the_clear_is_told_by_import_and_verify() {
    let repository = TestRepository::new();
    let folder = fake().write_to(repository.folder("a"));
    let path = folder.join("Manifest.db");
    let mut bytes = fs::read(&path).unwrap();
    let of_table = |page: &[u8]| page[0] == 13 && page.windows(10).any(|w| w == b"HomeDomain");
    let page = bytes.chunks(4096).position(of_table).unwrap();
    bytes[page * 4096 + 4] -= 1;
    fs::write(&path, bytes).unwrap();
    let words = ["problem: Manifest.db: is damaged: ", "do not name the same files"];
    import_says(&repository, &folder, 3, &words);
    let told = repository.run(&["verify"]).code(3).stdout;
    assert!(told.contains("do not name the same files"), "{told}");
    repository.run(&["forget", "latest", "--yes"]).code(0);
    assert_told(&repository, &folder, "Manifest.db");
}

#[test]
fn what_is_damaged_is_told_once_the_password_is_there() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    edit_manifest(&folder, |plain| {
        let keys = wrapped_keys(plain);
        replace(plain, &keys[0], &[77]);
    });
    // Nobody can know.
    repository.run(&["import", text(&folder)]).code(0);
    repository.run(&["verify"]).code(0);
    let password = repository.beside("phone password");
    fs::write(&password, PASSWORD).unwrap();
    let args = ["reopen", "latest", "--phone-password-file", text(&password)];
    repository.run(&args).code(3).says(&["1 file without a key that opens it"]);
    assert_eq!(counted(&repository), (3, "incomplete".to_owned()));
    repository.assert_restores("latest", &folder);
    repository.run(&["verify"]).code(3);
}

#[test]
fn a_file_of_length_zero_has_16_bytes_as_stored_and_none_as_opened() {
    let repository = TestRepository::new();
    let folder = encrypted().write_to(repository.folder("a"));
    let path = stored("HomeDomain", "Library/empty");
    assert_eq!(fs::metadata(folder.join(&path)).unwrap().len(), 16);
    import(&repository, &folder);
    let listed = repository.run(&["ls", "--json", "latest", "HomeDomain/Library/empty"]).code(0);
    let entry = &listed.messages()[0];
    assert_eq!((&entry["len"], &entry["stored_len"]), (&0.into(), &16.into()));
    assert_eq!(entry["opened"], true);
    assert_eq!(cat(&repository, "latest", "HomeDomain/Library/empty"), b"");
    repository.assert_restores("latest", &folder);
}

#[test]
fn two_files_under_the_same_wrapped_key_are_both_opened() {
    let repository = TestRepository::new();
    let folder =
        encrypted().file("HomeDomain", "Library/b", "beta").write_to(repository.folder("a"));
    let mut wrapped = Vec::new();
    edit_manifest(&folder, |plain| {
        let mut rows = ManifestPages::open(plain.as_slice()).unwrap();
        let mut of = |name: &str| {
            let mut found = None;
            let visit = |row: Row| {
                if row.relative_path == name.as_bytes() {
                    found = MbFile::parse(&row.file).unwrap().encryption_key;
                }
                ControlFlow::Continue(())
            };
            rows.for_each_row(visit).unwrap();
            found.unwrap()
        };
        wrapped = vec![of("Library/a.db"), of("Library/b")];
        replace(plain, wrapped[1].as_bytes(), wrapped[0].as_bytes());
    });
    let locked = LockedKeys::parse(&fs::read(folder.join("Manifest.plist")).unwrap()).unwrap();
    let mut passwords = Passwords::new(vec![PhonePassword::new(PASSWORD).unwrap()]);
    let key = locked.unlock(&mut passwords).unwrap().file_key(&wrapped[0]).unwrap();
    let mut closing = Closing::new(&key);
    closing.push(b"beta", &mut |_: &[u8]| Ok::<_, ()>(())).unwrap();
    fs::write(folder.join(stored("HomeDomain", "Library/b")), closing.finish(12).unwrap()).unwrap();
    // Its digest is no longer what the list says, which is told and costs nothing.
    let summary = import(&repository, &folder);
    assert_eq!((&summary["opened_count"], &summary["kept_count"]), (&5.into(), &0.into()));
    for (path, bytes) in [("a.db", "alpha"), ("b", "beta")] {
        let path = format!("HomeDomain/Library/{path}");
        assert_eq!(cat(&repository, "latest", &path), bytes.as_bytes());
    }
    repository.assert_restores("latest", &folder);
}
