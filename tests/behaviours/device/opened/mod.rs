//! A phone that encrypts its backups, whose password is known: what it sends waits in the spool, and is opened.
//!
//! Invariant: russet is judged by what the same phone, with the same keys, gives a russet that opens nothing, and by the phone's
//! own word on what is in its files. Nothing may be left in the spool or the drafts once a command has ended well.

mod away;
mod crash;
#[cfg(target_os = "linux")]
mod forgotten;
mod images;
mod password;
mod reopen;
#[cfg(target_os = "linux")]
mod searched;
mod spool;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use russet_testkit::device::Script;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::support::{Ran, run, text};
use super::truth::Truth;
use super::{Scene, TestPhone, id};

/// No mux daemon is there.
const NO_PHONE: &str = "/nowhere/mux";
/// So small that a phone of ten MB fills several.
const SEGMENT_LEN: &str = "--spool-segment-len=1048576";

/// The spools of a repository that lie beside it.
fn spools(scene: &Scene) -> Vec<PathBuf> {
    let children = fs::read_dir(scene.repository.beside("")).unwrap().map(|child| child.unwrap());
    let is_spool = |name: &str| name.starts_with("russet-spool-");
    let found = children.filter(|child| is_spool(child.file_name().to_str().unwrap()));
    found.map(|child| child.path()).collect()
}

/// The segments of the only spool, in order.
fn segments(scene: &Scene) -> Vec<PathBuf> {
    let Some(spool) = spools(scene).pop() else { return Vec::new() };
    let Ok(children) = fs::read_dir(spool) else { return Vec::new() };
    let mut found: Vec<PathBuf> = children.flatten().map(|child| child.path()).collect();
    found.retain(|path| path.file_name().unwrap() != "owner");
    found.sort();
    found
}

/// The types of what a command told, but how far it was.
fn told(ran: &Ran) -> Vec<String> {
    let types = ran.messages().into_iter().map(|m| m["message_type"].as_str().unwrap().to_owned());
    types.filter(|message_type| message_type != "status").collect()
}

#[track_caller]
fn assert_nothing_left(scene: &Scene) {
    assert_eq!(spools(scene), Vec::<PathBuf>::new());
    assert_eq!(scene.draft_count(), 0);
    let drafts = fs::read_dir(scene.repository.path().join("drafts"));
    assert_eq!(drafts.map_or(0, |children| children.count()), 0, "an empty folder of a draft");
}

/// A command of a scene that knows no password.
fn without_password(scene: &Scene, address: &str, args: &[&str]) -> Ran {
    let mut command = scene.command(address, args);
    command.env_remove("RUSSET_PHONE_PASSWORD_FILE");
    run(command)
}

/// A file with a password beside the repository.
fn password_file(scene: &Scene, password: &str) -> String {
    let path = scene.repository.beside(&format!("password {password}"));
    fs::write(&path, format!("{password}\n")).unwrap();
    text(&path).to_owned()
}

/// Backs a phone up as it encrypted it.
#[track_caller]
fn backup_closed(scene: &Scene, phone: &TestPhone, script: Script) -> Value {
    let args = ["backup", "--json", "--store-encrypted"];
    without_password(scene, &phone.serve(script), &args).code(0).summary()
}

/// SHA-256 of every file of a backup folder but Info.plist, which is each host's own.
fn bytes_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = russet_testkit::damage::all_files(folder).unwrap();
    let name = |path: &PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let all =
        files.iter().map(|path| (name(path), Sha256::digest(fs::read(path).unwrap()).to_vec()));
    all.filter(|(name, _)| name != "Info.plist").collect()
}

#[track_caller]
fn assert_same_bytes(ours: &Path, theirs: &Path) {
    let (ours, theirs) = (bytes_of(ours), bytes_of(theirs));
    let differing: Vec<&String> = ours
        .keys()
        .chain(theirs.keys())
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .collect();
    assert_eq!(differing, Vec::<&String>::new());
    assert!(ours.len() > 100);
}

/// Some files of a snapshot are, to whoever has the repository's password, what is on the phone.
#[track_caller]
fn assert_readable(scene: &Scene, snapshot: &str, truth: &Truth) {
    for ((domain, path), (sha256, _)) in truth.files.iter().step_by(truth.files.len() / 6) {
        let ran = scene.repository.run(&["cat", snapshot, &format!("{domain}/{path}")]).code(0);
        let found: String = Sha256::digest(&ran.bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(&found, sha256, "{domain}/{path}");
    }
}

/// All files of a snapshot but the four of the host and Manifest.plist are opened.
#[track_caller]
fn assert_all_opened(summary: &Value) {
    let (files, opened) = (summary["files"].as_u64().unwrap(), summary["opened"].as_u64().unwrap());
    assert_eq!(opened, files - 3, "all but the three property lists: {summary}");
    assert_eq!((&summary["kept_encrypted"], &summary["verdict"]), (&0.into(), &"complete".into()));
}

#[test]
fn each_week_comes_back_as_the_phone_encrypted_it_and_can_be_read() {
    let (opening, closed) = (Scene::new(), Scene::new());
    let phone = TestPhone::paired_encrypted();
    let twin = phone.copy();
    for week in 0..4 {
        if week > 0 {
            phone.advance();
            twin.advance();
        }
        let args: &[&str] = if week == 2 { &["--full", SEGMENT_LEN] } else { &[SEGMENT_LEN] };
        let ran = opening.backup(&phone, Script::default(), args).code(0);
        assert!(ran.stdout.contains("the phone may be unplugged now"), "{}", ran.stdout);
        let args = [&["backup", "--json", "--store-encrypted"], &args[..args.len() - 1]].concat();
        without_password(&closed, &twin.serve(Script::default()), &args).code(0);
        assert_all_opened(&ran.summary());
        assert_nothing_left(&opening);
        let (ours, theirs) =
            (opening.repository.restore("latest"), closed.repository.restore("latest"));
        assert_same_bytes(&ours, &theirs);
        assert_readable(&opening, "latest", &phone.truth());
    }
    opening.repository.assert_sound();
    phone.assert_no_violation();
}

#[test]
fn an_encrypted_phone_that_is_opened_costs_what_it_costs_unencrypted() {
    let weeks = |phone: &TestPhone| {
        let scene = Scene::new();
        for week in 0..4 {
            if week > 0 {
                phone.advance();
            }
            let args: &[&str] = if week == 2 { &["--full"] } else { &[] };
            scene.backup(phone, Script::default(), args).code(0);
        }
        scene.repository.pack_len()
    };
    let (plain, opened) = (weeks(&TestPhone::paired()), weeks(&TestPhone::paired_encrypted()));
    // The keys of a small phone's files weigh more than those of a large one.
    assert!(opened * 100 < plain * 105, "{opened} bytes opened, {plain} unencrypted");
}

#[test]
fn a_phone_that_is_encrypted_for_a_week_costs_no_second_copy_of_itself() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    scene.backup_well(&phone);
    let truths = [phone.truth()];
    let whole_len = scene.repository.pack_len();
    let switched = |password: Option<&str>| {
        let mut state = phone.state();
        state.password = password.map(str::to_owned);
        state.full_next = true;
        state.save(&phone.folder()).unwrap();
        phone.advance();
        let before = scene.repository.pack_len();
        let summary = scene.backup_well(&phone);
        (summary, scene.repository.pack_len() - before)
    };
    let (on, on_len) = switched(Some(super::PHONE_PASSWORD));
    assert_all_opened(&on);
    assert_readable(&scene, id(&on), &phone.truth());
    scene.assert_restores(id(&on), &phone.truth().encrypted());
    let (off, off_len) = switched(None);
    assert_eq!(off["opened"], 0);
    scene.assert_restores(id(&off), &phone.truth());
    scene.assert_restores("latest~2", &truths[0]);
    assert!(on_len * 3 < whole_len && off_len * 3 < whole_len, "{on_len} {off_len} of {whole_len}");
    assert_nothing_left(&scene);
}

#[test]
fn what_the_base_holds_as_it_was_encrypted_is_opened_by_the_next_backup() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let first = backup_closed(&scene, &phone, Script::default());
    assert_eq!(first["opened"], 0);
    let before = scene.repository.restore(id(&first));
    phone.advance();
    let second = scene.backup_well(&phone);
    assert_all_opened(&second);
    assert_readable(&scene, id(&second), &phone.truth());
    scene.assert_restores(id(&second), &phone.truth().encrypted());
    assert_same_bytes(&scene.repository.restore(id(&first)), &before);
    assert_nothing_left(&scene);
    phone.assert_no_violation();
}

#[test]
fn a_snapshot_that_was_opened_goes_back_to_a_phone() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let truth = phone.truth();
    scene.backup_well(&phone);
    phone.opened(Script::default()).erase().unwrap();
    let file = password_file(&scene, super::PHONE_PASSWORD);
    let args = [
        "--yes",
        "restore",
        "latest",
        "--to-phone",
        "--no-safety-backup",
        "--phone-password-file",
        &file,
    ];
    scene.run(&phone.serve(Script::default()), &args).code(0);
    assert_eq!(phone.truth().files, truth.files);
    phone.assert_no_violation();
}
