//! The computer kept awake while a phone is at the other end, by the platform's own tool as a child of this process.
//!
//! Invariant: the child lives no longer than the work, nor than this process, however that ends: its input is a pipe that only
//! this process holds. Nobody is asked anything, and a computer that cannot be kept awake costs one remark.

use std::io::Read;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::observe::Observer;

/// What the tool runs: it is begun once the computer stays awake, says so, and waits for the end of its input.
const HOLD: [&str; 3] = ["sh", "-c", "echo awake && exec cat"];
/// Of what the tool says.
const SAID_LEN_MAX: u64 = 300;
/// How often, and how many times, the tool is looked for after its input ended.
const PAUSE: Duration = Duration::from_millis(10);
const LOOK_COUNT: u32 = 200;

/// The tool of this system; none: README.md says what its owner can do.
fn tool() -> Option<Command> {
    if cfg!(target_os = "linux") {
        let mut command = Command::new("systemd-inhibit");
        // Not the lid: who closes it wants to go.
        command.args(["--what=idle:sleep", "--mode=block", "--who=russet"]);
        command.arg("--why=an iPhone is being backed up or restored");
        Some(command)
    } else if cfg!(target_os = "macos") {
        let mut command = Command::new("caffeinate");
        command.args(["-i", "-m", "-s"]);
        Some(command)
    } else {
        None
    }
}

/// Works while the computer is kept awake, if that can be had.
pub(super) fn awake<T>(observer: &dyn Observer, work: impl FnOnce() -> T) -> T {
    match tool() {
        Some(command) => kept(command, observer, work),
        None => work(),
    }
}

fn kept<T>(mut command: Command, observer: &dyn Observer, work: impl FnOnce() -> T) -> T {
    let name = command.get_program().to_string_lossy().into_owned();
    command.args(HOLD).env_remove("RUSSET_PASSWORD");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Out of reach of the Ctrl-C that this process may need a while to follow.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => {
            remark(observer, &name, &error.to_string());
            return work();
        }
    };
    let input = child.stdin.take();
    let said = (child.stdout.take(), child.stderr.take());
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (Some(output), Some(errors)) = said else { return };
            if first(output).is_empty() {
                let why = first(errors);
                if !is_over.load(Ordering::Relaxed) {
                    remark(observer, &name, &why);
                }
            }
        });
        let _hold = Hold { child, input, is_over: &is_over };
        work()
    })
}

/// What comes first of something that is said, without the end of its line.
fn first(mut said: impl Read) -> String {
    let mut bytes = Vec::new();
    // What came before an error is all there is.
    while bytes.last() != Some(&b'\n') && (bytes.len() as u64) < SAID_LEN_MAX {
        let mut byte = [0];
        match said.read(&mut byte) {
            Ok(1) => bytes.extend(byte),
            _ => break,
        }
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

fn remark(observer: &dyn Observer, name: &str, why: &str) {
    observer.remark(&format!(
        "this computer may fall asleep meanwhile, for {name} cannot keep it awake: {why}"
    ));
}

/// The tool at work. Ends it when dropped, also when the work panics: the scope waits for its last word.
struct Hold<'a> {
    child: Child,
    input: Option<ChildStdin>,
    is_over: &'a AtomicBool,
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        drop(self.input.take());
        for _ in 0..LOOK_COUNT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(PAUSE);
        }
        // It waits for something else than its input: for a daemon that does not answer.
        let _ended_meanwhile = self.child.kill();
        let _ended = self.child.wait();
    }
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
mod tests {
    use super::*;
    use crate::observe::Collecting;
    use std::path::Path;
    use std::time::Instant;

    /// A tool that is a line of shell; `"$@"` is what it shall run.
    fn tool_of(line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line, "tool"]);
        command
    }

    fn soon(what: impl Fn() -> bool) -> bool {
        let since = Instant::now();
        while !what() && since.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(PAUSE);
        }
        what()
    }

    fn holds(file: &Path, words: &str) -> bool {
        std::fs::read_to_string(file).is_ok_and(|text| text.contains(words))
    }

    #[test]
    fn the_tool_is_at_work_as_long_as_the_work_and_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("said");
        let line = format!("echo held >{0}; \"$@\"; echo gone >>{0}", file.display());
        let observer = Collecting::default();
        let done = kept(tool_of(&line), &observer, || {
            assert!(soon(|| holds(&file, "held")));
            assert!(!holds(&file, "gone"));
            7
        });
        assert_eq!(done, 7);
        assert!(holds(&file, "gone"));
        assert!(observer.told().remarks.is_empty());
    }

    #[test]
    fn a_tool_that_is_refused_costs_one_remark_with_its_reason() {
        let observer = Collecting::default();
        let remarks = || observer.told().remarks;
        kept(tool_of("echo Access denied >&2; exit 1"), &observer, || {
            assert!(soon(|| !remarks().is_empty()));
        });
        assert_eq!(remarks().len(), 1);
        assert!(
            remarks()[0].ends_with("sh cannot keep it awake: Access denied"),
            "{remarks:?}",
            remarks = remarks()
        );
    }

    #[test]
    fn a_tool_that_is_not_there_costs_one_remark() {
        let observer = Collecting::default();
        assert_eq!(kept(Command::new("/no such tool"), &observer, || 7), 7);
        let remarks = observer.told().remarks;
        assert_eq!(remarks.len(), 1);
        assert!(remarks[0].contains("/no such tool cannot keep it awake"), "{remarks:?}");
    }

    #[test]
    fn a_tool_that_waits_for_a_daemon_is_ended_and_forgiven() {
        let observer = Collecting::default();
        assert_eq!(kept(tool_of("exec sleep 1000"), &observer, || 7), 7);
        assert!(observer.told().remarks.is_empty());
    }

    #[test]
    fn the_tool_ends_when_the_work_panics() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("said");
        let line = format!("\"$@\"; echo gone >{}", file.display());
        let work = || kept(tool_of(&line), &Collecting::default(), || panic!("on purpose"));
        assert!(std::panic::catch_unwind(work).is_err());
        assert!(holds(&file, "gone"));
    }
}
