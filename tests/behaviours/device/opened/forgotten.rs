//! What work with a phone learns of passwords and keys is forgotten when it is done.
//!
//! Invariant: the keys that are looked for are those of the snapshot that the command made or read: it is restored, and opened with
//! the password, while the command waits.

use super::super::super::memory::assert_forgets;
use super::super::super::secrets::Secrets;
use super::super::PHONE_PASSWORD;
use super::*;

/// What opens the newest snapshot, and the repository.
fn secrets(scene: &Scene) -> Secrets {
    let folder = scene.repository.restore("latest");
    let mut secrets = Secrets::of_encrypted(&folder, PHONE_PASSWORD).that_open();
    secrets.add_password("correct horse");
    secrets
}

#[test]
fn keys_are_forgotten_when_a_phone_is_backed_up() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    for _week in 0..2 {
        let address = phone.serve(Script::default());
        assert_forgets(scene.command(&address, &["backup"]), || secrets(&scene));
        phone.advance();
    }
}

#[test]
fn keys_are_forgotten_when_a_snapshot_is_reopened() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    backup_closed(&scene, &phone, Script::default());
    assert_forgets(scene.command(NO_PHONE, &["reopen"]), || secrets(&scene));
}

#[test]
fn keys_are_forgotten_when_a_snapshot_went_back_to_a_phone() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    scene.backup(&phone, Script::default(), &[]).code(0);
    let address = phone.serve(Script::default());
    let args = ["restore", "latest", "--yes", "--no-safety-backup", "--to-phone"];
    assert_forgets(scene.command(&address, &args), || secrets(&scene));
}

#[test]
fn both_passwords_are_forgotten_when_the_phone_has_another() {
    const NEW: &str = "Sl0es & hips";
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let (old, new) = (scene.repository.beside("old"), scene.repository.beside("new"));
    fs::write(&old, PHONE_PASSWORD).unwrap();
    fs::write(&new, NEW).unwrap();
    let address = phone.serve(Script::default());
    let args = [
        "phone-password",
        "change",
        "--old-password-file",
        text(&old),
        "--new-password-file",
        text(&new),
    ];
    assert_forgets(scene.command(&address, &args), || {
        let mut secrets = Secrets::one("the phone's password", PHONE_PASSWORD);
        secrets.add_password(NEW);
        secrets
    });
}
