//! What is on a phone when its first backup is made, and how one more file of each sort looks.
//!
//! Invariant: paths are unique, because each holds the number of its file; domains and paths are Apple's own where
//! Apple's data is meant (docs/apple-format.md §4).

use super::database::{Database, DatabaseKind};
use super::{Phone, Role};
use crate::content::{Content, Fill, Piece};
use crate::random::Random;
use crate::write_error::WriteError;

/// Two years: how old a file may be at the first backup.
const PAST_SECS: u64 = 2 * 365 * 86_400;

impl Phone {
    pub(super) fn populate(&mut self) -> Result<(), WriteError> {
        for number in 0..self.options.app_count {
            self.add_app(number);
        }
        self.add_oddities();
        self.add_databases()?;
        self.add_long_video();
        let mut media_len = 0;
        while media_len < self.options.media_len {
            let old = self.old_time();
            media_len += self.add_media(old);
        }
        let mean = self.options.small_len / self.options.small_file_count.max(1);
        for _ in 0..self.options.small_file_count {
            let old = self.old_time();
            self.add_small(mean, old);
        }
        Ok(())
    }

    /// An installed app: its container, and for every third a plugin's container with nothing in it.
    pub(super) fn add_app(&mut self, number: u64) {
        let app = format!("com.vendor{}.app{number}", number % 37);
        let now = self.now() - PAST_SECS;
        let domain = format!("AppDomain-{app}");
        for path in ["Documents", "Library/Caches", "Library/Preferences", "tmp"] {
            self.add_directory(&domain, path, now);
        }
        if number.is_multiple_of(3) {
            let plugin = format!("AppDomainPlugin-{app}.share");
            for path in ["Documents", "Library/Preferences"] {
                self.add_directory(&plugin, path, now);
            }
        }
        if number.is_multiple_of(5) {
            self.add_directory(&format!("AppDomainGroup-group.{app}"), "Library/Caches", now);
        }
        if number.is_multiple_of(7) {
            let target = format!(
                "/var/mobile/Containers/Data/Application/{app}/Library/WebKit/WebsiteData/IndexedDB"
            );
            self.add_link(&domain, "Library/WebKit/WebsiteData/IndexedDB/v0", &target, now);
        }
        self.apps.push(app);
    }

    /// What breaks careless tools: both forms of one accented name, long paths, links, files of all edge lengths.
    fn add_oddities(&mut self) {
        let now = self.old_time();
        self.add_link(
            "DatabaseDomain",
            "timezone/localtime",
            "/var/db/timezone/zoneinfo/Europe/London",
            now,
        );
        self.add_link("HomeDomain", "Library/Mail/current", "Envelope \u{fc}", now);
        for name in [
            "Caf\u{e9}.txt",
            "Cafe\u{301}.txt",
            "\u{65e5}\u{8a18} \u{1f34e}.txt",
            "a 'quoted' \"name\"\\.txt",
        ] {
            self.add_plain_file("HomeDomain", format!("Library/Notes/{name}"), 200, now);
        }
        let deep = (0..12)
            .map(|depth| format!("folder-{depth:02}-{}", "x".repeat(60)))
            .collect::<Vec<_>>()
            .join("/");
        self.add_plain_file(
            "AppDomainGroup-group.net.example.deep",
            format!("{deep}/end.json"),
            300,
            now,
        );
        for len in [0, 1, 15, 16, 17, 4095, 4096, 4097] {
            self.add_plain_file("HomeDomain", format!("Library/Edge/{len}.bin"), len, now);
        }
        let bitmap = Content::generated(Fill::Zero, 0, 200_000);
        let path = "Library/SpringBoard/LockBackground.cpbitmap".to_owned();
        self.add_file("HomeDomain", path, bitmap, Role::Small, now);
        let blob = Content::generated(Fill::Noise, self.random.next_u64(), 9_000);
        self.add_file("KeychainDomain", "keychain-backup.plist".to_owned(), blob, Role::Small, now);
    }

    fn add_plain_file(&mut self, domain: &str, path: String, len: u64, modified: u64) {
        let content = Content::generated(Fill::Text, self.random.next_u64(), len);
        self.add_file(domain, path, content, Role::Small, modified);
    }

    fn add_databases(&mut self) -> Result<(), WriteError> {
        const KNOWN: [(DatabaseKind, &str, &str, u64); 6] = [
            (DatabaseKind::Messages, "HomeDomain", "Library/SMS/sms.db", 32),
            (DatabaseKind::Photos, "CameraRollDomain", "Media/PhotoData/Photos.sqlite", 24),
            (
                DatabaseKind::App,
                "AppDomainGroup-group.net.whatsapp.WhatsApp.shared",
                "ChatStorage.sqlite",
                16,
            ),
            (DatabaseKind::Health, "HealthDomain", "Health/healthdb_secure.sqlite", 12),
            (DatabaseKind::Calls, "HomeDomain", "Library/CallHistoryDB/CallHistory.storedata", 2),
            (DatabaseKind::App, "WirelessDomain", "Library/Databases/DataUsage.sqlite", 2),
        ];
        if self.options.database_len == 0 {
            return Ok(());
        }
        let hundredth = self.options.database_len / 100;
        for (kind, domain, path, share) in KNOWN {
            self.add_database(kind, domain, path.to_owned(), hundredth * share)?;
        }
        // What is left over, 12 hundredths, belongs to apps.
        for app in self.apps.clone().iter().take(6) {
            let path = "Library/Application Support/store.sqlite".to_owned();
            self.add_database(DatabaseKind::App, &format!("AppDomain-{app}"), path, hundredth * 2)?;
        }
        Ok(())
    }

    fn add_database(
        &mut self,
        kind: DatabaseKind,
        domain: &str,
        path: String,
        len: u64,
    ) -> Result<(), WriteError> {
        let work = self.work.path().join(format!("{}.sqlite", self.databases.len()));
        let now = self.now();
        let mut random = Random::of_parts(&[self.random.next_u64()]);
        let database = Database::create(work, kind, len, now, &mut random)?;
        self.add_file(
            domain,
            path,
            Content::Database(database.path.clone()),
            Role::Database,
            now - 600,
        );
        self.databases.push(database);
        Ok(())
    }

    fn add_long_video(&mut self) {
        if self.options.long_len > 0 {
            let content =
                Content::generated(Fill::Noise, self.random.next_u64(), self.options.long_len);
            let path = format!("Media/DCIM/100APPLE/IMG_{}.MOV", self.next_inode);
            let old = self.old_time();
            self.add_file("CameraRollDomain", path, content, Role::Media, old);
        }
    }

    /// One photo or video with its thumbnail, or an attachment; the answer is the number of bytes added.
    pub(super) fn add_media(&mut self, modified: u64) -> u64 {
        let mean = (self.options.media_len / 120).clamp(16 * 1024, 2_400_000);
        let number = self.next_inode;
        let is_video = self.random.chance(0.04);
        let len = if is_video {
            self.random.between(mean * 3..=mean * 14)
        } else {
            self.random.between(mean / 3..=mean * 2)
        };
        let seed = self.random.next_u64();
        let content = Content::generated(Fill::Noise, seed, len);
        if self.random.chance(0.15) {
            let id = Random::of_parts(&[seed]).uuid();
            let path = format!(
                "Library/SMS/Attachments/{:02x}/{:02}/{id}/IMG_{number}.jpeg",
                seed % 256,
                seed % 16
            );
            self.add_file("MediaDomain", path, content, Role::Media, modified);
            return len;
        }
        let kind = if is_video { "MOV" } else { "HEIC" };
        let roll = 100 + number / 4000;
        let name = format!("DCIM/{roll}APPLE/IMG_{number}.{kind}");
        self.add_file("CameraRollDomain", format!("Media/{name}"), content, Role::Media, modified);
        let thumbnail_len = self.random.between(mean / 100..=mean / 50);
        let thumbnail = Content::generated(Fill::Noise, seed ^ 1, thumbnail_len);
        let path = format!("Media/PhotoData/Thumbnails/V2/{name}/5003.JPG");
        self.add_file("CameraRollDomain", path, thumbnail, Role::Media, modified);
        len + thumbnail_len
    }

    /// One small file of about `mean` bytes: most are smaller, a few much larger.
    pub(super) fn add_small(&mut self, mean: u64, modified: u64) {
        let len = match self.random.below(20) {
            0 => self.random.between(2 * mean..=25 * mean),
            1..=5 => self.random.between(mean / 5..=2 * mean),
            _ => self.random.between(mean / 50..=mean / 5),
        };
        let number = self.next_inode;
        let domain = self.small_domain();
        let seed = self.random.next_u64();
        let accent = if self.random.chance(0.02) { "e\u{301}-" } else { "" };
        let (path, content, role) = match self.random.below(20) {
            0..=6 => {
                let content = Content::settings(seed, len);
                (
                    format!("Library/Preferences/com.example.{accent}{number}.plist"),
                    content,
                    Role::PropertyList,
                )
            }
            7..=14 => {
                let content = Content::generated(Fill::Text, seed, len);
                (
                    format!("Library/Caches/{}/{accent}{number}.json", number % 9),
                    content,
                    Role::Small,
                )
            }
            15 => (
                format!("Documents/.lock-{number}"),
                Content::generated(Fill::Zero, 0, 0),
                Role::Small,
            ),
            _ => {
                let content = Content::generated(Fill::Noise, seed, len);
                (format!("Library/Caches/images/{accent}{number:x}"), content, Role::Small)
            }
        };
        self.add_file(&domain, path, content, role, modified);
    }

    fn small_domain(&mut self) -> String {
        const SYSTEM: [&str; 6] = [
            "SystemPreferencesDomain",
            "WirelessDomain",
            "KeyboardDomain",
            "RootDomain",
            "HomeKitDomain",
            "ManagedPreferencesDomain",
        ];
        let app = self.random.index(self.apps.len());
        let app = self.apps.get(app).map_or("com.apple.none", String::as_str);
        match self.random.below(20) {
            0 => SYSTEM
                .get(self.random.index(SYSTEM.len()))
                .copied()
                .unwrap_or("RootDomain")
                .to_owned(),
            1..=3 => "HomeDomain".to_owned(),
            4 | 5 => format!("AppDomainGroup-group.{app}"),
            _ => format!("AppDomain-{app}"),
        }
    }

    fn old_time(&mut self) -> u64 {
        self.now() - 3600 - self.random.below(PAST_SECS)
    }
}

/// A piece of text of `len` bytes to put into a file.
pub(super) fn paragraph(random: &mut Random, len: u64) -> Piece {
    Piece { fill: Fill::Text, seed: random.next_u64(), start: 0, len }
}
