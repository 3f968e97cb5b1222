#!/bin/sh
# Installs fiona-ledger from this folder. Needs Python with its module venv, and no network.
#
#   ./install.sh [--prefix FOLDER] [--python PROGRAM]
#   ./install.sh [--prefix FOLDER] --roll-back
#
# Each version gets a folder of its own below PREFIX/versions; PREFIX/current leads to the one in use, and is turned over
# when all of the new one is there. Harmless to repeat. --roll-back turns it to the version before.
set -eu

prefix=/opt/fiona-ledger
python=python3
back=no
while [ $# -gt 0 ]; do
    case $1 in
        --prefix) prefix=${2:?--prefix: expected a folder}; shift 2 ;;
        --python) python=${2:?--python: expected a program}; shift 2 ;;
        --roll-back) back=yes; shift ;;
        -h|--help) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "install.sh: expected --prefix, --python or --roll-back, found $1" >&2; exit 2 ;;
    esac
done

turn() {  # PREFIX/current leads to this version from now on, in one step
    ln -s "versions/$1" "$prefix/current.new"
    mv -T "$prefix/current.new" "$prefix/current"
    for part in bin lib pyvenv.cfg; do  # without the last two, PREFIX/bin/python would not find the program
        [ -L "$prefix/$part" ] || ln -s "current/$part" "$prefix/$part"
    done
}

in_use() { [ ! -L "$prefix/current" ] || basename "$(readlink "$prefix/current")"; }

rm -f "$prefix/current.new"
if [ $back = yes ]; then
    [ -s "$prefix/before" ] || { echo "install.sh: $prefix has no version before this one" >&2; exit 2; }
    now=$(in_use)
    turn "$(cat "$prefix/before")"
    echo "$now" > "$prefix/before"
    echo "In use: $(in_use), as before. A ledger that the newer one has migrated needs the newer one."
    exit 0
fi

here=$(cd "$(dirname "$0")" && pwd)
(cd "$here" && sha256sum --quiet --check SHA256SUMS) || { echo "install.sh: $here is not as it was made" >&2; exit 2; }
"$python" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' ||
    { echo "install.sh: expected Python 3.11 or newer with its module venv; name one: --python PROGRAM" >&2; exit 2; }

version=$(sed -n 's/^fiona-ledger==\([^ ]*\) .*/\1/p' "$here/requirements.txt")-$(sha256sum "$here/requirements.txt" | cut -c1-12)
if [ ! -e "$prefix/versions/$version/whole" ]; then
    rm -rf "$prefix/versions/$version"
    mkdir -p "$prefix/versions"
    "$python" -m venv --without-pip "$prefix/versions/$version"
    pip=$(echo "$here"/wheels/pip-*.whl)
    "$prefix/versions/$version/bin/python" "$pip/pip" install --quiet --no-cache-dir --disable-pip-version-check \
        --no-index --no-deps --require-hashes --find-links "$here/wheels" --requirement "$here/requirements.txt"
    "$prefix/versions/$version/bin/fiona-ledger" --version > /dev/null
    touch "$prefix/versions/$version/whole"
fi
before=$(in_use)
if [ "$before" != "$version" ]; then
    [ -z "$before" ] || echo "$before" > "$prefix/before"
    turn "$version"
fi
echo "In use: $version. Go on with $prefix/bin/fiona-ledger init, or after an upgrade with fiona-ledger-as-service migrate."
