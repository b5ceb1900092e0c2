"""The calls that wait."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.win32 import _session
from penstock.win32._constants import (
    ERROR_ACCESS_DENIED,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    INFINITE,
    MAXIMUM_WAIT_OBJECTS,
    SYNCHRONIZE,
    WAIT_FAILED,
)
from penstock.win32._failure import Failure
from penstock.win32._handles import DWORD, PSEUDO_HANDLES, fails_with, number_of
from penstock.win32._table import NEVER

if TYPE_CHECKING:
    from collections.abc import Sequence


@fails_with(WAIT_FAILED)
def WaitForSingleObject(hHandle: int, dwMilliseconds: int) -> int:
    """Wait for a mutex, a semaphore or an event, and take it.

    Args:
        hHandle: The object.
        dwMilliseconds: Longest wait; 0 does not wait, INFINITE waits for ever.

    Returns:
        WAIT_OBJECT_0; WAIT_ABANDONED for a mutex whose owner ended with it in hand; WAIT_TIMEOUT; WAIT_FAILED.

    If killed: a mutex that it got is abandoned; what it got of a semaphore stays taken.
    """
    session = _session.current()
    return session.wait([_index_to_wait_for(session, hHandle)], for_all=False, seconds=_seconds(dwMilliseconds))


@fails_with(WAIT_FAILED)
def WaitForMultipleObjects(nCount: int, lpHandles: Sequence[int], bWaitAll: bool, dwMilliseconds: int) -> int:
    """Wait for one of several objects, or for all of them at once, and take it, or them.

    Args:
        nCount: How many there are, 1 to MAXIMUM_WAIT_OBJECTS.
        lpHandles: The objects; each once if all are wanted.
        bWaitAll: Whether to wait until all can be had, and to take none before.
        dwMilliseconds: Longest wait; 0 does not wait, INFINITE waits for ever.

    Returns:
        WAIT_OBJECT_0, or WAIT_ABANDONED as for one; plus, if not all are wanted, the place of the one that was taken,
        which is the first that could be. WAIT_TIMEOUT; WAIT_FAILED.

    Raises:
        ValueError: There are fewer handles than nCount.

    If killed: as `WaitForSingleObject`; of several all are taken, or none.
    """
    if not 1 <= nCount <= MAXIMUM_WAIT_OBJECTS:
        raise Failure(ERROR_INVALID_PARAMETER)
    if nCount > len(lpHandles):
        raise ValueError(f"nCount is {nCount}, but there are only {len(lpHandles)} handles")
    session = _session.current()
    indexes = [_index_to_wait_for(session, handle) for handle in lpHandles[:nCount]]
    if bWaitAll and len(set(indexes)) < len(indexes):
        raise Failure(ERROR_INVALID_PARAMETER)
    return session.wait(indexes, for_all=bool(bWaitAll), seconds=_seconds(dwMilliseconds))


def _index_to_wait_for(session: _session.Session, value: int) -> int:
    """Return the object that a handle is for.

    Raises:
        Failure: It is no handle, or may not be waited for.
    """
    if number_of(value) in PSEUDO_HANDLES:
        return NEVER
    handle = session.handles.get(number_of(value))
    if handle is None:
        raise Failure(ERROR_INVALID_HANDLE)
    if not handle.rights & SYNCHRONIZE:
        raise Failure(ERROR_ACCESS_DENIED)
    return handle.target


def _seconds(milliseconds: int) -> float | None:
    """Return a wait in seconds; None for ever."""
    limited = milliseconds & DWORD
    return None if limited == INFINITE else limited / 1000
