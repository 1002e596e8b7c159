#!/bin/sh
# Fuzzes every decoder, or the targets named, for FUZZ_SECS seconds each (60).
#
#   scripts/fuzz.sh [TARGET…]
#
# Needs no nightly compiler: cargo-fuzz's flags are taken by a stable one that is told to. Inputs that were found are
# kept in fuzz/corpus, those that fail in fuzz/artifacts.
set -eu
cd "$(dirname -- "$0")/.."
tools=${XDG_CACHE_HOME:-$HOME/.cache}/russet/tools
seconds=${FUZZ_SECS:-60}

if [ ! -x "$tools/bin/cargo-fuzz" ] && ! command -v cargo-fuzz >/dev/null 2>&1; then
    echo "fuzz: building cargo-fuzz into $tools, once"
    cargo install cargo-fuzz --locked --root "$tools" || {
        echo "fuzz: cargo-fuzz could not be installed; it needs crates.io once" >&2
        exit 1
    }
fi
PATH="$PATH:$tools/bin"
RUSTC_BOOTSTRAP=1
export PATH RUSTC_BOOTSTRAP
# The instrumented build shares nothing with the others.
target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz

if [ $# -eq 0 ]; then
    # shellcheck disable=SC2046 # one word a target
    set -- $(cargo fuzz list)
fi
if command -v python3 >/dev/null 2>&1; then python3 fuzz/seeds.py fuzz/seeds; fi
failed=
for target in "$@"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/seeds/$target"
    echo "=== $target, $seconds s"
    cargo fuzz run -s none -a --target-dir "$target_dir" "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 || failed="$failed $target"
done
if [ -n "$failed" ]; then
    echo "fuzz: FAILED:$failed; the inputs are in fuzz/artifacts" >&2
    exit 1
fi
echo "fuzz: nothing was found"
