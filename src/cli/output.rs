//! Writing to stdout and stderr.
//!
//! Invariant: a closed stdout is no error of ours and never a panic; text and JSON are never mixed on stdout.

use std::io::{self, Write};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::failure::Failure;

/// Writes a line of the answer.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").map_err(Failure::stdout)
}

/// Writes a JSON message; `v` and `message_type` are added.
pub(super) fn message(kind: &str, mut body: Value) -> Result<(), Failure> {
    if let Some(map) = body.as_object_mut() {
        map.insert("v".to_owned(), json!(1));
        map.insert("message_type".to_owned(), json!(kind));
    }
    line(&body.to_string())
}

/// Writes to stderr; nobody can be told if that fails.
pub(super) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// What clap says of wrong arguments, or asked-for help.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}
