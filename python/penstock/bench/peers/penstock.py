"""penstock itself, on its public interface: docs/reference.md."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import penstock
from penstock.bench.peers._peer import Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

# An array in a queue of objects takes a few hundred bytes that say what it is (docs/howto/camera-frames.md).
_WORDS_BYTES = 1000


class Penstock(Peer):
    """A queue by name, opened by each process."""

    name = "penstock"
    says = "a named queue; numbers as u4, bytes as bytes, dicts and arrays as objects"

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        kind: Any = {"u4": "u4", "object": object, "1MiB": object}.get(work.item, bytes)
        if work.way in ("in-place", "touch"):
            kind = bytes
        most = None if kind == "u4" else max(1, item.nbytes) + _WORDS_BYTES
        self._queue = penstock.Queue.create(
            "bench", capacity=work.capacity, item=kind, max_item_bytes=most, directory=place
        )

    def _open(self) -> penstock.Queue:
        return penstock.Queue.open("bench", directory=self.place)

    def sender(self) -> Sender:
        """Open the queue."""
        queue, nbytes = self._open(), self.item.nbytes

        def write(fill: Callable[[memoryview], Any]) -> None:
            with queue.reserve(nbytes) as view:
                fill(view)

        return Sender(queue.put, queue.put_many, queue.put_many, write)

    def receiver(self) -> Receiver:
        """Open the queue."""
        queue = self._open()

        def read(look: Callable[[memoryview], int]) -> int:
            with queue.lease() as lease:
                return look(lease.view)

        take = queue.lease

        def lease() -> Any:
            lease = take()
            value = lease.value
            lease.ack()
            return value

        return Receiver(queue.get, queue.get_many, queue.get_array, read, lease)

    @classmethod
    def import_statement(cls) -> str:
        """Import all that a queue needs: the package alone would put it off."""
        return "import penstock; penstock.Queue"

    def empty_call(self) -> Callable[[], Any]:
        """Return the method that is there for this."""
        nothing: Callable[[], Any] = self._queue._nothing
        return nothing

    def opened(self) -> Callable[[], Any]:
        """Open the queue by its name."""
        return self._open().close

    def nbytes(self) -> int:
        """Return what its file takes."""
        return os.stat(self._queue.path).st_blocks * 512

    def close(self) -> None:
        """Remove the name."""
        self._queue.unlink()
        self._queue.close()
