//! Words that may not stand in the tree, or not there.
//!
//! Invariant: rules about code read code without comments and strings; rules about words read everything. The words
//! themselves are put together from halves here, or this file would break its own rules.

use crate::source::{Source, finding};

/// Nothing but `cli` speaks to a person, reads the environment or ends the program.
pub(crate) fn leaves_the_terminal_alone(source: &Source) -> Vec<String> {
    let speaks = ["src/cli/", "src/main.rs", "testkit/src/bin/"];
    let is_library =
        ["src/", "store/src/", "chunker/src/"].iter().any(|room| source.path.starts_with(room));
    if !is_library || speaks.iter().any(|room| source.path.starts_with(room)) {
        return Vec::new();
    }
    let forbidden = [
        "println!",
        "print!",
        "eprintln!",
        "eprint!",
        "dbg!",
        "env::",
        "std::env",
        "process::exit",
        "io::stdin",
        "io::stdout",
        "io::stderr",
        "stdin()",
        "stdout()",
        "stderr()",
    ];
    let mut findings = Vec::new();
    for (line, code) in source.shipped() {
        let grouped = code.contains("std::{") && names(code, "env");
        let found = forbidden.iter().find(|word| stands_alone(code, word));
        if let Some(word) = found.copied().or(grouped.then_some("std::env")) {
            findings.push(finding(source, line, &format!("`{word}` is for src/cli/ only")));
        }
    }
    findings
}

/// Nothing is promised for later inside the tree.
pub(crate) fn is_finished(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, code) in source.code.iter().enumerate() {
        let found = ["todo!", "unimplemented!"].iter().find(|word| code.contains(**word));
        if let Some(word) = found.filter(|_| source.is_rust()) {
            findings.push(finding(source, line, &format!("`{word}` is left")));
        }
    }
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["X", "XX:"].concat()];
    findings.extend(lines_with(
        source,
        &words,
        "is a promise: do it, or write what is missing in README.md",
    ));
    findings
}

/// The tree is the same wherever it was written.
pub(crate) fn knows_no_workplace(source: &Source) -> Vec<String> {
    let paths = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat()];
    lines_with(source, &paths, "is a path of one computer")
}

/// A module is a noun one could ask a colleague about.
pub(crate) fn is_named_after_what_it_owns(source: &Source) -> Vec<String> {
    let vague = ["util", "utils", "common", "helper", "helpers", "types", "manager", "misc"];
    let mut parts = source.path.trim_end_matches(".rs").split('/');
    match parts.find(|part| source.is_rust() && vague.contains(part)) {
        Some(part) => vec![finding(source, 0, &format!("`{part}` does not say what it owns"))],
        None => Vec::new(),
    }
}

/// A document of ours that is named must be there.
pub(crate) fn names_only_what_exists(source: &Source, tree: &[Source]) -> Vec<String> {
    let mut findings = Vec::new();
    // The examples that show these rules to fail name what does not exist.
    if source.path.starts_with("tests/tidy/") {
        return findings;
    }
    for (line, text) in source.text.lines().enumerate() {
        for (at, _) in text.match_indices("docs/").filter(|(at, _)| starts_path(text, *at)) {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
            let end = text[at..].find(|c| !is_part(c)).map_or(text.len(), |len| at + len);
            let path = text[at..end].trim_end_matches('.');
            let is_document = [".md", ".py"].iter().any(|kind| path.ends_with(kind));
            let is_example = path.contains("NNNN");
            if is_document && !is_example && !tree.iter().any(|other| other.path == path) {
                findings.push(finding(source, line, &format!("{path} does not exist")));
            }
        }
    }
    findings
}

/// Whether a path begins here, and not in the middle of another one.
fn starts_path(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '/' || c == '-' || c == '_')
}

fn lines_with(source: &Source, words: &[String], what: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for (line, text) in source.text.lines().enumerate() {
        if let Some(word) = words.iter().find(|word| stands_alone(text, word)) {
            findings.push(finding(source, line, &format!("`{word}` {what}")));
        }
    }
    findings
}

/// Whether `word` stands in `text` and no longer word ends or begins with it.
fn stands_alone(text: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let ends_open = word.ends_with(is_word);
        !(before.is_some_and(is_word) || ends_open && after.is_some_and(is_word))
    })
}

fn names(code: &str, name: &str) -> bool {
    code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name)
}
