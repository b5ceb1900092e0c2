#!/bin/sh
# Runs cargo for another target than this machine's, with the standard library built from source: Debian has that of
# rustc-web in a package, while a toolchain of rustup would have to fetch one for each target.
. "$(dirname "$0")/common.sh"
export PATH="/usr/bin:$PATH" CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_unwind,test
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER="$(cd "$(dirname "$0")" && pwd)/run.sh"
unset RUSTUP_TOOLCHAIN RUSTC_WRAPPER
exec /usr/bin/cargo "$@"
