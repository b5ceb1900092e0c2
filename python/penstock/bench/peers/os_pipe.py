"""A pipe of the system: what passes is a stream of bytes, so items of one size are read as records."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.bench.peers import _records
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work


class OsPipe(Peer):
    """Items in a pipe."""

    name = "os.pipe"
    says = "write and read of one item each, 4 bytes of length before an object; it holds 64 KiB"
    # Reads and writes of up to PIPE_BUF bytes are whole ones, but only of items of that size: pipe(7).
    most_producers = most_consumers = 1
    is_in_kernel = True

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._reader, self._writer = os.pipe()

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what is no stream of records."""
        super().check(work)
        if work.way not in ("single", "batch"):
            raise CannotDo("bytes are copied in and out")

    def sender(self) -> Sender:
        """Write each item whole."""
        return _records.sender(partial(os.write, self._writer), self.item)

    def receiver(self) -> Receiver:
        """Read each item whole."""
        return _records.receiver(partial(_read_into, self._reader), partial(os.read, self._reader), self.item)

    def close(self) -> None:
        """Close both ends."""
        os.close(self._reader)
        os.close(self._writer)


def _read_into(fd: int, view: Any) -> int:
    return os.readv(fd, [view])
