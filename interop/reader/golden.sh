#!/bin/sh
# The Python reader alone restores what russet wrote, long ago and today, and the result is compared without russet.
#
# golden.sh                                     the golden repositories
# golden.sh REPO PASSWORD_FILE SNAPSHOT FOLDER  and a repository whose SNAPSHOT must restore to FOLDER
set -eu
cd "$(dirname -- "$0")/../.."
python=$(interop/reader/setup.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Without a network where the system lets us: what is in the repository and in the four packages must be enough.
offline=
if unshare -rn true 2>/dev/null; then offline="unshare -rn"; fi

# $1: reader, $2: repository, $3: password file, $4: snapshot, $5: what it must be
restored() {
    rm -rf "$work/out"
    mkdir "$work/out"
    $offline "$python" -I "$1" "$2" restore "$4" "$work/out" --password-file "$3"
    "$python" interop/reader/compare.py "$5" "$work/out"/*
}

printf 'golden\n' > "$work/password"
for version in tests/golden/v*; do
    for expected in "$version"/expected/*.jsonl; do
        snapshot=$(basename "$expected" .jsonl)
        restored docs/russet_reader.py "$version/repository" "$work/password" "$snapshot" "$expected"
    done
    $offline "$python" -I docs/russet_reader.py "$version/repository" verify --password-file "$work/password"
    $offline "$python" -I docs/russet_reader.py "$version/repository" info --recovery-file "$version/recovery-words"
done
if [ $# -gt 0 ]; then restored "$1/docs/russet_reader.py" "$1" "$2" "$3" "$4"; fi
