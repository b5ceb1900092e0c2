"""What workers note: before each verb that they are about to call it, and after it what it did.

One file for each process, outside of the queue's memory, to which every record is appended by a system call of its own.
So whatever kills the process, what it noted stays noted, and at most the verb that it was in is in doubt.
"""

from __future__ import annotations

import enum
import os
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RECORD = struct.Struct("<QQIHH")


STREAMS = 4
"""How many numbers of streams each process has: as many threads or tasks as it may have."""


class Kind(enum.IntEnum):
    """What a record says, of an item's word and a count."""

    PUT_BEGIN = enum.auto()
    """About to put so many items, from the word on."""
    PUT_END = enum.auto()
    """So many were put, from the word on."""
    NO_SPACE = enum.auto()
    """They were not, because the file system is full."""
    GET_BEGIN = enum.auto()
    """About to take so many items at most."""
    LEASE_BEGIN = enum.auto()
    """About to lease one."""
    GOT = enum.auto()
    """The item was taken, for good."""
    TAKE_END = enum.auto()
    """All that was taken has been noted."""
    LEASED = enum.auto()
    """The item is on loan; the count says for the how manieth time."""
    ACK_BEGIN = enum.auto()
    ACK_END = enum.auto()
    BACK_BEGIN = enum.auto()
    """About to give the item back."""
    BACK_END = enum.auto()
    TORN = enum.auto()
    """An item that was taken is not whole."""


class Record(NamedTuple):
    """One record, as it was read."""

    at_ns: int
    word: int
    stream: int
    kind: Kind
    many: int


class Ledger:
    """A process's file to write to. Its streams (a thread, a task, or all of it) are told apart by their numbers."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def note(self, stream: int, kind: Kind, word: int = 0, many: int = 1) -> None:
        """Append a record."""
        os.write(self._file, RECORD.pack(time.monotonic_ns(), word, stream, kind, many))

    def note_all(self, stream: int, kind: Kind, words: list[int]) -> None:
        """Append a record for each word, at once: what takes long to note is long in doubt."""
        now = time.monotonic_ns()
        os.write(self._file, b"".join([RECORD.pack(now, word, stream, kind, 1) for word in words]))


def size(path: Path) -> int:
    """Tell how much a process has noted; nothing if it has not begun."""
    return path.stat().st_size if path.exists() else 0


DONE = {Kind.GOT, Kind.LEASED, Kind.ACK_END}


def has_done_something(path: Path, since: int) -> bool:
    """Tell whether a process has put or taken an item after it had noted so much."""
    if size(path) <= since:
        return False
    with path.open("rb") as file:
        file.seek(since)
        data = file.read()
    records = RECORD.iter_unpack(data[: len(data) - len(data) % RECORD.size])
    return any(kind in DONE or (kind == Kind.PUT_END and many) for _, _, _, kind, many in records)


KINDS = {int(kind): kind for kind in Kind}


def read(path: Path) -> Iterator[Record]:
    """Read what a process noted."""
    data = path.read_bytes()
    for at_ns, word, stream, kind, many in RECORD.iter_unpack(data[: len(data) - len(data) % RECORD.size]):
        yield Record(at_ns, word, stream, KINDS[kind], many)
