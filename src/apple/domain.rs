//! Domains and paths as a family would name them.
//!
//! Invariant: every row of a backup is in exactly one category, decided by its bytes alone; whole path
//! components are compared, so `Library/SMSold` is no message. Only for showing and filtering: nothing
//! about what is stored depends on it. Source of the table: docs/apple-format.md §4.

use std::fmt;

/// What a person would call a part of a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// The camera roll with its index and thumbnails.
    Photos,
    /// SMS and iMessage with their attachments.
    Messages,
    /// WhatsApp's chats and media.
    WhatsApp,
    /// Health records; in encrypted backups only.
    Health,
    /// The address book.
    Contacts,
    /// Call history; in encrypted backups only.
    Calls,
    /// Apple's notes.
    Notes,
    /// Voice memos.
    VoiceMemos,
    /// Bookmarks, open pages, history.
    Safari,
    /// Calendars and reminders.
    Calendar,
    /// Saved passwords.
    Keychain,
    /// How the phone is set up.
    Settings,
    /// All data of other apps.
    Apps,
    /// Everything else.
    Other,
}

impl Category {
    /// All categories, in the order in which they are shown.
    pub const ALL: [Self; 14] = [
        Self::Photos,
        Self::Messages,
        Self::WhatsApp,
        Self::Health,
        Self::Contacts,
        Self::Calls,
        Self::Notes,
        Self::VoiceMemos,
        Self::Safari,
        Self::Calendar,
        Self::Keychain,
        Self::Settings,
        Self::Apps,
        Self::Other,
    ];

    /// The name to show.
    pub fn name(self) -> &'static str {
        match self {
            Self::Photos => "Photos and videos",
            Self::Messages => "Messages",
            Self::WhatsApp => "WhatsApp",
            Self::Health => "Health",
            Self::Contacts => "Contacts",
            Self::Calls => "Call history",
            Self::Notes => "Notes",
            Self::VoiceMemos => "Voice memos",
            Self::Safari => "Safari",
            Self::Calendar => "Calendars and reminders",
            Self::Keychain => "Passwords",
            Self::Settings => "Settings",
            Self::Apps => "Apps",
            Self::Other => "Other",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Domains that are one category as a whole.
const WHOLE_DOMAINS: &[(&[u8], Category)] = &[
    (b"CameraRollDomain", Category::Photos),
    (b"HealthDomain", Category::Health),
    (b"AppDomainGroup-group.com.apple.notes", Category::Notes),
    (b"AppDomainGroup-group.com.apple.VoiceMemos.shared", Category::VoiceMemos),
    (b"AppDomain-com.apple.mobilesafari", Category::Safari),
    (b"AppDomainGroup-group.com.apple.reminders", Category::Calendar),
    (b"KeychainDomain", Category::Keychain),
    (b"SystemPreferencesDomain", Category::Settings),
    (b"RootDomain", Category::Settings),
    (b"WirelessDomain", Category::Settings),
    (b"ManagedPreferencesDomain", Category::Settings),
    (b"HomeKitDomain", Category::Settings),
    (b"KeyboardDomain", Category::Settings),
    (b"InstallDomain", Category::Settings),
    (b"DatabaseDomain", Category::Settings),
    (b"MobileDeviceDomain", Category::Settings),
];

/// Folders inside the two domains that hold many things.
const FOLDERS: &[(&[u8], &[u8], Category)] = &[
    (b"HomeDomain", b"Library/SMS", Category::Messages),
    (b"MediaDomain", b"Library/SMS", Category::Messages),
    (b"HomeDomain", b"Library/AddressBook", Category::Contacts),
    (b"HomeDomain", b"Library/CallHistoryDB", Category::Calls),
    (b"MediaDomain", b"Media/Recordings", Category::VoiceMemos),
    (b"HomeDomain", b"Library/Safari", Category::Safari),
    (b"HomeDomain", b"Library/Calendar", Category::Calendar),
    (b"HomeDomain", b"Library/Reminders", Category::Calendar),
    (b"HomeDomain", b"Library/Preferences", Category::Settings),
];

/// Beginnings of domains, tried in this order: WhatsApp is an app too.
const DOMAIN_BEGINNINGS: &[(&[u8], Category)] = &[
    (b"AppDomainGroup-group.net.whatsapp.", Category::WhatsApp),
    (b"AppDomain-net.whatsapp.", Category::WhatsApp),
    (b"AppDomainPlugin-net.whatsapp.", Category::WhatsApp),
    (b"AppDomain-", Category::Apps),
    (b"AppDomainGroup-", Category::Apps),
    (b"AppDomainPlugin-", Category::Apps),
    (b"SysContainerDomain-", Category::Apps),
    (b"SysSharedContainerDomain-", Category::Apps),
];

/// The category of a row with this domain and relative path.
pub fn category(domain: &[u8], path: &[u8]) -> Category {
    let whole = WHOLE_DOMAINS.iter().find(|(name, _)| *name == domain).map(|found| found.1);
    let folder = || {
        FOLDERS
            .iter()
            .find(|(name, folder, _)| *name == domain && lies_in(path, folder))
            .map(|found| found.2)
    };
    let beginning = || {
        DOMAIN_BEGINNINGS.iter().find(|(start, _)| domain.starts_with(start)).map(|found| found.1)
    };
    whole.or_else(folder).or_else(beginning).unwrap_or(Category::Other)
}

/// True for the folder itself and all below it.
fn lies_in(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLES: &[(&str, &str, Category)] = &[
        ("CameraRollDomain", "Media/DCIM/100APPLE/IMG_0001.HEIC", Category::Photos),
        ("HomeDomain", "Library/SMS/sms.db", Category::Messages),
        ("MediaDomain", "Library/SMS/Attachments/0a/10/A1/IMG.jpg", Category::Messages),
        (
            "AppDomainGroup-group.net.whatsapp.WhatsApp.shared",
            "ChatStorage.sqlite",
            Category::WhatsApp,
        ),
        ("AppDomain-net.whatsapp.WhatsApp", "Documents", Category::WhatsApp),
        ("HealthDomain", "Health/healthdb_secure.sqlite", Category::Health),
        ("HomeDomain", "Library/AddressBook/AddressBook.sqlitedb", Category::Contacts),
        ("HomeDomain", "Library/CallHistoryDB/CallHistory.storedata", Category::Calls),
        ("AppDomainGroup-group.com.apple.notes", "NoteStore.sqlite", Category::Notes),
        ("MediaDomain", "Media/Recordings/20260503.m4a", Category::VoiceMemos),
        (
            "AppDomainGroup-group.com.apple.VoiceMemos.shared",
            "Recordings/1.m4a",
            Category::VoiceMemos,
        ),
        ("HomeDomain", "Library/Safari/Bookmarks.db", Category::Safari),
        ("AppDomain-com.apple.mobilesafari", "Library", Category::Safari),
        ("HomeDomain", "Library/Calendar/Calendar.sqlitedb", Category::Calendar),
        ("AppDomainGroup-group.com.apple.reminders", "Container_v1", Category::Calendar),
        ("KeychainDomain", "keychain-backup.plist", Category::Keychain),
        ("HomeDomain", "Library/Preferences/com.apple.springboard.plist", Category::Settings),
        ("WirelessDomain", "Library/Databases/DataUsage.sqlite", Category::Settings),
        ("AppDomain-org.example.game", "Documents/save", Category::Apps),
        ("AppDomainPlugin-org.example.game.widget", "", Category::Apps),
        ("SysSharedContainerDomain-systemgroup.com.apple.x", "", Category::Apps),
        ("HomeDomain", "Library/SpringBoard/LockBackground.cpbitmap", Category::Other),
        ("TonesDomain", "", Category::Other),
    ];

    fn of(domain: &str, path: &str) -> Category {
        category(domain.as_bytes(), path.as_bytes())
    }

    #[test]
    fn rows_that_every_phone_has_get_the_name_their_owner_would_use() {
        for (domain, path, expected) in EXAMPLES {
            assert_eq!(of(domain, path), *expected, "{domain} {path}");
        }
    }

    #[test]
    fn a_folder_counts_as_its_own_content() {
        assert_eq!(of("HomeDomain", "Library/SMS"), Category::Messages);
    }

    #[test]
    fn a_name_that_only_begins_like_a_folder_is_not_in_it() {
        assert_eq!(of("HomeDomain", "Library/SMSold/sms.db"), Category::Other);
    }

    #[test]
    fn the_same_path_in_another_domain_is_something_else() {
        assert_eq!(of("RootDomain", "Library/SMS/sms.db"), Category::Settings);
        assert_eq!(of("homedomain", "Library/SMS/sms.db"), Category::Other);
    }

    #[test]
    fn every_category_is_shown_once_and_under_its_own_name() {
        let mut names = Category::ALL.map(Category::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Category::ALL.len());
        assert_eq!(format!("{:>18}|", Category::Photos), " Photos and videos|");
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_category(domain: Vec<u8>, path: Vec<u8>) {
            prop_assert!(Category::ALL.contains(&category(&domain, &path)));
        }
    }
}
