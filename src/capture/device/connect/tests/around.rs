//! The services around a backup.

use super::scripted::Scripted;
use super::*;
use crate::apple::Info;
use russet_testkit::device::Script;
use std::time::{Duration, Instant, SystemTime};

const LOCK: &str = "\"operation\":27";

/// What was posted, in order, without what the phone itself tells.
fn posted(phone: &Scripted) -> Vec<String> {
    let journal = phone.journal();
    // The last line may be half written.
    let whole = journal.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines = whole.lines().map(|line| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        (line["event"].as_str().unwrap().to_owned(), line["detail"].to_string())
    });
    let posts = lines.filter(|(event, _)| event == "posted").map(|(_, name)| name);
    posts.map(|name| name.trim_matches('"').rsplit('.').next().unwrap().to_owned()).collect()
}

/// The journal is written on the phone's threads: waits for what must come.
fn soon(what: impl Fn() -> bool) -> bool {
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(60) {
        if what() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    false
}

#[test]
fn the_sync_lock_is_taken_told_and_released() {
    let phone = Scripted::new();
    let guard = SyncGuard::begin(&mut phone.phone()).unwrap();
    assert!(soon(|| posted(&phone) == ["syncWillStart", "syncLockRequest", "syncDidStart"]));
    guard.finish().unwrap();
    assert!(soon(|| posted(&phone).last().is_some_and(|last| last == "syncDidFinish")));
    assert_eq!(phone.journal().matches(LOCK).count(), 2);
    assert!(!phone.has_violations());
}

#[test]
fn a_guard_lets_go_even_after_a_stop() {
    let phone = Scripted::new();
    phone.pair();
    let is_over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flag = std::sync::Arc::clone(&is_over);
    let stop: Stop = std::sync::Arc::new(move || flag.load(std::sync::atomic::Ordering::Relaxed));
    let muxer = phone.muxer.clone().with_stop(stop);
    let mut stopped = Phone::connect(&muxer, &phone.attached()).unwrap();
    let guard = SyncGuard::begin(&mut stopped).unwrap();
    is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    guard.finish().unwrap();
    assert!(soon(|| posted(&phone).last().is_some_and(|last| last == "syncDidFinish")));
    assert_eq!(phone.journal().matches(LOCK).count(), 2);
}

#[test]
fn a_guard_that_is_dropped_lets_go() {
    let phone = Scripted::new();
    drop(SyncGuard::begin(&mut phone.phone()).unwrap());
    assert!(soon(|| posted(&phone).last().is_some_and(|last| last == "syncDidFinish")));
    assert_eq!(phone.journal().matches(LOCK).count(), 2);
}

#[test]
fn a_lock_that_somebody_else_holds_is_waited_for() {
    let phone = Scripted::new();
    let mut paired = phone.phone();
    let first = SyncGuard::begin(&mut paired).unwrap();
    let other = std::thread::spawn(move || SyncGuard::begin(&mut paired).map(drop));
    assert!(soon(|| phone.journal().matches(LOCK).count() >= 3), "it asks again");
    first.finish().unwrap();
    other.join().unwrap().unwrap();
    assert!(!phone.has_violations());
}

#[test]
fn a_phone_without_a_lock_is_told_that_nothing_came_of_it() {
    let phone = Scripted::new();
    let mut paired = phone.phone();
    let _held = SyncGuard::begin(&mut paired).unwrap();
    let since = Instant::now();
    let stop: Stop = std::sync::Arc::new(move || since.elapsed() > Duration::from_secs(3));
    let muxer = phone.muxer.clone().with_stop(stop);
    let mut second = Phone::connect(&muxer, &phone.attached()).unwrap();
    let error = SyncGuard::begin(&mut second).unwrap_err();
    assert!(matches!(error, ConnectError::Stopped), "{error}");
    assert!(soon(|| posted(&phone).last().is_some_and(|last| last == "syncDidFinish")));
}

#[test]
fn what_the_phone_tells_is_heard() {
    let phone = Scripted::new();
    let mut paired = phone.phone();
    let guard = SyncGuard::begin(&mut paired).unwrap();
    let mut other = paired.start_service("com.apple.mobile.notification_proxy", false).unwrap();
    let told = [
        ("com.apple.LocalAuthentication.ui.presented", Notification::PasscodeShown),
        ("com.apple.LocalAuthentication.ui.dismissed", Notification::PasscodeDismissed),
        ("com.apple.itunes-client.syncCancelRequest", Notification::CancelRequested),
    ];
    for (name, expected) in told {
        let post =
            message::dictionary([("Command", "PostNotification".into()), ("Name", name.into())]);
        message::send(&mut other, post).unwrap();
        let heard = guard.notifications().recv_timeout(Duration::from_secs(60)).unwrap();
        assert_eq!(heard, expected);
    }
}

#[test]
fn a_heartbeat_is_answered_until_it_is_dropped() {
    let phone = Scripted::new();
    let heartbeat = Heartbeat::start(&mut phone.phone()).unwrap();
    std::thread::sleep(Duration::from_millis(1_300));
    assert!(!heartbeat.has_ended());
    let since = Instant::now();
    drop(heartbeat);
    assert!(since.elapsed() < Duration::from_secs(40));
    assert!(!phone.has_violations());
}

#[test]
fn a_file_is_written_read_up_to_a_limit_and_removed() {
    let phone = Scripted::new();
    let mut media = Media::open(&mut phone.phone()).unwrap();
    let bytes: Vec<u8> = (0..700_001_u32).map(|n| n.to_le_bytes()[0]).collect();
    media.create_directory("/iTunesRestore").unwrap();
    media.create_directory("/iTunesRestore").unwrap();
    media.write_file("/iTunesRestore/RestoreApplications.plist", &bytes).unwrap();
    let path = "/iTunesRestore/RestoreApplications.plist";
    assert_eq!(media.read_file(path, 700_001).unwrap(), Some(bytes));
    let error = media.read_file(path, 700_000).unwrap_err();
    assert!(matches!(error, ConnectError::TooLong { .. }), "{error}");
    media.remove(path).unwrap();
    media.remove(path).unwrap();
    assert_eq!(media.read_file(path, 1).unwrap(), None);
    assert!(!phone.has_violations());
}

#[test]
fn a_file_operation_that_is_refused_is_quoted_by_its_number() {
    let phone = Scripted::new();
    let mut media = Media::open(&mut phone.phone()).unwrap();
    let error = media.read_file("/Books", 1).unwrap_err();
    assert!(matches!(error, ConnectError::File { code: 9 }), "{error}");
}

#[test]
fn a_phone_that_tells_what_product_it_is_has_that_in_its_info_plist() {
    let phone = Scripted::tcp(Script { tells_product_name: true, ..Script::default() });
    let mut paired = phone.phone();
    let pieces = gather(&mut paired).unwrap();
    let bytes = info_plist(&paired.values().unwrap(), &pieces, None).unwrap();
    assert_eq!(Info::parse(&bytes).unwrap().product_name.as_deref(), Some("iPhone 13"));
    assert!(!phone.has_violations());
}

#[test]
fn an_info_plist_made_of_a_phone_has_every_key() {
    let phone = Scripted::new();
    let mut paired = phone.phone();
    let values = paired.values().unwrap();
    let pieces = gather(&mut paired).unwrap();
    assert!(pieces.remarks.is_empty(), "{:?}", pieces.remarks);
    let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
    let bytes = info_plist(&values, &pieces, Some(date)).unwrap();

    let info = Info::parse(&bytes).unwrap();
    assert_eq!(info.device_name, values.name);
    assert_eq!(info.display_name, values.name);
    assert_eq!(info.product_type, values.product_type);
    assert_eq!(info.product_version, values.product_version);
    assert_eq!(info.build_version, values.build_version);
    assert_eq!(info.serial_number, values.serial_number);
    assert_eq!(info.target_identifier.as_ref(), Some(&phone.udid));
    assert_eq!(info.unique_identifier, Some(phone.udid.to_uppercase()));
    assert_eq!(info.last_backup_date.unwrap().as_second(), 1_790_000_000);
    assert_eq!(info.installed_application_count, Some(pieces.apps.len() as u64));
    assert_eq!(info.product_name, None, "iOS 18 does not tell it, and no name is invented");

    let list = message::parse(&bytes, "test").unwrap();
    let keys: Vec<&str> = list.keys().map(String::as_str).collect();
    for key in [
        "Applications",
        "GUID",
        "ICCID",
        "IMEI",
        "MEID",
        "Phone Number",
        "Target Type",
        "iTunes Files",
        "iTunes Settings",
        "iTunes Version",
    ] {
        assert!(keys.contains(&key), "{key} is not among {keys:?}");
    }
    let apps = list["Applications"].as_dictionary().unwrap();
    let bought = pieces.apps.iter().filter(|app| app.purchase.is_some()).count();
    assert!(bought > 0 && bought < pieces.apps.len());
    assert_eq!(apps.len(), bought);
    for app in apps.values() {
        let members = app.as_dictionary().unwrap();
        assert_eq!(members.len(), 3, "both records and the icon");
    }
    assert_eq!(list["iTunes Files"].as_dictionary().unwrap().len(), 1);
    assert!(!phone.has_violations());
}
