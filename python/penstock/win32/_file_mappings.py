"""The calls of file mappings and their views."""

from __future__ import annotations

from functools import partial
from typing import Any

from penstock.win32 import _sections, _session, _views
from penstock.win32._constants import (
    ERROR_ACCESS_DENIED,
    ERROR_INVALID_ADDRESS,
    ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER,
    ERROR_MAPPED_ALIGNMENT,
    ERROR_NOT_ENOUGH_MEMORY,
    FILE_MAP_COPY,
    FILE_MAP_EXECUTE,
    FILE_MAP_READ,
    FILE_MAP_WRITE,
    INVALID_HANDLE_VALUE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    SEC_COMMIT,
    SEC_NOCACHE,
    SEC_RESERVE,
)
from penstock.win32._failure import Failure
from penstock.win32._handles import DWORD, create, fails_with, handle_of, open_
from penstock.win32._table import IS_FILE, PROTECTION, SECTION, SERIAL, SIZE

_PROTECTIONS = (
    *(PAGE_READONLY, PAGE_READWRITE, PAGE_WRITECOPY),
    *(PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_WRITECOPY),
)
_WRITABLE = (PAGE_READWRITE, PAGE_EXECUTE_READWRITE)


@fails_with(0)
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

    return create(session, SECTION, lpName, make)


@fails_with(0)
def OpenFileMapping(dwDesiredAccess: int, bInheritHandle: bool, lpName: str | None) -> int:
    """Open the file mapping of this name.

    Args:
        dwDesiredAccess: FILE_MAP_READ, FILE_MAP_WRITE or FILE_MAP_ALL_ACCESS, which limits what views may do.
        bInheritHandle: Without effect: no handle is inherited.
        lpName: The name.

    Returns:
        A handle; 0 on failure.
    """
    return open_(SECTION, FILE_MAP_READ if dwDesiredAccess == FILE_MAP_COPY else dwDesiredAccess, lpName)


@fails_with(0)
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
    handle = handle_of(session, hFileMappingObject, SECTION, 0)
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


@fails_with(False)
def UnmapViewOfFile(lpBaseAddress: int) -> bool:
    """Unmap the view that an address lies in.

    Returns:
        Whether it lay in one; else ERROR_INVALID_ADDRESS.

    If killed: what was written stays written.
    """
    if not _views.unmap_view(lpBaseAddress or 0):
        raise Failure(ERROR_INVALID_ADDRESS)
    return True


@fails_with(False)
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
