#!/usr/bin/env python3
"""Packs a fuzzer's directory of cases into one file of the repository, and unpacks it.

    tools/corpus.py pack DIRECTORY FILE      tools/corpus.py unpack FILE DIRECTORY

In the file each case is its length, two bytes little-endian, and its bytes; shortest first, so that the file is the
same whatever the cases were called. The replay is crates/penstock-core/tests/corpus.rs.
"""

import sys
from pathlib import Path


def pack(directory: Path, file: Path) -> None:
    cases = {path.read_bytes() for path in directory.iterdir()}
    ordered = sorted(cases, key=lambda case: (len(case), case))
    file.write_bytes(b"".join(len(case).to_bytes(2, "little") + case for case in ordered))


def unpack(file: Path, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    data = file.read_bytes()
    number = 0
    while data:
        end = 2 + int.from_bytes(data[:2], "little")
        (directory / f"packed-{number:05}").write_bytes(data[2:end])
        data = data[end:]
        number += 1


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["pack", directory, file]:
            pack(Path(directory), Path(file))
        case ["unpack", file, directory]:
            unpack(Path(file), Path(directory))
        case _:
            sys.exit(__doc__)
