#!/bin/sh
# Four weeks of a scripted iPhone go into a repository, and week 2 comes back: to another iPhone, and to a folder. Then a folder
# as Finder makes it goes in and comes back. Takes under a minute after the build, needs 2 GB for temporary files (TMPDIR),
# leaves nothing behind and nothing running.
#
# What comes back is judged by what the scripted phone says of its own files, never by what russet says.
set -eu
cd "$(dirname -- "$0")/.."

scripts/cargo.sh build --workspace --release --locked --offline
bin=$(scripts/target_dir.sh)/release

work=$(mktemp -d)
phone_pid=
unplug() {
    if [ -n "$phone_pid" ]; then
        kill "$phone_pid" 2>/dev/null || true
        wait "$phone_pid" 2>/dev/null || true
        phone_pid=
    fi
}
trap 'unplug; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
repo=$work/drive/russet
mkdir "$work/drive"
echo "a password of the demo" > "$work/password"

say() { printf '\n\033[1m── %s\033[0m\n' "$1"; }
fail() { echo "FAILED: $*" >&2; exit 1; }
# Nothing of the user's own set-up is read or written.
russet() {
    printf '$ russet %s\n' "$*" | sed "s|$work/||g"
    env -u RUSSET_PASSWORD_COMMAND -u RUSSET_PASSWORD RUSSET_REPOSITORY="$repo" RUSSET_PASSWORD_FILE="$work/password" \
        RUSSET_CACHE_DIR="$work/cache" XDG_CONFIG_HOME="$work/config" XDG_STATE_HOME="$work/state" \
        USBMUXD_SOCKET_ADDRESS="$work/mux" "$bin/russet" --no-progress "$@"
}
# $1: the phone's folder; the rest goes to `russet-device serve`.
plug_in() {
    rm -f "$work/mux" "$work/address"
    "$bin/russet-device" serve --listen "$work/mux" --state "$@" > "$work/address" &
    phone_pid=$!
    waited=0
    until [ -s "$work/address" ]; do
        waited=$((waited + 1))
        [ "$waited" -le 100 ] || fail "the phone does not come up"
        sleep 0.1
    done
}
files_of() { "$bin/russet-device" files --state "$1"; }
len_of() { find "$1" -type f -exec cat {} + | wc -c | tr -d ' '; }
megabytes() { awk -v len="$1" 'BEGIN { printf "%.1f MB", len / 1000000 }'; }

say "A sealed repository on a drive; the recovery key is shown once"
russet init

say "A scripted iPhone is plugged in and told to trust this computer"
plug_in "$work/phone" --demo --seed 1
russet pair

for week in 1 2 3 4; do
    say "Week $week"
    if [ "$week" != 1 ]; then "$bin/russet-device" advance --state "$work/phone" > /dev/null; fi
    files_of "$work/phone" > "$work/week-$week"
    if [ "$week" != 1 ]; then
        changed=$(diff "$work/week-$((week - 1))" "$work/week-$week" | grep -c '^[<>]' || true)
        echo "the phone's own list of $(wc -l < "$work/week-$week" | tr -d ' ') files: $changed lines are not those of last week"
    fi
    russet backup
    echo "the repository: $(megabytes "$(len_of "$repo")")"
done
unplug

say "Each week is there, and every byte of it can be read and opened"
russet snapshots
russet verify --read-data

say "Week 2 onto another iPhone, which was erased"
plug_in "$work/other-phone" --demo --seed 2
"$bin/russet-device" erase --state "$work/other-phone"
[ -z "$(files_of "$work/other-phone")" ] || fail "the erased phone has files"
russet --yes restore latest~2 --no-safety-backup --to-phone
unplug
files_of "$work/other-phone" > "$work/other-now"
diff "$work/week-2" "$work/other-now" > /dev/null || fail "the other phone does not have the files of week 2"
for week in 1 3 4; do
    if cmp -s "$work/week-$week" "$work/other-now"; then fail "week $week is no other than week 2"; fi
done
echo "the other phone's own list (SHA-256 of each of $(wc -l < "$work/other-now" | tr -d ' ') files) is that of the first one in week 2"

say "Week 2 as a folder, against the folder that Finder would have made of that phone in that week"
"$bin/russet-phone" weeks --out "$work/finder" --weeks 2 --preset demo --seed 1 > "$work/folders"
finder=$(tail -n 1 "$work/folders")
russet restore latest~2 --target "$work/restored"
restored=$work/restored/$(basename "$finder")
# Info.plist is the host's own; Status.plist has a name of the run; the phone made a folder for each of 256 beginnings.
cp -R "$finder" "$work/expected"
rm "$work/expected/Info.plist" "$work/expected/Status.plist" "$restored/Info.plist" "$restored/Status.plist"
find "$restored" -mindepth 1 -type d -empty -delete
diff -r "$work/expected" "$restored"
echo "diff -r is silent ($(find "$restored" -type f | wc -l | tr -d ' ') files)"

say "A folder of Finder's goes in too: all of it is there already. It comes back byte for byte, with all times"
before=$(len_of "$repo")
russet import "$finder" | tee "$work/imported"
snapshot=$(sed -n 's/.*Snapshot \([0-9a-f]*\) of .*/\1/p' "$work/imported")
echo "the repository grew by $(megabytes $(($(len_of "$repo") - before)))"
rm -rf "$work/restored"
russet restore "$snapshot" --target "$work/restored"
"$bin/russet-phone" compare "$finder" "$restored"
diff -r "$finder" "$restored"
echo "diff -r is silent, and all times are the same"
