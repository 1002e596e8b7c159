//! What has rotted in a repository, and what a phone that still has it can do for that.
//!
//! Invariant: the advice that is given heals what it is given for.

use std::fs;
use std::path::PathBuf;

use russet_testkit::damage::flip_bit;
use russet_testkit::device::Script;

use super::super::support::{fake, text};
use super::{Scene, TestPhone, id};

const LOST: &str = "would not come back";

/// Spoils some of the largest pack, which is still listed, and all that is not spoiled still read.
fn rot(scene: &Scene) -> PathBuf {
    let len = |path: &PathBuf| fs::metadata(path).unwrap().len();
    let pack = scene.repository.files("packs").into_iter().max_by_key(len).unwrap();
    for part in [1, 2, 3] {
        flip_bit(&pack, len(&pack) * part / 4, 3).unwrap();
    }
    pack
}

#[test]
fn what_has_rotted_is_stored_again_by_a_full_backup_as_verify_says() {
    for phone in [TestPhone::paired(), TestPhone::paired_encrypted()] {
        let scene = Scene::new();
        let first = scene.backup_well(&phone);
        let truth = phone.truth();
        let truth = if phone.state().password.is_some() { truth.encrypted() } else { truth };
        rot(&scene);
        let ran = scene.repository.run(&["verify", "--read-data"]).code(20);
        assert!(ran.stdout.contains(LOST), "{}", ran.stdout);
        assert!(!ran.stderr.contains("import --force"), "{}", ran.stderr);
        ran.says(&["next: ", "`russet backup --full`"]);
        // It is incomplete if chance has hit the list that the phone asks back.
        let ran = scene.backup(&phone, Script::default(), &[]);
        assert!(matches!(ran.exit, Some(0 | 3)), "{ran:?}");
        let ran = scene.repository.run(&["verify", "--read-data"]).code(20);
        assert!(ran.stdout.contains(LOST), "what a backup does not look at heals by chance");
        scene.backup(&phone, Script::default(), &["--full"]).code(0);
        scene.assert_restores(id(&first), &truth);
        let ran = scene.repository.run(&["verify", "--read-data"]).code(20);
        assert!(!ran.stdout.contains(LOST), "{}", ran.stdout);
    }
}

#[test]
fn of_a_folder_and_a_phone_each_is_told_its_own_way_to_heal() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let folder = fake().write_to(scene.repository.folder("a"));
    scene.repository.import(&folder);
    rot(&scene);
    let ran = scene.repository.run(&["verify", "--read-data"]).code(20);
    assert!(!ran.stderr.contains("backup --full"), "{}", ran.stderr);
    ran.says(&["`russet import --force FOLDER`"]);
    scene.repository.run(&["import", "--force", text(&folder)]).code(0);
    scene.backup_well(&phone);
    rot(&scene);
    let ran = scene.repository.run(&["verify", "--read-data", "--json"]).code(20);
    let hits = ran.messages().into_iter().filter(|m| m["message_type"] == "hit");
    assert_eq!(hits.map(|hit| hit["kind"].clone()).collect::<Vec<_>>(), ["usb"]);
}
