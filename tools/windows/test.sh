#!/bin/bash
# Tries everything on Windows, as Wine and a Windows CPython stand for it: the core's tests, then the wheel with its programs
# and the Python tests. What a machine lacks for that is said in one sentence, and is a failure.
. "$(dirname "$0")/common.sh"
set -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
"$here/setup.sh"
trap 'wineserver -k || true' EXIT

"$here/../cross/cargo.sh" test --locked -p penstock-core --target "$target" --features crash-points --lib --test windows

(
    . "$here/../cross/toolchain.sh"
    rm -rf dist/windows
    .venv/bin/python -m maturin build --release --locked --target "$target" --out dist/windows
)
# pip of the Windows Python itself, because it makes the programs: penstock.exe, penstock-producer.exe, penstock-consumer.exe.
"$here/python.sh" -m pip install --quiet --no-index --no-deps --force-reinstall dist/windows/*.whl
"$here/python.sh" -m pytest -p no:cacheprovider "$@"
