"""The bytes of a file mapping: memory under a name of penstock's, or a file that such memory names.

Each process that has a handle of the mapping has its `Section`, whose file views are made of. It goes with the handles;
views stay.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct

import penstock
from penstock.win32._constants import (
    ERROR_ACCESS_DENIED,
    ERROR_DISK_FULL,
    ERROR_FILE_INVALID,
    ERROR_NOT_ENOUGH_MEMORY,
    PAGE_EXECUTE_READWRITE,
    PAGE_READWRITE,
)
from penstock.win32._failure import Failure
from penstock.win32._views import PAGE_BYTES

MOST_BYTES = 2**45
"""Largest mapping without a file: larger ones are not even tried."""

_WHERE = struct.Struct("=QQQ")  # device, inode, bytes of the path, which follows


class Section:
    """Have a file from which views can be made.

    Args:
        memory: What keeps the mapping alive: its bytes, or the path of its file.
        fd: The file, which becomes the section's own.
        start: Where the mapping's first byte is in it.
    """

    def __init__(self, memory: penstock.Mapping, fd: int, start: int) -> None:
        self._memory = memory
        self.fd = fd
        self.start = start

    def close(self) -> None:
        """Give the file and the memory up."""
        os.close(self.fd)
        self._memory.close()


def create_of_memory(serial: int, size: int) -> Section:
    """Make memory of so many bytes.

    Raises:
        Failure: There is no room for it.
    """
    return _of_memory(_create(serial, size))


def open_of_memory(serial: int) -> Section:
    """Find the memory of a mapping that another process has made."""
    return _of_memory(penstock.Mapping.open(_name(serial)))


def _of_memory(memory: penstock.Mapping) -> Section:
    fd = os.open(memory.path, os.O_RDWR | os.O_CLOEXEC)
    whole_pages = -(-memory.size // PAGE_BYTES) * PAGE_BYTES
    return Section(memory, fd, os.fstat(fd).st_size - whole_pages)  # the data is the last of such a file


def create_of_file(serial: int, file: int, size: int, protection: int) -> tuple[Section, int]:
    """Prepare a file for being mapped, which makes it as long as the mapping if it is to be written.

    Args:
        serial: The number in the name of the memory that has its path.
        file: A file descriptor, which stays the caller's.
        size: In bytes; 0 for all that the file has.
        protection: PAGE_*.

    Returns:
        The section, and the size of the mapping.

    Raises:
        Failure: The file is empty, too short, full or not open for this. It is unchanged.
    """
    is_written = protection in (PAGE_READWRITE, PAGE_EXECUTE_READWRITE)
    facts = os.fstat(file)
    mode = fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE
    if mode == os.O_WRONLY or (is_written and mode != os.O_RDWR):
        raise Failure(ERROR_ACCESS_DENIED)
    if not stat.S_ISREG(facts.st_mode) or not (size or facts.st_size):
        raise Failure(ERROR_FILE_INVALID)
    if size > facts.st_size:
        if not is_written:
            raise Failure(ERROR_NOT_ENOUGH_MEMORY)
        try:
            os.posix_fallocate(file, facts.st_size, size - facts.st_size)  # so that no later store can fail
        except OSError as err:
            raise Failure(ERROR_DISK_FULL) from err
    path = os.readlink(f"/proc/self/fd/{file}").encode("utf-8", "surrogateescape")
    memory = _create(serial, _WHERE.size + len(path))
    with memoryview(memory) as view:
        view[:] = _WHERE.pack(facts.st_dev, facts.st_ino, len(path)) + path
    return Section(memory, fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 0), 0), size or facts.st_size


def open_of_file(serial: int, protection: int) -> Section:
    """Open the file of a mapping that another process has made.

    Raises:
        Failure: The file is not where it was, or may not be opened here.
    """
    memory = penstock.Mapping.open(_name(serial))
    with memoryview(memory) as view:
        device, inode, length = _WHERE.unpack_from(view)
        path = bytes(view[_WHERE.size : _WHERE.size + length])
    how = os.O_RDWR if protection in (PAGE_READWRITE, PAGE_EXECUTE_READWRITE) else os.O_RDONLY
    try:
        fd = os.open(path, how | os.O_CLOEXEC)
    except OSError as err:
        memory.close()
        raise Failure(ERROR_ACCESS_DENIED if isinstance(err, PermissionError) else ERROR_FILE_INVALID) from err
    facts = os.fstat(fd)
    section = Section(memory, fd, 0)
    if (facts.st_dev, facts.st_ino) != (device, inode):
        section.close()
        raise Failure(ERROR_FILE_INVALID)
    return section


def _create(serial: int, size: int) -> penstock.Mapping:
    """Make memory that goes with its last user."""
    if size > MOST_BYTES:
        raise Failure(ERROR_NOT_ENOUGH_MEMORY)
    try:
        return penstock.Mapping.create(_name(serial), size, lifetime="while_open")
    except (penstock.NoSpace, penstock.SystemFailed) as err:
        raise Failure(ERROR_NOT_ENOUGH_MEMORY) from err


def _name(serial: int) -> str:
    """Return the name of a mapping's memory."""
    return f"win32.section-{serial:x}"
