//! Before a backup: which phones are there, and whether they trust this computer.

use russet_testkit::device::Script;

use super::super::support::Running;
use super::{Scene, TestPhone, id, prompts};

#[test]
fn the_only_phone_is_paired_by_its_first_backup_and_comes_back() {
    let (scene, phone) = (Scene::new(), TestPhone::new(1));
    let script = Script { trust_polls: 2, ..Script::default() };
    let address = phone.serve_at("127.0.0.1:0", script);
    let ran = scene.run(&address, &["backup", "--json"]).code(0);
    assert_eq!(prompts(&ran), ["trust_on_phone", "passcode_on_phone"]);
    let summary = ran.summary();
    assert_eq!(summary["udid"], phone.udid());
    assert_eq!(summary["verdict"], "complete");
    assert_eq!(summary["kind"], "usb");
    assert!(summary["received_len"].as_u64().unwrap() > phone.truth().len());
    scene.assert_restores(id(&summary), &phone.truth());
    scene.repository.assert_sound();
    assert_eq!(scene.draft_count(), 0);
    phone.assert_no_violation();
}

#[test]
fn pairing_waits_for_trust_and_once_is_enough() {
    let (scene, phone) = (Scene::new(), TestPhone::new(2));
    let address = phone.serve(Script { trust_polls: 1, ..Script::default() });
    let ran = scene.run(&address, &["pair"]).code(0).says(&["Trust"]);
    assert!(ran.stdout.contains("Blue iPhone trusts this computer"), "{}", ran.stdout);
    let asked = |phone: &TestPhone| {
        let requests = phone.noted("request");
        requests.iter().filter(|request| request["Request"] == "Pair").count()
    };
    let before = asked(&phone);
    assert!(before >= 2);
    scene.run(&address, &["pair"]).code(0);
    scene.run(&address, &["backup"]).code(0);
    assert_eq!(asked(&phone), before);
    phone.assert_no_violation();
}

#[test]
fn a_refused_pairing_ends_with_15_and_says_how_to_be_asked_again() {
    let (scene, phone) = (Scene::new(), TestPhone::new(3));
    let address = phone.serve(Script { deny_pairing: true, ..Script::default() });
    for verb in ["pair", "backup"] {
        let ran = scene.run(&address, &[verb]).code(15);
        ran.says(&["error: ", "next: plug the iPhone in again to be asked anew"]);
    }
    assert!(scene.repository.snapshots().is_empty());
    assert_eq!(scene.draft_count(), 0);
}

#[test]
fn a_locked_phone_cannot_be_paired_and_can_be_backed_up_once_it_is() {
    let (scene, phone) = (Scene::new(), TestPhone::new(4));
    let locked = || phone.serve(Script { locked: true, ..Script::default() });
    let ran = scene.run(&locked(), &["pair", "--timeout", "2s"]).code(15);
    ran.says(&["error: ", "unlock the iPhone"]);
    scene.run(&phone.serve(Script::default()), &["pair"]).code(0);
    // The record of the pairing holds what opens a locked phone's services.
    let ran = scene.run(&locked(), &["backup", "--json"]).code(0);
    scene.assert_restores(id(&ran.summary()), &phone.truth());
    phone.assert_no_violation();
}

#[test]
fn a_passcode_that_comes_late_is_waited_for() {
    let (scene, phone) = (Scene::new(), TestPhone::new(5));
    let passcode = russet_testkit::device::Passcode::After(1500);
    let ran = scene.backup(&phone, Script { passcode, ..Script::default() }, &[]).code(0);
    assert!(prompts(&ran).contains(&"passcode_on_phone".to_owned()));
}

#[test]
fn devices_tells_of_a_phone_before_and_after_it_trusts_this_computer() {
    let (scene, phone) = (Scene::new(), TestPhone::new(6));
    let address = phone.serve(Script::default());
    let before = scene.run(&address, &["devices", "--json"]).code(0).messages();
    let [device] = before.as_slice() else { panic!("{before:?}") };
    assert_eq!(device["message_type"], "device");
    assert_eq!(device["udid"], phone.udid());
    assert_eq!(device["connection"], "usb");
    assert_eq!(device["trusted"], false);
    let words = scene.run(&address, &["devices"]).code(0);
    words.says_of(&phone.udid(), &format!("`russet pair {}`", phone.udid()));
    scene.run(&address, &["pair"]).code(0);
    let after = scene.run(&address, &["devices", "--json"]).code(0).messages();
    assert_eq!(after[0]["trusted"], true);
    assert_eq!(after[0]["name"], "Blue iPhone");
    assert_eq!(after[0]["encrypted"], false);
    let words = scene.run(&address, &["devices"]).code(0).stdout;
    let [head, row] = words.lines().collect::<Vec<_>>()[..] else { panic!("{words}") };
    for (column, value) in
        [("phone", "Blue iPhone"), ("backups", "NOT encrypted"), ("UDID", &phone.udid())]
    {
        assert_eq!(head.find(column), row.find(value), "{words}");
    }
}

#[test]
fn without_a_mux_daemon_no_phone_is_found() {
    let scene = Scene::new();
    let nowhere = scene.repository.beside("no daemon");
    for args in [&["devices"][..], &["pair"], &["backup"]] {
        let ran = scene.run(nowhere.to_str().unwrap(), args).code(14);
        ran.says(&["error: ", "next: plug the iPhone in; if it is, install usbmuxd"]);
    }
    let ran = scene.run("/a b:c d", &["devices"]);
    assert_eq!(ran.exit, Some(14), "a path may hold anything: {}", ran.stderr);
    scene.run("nonsense", &["devices"]).code(2).says(&["USBMUXD_SOCKET_ADDRESS"]);
}

#[test]
fn a_dry_run_names_the_phone_and_writes_nothing() {
    let (scene, phone) = (Scene::new(), TestPhone::new(7));
    let address = phone.serve(Script::default());
    scene.run(&address, &["pair"]).code(0);
    let before = scene.repository.files("");
    let ran = scene.run(&address, &["backup", "--dry-run"]).code(0);
    assert!(
        ran.stdout.contains("Blue iPhone (") && ran.stdout.contains("would be backed up"),
        "{}",
        ran.stdout
    );
    let ran = scene.run(&address, &["backup", "-n", "--json"]).code(0);
    assert_eq!(ran.summary()["udid"], phone.udid());
    assert_eq!(scene.repository.files(""), before);
    assert_eq!(phone.state().run, 0);
}

#[test]
fn a_phone_is_meant_by_its_name_or_udid_and_no_other_is_taken() {
    let (scene, phone) = (Scene::new(), TestPhone::new(8));
    let address = phone.serve(Script::default());
    scene.run(&address, &["pair"]).code(0);
    let ran = scene.run(&address, &["backup", "Red iPhone"]).code(14);
    ran.says(&["no connected iPhone is called \"Red iPhone\"", "`russet devices` lists"]);
    for word in ["blue iphone", &phone.udid()[..13]] {
        scene.run(&address, &["backup", "-n", word]).code(0);
    }
    // Named twice, it is still one phone.
    scene.run(&address, &["backup", "Blue iPhone", &phone.udid()]).code(0);
    assert_eq!(scene.repository.snapshots().len(), 1);
}

#[test]
fn a_phone_that_is_not_there_yet_is_waited_for() {
    let (scene, phone) = (Scene::new(), TestPhone::new(9));
    let address = phone.folder().join("later").to_str().unwrap().to_owned();
    let args = ["backup", "--wait-for-device", "50s"];
    let running = Running::start(scene.command(&address, &args));
    std::thread::sleep(std::time::Duration::from_millis(700));
    phone.serve_at(&address, Script::default());
    running.wait().code(0);
    let args = ["backup", "--wait-for-device", "1s"];
    scene.run(scene.repository.beside("never").to_str().unwrap(), &args).code(14);
}
