#!/bin/sh
# What russet captured from a phone comes back to it in two ways that must leave the same files: idevicebackup2 restores the
# folder that `russet restore --target` wrote, and `russet restore --to-phone` restores from the packs.
#
# Onto an erased phone, onto one in use with and without removal, unencrypted and encrypted, with the equal options.
. "$(dirname -- "$0")/common.sh"
have_idevice
echo "the-phones-own" > "$work/phone-password"
export RUSSET_PHONE_PASSWORD_FILE="$work/phone-password"

# Lets each of the two restore onto an equal phone, and compares what is on the phones afterwards.
# $1: snapshot, $2: its folder, $3: options of russet, $4: options of idevicebackup2, $5: `erased` or `used`.
both_ways() {
    for way in russet idevicebackup2; do
        rm -rf "$work/$way"
        cp -R "$work/phone" "$work/$way"
        if [ "$5" = erased ]; then "$bin/russet-device" erase --state "$work/$way"; fi
        phone_start "$work/$way"
        # shellcheck disable=SC2086 # several options in one word
        case $way in
        russet) russet restore "$1" --yes --no-safety-backup $3 --to-phone ;;
        idevicebackup2) client 120 idevicebackup2 restore $4 "$2" ;;
        esac
        no_violations
        phone_stop
        "$bin/russet-device" files --state "$work/$way" > "$work/$way.jsonl"
    done
    cmp "$work/russet.jsonl" "$work/idevicebackup2.jsonl" || fail "the two phones differ: $5, $3"
    python3 - "$work/russet" "$work/idevicebackup2" << 'END' || fail "the lists of apps differ"
import plistlib, sys
lists = [plistlib.load(open(f"{phone}/afc/iTunesRestore/RestoreApplications.plist", "rb")) for phone in sys.argv[1:]]
assert lists[0] and lists[0] == lists[1]
END
}

weeks() {
    echo "--- $1"
    rm -rf "$work/repository" "$work/phone" "$work/week-1"
    russet init
    shift
    phone_start "$work/phone" --seed 3 "$@"
    udid=$(HOME=$work/home timeout 30 idevice_id -l)
    russet backup
    "$bin/russet-device" files --state "$work/phone" > "$work/first.jsonl"
    "$bin/russet-device" advance --state "$work/phone" > /dev/null
    russet backup
    client 30 idevicepair pair
    phone_stop
    russet restore latest~1 --target "$work/week-1"
    [ -d "$work/week-1/$udid" ] || fail "no folder of $udid"
}

weeks unencrypted
both_ways latest~1 "$work/week-1" "--system --no-keep-settings" "--system --settings" erased
cmp "$work/russet.jsonl" "$work/first.jsonl" || fail "the erased phone is not that of week 1"
both_ways latest~1 "$work/week-1" --remove-items --remove used
cmp "$work/russet.jsonl" "$work/first.jsonl" || fail "something of week 2 stayed"
both_ways latest~1 "$work/week-1" --no-reboot --no-reboot used

weeks encrypted --encrypted "$work/phone-password"
both_ways latest~1 "$work/week-1" "--remove-items --phone-password-file $work/phone-password" \
    "--remove --password $(cat "$work/phone-password")" used
cmp "$work/russet.jsonl" "$work/first.jsonl" || fail "something of week 2 stayed"
echo "--- restores by russet and by idevicebackup2 leave the same files"
