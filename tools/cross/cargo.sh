#!/bin/sh
# Runs cargo for another target than this machine's; tests then run under Wine or qemu.
. "$(dirname "$0")/toolchain.sh"
exec /usr/bin/cargo "$@"
