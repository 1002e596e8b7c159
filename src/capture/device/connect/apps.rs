//! The apps on a phone, as Info.plist wants them: what a reinstallation needs, and their icons.
//!
//! Invariant: a phone that lists without end is refused; at most [`BYTES_LEN_MAX`] of its bytes are kept. Nothing is
//! installed or changed.

use super::error::word;
use super::message::{self, dictionary, text};
use super::muxer::ANSWER_IDLE;
use super::{ConnectError, Phone};
use plist::{Dictionary, Value};
use std::io::{Read, Write};

const FROM: &str = "the phone's list of apps";
const INSTALLATION_PROXY: &str = "com.apple.mobile.installation_proxy";
const SPRINGBOARD: &str = "com.apple.springboardservices";

/// Apps kept, and messages read: phones list some ten apps a message, and have some hundreds.
const APP_COUNT_MAX: usize = 20_000;
/// Bytes of all records together. In XML they become a third longer, and Info.plist is read up to 64 MiB.
const BYTES_LEN_MAX: usize = 24 << 20;
/// Bytes of all icons together.
const ICONS_LEN_MAX: usize = 16 << 20;
const ID_LEN_MAX: usize = 255;

/// An app that the owner installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct App {
    /// `CFBundleIdentifier`.
    pub id: String,
    /// `ApplicationSINF` and `iTunesMetadata`, if the app came from the store.
    pub purchase: Option<Purchase>,
    /// A PNG.
    pub icon: Option<Vec<u8>>,
}

/// What a reinstallation from the store needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// `ApplicationSINF`.
    pub sinf: Vec<u8>,
    /// `iTunesMetadata`.
    pub metadata: Vec<u8>,
}

/// The apps that the owner installed, without icons.
///
/// # Errors
/// The service could not be reached, or answered what it must not.
pub fn installed_apps(phone: &mut Phone) -> Result<Vec<App>, ConnectError> {
    let mut stream = phone.start_service(INSTALLATION_PROXY, true)?;
    stream.set_idle(ANSWER_IDLE);
    browse(&mut stream)
}

/// The same, over any connection to the service.
///
/// # Errors
/// What it answered makes no sense, or has no end.
pub fn browse(stream: &mut (impl Read + Write)) -> Result<Vec<App>, ConnectError> {
    let attributes = ["CFBundleIdentifier", "ApplicationSINF", "iTunesMetadata"];
    let options = dictionary([
        ("ApplicationType", "User".into()),
        ("ReturnAttributes", Value::Array(attributes.map(Value::from).to_vec())),
    ]);
    let request = dictionary([("Command", "Browse".into()), ("ClientOptions", options.into())]);
    message::send(stream, request)?;
    let mut apps = Vec::new();
    let mut len = 0;
    for _ in 0..APP_COUNT_MAX {
        let mut answer = message::receive(stream, FROM)?;
        refused("Browse", &answer)?;
        if let Some(Value::Array(part)) = answer.remove("CurrentList") {
            for app in part.into_iter().filter_map(Value::into_dictionary).filter_map(app) {
                len += app.len();
                apps.push(app);
            }
        }
        if apps.len() > APP_COUNT_MAX || len > BYTES_LEN_MAX {
            break;
        }
        if text(&answer, "Status") == "Complete" {
            return Ok(apps);
        }
    }
    Err(ConnectError::Malformed { from: FROM, what: "an end" })
}

/// Asks for the icons of those apps that Info.plist shows. Returns those that have none, with the reason.
///
/// # Errors
/// The service could not be reached, or broke; the icons so far are there.
pub fn add_icons(
    phone: &mut Phone,
    apps: &mut [App],
) -> Result<Vec<(String, ConnectError)>, ConnectError> {
    let mut stream = phone.start_service(SPRINGBOARD, true)?;
    stream.set_idle(ANSWER_IDLE);
    let mut lacking = Vec::new();
    let mut len = 0;
    for app in apps.iter_mut().filter(|app| app.purchase.is_some()) {
        let request = dictionary([
            ("command", "getIconPNGData".into()),
            ("bundleId", app.id.as_str().into()),
        ]);
        message::send(&mut stream, request)?;
        let mut answer = message::receive(&mut stream, "the phone's home screen")?;
        if let Err(error) = refused("getIconPNGData", &answer) {
            lacking.push((app.id.clone(), error));
        } else if let Some(Value::Data(icon)) = answer.remove("pngData") {
            len += icon.len();
            if len > ICONS_LEN_MAX {
                let from = "the phone's home screen";
                return Err(ConnectError::TooLong { from, len: len as u64 });
            }
            app.icon = Some(icon);
        }
    }
    Ok(lacking)
}

impl App {
    fn len(&self) -> usize {
        let purchase = self.purchase.as_ref();
        self.id.len() + purchase.map_or(0, |it| it.sinf.len() + it.metadata.len())
    }
}

fn app(mut attributes: Dictionary) -> Option<App> {
    let id = text(&attributes, "CFBundleIdentifier").to_owned();
    if id.is_empty() || id.len() > ID_LEN_MAX {
        return None;
    }
    let mut data = |key| match attributes.remove(key) {
        Some(Value::Data(bytes)) => Some(bytes),
        _ => None,
    };
    let purchase = data("ApplicationSINF").zip(data("iTunesMetadata"));
    let purchase = purchase.map(|(sinf, metadata)| Purchase { sinf, metadata });
    Some(App { id, purchase, icon: None })
}

fn refused(request: &'static str, answer: &Dictionary) -> Result<(), ConnectError> {
    match answer.get("Error") {
        None => Ok(()),
        Some(error) => {
            let word = word(error.as_string().unwrap_or("an unnamed error"));
            Err(ConnectError::Refused { request, word })
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use std::io;

    /// A phone that sends the same again and again, or up to a count.
    struct Parrot {
        words: Vec<u8>,
        at: usize,
    }

    impl Read for Parrot {
        fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
            let rest = self.words.get(self.at..).unwrap_or_default();
            let len = rest.len().min(bytes.len());
            bytes[..len].copy_from_slice(&rest[..len]);
            self.at = (self.at + len) % self.words.len();
            Ok(len)
        }
    }

    impl Write for Parrot {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn parrot(members: Dictionary) -> Parrot {
        let mut words = Vec::new();
        message::send(&mut words, members).unwrap();
        Parrot { words, at: 0 }
    }

    #[test]
    fn a_list_of_apps_without_end_is_refused() {
        let nothing = browse(&mut parrot(dictionary([("Status", "Browsing".into())])));
        assert!(matches!(nothing, Err(ConnectError::Malformed { .. })));
        let data = || Value::Data(vec![7; 1 << 20]);
        let long = dictionary([
            ("CFBundleIdentifier", "a".into()),
            ("ApplicationSINF", data()),
            ("iTunesMetadata", data()),
        ]);
        let part = dictionary([("CurrentList", Value::Array(vec![long.into()]))]);
        assert!(matches!(browse(&mut parrot(part)), Err(ConnectError::Malformed { .. })));
    }

    #[test]
    fn a_refusal_is_quoted() {
        let error = browse(&mut parrot(dictionary([("Error", "APIInternalError".into())])));
        assert!(
            matches!(error, Err(ConnectError::Refused { word, .. }) if word == "APIInternalError")
        );
    }

    #[test]
    fn an_app_with_one_record_only_was_not_bought() {
        let half = dictionary([
            ("CFBundleIdentifier", "a".into()),
            ("ApplicationSINF", Value::Data(vec![1])),
        ]);
        assert_eq!(app(half).unwrap().purchase, None);
        assert_eq!(app(dictionary([("CFBundleVersion", "1".into())])), None);
    }
}
