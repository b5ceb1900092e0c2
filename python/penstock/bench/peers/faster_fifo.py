"""faster-fifo: a drop-in for multiprocessing.Queue with a ring of bytes in shared memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import faster_fifo
import numpy as np

from penstock.bench.peers._peer import Peer, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

# The ring's size is the first thing that its documentation has one choose, and it chooses generously; the default.
_LEAST_RING_BYTES = 1_000_000
_MORE_BYTES = 64  # what each item takes beside its bytes


class FasterFifo(Peer):
    """Inherited by fork, as its documentation's example has it."""

    name = "faster-fifo"
    module = "faster_fifo"
    package = "faster-fifo"
    says = (
        "Queue(max_size_bytes=room for all, maxsize=capacity), its own pickling for numbers and dicts,"
        " loads= and dumps= that only copy for bytes and arrays; put_many and get_many for batches"
    )

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        serialisers: dict[str, Any] = {}
        if work.item not in ("u4", "object"):
            # Loads is lent a view that is good until the next get.
            is_frame = work.item == "1MiB"
            serialisers = {
                "dumps": np.ndarray.tobytes if is_frame else bytes,
                "loads": _frame if is_frame else bytes,
            }
        size = max(_LEAST_RING_BYTES, work.capacity * (item.nbytes + _MORE_BYTES))
        self._queue = faster_fifo.Queue(max_size_bytes=size, maxsize=work.capacity, **serialisers)

    def sender(self) -> Sender:
        """Return the inherited queue's verbs."""
        return Sender(self._queue.put, self._queue.put_many)

    def receiver(self) -> Receiver:
        """Return the inherited queue's verbs."""
        get_many = self._queue.get_many
        return Receiver(self._queue.get, lambda most: get_many(max_messages_to_get=most))


def _frame(view: memoryview) -> Any:
    return np.frombuffer(bytes(view), "u4")
