#!/bin/sh
# Installs what a build needs and this computer lacks, or says exactly what to install.
#
#   scripts/setup.sh [interop|soak]
#
# Does nothing, and needs no network, where everything is there.
set -eu
purpose=${1:-build}

have() { command -v "$1" >/dev/null 2>&1; }

have_libclang() {
    if [ -n "${LIBCLANG_PATH:-}" ]; then return 0; fi
    if have ldconfig || [ -x /sbin/ldconfig ]; then
        PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q 'libclang[-.]' && return 0
    fi
    for library in /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang-*.so* /usr/lib64/libclang.so* \
        /Library/Developer/CommandLineTools/usr/lib/libclang.dylib \
        /Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib/libclang.dylib \
        /opt/homebrew/opt/llvm/lib/libclang.dylib /usr/local/opt/llvm/lib/libclang.dylib; do
        [ -e "$library" ] && return 0
    done
    return 1
}

# What python3 -m venv needs beside venv itself; Debian ships it apart.
have_venv() { have python3 && python3 -c 'import venv, ensurepip' >/dev/null 2>&1; }

missing=
need() { missing="$missing $1"; }

have cargo || {
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
        echo "setup: cargo is in $HOME/.cargo/bin, which is not in PATH" >&2
    else
        echo "setup: there is no cargo; install Rust with rustup (https://rustup.rs)" >&2
    fi
    exit 1
}
have make || need make
have g++ || have c++ || need g++
have_libclang || need libclang
case $purpose in
build) ;;
interop)
    have_venv || need python3-venv
    have idevicebackup2 || need libimobiledevice-utils ;;
soak) if [ "$(uname -s)" = Linux ] && ! have strace; then need strace; fi ;;
*) echo "usage: setup.sh [interop|soak]" >&2; exit 2 ;;
esac
[ -z "$missing" ] && exit 0

if [ "$(uname -s)" = Darwin ]; then
    echo "setup: missing:$missing" >&2
    echo "  install the Xcode command line tools: xcode-select --install" >&2
    echo "  and, if libclang is still missing:    brew install llvm" >&2
    echo "  and, for interop:                     brew install libimobiledevice" >&2
    exit 1
fi

packages=
for item in $missing; do
    case $item in
    libclang)
        # The oldest that RocksDB's bindings are known to work with, or what this release calls the current one.
        if have apt-cache && apt-cache show libclang1-14 >/dev/null 2>&1; then
            packages="$packages libclang1-14 libclang-common-14-dev"
        else
            packages="$packages libclang-dev"
        fi ;;
    *) packages="$packages $item" ;;
    esac
done

as_root=
if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
if ! have apt-get || { [ -n "$as_root" ] && ! $as_root true 2>/dev/null; }; then
    echo "setup: missing:$missing" >&2
    echo "  on Debian and Ubuntu, as root: apt-get install$packages" >&2
    echo "  elsewhere: a C++ compiler, make, libclang with its headers, python3 with venv, strace" >&2
    exit 1
fi
echo "setup: installing$packages"
$as_root apt-get update -q
# shellcheck disable=SC2086 # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
