#!/usr/bin/env python3
"""What Apple's encryption of backups costs: storage over some weeks, and time, beside restic, rustic and borg.

    scripts/bench_encrypted.py RUSSET RUSSET_PHONE WORK [ROUNDS] > benches/results/<date>-encrypted.md

Generates the same phone twice below WORK, in the clear and encrypted, eight weeks with a full backup in the fifth, if it is not
there yet. Needs about forty times BENCH_LEN (600000000) there. BENCH_ONLY=speed leaves storage out. Peers that are not installed are left out. CPU is user and system
seconds together: on a machine with other work on it the one to compare.
"""

import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import time

RUSSET, PHONE, WORK = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
ROUNDS = int(sys.argv[4]) if len(sys.argv) > 4 else 3
LEN = os.environ.get("BENCH_LEN", "600000000")
WEEKS, FULL = 8, 5
TOOLS = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "russet/tools/bin"
PASSWORD, PHONE_PASSWORD = WORK / "password", WORK / "phone-pw"
ENV = dict(os.environ, RUSSET_PASSWORD_FILE=str(PASSWORD), RUSSET_CONFIG=str(WORK / "none.toml"),
           RESTIC_PASSWORD_FILE=str(PASSWORD), RESTIC_CACHE_DIR=str(WORK / "cache-restic"), RESTIC_PROGRESS_FPS="0.01",
           RUSTIC_PASSWORD_FILE=str(PASSWORD), RUSTIC_CACHE_DIR=str(WORK / "cache-rustic"), RUSTIC_NO_PROGRESS="true",
           BORG_PASSPHRASE="a password of the bench", BORG_BASE_DIR=str(WORK / "borg-home"),
           BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK="yes")


def run(*args, **more):
    """Runs a command; wall and CPU seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([str(a) for a in args], env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **more)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        sys.exit(f"{args}: {done.returncode}\n{done.stderr.decode()}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def len_of(folder):
    return sum(file.stat().st_size for file in pathlib.Path(folder).rglob("*") if file.is_file())


def fresh(name):
    shutil.rmtree(WORK / name, ignore_errors=True)
    return WORK / name


def folder(kind, week):
    [found] = (WORK / kind / f"week-{week:02}").iterdir()
    return found


def tool(name):
    there = TOOLS / name
    return str(there) if there.exists() else shutil.which(name)


def russet(repo, *args):
    return run(RUSSET, "--repo", repo, "--cache-dir", f"{repo}-cache", "--no-progress", *args)


def new_russet(name):
    repo = fresh(name)
    shutil.rmtree(f"{repo}-cache", ignore_errors=True)
    russet(repo, "init", "--yes")
    return repo


def take(repo, kind, week):
    return russet(repo, "import", "--phone-password-file", PHONE_PASSWORD, folder(kind, week))


def storage(init, week_in):
    """Bytes that each week adds."""
    repo = init()
    sizes, before = [], len_of(repo)
    for week in range(1, WEEKS + 1):
        week_in(repo, week)
        sizes.append(len_of(repo) - before)
        before += sizes[-1]
    return sizes


def peers():
    restic, rustic, borg = tool("restic"), tool("rustic"), tool("borg")

    def made(name, *args):
        repo = fresh(name)
        run(*[str(repo) if a == "REPO" else a for a in args])
        return repo

    if restic:
        yield ("restic", lambda: made("restic", restic, "-r", "REPO", "init"),
               lambda repo, week: run(restic, "-r", repo, "backup", "--ignore-inode", "--ignore-ctime", folder("enc", week)))
    if rustic:
        yield ("rustic", lambda: made("rustic", rustic, "-r", "REPO", "init"),
               lambda repo, week: run(rustic, "-r", repo, "backup", "--ignore-inode", "--ignore-ctime", folder("enc", week)))
    if borg:
        yield ("borg", lambda: made("borg", borg, "init", "-e", "repokey-blake2", "REPO"),
               lambda repo, week: run(borg, "create", "--compression", "zstd,3", f"{repo}::w{week}", ".",
                                      cwd=folder("enc", week)))


def mb(size):
    return f"{size / 1e6:.1f}"


def table(head, rows):
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def generate():
    WORK.mkdir(parents=True, exist_ok=True)
    PASSWORD.write_text("a password of the bench\n")
    PHONE_PASSWORD.write_text("pear tree")
    for kind in ("plain", "enc"):
        if not (WORK / kind).exists():
            more = ["--password-file", PHONE_PASSWORD] if kind == "enc" else []
            run(PHONE, "weeks", "--out", WORK / kind, "--seed", "5", "--weeks", WEEKS, "--preset", "bench",
                "--total-len", LEN, "--full-week", FULL, *more)


def tell_storage():
    rows = {name: storage(lambda name=name: new_russet(f"r-{name}"), lambda repo, week, kind=kind: take(repo, kind, week))
            for name, kind in (("plain", "plain"), ("enc", "enc"))}
    names = {"russet, phone unencrypted": rows["plain"], "russet, phone encrypted": rows["enc"]}
    for name, init, week_in in peers():
        names[f"{name}, phone encrypted"] = storage(init, week_in)
        shutil.rmtree(WORK / name)
    print("## Storage, MB that each week adds\n")
    table(["tool", *[f"week {w}" + (" (full)" if w == FULL else "") for w in range(1, WEEKS + 1)], "all"],
          [[name, *map(mb, sizes), mb(sum(sizes))] for name, sizes in names.items()])
    ratio = sum(rows["enc"]) / sum(rows["plain"])
    print(f"Encrypted ÷ unencrypted in russet: **{ratio:.4f}** (wanted: at most 1.03).\n")
    return rows["plain"]


def tell_switch(ordinary):
    repo, sizes, before = new_russet("r-switch"), [], 0
    kinds = ["plain", "plain", "enc", "plain"]
    before = len_of(repo)
    for week, kind in enumerate(kinds, 1):
        take(repo, kind, week)
        sizes.append(len_of(repo) - before)
        before += sizes[-1]
    print("## Switched on in week 3, off in week 4: MB that each week adds\n")
    table(["", "week 3", "week 4"],
          [["always unencrypted", mb(ordinary[2]), mb(ordinary[3])], ["switched", mb(sizes[2]), mb(sizes[3])],
           ["ratio (wanted: at most 1.3)", f"**{sizes[2] / ordinary[2]:.3f}**", f"**{sizes[3] / ordinary[3]:.3f}**"]])
    for at, kind in enumerate(kinds, 1):
        out = fresh("out")
        russet(repo, "restore", f"latest~{len(kinds) - at}" if at < len(kinds) else "latest", "--target", out)
        [restored] = out.iterdir()
        run("diff", "-r", folder(kind, at), restored)
    print("All four weeks restored, `diff -r` silent.\n")


def tell_speed():
    times = {(what, kind): [] for what in ("import", "restore") for kind in ("plain", "enc")}
    for _ in range(ROUNDS):
        for kind in ("plain", "enc"):
            repo = new_russet(f"r-speed-{kind}")
            times["import", kind].append(take(repo, kind, 1))
            times["restore", kind].append(russet(repo, "restore", "latest", "--target", fresh("out")))
            fresh("out")
    size = len_of(folder("plain", 1))
    print(f"## Time for week 1, {mb(size)} MB, {ROUNDS} rounds, one after the other\n")
    rows, best = [], {}
    for (what, kind), all_times in times.items():
        walls, cpus = [t[0] for t in all_times], [t[1] for t in all_times]
        best[what, kind] = (min(walls), statistics.median(cpus))
        rows.append([what, kind, f"{min(walls):.2f}", f"{statistics.median(walls):.2f}", f"{statistics.median(cpus):.2f}",
                     f"{size / 1e6 / min(walls):.0f}"])
    table(["step", "phone", "wall s, best", "wall s, median", "CPU s, median", "MB/s, best"], rows)
    for what, wanted in (("import", "lost at most 35 %"), ("restore", "kept at least 60 %")):
        wall = best[what, "plain"][0] / best[what, "enc"][0]
        cpu = best[what, "plain"][1] / best[what, "enc"][1]
        print(f"{what} of the encrypted phone has **{wall:.0%}** of the throughput of the unencrypted one by wall, {cpu:.0%} by CPU ({wanted}).")


def main():
    generate()
    version = subprocess.run([RUSSET, "version"], env=ENV, capture_output=True, text=True).stdout.strip()
    print(f"# encrypted: {time.strftime('%Y-%m-%d')}\n")
    print(f"{os.cpu_count()} processors, load when it began: {os.getloadavg()[0]:.1f}; {version}.")
    print(f"\n    BENCH_LEN={LEN} scripts/bench_encrypted.py RUSSET RUSSET_PHONE WORK {ROUNDS}\n")
    if os.environ.get("BENCH_ONLY") != "speed":
        tell_switch(tell_storage())
    tell_speed()
    print(f"\nLoad when it ended: {os.getloadavg()[0]:.1f}.")


main()
