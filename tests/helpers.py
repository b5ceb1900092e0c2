"""What tests run in children, and small things that several test files share. Children import this file by its name."""

from __future__ import annotations

import os
import sys
from typing import Any

import penstock
from penstock import testing

PATIENCE_SECONDS = 20.0
"""How long a test waits for what must come; never waited to the end when all is well."""


def put_all(name: str, items: list[Any]) -> None:
    """Put items one by one, in a child."""
    with penstock.Queue(name) as q:
        for item in items:
            q.put(item, timeout=PATIENCE_SECONDS)


def get_some(name: str, count: int) -> list[Any]:
    """Get so many items one by one, in a child."""
    with penstock.Queue(name) as q:
        return [q.get(timeout=PATIENCE_SECONDS) for _ in range(count)]


def use_handle(handle: Any) -> dict[str, Any]:
    """Say what a handle that arrived in a child by a pickle is."""
    return {"type": type(handle).__name__, "name": handle.name, "path": handle.path, "pid": os.getpid()}


def say_hello_and_wait(greeting: str) -> Any:
    """Send the parent a greeting, and return what it answers."""
    testing.send(greeting)
    return testing.receive(PATIENCE_SECONDS)


def open_beside_others(path: str, flags: int) -> int:
    """Open a file that others have open and may remove; an opener for `open`. On Windows Python's own forbids both."""
    if sys.platform == "win32":
        import ctypes
        import msvcrt

        create = ctypes.WinDLL("kernel32", use_last_error=True).CreateFileW
        create.restype = ctypes.c_void_p
        read_and_write, share_all, open_existing = 0xC0000000, 7, 3
        handle = create(ctypes.c_wchar_p(path), read_and_write, share_all, None, open_existing, 0, None)
        if handle == ctypes.c_void_p(-1).value:
            raise ctypes.WinError(ctypes.get_last_error())
        return msvcrt.open_osfhandle(handle, flags)
    return os.open(path, flags)
