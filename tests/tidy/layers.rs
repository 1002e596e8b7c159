//! Who may use whom: the rooms of `src/`, the crates of ours, and the heavy crates that live in one room each.
//!
//! Invariant: [`ROOMS`] is the map in ARCHITECTURE.md. An arrow never points up, so that a room can be understood, tested
//! and replaced with what lies below it alone.

use crate::source::{Source, finding};

/// A room of `src/`, the rooms below it that it may use, and the crates of ours.
struct Room {
    name: &'static str,
    rooms: &'static [&'static str],
    crates: &'static [&'static str],
}

/// From top to bottom. `cli` starts work through `ops`, and speaks of what the rooms below hand up: snapshots, keys,
/// errors. Only `pipeline` cuts.
const ROOMS: &[Room] = &[
    Room {
        name: "cli",
        rooms: &["ops", "capture", "apple", "snapshot", "pipeline"],
        crates: &["russet_store"],
    },
    Room {
        name: "ops",
        rooms: &["capture", "apple", "snapshot", "pipeline"],
        crates: &["russet_store"],
    },
    Room { name: "capture", rooms: &["apple", "snapshot", "pipeline"], crates: &["russet_store"] },
    Room { name: "snapshot", rooms: &["pipeline"], crates: &["russet_store"] },
    Room { name: "pipeline", rooms: &[], crates: &["russet_chunker", "russet_store"] },
    Room { name: "apple", rooms: &[], crates: &[] },
];

/// What every room may use: these use none.
const SEAMS: &[&str] = &["observe", "wipe"];

/// Crates that know nothing of ours.
const LEAVES: &[&str] = &["chunker/src/", "store/src/"];

/// A heavy crate and where it may be used.
const HEAVY: &[(&str, &[&str])] = &[
    ("clap", &["src/cli/"]),
    ("clap_complete", &["src/cli/"]),
    ("comfy_table", &["src/cli/"]),
    ("indicatif", &["src/cli/"]),
    ("rpassword", &["src/cli/"]),
    ("plist", &["src/apple/", "src/capture/device/"]),
    ("rusqlite", &["src/apple/"]),
    ("idevice", &["src/capture/device/connect/"]),
    ("tokio", &["src/capture/device/connect/"]),
    ("rustls", &["src/capture/device/connect/"]),
    ("rocksdb", &["store/src/index/rocks"]),
];

/// Holds `src/`, `chunker/` and `store/` to the map.
pub(crate) fn room_uses_only_rooms_below(source: &Source) -> Vec<String> {
    if LEAVES.iter().any(|leaf| source.path.starts_with(leaf)) {
        return crates_used(source, &[]);
    }
    let Some(below) = source.path.strip_prefix("src/") else { return Vec::new() };
    let name = below.split(['/', '.']).next().unwrap_or_default();
    let nothing = Room { name: "a seam", rooms: &[], crates: &[] };
    let room = match ROOMS.iter().find(|room| room.name == name) {
        Some(room) => room,
        None if SEAMS.contains(&name) => &nothing,
        // lib.rs and main.rs open the doors.
        None => return Vec::new(),
    };
    let mut findings = crates_used(source, room.crates);
    for (line, used) in crate_paths(source) {
        let own = used == room.name || SEAMS.contains(&used.as_str());
        if !own && !room.rooms.contains(&used.as_str()) {
            let what = format!("`{}` may not use `{used}` (see ARCHITECTURE.md)", room.name);
            findings.push(finding(source, line, &what));
        }
    }
    findings
}

/// Holds each heavy crate to its room.
pub(crate) fn heavy_crate_is_in_its_room(source: &Source) -> Vec<String> {
    if !["src/", "store/src/", "chunker/src/"].iter().any(|room| source.path.starts_with(room)) {
        return Vec::new();
    }
    let at_home = |homes: &[&str]| homes.iter().any(|home| source.path.starts_with(home));
    let strangers = HEAVY.iter().filter(|(_, homes)| !at_home(homes));
    let mut findings = Vec::new();
    for (name, homes) in strangers {
        for (line, code) in source.shipped() {
            if uses_crate(code, name) {
                let what = format!("`{name}` is used in {} only", homes.join(" and "));
                findings.push(finding(source, line, &what));
            }
        }
    }
    findings
}

fn crates_used(source: &Source, allowed: &[&str]) -> Vec<String> {
    let ours = ["russet", "russet_chunker", "russet_store", "russet_testkit"];
    let mut findings = Vec::new();
    for name in ours.into_iter().filter(|name| !allowed.contains(name)) {
        for (line, code) in source.shipped() {
            if uses_crate(code, name) {
                findings.push(finding(source, line, &format!("may not use the crate `{name}`")));
            }
        }
    }
    findings
}

/// Whether a line has `name::`, or `use name` alone, and `name` is a crate there, not a module of something else.
fn uses_crate(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let is_start =
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '.');
        let after = code[at + name.len()..].trim_start();
        let is_use = code[..at].trim_end().ends_with("use");
        let ends_word =
            !code[at + name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        is_start && ends_word && (after.starts_with("::") || is_use)
    })
}

/// The first name after each `crate::`, also in `crate::{a, b::c}`, with its line.
fn crate_paths(source: &Source) -> Vec<(usize, String)> {
    let lines: Vec<&str> = source.shipped().map(|(_, code)| code).collect();
    let code = lines.join("\n");
    let mut paths = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count();
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => paths.extend(top_names(group).into_iter().map(|name| (line, name))),
            None => paths.push((line, word(rest))),
        }
    }
    paths.retain(|(_, name)| !name.is_empty());
    paths
}

/// First names of a group's members, up to its closing brace.
fn top_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0_u32;
    let mut is_fresh = true;
    for (at, c) in group.char_indices() {
        match c {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => is_fresh = true,
            c if c.is_alphabetic() && is_fresh => {
                names.push(word(&group[at..]));
                is_fresh = false;
            }
            _ => {}
        }
    }
    names
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
