# Sourced: Debian's Rust for other targets than this machine's, with the standard library built from source. Debian has that
# source in a package; a toolchain of rustup would have to fetch a built library for each target.
export PATH="/usr/bin:$PATH" CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc
export RUSTC_BOOTSTRAP=1 CARGO_UNSTABLE_BUILD_STD=std,panic_unwind,test
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/cross"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=x86_64-w64-mingw32-gcc
CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER="$(cd "$(dirname "$0")/../windows" && pwd)/run.sh"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
unset RUSTUP_TOOLCHAIN RUSTC_WRAPPER
