//! Where passwords come from: the repository's, and the phone's.
//!
//! Invariant: never from the arguments, where others could see it; asked for only on a terminal; wiped after use.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use russet_store::seal::{Password, RecoveryKey, SlotSecret};
use zeroize::Zeroizing;

use super::failure::{Failure, code};
use super::format::counted;
use super::{output, question};
use crate::apple::{PasswordError, PhonePassword};
use crate::observe::Observer;

const FILE_LEN_MAX: u64 = 1 << 20;
/// One byte more, so that a reader that looks for the end need not grow it.
const ROOM_LEN: usize = (1 << 20) + 1;

/// Reads a small secret file; `what` is what it is called where it cannot be read.
pub(super) fn read_file(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: io::Error| {
        Failure::new(code::USAGE, format!("could not read the {what} {}: {error}", path.display()))
    };
    // Room for all of it at once: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM_LEN));
    File::open(path).map_err(failed)?.take(FILE_LEN_MAX).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Runs a command and takes its output as the password.
pub(super) fn run_command(command: &str) -> Result<Password, Failure> {
    let failed =
        |why: String| Failure::new(code::USAGE, format!("the password command failed: {why}"));
    let mut shell = if cfg!(windows) { Command::new("cmd") } else { Command::new("sh") };
    shell.arg(if cfg!(windows) { "/C" } else { "-c" }).arg(command);
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = shell.spawn().map_err(|e| failed(e.to_string()))?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(ROOM_LEN));
    let read = child.stdout.take().map(|out| out.take(FILE_LEN_MAX).read_to_end(&mut bytes));
    let status = child.wait().map_err(|e| failed(e.to_string()))?;
    read.transpose().map_err(|e| failed(e.to_string()))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    Ok(Password::from_file(&bytes)?)
}

/// Asks on the terminal. With `twice` until both are the same.
pub(super) fn ask(prompt: &str, twice: bool) -> Result<Password, Failure> {
    if !io::stdin().is_terminal() {
        return Err(Failure::new(code::USAGE, "no repository password was given, and there is no terminal to ask on")
            .next("use `--password-file FILE`, `--password-command CMD`, RUSSET_PASSWORD_FILE or RUSSET_PASSWORD_COMMAND"));
    }
    Ok(Password::new(&typed(prompt, twice)?)?)
}

fn typed(prompt: &str, twice: bool) -> Result<Zeroizing<String>, Failure> {
    loop {
        let first = hidden(format!("{prompt}: "))?;
        if !twice {
            return Ok(first);
        }
        if first.is_empty() {
            output::note("That is empty, which protects nothing. Try again.");
            continue;
        }
        let again = hidden("Once more: ".to_owned())?;
        if *first == *again {
            return Ok(first);
        }
        output::note("They differ. Try again.");
    }
}

/// What is typed, without echo.
fn hidden(prompt: String) -> Result<Zeroizing<String>, Failure> {
    question::wait(move || rpassword::prompt_password(prompt).map(Zeroizing::new))
        .map_err(|error| not_asked(&error))
}

/// Why a question has no answer.
pub(super) fn not_asked(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::Interrupted => {
            // What is said next begins on a line of its own.
            output::note("");
            Failure::interrupted()
        }
        _ => Failure::new(code::USAGE, format!("could not ask on the terminal: {error}")),
    }
}

/// Fewer characters than this are found by trying, by whoever has the drive.
const CHAR_COUNT_MIN: usize = 8;

/// What a person should know of a new repository password.
pub(super) fn weigh(password: &Password, observer: &dyn Observer) {
    let count = password.char_count();
    if count < CHAR_COUNT_MIN {
        observer.remark(&format!(
            "this repository password has only {}: whoever gets hold of the drive can try all of that length, and then reads everything. Several unrelated words are better; `russet key passwd` changes it",
            counted(count as u64, "character")
        ));
    }
}

/// The variable that names a file with an iPhone backup password.
pub(super) const PHONE_PASSWORD_FILE: &str = "RUSSET_PHONE_PASSWORD_FILE";

/// The iPhone backup password: a file, the file that the environment names if it may, or the terminal.
pub(super) fn of_phone(
    file: Option<&Path>,
    or_variable: bool,
    option: &str,
    prompt: &str,
    twice: bool,
) -> Result<PhonePassword, Failure> {
    let named = phone_password_variable().filter(|_| or_variable);
    if let Some(path) = file.or(named.as_deref()) {
        return phone_password_file(path);
    }
    if !io::stdin().is_terminal() {
        let or =
            if or_variable { format!(", or set {PHONE_PASSWORD_FILE}") } else { String::new() };
        return Err(Failure::new(
            code::USAGE,
            "no iPhone backup password was given, and there is no terminal to ask on",
        )
        .next(format!("use `{option} FILE`{or}")));
    }
    Ok(PhonePassword::new(&typed(prompt, twice)?)?)
}

/// The files with iPhone backup passwords: those that are named, else the one that the environment names.
pub(super) fn phone_password_files(named: &[PathBuf]) -> Vec<PathBuf> {
    match named {
        [] => phone_password_variable().into_iter().collect(),
        named => named.to_vec(),
    }
}

/// Asks for the name of something, as a second thought before it is changed for good.
pub(super) fn confirm_name(question: &str, name: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            code::USAGE,
            "this needs the iPhone's name to be typed, and there is no terminal to type it on",
        )
        .next("run it again with `--yes`"));
    }
    let line = answer(question)?;
    if is_same_name(&line, name) {
        Ok(())
    } else {
        Err(Failure::new(code::FAILED, "that is not its name; nothing was done"))
    }
}

/// Whether a name was meant: phones are called "Anna’s iPhone", with an apostrophe that few keyboards have.
fn is_same_name(typed: &str, name: &str) -> bool {
    let plain = |text: &str| text.trim().replace('\u{2019}', "'").to_lowercase();
    !plain(typed).is_empty() && plain(typed) == plain(name)
}

fn answer(question: &str) -> Result<String, Failure> {
    let mut err = io::stderr().lock();
    let _ = write!(err, "{question} ");
    let _ = err.flush();
    drop(err);
    question::line().map_err(|error| not_asked(&error))
}

/// Whether there is somebody to ask.
pub(super) fn is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// Asks for the password of an encrypted backup; empty: there is none to give. None without a terminal.
pub(super) fn ask_for_phone(prompt: &str) -> Result<Option<PhonePassword>, Failure> {
    if !io::stdin().is_terminal() {
        return Ok(None);
    }
    let typed = typed(prompt, false)?;
    Ok(if typed.is_empty() { None } else { Some(PhonePassword::new(&typed)?) })
}

/// Reads an iPhone backup password from a file.
pub(super) fn phone_password_file(path: &Path) -> Result<PhonePassword, Failure> {
    let bytes = read_file(path, "iPhone backup password file")?;
    PhonePassword::from_file(&bytes).map_err(|error| match error {
        PasswordError::Empty => {
            Failure::new(code::USAGE, format!("{} holds no password", path.display()))
        }
        PasswordError::Control => {
            Failure::new(code::USAGE, format!("{}: {error}", path.display())).next(
                "one password a file, in one line; of several, give each file its own `--phone-password-file`",
            )
        }
        error => error.into(),
    })
}

/// The file that the environment names for an iPhone backup password.
pub(super) fn phone_password_variable() -> Option<PathBuf> {
    std::env::var_os(PHONE_PASSWORD_FILE).filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// Reads the 24 words from a file.
pub(super) fn recovery_file(path: &Path) -> Result<SlotSecret, Failure> {
    let bytes = read_file(path, "recovery file")?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Failure::new(code::USAGE, format!("{} is not text", path.display())))?;
    Ok(SlotSecret::Recovery(RecoveryKey::parse(text)?))
}

/// Asks a question that must be answered with "yes".
pub(super) fn confirm(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new(
            code::USAGE,
            "this needs a yes, and there is no terminal to ask on",
        )
        .next("run it again with `--yes`"));
    }
    let line = answer(&format!("{question} [yes/no]"))?;
    if line.trim() == "yes" { Ok(()) } else { Err(Failure::new(code::FAILED, "nothing was done")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_meant_whatever_apostrophe_and_case_it_is_typed_with() {
        assert!(is_same_name("anna's iphone\n", "Anna\u{2019}s iPhone"));
        assert!(!is_same_name("iphone\n", "Anna\u{2019}s iPhone") && !is_same_name("\n", "x"));
        assert!(!is_same_name("\n", " "), "nothing typed is no name");
    }
}
