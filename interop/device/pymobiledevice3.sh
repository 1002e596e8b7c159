#!/bin/sh
# pymobiledevice3 drives the scripted phone: four weeks, encryption, password, restore.
. "$(dirname -- "$0")/common.sh"
install_pymobiledevice3
phone=$work/phone
out=$work/backup
mkdir "$out"
"$bin/russet-phone" weeks --out "$work/generated" --truth "$work/truth" --weeks 4 --preset small --seed 4 > "$work/list"
udid=$(basename "$(head -n 1 "$work/list")")

echo "--- pairing and four weeks"
phone_start "$phone" --seed 4
client 60 "$pmd3" lockdown pair
client 60 "$pmd3" lockdown info
client 120 "$pmd3" backup2 backup --full "$out"
last_run_is_full true
same_backup "$out/$udid" "$work/generated/week-01/$udid"
for week in 2 3 4; do
    "$bin/russet-device" advance --state "$phone" > /dev/null
    client 120 "$pmd3" backup2 backup --no-full "$out"
    last_run_is_full false
    same_backup "$out/$udid" "$work/generated/week-0$week/$udid"
done
cp -R "$out" "$work/fourth"

phone_stop

echo "--- a full backup, questions and moves twice, services in the clear, over a unix socket"
echo '{"duplicates": true, "repeated_moves": true, "service_tls": false, "passcode": {"after": 300}}' > "$work/script.json"
cp -R "$phone" "$work/twice"
"$bin/russet-device" serve --listen "$work/socket" --state "$work/twice" --script "$work/script.json" > "$work/twice/address" &
phone_pid=$!
journal=$work/twice/journal.jsonl
sleep 1
USBMUXD_SOCKET_ADDRESS=$work/socket
mkdir "$work/full"
client 120 "$pmd3" backup2 backup --full "$work/full"
last_run_is_full true
no_violations
"$root/interop/check_backup.sh" "$work/full/$udid" - "$work/truth/week-04.jsonl"
phone_stop

echo "--- no room on the host"
echo '{"extra_need": 900000000000000}' > "$work/script.json"
phone_start "$phone" --script "$work/script.json"
client_refused "MBErrorDomain/105" "$pmd3" backup2 backup --full "$work/full"
phone_stop
phone_start "$phone"

echo "--- encrypted, another password, off again"
echo "pear" > "$work/password"
echo "plum" > "$work/password2"
client 60 "$pmd3" backup2 encryption on pear --backup-directory "$out"
client 120 "$pmd3" backup2 backup --no-full "$out"
last_run_is_full true
"$root/interop/check_backup.sh" "$out/$udid" "$work/password" "$work/truth/week-04.jsonl"
client 60 "$pmd3" backup2 change-password pear plum --backup-directory "$out"
client 120 "$pmd3" backup2 backup --no-full "$out"
last_run_is_full false
"$root/interop/check_backup.sh" "$out/$udid" "$work/password2" "$work/truth/week-04.jsonl"

echo "--- restore"
"$bin/russet-device" erase --state "$phone"
client 120 "$pmd3" backup2 restore --password plum "$out"
same_files "$phone" "$work/truth/week-04.jsonl"
"$bin/russet-device" erase --state "$phone"
client 120 "$pmd3" backup2 restore --remove "$work/fourth"
same_files "$phone" "$work/truth/week-04.jsonl"
no_violations
echo "--- pymobiledevice3 passed"
