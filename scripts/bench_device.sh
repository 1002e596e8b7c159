#!/bin/sh
# What a backup straight from a phone costs beside an import of the same files, and how fast the loop that serves the phone is.
# The scripted phone is a process of its own, on a unix socket. Writes benches/results/<date>-device.md.
#
#   scripts/bench_device.sh
#
# BENCH_LEN      bytes of the phone (4000000000); needs five times that under TMPDIR
# BENCH_ROUNDS   how often everything is measured, in turns (3)
# BENCH_LINK_LEN bytes through the loop alone (8000000000)
# BENCH_NOTE     a sentence about the machine that goes into the table's head
set -eu
cd "$(dirname -- "$0")/.."
len=${BENCH_LEN:-4000000000}
rounds=${BENCH_ROUNDS:-3}
link_len=${BENCH_LINK_LEN:-8000000000}

clock=
for found in gtime /usr/bin/time; do
    if "$found" -f %e true 2>/dev/null; then clock=$found; break; fi
done
[ -n "$clock" ] || { echo "GNU time is needed: apt-get install time, or brew install gnu-time" >&2; exit 1; }

[ -n "${BENCH_BIN:-}" ] || scripts/cargo.sh build --workspace --bins --examples --release --locked --offline
bin=${BENCH_BIN:-$(scripts/target_dir.sh)/release}
results=$PWD/benches/results/$(date +%Y-%m-%d)-device.md
commit="Commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- . ':!benches' || echo " and changes"), rustc $(rustc --version | cut -d' ' -f2), the release profile."

work=$(mktemp -d)
phone=
end() {
    [ -z "$phone" ] || kill "$phone" 2>/dev/null || true
    rm -rf "$work"
}
trap 'status=$?; [ "$status" -eq 0 ] || tail -n 5 "$work/out" >&2; end; exit "$status"' EXIT
trap 'exit 130' INT TERM
echo "a password of the bench" > "$work/password"
export RUSSET_PASSWORD_FILE="$work/password" RUSSET_CONFIG="$work/none.toml" USBMUXD_SOCKET_ADDRESS="$work/mux"
# Nothing of the user's own set-up is read or written.
export HOME="$work/home" XDG_CONFIG_HOME="$work/home" XDG_STATE_HOME="$work/home" XDG_CACHE_HOME="$work/home"
mkdir "$work/home"
echo '{"service_tls": false}' > "$work/clear.json"
echo '{"service_tls": true}' > "$work/tls.json"

phone_start() {
    rm -f "$work/mux"
    "$bin/russet-device" serve --listen "$work/mux" --state "$work/phone" --total-len "$len" --script "$work/$1.json" > "$work/phone.out" &
    phone=$!
    while [ ! -s "$work/phone.out" ]; do sleep 0.1; done
}
phone_stop() {
    kill "$phone"
    wait "$phone" 2>/dev/null || true
    phone=
}

# timed STEP COMMAND...: one line of raw figures: step, wall, user, sys, peak KiB. The repository is a new one.
timed() {
    step=$1
    shift
    rm -rf "$work/repo" "$work/cache"
    set -- --repo "$work/repo" --cache-dir "$work/cache" --no-progress "$@"
    "$bin/russet" --repo "$work/repo" --cache-dir "$work/cache" init > "$work/out" 2>&1
    sync
    "$clock" -o "$work/time" -f "%e %U %S %M" "$bin/russet" "$@" > "$work/out" 2>&1
    echo "$step $(tail -n 1 "$work/time")" | tee -a "$work/raw"
}

# The sheet that asks for trust is answered once, and counted nowhere.
phone_start clear
"$bin/russet" pair > "$work/out" 2>&1
phone_stop
round=0
while [ "$round" -lt "$rounds" ]; do
    round=$((round + 1))
    for way in clear tls; do
        phone_start "$way"
        timed "$way" backup
        phone_stop
    done
    if [ ! -d "$work/folder" ]; then
        "$bin/russet" --repo "$work/repo" --cache-dir "$work/cache" --no-progress restore latest --target "$work/folder" > "$work/out" 2>&1
    fi
    timed import import "$work"/folder/*
    echo "link $("$bin/examples/link_speed" "$link_len")" | tee -a "$work/raw"
done

{
    echo "# device: $(date +%Y-%m-%d)"
    echo
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1)
    echo "Machine: $(getconf _NPROCESSORS_ONLN) × ${cpu:-$(uname -m)}, $(uname -sr); load when it ended:$(uptime | sed 's/.*average[s]*://')."
    [ -z "${BENCH_NOTE:-}" ] || echo "$BENCH_NOTE"
    cat << TEXT

$commit

    BENCH_LEN=$len BENCH_ROUNDS=$rounds scripts/bench_device.sh

A first backup of a scripted phone of $len bytes (\`russet-device serve --total-len\`) into a new repository, services in the clear
and under TLS, on a unix socket; an import of the folder that \`russet restore\` wrote from it, in the page cache. Seconds of the
processor are russet's own, user and system; the phone is another process. Median of $rounds rounds, taken in turns; of memory the
greatest.

| | wall s | CPU s | of import's CPU | peak MB |
|---|---|---|---|---|
TEXT
    sort -s -k1,1 "$work/raw" | awk '
        function median(list, n,    i, j, t) {
            for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j - 1] > list[j]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
            return list[int((n + 1) / 2)]
        }
        $1 == "link" { l = ++link; lw[l] = $3; lc[l] = $4; len = $2; next }
        { n = ++count[$1]; wall[$1, n] = $2; cpu[$1, n] = $3 + $4; if ($5 > rss[$1]) rss[$1] = $5 }
        END {
            split("clear tls import", ways, " ")
            split("backup, in the clear|backup, TLS|import", names, "|")
            for (w = 3; w >= 1; w--) {
                n = count[ways[w]]
                for (i = 1; i <= n; i++) { a[i] = wall[ways[w], i]; b[i] = cpu[ways[w], i] }
                wm[w] = median(a, n); cm[w] = median(b, n)
            }
            for (w = 1; w <= 3; w++) printf "| %s | %.1f | %.1f | %.2f | %.0f |\n", names[w], wm[w], cm[w], cm[w] / cm[3], rss[ways[w]] * 1024 / 1e6
            w = median(lw, link); c = median(lc, link)
            printf "\nThe loop alone, in the clear, into a sink (`link_speed %.0f`): %.1f GB/s by wall time, %.1f GB a second of its own processor.\n", len, len / 1e9 / w, len / 1e9 / (c > 0 ? c : 0.01)
        }'
} > "$results"
echo "$results"
