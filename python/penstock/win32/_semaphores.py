"""The calls of semaphores."""

from __future__ import annotations

from functools import partial
from typing import Any

from penstock.win32 import _session
from penstock.win32._constants import ERROR_INVALID_PARAMETER, SEMAPHORE_MODIFY_STATE
from penstock.win32._failure import Failure
from penstock.win32._handles import DWORD, create, fails_with, handle_of, open_
from penstock.win32._table import COUNT, LIMIT, SEMAPHORE


@fails_with(0)
def CreateSemaphore(lpSemaphoreAttributes: Any, lInitialCount: int, lMaximumCount: int, lpName: str | None) -> int:
    """Open the semaphore of this name, or create one.

    Args:
        lpSemaphoreAttributes: None; anything else counts as None.
        lInitialCount: The count of a new one, 0 to lMaximumCount.
        lMaximumCount: The highest count of a new one, 1 to 2147483647.
        lpName: The name; None or "" for none.

    Returns:
        A handle, and the last error says ERROR_ALREADY_EXISTS or 0; 0 on failure.

    If killed: the semaphore goes with its last handle; what this process had taken stays taken.
    """
    initial, maximum = _signed(lInitialCount), _signed(lMaximumCount)
    if not 0 <= initial <= maximum or maximum == 0:
        raise Failure(ERROR_INVALID_PARAMETER)
    return create(_session.current(), SEMAPHORE, lpName, lambda _index: {COUNT: initial, LIMIT: maximum})


@fails_with(0)
def OpenSemaphore(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the semaphore of this name.

    Args:
        dwDesiredAccess: SYNCHRONIZE for waiting, SEMAPHORE_MODIFY_STATE for releasing, or SEMAPHORE_ALL_ACCESS.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return open_(SEMAPHORE, dwDesiredAccess, lpName)


@fails_with(False)
def ReleaseSemaphore(hSemaphore: int, lReleaseCount: int, lpPreviousCount: Any = None) -> bool:
    """Add to a semaphore's count, and so let as many go on that wait for it.

    Args:
        hSemaphore: The semaphore.
        lReleaseCount: At least 1. If the count would pass its maximum, ERROR_TOO_MANY_POSTS, and nothing is added.
        lpPreviousCount: `ctypes.byref` of a `ctypes.c_int32`, which gets the count before; or None.

    Returns:
        Whether it was added.

    If killed: all of it is added, or nothing.
    """
    session = _session.current()
    handle = handle_of(session, hSemaphore, SEMAPHORE, SEMAPHORE_MODIFY_STATE)
    before = session.locked(partial(session.do_release_semaphore, handle.target, _signed(lReleaseCount)))
    if lpPreviousCount is not None:
        lpPreviousCount._obj.value = before
    return True


def _signed(value: int) -> int:
    """Return what a LONG makes of a number."""
    return (value & DWORD ^ 0x80000000) - 0x80000000
