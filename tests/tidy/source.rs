//! The files of the tree, with comments and strings taken out of Rust code.
//!
//! Invariant: `code` has the lines of `text`, and what is blanked there is replaced by spaces, so that line numbers
//! hold. Knows enough of Rust's tokens to find comments, strings and characters, and nothing more.

use std::fs;
use std::path::Path;

/// One file.
pub(crate) struct Source {
    /// Path from the root of the tree, with `/`.
    pub(crate) path: String,
    /// As it stands.
    pub(crate) text: String,
    /// Its lines; of Rust without comments and strings.
    pub(crate) code: Vec<String>,
    /// Line (from 0) at which its tests module begins; tests stand last.
    pub(crate) tests_at: Option<usize>,
    /// Whether all of it is only for tests.
    pub(crate) is_test: bool,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let is_rust = path.ends_with(".rs");
        let blanked = if is_rust { blank(text) } else { text.to_owned() };
        let code: Vec<String> = blanked.lines().map(str::to_owned).collect();
        let tests_at = if is_rust { tests_at(&code) } else { None };
        let mut parts = path.rsplit('/');
        let stem = parts.next().unwrap_or_default().trim_end_matches(".rs");
        let is_test =
            stem == "tests" || stem.ends_with("_tests") || parts.any(|part| part == "tests");
        Self { path: path.to_owned(), text: text.to_owned(), code, tests_at, is_test }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines of code that ship, with their numbers from 0.
    pub(crate) fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let end = if self.is_test { 0 } else { self.tests_at.unwrap_or(self.code.len()) };
        self.code.iter().map(String::as_str).enumerate().take(end)
    }
}

/// A finding as editors like it.
pub(crate) fn finding(source: &Source, line: usize, what: &str) -> String {
    format!("{}:{}: {what}", source.path, line + 1)
}

/// Every text file of ours below `root`.
pub(crate) fn read_tree(root: &Path) -> Vec<Source> {
    let mut sources = Vec::new();
    visit(root, "", &mut sources);
    sources
}

fn visit(folder: &Path, prefix: &str, sources: &mut Vec<Source>) {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a listing that began goes on").path())
        .collect();
    entries.sort();
    for path in entries {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if path.is_symlink() || is_foreign(name) {
            continue;
        }
        let below = format!("{prefix}{name}");
        if path.is_dir() {
            visit(&path, &format!("{below}/"), sources);
        } else if is_ours(name) {
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{below}: {error}"));
            sources.push(Source::new(&below, &text));
        }
    }
}

/// What builds, fuzzing, Python and editors leave behind.
fn is_foreign(name: &str) -> bool {
    let made = ["target", "corpus", "artifacts", "coverage", "__pycache__", "golden"];
    made.contains(&name) || (name.starts_with('.') && name != ".ci")
}

fn is_ours(name: &str) -> bool {
    let extensions = [".rs", ".md", ".toml", ".sh", ".py", ".in"];
    ["Makefile", "run"].contains(&name) || extensions.iter().any(|end| name.ends_with(end))
}

/// The line of a `#[cfg(test)]` that stands on an inline module.
fn tests_at(code: &[String]) -> Option<usize> {
    code.iter().enumerate().position(|(at, line)| {
        let opens =
            |line: &String| line.trim_start().starts_with("mod ") && line.trim_end().ends_with('{');
        line.trim() == "#[cfg(test)]" && code.iter().skip(at + 1).take(6).any(opens)
    })
}

/// Replaces comments, strings and characters by spaces.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let len = token_len(&bytes[at..], out.last().copied());
        match len {
            0 => {
                out.push(bytes[at]);
                at += 1;
            }
            _ => {
                let end = (at + len).min(bytes.len());
                out.extend(
                    bytes[at..end].iter().map(|byte| if *byte == b'\n' { b'\n' } else { b' ' }),
                );
                at = end;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Length of the comment, string or character that begins here; 0 if none does.
fn token_len(rest: &[u8], before: Option<u8>) -> usize {
    let in_word = before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    match rest {
        [b'/', b'/', ..] => rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()),
        [b'/', b'*', ..] => block_comment_len(rest),
        [b'"', ..] => quoted_len(rest, b'"'),
        [b'r', b'"' | b'#', ..] if !in_word => raw_string_len(rest),
        [b'b', b'r', b'"' | b'#', ..] if !in_word => 1 + raw_string_len(&rest[1..]),
        [b'\'', b'\\', ..] => quoted_len(rest, b'\''),
        // A character may be up to four bytes long; what has no quote after one is a lifetime.
        [b'\'', first, ..] => {
            let len = match first {
                0..=0x7f => 1,
                0x80..=0xdf => 2,
                0xe0..=0xef => 3,
                _ => 4,
            };
            if rest.get(1 + len) == Some(&b'\'') { len + 2 } else { 0 }
        }
        _ => 0,
    }
}

fn block_comment_len(rest: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_len(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `r"…"`, `r#"…"#`; 0 for a raw name such as `r#type`.
fn raw_string_len(rest: &[u8]) -> usize {
    let hashes = rest.iter().skip(1).take_while(|byte| **byte == b'#').count();
    if rest.get(1 + hashes) != Some(&b'"') {
        return 0;
    }
    let end = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let body = &rest[2 + hashes..];
    let len = body.windows(end.len()).position(|window| window == end).unwrap_or(body.len());
    2 + hashes + len + end.len()
}

#[test]
fn comments_strings_and_characters_are_blanked() {
    let text = "a \"x\\\"y\" 'b' '\\'' /* c /* d */ e */ r#\"f\"g\"# h<'i> // j\nk b\"l\" '§' m";
    let left: String = blank(text).chars().filter(|c| !c.is_whitespace()).collect();
    assert_eq!(left, "ah<'i>kbm");
}

#[test]
fn lines_keep_their_numbers() {
    let source = Source::new("a.rs", "/* one\ntwo */\n\"a\nb\" here\n");
    assert_eq!(source.code[3].trim(), "here");
    assert_eq!(source.code.len(), 4);
}
