"""cloudtoid-interprocess: queues of bytes in shared memory, for several languages."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from cloudtoid_interprocess import Publisher, Subscriber

from penstock.bench.peers._peer import Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_OBJECT_BYTES = 256
_HEAD_BYTES = 32  # what each item takes beside its bytes, and to spare
_LEAST_BYTES = 65536  # its documentation's example


class Cloudtoid(Peer):
    """A queue by name, opened by each process. One that is full is tried again, as its documentation has one do."""

    name = "cloudtoid"
    module = "cloudtoid_interprocess"
    package = "cloudtoid-interprocess"
    says = (
        "capacity in bytes: 65536 as in its example, or room for all items; receive() waits, try_send is tried again"
        " after giving way; try_send_batch for batches"
    )

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        size = max(_LEAST_BYTES, work.capacity * ((item.nbytes or _OBJECT_BYTES) + _HEAD_BYTES))
        self._where = (f"bench-{os.getpid()}", -(-size // 4096) * 4096, str(place))
        self._kept = Subscriber(*self._where)  # a queue is gone with its last user

    def sender(self) -> Sender:
        """Open the queue."""
        publisher, encode = Publisher(*self._where), self.item.encode
        try_send, try_send_batch = publisher.try_send, publisher.try_send_batch

        def put(item: Any) -> None:
            data = encode(item)
            while not try_send(data):
                time.sleep(0)

        def put_many(items: Sequence[Any]) -> None:
            data = [encode(item) for item in items]
            while data:
                sent = try_send_batch(data)
                data = data[sent:]
                if sent == 0:
                    time.sleep(0)

        return Sender(put, put_many)

    def receiver(self) -> Receiver:
        """Open the queue."""
        subscriber, decode = Subscriber(*self._where), self.item.decode
        receive, try_receive = subscriber.receive, subscriber.try_receive

        def get() -> Any:
            return decode(receive())

        def get_many(most: int) -> Sequence[Any]:
            items = [decode(receive())]
            while len(items) < most and (data := try_receive()) is not None:
                items.append(decode(data))
            return items

        return Receiver(get, get_many)

    def opened(self) -> Callable[[], Any]:
        """Open the queue by its name."""
        close: Callable[[], Any] = Publisher(*self._where).close
        return close

    def close(self) -> None:
        """Leave as the last one: that removes it."""
        self._kept.close()
