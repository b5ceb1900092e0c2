#!/bin/sh
# Pins requirements/dev.in into requirements/dev.txt. Runs on the oldest Python that penstock supports, because a
# package may have left that one behind, while what still serves it serves the newer ones too.
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
echo '# Made by `make lock` from dev.in; the same for every supported Python.' >"$work/dev.txt"
"$work/bin/pip-compile" --quiet --upgrade --strip-extras --no-header --no-annotate --no-emit-options \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "$work/pins.txt" requirements/dev.in
cat "$work/dev.txt" "$work/pins.txt" >requirements/dev.txt
