//! The iPhone backup password, asked for at a terminal.

use std::process::Command;

use russet_testkit::device::Script;

use super::super::support::run;
use super::super::terminal::Terminal;
use super::{PHONE_PASSWORD, Scene, TestPhone};

const ASKED: &str = "iPhone backup password of Blue iPhone";

/// A backup for which no password is given beforehand.
fn without_password(scene: &Scene, phone: &TestPhone) -> Command {
    let mut command = scene.command(&phone.serve(Script::default()), &["backup"]);
    command.env_remove("RUSSET_PHONE_PASSWORD_FILE");
    command
}

/// The same at a terminal, where there is one.
fn backup(scene: &Scene, phone: &TestPhone) -> Option<Terminal> {
    Terminal::start(&without_password(scene, phone))
}

#[test]
fn the_phones_password_is_asked_for_once_and_again_if_it_is_wrong_and_never_shown() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let Some(mut terminal) = backup(&scene, &phone) else { return };
    terminal.wait_for(ASKED, 1);
    terminal.type_hidden("a wrong one");
    terminal.wait_for("That is not the password of this backup", 1);
    terminal.wait_for(ASKED, 2);
    terminal.type_hidden(PHONE_PASSWORD);
    let ran = terminal.end().code(0);
    assert_eq!(ran.stdout.matches(ASKED).count(), 2, "{}", ran.stdout);
    for password in ["a wrong one", PHONE_PASSWORD] {
        assert!(!ran.stdout.contains(password), "{}", ran.stdout);
    }
    scene.assert_restores("latest", &phone.truth().encrypted());
    // Now it is kept: nobody is asked.
    phone.advance();
    let Some(terminal) = backup(&scene, &phone) else { return };
    let ran = terminal.end().code(0);
    assert!(!ran.stdout.contains(ASKED), "{}", ran.stdout);
}

#[test]
fn whoever_goes_instead_of_typing_another_password_keeps_what_came() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let Some(mut terminal) = backup(&scene, &phone) else { return };
    terminal.wait_for(ASKED, 1);
    terminal.type_hidden("a wrong one");
    terminal.wait_for(ASKED, 2);
    terminal.wait_until_hidden();
    terminal.signal("TERM");
    terminal.end().code(130).says(&["error: ", "all that the iPhone sent is kept"]);
    scene.run("/nowhere/mux", &["reopen"]).code(0);
    scene.assert_restores("latest", &phone.truth().encrypted());
}

#[test]
fn without_a_terminal_nobody_is_asked() {
    let (scene, phone) = (Scene::new(), TestPhone::paired_encrypted());
    let ran = run(without_password(&scene, &phone)).code(2);
    assert!(!ran.stderr.contains(ASKED) && ran.stdout.is_empty(), "{}", ran.stderr);
}
