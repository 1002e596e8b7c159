#!/bin/sh
# cargo-deny over deny.toml: licences, bans and sources always; advisories where their database can be had.
set -eu
cd "$(dirname -- "$0")/.."
version=0.20.2
tools=${XDG_CACHE_HOME:-$HOME/.cache}/russet/tools

if [ "$("$tools/bin/cargo-deny" --version 2>/dev/null || true)" != "cargo-deny $version" ]; then
    echo "deny: building cargo-deny $version into $tools, once"
    if ! CARGO_TARGET_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/russet/target-deny" \
        cargo install cargo-deny --locked --version "$version" --root "$tools"; then
        echo "deny: cargo-deny could not be installed; it needs crates.io once" >&2
        exit 1
    fi
fi

"$tools/bin/cargo-deny" --locked check licenses bans sources

if "$tools/bin/cargo-deny" --locked fetch db >/dev/null 2>&1; then
    "$tools/bin/cargo-deny" --locked check advisories
else
    echo "deny: ADVISORIES WERE NOT CHECKED: their database (github.com/rustsec/advisory-db) cannot be fetched from here"
fi
