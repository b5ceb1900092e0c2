"""System V message queues: found by a key, kept by the kernel, bounded in bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sysv_ipc

from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_OBJECT_BYTES = 256


class SysvQueue(Peer):
    """A queue by key, opened by each process."""

    name = "sysv_ipc"
    module = "sysv_ipc"
    package = "sysv_ipc"
    says = "MessageQueue(key, max_message_size=the item's); it holds kernel.msgmnb bytes, whatever the capacity"
    is_in_kernel = True

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._size = item.nbytes or _OBJECT_BYTES
        self._queue = sysv_ipc.MessageQueue(None, sysv_ipc.IPC_CREX, max_message_size=self._size)
        if self._size > min(self._queue.max_size, _most_bytes()):
            self._queue.remove()
            raise CannotDo(f"the system's limit (kernel.msgmax) is {_most_bytes()} bytes for an item")

    def _open(self) -> Any:
        return sysv_ipc.MessageQueue(self._queue.key, max_message_size=self._size)

    def sender(self) -> Sender:
        """Open the queue."""
        send, encode = self._open().send, self.item.encode
        return Sender(lambda item: send(encode(item)))

    def receiver(self) -> Receiver:
        """Open the queue."""
        receive, decode = self._open().receive, self.item.decode
        return Receiver(lambda: decode(receive()[0]))

    def opened(self) -> Callable[[], Any]:
        """Open the queue by its key."""
        self._open()
        return lambda: None

    def close(self) -> None:
        """Remove the queue."""
        self._queue.remove()


def _most_bytes() -> int:
    with open("/proc/sys/kernel/msgmax") as file:
        return int(file.read())
