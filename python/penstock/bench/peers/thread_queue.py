"""The standard library's queue between threads of one process: no copy, no kernel; the floor of what Python can do."""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any

from penstock.bench.peers._peer import Peer, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work


class ThreadQueue(Peer):
    """Passes references."""

    name = "queue.Queue (threads)"
    says = "Queue(capacity) between threads of one process, which share one interpreter's lock"
    is_threads = True

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._queue: queue.Queue[Any] = queue.Queue(work.capacity)

    def sender(self) -> Sender:
        """Return the queue's verb."""
        return Sender(self._queue.put)

    def receiver(self) -> Receiver:
        """Return the queue's verb."""
        return Receiver(self._queue.get)
