#!/bin/sh
# How fast, how small, how much memory: whole runs of the program on generated backups, beside restic and rustic where
# they are installed. Writes benches/results/<date>-<what>.md; nothing else stays behind.
#
#   scripts/bench.sh [backup|metadata]...     without an argument: both
#
# BENCH_LEN      bytes of the generated phone (4000000000); needs seven times that under TMPDIR
# BENCH_COUNT    files of the phone for metadata (100000)
# BENCH_ROUNDS   how often everything is measured, one tool after the other (1)
# BENCH_NOTE     a sentence about the machine that goes into the table's head
# BENCH_RUSSET   a built russet, instead of building it; BENCH_PHONE: a built russet-phone
set -eu
cd "$(dirname -- "$0")/.."
len=${BENCH_LEN:-4000000000}
rounds=${BENCH_ROUNDS:-1}
count=${BENCH_COUNT:-100000}
tools=${XDG_CACHE_HOME:-$HOME/.cache}/russet/tools/bin

clock=
for found in gtime /usr/bin/time; do
    if "$found" -f %e true 2>/dev/null; then clock=$found; break; fi
done
[ -n "$clock" ] || { echo "GNU time is needed: apt-get install time, or brew install gnu-time" >&2; exit 1; }

if [ -z "${BENCH_RUSSET:-}" ] || [ -z "${BENCH_PHONE:-}" ]; then
    scripts/cargo.sh build --workspace --release --locked --offline
fi
bin=$(scripts/target_dir.sh)/release
russet=${BENCH_RUSSET:-$bin/russet}
phone=${BENCH_PHONE:-$bin/russet-phone}
results=$PWD/benches/results
commit="Commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!benches' || echo " and changes"), rustc $(rustc --version | cut -d' ' -f2), the release profile."

work=$(mktemp -d)
trap 'status=$?; [ "$status" -eq 0 ] || tail -n 5 "$work/out" >&2; rm -rf "$work"; exit "$status"' EXIT
trap 'exit 130' INT TERM
echo "a password of the bench" > "$work/password"
export RUSSET_PASSWORD_FILE="$work/password" RUSSET_CONFIG="$work/none.toml"
export RESTIC_PASSWORD_FILE="$work/password" RESTIC_CACHE_DIR="$work/cache-restic" RESTIC_PROGRESS_FPS=0.01
export RUSTIC_PASSWORD_FILE="$work/password" RUSTIC_CACHE_DIR="$work/cache-rustic" RUSTIC_NO_PROGRESS=true
# Nothing of the user's own set-up is read or written.
export HOME="$work/home" XDG_CONFIG_HOME="$work/home" XDG_STATE_HOME="$work/home" XDG_CACHE_HOME="$work/home"
mkdir "$work/home"

len_of() { find "$1" -type f -exec ls -ln {} + | awk '{ sum += $5 } END { printf "%.0f\n", sum }'; }
tool_of() { command -v "$1" || { [ -x "$tools/$1" ] && echo "$tools/$1"; } || true; }
restic=$(tool_of restic)
rustic=$(tool_of rustic)

head_of() {
    echo "# $1: $(date +%Y-%m-%d)"
    echo
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
    echo "Machine: $(getconf _NPROCESSORS_ONLN) × ${cpu:-$(uname -m)}, $(uname -sr); load when it ended:$(uptime | sed 's/.*average[s]*://')."
    [ -z "${BENCH_NOTE:-}" ] || echo "$BENCH_NOTE"
    echo
    echo "$commit $2"
    echo
}

# --- backup -----------------------------------------------------------------------------------------------------

# timed STEP TOOL LEN COMMAND...: one line of raw figures: step, tool, source length, wall, user, sys, peak KiB, stored.
timed() {
    step=$1 tool=$2 source_len=$3
    shift 3
    before=$(len_of "$work/repo-$tool")
    sync
    "$clock" -o "$work/time" -f "%e %U %S %M" "$@" > "$work/out" 2>&1 ||
        { echo "$tool: $step failed:" >&2; cat "$work/out" >&2; exit 1; }
    echo "$step $tool $source_len $(tail -n 1 "$work/time") $(($(len_of "$work/repo-$tool") - before))" | tee -a "$work/raw"
}

# The week that the phone is at lies at one path, as on a real disk; the tools know an earlier snapshot by that.
week() {
    [ ! -d "$work/live" ] || mv "$work/live" "$work/$week_now"
    week_now=$1
    mv "$work/$1" "$work/live"
    source=$(echo "$work"/live/*)
    source_len=$(len_of "$source")
}

run_russet() {
    tool=$1 step=$2
    shift 2
    set -- "$russet" --repo "$work/repo-$tool" --cache-dir "$work/cache-$tool" --no-progress "$@"
    case $step in
        initial | unchanged | week-2) timed "$step" "$tool" "$source_len" "$@" import "$source" ;;
        force) timed force "$tool" "$source_len" "$@" import --force "$source" ;;
        verify) timed verify "$tool" "$(len_of "$work/repo-$tool/packs")" "$@" verify --read-data ;;
        restore)
            timed restore "$tool" "$source_len" "$@" restore latest --target "$work/back"
            "$phone" compare "$source" "$work/back/$(basename "$source")" > /dev/null
            rm -rf "$work/back"
            ;;
    esac
}

# The weeks are copies with the same times but other inodes: the tools are told not to mind, so that they need not read.
run_restic() {
    set -- "$1" "$restic" -r "$work/repo-restic" -q
    case $1 in
        initial | unchanged | week-2) shift; timed "$step" restic "$source_len" "$@" backup --ignore-inode --ignore-ctime "$source" ;;
        force) shift; timed force restic "$source_len" "$@" backup --force "$source" ;;
        verify) shift; timed verify restic "$(len_of "$work/repo-restic/data")" "$@" check --read-data ;;
        restore) shift; timed restore restic "$source_len" "$@" restore latest --target "$work/back"; rm -rf "$work/back" ;;
    esac
}

run_rustic() {
    set -- "$1" "$rustic" -r "$work/repo-rustic" --log-level warn
    case $1 in
        initial | unchanged | week-2) shift; timed "$step" rustic "$source_len" "$@" backup --ignore-inode --ignore-ctime "$source" ;;
        force) shift; timed force rustic "$source_len" "$@" backup --force "$source" ;;
        verify) shift; timed verify rustic "$(len_of "$work/repo-rustic/data")" "$@" check --read-data ;;
        restore) shift; timed restore rustic "$source_len" "$@" restore latest "$work/back"; rm -rf "$work/back" ;;
    esac
}

backup() {
    "$phone" weeks --preset bench --total-len "$len" --weeks 2 --out "$work" > /dev/null
    : > "$work/raw"
    round=0
    while [ "$round" -lt "$rounds" ]; do
        round=$((round + 1))
        rm -rf "$work"/repo-* "$work"/cache-*
        week_now=${week_now:-}
        week week-01
        "$russet" --repo "$work/repo-russet" --cache-dir "$work/cache-russet" init > "$work/out" 2>&1
        "$russet" --repo "$work/repo-russet-trusting" --cache-dir "$work/cache-russet-trusting" init > "$work/out" 2>&1
        [ -z "$restic" ] || "$restic" -q -r "$work/repo-restic" init > /dev/null
        [ -z "$rustic" ] || "$rustic" -r "$work/repo-rustic" --log-level error init > /dev/null
        for step in initial unchanged force week-2 verify restore; do
            [ "$step" != week-2 ] || week week-02
            run_russet russet "$step"
            case $step in
                initial | week-2) run_russet russet-trusting "$step" --no-read-back ;;
            esac
            [ -z "$restic" ] || run_restic "$step"
            [ -z "$rustic" ] || run_rustic "$step"
        done
    done
    report_backup > "$results/$(date +%Y-%m-%d)-backup.md"
    echo "$results/$(date +%Y-%m-%d)-backup.md"
}

report_backup() {
    head_of backup "Others: ${restic:+$("$restic" version | cut -d" " -f1,2) }${rustic:+$("$rustic" --version)}"
    cat << TEXT
    BENCH_LEN=$len BENCH_ROUNDS=$rounds scripts/bench.sh backup

Source: \`russet-phone weeks --preset bench --total-len $len --weeks 2\`, in the page cache; all repositories on one disk, one
tool after the other in each step. \`russet-trusting\` is russet with --no-read-back: the others do not read back what they
wrote. restic and rustic run with --ignore-inode --ignore-ctime. \`unchanged\` imports the same folder again, \`force\` reads all of
it again; \`week 2\` comes after both. russet's restore is compared with the source, times included. MB/s is bytes of the
source (of the packs, for verify) by wall time; CPU is user and system seconds together. Of several rounds each figure is the
median, peak memory the greatest.

| step | tool | wall s | CPU s | MB/s | peak MB | bytes stored |
|---|---|---|---|---|---|---|
TEXT
    sort -s -k1,2 "$work/raw" | awk '
        function median(list, n,    i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
            return list[int((n + 1) / 2)]
        }
        { key = $1 " " $2; if (!(key in count)) order[++keys] = key
          n = ++count[key]; wall[key, n] = $4; cpu[key, n] = $5 + $6; len[key] = $3
          if ($7 > rss[key]) rss[key] = $7
          stored[key] = $8 }
        END {
            split("initial unchanged force week-2 verify restore", steps, " ")
            for (s = 1; s <= 6; s++) for (k = 1; k <= keys; k++) {
                split(order[k], part, " ")
                if (part[1] != steps[s]) continue
                key = order[k]; n = count[key]
                for (i = 1; i <= n; i++) { w[i] = wall[key, i]; c[i] = cpu[key, i] }
                a = median(w, n); b = median(c, n)
                printf "| %s | %s | %.1f | %.1f | %.0f | %.0f | %.0f |\n", part[1], part[2], a, b, len[key] / 1e6 / (a > 0 ? a : 0.01), rss[key] * 1024 / 1e6, stored[key]
            }
        }'
}

# --- metadata ---------------------------------------------------------------------------------------------------

# Bytes of packs of trees, and of segments of the index. Byte 11 of a pack says its type: docs/format.md §2.
metadata_len() {
    for pack in "$1"/packs/*/*; do
        case $(od -An -tu1 -j11 -N1 "$pack" | tr -d ' ') in
            2) ls -ln "$pack" ;;
        esac
    done | awk '{ sum += $5 } END { printf "%.0f ", sum }'
    len_of "$1/index"
}
small_len() {
    for room in snapshots log copy1 copy2; do
        [ ! -d "$1/$room" ] || find "$1/$room" -type f -exec ls -ln {} +
    done | awk '{ sum += $5 } END { printf "%.0f\n", sum }'
}

# two_weeks NAME FIRST SECOND: "tree index small" bytes after the first import, then what the second added, on one line.
two_weeks() {
    repo=$work/repo-$1
    set -- "$1" "$2" "$3" "$russet" --repo "$repo" --cache-dir "$work/cache-$1" --no-progress
    name=$1 first=$2 second=$3
    shift 3
    "$@" init > "$work/out" 2>&1
    "$clock" -o "$work/time-$name" -f "%e %U %S %M" "$@" import "$first" > "$work/out" 2>&1
    a="$(metadata_len "$repo") $(small_len "$repo")"
    "$@" import "$second" > "$work/out" 2>&1
    b="$(metadata_len "$repo") $(small_len "$repo")"
    echo "$a $b" | awk '{ print $1, $2, $3, $4 - $1, $5 - $2, $6 - $3 }'
}

metadata() {
    for spread in spread few-apps; do
        flag=$([ "$spread" = spread ] || echo --few-apps)
        dir=$work/many-$spread
        # shellcheck disable=SC2086 # an empty flag is no argument
        "$phone" many --count "$count" --share 0.01 $flag --out "$dir" > /dev/null
        two_weeks "$spread" "$dir"/week-01/* "$dir"/week-02/* > "$work/cost-$spread"
        # What the same two Manifest.db cost as mere files beside a tiny phone: their chunks' entries and lists.
        "$phone" many --count 10 --share 0.1 --out "$dir-control" > /dev/null
        for week in week-01 week-02; do
            cp "$dir/$week"/*/Manifest.db "$(echo "$dir-control/$week"/*)/Manifest-of-many.db"
        done
        two_weeks "control-$spread" "$dir-control"/week-01/* "$dir-control"/week-02/* > "$work/cost-control-$spread"
        rm -rf "$dir" "$dir-control"
    done
    report_metadata > "$results/$(date +%Y-%m-%d)-metadata.md"
    echo "$results/$(date +%Y-%m-%d)-metadata.md"
}

report_metadata() {
    head_of metadata "Bytes do not depend on what else the machine does."
    cat << TEXT
    scripts/bench.sh metadata

What 1 % of changes costs in listings: \`russet-phone many --count $count --share 0.01\`, the changes spread by chance or in a few
apps (--few-apps). Tree: packs of type tree. Index: segments. Records: snapshots and log with their copies. Manifest.db is
rewritten by the phone; \`Manifest.db alone\` is what the same two files add to tree and index as mere files beside a phone of
ten files, and is taken off both sides of the share: what tree, index and records grow by, of the tree as it is stored in week 1.

| changes | | tree | index | records |
|---|---|---|---|---|
TEXT
    for spread in spread few-apps; do
        awk -v spread="$spread" 'FNR == NR { for (i = 1; i <= 6; i++) all[i] = $i; next }
            { printf "| %s | week 1 | %d | %d | %d |\n", spread, all[1], all[2], all[3]
              printf "| %s | week 1, Manifest.db alone | %d | %d | |\n", spread, $1, $2
              printf "| %s | added | %d | %d | %d |\n", spread, all[4], all[5], all[6]
              printf "| %s | added, Manifest.db alone | %d | %d | |\n", spread, $4, $5
              tree = all[1] - $1; added = all[4] - $4 + all[5] - $5 + all[6]
              share[spread] = 100 * added / tree
              printf "| %s | **share** | **%.1f %%**: %d of %d | | |\n", spread, share[spread], added, tree }' \
            "$work/cost-$spread" "$work/cost-control-$spread"
    done
    echo
    for spread in spread few-apps; do
        awk -v spread="$spread" -v count="$count" '{ printf "First import of %d tiny files (%s): %.1f s, %.1f s CPU, peak %.0f MB.\n", count, spread, $1, $2 + $3, $4 * 1024 / 1e6 }' "$work/time-$spread"
    done
}

[ $# -gt 0 ] || set -- backup metadata
for what in "$@"; do
    case $what in
        backup) backup ;;
        metadata) metadata ;;
        *) echo "scripts/bench.sh [backup|metadata]..." >&2; exit 2 ;;
    esac
done
