"""Views of mapped files: at addresses that are multiples of 64 KiB, as those of Windows are.

Python's own `mmap` can neither choose an address nor make a private copy at an offset of one's own, so libc is asked.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from typing import NamedTuple

GRANULARITY = 65536
PAGE_BYTES = mmap.PAGESIZE

READ_ONLY = (mmap.PROT_READ, mmap.MAP_SHARED)
READ_WRITE = (mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED)
PRIVATE_COPY = (mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE)

_MAP_FIXED = 0x10  # on Linux and macOS alike; Python's mmap has none of these
_PROT_NONE = 0
_MS_SYNC = {"linux": 4}.get(sys.platform, 0x10)
_MAP_FAILED = ctypes.c_void_p(-1).value

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = (
    *(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int),
    ctypes.c_ssize_t,
)
_libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
_libc.msync.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


class _View(NamedTuple):
    """Say where a view is and how many bytes are mapped there: whole pages."""

    base: int
    nbytes: int


_views: dict[int, _View] = {}


def map_view(fd: int, offset: int, size: int, how: tuple[int, int]) -> int:
    """Map bytes of a file and return the address.

    Args:
        fd: The file.
        offset: In bytes, a multiple of the page.
        size: In bytes, at least 1.
        how: READ_ONLY, READ_WRITE or PRIVATE_COPY.

    Raises:
        OSError: The system would not map them. Nothing is mapped.
    """
    nbytes = _up(size, PAGE_BYTES)
    room = _mmap(None, nbytes + GRANULARITY, _PROT_NONE, mmap.MAP_PRIVATE | mmap.MAP_ANON, -1, 0)
    base = _up(room, GRANULARITY)
    try:
        _mmap(base, nbytes, how[0], how[1] | _MAP_FIXED, fd, offset)
    except OSError:
        _libc.munmap(room, nbytes + GRANULARITY)
        raise
    for start, end in ((room, base), (base + nbytes, room + nbytes + GRANULARITY)):
        if end > start:
            _libc.munmap(start, end - start)
    _views[base] = _View(base, nbytes)
    return base


def unmap_view(address: int) -> bool:
    """Unmap the view that an address lies in; return False if it lies in none."""
    view = _at(address)
    if view is None or _views.pop(view.base, None) is None:
        return False
    _libc.munmap(view.base, view.nbytes)
    return True


def flush_view(address: int, size: int) -> bool:
    """Write bytes of a view to its file, 0 meaning all from there on; return False if they lie in none.

    Raises:
        OSError: The system could not write them.
    """
    view = _at(address)
    if view is None or address + size > view.base + view.nbytes:
        return False
    start = address - address % PAGE_BYTES
    end = address + size if size else view.base + view.nbytes
    if _libc.msync(start, end - start, _MS_SYNC):
        raise OSError(ctypes.get_errno(), "msync")
    return True


def _at(address: int) -> _View | None:
    """Return the view that an address lies in."""
    for view in list(_views.values()):
        if view.base <= address < view.base + view.nbytes:
            return view
    return None


def _mmap(address: int | None, nbytes: int, protection: int, flags: int, fd: int, offset: int) -> int:
    """Call mmap, and raise its error."""
    result = _libc.mmap(address, nbytes, protection, flags, fd, offset)
    if result == _MAP_FAILED or result is None:
        raise OSError(ctypes.get_errno(), "mmap")
    return int(result)


def _up(value: int, multiple: int) -> int:
    """Return the next multiple that is no less."""
    return -(-value // multiple) * multiple
