//! What the tests, the demo and the benches share: generated backups, damage, comparison.
//!
//! Invariant: everything comes from a seed; the same calls give the same bytes. Never shipped, and never a source of
//! keys for anything real.

mod ambient;
pub mod backend_suite;
pub mod compare;
mod content;
pub mod damage;
mod deaf;
pub mod device;
mod fake;
pub mod faults;
mod folder;
mod item;
mod keybag;
mod manifest_db;
mod mbfile;
mod payload;
mod phone;
mod plists;
mod random;
pub mod repository;
mod write_error;

pub use ambient::SeededAmbient;
pub use compare::assert_same_backup;
pub use deaf::Deaf;
pub use fake::FakeBackup;
pub use phone::{Phone, PhoneOptions, Spread, Truth};
pub use random::Random;
pub use write_error::WriteError;

use sha1::{Digest, Sha1};

/// Whether a generated backup is encrypted with Apple's own backup encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Payloads and Manifest.db lie there as they are.
    None,
    /// Everything but the property lists is encrypted.
    Password {
        /// The password of the backup.
        password: String,
        /// Rounds of the first derivation; a phone takes 10 000 000, tests some 1 000.
        iterations: u32,
    },
}

/// The name of a payload: hex SHA-1 of domain, dash, path.
///
/// ```
/// let id = russet_testkit::file_id("HomeDomain", "Library/SMS/sms.db");
/// assert_eq!(id, "3d0d7e5fb2ce288813306e4d4636395e047a3d28");
/// ```
pub fn file_id(domain: &str, relative_path: &str) -> String {
    let mut hasher = Sha1::new();
    hasher.update(domain.as_bytes());
    hasher.update(b"-");
    hasher.update(relative_path.as_bytes());
    random::hex_of(&hasher.finalize())
}

/// Whether rows of this domain carry a Digest. Apple: seen in iOS 14, docs/apple-format.md §3.2.
pub(crate) fn has_digest(domain: &str) -> bool {
    const DOMAINS: [&str; 11] = [
        "HomeDomain",
        "RootDomain",
        "HealthDomain",
        "KeychainDomain",
        "WirelessDomain",
        "DatabaseDomain",
        "SystemPreferencesDomain",
        "HomeKitDomain",
        "InstallDomain",
        "KeyboardDomain",
        "ManagedPreferencesDomain",
    ];
    DOMAINS.contains(&domain)
}
