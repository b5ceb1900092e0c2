"""The calls on Windows: kernel32's own, with nothing between but types.

Each call's last error is kept for the calling thread as ctypes keeps it, so that nothing that Python itself does in
between can change it.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import c_int32, c_size_t, c_uint32, c_void_p, c_wchar_p
from typing import TYPE_CHECKING, Any

from penstock.win32._constants import ERROR_FILENAME_EXCED_RANGE, MAX_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

assert sys.platform == "win32", "this file is for Windows alone"
import msvcrt  # noqa: E402

_DLL = ctypes.WinDLL("kernel32", use_last_error=True)


def _function(name: str, result: Any, *arguments: Any) -> Callable[..., Any]:
    """Return a function of kernel32 with its types."""
    function = getattr(_DLL, name)
    function.restype, function.argtypes = result, arguments
    return function  # type: ignore[no-any-return]


_create_mutex = _function("CreateMutexW", c_void_p, c_void_p, c_int32, c_wchar_p)
_open_mutex = _function("OpenMutexW", c_void_p, c_uint32, c_int32, c_wchar_p)
_release_mutex = _function("ReleaseMutex", c_int32, c_void_p)
_create_semaphore = _function("CreateSemaphoreW", c_void_p, c_void_p, c_int32, c_int32, c_wchar_p)
_open_semaphore = _function("OpenSemaphoreW", c_void_p, c_uint32, c_int32, c_wchar_p)
_release_semaphore = _function("ReleaseSemaphore", c_int32, c_void_p, c_int32, c_void_p)
_create_event = _function("CreateEventW", c_void_p, c_void_p, c_int32, c_int32, c_wchar_p)
_open_event = _function("OpenEventW", c_void_p, c_uint32, c_int32, c_wchar_p)
_set_event = _function("SetEvent", c_int32, c_void_p)
_reset_event = _function("ResetEvent", c_int32, c_void_p)
_wait_for_one = _function("WaitForSingleObject", c_uint32, c_void_p, c_uint32)
_wait_for_many = _function("WaitForMultipleObjects", c_uint32, c_uint32, c_void_p, c_int32, c_uint32)
_create_file_mapping = _function(
    "CreateFileMappingW", c_void_p, c_void_p, c_void_p, c_uint32, c_uint32, c_uint32, c_wchar_p
)
_open_file_mapping = _function("OpenFileMappingW", c_void_p, c_uint32, c_int32, c_wchar_p)
_map_view_of_file = _function("MapViewOfFile", c_void_p, c_void_p, c_uint32, c_uint32, c_uint32, c_size_t)
_unmap_view_of_file = _function("UnmapViewOfFile", c_int32, c_void_p)
_flush_view_of_file = _function("FlushViewOfFile", c_int32, c_void_p, c_size_t)
_close_handle = _function("CloseHandle", c_int32, c_void_p)


def GetLastError() -> int:
    """Return why the calling thread's last call failed. Calls that succeed leave it, but for `Create*`."""
    return ctypes.get_last_error() & 0xFFFFFFFF


def SetLastError(dwErrCode: int) -> None:
    """Set what `GetLastError` returns to the calling thread."""
    ctypes.set_last_error(c_int32(dwErrCode).value)


def CreateMutex(lpMutexAttributes: Any, bInitialOwner: bool, lpName: str | None) -> int:
    """Open the mutex of this name, or create one."""
    return _named(lpName, _create_mutex, lpMutexAttributes, bInitialOwner)


def OpenMutex(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the mutex of this name."""
    return _named(lpName, _open_mutex, dwDesiredAccess, bInheritHandle)


def ReleaseMutex(hMutex: int) -> bool:
    """Give back a mutex that the calling thread has; one that it took more than once, once."""
    return bool(_release_mutex(hMutex))


def CreateSemaphore(lpSemaphoreAttributes: Any, lInitialCount: int, lMaximumCount: int, lpName: str | None) -> int:
    """Open the semaphore of this name, or create one."""
    return _named(lpName, _create_semaphore, lpSemaphoreAttributes, lInitialCount, lMaximumCount)


def OpenSemaphore(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the semaphore of this name."""
    return _named(lpName, _open_semaphore, dwDesiredAccess, bInheritHandle)


def ReleaseSemaphore(hSemaphore: int, lReleaseCount: int, lpPreviousCount: Any = None) -> bool:
    """Add to a semaphore's count, and so let as many go on that wait for it."""
    return bool(_release_semaphore(hSemaphore, lReleaseCount, lpPreviousCount))


def CreateEvent(lpEventAttributes: Any, bManualReset: bool, bInitialState: bool, lpName: str | None) -> int:
    """Open the event of this name, or create one."""
    return _named(lpName, _create_event, lpEventAttributes, bManualReset, bInitialState)


def OpenEvent(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the event of this name."""
    return _named(lpName, _open_event, dwDesiredAccess, bInheritHandle)


def SetEvent(hEvent: int) -> bool:
    """Set an event: all who wait for it go on or, if a wait resets it, the one that has waited longest."""
    return bool(_set_event(hEvent))


def ResetEvent(hEvent: int) -> bool:
    """Reset an event."""
    return bool(_reset_event(hEvent))


def WaitForSingleObject(hHandle: int, dwMilliseconds: int) -> int:
    """Wait for a mutex, a semaphore or an event, and take it."""
    return int(_wait_for_one(hHandle, dwMilliseconds))


def WaitForMultipleObjects(nCount: int, lpHandles: Sequence[int], bWaitAll: bool, dwMilliseconds: int) -> int:
    """Wait for one of several objects, or for all of them at once, and take it, or them."""
    if nCount > len(lpHandles):
        raise ValueError(f"nCount is {nCount}, but there are only {len(lpHandles)} handles")
    return int(_wait_for_many(nCount, (c_void_p * len(lpHandles))(*lpHandles), bWaitAll, dwMilliseconds))


def CreateFileMapping(
    hFile: Any,
    lpFileMappingAttributes: Any,
    flProtect: int,
    dwMaximumSizeHigh: int,
    dwMaximumSizeLow: int,
    lpName: str | None,
) -> int:
    """Open the file mapping of this name, or create one."""
    file = hFile if hFile is None or isinstance(hFile, int) else msvcrt.get_osfhandle(hFile.fileno())
    return _named(
        lpName, _create_file_mapping, file, lpFileMappingAttributes, flProtect, dwMaximumSizeHigh, dwMaximumSizeLow
    )


def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the file mapping of this name."""
    return _named(lpName, _open_file_mapping, dwDesiredAccess, bInheritHandle)


def MapViewOfFile(
    hFileMappingObject: int,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
) -> int:
    """Map a part of a file mapping into this process's memory."""
    return (
        _map_view_of_file(hFileMappingObject, dwDesiredAccess, dwFileOffsetHigh, dwFileOffsetLow, dwNumberOfBytesToMap)
        or 0
    )


def UnmapViewOfFile(lpBaseAddress: int) -> bool:
    """Unmap the view that an address lies in."""
    return bool(_unmap_view_of_file(lpBaseAddress))


def FlushViewOfFile(lpBaseAddress: int, dwNumberOfBytesToFlush: int) -> bool:
    """Write what was written to a view to its file."""
    return bool(_flush_view_of_file(lpBaseAddress, dwNumberOfBytesToFlush))


def CloseHandle(hObject: int) -> bool:
    """Close a handle. An object goes with its last handle, whoever has it; who waits for it goes on waiting."""
    return bool(_close_handle(hObject))


def _named(name: str | None, function: Callable[..., Any], *arguments: Any) -> int:
    """Call what takes a name last; a name that is too long for the calls that take bytes is too long here, too."""
    if name is not None and len(name.encode("utf-16-le", "surrogatepass")) // 2 > MAX_PATH:
        SetLastError(ERROR_FILENAME_EXCED_RANGE)
        return 0
    return function(*arguments, name) or 0
