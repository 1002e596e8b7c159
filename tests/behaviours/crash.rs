//! The program killed, or refused by the system, at any moment of what writes.
//!
//! Invariant: whatever the moment, every snapshot that was finished before comes back, the next run finishes, what was
//! stored is not stored again, and the repository is sound afterwards.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use russet_testkit::{FakeBackup, Random};

use super::drive::{Drive, Ran, UDID, copy_over, noise, run, run_well, soak, tell_soak, week};

/// A repository as it was before the command that is cut short, the command, and what must come back after it.
struct Scene {
    drive: Drive,
    arguments: Vec<String>,
    kept: Vec<PathBuf>,
    /// Taken after the cut: by then everything must work again.
    next: PathBuf,
}

impl Scene {
    /// Importing the third week.
    fn import() -> Self {
        let (drive, kept) = Drive::with_weeks(2);
        let second = drive.write_week(2);
        Self::new(drive, &["import", second.to_str().unwrap()], kept)
    }

    /// Forgetting the second of three weeks, and giving back its space to the last byte.
    fn forget() -> Self {
        let (drive, mut kept) = Drive::with_weeks(3);
        let gone = kept.remove(1);
        drop(gone);
        Self::new(drive, &["--yes", "forget", "latest~1", "--prune"], kept)
    }

    /// Pruning what was forgotten before, to the last byte.
    fn prune() -> Self {
        let (drive, mut kept) = Drive::with_weeks(3);
        run_well(drive.russet(&drive.repo()).args(["--yes", "forget", "latest~1"]));
        drop(kept.remove(1));
        Self::new(drive, &["--yes", "prune", "--max-unused", "0%"], kept)
    }

    fn new(drive: Drive, arguments: &[&str], kept: Vec<PathBuf>) -> Self {
        let next = drive.write_week(9);
        // The computer knows the repository, as it would.
        run_well(drive.russet(&drive.repo()).arg("verify"));
        let scene = Self {
            arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
            kept,
            next,
            drive,
        };
        copy_over(&scene.drive.repo(), &scene.drive.path("repo before"));
        copy_over(&scene.drive.cache(), &scene.drive.path("cache before"));
        scene
    }

    /// Everything as it was before the command.
    fn reset(&self) {
        copy_over(&self.drive.path("repo before"), &self.drive.repo());
        copy_over(&self.drive.path("cache before"), &self.drive.cache());
    }

    fn command(&self) -> Command {
        let mut command = self.drive.russet(&self.drive.repo());
        command.args(&self.arguments);
        command
    }

    /// The command under strace, with its options.
    fn traced(&self, options: &[&str]) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(options);
        command.arg(env!("CARGO_BIN_EXE_russet")).args(&self.arguments);
        self.drive.environment(&mut command, &self.drive.repo());
        command
    }

    /// What was there before is there; the next import finishes; then all is sound, seen with and without a cache.
    fn assert_survived(&self, case: &str) {
        let survived = std::panic::catch_unwind(|| {
            let (drive, repo) = (&self.drive, self.drive.repo());
            drive.assert_restores(&repo, None, &self.kept);
            drive.assert_restores(&repo, Some(drive.cache()), &self.kept);
            run_well(drive.russet(&repo).arg("import").arg(&self.next));
            let mut all = self.kept.clone();
            all.push(self.next.clone());
            drive.assert_comes_back(&repo, Some(drive.cache()), &all);
            assert!(drive.verify(&repo, None).is_sound());
        });
        assert!(survived.is_ok(), "see above: {case}");
    }

    /// How long the command takes when nobody stops it.
    fn duration(&self) -> Duration {
        self.reset();
        let started = Instant::now();
        run_well(&mut self.command());
        started.elapsed()
    }
}

/// Kills the command after a while. Whether it was still at work.
fn kill_after(command: &mut Command, delay: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// Kills the command once the repository holds so many bytes of packs. Whether it was still at work.
fn kill_when_stored(command: &mut Command, repo: &Path, len: u64) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while child.try_wait().unwrap().is_none() && pack_len(repo) < len {
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// Moments spread over a command's time, drawn from a seed.
fn moments(duration: Duration, count: u32, seed: u64) -> impl Iterator<Item = Duration> {
    let mut random = Random::of_parts(&[8, seed]);
    (0..count).map(move |at| duration.mul_f64((f64::from(at) + random.unit()) / f64::from(count)))
}

/// Kills the command until `count` kills have hit it alive.
fn assert_killed_at_any_moment(what: &str, scene: &Scene, count: u32, seed: u64) {
    let duration = scene.duration();
    let (mut killed, mut tried) = (0, 0);
    // A command that is quicker this time than when it was measured ends before a late kill.
    for round in 0..4 {
        for moment in moments(duration, count, seed + 100 * round) {
            if killed == count {
                break;
            }
            scene.reset();
            tried += 1;
            killed += u32::from(kill_after(&mut scene.command(), moment));
            scene.assert_survived(&format!("killed after {moment:?} of {duration:?}"));
        }
    }
    assert_eq!(killed, count, "kills of {tried} that hit a living process");
    tell_soak(&format!("{what}: {killed} kills at random moments hit it at work ({tried} tried)"));
}

#[test]
fn an_import_killed_at_any_moment_costs_nothing() {
    let count = if soak() { 200 } else { 8 };
    assert_killed_at_any_moment("import", &Scene::import(), count, 1);
}

#[test]
fn a_forget_and_prune_killed_at_any_moment_costs_nothing() {
    let count = if soak() { 100 } else { 6 };
    assert_killed_at_any_moment("forget --prune", &Scene::forget(), count, 2);
    assert_killed_at_any_moment("prune", &Scene::prune(), count, 3);
}

/// Bytes of packs in a repository, which may be changing.
fn pack_len(repo: &Path) -> u64 {
    let mut len = 0;
    for shard in std::fs::read_dir(repo.join("packs")).into_iter().flatten().flatten() {
        for pack in std::fs::read_dir(shard.path()).into_iter().flatten().flatten() {
            let is_pack = pack.file_name().len() == 64;
            len += pack.metadata().map_or(0, |m| if is_pack { m.len() } else { 0 });
        }
    }
    len
}

fn stored_len(ran: &Ran) -> u64 {
    // No such number: it was archived already.
    let summary = ran.stdout.lines().find(|line| line.contains("\"stored_len\""));
    let number =
        |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["stored_len"].as_u64();
    summary.map_or(0, |line| number(line).unwrap())
}

/// A backup of about 140 MB that no codec can shrink.
fn large() -> FakeBackup {
    let files =
        (0..28).map(|n| (format!("Media/DCIM/100APPLE/IMG_{n:04}.MOV"), noise(900 + n, 5_000_000)));
    files.fold(FakeBackup::new(UDID).date(1_770_000_000), |backup, (path, bytes)| {
        backup.file("CameraRollDomain", &path, bytes)
    })
}

#[test]
fn an_import_that_was_killed_half_way_does_not_store_again_what_it_stored() {
    let drive = Drive::new();
    let backup = drive.write("large", &large());
    let repo = drive.repo();
    let empty = drive.path("empty");
    copy_over(&repo, &empty);
    let import = || {
        let mut command = drive.russet(&repo);
        command.args(["--json", "import"]).arg(&backup);
        command
    };
    let whole = stored_len(&run_well(&mut import()));
    let mut half_way = 0;
    for percent in if soak() { vec![1, 20, 35, 50, 65, 80, 95] } else { vec![20, 50, 80] } {
        copy_over(&empty, &repo);
        copy_over(&drive.path("nothing"), &drive.cache());
        let at_work = kill_when_stored(&mut import(), &repo, whole * percent / 100);
        let before = pack_len(&repo);
        let after = stored_len(&run_well(&mut import()));
        assert_eq!(pack_len(&repo), before + after);
        let again = (before + after).saturating_sub(whole);
        // Packs are padded, and what comes into which differs from run to run.
        assert!(
            again <= before / 20 + (64 << 10),
            "{again} of {before} bytes were stored again after a kill at {percent} %"
        );
        half_way += u32::from(at_work && before > whole / 6);
        drive.assert_comes_back(&repo, Some(drive.cache()), std::slice::from_ref(&backup));
    }
    assert!(half_way > 0, "no kill hit the middle of the import");
}

/// Whether processes can be traced here.
fn strace_is_there() -> bool {
    let there = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    let there = there.is_ok_and(|status| status.success());
    if !there {
        #[expect(clippy::print_stderr, reason = "whoever runs the tests must see it")]
        {
            eprintln!("SKIPPED: strace is missing or may not trace; system calls were not tried");
        }
    }
    there
}

/// How often the busiest thread makes each of these calls when nothing is injected: injections count by thread.
fn counts(scene: &Scene, calls: &[&str]) -> BTreeMap<String, u64> {
    scene.reset();
    let log = scene.drive.path("strace.log");
    let trace = format!("trace={}", calls.join(","));
    run_well(&mut scene.traced(&["-o", log.to_str().unwrap(), "-e", &trace]));
    let mut by_thread: BTreeMap<(String, String), u64> = BTreeMap::new();
    for line in std::fs::read_to_string(&log).unwrap().lines() {
        let Some((thread, rest)) = line.split_once(char::is_whitespace) else { continue };
        let name = rest.trim_start().split('(').next().unwrap_or_default();
        if calls.contains(&name) {
            *by_thread.entry((name.to_owned(), thread.to_owned())).or_default() += 1;
        }
    }
    let mut most = BTreeMap::new();
    for ((name, _), count) in by_thread {
        let entry: &mut u64 = most.entry(name).or_default();
        *entry = count.max(*entry);
    }
    most
}

/// Some of the numbers 1 to `count`, the last of them always; all of them in a long run.
fn sample(count: u64, at_most: u64) -> Vec<u64> {
    let some = if soak() { count } else { at_most.min(count) };
    (1..=some).map(|at| at * count / some).collect()
}

const WRITING: [&str; 9] = [
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat2",
    "unlink",
    "mkdir",
    "ftruncate",
];

fn assert_killed_at_any_call(what: &str, scene: &Scene, at_most: u64) {
    let (mut killed, mut tried) = (0, 0);
    for (call, count) in counts(scene, &WRITING) {
        for when in sample(count, at_most) {
            scene.reset();
            let trace = format!("trace={call}");
            let inject = format!("inject={call}:signal=KILL:when={when}");
            let ran = run(&mut scene.traced(&["-o", "/dev/null", "-e", &trace, "-e", &inject]));
            killed += u32::from(ran.code.is_none());
            tried += 1;
            scene.assert_survived(&format!("killed at {call} {when} of {count}"));
        }
    }
    assert!(killed > 8, "killed {killed} times");
    tell_soak(&format!("{what}: {killed} kills at a system call ({tried} calls tried)"));
}

#[test]
fn an_import_killed_at_any_system_call_costs_nothing() {
    if strace_is_there() {
        assert_killed_at_any_call("import", &Scene::import(), 5);
    }
}

#[test]
fn a_forget_and_prune_killed_at_any_system_call_costs_nothing() {
    if strace_is_there() {
        assert_killed_at_any_call("forget --prune", &Scene::forget(), 2);
        assert_killed_at_any_call("prune", &Scene::prune(), 3);
    }
}

/// Lets one call fail and looks at the code, the words, and what is left.
fn assert_refused(scene: &Scene, call: &str, error: &str, at_most: u64, codes: &mut Vec<i32>) {
    let count = counts(scene, &[call]).get(call).copied().unwrap_or(0);
    for when in sample(count, at_most) {
        scene.reset();
        let trace = format!("trace={call}");
        let inject = format!("inject={call}:error={error}:when={when}");
        let ran = run(&mut scene.traced(&["-o", "/dev/null", "-e", &trace, "-e", &inject]));
        let case = format!("{error} at {call} {when} of {count}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{case}");
        assert!([0, 1, 16, 17].map(Some).contains(&ran.code), "{case}");
        let told = ran.code == Some(0) || ran.stderr.contains("error: ") || call == "write";
        assert!(told, "{case}");
        codes.extend(ran.code);
        scene.assert_survived(&case);
    }
}

#[test]
fn a_system_that_refuses_to_write_costs_nothing_and_is_told() {
    if !strace_is_there() {
        return;
    }
    let mut codes = Vec::new();
    for scene in [Scene::import(), Scene::prune()] {
        assert_refused(&scene, "write", "ENOSPC", 7, &mut codes);
        assert_refused(&scene, "write", "EIO", 4, &mut codes);
        assert_refused(&scene, "fsync", "EIO", 4, &mut codes);
        assert_refused(&scene, "fsync", "ENOSPC", 3, &mut codes);
        assert_refused(&scene, "rename", "EIO", 3, &mut codes);
    }
    for code in [1, 16] {
        assert!(codes.contains(&code), "code {code} was never seen: {codes:?}");
    }
    tell_soak(&format!("import and prune: {} refused system calls", codes.len()));
}

#[test]
fn the_week_that_is_imported_next_is_not_one_that_is_there() {
    // What makes "the next import finishes" mean something.
    let drive = Drive::new();
    let folders = [drive.write_week(2), drive.write("again", &week(9))];
    let ids = folders.map(|folder| drive.import(&drive.repo(), &folder));
    assert_ne!(ids[0], ids[1]);
}
