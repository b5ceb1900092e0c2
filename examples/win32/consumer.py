"""The lesson's consumer in the lesson's own calls: prints each number from the ring of ten, then sleeps as many ms.

Try it in two terminals:    python examples/win32/producer.py    and    python examples/win32/consumer.py
Either may be a C program instead, on Windows or under Wine: the objects and the layout are the same.
"""

import ctypes
import sys
import time

from penstock import win32

SLOTS = 10


def check(result: int) -> int:
    """Return the result of a call, or end with its error."""
    if not result or result == win32.WAIT_FAILED:
        sys.exit(f"a call failed with error {win32.GetLastError()}")
    return result


def main() -> None:
    """Print numbers until 0, which is printed too."""
    mutex = check(win32.CreateMutex(None, False, "lesson.mutex"))
    to_write = check(win32.CreateSemaphore(None, SLOTS, SLOTS, "lesson.write"))
    to_read = check(win32.CreateSemaphore(None, 0, SLOTS, "lesson.read"))
    nbytes = SLOTS * ctypes.sizeof(ctypes.c_uint)
    memory, access = win32.INVALID_HANDLE_VALUE, win32.PAGE_READWRITE
    mapping = check(win32.CreateFileMapping(memory, None, access, 0, nbytes, "lesson.numbers"))
    view = check(win32.MapViewOfFile(mapping, win32.FILE_MAP_READ, 0, 0, nbytes))
    numbers = (ctypes.c_uint * SLOTS).from_address(view)
    place = 0
    while True:
        win32.WaitForSingleObject(to_read, win32.INFINITE)  # waits while there is none
        if win32.WaitForSingleObject(mutex, win32.INFINITE) == win32.WAIT_ABANDONED:
            print("the other program died with the mutex in hand", file=sys.stderr)
        number = numbers[place % SLOTS]
        win32.ReleaseMutex(mutex)
        win32.ReleaseSemaphore(to_write, 1)
        place += 1
        print(number, flush=True)
        if number == 0:
            return
        time.sleep(number / 1000)


if __name__ == "__main__":
    main()
