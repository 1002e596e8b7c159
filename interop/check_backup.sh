#!/bin/sh
# Opens a backup folder with parsers that know nothing of russet, and checks what they read.
#
#   interop/check_backup.sh DIR_UDID [PASSWORD_FILE] [TRUTH.jsonl]
#
# DIR_UDID is the folder that holds Manifest.plist. It is never opened itself: some parsers write to Manifest.db, so
# they get a copy. The first line of PASSWORD_FILE opens an encrypted backup; leave it out, or give '' or -, for a plain
# one. TRUTH.jsonl says what each file must hold (`russet-phone … --truth`); without it only the parsers are compared
# with the rows and with each other. Exits with 1 on any mismatch, 2 when it was called wrongly.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
. "$here/parsers.sh"

if [ $# -lt 1 ] || [ $# -gt 3 ] || [ ! -f "$1/Manifest.plist" ]; then
    echo "usage: check_backup.sh DIR_UDID [PASSWORD_FILE] [TRUTH.jsonl]" >&2
    exit 2
fi
backup=$1
password_file=${2:-}
[ "$password_file" = - ] && password_file=
truth=${3:-}
for file in "$password_file" "$truth"; do
    if [ -n "$file" ] && [ ! -f "$file" ]; then
        echo "check_backup.sh: $file: no such file" >&2
        exit 2
    fi
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
udid=$(basename -- "$(cd -- "$backup" && pwd)")

if [ -n "$password_file" ]; then
    parsers="iphone_backup_decrypt pyiosbackup mvt"
else
    parsers="pyiosbackup ios-backup-browser mvt"
fi
failed=
for parser in $parsers; do
    install_parser "$parser"
    rm -rf "${work:?}/copy"
    mkdir "$work/copy"
    cp -R "$backup" "$work/copy/$udid"
    script=$here/with_$(echo "$parser" | tr - _).py
    # Their own temporary files, with decrypted contents, go where the trap removes them.
    if ! TMPDIR=$work "$(python_of "$parser")" "$script" "$work/copy/$udid" "$password_file" "$truth"; then
        failed="$failed $parser"
    fi
done
if [ -n "$failed" ]; then
    echo "FAILED:$failed ($backup)" >&2
    exit 1
fi
echo "ok: $(echo "$parsers" | wc -w | tr -d ' ') parsers agree on $backup"
