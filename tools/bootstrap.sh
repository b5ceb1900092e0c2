#!/bin/sh
# Readies a checkout for the Makefile: looks for the tools that must be there, then builds .venv from the pinned
# requirements. What is missing is said in one sentence with its remedy. A second run finds all in place and does nothing.
#
# Environment: PYTHON  the interpreter to use; without it python3, then python3.14 down to python3.11.
set -eu
cd "$(dirname "$0")/.."

LOCK=requirements/dev.txt
MARK=.venv/.bootstrapped # written last, so an interrupted run starts over
MIN_PYTHON=$(sed -n 's/^requires-python *= *">=\([0-9.]*\)".*/\1/p' pyproject.toml)
MIN_RUST=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)

fail() {
    printf 'penstock %s\n' "$1" >&2
    exit 1
}

# at_least 1.95.0 1.88: is the first version not older than the second? Looks at major and minor only.
at_least() {
    awk -v have="$1" -v need="$2" 'BEGIN { split(have, h, "."); split(need, n, ".")
        exit !(h[1] + 0 > n[1] + 0 || (h[1] + 0 == n[1] + 0 && h[2] + 0 >= n[2] + 0)) }'
}

check_rust() {
    command -v cargo >/dev/null 2>&1 ||
        fail "needs cargo, Rust's build tool, which was not found: install Rust $MIN_RUST or newer (https://rustup.rs) and run make again."
    if ! have=$(rustc --version 2>/dev/null) || ! cargo --version >/dev/null 2>&1; then
        if command -v rustup >/dev/null 2>&1; then
            fail "needs Rust, and rustup has no working toolchain here: run 'rustup default stable' and then make again."
        fi
        fail "needs Rust, and cargo or rustc does not run: install Rust $MIN_RUST or newer (https://rustup.rs) and run make again."
    fi
    have=$(printf '%s\n' "$have" | awk '{ print $2 }')
    if ! at_least "$have" "$MIN_RUST"; then
        rustup=$(command -v rustup || true)
        if [ -n "$rustup" ] && [ "${rustup%/*}" != "$(dirname "$(command -v rustc)")" ]; then
            fail "needs Rust $MIN_RUST or newer, and $(command -v rustc) is $have: put ${rustup%/*} first in PATH and run make again."
        fi
        if [ -n "$rustup" ]; then
            fail "needs Rust $MIN_RUST or newer, and this is $have: run 'rustup update stable' and then make again."
        fi
        fail "needs Rust $MIN_RUST or newer, and this is $have: install a newer one (https://rustup.rs) and run make again."
    fi
}

check_linker() {
    if env | grep -q '^CARGO_TARGET_.*_LINKER='; then
        return 0 # the user links with something else, and knows why
    fi
    command -v cc >/dev/null 2>&1 ||
        fail "needs a C compiler to link with, and there is no 'cc': install one (Debian, Ubuntu: apt install gcc libc6-dev) and run make again."
    try=$(mktemp)
    if ! echo 'int main(void) { return 0; }' | cc -x c - -o "$try" 2>/dev/null; then
        rm -f "$try"
        fail "needs a C compiler to link with, and 'cc' cannot link a program: install the C library's files (Debian, Ubuntu: apt install libc6-dev) and run make again."
    fi
    rm -f "$try"
}

# Sets `python` to an interpreter that is CPython, new enough, and can make virtual environments.
choose_python() {
    tried= # the first unfit one, and why: that is what the person wants to hear of
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.14 python3.13 python3.12 python3.11
    fi
    for python; do
        have=$("$python" -c 'import platform as p; print(p.python_implementation(), p.python_version())' 2>/dev/null) || continue
        if [ "${have% *}" != CPython ]; then
            tried=${tried:-"needs CPython $MIN_PYTHON or newer, and $python is $have: name another with 'make PYTHON=/path/to/python3'."}
        elif ! at_least "${have#* }" "$MIN_PYTHON"; then
            tried=${tried:-"needs Python $MIN_PYTHON or newer, and $python is ${have#* }: install a newer one, or name it with 'make PYTHON=/path/to/python3'."}
        elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
            tried=${tried:-"needs Python's venv module, which $python does not have: install it (Debian, Ubuntu: apt install python3-venv) and run make again."}
        else
            return 0
        fi
    done
    if [ -n "${PYTHON:-}" ]; then
        fail "${tried:-"cannot run PYTHON=$PYTHON: name a Python $MIN_PYTHON or newer."}"
    fi
    fail "${tried:-"needs Python $MIN_PYTHON or newer, and there is no python3: install it and run make again."}"
}

# identity PYTHON: what tells two installations of Python apart.
identity() {
    "$1" -c 'import sys; print(sys.version, sys.base_prefix)' 2>/dev/null
}

# The environment holds absolute paths, so a checkout that was moved or copied gets a new one.
mark() {
    echo "$(pwd) $(cksum <"$LOCK")"
}

venv_is_ready() {
    [ "$(cat "$MARK" 2>/dev/null)" = "$(mark)" ] || return 1
    have=$(identity .venv/bin/python) || return 1 # the Python that it was made from may be gone
    [ -z "${PYTHON:-}" ] || [ "$(identity "$PYTHON")" = "$have" ]
}

make_venv() {
    check_linker
    choose_python
    echo "Installing the pinned tools into .venv with Python ${have#* } (once) ..."
    rm -rf .venv
    "$python" -m venv .venv ||
        fail "could not make a virtual environment with $python: see above, or name another with 'make PYTHON=/path/to/python3'."
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -r "$LOCK" ||
        fail "could not install its pinned tools ($LOCK): see pip's message above; it needs the network once."
    mark >"$MARK"
}

check_rust
venv_is_ready || make_venv
