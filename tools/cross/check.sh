#!/bin/sh
# Systems that this machine is not, and has no stand-in for: the core is type-checked for macOS and for Microsoft's compiler,
# and its tests run as a program for aarch64 under qemu.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."

fail() {
    printf 'penstock %s\n' "$1" >&2
    exit 1
}

. "$here/packages.sh"
mkdir -p target
install_packages "on other systems" "make cross" target/cross-apt.log \
    rustc-web rust-web-src cargo-web gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user

for target in aarch64-apple-darwin x86_64-pc-windows-msvc; do
    RUSTFLAGS='-D warnings' "$here/cargo.sh" check --locked -p penstock-core --target "$target"
done

# Left out: what needs MADV_WIPEONFORK or MADV_DONTFORK, which qemu takes and does not do.
"$here/cargo.sh" test --locked -p penstock-core --target aarch64-unknown-linux-gnu --lib --tests -- \
    --skip a_child_inherits_from_its_dead_parent \
    --skip a_child_made_past_the_c_library \
    --skip a_fork_in_the_middle_of_a_reaping_does_not_keep_the_dead_alive \
    --skip a_forked_child_is_somebody_else
