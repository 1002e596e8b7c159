//! A mux daemon and a phone that lie.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A daemon that reads a request and then sends what it was given, to each caller.
fn daemon(answer: Vec<u8>, stays: bool) -> Muxer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = MuxerAddress::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _len = stream.read(&mut [0; 4096]);
            let _sent = stream.write_all(&answer);
            if stays {
                kept.push(stream);
            }
        }
    });
    Muxer::new(address).unwrap().with_idle(Duration::from_millis(300))
}

fn packet(len: u32, body: &[u8]) -> Vec<u8> {
    let words = [len, 1, 8, 1].map(u32::to_le_bytes);
    [words.as_flattened(), body].concat()
}

fn dictionary(body: &str) -> Vec<u8> {
    let text = format!("<plist version=\"1.0\"><dict>{body}</dict></plist>");
    packet(u32::try_from(text.len() + 16).unwrap(), text.as_bytes())
}

fn fails_soon(muxer: &Muxer) -> ConnectError {
    let since = Instant::now();
    let error = muxer.list().unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(40), "{error}");
    error
}

#[test]
fn a_daemon_that_closes_at_once_is_lost() {
    assert!(matches!(fails_soon(&daemon(Vec::new(), false)), ConnectError::Lost(_)));
}

#[test]
fn a_daemon_that_never_answers_is_given_up() {
    assert!(matches!(fails_soon(&daemon(Vec::new(), true)), ConnectError::TimedOut));
    let short = daemon(packet(400, b"<plist>"), true);
    assert!(matches!(fails_soon(&short), ConnectError::TimedOut));
}

#[test]
fn a_daemon_that_never_answers_is_left_when_told_to_stop() {
    let since = Instant::now();
    let stop: Stop = Arc::new(move || since.elapsed() > Duration::from_millis(50));
    let muxer = daemon(Vec::new(), true).with_idle(Duration::from_secs(600)).with_stop(stop);
    assert!(matches!(fails_soon(&muxer), ConnectError::Stopped));
}

#[test]
fn a_length_that_cannot_be_honest_is_refused() {
    let huge = daemon(packet(u32::MAX, b""), true);
    assert!(matches!(fails_soon(&huge), ConnectError::TooLong { .. }));
    let tiny = daemon(packet(3, b""), true);
    assert!(matches!(fails_soon(&tiny), ConnectError::Malformed { .. }));
}

#[test]
fn garbage_is_malformed() {
    for garbage in [b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), vec![0xff; 64], vec![0; 64]] {
        let error = fails_soon(&daemon(garbage, true));
        assert!(matches!(error, ConnectError::Malformed { .. }), "{error}");
    }
    let error = fails_soon(&daemon(packet(26, b"bplist00??"), true));
    assert!(matches!(error, ConnectError::Unreadable { .. }), "{error}");
}

#[test]
fn a_list_nested_without_end_is_refused() {
    let deep = "<key>a</key><dict>".repeat(100_000);
    let error = fails_soon(&daemon(dictionary(&deep), true));
    assert!(matches!(error, ConnectError::Unreadable { .. }), "{error}");
}

#[test]
fn devices_without_a_usable_id_are_left_out() {
    let device = |id: &str| {
        format!(
            "<dict><key>DeviceID</key><integer>7</integer><key>Properties</key><dict>\
             <key>SerialNumber</key><string>{id}</string></dict></dict>"
        )
    };
    let all = ["../../etc", "", "ok-1"].map(device).concat();
    let muxer =
        daemon(dictionary(&format!("<key>DeviceList</key><array>{all}<true/></array>")), true);
    let udids: Vec<String> = muxer.list().unwrap().into_iter().map(|each| each.udid).collect();
    assert_eq!(udids, ["ok-1"]);
}

#[test]
fn a_daemon_that_refuses_is_quoted_by_its_number() {
    let body = "<key>MessageType</key><string>Result</string><key>Number</key><integer>6</integer>";
    let error = fails_soon(&daemon(dictionary(body), true));
    assert!(matches!(error, ConnectError::MuxerSaid { number: 6, .. }), "{error}");
}

#[test]
fn a_missing_a_stale_and_a_refusing_daemon_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("mux");
    let at = |text: &str| Muxer::new(MuxerAddress::parse(text).unwrap()).unwrap();
    let path = socket.display().to_string();
    assert!(matches!(fails_soon(&at(&path)), ConnectError::NoMuxer { .. }));
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    assert!(matches!(fails_soon(&at(&path)), ConnectError::MuxerStale { .. }));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(fails_soon(&at(&free.to_string())), ConnectError::MuxerRefused { .. }));
}

/// A daemon that connects, after which a phone answers each request with the next of `answers`.
fn phone(answers: Vec<Vec<u8>>) -> (Muxer, Attached) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = MuxerAddress::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    std::thread::spawn(move || {
        let ok =
            dictionary("<key>Number</key><integer>0</integer><key>BUID</key><string>B</string>");
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _len = stream.read(&mut [0; 4096]);
            let _sent = stream.write_all(&ok);
            let answers = answers.clone();
            kept.push(std::thread::spawn(move || {
                for answer in answers {
                    if stream.read(&mut [0; 65536]).unwrap_or(0) == 0 {
                        break;
                    }
                    let _sent = stream.write_all(&answer);
                }
                std::thread::sleep(Duration::from_secs(2));
            }));
        }
    });
    let muxer = Muxer::new(address).unwrap().with_idle(Duration::from_millis(400));
    let attached = Attached {
        udid: "u".to_owned(),
        connection: Connection::Usb,
        device_id: 1,
        product_id: None,
    };
    (muxer, attached)
}

fn framed(body: &str) -> Vec<u8> {
    let text = format!("<plist version=\"1.0\"><dict>{body}</dict></plist>");
    [&u32::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn is_lockdown() -> Vec<u8> {
    framed("<key>Type</key><string>com.apple.mobile.lockdown</string>")
}

fn try_pair(answers: Vec<Vec<u8>>) -> ConnectError {
    let (muxer, attached) = phone(answers);
    let since = Instant::now();
    let muxer = muxer.with_idle(Duration::from_secs(3));
    let error = pair(&muxer, &attached, "T", Duration::from_secs(1), &mut |_| {
        std::ops::ControlFlow::Continue(())
    })
    .unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(40), "{error}");
    error
}

#[test]
fn a_phone_in_restore_mode_is_told_as_that() {
    let restored = framed("<key>Type</key><string>com.apple.mobile.restored</string>");
    let (muxer, attached) = phone(vec![restored]);
    let error = Phone::connect(&muxer, &attached).unwrap_err();
    assert!(matches!(error, ConnectError::RestoreMode { .. }), "{error}");
}

#[test]
fn a_phone_that_announces_four_gigabytes_is_refused() {
    let (muxer, attached) = phone(vec![vec![0xff; 4]]);
    let error = Phone::connect(&muxer, &attached).unwrap_err();
    assert!(matches!(error, ConnectError::TooLong { .. }), "{error}");
}

#[test]
fn a_phone_that_falls_silent_is_given_up() {
    let (muxer, attached) = phone(vec![vec![0, 0]]);
    let error = Phone::connect(&muxer, &attached).unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut), "{error}");
}

#[test]
fn a_public_key_that_is_none_is_refused() {
    let key = framed("<key>Value</key><data>bm90IGEga2V5</data>");
    let error = try_pair(vec![is_lockdown(), key, framed("<key>Value</key><string>m</string>")]);
    assert!(matches!(error, ConnectError::Malformed { what: "a public key", .. }), "{error}");
}

#[test]
fn a_supervised_phone_and_one_on_wifi_say_so() {
    let key = include_bytes!("../../../../../testkit/src/device/key.pub.pem");
    let key = plist_data(key);
    let refusing = |word: &str| {
        let refusal = framed(&format!("<key>Error</key><string>{word}</string>"));
        let name = framed("<key>Value</key><string>m</string>");
        try_pair(vec![is_lockdown(), key.clone(), name, refusal])
    };
    let error = refusing("MCProtected");
    assert!(matches!(error, ConnectError::Supervised { .. }), "{error}");
    let error = refusing("PairingProhibitedOverThisConnection");
    assert!(matches!(error, ConnectError::ProhibitedOverWifi), "{error}");
}

fn plist_data(bytes: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    let value = message::dictionary([("Value", plist::Value::Data(bytes.to_vec()))]);
    message::send(&mut message, value).unwrap();
    message
}

/// What reading a file says when the phone's media service answers with these words.
fn media_error(magic: &[u8; 8], words: [u64; 4], rest: &[u8]) -> ConnectError {
    let answer = [&magic[..], words.map(u64::to_le_bytes).as_flattened(), rest].concat();
    let (muxer, attached) = phone(vec![answer]);
    let since = Instant::now();
    let error = Media::over(muxer.connect(&attached, 5).unwrap()).read_file("/x", 9).unwrap_err();
    assert!(since.elapsed() < Duration::from_secs(40), "{error}");
    error
}

#[test]
fn a_media_service_that_lies_about_lengths_is_refused() {
    for words in [[u64::MAX, 40, 1, 1], [u64::MAX, u64::MAX, 1, 1]] {
        let error = media_error(b"CFA6LPAA", words, b"");
        assert!(matches!(error, ConnectError::TooLong { .. }), "{error}");
    }
    for words in [[39, 39, 1, 1], [40, 41, 1, 1], [0, 0, 1, 1]] {
        let error = media_error(b"CFA6LPAA", words, b"");
        assert!(matches!(error, ConnectError::Malformed { .. }), "{error}");
    }
}

#[test]
fn a_media_service_that_answers_something_else_is_refused() {
    let not_ours = media_error(b"CFA6LPAX", [48, 48, 1, 1], &[0; 8]);
    let out_of_turn = media_error(b"CFA6LPAA", [48, 48, 2, 1], &[0; 8]);
    for error in [not_ours, out_of_turn] {
        assert!(error.to_string().ends_with("an answer in turn"), "{error}");
    }
    let no_code = media_error(b"CFA6LPAA", [40, 40, 1, 1], b"");
    assert!(no_code.to_string().ends_with("a status"), "{no_code}");
    let no_handle = media_error(b"CFA6LPAA", [44, 44, 1, 14], &[0; 4]);
    assert!(no_handle.to_string().ends_with("a file handle"), "{no_handle}");
}

#[test]
fn a_media_service_that_stops_within_an_answer_is_given_up() {
    let error = media_error(b"CFA6LPAA", [48, 48, 1, 1], &[0; 3]);
    assert!(matches!(error, ConnectError::TimedOut), "{error}");
}

#[test]
fn a_session_without_tls_and_one_that_ends_within_tls_are_told_apart() {
    let scripted = super::scripted::Scripted::new();
    scripted.pair();
    let record = scripted.muxer.pair_record(&scripted.udid).unwrap();
    let record = record::PairRecord::decode(&record, Connection::Usb).unwrap();
    let session_within = |idle: Duration, body: &str| {
        let (muxer, attached) = phone(vec![is_lockdown(), framed(body)]);
        let muxer = muxer.with_idle(idle);
        let lockdown = lockdown::Lockdown::open(&muxer, &attached).unwrap();
        lockdown.start_session(&record).map(drop).unwrap_err()
    };
    let session = |body: &str| session_within(Duration::from_millis(400), body);
    let error = session("<key>SessionID</key><string>s</string>");
    assert!(matches!(error, ConnectError::Malformed { .. }), "{error}");
    let error = session("<key>EnableSessionSSL</key><true/>");
    // This phone stays and says nothing.
    assert!(matches!(error, ConnectError::TimedOut), "{error}");
    // It hangs up after two seconds, as one does that forgot this computer.
    let error = session_within(Duration::from_secs(10), "<key>EnableSessionSSL</key><true/>");
    assert!(matches!(error, ConnectError::PairingGone), "{error}");
    let error = session("<key>Error</key><string>InvalidHostID</string>");
    assert!(matches!(error, ConnectError::PairingGone), "{error}");
}
