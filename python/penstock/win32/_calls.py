"""The calls where there is no kernel32: what they take and return, their access rights, and the last error."""

from __future__ import annotations

import hashlib
import threading
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

from penstock.win32 import _sections, _session, _views
from penstock.win32._constants import (
    ERROR_ACCESS_DENIED,
    ERROR_ALREADY_EXISTS,
    ERROR_BAD_PATHNAME,
    ERROR_FILENAME_EXCED_RANGE,
    ERROR_INVALID_ADDRESS,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_NAME,
    ERROR_INVALID_PARAMETER,
    ERROR_MAPPED_ALIGNMENT,
    ERROR_NOT_ENOUGH_MEMORY,
    ERROR_PATH_NOT_FOUND,
    EVENT_ALL_ACCESS,
    EVENT_MODIFY_STATE,
    FILE_MAP_COPY,
    FILE_MAP_EXECUTE,
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    GENERIC_ALL,
    GENERIC_EXECUTE,
    GENERIC_READ,
    GENERIC_WRITE,
    INFINITE,
    INVALID_HANDLE_VALUE,
    MAX_PATH,
    MAXIMUM_ALLOWED,
    MAXIMUM_WAIT_OBJECTS,
    MUTEX_ALL_ACCESS,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    READ_CONTROL,
    SEC_COMMIT,
    SEC_NOCACHE,
    SEC_RESERVE,
    SECTION_ALL_ACCESS,
    SEMAPHORE_ALL_ACCESS,
    SEMAPHORE_MODIFY_STATE,
    SYNCHRONIZE,
    WAIT_FAILED,
)
from penstock.win32._failure import Failure
from penstock.win32._table import (
    COUNT,
    EVENT,
    IS_FILE,
    LIMIT,
    MUTEX,
    NEVER,
    OWNER,
    PROTECTION,
    SECTION,
    SEMAPHORE,
    SERIAL,
    SIZE,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result", int, bool)

DWORD = 0xFFFFFFFF
_PSEUDO_HANDLES = (INVALID_HANDLE_VALUE & ~3,)  # this process and, for waits the same, this thread
_PROTECTIONS = (
    *(PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY),
    *(PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY),
)
_WRITABLE = (PAGE_READWRITE, PAGE_EXECUTE_READWRITE)
_RESERVED_NAMES = ("Local", "Global", "Session")


class _Rights(NamedTuple):
    """Say what rights a kind of object has, and which of them the generic ones stand for."""

    everything: int
    read: int
    write: int
    execute: int


_RIGHTS = {
    MUTEX: _Rights(MUTEX_ALL_ACCESS, READ_CONTROL | 1, READ_CONTROL, READ_CONTROL | SYNCHRONIZE),
    SEMAPHORE: _Rights(
        SEMAPHORE_ALL_ACCESS, READ_CONTROL | 1, READ_CONTROL | SEMAPHORE_MODIFY_STATE, READ_CONTROL | SYNCHRONIZE
    ),
    EVENT: _Rights(EVENT_ALL_ACCESS, READ_CONTROL | 1, READ_CONTROL | EVENT_MODIFY_STATE, READ_CONTROL | SYNCHRONIZE),
    SECTION: _Rights(SECTION_ALL_ACCESS, READ_CONTROL | 1 | FILE_MAP_READ, READ_CONTROL | FILE_MAP_WRITE, READ_CONTROL),
}


class _LastError(threading.local):
    """Keep a thread's last error."""

    code = 0


_last_error = _LastError()


def GetLastError() -> int:
    """Return why the calling thread's last call failed. Calls that succeed leave it, but for `Create*`."""
    return _last_error.code


def SetLastError(dwErrCode: int) -> None:
    """Set what `GetLastError` returns to the calling thread."""
    _last_error.code = dwErrCode & DWORD


def _fails_with(failed: Result) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Make a call return this when it fails, with the reason as the thread's last error."""

    def decorate(call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        @wraps(call)
        def wrapper(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            try:
                return call(*args, **kwargs)
            except Failure as failure:
                SetLastError(failure.code)
                return failed

        return wrapper

    return decorate


# ---- mutexes ---------------------------------------------------------------------------------------------------------


@_fails_with(0)
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
    return _create(session, MUTEX, lpName, lambda _index: words)


@_fails_with(0)
def OpenMutex(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the mutex of this name.

    Args:
        dwDesiredAccess: SYNCHRONIZE for waiting, or MUTEX_ALL_ACCESS.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return _open(MUTEX, dwDesiredAccess, lpName)


@_fails_with(False)
def ReleaseMutex(hMutex: int) -> bool:
    """Give back a mutex that the calling thread has; one that it took more than once, once.

    Returns:
        Whether it was its own; else ERROR_NOT_OWNER.

    If killed: it is given back, or abandoned.
    """
    session = _session.current()
    handle = _handle(session, hMutex, MUTEX, 0)
    session.locked(partial(session.do_release_mutex, handle.target, session.thread().key))
    return True


# ---- semaphores ------------------------------------------------------------------------------------------------------


@_fails_with(0)
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
    return _create(_session.current(), SEMAPHORE, lpName, lambda _index: {COUNT: initial, LIMIT: maximum})


@_fails_with(0)
def OpenSemaphore(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the semaphore of this name.

    Args:
        dwDesiredAccess: SYNCHRONIZE for waiting, SEMAPHORE_MODIFY_STATE for releasing, or SEMAPHORE_ALL_ACCESS.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return _open(SEMAPHORE, dwDesiredAccess, lpName)


@_fails_with(False)
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
    handle = _handle(session, hSemaphore, SEMAPHORE, SEMAPHORE_MODIFY_STATE)
    before = session.locked(partial(session.do_release_semaphore, handle.target, _signed(lReleaseCount)))
    if lpPreviousCount is not None:
        lpPreviousCount._obj.value = before
    return True


# ---- events ----------------------------------------------------------------------------------------------------------


@_fails_with(0)
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
    return _create(_session.current(), EVENT, lpName, lambda _index: words)


@_fails_with(0)
def OpenEvent(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the event of this name.

    Args:
        dwDesiredAccess: SYNCHRONIZE for waiting, EVENT_MODIFY_STATE for setting, or EVENT_ALL_ACCESS.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return _open(EVENT, dwDesiredAccess, lpName)


@_fails_with(False)
def SetEvent(hEvent: int) -> bool:
    """Set an event: all who wait for it go on or, if a wait resets it, the one that has waited longest.

    Returns:
        Whether it is an event that may be set.

    If killed: it is set or not.
    """
    session = _session.current()
    handle = _handle(session, hEvent, EVENT, EVENT_MODIFY_STATE)
    session.locked(partial(session.do_set_event, handle.target, is_set=True))
    return True


@_fails_with(False)
def ResetEvent(hEvent: int) -> bool:
    """Reset an event.

    Returns:
        Whether it is an event that may be reset.

    If killed: it is reset or not.
    """
    session = _session.current()
    handle = _handle(session, hEvent, EVENT, EVENT_MODIFY_STATE)
    session.locked(partial(session.do_set_event, handle.target, is_set=False))
    return True


# ---- waiting ---------------------------------------------------------------------------------------------------------


@_fails_with(WAIT_FAILED)
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


@_fails_with(WAIT_FAILED)
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


# ---- file mappings ---------------------------------------------------------------------------------------------------


@_fails_with(0)
def CreateFileMapping(
    hFile: Any,
    lpFileMappingAttributes: Any,
    flProtect: int,
    dwMaximumSizeHigh: int,
    dwMaximumSizeLow: int,
    lpName: str | None,
) -> int:
    """Open the file mapping of this name, or create one.

    Args:
        hFile: An open file (anything with a `fileno()`), or INVALID_HANDLE_VALUE for memory without a file, all zeros.
        lpFileMappingAttributes: None; anything else counts as None.
        flProtect: PAGE_READONLY, PAGE_READWRITE or PAGE_WRITECOPY, which limits what views may do.
        dwMaximumSizeHigh: The size's upper 32 bits.
        dwMaximumSizeLow: The size's lower 32 bits. A file that is shorter and may be written becomes as long at once.
            With a file, 0 in both stands for all of it.
        lpName: The name; None or "" for none.

    Returns:
        A handle, and the last error says ERROR_ALREADY_EXISTS (the size is that of the one that was there) or 0; 0 on
        failure.

    If killed: memory without a file goes with the last handle and view; a file keeps what was written.
    """
    protection = flProtect & ~(SEC_COMMIT | SEC_RESERVE | SEC_NOCACHE) & DWORD
    if protection not in _PROTECTIONS or (flProtect & SEC_COMMIT and flProtect & SEC_RESERVE):
        raise Failure(ERROR_INVALID_PARAMETER)
    file = _file_number(hFile)
    size = (dwMaximumSizeHigh & DWORD) << 32 | dwMaximumSizeLow & DWORD
    if file is None and size == 0:
        raise Failure(ERROR_INVALID_PARAMETER)
    session = _session.current()

    def make(index: int) -> dict[int, int]:
        serial, whole = _session.random_number(), size
        if file is None:
            section = _sections.create_of_memory(serial, size)
        else:
            section, whole = _sections.create_of_file(serial, file, size, protection)
        session.add_section(index, section)
        return {SERIAL: serial, SIZE: whole, PROTECTION: protection, IS_FILE: int(file is not None)}

    return _create(session, SECTION, lpName, make)


@_fails_with(0)
def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the file mapping of this name.

    Args:
        dwDesiredAccess: FILE_MAP_READ, FILE_MAP_WRITE or FILE_MAP_ALL_ACCESS, which limits what views may do.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return _open(SECTION, FILE_MAP_READ if dwDesiredAccess == FILE_MAP_COPY else dwDesiredAccess, lpName)


@_fails_with(0)
def MapViewOfFile(
    hFileMappingObject: int,
    dwDesiredAccess: int,
    dwFileOffsetHigh: int,
    dwFileOffsetLow: int,
    dwNumberOfBytesToMap: int,
) -> int:
    """Map a part of a file mapping into this process's memory.

    The view stays when the handle is closed. Reading or writing after `UnmapViewOfFile` ends the process, as in C.

    Args:
        hFileMappingObject: The file mapping.
        dwDesiredAccess: FILE_MAP_READ, FILE_MAP_WRITE, FILE_MAP_ALL_ACCESS, or FILE_MAP_COPY: writes are one's own.
        dwFileOffsetHigh: The upper 32 bits of where it begins.
        dwFileOffsetLow: The lower 32 bits; a multiple of 65536.
        dwNumberOfBytesToMap: How many bytes; 0 for all from there on.

    Returns:
        The address, a multiple of 65536; 0 on failure.

    If killed: what was written stays written.
    """
    offset = (dwFileOffsetHigh & DWORD) << 32 | dwFileOffsetLow & DWORD
    if offset % _views.GRANULARITY:
        raise Failure(ERROR_MAPPED_ALIGNMENT)
    session = _session.current()
    handle = _handle(session, hFileMappingObject, SECTION, 0)
    section, size, protection = session.locked(partial(session.do_section, handle.target))
    how = _way_of_mapping(dwDesiredAccess & DWORD, handle.rights, protection)
    if offset >= size:
        raise Failure(ERROR_INVALID_PARAMETER)
    nbytes = dwNumberOfBytesToMap or size - offset
    if offset + nbytes > size:
        raise Failure(ERROR_ACCESS_DENIED)
    try:
        return _views.map_view(section.fd, section.start + offset, nbytes, how)
    except OSError as err:
        raise Failure(ERROR_NOT_ENOUGH_MEMORY) from err


@_fails_with(False)
def UnmapViewOfFile(lpBaseAddress: int) -> bool:
    """Unmap the view that an address lies in.

    Returns:
        Whether it lay in one; else ERROR_INVALID_ADDRESS.

    If killed: what was written stays written.
    """
    if not _views.unmap_view(lpBaseAddress or 0):
        raise Failure(ERROR_INVALID_ADDRESS)
    return True


@_fails_with(False)
def FlushViewOfFile(lpBaseAddress: int, dwNumberOfBytesToFlush: int) -> bool:
    """Write what was written to a view to its file.

    Args:
        lpBaseAddress: Where to begin, in a view.
        dwNumberOfBytesToFlush: How many bytes; 0 for all from there on.

    Returns:
        Whether they lie in a view; else ERROR_INVALID_ADDRESS.

    If killed: some of it may be written already.
    """
    if not _views.flush_view(lpBaseAddress or 0, dwNumberOfBytesToFlush):
        raise Failure(ERROR_INVALID_ADDRESS)
    return True


@_fails_with(False)
def CloseHandle(hObject: int) -> bool:
    """Close a handle. An object goes with its last handle, whoever has it; who waits for it goes on waiting.

    Returns:
        Whether it was a handle.

    If killed: it is closed, as all of the process's are.
    """
    session = _session.current()
    value = _number(hObject)
    if value in _PSEUDO_HANDLES:
        return True
    handle = session.handles.pop(value, None)
    if handle is None:
        raise Failure(ERROR_INVALID_HANDLE)
    session.locked(partial(session.do_close, handle.target))
    return True


# ---- what they have in common ----------------------------------------------------------------------------------------


def _create(session: _session.Session, kind: int, name: str | None, make: Callable[[int], dict[int, int]]) -> int:
    """Find or make an object, and return a handle that may do everything."""
    digest = _digest_of(name) if name else b""
    index, existed = session.locked(partial(session.do_create, kind, digest, make))
    SetLastError(ERROR_ALREADY_EXISTS if existed else 0)
    return session.new_handle(index, kind, _RIGHTS[kind].everything)


def _open(kind: int, access: int, name: str | None) -> int:
    """Find an object, and return a handle that may do what was asked for."""
    if name is None:
        raise Failure(ERROR_INVALID_PARAMETER)
    if not name:
        raise Failure(ERROR_INVALID_HANDLE)
    digest = _digest_of(name)
    rights = _rights_of(kind, access & DWORD)
    session = _session.current()
    index = session.locked(partial(session.do_open, kind, digest))
    if not rights:
        session.locked(partial(session.do_close, index))
        raise Failure(ERROR_ACCESS_DENIED)
    return session.new_handle(index, kind, rights)


def _rights_of(kind: int, access: int) -> int:
    """Return an access mask with the generic rights put in the words of the kind."""
    known = _RIGHTS[kind]
    generic = (
        (GENERIC_READ, known.read),
        (GENERIC_WRITE, known.write),
        (GENERIC_EXECUTE, known.execute),
        (GENERIC_ALL | MAXIMUM_ALLOWED, known.everything),
    )
    rights = access & ~sum(bits for bits, _ in generic)
    for bits, stands_for in generic:
        if access & bits:
            rights |= stands_for
    return rights


def _digest_of(name: str) -> bytes:
    """Return what stands for a name in the table.

    Raises:
        Failure: The name cannot be one.
    """
    name = name.partition("\0")[0]  # C sees no more of it
    if len(name.encode("utf-16-le", "surrogatepass")) // 2 > MAX_PATH:
        raise Failure(ERROR_FILENAME_EXCED_RANGE)
    prefix, backslash, rest = name.rpartition("\\")
    if name.startswith("\\"):
        raise Failure(ERROR_BAD_PATHNAME)
    if backslash and prefix not in ("Local", "Global"):
        raise Failure(ERROR_PATH_NOT_FOUND)
    if not rest:
        raise Failure(ERROR_INVALID_NAME)
    if rest in _RESERVED_NAMES:
        raise Failure(ERROR_INVALID_HANDLE)
    return hashlib.sha256(f"{prefix or 'Local'}\\{rest}".encode("utf-16-le", "surrogatepass")).digest()


def _number(handle: int) -> int:
    """Return a handle without its two lowest bits, which mean nothing; None is 0."""
    return (handle or 0) & INVALID_HANDLE_VALUE & ~3


def _handle(session: _session.Session, value: int, kind: int, needed: int) -> _session.Handle:
    """Return what a handle is for.

    Raises:
        Failure: It is no handle of this kind, or lacks a right.
    """
    handle = session.handles.get(_number(value))
    if handle is None or handle.kind != kind:
        raise Failure(ERROR_INVALID_HANDLE)
    if needed & ~handle.rights:
        raise Failure(ERROR_ACCESS_DENIED)
    return handle


def _index_to_wait_for(session: _session.Session, value: int) -> int:
    """Return the object that a handle is for.

    Raises:
        Failure: It is no handle, or may not be waited for.
    """
    if _number(value) in _PSEUDO_HANDLES:
        return NEVER
    handle = session.handles.get(_number(value))
    if handle is None:
        raise Failure(ERROR_INVALID_HANDLE)
    if not handle.rights & SYNCHRONIZE:
        raise Failure(ERROR_ACCESS_DENIED)
    return handle.target


def _seconds(milliseconds: int) -> float | None:
    """Return a wait in seconds; None for ever."""
    limited = milliseconds & DWORD
    return None if limited == INFINITE else limited / 1000


def _signed(value: int) -> int:
    """Return what a LONG makes of a number."""
    return (value & DWORD ^ 0x80000000) - 0x80000000


def _file_number(file: Any) -> int | None:
    """Return the number of an open file; None for memory without one.

    Raises:
        Failure: It is none.
    """
    if file is None or (isinstance(file, int) and file in (0, -1, INVALID_HANDLE_VALUE)):
        return None
    if isinstance(file, int):
        raise Failure(ERROR_INVALID_HANDLE)
    return int(file.fileno())


def _way_of_mapping(access: int, rights: int, protection: int) -> tuple[int, int]:
    """Return how to map a view.

    Raises:
        Failure: The handle or the file mapping does not allow it.
    """
    if access & FILE_MAP_WRITE:
        needed, how = FILE_MAP_WRITE, _views.READ_WRITE
    else:
        needed = FILE_MAP_READ
        how = _views.READ_ONLY if access & FILE_MAP_READ else _views.PRIVATE_COPY
    if needed & ~rights or (needed == FILE_MAP_WRITE and protection not in _WRITABLE):
        raise Failure(ERROR_ACCESS_DENIED)
    if access & FILE_MAP_EXECUTE and protection not in _PROTECTIONS[3:]:
        raise Failure(ERROR_ACCESS_DENIED)
    return how
