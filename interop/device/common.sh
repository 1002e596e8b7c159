# Shared by the scripts beside it, which source it: a scripted phone, and clients with a home of their own.
#
# Wants: russet, russet-device and russet-phone in $bin. Gives: $work, phone_start, phone_stop, the two clients and russet, each
# under `timeout`, so that a hang is a failure.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
bin=${RUSSET_BIN:-$("$root/scripts/target_dir.sh")/release}
RUSSET_INTEROP_DIR=${RUSSET_INTEROP_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/russet/interop}
export RUSSET_INTEROP_DIR
PYMOBILEDEVICE3=pymobiledevice3==11.45.0

work=$(mktemp -d)
phone_pid=
phone_stop() {
    if [ -n "$phone_pid" ]; then
        kill "$phone_pid" 2>/dev/null || true
        wait "$phone_pid" 2>/dev/null || true
        phone_pid=
    fi
}
trap 'phone_stop; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/home"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# $1: the phone's folder; the rest goes to `russet-device serve`.
phone_start() {
    folder=$1
    shift
    mkdir -p "$folder"
    rm -f "$folder/address"
    "$bin/russet-device" serve --listen 127.0.0.1:0 --state "$folder" "$@" > "$folder/address" &
    phone_pid=$!
    waited=0
    while [ ! -s "$folder/address" ]; do
        waited=$((waited + 1))
        if [ "$waited" -gt 100 ]; then fail "the phone does not come up"; fi
        sleep 0.1
    done
    journal=$folder/journal.jsonl
    USBMUXD_SOCKET_ADDRESS=$(cat "$folder/address")
    export USBMUXD_SOCKET_ADDRESS
}

# Runs a client with its own home; its output is shown only if it fails. $1: seconds.
client() {
    seconds=$1
    shift
    echo "  $*" | sed "s|$work/||g; s|$RUSSET_INTEROP_DIR/pymobiledevice3/bin/||"
    HOME=$work/home timeout "$seconds" "$@" > "$work/client.log" 2>&1 || {
        code=$?
        tail -c 2000 "$work/client.log" >&2
        fail "exit code $code: $*"
    }
}

# russet on $work/repository, with nothing of the user's own set-up; its output is shown only if it fails.
echo "a password for interop" > "$work/password"
russet() {
    echo "  russet $*" | sed "s|$work/||g"
    env -u RUSSET_PASSWORD_COMMAND RUSSET_PASSWORD_FILE="$work/password" RUSSET_REPOSITORY="$work/repository" \
        RUSSET_CACHE_DIR="$work/cache" XDG_CONFIG_HOME="$work/config" XDG_STATE_HOME="$work/state" HOME="$work/home" \
        timeout 300 "$bin/russet" "$@" > "$work/russet.log" 2>&1 || {
        code=$?
        tail -c 2000 "$work/russet.log" >&2
        fail "exit code $code: russet $*"
    }
}

# As client, but must fail, and say $1.
client_refused() {
    wanted=$1
    shift
    echo "  $* (must say: $wanted)" | sed "s|$work/||g; s|$RUSSET_INTEROP_DIR/pymobiledevice3/bin/||"
    HOME=$work/home timeout 120 "$@" > "$work/client.log" 2>&1 || true
    grep -q "$wanted" "$work/client.log" || {
        tail -c 2000 "$work/client.log" >&2
        fail "did not say '$wanted': $*"
    }
}

# The journal must hold no violation but those of the rules in $1 (an extended regular expression).
no_violations() {
    allowed=${1:-nothing is allowed}
    if grep '"event":"violation"' "$journal" | grep -vE "$allowed"; then
        fail "the client broke the protocol, or the phone judges wrongly"
    fi
}

# How the last run went: `true` for a full one.
last_run_is_full() {
    plan=$(grep '"event":"plan"' "$journal" | tail -n 1)
    case $plan in
    *"\"is_full\":$1"*) ;;
    *) fail "expected is_full $1: $plan" ;;
    esac
}

# Compares a folder of a client ($1) with the generator's ($2). The phone makes all 256 shards, the generator those it
# needs; Info.plist is the host's; Status.plist holds the id of the run.
same_backup() {
    rm -rf "$work/a" "$work/b"
    cp -R "$1" "$work/a"
    cp -R "$2" "$work/b"
    rm "$work/a/Info.plist" "$work/a/Status.plist" "$work/b/Info.plist" "$work/b/Status.plist"
    find "$work/a" -mindepth 1 -type d -empty -delete
    diff -r "$work/a" "$work/b" || fail "$1 is not the phone's backup"
    rm -rf "$work/a" "$work/b"
}

# What is on the phone, against the truth of a week.
same_files() {
    "$bin/russet-device" files --state "$1" > "$work/files.jsonl"
    diff "$2" "$work/files.jsonl" > "$work/files.diff" || {
        head -n 5 "$work/files.diff" >&2
        fail "the phone's files are not those of $2"
    }
}

have_idevice() {
    command -v idevicebackup2 >/dev/null || fail "idevicebackup2 is missing: apt-get install libimobiledevice-utils"
}

# Installs pymobiledevice3 unless that version is there; sets $pmd3.
install_pymobiledevice3() {
    environment=$RUSSET_INTEROP_DIR/pymobiledevice3
    if [ "$(cat "$environment/installed" 2>/dev/null)" != "$PYMOBILEDEVICE3" ]; then
        echo "installing $PYMOBILEDEVICE3 into $environment" >&2
        rm -rf "$environment"
        python3 -m venv "$environment"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$PYMOBILEDEVICE3"
        echo "$PYMOBILEDEVICE3" > "$environment/installed"
    fi
    pmd3=$environment/bin/pymobiledevice3
}
