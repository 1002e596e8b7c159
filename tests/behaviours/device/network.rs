//! Phones in the network.
//!
//! Invariant: a phone is taken over the network only where that was asked for and no cable leads to it.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use russet_testkit::device::{Connection, Passcode, Script};

use super::cuts::calm;
use super::{Scene, TestPhone, id};

/// A phone whose services end when nobody answered for 0.3 s, while its owner takes 1.5 s for the passcode.
fn in_the_network() -> Script {
    let passcode = Passcode::After(1500);
    Script { connection: Connection::Network, heartbeat: Some(300), passcode, ..calm() }
}

/// How a phone was attached, as the record of a snapshot says.
fn kind(scene: &Scene) -> String {
    let opened = scene.repository.open();
    let (snapshots, _) = russet::snapshot::record::all(&opened.repository);
    snapshots.first().unwrap().record.kind.clone()
}

#[test]
fn a_phone_in_the_network_is_backed_up_where_that_is_asked_for() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let address = phone.serve(in_the_network());
    scene.run(&address, &["backup"]).code(14).says(&["russet backup --wifi"]);
    let ran = scene.run(&address, &["phone-password", "status"]).code(14);
    ran.says(&["this needs the cable"]);
    let summary = scene.run(&address, &["backup", "--wifi", "--json"]).code(0).summary();
    scene.assert_restores(id(&summary), &phone.truth());
    assert_eq!(kind(&scene), "wifi");
    phone.assert_no_violation();
}

#[test]
fn a_phone_that_is_there_both_ways_is_one_and_taken_by_its_cable() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let address = phone.serve(Script { connection: Connection::Both, ..calm() });
    assert_eq!(scene.run(&address, &["devices", "--json"]).code(0).messages().len(), 1);
    let args = ["backup", "--all", "--wifi", "--json"];
    let summary = scene.run(&address, &args).code(0).summary();
    scene.assert_restores(id(&summary), &phone.truth());
    assert_eq!((scene.repository.snapshots().len(), kind(&scene)), (1, "usb".to_owned()));
}

#[test]
fn a_phone_is_told_to_answer_over_wifi_where_that_is_asked_for() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let address = phone.serve(calm());
    let was_told = || phone.noted("request").iter().any(|asked| asked["Request"] == "SetValue");
    scene.run(&address, &["pair"]).code(0);
    assert!(!was_told());
    scene.run(&address, &["pair", "--wifi"]).code(0);
    let told = phone.noted("request").into_iter().find(|asked| asked["Request"] == "SetValue");
    let told = told.unwrap();
    assert_eq!(told["Domain"], "com.apple.mobile.wireless_lockdown");
    assert_eq!((&told["Key"], &told["Value"]), (&"EnableWifiConnections".into(), &true.into()));
}

#[test]
fn a_watch_tells_the_phones_that_are_there_and_ends_when_it_is_stopped() {
    let (scene, phone) = (Scene::new(), TestPhone::paired());
    let mut watch = scene.command(&phone.serve(calm()), &["devices", "--watch", "--json"]);
    let mut child = watch.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    let device: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&device["udid"], &device["trusted"]), (&phone.udid().into(), &true.into()));
    let sent = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    assert!(lines.next().is_none());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
