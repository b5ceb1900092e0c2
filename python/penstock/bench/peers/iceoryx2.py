"""iceoryx2: publish and subscribe without a copy, by its Python binding."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import iceoryx2 as iox2

from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.bench._items import Item
    from penstock.bench._work import Work

iox2.set_log_level(iox2.LogLevel.Fatal)
_OBJECT_BYTES = 256
# A publisher that finds the buffer full sleeps, for milliseconds if need be: small items get one that is seldom full.
_SMALL_BYTES = 1024
_SMALL_ITEMS = 1000


class Iceoryx2(Peer):
    """Lossless: no overflow, and a publisher that tries again until there is room. Its subscribers poll."""

    name = "iceoryx2"
    module = "iceoryx2"
    package = "iceoryx2"
    says = (
        "publish-subscribe with enable_safe_overflow(False) and RetryUntilDelivered, which together lose nothing;"
        " subscriber_max_buffer_size is the capacity, for items up to 1 KiB at least 1000; the subscriber polls, as its"
        " examples do; numbers as c_uint32 by send_copy, the rest as slices of bytes"
    )
    most_consumers = 1
    one_reason = "every subscriber gets every item"

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._name = "bench"
        self._buffer = work.capacity if item.nbytes > _SMALL_BYTES else max(_SMALL_ITEMS, work.capacity)
        self._size = item.nbytes or _OBJECT_BYTES
        self._config = iox2.config.default()
        self._config.global_cfg.root_path = iox2.Path.new(str(place))
        # Its memory is in /dev/shm whatever the path, and that of killed processes stays there: found by this.
        self._prefix = f"penstock_bench_{os.getpid()}_{place.name}_"
        self._config.global_cfg.prefix = iox2.FileName.new(self._prefix)
        self._kept: Any = self._service()  # from the first to the last user, as any process that is there all the time

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what it has no verb for."""
        super().check(work)
        if work.way in ("batch", "array"):
            raise CannotDo("has no verb for many items")
        if work.kind == "memory" or work.name in ("put", "get"):
            raise CannotDo("keeps nothing for subscribers that are not there yet")

    def _service(self) -> Any:
        node = iox2.NodeBuilder.new().config(self._config).create(iox2.ServiceType.Ipc)
        kind: Any = ctypes.c_uint32 if self.work.item == "u4" else iox2.Slice[ctypes.c_uint8]
        service = (
            node.service_builder(iox2.ServiceName.new(self._name))
            .publish_subscribe(kind)
            .enable_safe_overflow(False)
            .subscriber_max_buffer_size(self._buffer)
            .max_publishers(self.work.producers + 1)
            .open_or_create()
        )
        return node, service

    def _publisher(self) -> Any:
        node, service = self._service()
        builder = service.publisher_builder().backpressure_strategy(iox2.BackpressureStrategy.RetryUntilDelivered)
        if self.work.item != "u4":
            builder = builder.initial_max_slice_len(self._size)
        return node, builder.create()

    def sender(self) -> Sender:
        """Create a node and a publisher."""
        node, publisher = self._publisher()
        encode, nbytes = self.item.encode, self.item.nbytes

        def put_number(number: int, _node: Any = node) -> None:
            publisher.send_copy(ctypes.c_uint32(number))

        def put(item: Any) -> None:
            data = encode(item)
            sample = publisher.loan_slice_uninit(len(data))
            sample.payload().as_memory_view().cast("B")[:] = data
            sample.assume_init().send()

        def write(fill: Callable[[memoryview], Any]) -> None:
            sample = publisher.loan_slice_uninit(nbytes)
            fill(sample.payload().as_memory_view().cast("B"))
            sample.assume_init().send()

        return Sender(put_number if self.work.item == "u4" else put, write=write)

    def receiver(self) -> Receiver:
        """Create a node and a subscriber."""
        node, service = self._service()
        receive = service.subscriber_builder().create().receive
        decode = self.item.decode

        def get_number(_node: Any = node) -> Any:
            while (sample := receive()) is None:
                pass
            return sample.payload().contents.value

        def get() -> Any:
            while (sample := receive()) is None:
                pass
            return decode(bytes(sample.payload().as_memory_view().cast("B")))

        def read(look: Callable[[memoryview], int]) -> int:
            while (sample := receive()) is None:
                pass
            return look(sample.payload().as_memory_view().cast("B"))

        return Receiver(get_number if self.work.item == "u4" else get, read=read)

    def opened(self) -> Callable[[], Any]:
        """Make what a program needs before it can send: a node, the service and a publisher."""
        held = [self._publisher()]
        return held.clear

    def close(self) -> None:
        """Remove what processes that were killed have left."""
        self._kept = None
        for left in Path("/dev/shm").glob(f"{self._prefix}*"):
            left.unlink(missing_ok=True)
