//! The list of apps that a restored phone is to fetch from the store again, left in its media folder before the restore.
//!
//! Invariant: after a restore that failed it is gone again, as far as the phone can still be reached; after one that went well it
//! stays, for the phone reads it when it has started anew.

use std::time::Duration;

use plist::Value;

use super::connect::{ConnectError, Media, Phone};
use crate::apple::{Limits, parse_dictionary};

const FOLDER: &str = "/iTunesRestore";
const FILE: &str = "/iTunesRestore/RestoreApplications.plist";
/// How long taking it away may take, each step.
const TAKE_AWAY_IDLE: Duration = Duration::from_secs(5);

/// The bytes of RestoreApplications.plist, out of those of an Info.plist: None if that names no apps or cannot be read.
#[must_use]
pub fn restore_applications(info: &[u8]) -> Option<Vec<u8>> {
    let mut info = parse_dictionary(info, Limits::INFO).ok()?;
    let apps = info.remove("Applications").and_then(Value::into_dictionary)?;
    if apps.is_empty() {
        return None;
    }
    let mut bytes = Vec::new();
    Value::Dictionary(apps).to_writer_xml(&mut bytes).ok()?;
    Some(bytes)
}

/// The list on the phone. Dropping it takes it away, unless [`RestoreApps::stay`] was said.
#[derive(Debug)]
pub struct RestoreApps {
    media: Media,
    stays: bool,
}

impl RestoreApps {
    /// Writes the list.
    ///
    /// # Errors
    /// The media service cannot be reached, or refuses.
    pub fn leave(phone: &mut Phone, list: &[u8]) -> Result<Self, ConnectError> {
        let mut apps = Self { media: Media::open(phone)?, stays: false };
        apps.media.create_directory(FOLDER)?;
        apps.media.write_file(FILE, list)?;
        Ok(apps)
    }

    /// The phone restored, and will read it.
    pub fn stay(mut self) {
        self.stays = true;
    }
}

impl Drop for RestoreApps {
    fn drop(&mut self) {
        if !self.stays {
            self.media.insist(TAKE_AWAY_IDLE);
            // A phone that is gone keeps it; the next restore writes it anew.
            let _gone = self.media.remove(FILE).and_then(|()| self.media.remove(FOLDER));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(apps: &str) -> Vec<u8> {
        format!("<plist><dict><key>Applications</key>{apps}</dict></plist>").into_bytes()
    }

    #[test]
    fn the_apps_of_info_plist_become_a_list_of_their_own() {
        let list = restore_applications(&info(
            "<dict><key>org.example</key><dict><key>iTunesMetadata</key><data>AAEC</data></dict></dict>",
        ));
        let list = parse_dictionary(&list.unwrap_or_default(), Limits::INFO).unwrap_or_default();
        let app = list.get("org.example").and_then(Value::as_dictionary);
        let data = app.and_then(|app| app.get("iTunesMetadata")).and_then(Value::as_data);
        assert_eq!(data, Some(&[0, 1, 2][..]));
    }

    #[test]
    fn without_apps_there_is_no_list() {
        for odd in [info("<dict/>"), info("<string>x</string>"), b"<html>".to_vec(), Vec::new()] {
            assert_eq!(restore_applications(&odd), None);
        }
    }
}
