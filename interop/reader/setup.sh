#!/bin/sh
# Makes a Python environment outside the tree with the four packages that docs/russet_reader.py needs.
# Then: "$(interop/reader/setup.sh)" interop/reader/test_reader.py
set -eu
folder="${RUSSET_INTEROP_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/russet/interop}/reader"
python="$folder/bin/python"
if ! "$python" -c 'import argon2, blake3, cryptography, zstandard' 2>/dev/null; then
    python3 -m venv "$folder"
    "$python" -m pip install --quiet --disable-pip-version-check \
        'blake3>=1.0,<2' 'cryptography>=42' 'argon2-cffi>=23.1' 'zstandard>=0.22' >&2
fi
echo "$python"
