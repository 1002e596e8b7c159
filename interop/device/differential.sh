#!/bin/sh
# Two copies of one phone, one backed up by idevicebackup2, one by russet: the folder and what russet restores must be the same,
# file by file and byte by byte. Info.plist is each host's own and is compared key by key. DIFFERENTIAL_SEEDS: which phones.
. "$(dirname -- "$0")/common.sh"
have_idevice
apple_password=$work/apple-password
echo "the phone's own" > "$apple_password"

# Keys of the two Info.plists ($1 idevicebackup2's, $2 russet's) and their values, against the list in the script.
same_info() {
    python3 "$root/interop/device/same_info.py" "$1" "$2" || fail "Info.plist differs: $1 $2"
}

# $1: plain or encrypted; the rest goes to the phone.
weeks() {
    name=$1
    shift
    echo "--- phone $seed, $name: a full backup and three incremental ones by both"
    rm -rf "$work/one" "$work/two" "$work/repository" "$work/theirs"
    mkdir "$work/theirs"
    phone_start "$work/one" --seed "$seed" "$@"
    HOME=$work/home timeout 30 idevicepair pair > /dev/null
    phone_stop
    cp -R "$work/one" "$work/two"
    russet init
    for week in 1 2 3 4; do
        if [ "$week" != 1 ]; then
            for phone in one two; do "$bin/russet-device" advance --state "$work/$phone" > /dev/null; done
        fi
        phone_start "$work/one"
        client 120 idevicebackup2 backup "$work/theirs"
        no_violations
        phone_stop
        phone_start "$work/two"
        udid=$(HOME=$work/home timeout 30 idevice_id -l)
        # $opens is nothing, or what opens the backup: what is restored is as the phone encrypted it all the same.
        # shellcheck disable=SC2086
        russet --yes backup $opens
        no_violations
        if [ "$week" != 1 ]; then last_run_is_full false; fi
        phone_stop
        rm -rf "$work/ours"
        russet restore latest --target "$work/ours"
        same_info "$work/theirs/$udid/Info.plist" "$work/ours/$udid/Info.plist"
        diff -r --exclude Info.plist "$work/theirs/$udid" "$work/ours/$udid" || fail "week $week differs"
        (cd "$work/theirs/$udid" && find . | sort) > "$work/theirs.names"
        (cd "$work/ours/$udid" && find . | sort) > "$work/ours.names"
        diff "$work/theirs.names" "$work/ours.names" || fail "week $week has other names"
        echo "  week $week: $(wc -l < "$work/ours.names") names, all the same"
    done
    russet verify --read-data
}

for seed in ${DIFFERENTIAL_SEEDS:-11 12}; do
    opens=
    weeks plain
    opens="--phone-password-file $apple_password"
    weeks encrypted --encrypted "$apple_password"
    russet ls latest --json
    grep -q '"opened":true' "$work/russet.log" || fail "nothing was opened"
    opens=--store-encrypted
    weeks stored --encrypted "$apple_password"
done
echo "--- differential passed"
