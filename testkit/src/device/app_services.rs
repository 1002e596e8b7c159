//! What hosts ask for Info.plist: installation_proxy and springboardservices about apps, diagnostics_relay about the product.
//!
//! Invariant: the apps are those of the phone's backup. Nothing can be installed or changed.

use super::error::DeviceError;
use super::link::Link;
use super::usbmuxd::text;
use super::{ScriptedPhone, disk};
use crate::plists::PRODUCT_NAME;
use crate::random::Random;
use plist::{Dictionary, Value};

pub(crate) const INSTALLATION_PROXY: &str = "com.apple.mobile.installation_proxy";
pub(crate) const SPRINGBOARD: &str = "com.apple.springboardservices";
pub(crate) const DIAGNOSTICS: &str = "com.apple.mobile.diagnostics_relay";

/// Apps in one part of an answer to Browse.
const PART_COUNT: usize = 10;

/// Answers Browse; all else is refused.
pub(crate) fn installation_proxy(phone: &ScriptedPhone, link: Link) -> Result<(), DeviceError> {
    each(phone, "installation_proxy", link, |request| {
        if text(request, "Command") != "Browse" {
            return Ok(vec![one("Error", "UnknownCommand".into())]);
        }
        let apps = disk::apps(phone)?;
        let options = request.get("ClientOptions").and_then(Value::as_dictionary);
        let wanted: Option<Vec<&str>> = options
            .and_then(|options| options.get("ReturnAttributes"))
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_string).collect());
        let all: Vec<Value> = apps.iter().map(|app| attributes(app, wanted.as_deref())).collect();
        let mut answers = Vec::new();
        for (part, index) in all.chunks(PART_COUNT).zip((0..all.len()).step_by(PART_COUNT)) {
            let mut answer = one("Status", "BrowsingApplications".into());
            answer.insert("CurrentList".into(), Value::Array(part.to_vec()));
            answer.insert("CurrentIndex".into(), number(index));
            answer.insert("CurrentAmount".into(), number(part.len()));
            answer.insert("Total".into(), number(all.len()));
            answers.push(answer);
        }
        answers.push(one("Status", "Complete".into()));
        Ok(answers)
    })
}

/// Answers for icons; all else is refused.
pub(crate) fn springboard(phone: &ScriptedPhone, link: Link) -> Result<(), DeviceError> {
    each(phone, "springboard", link, |request| {
        let app = text(request, "bundleId");
        Ok(vec![match text(request, "command") {
            "getIconPNGData" => one("pngData", Value::Data(bytes_for(app, 0x1c0, 900))),
            _ => one("Error", "UnknownCommand".into()),
        }])
    })
}

/// Answers MobileGestalt, which phones since iOS 17.4 refuse; all else is unknown.
pub(crate) fn diagnostics(phone: &ScriptedPhone, link: Link) -> Result<(), DeviceError> {
    each(phone, "diagnostics_relay", link, |request| {
        if text(request, "Request") != "MobileGestalt" {
            return Ok(vec![one("Status", "UnknownRequest".into())]);
        }
        let told = if phone.script.tells_product_name {
            let mut told = one("Status", "Success".into());
            told.insert("marketing-name".into(), PRODUCT_NAME.into());
            told
        } else {
            one("Status", "MobileGestaltDeprecated".into())
        };
        let mut answer = one("Status", "Success".into());
        answer.insert("Diagnostics".into(), one("MobileGestalt", told.into()).into());
        Ok(vec![answer])
    })
}

fn each(
    phone: &ScriptedPhone,
    on: &str,
    mut link: Link,
    answers: impl Fn(&Dictionary) -> Result<Vec<Dictionary>, DeviceError>,
) -> Result<(), DeviceError> {
    loop {
        let request = match link.read_plist() {
            Err(DeviceError::Io(_)) => return Ok(()),
            other => other?.into_dictionary().unwrap_or_default(),
        };
        phone.journal.request(on, &request.clone().into());
        for answer in answers(&request)? {
            let answer = answer.into();
            phone.journal.answer(on, &answer);
            link.write_binary(&answer)?;
        }
    }
}

/// Every second app was bought in the store and has what a reinstallation needs.
fn attributes(app: &str, wanted: Option<&[&str]>) -> Value {
    let mut all = one("CFBundleIdentifier", app.into());
    all.insert("ApplicationType".into(), "User".into());
    all.insert("CFBundleVersion".into(), "1".into());
    if crate::plists::hash(app).is_multiple_of(2) {
        all.insert("ApplicationSINF".into(), Value::Data(bytes_for(app, 0x51, 64)));
        all.insert("iTunesMetadata".into(), Value::Data(bytes_for(app, 0x17, 400)));
    }
    if let Some(wanted) = wanted {
        all.retain(|key, _| wanted.contains(&key.as_str()));
    }
    all.into()
}

fn bytes_for(app: &str, purpose: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Random::of_parts(&[purpose, crate::plists::hash(app)]).fill(&mut bytes);
    bytes
}

fn one(key: &str, value: Value) -> Dictionary {
    let mut dictionary = Dictionary::new();
    dictionary.insert(key.to_owned(), value);
    dictionary
}

fn number(count: usize) -> Value {
    u64::try_from(count).unwrap_or(u64::MAX).into()
}
