#!/bin/sh
# Readies a Debian machine for Windows: packages, a Wine prefix, and in the cache folder a Windows CPython with what the
# tests need. What is in place is left alone; a second run takes a moment.
#
# There is no Windows CPython on PyPI as such, but the wheel of panda3d carries the unmodified one of python.org for
# programs frozen with it. A `python.exe` around its DLL, and the modules in Python of a Linux CPython of the same version,
# make it whole. It is for tests on this machine: nothing of it is ever distributed.
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/../cross/packages.sh"
cd "$(dirname "$0")/../.."

PACKAGES="wine wine64 gcc-mingw-w64-x86-64 binutils-mingw-w64-x86-64 rustc-web rust-web-src cargo-web"
RUNTIME=panda3d==1.10.16
VERSION=3.11
LOCK=requirements/windows.txt
mark=$cache/.ready
want="$(cat "$0" "$LOCK" | cksum) $VERSION"

# Sets `linux_python` to a Linux CPython of the version to assemble.
find_linux_python() {
    for linux_python in "${PYTHON:-python$VERSION}" "python$VERSION" .venv/bin/python; do
        have=$("$linux_python" -c 'import sys, pip; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        [ "$have" != "$VERSION" ] || return 0
    done
    fail "cannot be tried on Windows yet: it needs a Linux Python $VERSION with pip, for the modules; name it with PYTHON=."
}

pip_for_windows() {
    "$linux_python" -m pip --quiet --disable-pip-version-check "$@" --no-deps --only-binary=:all: --platform win_amd64 \
        --python-version "$VERSION" --implementation cp
}

unpack_runtime() {
    "$linux_python" - "$1" "$2" <<'P'
import pathlib
import sys
import zipfile

wheel, out = next(pathlib.Path(sys.argv[1]).glob("*.whl")), pathlib.Path(sys.argv[2])
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.namelist():
        file = pathlib.PurePosixPath(entry)
        lower = file.name.lower()
        # Wine brings the api-ms-* forwarders itself; Tk needs a display.
        if file.parts[0] != "deploy_libs" or lower.startswith(("api-ms-", "tcl", "tk", "_tkinter")):
            continue
        is_beside_exe = lower.startswith(("python3", "vcruntime"))
        (out / ("" if is_beside_exe else "DLLs") / file.name).write_bytes(archive.read(entry))
P
}

copy_modules() {
    from=$("$linux_python" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    tar -cf - -C "$from" --exclude=__pycache__ --exclude=lib-dynload --exclude=test --exclude=tests \
        --exclude=site-packages --exclude=dist-packages --exclude=idlelib --exclude=tkinter --exclude='config-*' \
        --exclude='_sysconfigdata*' --exclude=turtledemo . | tar -xf - -C "$1/Lib"
}

build_around() {
    dll=python$(echo "$VERSION" | tr -d .)
    cc=x86_64-w64-mingw32-gcc
    $cc -municode -O2 -s -DDLL="L\"$dll.dll\"" -o "$2/python.exe" tools/windows/python.c
    $cc -shared -O2 -s -o "$2/bcryptprimitives.dll" tools/windows/bcryptprimitives.c -ladvapi32
    # Extensions for the stable ABI import python3.dll: each of its functions is the one of the same name in the real DLL.
    x86_64-w64-mingw32-objdump -p "$2/$dll.dll" |
        awk '/\[Ordinal\/Name Pointer\] Table/ { on = 1; next } on && /\[ *[0-9]+\]/ { print $NF }' | grep -E '^_?Py' >"$1/names"
    { printf 'LIBRARY "python3.dll"\nEXPORTS\n'; sed "s/.*/  & = $dll.&/" "$1/names"; } >"$1/python3.def"
    echo 'int __stdcall DllMainCRTStartup(void *a, unsigned b, void *c) { return 1; }' >"$1/python3.c"
    $cc -shared -nostdlib -e DllMainCRTStartup -o "$2/python3.dll" "$1/python3.c" "$1/python3.def"
}

make_prefix() {
    [ -e "$WINEPREFIX/system.reg" ] && return 0
    wineboot --init >"$cache/wineboot.log" 2>&1 ||
        fail "cannot be tried on Windows here: Wine cannot make its prefix; $cache/wineboot.log says why."
    # No graphics at all: DDE and the clipboard's windows work without a display then.
    wine reg add 'HKCU\Software\Wine\Drivers' /v Graphics /d null /f >/dev/null 2>&1
    wineserver -w
}

assemble() {
    find_linux_python
    echo "Assembling a Windows Python $VERSION in $python_dir (once) ..."
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir -p "$work/wheel" "$work/python/DLLs" "$work/python/Lib/site-packages"
    pip_for_windows download -d "$work/wheel" "$RUNTIME" ||
        fail "cannot be tried on Windows here: pip could not fetch $RUNTIME, which carries Windows' Python."
    unpack_runtime "$work/wheel" "$work/python"
    copy_modules "$work/python"
    build_around "$work" "$work/python"
    pip_for_windows install --target "$work/python/Lib/site-packages" -r "$LOCK" ||
        fail "cannot be tried on Windows here: pip could not fetch what $LOCK lists."
    rm -rf "$python_dir"
    mv "$work/python" "$python_dir"
    echo "$want" >"$mark"
}

mkdir -p "$cache"
install_packages "on Windows" "make windows" "$cache/apt.log" $PACKAGES # shellcheck disable=SC2086
make_prefix
[ "$(cat "$mark" 2>/dev/null)" = "$want" ] || assemble
