"""The lesson's producer in the lesson's own calls: numbers from a person, or from a pipe, go into a ring of ten.

Try it in two terminals:    python examples/win32/producer.py    and    python examples/win32/consumer.py
Either may be a C program instead, on Windows or under Wine: the objects and the layout are the same.
"""

import ctypes
import sys

from penstock import win32

SLOTS = 10
HIGHEST = 2**32 - 1  # what fits an unsigned integer of 32 bits


def parse(line: str) -> int | None:
    """Return the number in a line; None if it is no whole number from 0 to HIGHEST."""
    text = line.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= HIGHEST else None


def check(result: int) -> int:
    """Return the result of a call, or end with its error."""
    if not result or result == win32.WAIT_FAILED:
        sys.exit(f"a call failed with error {win32.GetLastError()}")
    return result


def main() -> int:
    """Put numbers until 0, which is put too; return the exit code."""
    mutex = check(win32.CreateMutex(None, False, "lesson.mutex"))
    to_write = check(win32.CreateSemaphore(None, SLOTS, SLOTS, "lesson.write"))
    to_read = check(win32.CreateSemaphore(None, 0, SLOTS, "lesson.read"))
    nbytes = SLOTS * ctypes.sizeof(ctypes.c_uint)
    memory, access = win32.INVALID_HANDLE_VALUE, win32.PAGE_READWRITE
    mapping = check(win32.CreateFileMapping(memory, None, access, 0, nbytes, "lesson.numbers"))
    view = check(win32.MapViewOfFile(mapping, win32.FILE_MAP_WRITE, 0, 0, nbytes))
    numbers = (ctypes.c_uint * SLOTS).from_address(view)
    place, number, exit_code = 0, None, 0
    for line_number, line in enumerate(sys.stdin, 1):
        if (number := parse(line)) is None:
            print(f"line {line_number}: {line[:20]!r} is no number from 0 to {HIGHEST}", file=sys.stderr)
            exit_code = 1
            continue
        win32.WaitForSingleObject(to_write, win32.INFINITE)  # waits while all ten are taken
        win32.WaitForSingleObject(mutex, win32.INFINITE)  # also had if the other program died with it in hand
        numbers[place % SLOTS] = number
        win32.ReleaseMutex(mutex)
        win32.ReleaseSemaphore(to_read, 1)
        place += 1
        if number == 0:
            break
    for _ in range(SLOTS):  # the objects go with their last handle: stay until the other side has taken everything
        win32.WaitForSingleObject(to_write, win32.INFINITE)
    win32.ReleaseSemaphore(to_write, SLOTS)
    return exit_code if number == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
