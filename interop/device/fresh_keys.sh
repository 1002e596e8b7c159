#!/bin/sh
# Phones of one content that draw their keys apart, backed up by three hosts: what is in the backups is the same, and nothing of
# the ciphertext is. A parser that knows nothing of russet opens what each host has.
. "$(dirname -- "$0")/common.sh"
. "$root/interop/parsers.sh"
have_idevice
install_pymobiledevice3
install_parser iphone_backup_decrypt
apple_password=$work/apple-password
echo "the phone's own" > "$apple_password"
export RUSSET_PHONE_PASSWORD_FILE="$apple_password"
same_content() {
    "$(python_of iphone_backup_decrypt)" "$root/interop/device/same_content.py" "$@" || fail "same_content $*"
}

# Another count of runs is all that the phone's randomness sees. $1: the phone's folder, $2: the count.
draw_apart() {
    python3 - "$1/phone.json" "$2" << 'END'
import json, sys
with open(sys.argv[1]) as file:
    state = json.load(file)
state["run"] = int(sys.argv[2])
with open(sys.argv[1], "w") as file:
    json.dump(state, file)
END
}

# $1: the host, which makes a backup of its phone; $2: the week.
backup_by() {
    phone_start "$work/phone-$1"
    case $1 in
    russet)
        russet --yes backup
        rm -rf "$work/russet"
        russet restore latest --target "$work/russet" ;;
    idevicebackup2) client 120 idevicebackup2 backup "$work/$1" ;;
    pymobiledevice3)
        full=--no-full
        if [ "$2" = 1 ]; then full=--full; fi
        client 120 "$pmd3" backup2 backup $full "$work/$1" ;;
    esac
    no_violations
    is_full=false
    if [ "$2" = 1 ]; then is_full=true; fi
    last_run_is_full $is_full
    phone_stop
}

echo "--- three hosts, three phones of one content, each with keys of its own"
phone_start "$work/phone" --seed 12 --encrypted "$apple_password"
client 30 idevicepair pair
udid=$(HOME=$work/home timeout 30 idevice_id -l)
phone_stop
russet init
run=1000
for host in russet idevicebackup2 pymobiledevice3; do
    cp -R "$work/phone" "$work/phone-$host"
    mkdir "$work/$host"
    draw_apart "$work/phone-$host" $run
    run=$((run + 1000))
done
for week in 1 2 3 4; do
    for host in russet idevicebackup2 pymobiledevice3; do
        if [ "$week" != 1 ]; then "$bin/russet-device" advance --state "$work/phone-$host" > /dev/null; fi
        backup_by $host $week
    done
    for host in idevicebackup2 pymobiledevice3; do
        echo "week $week: russet and $host"
        same_content equal "$work/russet/$udid" "$work/$host/$udid" "$apple_password"
        same_content apart "$work/russet/$udid" "$work/$host/$udid"
    done
done

echo "--- two full runs of one phone share no ciphertext"
cp -R "$work/russet" "$work/before"
phone_start "$work/phone-russet"
russet --yes backup --full
last_run_is_full true
phone_stop
rm -rf "$work/russet"
russet restore latest --target "$work/russet"
same_content apart "$work/before/$udid" "$work/russet/$udid"
same_content equal "$work/before/$udid" "$work/russet/$udid" "$apple_password"
echo "--- fresh keys passed"
