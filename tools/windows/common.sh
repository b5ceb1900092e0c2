# Sourced by the scripts beside it: where things lie, and how each says what is missing.
#
# Environment: PENSTOCK_WINDOWS_CACHE  the folder for what is fetched and assembled once (default ~/.cache/penstock/windows)
set -eu

cache=${PENSTOCK_WINDOWS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/penstock/windows}
python_dir=$cache/python
target=x86_64-pc-windows-gnu

# Wine without a display, without its debugger's chatter, and with a prefix of its own.
export WINEPREFIX="$cache/prefix"
export WINEDEBUG="${WINEDEBUG:--all}"
export WINEARCH=win64
export WINEDLLOVERRIDES="mscoree,mshtml,winedbg.exe=" # no offer of Mono and Gecko, no debugger that waits
unset DISPLAY
# Wine makes files with Unix modes and shows these as access lists; in a user's own folders Windows lets in nobody else.
umask 077

fail() {
    printf 'penstock %s\n' "$1" >&2
    exit 1
}
