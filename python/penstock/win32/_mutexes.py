"""The calls of mutexes."""

from __future__ import annotations

from functools import partial
from typing import Any

from penstock.win32 import _session
from penstock.win32._handles import create, fails_with, handle_of, open_
from penstock.win32._table import COUNT, MUTEX, OWNER


@fails_with(0)
def CreateMutex(lpMutexAttributes: Any, bInitialOwner: bool, lpName: str | None) -> int:
    """Open the mutex of this name, or create one.

    Args:
        lpMutexAttributes: None; anything else counts as None.
        bInitialOwner: Whether the calling thread has a new mutex at once. It never gets one that was there.
        lpName: The name; None or "" for none.

    Returns:
        A handle, and the last error says ERROR_ALREADY_EXISTS or 0; 0 on failure.

    If killed: the mutex goes with its last handle; who waits for one that this process had gets WAIT_ABANDONED.
    """
    session = _session.current()
    thread = session.thread()
    thread.may_own |= bool(bInitialOwner)
    words = {OWNER: thread.key, COUNT: 1} if bInitialOwner else {}
    return create(session, MUTEX, lpName, lambda _index: words)


@fails_with(0)
def OpenMutex(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the mutex of this name.

    Args:
        dwDesiredAccess: SYNCHRONIZE for waiting, or MUTEX_ALL_ACCESS.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return open_(MUTEX, dwDesiredAccess, lpName)


@fails_with(False)
def ReleaseMutex(hMutex: int) -> bool:
    """Give back a mutex that the calling thread has; one that it took more than once, once.

    Returns:
        Whether it was its own; else ERROR_NOT_OWNER.

    If killed: it is given back, or abandoned.
    """
    session = _session.current()
    handle = handle_of(session, hMutex, MUTEX, 0)
    session.locked(partial(session.do_release_mutex, handle.target, session.thread().key))
    return True
