#!/bin/sh
# Prints the folder that cargo builds into.
set -eu
cd "$(dirname -- "$0")/.."
if [ -n "${CARGO_TARGET_DIR:-}" ]; then
    echo "$CARGO_TARGET_DIR"
else
    cargo metadata --format-version 1 --no-deps --locked --offline |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
fi
