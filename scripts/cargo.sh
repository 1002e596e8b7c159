#!/bin/sh
# cargo, with the environment that keeps one build of RocksDB.
#
# RocksDB takes 26 minutes of processor time and is built again whenever the profile, RUSTFLAGS, CXX or bindgen's
# arguments change. So every script and every target of the Makefile comes through here, with --release.
set -eu

if [ -z "${CXX:-}" ] && command -v ccache >/dev/null 2>&1; then
    CXX="ccache g++"
    export CXX
fi

# libclang without its own headers finds no stdbool.h; the compiler has one.
if [ -z "${BINDGEN_EXTRA_CLANG_ARGS:-}" ] && [ "$(uname -s)" = Linux ]; then
    found=
    for header in /usr/lib/llvm-*/lib/clang/*/include/stdbool.h /usr/lib/clang/*/include/stdbool.h \
        /usr/lib64/clang/*/include/stdbool.h "${LIBCLANG_PATH:-/nowhere}"/clang/*/include/stdbool.h; do
        if [ -f "$header" ]; then found=$header; break; fi
    done
    if [ -z "$found" ] && command -v gcc >/dev/null 2>&1; then
        BINDGEN_EXTRA_CLANG_ARGS="-I$(gcc -print-file-name=include)"
        export BINDGEN_EXTRA_CLANG_ARGS
    fi
fi

exec cargo "$@"
