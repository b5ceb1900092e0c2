"""The calls of events."""

from __future__ import annotations

from functools import partial
from typing import Any

from penstock.win32 import _session
from penstock.win32._constants import EVENT_MODIFY_STATE
from penstock.win32._handles import create, fails_with, handle_of, open_
from penstock.win32._table import COUNT, EVENT, LIMIT


@fails_with(0)
def CreateEvent(lpEventAttributes: Any, bManualReset: bool, bInitialState: bool, lpName: str | None) -> int:
    """Open the event of this name, or create one.

    Args:
        lpEventAttributes: None; anything else counts as None.
        bManualReset: Whether a new one stays set until `ResetEvent`. Else a wait that succeeds resets it.
        bInitialState: Whether a new one is set.
        lpName: The name; None or "" for none.

    Returns:
        A handle, and the last error says ERROR_ALREADY_EXISTS or 0; 0 on failure.

    If killed: the event goes with its last handle.
    """
    words = {COUNT: int(bool(bInitialState)), LIMIT: int(bool(bManualReset))}
    return create(_session.current(), EVENT, lpName, lambda _index: words)


@fails_with(0)
def OpenEvent(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the event of this name.

    Args:
        dwDesiredAccess: SYNCHRONIZE for waiting, EVENT_MODIFY_STATE for setting, or EVENT_ALL_ACCESS.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return open_(EVENT, dwDesiredAccess, lpName)


@fails_with(False)
def SetEvent(hEvent: int) -> bool:
    """Set an event: all who wait for it go on or, if a wait resets it, the one that has waited longest.

    Returns:
        Whether it is an event that may be set.

    If killed: it is set or not.
    """
    session = _session.current()
    handle = handle_of(session, hEvent, EVENT, EVENT_MODIFY_STATE)
    session.locked(partial(session.do_set_event, handle.target, is_set=True))
    return True


@fails_with(False)
def ResetEvent(hEvent: int) -> bool:
    """Reset an event.

    Returns:
        Whether it is an event that may be reset.

    If killed: it is reset or not.
    """
    session = _session.current()
    handle = handle_of(session, hEvent, EVENT, EVENT_MODIFY_STATE)
    session.locked(partial(session.do_set_event, handle.target, is_set=False))
    return True
