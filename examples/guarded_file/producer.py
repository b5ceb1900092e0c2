"""The lesson's first option: a file on disk, guarded by a named mutex. The price of it: whoever waits has to ask again.

Start `python examples/guarded_file/producer.py` and `.../consumer.py` in two terminals, in one directory.
"""

import os
import sys
import time
from array import array
from pathlib import Path

import penstock

SLOTS = 10
HIGHEST = 2**32 - 1  # what fits an unsigned integer of 32 bits
FILE = Path("numbers.bin")  # what waits to be read, as unsigned integers of 32 bits
ASK_AGAIN_SECONDS = 0.001


def parse(line: str) -> int | None:
    """Return the number in a line; None if it is no whole number from 0 to HIGHEST."""
    text = line.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= HIGHEST else None


def put(mutex: penstock.Mutex, number: int) -> None:
    """Add a number to the file, and wait while it has ten."""
    while True:
        with mutex:
            numbers = array("I", FILE.read_bytes() if FILE.exists() else b"")
            if len(numbers) < SLOTS:
                numbers.append(number)
                new = FILE.with_suffix(".new")
                new.write_bytes(numbers)
                os.replace(new, FILE)  # the old file or the new one, even if this program is killed here
                return
        time.sleep(ASK_AGAIN_SECONDS)


def main() -> int:
    """Put numbers until 0, which is put too; return the exit code."""
    exit_code = 0
    mutex = penstock.Mutex("numbers-file", lifetime="while_open")
    for line_number, line in enumerate(sys.stdin, 1):
        number = parse(line)
        if number is None:
            print(f"line {line_number}: {line[:20]!r} is no number from 0 to {HIGHEST}", file=sys.stderr)
            exit_code = 1
            continue
        put(mutex, number)
        if number == 0:
            return exit_code
    return 1


if __name__ == "__main__":
    sys.exit(main())
