//! Which files of a phone are meant.
//!
//! Invariant: a pattern is a person's, a path is a phone's: matching takes time in proportion to both, whatever they are.

/// What of a snapshot is written out; nothing named means everything. Apps and photos add up; patterns leave of these, or of
/// everything, what fits one of them.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Patterns of `Domain/path`: `*` and `?` within a name, `**` for any names; without these, all that lies below.
    pub paths: Vec<String>,
    /// Bundle ids of apps.
    pub apps: Vec<String>,
    /// Photos and videos as the camera roll shows them.
    pub photos: bool,
}

/// Where the camera roll keeps what a person calls photos: taken or saved, kept in the cloud too, and edited.
const PHOTO_FOLDERS: [&[u8]; 3] =
    [b"Media/DCIM/", b"Media/PhotoData/CPLAssets/", b"Media/PhotoData/Mutations/"];

impl Wanted {
    /// Whether a file is meant.
    #[must_use]
    pub fn wants(&self, domain: &[u8], path: &[u8]) -> bool {
        let all = self.apps.is_empty() && !self.photos;
        let is_of_them = all
            || (self.photos && is_photo(domain, path))
            || self.apps.iter().any(|app| is_of_app(domain, app.as_bytes()));
        let mut patterns = self.paths.iter();
        is_of_them
            && (self.paths.is_empty()
                || patterns.any(|pattern| fits(pattern.as_bytes(), domain, path)))
    }
}

fn is_photo(domain: &[u8], path: &[u8]) -> bool {
    domain == b"CameraRollDomain" && PHOTO_FOLDERS.iter().any(|folder| path.starts_with(folder))
}

/// Whether a domain belongs to an app: its own, its extensions', or a group that is named after it.
fn is_of_app(domain: &[u8], app: &[u8]) -> bool {
    let begins = |name: &[u8]| {
        name.strip_prefix(app).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"."))
    };
    if let Some(name) = domain.strip_prefix(b"AppDomainGroup-") {
        return begins(name) || name.strip_prefix(b"group.").is_some_and(begins);
    }
    if let Some(name) = domain.strip_prefix(b"AppDomainPlugin-") {
        return begins(name);
    }
    domain.strip_prefix(b"AppDomain-") == Some(app)
}

fn fits(pattern: &[u8], domain: &[u8], path: &[u8]) -> bool {
    let pattern = pattern.strip_suffix(b"/").unwrap_or(pattern);
    let names: Vec<&[u8]> = std::iter::once(domain).chain(path.split(|b| *b == b'/')).collect();
    let wanted: Vec<&[u8]> = pattern.split(|b| *b == b'/').collect();
    let is_plain = !pattern.iter().any(|byte| matches!(byte, b'*' | b'?'));
    if is_plain {
        return names.len() >= wanted.len() && names.iter().zip(&wanted).all(|(a, b)| a == b);
    }
    // `fitting[n]`: the names up to n fit what of the pattern was looked at.
    let mut fitting = vec![false; names.len() + 1];
    fitting[0] = true;
    for part in wanted {
        let before = fitting.clone();
        for at in 0..=names.len() {
            fitting[at] = if part == b"**" {
                before[..=at].iter().any(|fits| *fits)
            } else {
                at > 0 && before[at - 1] && name_fits(part, names[at - 1])
            };
        }
    }
    fitting[names.len()]
}

fn name_fits(pattern: &[u8], name: &[u8]) -> bool {
    let mut fitting = vec![false; name.len() + 1];
    fitting[0] = true;
    for wanted in pattern {
        let mut before = fitting.first().copied().unwrap_or(false);
        let mut any = before;
        fitting[0] = *wanted == b'*' && before;
        for (at, byte) in name.iter().enumerate() {
            let here = fitting[at + 1];
            any |= here;
            fitting[at + 1] = match wanted {
                b'*' => any,
                b'?' => before,
                wanted => before && byte == wanted,
            };
            before = here;
        }
    }
    fitting[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(paths: &[&str], path: &str) -> bool {
        let paths = paths.iter().map(ToString::to_string).collect();
        Wanted { paths, ..Wanted::default() }.wants(b"HomeDomain", path.as_bytes())
    }

    #[test]
    fn a_path_without_signs_means_what_lies_below_it() {
        assert!(of(&["HomeDomain"], "Library/a") && of(&["HomeDomain/Library/"], "Library/a"));
        assert!(!of(&["HomeDomain/Lib"], "Library/a") && !of(&["Home"], "Library/a"));
        assert!(of(&["HomeDomain/Library/a"], "Library/a"));
        assert!(!of(&["HomeDomain/Library/a/b"], "Library/a"));
    }

    #[test]
    fn signs_fit_within_a_name_and_two_stars_any_names() {
        for (pattern, fits) in [
            ("HomeDomain/**", true),
            ("**/*.db", true),
            ("**", true),
            ("*/Library/SMS/sms.db", true),
            ("HomeDomain/*/sms.db", false),
            ("HomeDomain/**/**/sms.db", true),
            ("HomeDomain/Library/S?S/s*.d?", true),
            ("HomeDomain/Library/S?/sms.db", false),
            ("HomeDomain/Library/SMS/*x*", false),
            ("HomeDomain/Library/SMS/*.*", true),
            ("HomeDomain/Library/*", false),
        ] {
            assert_eq!(of(&[pattern], "Library/SMS/sms.db"), fits, "{pattern}");
        }
    }

    #[test]
    fn hostile_lengths_of_pattern_and_name_end() {
        let pattern = "*a".repeat(500);
        assert!(!name_fits(pattern.as_bytes(), "a".repeat(499).as_bytes()));
        assert!(name_fits(pattern.as_bytes(), "a".repeat(500).as_bytes()));
    }

    #[test]
    fn an_app_is_its_own_domain_its_extensions_and_the_groups_named_after_it() {
        let wanted = Wanted { apps: vec!["net.whatsapp.WhatsApp".to_owned()], ..Wanted::default() };
        for (domain, is) in [
            ("AppDomain-net.whatsapp.WhatsApp", true),
            ("AppDomain-net.whatsapp.WhatsApp2", false),
            ("AppDomain-net.whatsapp.WhatsApp.other", false),
            ("AppDomainGroup-group.net.whatsapp.WhatsApp.shared", true),
            ("AppDomainPlugin-net.whatsapp.WhatsApp.ShareExtension", true),
            ("AppDomainGroup-group.net.whatsapp", false),
            ("HomeDomain", false),
        ] {
            assert_eq!(wanted.wants(domain.as_bytes(), b"a"), is, "{domain}");
        }
    }

    #[test]
    fn apps_and_photos_add_up_and_patterns_narrow_them() {
        let wanted = Wanted {
            paths: vec!["**/*.JPG".to_owned(), "**/a.txt".to_owned()],
            apps: vec!["org.example.app".to_owned()],
            photos: true,
        };
        for (domain, path, is) in [
            ("CameraRollDomain", "Media/DCIM/1.JPG", true),
            ("CameraRollDomain", "Media/DCIM/1.MOV", false),
            ("AppDomain-org.example.app", "Documents/a.txt", true),
            ("AppDomain-org.example.app", "Documents/b.txt", false),
            ("HomeDomain", "Library/a.txt", false),
        ] {
            assert_eq!(wanted.wants(domain.as_bytes(), path.as_bytes()), is, "{domain} {path}");
        }
    }

    #[test]
    fn photos_are_the_camera_roll_without_its_databases_and_thumbnails() {
        let wanted = Wanted { photos: true, ..Wanted::default() };
        let of = |path: &str| wanted.wants(b"CameraRollDomain", path.as_bytes());
        assert!(of("Media/DCIM/100APPLE/IMG_0001.HEIC"));
        assert!(of(
            "Media/PhotoData/Mutations/DCIM/100APPLE/IMG_0001/Adjustments/FullSizeRender.jpg"
        ));
        assert!(!of("Media/PhotoData/Photos.sqlite") && !of("Media/PhotoData/Thumbnails/V2/a.JPG"));
        assert!(!wanted.wants(b"MediaDomain", b"Media/DCIM/a"));
    }
}
