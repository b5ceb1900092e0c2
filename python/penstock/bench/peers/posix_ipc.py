"""POSIX message queues: named, kept by the kernel, bounded in items and bytes by the system's settings."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import posix_ipc

from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_OBJECT_BYTES = 256


class PosixQueue(Peer):
    """A queue by name, opened by each process."""

    name = "posix_ipc"
    module = "posix_ipc"
    package = "posix_ipc"
    says = "MessageQueue(max_messages=capacity, max_message_size=the item's), one priority"
    is_in_kernel = True

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._name = f"/penstock-bench-{os.getpid()}-{place.name}"
        size = item.nbytes or _OBJECT_BYTES
        try:
            self._queue = posix_ipc.MessageQueue(
                self._name, posix_ipc.O_CREX, max_messages=work.capacity, max_message_size=size
            )
        except (ValueError, OSError, MemoryError) as error:
            raise CannotDo(f"the system's limits (fs.mqueue) forbid {work.capacity} items of {size} bytes") from error

    def sender(self) -> Sender:
        """Open the queue."""
        send, encode = posix_ipc.MessageQueue(self._name).send, self.item.encode
        return Sender(lambda item: send(encode(item)))

    def receiver(self) -> Receiver:
        """Open the queue."""
        receive, decode = posix_ipc.MessageQueue(self._name).receive, self.item.decode
        return Receiver(lambda: decode(receive()[0]))

    def opened(self) -> Callable[[], Any]:
        """Open the queue by its name."""
        close: Callable[[], Any] = posix_ipc.MessageQueue(self._name).close
        return close

    def close(self) -> None:
        """Remove the name."""
        self._queue.close()
        self._queue.unlink()
