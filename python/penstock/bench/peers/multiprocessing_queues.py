"""The queues and the pipe of the standard library's multiprocessing, inherited by fork as its documentation has it."""

from __future__ import annotations

import multiprocessing
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.bench.peers._peer import Peer, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_CONTEXT = multiprocessing.get_context("fork")


class Queue(Peer):
    """Bounded by a semaphore; a thread of the producer feeds a pipe."""

    name = "multiprocessing.Queue"
    says = "Queue(capacity), items as they are"

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._queue: Any = _CONTEXT.Queue(work.capacity)

    def sender(self) -> Sender:
        """Return the inherited queue's verb."""
        return Sender(self._queue.put)

    def receiver(self) -> Receiver:
        """Return the inherited queue's verb."""
        return Receiver(self._queue.get)

    @classmethod
    def import_statement(cls) -> str:
        """Import what a program imports."""
        return "from multiprocessing import Queue, queues, synchronize"

    def close(self) -> None:
        """Let nothing wait for what was not fetched."""
        self._queue.cancel_join_thread()
        self._queue.close()


class SimpleQueue(Peer):
    """A pipe with two locks; bounded by the pipe's bytes."""

    name = "multiprocessing.SimpleQueue"
    says = "SimpleQueue(), items as they are; it holds what its pipe holds"
    is_in_kernel = True

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._queue: Any = _CONTEXT.SimpleQueue()

    def sender(self) -> Sender:
        """Return the inherited queue's verb."""
        return Sender(self._queue.put)

    def receiver(self) -> Receiver:
        """Return the inherited queue's verb."""
        return Receiver(self._queue.get)

    def close(self) -> None:
        """Close both ends."""
        self._queue.close()


class Pipe(Peer):
    """One way; bytes by send_bytes, everything else by send."""

    name = "multiprocessing.Pipe"
    says = "Pipe(duplex=False); send_bytes and recv_bytes for bytes and arrays, send and recv for the rest"
    most_producers = most_consumers = 1
    is_in_kernel = True

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._reader, self._writer = _CONTEXT.Pipe(duplex=False)

    def sender(self) -> Sender:
        """Return the inherited connection's verb."""
        if self.work.item in ("u4", "object"):
            return Sender(self._writer.send)
        if self.work.item == "1MiB":
            return Sender(lambda frame: self._writer.send_bytes(self.item.encode(frame)))
        return Sender(self._writer.send_bytes)

    def receiver(self) -> Receiver:
        """Return the inherited connection's verb."""
        if self.work.item in ("u4", "object"):
            return Receiver(self._reader.recv)
        if self.work.item == "1MiB":
            # recv_bytes_into saves a copy, so it gets an array of its own for each frame.
            return Receiver(partial(_receive_frame, self._reader, self.item.nbytes))
        return Receiver(self._reader.recv_bytes)

    def close(self) -> None:
        """Close both ends."""
        self._reader.close()
        self._writer.close()


def _receive_frame(reader: Any, nbytes: int) -> Any:
    import numpy as np

    frame: Any = np.empty(nbytes // 4, "u4")
    reader.recv_bytes_into(memoryview(frame).cast("B"))
    return frame
