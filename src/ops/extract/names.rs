//! Where a file of a phone goes: names that no phone can use to leave a folder, or to meet each other.
//!
//! Invariant: a place is relative, each of its names is a plain one that any system takes (no separator, no `..`, nothing that
//! controls a terminal, not too long), and no two files get places that a system could take for one, whatever it thinks of case
//! and of composed letters. The same files in the same order get the same places.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use unicode_normalization::UnicodeNormalization;

/// Longest name, in bytes: systems take 255, and a number may be added.
const NAME_LEN_MAX: usize = 230;
/// Longest ending that is kept of a name that is cut.
const ENDING_LEN_MAX: usize = 16;
const DEPTH_MAX: usize = 64;

type Mark = [u8; 16];

/// The places given so far.
#[derive(Default)]
pub(super) struct Places {
    taken: HashSet<Mark>,
    /// Folders by the name that was asked for; another one, where a file has that.
    folders: HashMap<Mark, String>,
    /// Files whose name is not quite the phone's.
    pub(super) changed_count: u64,
}

impl Places {
    /// A place for a file, below folders of these names. None if it lies too deep.
    pub(super) fn give(&mut self, folders: &[&[u8]], name: &[u8]) -> Option<PathBuf> {
        if folders.len() > DEPTH_MAX {
            return None;
        }
        let mut path = String::new();
        let mut is_same = true;
        for folder in folders {
            let wanted = plain_name(folder);
            let made = self.folder(&path, &wanted)?;
            is_same &= made.as_bytes() == *folder;
            path = format!("{path}{made}/");
        }
        let wanted = plain_name(name);
        let made = self.free(&path, &wanted)?;
        is_same &= made.as_bytes() == name;
        self.taken.insert(mark(&path, &made));
        self.changed_count += u64::from(!is_same);
        Some(PathBuf::from(path + &made))
    }

    fn folder(&mut self, above: &str, wanted: &str) -> Option<String> {
        let asked = mark(above, wanted);
        if let Some(name) = self.folders.get(&asked) {
            return Some(name.clone());
        }
        let made = self.free(above, wanted)?;
        self.taken.insert(mark(above, &made));
        self.folders.insert(asked, made.clone());
        Some(made)
    }

    /// The name, or with a number if something has it.
    fn free(&self, above: &str, wanted: &str) -> Option<String> {
        if !self.taken.contains(&mark(above, wanted)) {
            return Some(wanted.to_owned());
        }
        let (stem, ending) = split_ending(wanted);
        (2..100_000_u32)
            .map(|number| format!("{stem} ({number}){ending}"))
            .find(|name| !self.taken.contains(&mark(above, name)))
    }
}

/// The same for names that some system takes for one.
fn mark(above: &str, name: &str) -> Mark {
    let folded: String =
        [above, name].iter().flat_map(|part| part.nfd().flat_map(char::to_lowercase)).collect();
    blake3::hash(folded.as_bytes()).as_bytes().first_chunk().copied().unwrap_or_default()
}

fn split_ending(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= ENDING_LEN_MAX => name.split_at(at),
        _ => (name, ""),
    }
}

/// A name as any system takes it.
pub(super) fn plain_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let is_odd = |c: char| {
        c.is_control()
            || matches!(c, '/' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let is_reserved =
        |c: char| cfg!(windows) && matches!(c, ':' | '<' | '>' | '"' | '|' | '?' | '*');
    let mut plain: String =
        text.chars().map(|c| if is_odd(c) || is_reserved(c) { '_' } else { c }).collect();
    if plain.is_empty() || plain.chars().all(|c| c == '.') {
        plain = "_".repeat(plain.len().max(1));
    }
    if cfg!(windows) {
        if plain.ends_with(['.', ' ']) {
            plain.push('_');
        }
        if is_device(&plain) {
            plain.insert(0, '_');
        }
    }
    shortened(plain, name)
}

/// Cut in the middle where it is too long; what tells it from others that are cut alike is put in.
fn shortened(plain: String, name: &[u8]) -> String {
    if plain.len() <= NAME_LEN_MAX {
        return plain;
    }
    let (stem, ending) = split_ending(&plain);
    let mark = blake3::hash(name).to_hex();
    let room = NAME_LEN_MAX - ending.len() - 9;
    let end = (0..=room).rev().find(|at| stem.is_char_boundary(*at)).unwrap_or(0);
    let start = stem.get(..end).unwrap_or_default();
    format!("{start}~{}{ending}", mark.get(..8).unwrap_or_default())
}

/// Names that Windows takes for devices, with any ending.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |prefix: &str| {
        stem.strip_prefix(prefix).is_some_and(|rest| {
            matches!(rest.as_bytes(), [b'1'..=b'9']) || matches!(rest, "¹" | "²" | "³")
        })
    };
    matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || numbered("COM")
        || numbered("LPT")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use std::path::Component;

    use proptest::prelude::*;

    use super::*;

    fn given(paths: &[&str]) -> Vec<String> {
        let mut places = Places::default();
        let give = |path: &&str| {
            let mut names: Vec<&[u8]> = path.as_bytes().split(|b| *b == b'/').collect();
            let name = names.pop().unwrap_or_default();
            places.give(&names, name).map_or(String::new(), |path| path.display().to_string())
        };
        paths.iter().map(give).collect()
    }

    #[test]
    fn names_stay_as_they_are_where_they_can() {
        let names = ["a/IMG_0001.HEIC", ".hidden", "a b/ü😀", "a/-rf", "...x"];
        assert_eq!(given(&names), names);
    }

    #[test]
    fn nothing_leaves_the_folder() {
        assert_eq!(given(&["../../etc/passwd"]), ["__/__/etc/passwd"]);
        assert_eq!(given(&["/etc/passwd"]), ["_/etc/passwd"]);
        assert_eq!(given(&["a//b", "a/./b"]), ["a/_/b", "a/_/b (2)"]);
        assert_eq!(
            given(&["a\\..\\b", "x\0y", "\u{1b}[2J", "\u{202e}gpj.exe"]),
            ["a_.._b", "x_y", "_[2J", "_gpj.exe"]
        );
        assert_eq!(given(&[""]), ["_"]);
    }

    #[test]
    fn names_that_a_system_takes_for_one_get_numbers() {
        assert_eq!(given(&["a.txt", "A.TXT", "a.TXT"]), ["a.txt", "A (2).TXT", "a (3).TXT"]);
        assert_eq!(given(&["\u{e4}", "a\u{308}"]), ["\u{e4}", "a\u{308} (2)"]);
        assert_eq!(given(&["Foo/x", "foo/y", "foo"]), ["Foo/x", "Foo/y", "foo (2)"]);
        assert_eq!(given(&["a", "a/b", "a/c"]), ["a", "a (2)/b", "a (2)/c"]);
        assert_eq!(given(&["a (2)", "a", "a"]), ["a (2)", "a", "a (3)"]);
    }

    #[test]
    fn names_that_are_too_long_keep_their_ending_and_differ() {
        let (first, second) = ("ä".repeat(200) + ".jpeg", "ä".repeat(201) + ".jpeg");
        let names = given(&[&first, &second]);
        assert!(names.iter().all(|name| name.len() <= 255 && name.ends_with(".jpeg")), "{names:?}");
        assert_ne!(names[0], names[1]);
        assert_eq!(given(&["a/".repeat(70).as_str()]), [""]);
    }

    #[test]
    fn devices_of_windows_are_known() {
        for name in ["con", "NUL.txt", "Com1", "lpt9.tar.gz", "aux "] {
            assert!(is_device(name), "{name}");
        }
        assert!(!is_device("console") && !is_device("com10") && !is_device("com"));
    }

    proptest! {
        #[test]
        fn any_bytes_give_places_below_and_no_two_the_same(
            paths in proptest::collection::vec(proptest::collection::vec("[a./A\\\\\u{0}\u{308}ä]{0,4}", 1..4), 1..12)
        ) {
            let mut places = Places::default();
            let mut seen = HashSet::new();
            let mut folders = HashSet::new();
            for path in &paths {
                let names: Vec<&[u8]> = path.iter().map(String::as_bytes).collect();
                let (name, above) = names.split_last().unwrap();
                let place = places.give(above, name).unwrap();
                prop_assert!(place.components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert_eq!(place.components().count(), names.len());
                let folded = place.to_str().unwrap().nfd().collect::<String>().to_lowercase();
                prop_assert!(seen.insert(folded.clone()), "{}", folded);
                folders.extend(folded.match_indices('/').map(|(at, _)| folded[..at].to_owned()));
            }
            prop_assert!(folders.is_disjoint(&seen));
        }
    }
}
