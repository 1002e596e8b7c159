#!/bin/sh
# libimobiledevice's tools drive the scripted phone: pairing, four weeks, restore, encryption, password, faults.
#
# Plain backups are compared byte by byte with the folder that testkit's generator writes for the same weeks, encrypted
# ones by independent parsers, restores by what is on the phone afterwards.
. "$(dirname -- "$0")/common.sh"
have_idevice
phone=$work/phone
out=$work/backup
mkdir "$out"
"$bin/russet-phone" weeks --out "$work/generated" --truth "$work/truth" --weeks 4 --preset small --seed 3 > /dev/null

echo "--- pairing"
echo '{"trust_polls": 2}' > "$work/script.json"
phone_start "$phone" --seed 3 --script "$work/script.json"
udid=$(HOME=$work/home timeout 30 idevice_id -l)
client_refused "Please accept the trust dialog" idevicepair pair
client_refused "Please accept the trust dialog" idevicepair pair
client 30 idevicepair pair
client 30 idevicepair validate
client 30 ideviceinfo
client 30 ideviceinfo -q com.apple.disk_usage
phone_stop

echo "--- four weeks, in small blocks"
echo '{"block_len": 5000}' > "$work/script.json"
phone_start "$phone" --script "$work/script.json"
client 120 idevicebackup2 backup --full "$out"
last_run_is_full true
same_backup "$out/$udid" "$work/generated/week-01/$udid"
for week in 2 3 4; do
    "$bin/russet-device" advance --state "$phone" > /dev/null
    client 120 idevicebackup2 backup "$out"
    last_run_is_full false
    same_backup "$out/$udid" "$work/generated/week-0$week/$udid"
    if [ "$week" = 2 ]; then cp -R "$out" "$work/second"; fi
done
no_violations
phone_stop

echo "--- a full backup over the last one, each question twice"
echo '{"duplicates": true}' > "$work/script.json"
phone_start "$phone" --script "$work/script.json"
client 120 idevicebackup2 backup --full "$out"
last_run_is_full true
no_violations
phone_stop

echo "--- a file the phone cannot read"
echo '{"unreadable": ["HomeDomain-Library/Edge/4096.bin"]}' > "$work/script.json"
phone_start "$phone" --script "$work/script.json"
cp -R "$out" "$work/unreadable"
client_refused "Multiple errors uploading files (MBErrorDomain/104)" idevicebackup2 backup --full "$work/unreadable"
phone_stop

echo "--- refusals"
# It does not answer DLMessagePurgeDiskSpace, so the phone does not ask.
refusal() {
    echo "$1" > "$work/script.json"
    phone_start "$phone" --script "$work/script.json"
    client_refused "$2" idevicebackup2 backup "$out"
    phone_stop
}
refusal '{"extra_need": 900000000000000, "purge": false}' "ErrorCode 105: Insufficient free disk space"
refusal '{"passcode": "never"}' "ErrorCode 208: Device locked"
phone_start "$phone"
client 120 idevicebackup2 backup "$out"
last_run_is_full false
phone_stop

echo "--- the link breaks, and the phone goes on"
for fault in '"cut_after_files": 40' '"cut_after_files": 300' '"cut_at_phase": "moving"' '"cut_at_phase": "removing"'; do
    rm -rf "$work/cut" "$work/cut-phone"
    mkdir "$work/cut"
    cp -R "$phone" "$work/cut-phone"
    : > "$work/cut-phone/journal.jsonl"
    echo "{$fault}" > "$work/script.json"
    phone_start "$work/cut-phone" --script "$work/script.json"
    HOME=$work/home timeout 120 idevicebackup2 backup --full "$work/cut" > "$work/client.log" 2>&1 || true
    grep -q "the script cut the link" "$journal" || fail "$fault did not cut"
    phone_stop
    # idevicebackup2 leaves the file that was cut, in part: remove it as a careful host would.
    case $fault in
    *files*) find "$work/cut/$udid/Snapshot" -type f -printf '%T@ %p\n' | sort -n | tail -n 1 | cut -d' ' -f2- | xargs rm ;;
    esac
    phone_start "$work/cut-phone"
    client 120 idevicebackup2 backup "$work/cut"
    grep -q '"resumes":true\|are made again' "$journal" || fail "the phone did not go on"
    no_violations
    "$root/interop/check_backup.sh" "$work/cut/$udid" - "$work/truth/week-04.jsonl"
    phone_stop
done

echo "--- week 2 onto an erased phone, and onto one in use"
phone_start "$phone"
cp -R "$phone" "$work/erased"
client 120 idevicebackup2 restore --remove --no-reboot "$work/second"
same_files "$phone" "$work/truth/week-02.jsonl"
no_violations
phone_stop
"$bin/russet-device" erase --state "$work/erased"
phone_start "$work/erased"
client 120 idevicebackup2 restore --system --settings "$work/second"
same_files "$work/erased" "$work/truth/week-02.jsonl"
rm "$work/second/$udid/$(ls "$work/second/$udid" | grep -E '^[0-9a-f]{2}$' | head -n 1)"/*
client_refused "Multiple errors downloading files" idevicebackup2 restore "$work/second"
same_files "$work/erased" "$work/truth/week-02.jsonl"
phone_stop

echo "--- encrypted"
echo "the phone's own" > "$work/password"
printf 'another one\n' > "$work/password2"
phone=$work/secret
out=$work/secret-backup
mkdir "$out"
phone_start "$phone" --seed 3
client 30 idevicepair pair
client 120 idevicebackup2 backup --full "$out"
client 60 idevicebackup2 encryption on "$(cat "$work/password")" "$out"
client 120 idevicebackup2 backup "$out"
last_run_is_full true
"$root/interop/check_backup.sh" "$out/$udid" "$work/password" "$work/truth/week-01.jsonl"
"$bin/russet-device" advance --state "$phone" > /dev/null
client 120 idevicebackup2 backup "$out"
last_run_is_full false
"$root/interop/check_backup.sh" "$out/$udid" "$work/password" "$work/truth/week-02.jsonl"
client_refused "Invalid password" idevicebackup2 changepw wrong "$(cat "$work/password2")" "$out"
# Its changepw shows the phone no folder, so that the keybag in the last backup stays and the next one is full.
client 60 idevicebackup2 changepw "$(cat "$work/password")" "$(cat "$work/password2")" "$out"
"$root/interop/check_backup.sh" "$out/$udid" "$work/password" "$work/truth/week-02.jsonl"
"$bin/russet-device" advance --state "$phone" > /dev/null
client 120 idevicebackup2 backup "$out"
last_run_is_full true
"$root/interop/check_backup.sh" "$out/$udid" "$work/password2" "$work/truth/week-03.jsonl"
client_refused "Invalid password" idevicebackup2 restore --remove --password wrong "$out"
client 120 idevicebackup2 restore --remove --password "$(cat "$work/password2")" "$out"
same_files "$phone" "$work/truth/week-03.jsonl"
no_violations
echo "--- idevicebackup2 passed"
