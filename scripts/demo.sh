#!/bin/sh
# Four weeks of a generated phone go into a repository and come back. Takes half a minute after the build, needs
# 2 GB for temporary files (TMPDIR), leaves nothing behind.
set -eu
cd "$(dirname -- "$0")/.."
weeks=4

scripts/cargo.sh build --workspace --release --locked --offline
bin=$(scripts/target_dir.sh)/release

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
repo=$work/drive/russet
password=$work/password
mkdir "$work/drive"
echo "a password of the demo" > "$password"

# Nothing of the user's own set-up is read or written.
russet() {
    env -u RUSSET_REPOSITORY -u RUSSET_PASSWORD_COMMAND RUSSET_PASSWORD_FILE="$password" \
        RUSSET_CACHE_DIR="$work/cache" XDG_CONFIG_HOME="$work/config" XDG_STATE_HOME="$work/state" \
        "$bin/russet" --repo "$repo" "$@"
}
say() { printf '\n\033[1m── %s\033[0m\n' "$1"; }
len_of() { find "$1" -type f -exec cat {} + | wc -c | tr -d ' '; }
megabytes() { awk -v len="$1" 'BEGIN { printf "%.1f MB", len / 1000000 }'; }

say "A generated phone is backed up as Finder does it, in $weeks weeks"
"$bin/russet-phone" weeks --out "$work/phone" --weeks "$weeks" --preset demo --seed 1 > "$work/folders"
cat "$work/folders"

say "russet init: a sealed repository on a drive; the recovery key is shown once"
russet init

figures=$work/figures
: > "$figures"
before=$(len_of "$repo")
week=0
while read -r folder; do
    week=$((week + 1))
    say "russet import, week $week: only what is new is stored"
    russet import "$folder"
    after=$(len_of "$repo")
    echo "$week $(len_of "$folder") $((after - before))" >> "$figures"
    before=$after
done < "$work/folders"

say "russet snapshots: each week by its own date"
russet snapshots

say "russet verify --read-data: every byte is read and opened"
russet verify --read-data

first=$(head -n 1 "$work/folders")
last=$(tail -n 1 "$work/folders")
for choice in "latest~$((weeks - 1)) $first" "latest $last"; do
    snapshot=${choice%% *}
    original=${choice#* }
    say "russet restore $snapshot: the folder that Finder made, byte for byte"
    russet restore "$snapshot" --target "$work/restored-$snapshot"
    restored=$work/restored-$snapshot/$(basename "$original")
    "$bin/russet-phone" compare "$original" "$restored"
    diff -r "$original" "$restored"
    echo "diff -r is silent, and all times are the same"
done

say "What was stored against what was backed up"
total=0
stored=0
while read -r week len new_len; do
    echo "week $week: $(megabytes "$len") backed up, $(megabytes "$new_len") stored"
    total=$((total + len))
    stored=$((stored + new_len))
done < "$figures"
echo "together: $(megabytes "$total") backed up, $(megabytes "$stored") stored"
