//! Finding, trusting and asking a phone.

use super::scripted::Scripted;
use super::*;
use russet_testkit::device::Script;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NOTIFICATION_PROXY: &str = "com.apple.mobile.notification_proxy";
const MOBILE_BACKUP: &str = "com.apple.mobilebackup2";

#[test]
fn an_attached_phone_is_told_over_tcp_and_over_a_unix_socket() {
    for phone in [Scripted::new(), Scripted::unix(Script::default())] {
        let all = phone.muxer.list().unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].udid, phone.udid);
        assert_eq!(all[0].connection, Connection::Usb);
    }
}

#[test]
fn a_watch_tells_the_phones_that_are_there_and_ends_when_told() {
    let phone = Scripted::new();
    let mut told = Vec::new();
    let mut on_change = |all: &[Attached]| {
        told.extend(all.iter().map(|each| each.udid.clone()));
        ControlFlow::Break(())
    };
    phone.muxer.watch(&mut on_change, Arc::new(|| false)).unwrap();
    assert_eq!(told, [phone.udid]);
}

#[test]
fn a_watch_without_news_ends_soon_after_its_stop() {
    let phone = Scripted::new();
    let since = Instant::now();
    let stop: Stop = Arc::new(move || since.elapsed() > Duration::from_millis(300));
    phone.muxer.watch(&mut |_| ControlFlow::Continue(()), stop).unwrap();
    assert!(since.elapsed() < Duration::from_secs(40));
}

#[test]
fn a_phone_that_was_never_paired_says_so() {
    let phone = Scripted::new();
    let error = Phone::connect(&phone.muxer, &phone.attached()).unwrap_err();
    assert!(matches!(error, ConnectError::NotPaired), "{error}");
}

#[test]
fn a_pairing_waits_for_the_owner_and_then_holds() {
    let phone = Scripted::tcp(Script { trust_polls: 2, ..Script::default() });
    let mut states = Vec::new();
    phone
        .try_pair(&mut |state| {
            states.push(state);
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(states, [PairState::DialogWaiting; 2]);
    Phone::connect(&phone.muxer, &phone.attached()).unwrap();
    assert!(!phone.has_violations());
}

#[test]
fn the_private_key_of_the_root_stays_here() {
    let phone = Scripted::new();
    phone.pair();
    let journal = phone.journal();
    assert!(journal.contains("RootCertificate"));
    assert!(!journal.contains("RootPrivateKey"));
}

#[test]
fn a_pairing_that_is_denied_or_given_up_says_so() {
    let denied = Scripted::tcp(Script { deny_pairing: true, ..Script::default() });
    let error = denied.try_pair(&mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, ConnectError::Denied), "{error}");

    let waiting = Scripted::tcp(Script { trust_polls: 99, ..Script::default() });
    let error = waiting.try_pair(&mut |_| ControlFlow::Break(())).unwrap_err();
    assert!(matches!(error, ConnectError::Stopped), "{error}");
}

#[test]
fn a_pairing_says_what_it_still_waited_for_when_time_is_up() {
    let phone = Scripted::tcp(Script { locked: true, ..Script::default() });
    let mut states = Vec::new();
    let mut told = |state| {
        states.push(state);
        ControlFlow::Continue(())
    };
    let error = pair(&phone.muxer, &phone.attached(), "T", Duration::ZERO, &mut told).unwrap_err();
    assert!(matches!(error, ConnectError::PasswordProtected), "{error}");
    assert_eq!(states, [PairState::Locked]);
}

#[test]
fn a_phone_tells_its_values_to_a_paired_computer() {
    let phone = Scripted::new();
    let values = phone.phone().values().unwrap();
    assert_eq!(values.udid, Some(phone.udid.clone()));
    assert!(values.name.is_some() && values.serial_number.is_some());
    assert_eq!(values.phone_number.as_deref(), Some("+1 (555) 010-9999"));
    assert_eq!(values.imei.as_deref(), Some("356938035643809"));
    assert_eq!((values.battery_percent, values.is_charging), (Some(80), Some(true)));
    assert_eq!(values.total_data_len, Some(64_100_000_000));
    assert_eq!(values.free_data_len, Some(64_000_000_000));
    assert_eq!((values.will_encrypt, values.is_find_my_on), (Some(false), Some(false)));
    assert_eq!(values.is_wifi_on, Some(false));
    assert_eq!(values.min_itunes_version.as_deref(), Some("12.12"));
    assert!(values.itunes_settings.is_some_and(|settings| settings.is_empty()));
}

#[test]
fn nothing_private_is_shown_for_debugging() {
    let phone = Scripted::new();
    let mut paired = phone.phone();
    let shown = format!("{paired:?} {:?}", paired.values().unwrap());
    assert!(!shown.contains("0109999") && !shown.contains("356938"), "{shown}");
    assert!(!shown.contains("BEGIN"), "{shown}");
}

#[test]
fn a_service_speaks_over_tls_and_in_the_clear_over_tcp_and_over_a_unix_socket() {
    for service_tls in [true, false] {
        let script = Script { service_tls, ..Script::default() };
        for phone in [Scripted::tcp(script.clone()), Scripted::unix(script)] {
            let mut stream = phone.phone().start_service(NOTIFICATION_PROXY, false).unwrap();
            let is_tls = format!("{stream:?}").contains("tls");
            assert_eq!(is_tls, service_tls);
            message::send(&mut stream, message::dictionary([("Command", "Shutdown".into())]))
                .unwrap();
            let answer = message::receive(&mut stream, "the phone").unwrap();
            assert_eq!(message::text(&answer, "Command"), "ProxyDeath");
            assert!(!phone.has_violations());
        }
    }
}

#[test]
fn an_unknown_service_is_named() {
    let error = Scripted::new().phone().start_service("com.example.none", false).unwrap_err();
    let ConnectError::NoSuchService { service } = error else { panic!("{error}") };
    assert_eq!(service, "com.example.none");
}

#[test]
fn a_locked_phone_starts_a_backup_with_the_escrow_bag_only() {
    let phone = Scripted::new();
    phone.pair();
    let locked = phone.relocked();
    let mut paired = Phone::connect(&locked.muxer, &locked.attached()).unwrap();
    let error = paired.start_service(MOBILE_BACKUP, false).unwrap_err();
    assert!(matches!(error, ConnectError::PasswordProtected), "{error}");
    paired.start_service(MOBILE_BACKUP, true).unwrap();
    assert!(!locked.journal().contains("the escrow bag is the one of the pairing"));
}

#[test]
fn an_unpaired_phone_is_unknown_on_both_sides() {
    let phone = Scripted::new();
    phone.phone().unpair().unwrap();
    let error = Phone::connect(&phone.muxer, &phone.attached()).unwrap_err();
    assert!(matches!(error, ConnectError::NotPaired), "{error}");
    assert!(!phone.has_violations());
}

#[test]
fn a_phone_that_forgot_this_computer_says_so() {
    let phone = Scripted::new();
    phone.pair();
    let record = phone.muxer.pair_record(&phone.udid).unwrap();
    Phone::connect(&phone.muxer, &phone.attached()).unwrap().unpair().unwrap();
    phone.muxer.save_pair_record(&phone.attached(), &record).unwrap();
    let error = Phone::connect(&phone.muxer, &phone.attached()).unwrap_err();
    assert!(matches!(error, ConnectError::PairingGone), "{error}");
}

#[test]
fn over_the_network_the_phone_must_show_the_certificate_of_the_pairing() {
    let phone = Scripted::new();
    phone.pair();
    let attached = Attached { connection: Connection::Network, ..phone.attached() };
    Phone::connect(&phone.muxer, &attached).unwrap();

    let record = phone.muxer.pair_record(&phone.udid).unwrap();
    let mut forged = message::parse(&record, "test").unwrap();
    let other = forged.get("HostCertificate").cloned().unwrap();
    forged.insert("DeviceCertificate".into(), other);
    let mut bytes = Vec::new();
    message::write_xml(forged, &mut bytes).unwrap();
    phone.muxer.save_pair_record(&attached, &bytes).unwrap();
    let error = Phone::connect(&phone.muxer, &attached).unwrap_err();
    assert!(matches!(error, ConnectError::NotThePhone), "{error:?}");
}

#[test]
fn a_damaged_pair_record_is_told_from_a_missing_one() {
    let phone = Scripted::new();
    phone.muxer.save_pair_record(&phone.attached(), b"nonsense").unwrap();
    let error = Phone::connect(&phone.muxer, &phone.attached()).unwrap_err();
    assert!(matches!(error, ConnectError::PairRecordDamaged), "{error}");
}

#[test]
fn wifi_can_be_switched_on() {
    let phone = Scripted::new();
    phone.phone().enable_wifi().unwrap();
    let journal = phone.journal();
    let set = journal.lines().find(|line| line.contains("SetValue")).unwrap();
    assert!(set.contains("EnableWifiConnections") && set.contains("\"Value\":true"), "{set}");
}

#[test]
fn a_conversation_that_the_phone_ended_is_begun_again() {
    let phone = Scripted::new();
    let mut paired = phone.phone();
    paired.lockdown().ask("Goodbye", plist::Dictionary::new()).unwrap();
    paired.start_service(NOTIFICATION_PROXY, true).unwrap();
    paired.lockdown().ask("Goodbye", plist::Dictionary::new()).unwrap();
    assert!(paired.values().unwrap().name.is_some());
}

#[test]
fn a_session_that_ran_out_is_opened_again() {
    let phone = Scripted::new();
    let mut paired = phone.phone();
    *paired.lockdown() = lockdown::Lockdown::open(&phone.muxer, &phone.attached()).unwrap();
    paired.start_service(NOTIFICATION_PROXY, true).unwrap();
    assert!(phone.journal().contains("SessionInactive"));
}

#[test]
fn a_silent_service_times_out_and_stays_usable() {
    let phone = Scripted::new();
    let mut stream = phone.phone().start_service(NOTIFICATION_PROXY, false).unwrap();
    stream.set_idle(Duration::from_millis(50));
    let error = stream.read(&mut [0; 4]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    stream.set_idle(Duration::from_secs(10));
    message::send(&mut stream, message::dictionary([("Command", "Shutdown".into())])).unwrap();
    message::receive(&mut stream, "the phone").unwrap();
}

#[test]
fn a_stop_ends_a_read_that_waits() {
    let phone = Scripted::new();
    let mut stream = phone.phone().start_service(NOTIFICATION_PROXY, false).unwrap();
    let since = Instant::now();
    stream.set_stop(Arc::new(move || since.elapsed() > Duration::from_millis(150)));
    let error = stream.read_exact(&mut [0; 4]).unwrap_err();
    assert!(is_stopped(&error), "{error}");
    assert!(since.elapsed() < Duration::from_secs(40));
    stream.flush().unwrap();
}
