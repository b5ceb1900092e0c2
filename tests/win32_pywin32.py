"""pywin32's calls as `penstock.win32` has them: a second opinion on the same system. What it lacks is taken from there.

It raises where C returns a failure, and returns handles as objects that close themselves.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import pywintypes  # type: ignore[import-untyped, import-not-found, unused-ignore]
import win32api  # type: ignore[import-untyped, import-not-found, unused-ignore]
import win32event  # type: ignore[import-untyped, import-not-found, unused-ignore]

from penstock import win32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FAILED = 0xFFFFFFFF


def __getattr__(name: str) -> Any:
    return getattr(win32, name)


def _signed(value: int) -> int:
    return (value & 0xFFFFFFFF ^ 0x80000000) - 0x80000000


def _call(failed: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call, and turn an exception into a failure; the last error is kept where `penstock.win32` keeps it."""
    win32api.SetLastError(ctypes.get_last_error())  # type: ignore[attr-defined, unused-ignore]
    try:
        result = function(*arguments)
        error = win32api.GetLastError()
    except pywintypes.error as err:
        result, error = failed, err.winerror
    ctypes.set_last_error(error)  # type: ignore[attr-defined, unused-ignore]
    return result.Detach() if hasattr(result, "Detach") else result


def CreateMutex(attributes: Any, is_owner: bool, name: str | None) -> int:
    return int(_call(0, win32event.CreateMutex, attributes, is_owner, name))


def OpenMutex(access: int, inherit: bool, name: str) -> int:
    return int(_call(0, win32event.OpenMutex, access, inherit, name))


def ReleaseMutex(handle: int) -> bool:
    return _call(False, win32event.ReleaseMutex, handle) is None


def CreateSemaphore(attributes: Any, initial: int, maximum: int, name: str | None) -> int:
    return int(_call(0, win32event.CreateSemaphore, attributes, initial, maximum, name))


def OpenSemaphore(access: int, inherit: bool, name: str) -> int:
    return int(_call(0, win32event.OpenSemaphore, access, inherit, name))


def ReleaseSemaphore(handle: int, count: int, previous: Any = None) -> bool:
    before = _call(False, win32event.ReleaseSemaphore, handle, count)
    if before is not False and previous is not None:
        previous._obj.value = before
    return before is not False


def CreateEvent(attributes: Any, is_manual: bool, is_set: bool, name: str | None) -> int:
    return int(_call(0, win32event.CreateEvent, attributes, is_manual, is_set, name))


def OpenEvent(access: int, inherit: bool, name: str) -> int:
    return int(_call(0, win32event.OpenEvent, access, inherit, name))


def SetEvent(handle: int) -> bool:
    return _call(False, win32event.SetEvent, handle) is None


def ResetEvent(handle: int) -> bool:
    return _call(False, win32event.ResetEvent, handle) is None


def WaitForSingleObject(handle: int, milliseconds: int) -> int:
    return int(_call(FAILED, win32event.WaitForSingleObject, handle, _signed(milliseconds))) & FAILED


def WaitForMultipleObjects(count: int, handles: Sequence[int], for_all: bool, milliseconds: int) -> int:
    chosen = list(handles[:count])
    return int(_call(FAILED, win32event.WaitForMultipleObjects, chosen, for_all, _signed(milliseconds))) & FAILED


def CloseHandle(handle: int) -> bool:
    return _call(False, win32api.CloseHandle, handle) is None
