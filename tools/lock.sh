#!/bin/sh
# Pins requirements/dev.in into dev.txt, and bench.in into bench.txt. Runs on the oldest Python that penstock supports,
# because a package may have left that one behind, while what still serves it serves the newer ones too.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3.11}
"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    echo "The lock is made with Python 3.11: name one with 'make lock PYTHON=/path/to/python3.11'." >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" -m venv "$work"
"$work/bin/pip" install --quiet pip-tools
# lock NAME: pins requirements/NAME.in into requirements/NAME.txt.
lock() {
    echo "# Made by \`make lock\` from $1.in; the same for every supported Python." >"$work/$1.txt"
    "$work/bin/pip-compile" --quiet --upgrade --strip-extras --no-header --no-annotate --no-emit-options \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$work/pins.txt" "requirements/$1.in"
    cat "$work/$1.txt" "$work/pins.txt" >"requirements/$1.txt"
    rm "$work/pins.txt"
}
lock dev
lock bench # holds itself to the pins in dev.txt
