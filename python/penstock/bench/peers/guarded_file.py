"""The lesson's first option, as examples/guarded_file has it: a file of what waits, guarded by a named mutex."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import penstock
from penstock.bench._items import HEAD
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from penstock.bench._items import Item
    from penstock.bench._work import Work

_OBJECT_BYTES = 252
_ASK_AGAIN_SECONDS = 0.001


class GuardedFile(Peer):
    """Every step takes the mutex, reads the file, and puts a new one in its place: killed anywhere it loses nothing."""

    name = "guarded file"
    says = "a file on disk, guarded by a penstock.Mutex; each step replaces it; who cannot go on asks again after 1 ms"

    def __init__(self, work: Work, item: Item, place: Path) -> None:
        super().__init__(work, item, place)
        self._slot_bytes = HEAD.size + (item.nbytes or _OBJECT_BYTES)
        self._folder = tempfile.TemporaryDirectory(prefix="penstock-bench-")
        self._file = Path(self._folder.name) / "items.bin"
        self._file.write_bytes(b"")
        self._mutex = self._open()

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse what it has no verb for."""
        super().check(work)
        if work.way != "single":
            raise CannotDo("has put and get only")

    def sender(self) -> Sender:
        """Open the mutex, as each process does for itself."""
        mutex, encode = self._open(), self.item.encode

        def try_put(slot: bytes) -> bool:
            with mutex:
                waiting = self._file.read_bytes()
                if len(waiting) >= self.work.capacity * self._slot_bytes:
                    return False
                self._replace(waiting + slot)
                return True

        def put(item: Any) -> None:
            data = bytes(encode(item))
            slot = (HEAD.pack(len(data)) + data).ljust(self._slot_bytes, b"\0")
            while not try_put(slot):
                time.sleep(_ASK_AGAIN_SECONDS)

        return Sender(put)

    def receiver(self) -> Receiver:
        """Open the mutex."""
        mutex, decode = self._open(), self.item.decode

        def try_get() -> bytes:
            with mutex:
                waiting = self._file.read_bytes()
                if waiting:
                    self._replace(waiting[self._slot_bytes :])
                return waiting[: self._slot_bytes]

        def get() -> Any:
            while not (slot := try_get()):
                time.sleep(_ASK_AGAIN_SECONDS)
            return decode(slot[HEAD.size : HEAD.size + HEAD.unpack_from(slot)[0]])

        return Receiver(get)

    def _open(self) -> penstock.Mutex:
        return penstock.Mutex("bench-guarded-file", directory=self.place, lifetime="while_open")

    def _replace(self, waiting: bytes) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(waiting)
        os.replace(new, self._file)  # the old file or the new one, whoever is killed here

    def close(self) -> None:
        """Remove the file and the mutex."""
        self._mutex.close()
        self._folder.cleanup()
