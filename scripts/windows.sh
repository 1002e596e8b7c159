#!/bin/sh
# Type-checks for Windows all that is Rust in russet; RocksDB is left out. Nothing is linked or run.
#
# Crates that bring C would want a compiler for Windows; nobody looks at what it makes, so a stand-in makes empty files.
set -eu
cd "$(dirname -- "$0")/.."
target=x86_64-pc-windows-gnu
if ! [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ]; then
    rustup target add "$target" || {
        echo "windows: the standard library for $target could not be had; it needs rustup and its server once" >&2
        exit 1
    }
fi
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
cat > "$tools/cc" <<'CC'
#!/bin/sh
before=
for word in "$@"; do
    if [ "$before" = -o ]; then : > "$word"; fi
    before=$word
done
CC
cat > "$tools/ar" <<'AR'
#!/bin/sh
for word in "$@"; do
    case $word in *.a) printf '!<arch>\n' > "$word" ;; esac
done
AR
chmod +x "$tools/cc" "$tools/ar"
export CC_x86_64_pc_windows_gnu="$tools/cc" CXX_x86_64_pc_windows_gnu="$tools/cc" AR_x86_64_pc_windows_gnu="$tools/ar"
scripts/cargo.sh check -p russet -p russet-store --no-default-features --release --locked --target "$target" "$@"
