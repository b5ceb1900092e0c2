"""The lesson's other half: a file on disk that a mutex guards. Who cannot go on looks again later."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from typing import TYPE_CHECKING, Any

from penstock.bench._items import HEAD
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.bench._items import Item
    from penstock.bench._work import Work

_ENDS_BYTES = 2 * HEAD.size  # how many were written, how many were read
_OBJECT_BYTES = 252
_LOOK_AGAIN_SECONDS = 0.0001


class GuardedFile(Peer):
    """A ring of slots in a file; every step opens with the lock and is a read or write of the file."""

    name = "guarded file"
    says = "a file of slots on disk, guarded by a lock on it (flock); who cannot go on looks again after 0.1 ms"

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._slot_bytes = HEAD.size + (item.nbytes or _OBJECT_BYTES)
        fd, self._path = tempfile.mkstemp(prefix="penstock-bench-")
        os.write(fd, bytes(_ENDS_BYTES))
        os.close(fd)

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what it has no verb for."""
        super().check(work)
        if work.way != "single":
            raise CannotDo("has put and get only")

    def sender(self) -> Sender:
        """Open the file, as each process does for itself: a lock belongs to an opening of it."""
        fd, encode = os.open(self._path, os.O_RDWR), self.item.encode

        def try_put(data: Any) -> bool:
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                written, read = self._ends(fd)
                if written - read >= self.work.capacity:
                    return False
                os.pwritev(fd, [HEAD.pack(len(data)), data], self._at(written))
                os.pwrite(fd, HEAD.pack(written + 1), 0)
                return True
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

        def put(item: Any) -> None:
            data = encode(item)
            while not try_put(data):
                time.sleep(_LOOK_AGAIN_SECONDS)

        return Sender(put)

    def receiver(self) -> Receiver:
        """Open the file."""
        fd, decode = os.open(self._path, os.O_RDWR), self.item.decode

        def try_get() -> bytes | None:
            fcntl.flock(fd, fcntl.LOCK_EX)
            try:
                written, read = self._ends(fd)
                if written == read:
                    return None
                slot = os.pread(fd, self._slot_bytes, self._at(read))
                os.pwrite(fd, HEAD.pack(read + 1), HEAD.size)
                return slot
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)

        def get() -> Any:
            while (slot := try_get()) is None:
                time.sleep(_LOOK_AGAIN_SECONDS)
            return decode(slot[HEAD.size : HEAD.size + HEAD.unpack_from(slot)[0]])

        return Receiver(get)

    def _ends(self, fd: int) -> tuple[int, int]:
        ends = os.pread(fd, _ENDS_BYTES, 0)
        return HEAD.unpack_from(ends, 0)[0], HEAD.unpack_from(ends, HEAD.size)[0]

    def _at(self, count: int) -> int:
        return _ENDS_BYTES + count % self.work.capacity * self._slot_bytes

    def close(self) -> None:
        """Remove the file."""
        os.unlink(self._path)
