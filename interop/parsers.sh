# The independent parsers and where they are installed. Sourced by check_backup.sh; run it to install them all.
#
# Each has an environment of its own, because mvt asks for an older iphone_backup_decrypt. They live outside the tree,
# under RUSSET_INTEROP_DIR. Versions are those the checks were written against.
RUSSET_INTEROP_DIR=${RUSSET_INTEROP_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/russet/interop}

requirement_of() {
    case $1 in
    iphone_backup_decrypt) echo "iphone_backup_decrypt==0.11.2" ;;
    pyiosbackup) echo "pyiosbackup==0.2.4" ;;
    ios-backup-browser) echo "ios-backup-browser==0.1.4" ;;
    mvt) echo "mvt==2026.10.26" ;;
    *) echo "parsers.sh: unknown parser $1" >&2; return 1 ;;
    esac
}

python_of() {
    echo "$RUSSET_INTEROP_DIR/$1/bin/python"
}

# Installs a parser unless that version is there.
install_parser() {
    requirement=$(requirement_of "$1") || return 1
    environment=$RUSSET_INTEROP_DIR/$1
    if [ "$(cat "$environment/installed" 2>/dev/null)" != "$requirement" ]; then
        echo "installing $requirement into $environment" >&2
        rm -rf "$environment"
        python3 -m venv "$environment"
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check "$requirement"
        echo "$requirement" > "$environment/installed"
    fi
}

case ${0##*/} in
parsers.sh)
    set -eu
    for parser in iphone_backup_decrypt pyiosbackup ios-backup-browser mvt; do
        install_parser "$parser"
    done
    ;;
esac
