//! Where Apple's programs keep backups on each system.
//!
//! Invariant: reads nothing. The environment and the home folder are given, so that the answer depends on
//! the arguments alone. The folders may not exist. Source: docs/apple-format.md §1.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The systems that differ in where backups lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Os {
    /// Finder, before it iTunes.
    MacOs,
    /// iTunes or Apple Devices.
    Windows,
    /// No program of Apple's makes backups here.
    Other,
}

impl Os {
    /// The system this program was built for.
    pub const fn current() -> Self {
        if cfg!(target_os = "macos") {
            Self::MacOs
        } else if cfg!(windows) {
            Self::Windows
        } else {
            Self::Other
        }
    }
}

/// The folders that hold one folder for each backed-up phone, likeliest first.
///
/// `env` looks up a variable of the environment; `home` is the user's folder, used where a variable is not
/// set. On Windows the answer has three folders because iTunes from Apple, iTunes from the store and Apple
/// Devices differ.
pub fn default_places(
    env: &dyn Fn(&str) -> Option<OsString>,
    home: Option<&Path>,
    os: Os,
) -> Vec<PathBuf> {
    match os {
        Os::MacOs => home
            .map(|home| backups_in(home.join("Library").join("Application Support")))
            .into_iter()
            .collect(),
        Os::Windows => windows_places(env, home),
        Os::Other => Vec::new(),
    }
}

fn windows_places(env: &dyn Fn(&str) -> Option<OsString>, home: Option<&Path>) -> Vec<PathBuf> {
    let variable = |name: &str| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let profile = variable("USERPROFILE").or_else(|| home.map(Path::to_owned));
    let roaming = variable("APPDATA")
        .or_else(|| profile.as_ref().map(|profile| profile.join("AppData").join("Roaming")));
    let from_apple = roaming.as_ref().map(|roaming| roaming.join("Apple Computer"));
    let from_store = profile.map(|profile| profile.join("Apple"));
    let from_store_roaming = roaming.map(|roaming| roaming.join("Apple"));
    [from_apple, from_store, from_store_roaming].into_iter().flatten().map(backups_in).collect()
}

fn backups_in(folder: PathBuf) -> PathBuf {
    folder.join("MobileSync").join("Backup")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unset(_: &str) -> Option<OsString> {
        None
    }

    #[test]
    fn on_a_mac_backups_lie_in_the_users_library() {
        let places = default_places(&unset, Some(Path::new("/Users/ann")), Os::MacOs);
        assert_eq!(places, [Path::new("/Users/ann/Library/Application Support/MobileSync/Backup")]);
    }

    #[test]
    fn on_windows_the_variables_decide() {
        let env = |name: &str| match name {
            "APPDATA" => Some("R".into()),
            "USERPROFILE" => Some("U".into()),
            _ => None,
        };
        let places = default_places(&env, Some(Path::new("ignored")), Os::Windows);
        let expected = [
            "R/Apple Computer/MobileSync/Backup",
            "U/Apple/MobileSync/Backup",
            "R/Apple/MobileSync/Backup",
        ];
        assert_eq!(places, expected.map(PathBuf::from));
    }

    #[test]
    fn on_windows_without_variables_the_home_folder_decides() {
        let empty = |_: &str| Some(OsString::new());
        let places = default_places(&empty, Some(Path::new("H")), Os::Windows);
        let expected = [
            "H/AppData/Roaming/Apple Computer/MobileSync/Backup",
            "H/Apple/MobileSync/Backup",
            "H/AppData/Roaming/Apple/MobileSync/Backup",
        ];
        assert_eq!(places, expected.map(PathBuf::from));
    }

    #[test]
    fn nothing_known_gives_no_places() {
        for os in [Os::MacOs, Os::Windows, Os::Other] {
            let places = default_places(&unset, None, os);
            assert!(places.is_empty(), "{os:?}");
        }
    }

    #[test]
    fn other_systems_have_no_default_place() {
        let places = default_places(&unset, Some(Path::new("/home/ann")), Os::Other);
        assert!(places.is_empty());
    }
}
