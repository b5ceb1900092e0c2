"""The lesson in plain Python: shared memory, one lock, a semaphore for the room and one for the items."""

from __future__ import annotations

import multiprocessing
from multiprocessing.shared_memory import SharedMemory
from typing import TYPE_CHECKING, Any

from penstock.bench._items import HEAD
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_CONTEXT = multiprocessing.get_context("fork")
_ENDS_BYTES = 2 * HEAD.size  # where to write next, where to read next
_OBJECT_BYTES = 252


class Lesson(Peer):
    """A ring of slots, each with a length and an item."""

    name = "lesson in Python"
    says = "SharedMemory, a Lock and two Semaphores; slots with a length before the item"

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._slot_bytes = HEAD.size + (item.nbytes or _OBJECT_BYTES)
        self._memory = SharedMemory(create=True, size=_ENDS_BYTES + work.capacity * self._slot_bytes)
        self._lock = _CONTEXT.Lock()
        self._room = _CONTEXT.Semaphore(work.capacity)
        self._items = _CONTEXT.Semaphore(0)

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what the lesson has no verb for."""
        super().check(work)
        if work.way != "single":
            raise CannotDo("has put and get only")

    def sender(self) -> Sender:
        """Write where the ring's end is."""
        view, capacity, slot_bytes = self._view(), self.work.capacity, self._slot_bytes
        encode, lock, room, items = self.item.encode, self._lock, self._room, self._items

        def put(item: Any) -> None:
            data = encode(item)
            size = len(data)
            room.acquire()
            with lock:
                place = HEAD.unpack_from(view, 0)[0]
                at = _ENDS_BYTES + place * slot_bytes
                HEAD.pack_into(view, at, size)
                view[at + HEAD.size : at + HEAD.size + size] = data
                HEAD.pack_into(view, 0, (place + 1) % capacity)
            items.release()

        return Sender(put)

    def receiver(self) -> Receiver:
        """Read where the ring begins."""
        view, capacity, slot_bytes = self._view(), self.work.capacity, self._slot_bytes
        decode, lock, room, items = self.item.decode, self._lock, self._room, self._items

        def get() -> Any:
            items.acquire()
            with lock:
                place = HEAD.unpack_from(view, HEAD.size)[0]
                at = _ENDS_BYTES + place * slot_bytes
                size = HEAD.unpack_from(view, at)[0]
                data = bytes(view[at + HEAD.size : at + HEAD.size + size])
                HEAD.pack_into(view, HEAD.size, (place + 1) % capacity)
            room.release()
            return decode(data)

        return Receiver(get)

    def _view(self) -> memoryview:
        view = self._memory.buf
        assert view is not None
        return view

    def close(self) -> None:
        """Remove the memory."""
        self._memory.close()
        self._memory.unlink()
