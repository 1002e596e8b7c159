//! Progress on stderr, or as JSON lines on stdout.
//!
//! Invariant: an estimate is shown only once enough was done to make one; a terminal is redrawn at most ten times a second, a
//! file gets a line every 30 seconds.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde_json::json;

use super::{format, output};
use crate::observe::{Observer, Phase, Prompt};

/// Tells a person or a program how far the work is.
pub(super) struct Progress {
    json: bool,
    /// Only errors: no remarks.
    quiet: bool,
    /// No lines that only tell how far it is.
    still: bool,
    verbose: u8,
    bar: ProgressBar,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    started: Instant,
    last_line: Instant,
    total_len: u64,
    total_count: u64,
    len: u64,
    count: u64,
    /// Share done, where the phone tells it.
    share: Option<f64>,
    problem_count: u64,
}

const PROBLEMS_SHOWN: u64 = 20;
/// How long a phone waits for its passcode, as people who use others' clients report.
const PASSCODE_TIME: Duration = Duration::from_secs(180);

impl Progress {
    pub(super) fn new(json: bool, quiet: bool, no_progress: bool, verbose: u8) -> Self {
        let shown = !json && !quiet && !no_progress && std::io::stderr().is_terminal();
        let target = if shown {
            ProgressDrawTarget::stderr_with_hz(10)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        // Until work begins there is nothing to draw: a note alone would bring up an empty one.
        bar.finish_and_clear();
        let now = Instant::now();
        let state = State {
            phase: Phase::Looking,
            started: now,
            last_line: now,
            total_len: 0,
            total_count: 0,
            len: 0,
            count: 0,
            share: None,
            problem_count: 0,
        };
        Self { json, quiet, still: quiet || no_progress, verbose, bar, state: Mutex::new(state) }
    }

    /// Takes the bar away before the answer is printed.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Problems that were told.
    pub(super) fn problem_count(&self) -> u64 {
        self.with(|state| state.problem_count)
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn say(&self, text: &str) {
        self.bar.suspend(|| output::note(text));
    }
}

fn word(phase: Phase) -> &'static str {
    match phase {
        Phase::Looking => "Looking",
        Phase::Storing => "Storing",
        Phase::Preparing => "Preparing on the phone",
        Phase::Receiving => "Receiving",
        Phase::Opening => "Opening (the phone is not needed)",
        Phase::Committing => "Finishing",
        Phase::Restoring => "Restoring",
        Phase::CheckingPacks => "Checking packs",
        Phase::CheckingSnapshots => "Checking snapshots",
        Phase::Repacking => "Moving what is kept",
    }
}

/// What a person at the phone is asked for, for a program and in words.
fn asked(prompt: Prompt) -> (&'static str, &'static str) {
    match prompt {
        Prompt::Unlock => ("unlock_phone", "unlock the iPhone"),
        Prompt::Trust => ("trust_on_phone", "tap Trust on the iPhone and enter its passcode there"),
        Prompt::Passcode => (
            "passcode_on_phone",
            "if the iPhone asks for its passcode, enter it there within three minutes",
        ),
    }
}

/// What is left of the time for the passcode; nothing once it is over, for then the phone ends the backup or has it.
fn passcode_left(waited: Duration) -> String {
    let left = PASSCODE_TIME.saturating_sub(waited).as_secs();
    if left == 0 {
        return String::new();
    }
    format!("enter its passcode if it asks ({}:{:02})", left / 60, left % 60)
}

impl State {
    /// Time left, once a twentieth was done or ten seconds have passed.
    fn left(&self) -> Option<Duration> {
        let (done, total) = if self.total_len > 0 {
            (self.len, self.total_len)
        } else {
            (self.count, self.total_count)
        };
        let elapsed = self.started.elapsed();
        if let Some(share) = self.share {
            let known = share > 0.05 || (share > 0.0 && elapsed > Duration::from_secs(10));
            let left = elapsed.as_secs_f64() * (1.0 - share) / share;
            return known.then(|| Duration::try_from_secs_f64(left).ok()).flatten();
        }
        if done == 0 || total <= done || (done < total / 20 && elapsed < Duration::from_secs(10)) {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let left = elapsed.as_secs_f64() * (total - done) as f64 / done as f64;
        Duration::try_from_secs_f64(left).ok()
    }

    fn text(&self) -> String {
        let mut text = word(self.phase).to_owned();
        if let Some(share) = self.share {
            let (len, files) = (format::bytes(self.len), format::counted(self.count, "file"));
            text = format!("{text}  {:.0}%  {len} in {files} so far", share * 100.0);
        } else if self.total_len > 0 {
            text = format!(
                "{text}  {} of {}",
                format::bytes(self.len.min(self.total_len)),
                format::bytes(self.total_len)
            );
        } else if self.total_count > 0 {
            text = format!(
                "{text}  {} of {}",
                format::count(self.count.min(self.total_count)),
                format::count(self.total_count)
            );
        }
        match self.left() {
            Some(left) => format!("{text}  about {} left", format::duration(left)),
            None => text,
        }
    }
}

impl Observer for Progress {
    fn begin(&self, phase: Phase, total_len: u64, total_count: u64) {
        let text = self.with(|state| {
            let now = Instant::now();
            (state.phase, state.started, state.total_len, state.total_count) =
                (phase, now, total_len, total_count);
            (state.len, state.count, state.share) = (0, 0, None);
            state.text()
        });
        if total_len > 0 {
            self.bar.set_length(total_len);
            let style = ProgressStyle::with_template("{percent:>3}% {bar:20} {msg}");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        } else if phase == Phase::Preparing {
            let style = ProgressStyle::with_template("{spinner} {msg}  {passcode}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let started = Instant::now();
            self.bar.set_style(style.with_key(
                "passcode",
                move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                    // A line that cannot be drawn is drawn a second later.
                    let _unseen = out.write_str(&passcode_left(started.elapsed()));
                },
            ));
            self.bar.enable_steady_tick(Duration::from_secs(1));
        } else {
            let style = ProgressStyle::with_template("{spinner} {msg}");
            self.bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        }
        self.bar.set_message(text);
        // It may have been taken away for an answer or a question.
        self.bar.reset();
    }

    fn advance(&self, len: u64, count: u64) {
        let (text, line) = self.with(|state| {
            state.len += len;
            state.count += count;
            let due = if self.json { Duration::from_secs(1) } else { Duration::from_secs(30) };
            let line = state.last_line.elapsed() >= due;
            if line {
                state.last_line = Instant::now();
            }
            let json = line.then(|| {
                json!({
                    "phase": word(state.phase).to_lowercase(), "bytes_done": state.len, "total_bytes": state.total_len,
                    "items_done": state.count, "total_items": state.total_count,
                    "percent_done": state.share,
                    "seconds_remaining": state.left().map(|d| d.as_secs()),
                })
            });
            (state.text(), json)
        });
        self.bar.inc(len);
        match line {
            Some(body) if self.json => drop(output::message("status", body)),
            Some(_) if !self.still && self.bar.is_hidden() => output::note(&text),
            _ => self.bar.set_message(text),
        }
    }

    fn problem(&self, item: &str, why: &str) {
        let count = self.with(|state| {
            state.problem_count += 1;
            state.problem_count
        });
        if self.json {
            let _ = output::message("problem", json!({ "item": item, "why": why }));
        } else if self.verbose > 0 || count <= PROBLEMS_SHOWN {
            self.say(&format!("problem: {}: {}", format::plain(item), format::plain(why)));
        } else if count == PROBLEMS_SHOWN + 1 {
            self.say("problem: … and more; -v shows all");
        }
    }

    fn remark(&self, text: &str) {
        if self.json {
            let _ = output::message("remark", json!({ "text": text }));
        } else if !self.quiet {
            self.say(&format!("note: {}", format::plain(text)));
        }
    }

    fn share(&self, done: f64) {
        let text = self.with(|state| {
            state.share = Some(done.clamp(0.0, 1.0));
            state.text()
        });
        self.bar.set_message(text);
    }

    fn prompt(&self, prompt: Prompt) {
        let (kind, text) = asked(prompt);
        if self.json {
            let _ = output::message("prompt", json!({ "kind": kind, "text": text }));
        } else {
            self.say(&format!("▸ {text}"));
        }
    }
}

/// The phone that something is done with: what it is asked for is told with its name. Of several at once each line says whose it is,
/// and they share the bar.
pub(super) struct OfPhone<'a> {
    progress: &'a Progress,
    name: String,
    udid: String,
    is_alone: bool,
}

impl<'a> OfPhone<'a> {
    pub(super) fn new(progress: &'a Progress, name: &str, udid: &str, is_alone: bool) -> Self {
        Self { progress, name: name.to_owned(), udid: udid.to_owned(), is_alone }
    }
}

impl Observer for OfPhone<'_> {
    fn begin(&self, phase: Phase, total_len: u64, total_count: u64) {
        if self.is_alone {
            return self.progress.begin(phase, total_len, total_count);
        }
        let (name, phase) = (&self.name, word(phase));
        if self.progress.json {
            let phase = phase.to_lowercase();
            let body = json!({ "device": name, "udid": self.udid, "phase": phase });
            let _ = output::message("phase", body);
        } else if !self.progress.still {
            self.progress.say(&format!("{}: {phase}", format::plain(name)));
        }
    }

    fn advance(&self, len: u64, count: u64) {
        self.progress.advance(len, count);
    }

    fn share(&self, done: f64) {
        if self.is_alone {
            self.progress.share(done);
        }
    }

    fn problem(&self, item: &str, why: &str) {
        match self.is_alone {
            true => self.progress.problem(item, why),
            false => self.progress.problem(&format!("{}: {item}", self.name), why),
        }
    }

    fn remark(&self, text: &str) {
        match self.is_alone {
            true => self.progress.remark(text),
            false => self.progress.remark(&format!("{}: {text}", self.name)),
        }
    }

    fn prompt(&self, prompt: Prompt) {
        let (kind, text) = asked(prompt);
        if self.progress.json {
            let body =
                json!({ "kind": kind, "text": text, "device": self.name, "udid": self.udid });
            let _ = output::message("prompt", body);
            return;
        }
        if !self.is_alone {
            self.progress.say(&format!("▸ on {}:", format::plain(&self.name)));
        }
        self.progress.prompt(prompt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_for_the_passcode_runs_down_to_nothing() {
        let at = |secs| passcode_left(Duration::from_secs(secs));
        assert_eq!(at(0), "enter its passcode if it asks (3:00)");
        assert_eq!(at(78), "enter its passcode if it asks (1:42)");
        assert_eq!(at(179), "enter its passcode if it asks (0:01)");
        assert_eq!((at(180), at(4000)), (String::new(), String::new()));
    }
}
