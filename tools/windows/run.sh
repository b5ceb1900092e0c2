#!/bin/bash
# Runs a Windows program: what cargo calls for tests. Rust's standard library finds its one missing DLL beside it.
. "$(dirname "$0")/common.sh"
set -o pipefail
cp -u "$python_dir/bcryptprimitives.dll" "$(dirname "$1")/"
wine "$@" </dev/null 2>&1 | cat
