//! What a person at a terminal is asked, and how they get away from it.
//!
//! Invariant: nothing is typed before the program waits for it: echo must be seen to be off where it is to be off. The terminal is
//! that of `script`, of util-linux.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::support::{Ran, TestRepository, bare, text};

const PATIENCE: Duration = Duration::from_secs(120);
/// Notes the terminal and the program's process, runs the program, and notes how the terminal is afterwards.
const LINE: &str = r#"tty > "$PTY_DIR/tty"; sh -c 'echo $$ > "$PTY_DIR/pid"; exec "$0" "$@"' "$@"; code=$?; stty -a > "$PTY_DIR/after"; exit $code"#;

/// A program at a terminal of its own.
pub(crate) struct Terminal {
    child: Child,
    keys: ChildStdin,
    dir: TempDir,
}

impl Terminal {
    /// Starts a command with its environment. None, and a word on stderr, where there is no `script` of util-linux.
    pub(crate) fn start(command: &Command) -> Option<Self> {
        let version = Command::new("script").arg("--version").output();
        if !version.is_ok_and(|v| String::from_utf8_lossy(&v.stdout).contains("util-linux")) {
            skipped();
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let quoted = |word: &OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', r"'\''"));
        let words: Vec<String> =
            std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
        let line = dir.path().join("line");
        fs::write(&line, LINE).unwrap();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--echo", "always", "--command"]);
        script.arg(format!("sh {} {}", line.display(), words.join(" "))).arg("/dev/null");
        for (name, _) in
            std::env::vars_os().filter(|(n, _)| n.to_string_lossy().starts_with("RUSSET_"))
        {
            script.env_remove(name);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        let said = fs::File::create(dir.path().join("said")).unwrap();
        script.env("PTY_DIR", dir.path()).stdin(Stdio::piped()).stdout(said);
        let mut child = script.spawn().unwrap();
        let keys = child.stdin.take().unwrap();
        Some(Self { child, keys, dir })
    }

    fn file(&self, name: &str) -> String {
        let bytes = fs::read(self.dir.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// All that stands on the terminal.
    pub(crate) fn said(&self) -> String {
        self.file("said")
    }

    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < PATIENCE, "not {what}:\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until these words stand there so many times.
    #[track_caller]
    pub(crate) fn wait_for(&self, words: &str, count: usize) {
        self.until(words, || self.said().matches(words).count() >= count);
    }

    /// Waits until what is typed is not shown.
    #[track_caller]
    pub(crate) fn wait_until_hidden(&self) {
        self.until("hidden", || {
            let stty = Command::new("stty").args(["-a", "-F", self.file("tty").trim()]).output();
            String::from_utf8_lossy(&stty.unwrap().stdout).contains("-echo ")
        });
    }

    /// Types a line where what is typed is hidden.
    #[track_caller]
    pub(crate) fn type_hidden(&mut self, line: &str) {
        self.wait_until_hidden();
        self.type_shown(line);
    }

    /// Types a line.
    pub(crate) fn type_shown(&mut self, line: &str) {
        self.keys.write_all(format!("{line}\n").as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Sends a signal to the program.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, self.file("pid").trim()]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end. Gives what stood on the terminal as stdout.
    #[track_caller]
    pub(crate) fn end(mut self) -> Ran {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > PATIENCE {
                self.child.kill().unwrap();
                panic!("it did not end:\n{}", self.said());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let said = self.said();
        let after = self.file("after");
        assert!(after.contains(" echo ") && after.contains(" icanon "), "{after}");
        Ran {
            exit: status.code(),
            bytes: said.clone().into_bytes(),
            stdout: said.clone(),
            stderr: said,
        }
    }
}

#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
fn skipped() {
    eprintln!("SKIPPED: there is no `script` of util-linux here");
}

#[test]
fn whoever_says_no_ends_it_with_1_and_nothing_is_done() {
    let repository = TestRepository::new();
    repository.import(&super::support::fake().write_to(repository.folder("a")));
    let Some(mut terminal) = Terminal::start(&repository.command(&["forget", "latest"])) else {
        return;
    };
    terminal.wait_for("[yes/no]", 1);
    terminal.type_shown("no");
    terminal.end().code(1).says(&["error: nothing was done"]);
    assert_eq!(repository.snapshots().len(), 1);
}

const NEW: &str = "New repository password: ";

#[test]
fn whoever_is_asked_for_a_password_may_go_and_leaves_nothing_behind() {
    for way_out in ["TERM", "INT", "HUP", "Ctrl-C"] {
        let repository = TestRepository::new();
        let place = repository.beside("new");
        let command = bare(&["init", text(&place)]);
        let Some(mut terminal) = Terminal::start(&command) else { return };
        terminal.wait_for(NEW, 1);
        terminal.wait_until_hidden();
        match way_out {
            "Ctrl-C" => terminal.keys.write_all(b"\x03").unwrap(),
            signal => terminal.signal(signal),
        }
        terminal.end().code(130).says(&["error: stopped as asked"]);
        assert!(!place.exists(), "after {way_out}");
    }
}

#[test]
fn whoever_goes_while_the_recovery_key_stands_there_has_a_whole_repository() {
    let repository = TestRepository::new();
    let place = repository.beside("new");
    let mut command = repository.command(&["init", text(&place)]);
    command.env_remove("RUSSET_REPOSITORY");
    let Some(terminal) = Terminal::start(&command) else { return };
    terminal.wait_for("type word 17", 1);
    terminal.signal("TERM");
    terminal
        .end()
        .code(130)
        .says(&["is whole, and the words above open it", "russet key recovery"]);
    repository.run(&["--repo", text(&place), "snapshots"]).code(0).says(&["No snapshots yet"]);
}

#[test]
fn a_new_password_is_typed_twice_the_same_not_empty_and_told_if_it_is_short() {
    let repository = TestRepository::new();
    let place = repository.beside("new");
    let Some(mut terminal) = Terminal::start(&bare(&["init", text(&place)])) else { return };
    terminal.wait_for(NEW, 1);
    terminal.type_hidden("");
    terminal.wait_for("That is empty", 1);
    terminal.wait_for(NEW, 2);
    terminal.type_hidden("pear");
    terminal.wait_for("Once more: ", 1);
    terminal.type_hidden("peer");
    terminal.wait_for("They differ", 1);
    terminal.wait_for(NEW, 3);
    terminal.type_hidden("pear");
    terminal.wait_for("Once more: ", 2);
    terminal.type_hidden("pear");
    terminal.wait_for("type word 17", 1);
    terminal.type_shown("");
    let ran = terminal.end().code(0);
    assert!(!ran.stdout.contains('\u{2591}'), "a bar of nothing: {}", ran.stdout);
    ran.says_of("note: ", "has only 4 characters");
}

#[test]
fn a_password_from_a_file_is_refused_empty_and_told_if_it_is_short() {
    let repository = TestRepository::new();
    let (place, file) = (repository.beside("new"), repository.beside("short"));
    let init = ["--password-file", text(&file), "init", text(&place)];
    fs::write(&file, "\n").unwrap();
    repository.run(&init).code(2).says(&["the password is empty", "next: "]);
    assert!(!place.exists());
    fs::write(&file, "pear\n").unwrap();
    repository.run(&init).code(0).says(&["has only 4 characters"]);
    fs::write(&file, "seven unrelated pears\n").unwrap();
    let long = repository.beside("long");
    let ran = repository.run(&["--password-file", text(&file), "init", text(&long)]).code(0);
    assert!(!ran.stderr.contains("characters"), "{}", ran.stderr);
}
