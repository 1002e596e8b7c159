#!/bin/sh
# One list of questions (testkit, backup/survey.rs), put to idevicebackup2, pymobiledevice3 and russet in the middle of a backup; the
# answers are compared field by field. Every difference stands in answers.json with its reason.
. "$(dirname -- "$0")/common.sh"
have_idevice
install_pymobiledevice3

# $1: the host; $2: what it is not asked, since it would hang or stop.
survey() {
    rm -rf "$work/phone-$1"
    cp -R "$work/phone" "$work/phone-$1"
    echo "{\"survey\": $2}" > "$work/script.json"
    phone_start "$work/phone-$1" --script "$work/script.json"
    mkdir -p "$work/$1"
    case $1 in
    russet) russet --yes backup ;;
    idevicebackup2) client 120 idevicebackup2 backup "$work/$1" ;;
    pymobiledevice3) client 120 "$pmd3" backup2 backup --full "$work/$1" ;;
    esac
    phone_stop
}

echo "--- the same questions to three hosts"
phone_start "$work/phone" --seed 13
client 30 idevicepair pair
phone_stop
russet init
# idevicebackup2 1.3.0 waits for ever after these, or ends; a phone asks none of them but the first.
survey idevicebackup2 '["make room for an exabyte", "ask what nobody knows", "upload a file to where no directory is",
    "download a directory", "copy a directory", "list a directory that was copied", "list a directory in one that was copied"]'
# pymobiledevice3 11.45 ends with an exception.
survey pymobiledevice3 '["ask what nobody knows", "upload a file to where no directory is", "make a directory where a file is",
    "list what is not there", "list a file", "download a directory", "move what was moved already", "move what never was",
    "move what never was, then a file", "list a directory in one that was moved", "copy what is not there",
    "list a directory in one that was copied"]'
survey russet '[]'
python3 "$root/interop/device/answers.py" "$root/interop/device/answers.json" \
    "$work/phone-idevicebackup2/journal.jsonl" "$work/phone-pymobiledevice3/journal.jsonl" "$work/phone-russet/journal.jsonl" ||
    fail "the hosts answer otherwise than answers.json says"
