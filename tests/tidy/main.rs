//! Reads the source tree and holds it to the rules that no compiler knows.
//!
//! Invariant: every rule is a function of a [`Source`], so that each is also shown to fail, on a made-up file; and the
//! tree is read whole, so that a rule cannot pass for want of files. Writes nothing and runs nothing.

mod layers;
mod source;
mod words;

use source::{Source, finding};
use std::path::Path;

/// A rule: what is wrong in one file, a line each.
type Rule = fn(&Source) -> Vec<String>;

/// Longest file, tests not counted: a file explains one idea.
const LINE_COUNT_MAX: usize = 600;

fn tree() -> Vec<Source> {
    source::read_tree(Path::new(env!("CARGO_MANIFEST_DIR")))
}

#[track_caller]
fn hold(rule: Rule) {
    let findings: Vec<String> = tree().iter().flat_map(rule).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[track_caller]
fn broken(rule: Rule, path: &str, text: &str) {
    assert_ne!(rule(&Source::new(path, text)), Vec::<String>::new(), "{path} passed:\n{text}");
}

#[track_caller]
fn kept(rule: Rule, path: &str, text: &str) {
    assert_eq!(rule(&Source::new(path, text)), Vec::<String>::new());
}

/// What it owns, its invariant, what it must not do: whoever cannot write that splits the file.
fn opens_with_its_purpose(source: &Source) -> Vec<String> {
    if !source.is_rust() || source.text.starts_with("//! ") {
        return Vec::new();
    }
    vec![finding(source, 0, "does not begin with `//! ` and what it owns")]
}

fn is_short_enough(source: &Source) -> Vec<String> {
    let count = source.tests_at.unwrap_or(source.code.len());
    if !source.is_rust() || source.is_test || count <= LINE_COUNT_MAX {
        return Vec::new();
    }
    let what = format!("has {count} lines before its tests, more than {LINE_COUNT_MAX}: split it");
    vec![finding(source, 0, &what)]
}

#[test]
fn the_whole_tree_is_read() {
    let tree = tree();
    for wanted in ["README.md", "src/lib.rs", "store/src/lib.rs", "chunker/src/lib.rs", "Makefile"]
    {
        assert!(tree.iter().any(|source| source.path == wanted), "{wanted} was not read");
    }
    let rust = tree.iter().filter(|source| source.is_rust()).count();
    assert!(rust > 80, "only {rust} Rust files were read");
}

#[test]
fn every_file_opens_with_its_purpose() {
    hold(opens_with_its_purpose);
}

#[test]
fn a_file_without_its_purpose_is_found() {
    broken(opens_with_its_purpose, "src/ops/a.rs", "use std::io;\n//! late\n");
    kept(opens_with_its_purpose, "src/ops/a.rs", "//! Owns a thing.\n");
}

#[test]
fn files_explain_one_idea() {
    hold(is_short_enough);
}

#[test]
fn a_long_file_is_found_and_its_tests_are_not_counted() {
    let long = "fn a() {}\n".repeat(LINE_COUNT_MAX + 1);
    broken(is_short_enough, "src/ops/a.rs", &long);
    let mostly_tests = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{long}}}\n");
    kept(is_short_enough, "src/ops/a.rs", &mostly_tests);
}

#[test]
fn rooms_use_only_rooms_below_them() {
    hold(layers::room_uses_only_rooms_below);
}

#[test]
fn an_arrow_that_points_up_is_found() {
    let rule: Rule = layers::room_uses_only_rooms_below;
    broken(rule, "src/apple/a.rs", "use crate::ops::import;\n");
    broken(rule, "src/snapshot/a.rs", "use crate::{pipeline::run, capture::folder};\n");
    broken(
        rule,
        "src/snapshot/a.rs",
        "use crate::{\n    pipeline::run,\n    capture::folder,\n};\n",
    );
    broken(rule, "src/pipeline/a.rs", "fn a() { crate::snapshot::all(); }\n");
    broken(rule, "src/ops/a.rs", "use crate::cli::args;\n");
    broken(rule, "src/observe.rs", "use crate::ops::import;\n");
    broken(rule, "src/ops/a.rs", "use russet_chunker::Sizes;\n");
    broken(rule, "src/apple/a.rs", "use russet_store as bytes;\n");
    broken(rule, "src/ops/a.rs", "use russet_testkit::FakeBackup;\n");
    broken(rule, "src/ops/a.rs", "use crate::unheard_of::thing;\n");
    broken(rule, "store/src/a.rs", "use russet_chunker::Sizes;\n");
    broken(rule, "chunker/src/a.rs", "use russet_store::ids;\n");
}

#[test]
fn an_arrow_that_points_down_is_not_found() {
    let rule: Rule = layers::room_uses_only_rooms_below;
    kept(rule, "src/cli/a.rs", "use crate::ops::import;\nuse crate::observe::Observer;\n");
    kept(rule, "src/capture/a.rs", "use crate::apple::Udid; // crate::ops is told by the caller\n");
    kept(rule, "src/apple/a.rs", "const A: &str = \"crate::ops\";\n");
    kept(rule, "store/src/a.rs", "use crate::pack::Entry;\n");
    kept(rule, "store/src/a.rs", "#[cfg(test)]\nmod tests {\n    use russet_testkit::faults;\n}\n");
}

#[test]
fn heavy_crates_stay_in_their_room() {
    hold(layers::heavy_crate_is_in_its_room);
}

#[test]
fn a_heavy_crate_elsewhere_is_found() {
    let rule: Rule = layers::heavy_crate_is_in_its_room;
    broken(rule, "src/ops/a.rs", "use clap::Parser;\n");
    broken(rule, "src/capture/a.rs", "fn a(_: &rusqlite::Connection) {}\n");
    broken(rule, "src/capture/a.rs", "use plist;\n");
    broken(rule, "store/src/index/btree.rs", "use rocksdb::DB;\n");
    broken(rule, "src/ops/a.rs", "use indicatif::ProgressBar;\n");
    broken(rule, "src/ops/a.rs", "fn a() { rpassword::prompt_password(\"\"); }\n");
    broken(rule, "src/ops/a.rs", "use comfy_table as table;\n");
    broken(rule, "src/ops/a.rs", "use tokio::net::TcpStream;\n");
    broken(rule, "src/capture/folder/a.rs", "use idevice::Idevice;\n");
    kept(rule, "src/capture/device/connect/a.rs", "use idevice::Idevice;\n");
    kept(rule, "store/src/index/rocks.rs", "use rocksdb::DB;\n");
    kept(rule, "src/apple/a.rs", "use plist::Value;\nuse rusqlite::Connection;\n");
    kept(rule, "src/ops/a.rs", "use crate::apple::manifest_plist::ManifestPlist;\n");
}

#[test]
fn only_the_command_line_speaks_reads_the_environment_and_exits() {
    hold(words::leaves_the_terminal_alone);
}

#[test]
fn speaking_elsewhere_is_found() {
    let rule: Rule = words::leaves_the_terminal_alone;
    broken(rule, "src/ops/a.rs", "fn a() { println!(\"done\"); }\n");
    broken(rule, "store/src/a.rs", "fn a() { eprint!(\"x\"); }\n");
    broken(rule, "src/apple/a.rs", "fn a() { std::env::var(\"HOME\"); }\n");
    broken(rule, "src/apple/a.rs", "use std::{env, fs};\n");
    broken(rule, "chunker/src/a.rs", "fn a() { std::process::exit(1) }\n");
    broken(rule, "src/ops/a.rs", "fn a() { std::io::stdout(); }\n");
    kept(
        rule,
        "src/cli/a.rs",
        "fn a() { writeln!(std::io::stdout()); std::env::var_os(\"HOME\"); }\n",
    );
    kept(rule, "testkit/src/bin/phone.rs", "fn main() { println!(\"done\"); }\n");
    kept(
        rule,
        "src/ops/a.rs",
        "const A: &str = env!(\"CARGO_PKG_VERSION\"); // println! is for cli\n",
    );
    kept(rule, "src/ops/a.rs", "#[cfg(test)]\nmod tests {\n    fn a() { println!(); }\n}\n");
}

#[test]
fn nothing_is_left_unfinished() {
    hold(words::is_finished);
}

#[test]
fn what_is_unfinished_is_found() {
    let rule: Rule = words::is_finished;
    broken(rule, "src/ops/a.rs", "fn a() { todo!() }\n");
    broken(rule, "src/ops/a.rs", "fn a() { unimplemented!() }\n");
    broken(rule, "src/ops/a.rs", &format!("// {}: later\n", ["TO", "DO"].concat()));
    broken(rule, "docs/a.md", &format!("{} this\n", ["FIX", "ME"].concat()));
    kept(rule, "src/ops/a.rs", "// what is left to do\n");
}

#[test]
fn nothing_tells_where_it_was_written() {
    hold(words::knows_no_workplace);
}

#[test]
fn a_path_of_the_workplace_is_found() {
    let rule: Rule = words::knows_no_workplace;
    broken(rule, "docs/a.md", &format!("see {}shared\n", ["/wo", "rk/"].concat()));
    broken(rule, "scripts/a.sh", &format!("cd {}wt\n", ["/ro", "ot/"].concat()));
    kept(rule, "docs/a.md", "put it into network/root folders\n");
}

#[test]
fn modules_are_named_after_what_they_own() {
    hold(words::is_named_after_what_it_owns);
}

#[test]
fn a_module_named_after_nothing_is_found() {
    broken(words::is_named_after_what_it_owns, "src/ops/utils.rs", "//! Things.\n");
    broken(words::is_named_after_what_it_owns, "src/helpers/mod.rs", "//! Things.\n");
    kept(words::is_named_after_what_it_owns, "src/ops/keyslot.rs", "//! Keyslots.\n");
}

#[test]
fn documents_that_are_named_exist() {
    let tree = tree();
    let findings: Vec<String> =
        tree.iter().flat_map(|source| words::names_only_what_exists(source, &tree)).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn a_document_that_is_not_there_is_found() {
    let tree = [Source::new("docs/format.md", "# Format\n")];
    let naming = |text| words::names_only_what_exists(&Source::new("src/a.rs", text), &tree).len();
    assert_eq!(naming("//! Layout: docs/format.md §4.\n"), 0);
    assert_eq!(naming("//! Layout: docs/layout.md §4.\n"), 1);
    assert_eq!(naming("//! A decision: docs/decisions/NNNN-title.md.\n"), 0);
}
