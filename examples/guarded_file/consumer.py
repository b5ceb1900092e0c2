"""The other side of a file on disk, guarded by a named mutex: prints each number, then sleeps as many milliseconds.

Try it in two terminals, in one directory:

    python examples/guarded_file/producer.py    and    python examples/guarded_file/consumer.py
"""

import os
import time
from array import array
from pathlib import Path

import penstock

FILE = Path("numbers.bin")  # what waits to be read, as unsigned integers of 32 bits
ASK_AGAIN_SECONDS = 0.001


def take() -> int | None:
    """Remove the oldest number from the file and return it; None if there is none. The mutex is held."""
    numbers = array("I", FILE.read_bytes() if FILE.exists() else b"")
    if not numbers:
        return None
    number = numbers.pop(0)
    new = FILE.with_suffix(".new")
    new.write_bytes(numbers)
    os.replace(new, FILE)  # the old file or the new one, even if this program is killed here
    return number


def get(mutex: penstock.Mutex) -> int:
    """Remove the oldest number and return it, and wait while there is none."""
    while True:
        with mutex:
            number = take()
        if number is not None:
            return number
        time.sleep(ASK_AGAIN_SECONDS)


def main() -> None:
    """Print numbers until 0, which is printed too."""
    mutex = penstock.Mutex("numbers-file", lifetime="while_open")
    while (number := get(mutex)) != 0:
        print(number, flush=True)
        time.sleep(number / 1000)
    print(number, flush=True)


if __name__ == "__main__":
    main()
