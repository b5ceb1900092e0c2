#!/bin/bash
# Runs the Windows Python with the arguments given, as `python` would; made ready by setup.sh.
. "$(dirname "$0")/common.sh"
set -o pipefail
# Its output has to be pipes: CPython refuses to start with Wine's handles of plain files. Both are told apart.
{ wine "$python_dir/python.exe" -X utf8 "$@" 2>&3 </dev/null | cat; } 3> >(cat >&2)
