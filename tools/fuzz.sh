#!/bin/sh
# Fuzzes live objects and opens, each for so many seconds, from the cases that are kept. What does harm is kept in
# fuzz/artifacts; the cases found on the way in fuzz/corpus-work.
#
# Environment: SECONDS_EACH  how long each target runs (default 60)
#              SANITIZER     address, or none: several times as quick, and the guard pages around maps remain
set -eu
cd "$(dirname "$0")/.."

fail() {
    printf 'penstock %s\n' "$1" >&2
    exit 1
}

cargo +nightly --version >/dev/null 2>&1 ||
    fail "is fuzzed with a nightly Rust, which is not installed: run 'rustup toolchain install nightly' and then make fuzz again."
cargo fuzz --version >/dev/null 2>&1 ||
    fail "is fuzzed with cargo-fuzz, which is not installed: run 'cargo install cargo-fuzz --locked' and then make fuzz again."
command -v c++ >/dev/null 2>&1 ||
    fail "is fuzzed with libFuzzer, which needs a C++ compiler: install one (Debian, Ubuntu: apt install g++) and run make fuzz again."

for target in live open; do
    python3 tools/corpus.py unpack "crates/penstock-core/tests/corpus/$target.bin" "fuzz/corpus-work/$target"
    cargo +nightly fuzz run --fuzz-dir fuzz -O --sanitizer "${SANITIZER:-address}" "$target" "fuzz/corpus-work/$target" -- \
        -max_len=128 -timeout=60 -max_total_time="${SECONDS_EACH:-60}" -print_final_stats=1
done
