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

#[test]
fn keys_are_forgotten_when_a_backup_that_waited_is_made() {
    const WRONG: &str = "never on any phone";
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let wrong = scene.repository.beside("wrong");
    fs::write(&wrong, WRONG).unwrap();
    let args = ["backup", "--phone-password-file", text(&wrong)];
    scene.run(&phone.serve(Script::default()), &args).code(22);
    assert_forgets(scene.command(NO_PHONE, &["reopen"]), || {
        let mut secrets = secrets(&scene);
        secrets.add_password(WRONG);
        secrets
    });
}

#[test]
fn a_password_that_is_kept_or_no_longer_kept_is_forgotten() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    scene.backup(&phone, Script::default(), &["--no-remember"]).code(0);
    for args in [
        &["phone-password", "remember", "latest"][..],
        &["phone-password", "forget", "latest", "--yes"],
        &["phone-password", "remember", "latest"],
        &["phone-password", "forget", "--all", "--yes"],
    ] {
        assert_forgets(scene.command(NO_PHONE, args), || secrets(&scene));
    }
}

#[test]
fn the_repositorys_passwords_are_forgotten_when_it_has_another() {
    const NEW: &str = "battery staple";
    let scene = Scene::new();
    let new = scene.repository.beside("new");
    fs::write(&new, NEW).unwrap();
    for verb in ["add", "passwd"] {
        let args = ["key", verb, "--new-password-file", text(&new)];
        assert_forgets(scene.command(NO_PHONE, &args), || {
            let mut secrets = Secrets::one("the old password", "correct horse");
            secrets.add_password(NEW);
            secrets
        });
    }
}
