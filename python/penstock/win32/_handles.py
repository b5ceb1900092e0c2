"""The calls where there is no kernel32: handles, their access rights, and the last error."""

from __future__ import annotations

import hashlib
import threading
from functools import partial, wraps
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from penstock.win32 import _session
from penstock.win32._constants import (
    ERROR_ACCESS_DENIED,
    ERROR_ALREADY_EXISTS,
    ERROR_BAD_PATHNAME,
    ERROR_FILENAME_EXCED_RANGE,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_NAME,
    ERROR_INVALID_PARAMETER,
    ERROR_PATH_NOT_FOUND,
    EVENT_ALL_ACCESS,
    EVENT_MODIFY_STATE,
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    GENERIC_ALL,
    GENERIC_EXECUTE,
    GENERIC_READ,
    GENERIC_WRITE,
    INVALID_HANDLE_VALUE,
    MAX_PATH,
    MAXIMUM_ALLOWED,
    MUTEX_ALL_ACCESS,
    READ_CONTROL,
    SECTION_ALL_ACCESS,
    SEMAPHORE_ALL_ACCESS,
    SEMAPHORE_MODIFY_STATE,
    SYNCHRONIZE,
)
from penstock.win32._failure import Failure
from penstock.win32._table import EVENT, MUTEX, SECTION, SEMAPHORE

if TYPE_CHECKING:
    from collections.abc import Callable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result", int, bool)

DWORD = 0xFFFFFFFF
PSEUDO_HANDLES = (INVALID_HANDLE_VALUE & ~3,)  # this process and, for waits the same, this thread
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


def fails_with(failed: Result) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
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


def create(session: _session.Session, kind: int, name: str | None, make: Callable[[int], dict[int, int]]) -> int:
    """Find or make an object, and return a handle that may do everything."""
    digest = _digest_of(name) if name else b""
    index, existed = session.locked(partial(session.do_create, kind, digest, make))
    SetLastError(ERROR_ALREADY_EXISTS if existed else 0)
    return session.new_handle(index, kind, _RIGHTS[kind].everything)


def open_(kind: int, access: int, name: str | None) -> int:
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


def number_of(handle: int) -> int:
    """Return a handle without its two lowest bits, which mean nothing; None is 0."""
    return (handle or 0) & INVALID_HANDLE_VALUE & ~3


def handle_of(session: _session.Session, value: int, kind: int, needed: int) -> _session.Handle:
    """Return what a handle is for.

    Raises:
        Failure: It is no handle of this kind, or lacks a right.
    """
    handle = session.handles.get(number_of(value))
    if handle is None or handle.kind != kind:
        raise Failure(ERROR_INVALID_HANDLE)
    if needed & ~handle.rights:
        raise Failure(ERROR_ACCESS_DENIED)
    return handle


@fails_with(False)
def CloseHandle(hObject: int) -> bool:
    """Close a handle. An object goes with its last handle, whoever has it; who waits for it goes on waiting.

    Returns:
        Whether it was a handle.

    If killed: it is closed, as all of the process's are.
    """
    session = _session.current()
    value = number_of(hObject)
    if value in PSEUDO_HANDLES:
        return True
    handle = session.handles.pop(value, None)
    if handle is None:
        raise Failure(ERROR_INVALID_HANDLE)
    session.locked(partial(session.do_close, handle.target))
    return True
