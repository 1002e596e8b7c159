#!/bin/sh
# What russet restores is opened by programs that know nothing of russet, and what it stores is restored by the Python
# reader alone. Installs each program into an environment of its own outside the tree.
#
# RUSSET_INTEROP_BACKUPS may name a folder with Finder or iTunes backups, at any depth: they go in and out too, and are compared.
set -eu
cd "$(dirname -- "$0")/.."

scripts/cargo.sh build --workspace --release --locked --offline
bin=$(scripts/target_dir.sh)/release

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
password=$work/password
apple_password=$work/apple-password
echo "a password for interop" > "$password"
echo "the phone's own" > "$apple_password"

russet() {
    repo=$1
    shift
    env -u RUSSET_REPOSITORY -u RUSSET_PASSWORD_COMMAND RUSSET_PASSWORD_FILE="$password" \
        RUSSET_CACHE_DIR="$work/cache" XDG_CONFIG_HOME="$work/config" XDG_STATE_HOME="$work/state" \
        "$bin/russet" --repo "$repo" "$@"
}
same() {
    "$bin/russet-phone" compare "$1" "$2"
    diff -r "$1" "$2"
}

echo "--- the Python reader's own tests"
python=$(interop/reader/setup.sh)
"$python" docs/russet_reader.py --self-test
"$python" interop/reader/test_reader.py

# $1: name, $2: password file of the phone or '', $3: `opened` if russet is given that file too
weeks_of() {
    echo "--- two weeks of a phone, $1"
    set -- "$1" "${2:-}" "$work/$1" "${3:-}"
    "$bin/russet-phone" weeks --out "$3/phone" --weeks 2 --preset small --seed 7 --truth "$3/truth" \
        ${2:+--password-file "$2"} > "$3.folders"
    russet "$3/repository" init
    while read -r folder; do
        russet "$3/repository" import ${4:+--phone-password-file "$2"} "$folder"
    done < "$3.folders"
    week=0
    while read -r folder; do
        week=$((week + 1))
        snapshot=latest
        if [ "$week" = 1 ]; then snapshot=latest~1; fi
        udid=$(basename "$folder")

        russet "$3/repository" restore "$snapshot" --target "$3/restored-$week"
        same "$folder" "$3/restored-$week/$udid"
        interop/check_backup.sh "$3/restored-$week/$udid" "${2:--}" "$3/truth/week-0$week.jsonl"

        # The reader that was put into the repository, with nothing else of ours.
        snapshot_id=$(russet_id "$3/repository" "$week")
        mkdir "$3/read-$week"
        "$python" -I "$3/repository/docs/russet_reader.py" "$3/repository" restore "$snapshot_id" "$3/read-$week" \
            --password-file "$password"
        same "$folder" "$3/read-$week/$udid"
    done < "$3.folders"
    "$python" -I "$3/repository/docs/russet_reader.py" "$3/repository" verify --password-file "$password"
}

# The id of the n-th snapshot, oldest first, from the reader's list: it begins a line.
russet_id() {
    "$python" -I "$1/docs/russet_reader.py" "$1" list --password-file "$password" |
        grep -oE '^[0-9a-f]{8,64}' | sed -n "$2p"
}

weeks_of plain ''
weeks_of encrypted "$apple_password"
weeks_of opened "$apple_password" opened

echo "--- the golden repositories and today's, with the Python reader alone"
interop/reader/golden.sh "$work/plain/repository" "$password" latest "$(sed -n '$p' "$work/plain.folders")"

if [ -n "${RUSSET_INTEROP_BACKUPS:-}" ]; then
    echo "--- backups in $RUSSET_INTEROP_BACKUPS"
    find "$RUSSET_INTEROP_BACKUPS" -name Manifest.plist -exec dirname {} \; | sort > "$work/given.folders"
    if [ ! -s "$work/given.folders" ]; then
        echo "interop: there is no backup in $RUSSET_INTEROP_BACKUPS" >&2
        exit 1
    fi
    while read -r folder; do
        rm -rf "$work/given" "$work/given-restored"
        russet "$work/given" init
        russet "$work/given" import "$folder"
        russet "$work/given" restore latest --target "$work/given-restored"
        same "$folder" "$work/given-restored"/*
    done < "$work/given.folders"
fi
echo "--- interop passed"
