"""What is passed: how a producer makes items that carry a number, and how a consumer finds the number again.

The number is the producer's index in the upper five bits, a count in the others. Small items are all different. Large
ones come from a few made beforehand, or making them would be most of what is measured; their counts repeat.
"""

from __future__ import annotations

import struct
from array import array
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

COUNT_BITS = 27
MOST_COUNT = 1 << COUNT_BITS
HEAD = struct.Struct("<I")


class Torn(Exception):
    """An item whose first and last bytes are not of the same item."""


class Item:
    """A kind of item. `period` is after how many items the counts repeat; 0: never."""

    nbytes = 0
    period = 0

    def make(self, producer: int, start: int, stop: int) -> Iterable[Any]:
        """Return the producer's items from one count to another."""
        raise NotImplementedError

    def numbers(self, items: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Return the numbers in items that were received, as an array of u4."""
        raise NotImplementedError

    def encode(self, item: Any) -> Any:
        """Turn an item into bytes, for peers that carry only those."""
        return item

    def decode(self, data: Any) -> Any:
        """Turn bytes back into an item."""
        return data


class Number(Item):
    """An unsigned integer of four bytes."""

    nbytes = 4

    @property
    def encode(self) -> Callable[[Any], bytes]:
        """Pack it."""
        return HEAD.pack

    def make(self, producer: int, start: int, stop: int) -> Iterable[int]:
        """Return a range."""
        base = producer << COUNT_BITS
        return range(base + start, base + stop)

    def make_array(self, producer: int, start: int, stop: int) -> np.ndarray[Any, Any]:
        """Return the same as an array."""
        base = producer << COUNT_BITS
        return np.arange(base + start, base + stop, dtype="u4")

    def numbers(self, items: Sequence[int]) -> np.ndarray[Any, Any]:
        """Return the items themselves."""
        return np.frombuffer(array("I", items), "u4")

    def decode(self, data: Any) -> int:
        """Return the number."""
        number: int = HEAD.unpack(data)[0]
        return number


class Message(Item):
    """Bytes that are all different: small enough to be made one by one."""

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes

    def make(self, producer: int, start: int, stop: int) -> Iterable[bytes]:
        """Make a block of messages at once and cut it up."""
        numbers = np.arange((producer << COUNT_BITS) + start, (producer << COUNT_BITS) + stop, dtype="<u4")
        block = np.zeros((stop - start, self.nbytes), "u1")
        block[:, : HEAD.size] = block[:, -HEAD.size :] = numbers.view("u1").reshape(-1, HEAD.size)
        whole = block.tobytes()
        return [whole[at : at + self.nbytes] for at in range(0, len(whole), self.nbytes)]

    def numbers(self, items: Sequence[bytes]) -> np.ndarray[Any, Any]:
        """Read the head of each, and compare it with the tail."""
        joined = np.frombuffer(b"".join(items), "<u4").reshape(-1, self.nbytes // HEAD.size)
        if (joined[:, 0] != joined[:, -1]).any():
            raise Torn("a message ends with another number than it begins with")
        return joined[:, 0]


class Repeated(Item):
    """Large items, a few of which are put again and again; each has its number in its first and its last bytes."""

    def __init__(self, nbytes: int, period: int) -> None:
        self.nbytes = nbytes
        self.period = period
        self._made: dict[int, list[Any]] = {}

    def make(self, producer: int, start: int, stop: int) -> Iterable[Any]:
        """Go round the items made beforehand."""
        if producer not in self._made:
            self._made[producer] = [self._new((producer << COUNT_BITS) + count) for count in range(self.period)]
        return islice(cycle(self._made[producer]), start % self.period, start % self.period + stop - start)

    def numbers(self, items: Sequence[Any]) -> np.ndarray[Any, Any]:
        """Read the heads and compare the tails."""
        return np.fromiter(map(self.number, items), "u4", len(items))

    def _new(self, number: int) -> Any:
        data = bytearray(self.nbytes)
        stamp(memoryview(data), number)
        return bytes(data)

    def number(self, item: Any) -> int:
        """Return the number in one item."""
        return look(memoryview(item))


class Frame(Repeated):
    """A NumPy array of u4, as a camera's frame."""

    def _new(self, number: int) -> Any:
        frame = np.zeros(self.nbytes // 4, "u4")
        frame[0] = frame[-1] = number
        return frame

    def number(self, item: Any) -> int:
        """Return the number in one frame."""
        head = int(item[0])
        if item[-1] != head or len(item) * 4 != self.nbytes:
            raise Torn(f"a frame begins with item {head} and ends with item {int(item[-1])}")
        return head

    def encode(self, item: Any) -> memoryview:
        """Return the array's bytes, without a copy."""
        return memoryview(item).cast("B")

    def decode(self, data: Any) -> Any:
        """Return an array of the bytes, without a copy."""
        return np.frombuffer(data, "u4")


class Small(Item):
    """A dict of a few fields, as programs pass them."""

    def make(self, producer: int, start: int, stop: int) -> Iterable[dict[str, Any]]:
        """Make dicts, one when it is asked for."""
        base = producer << COUNT_BITS
        return ({"id": base + n, "kind": "job", "size": [640, 480], "ok": True} for n in range(start, stop))

    def numbers(self, items: Sequence[dict[str, Any]]) -> np.ndarray[Any, Any]:
        """Read the field."""
        return np.frombuffer(array("I", [item["id"] for item in items]), "u4")

    @property
    def encode(self) -> Callable[[Any], bytes]:
        """Pickle it. The module is imported only where it is needed, as its size is measured too."""
        import pickle
        from functools import partial

        return partial(pickle.dumps, protocol=5)

    @property
    def decode(self) -> Callable[[Any], Any]:
        """Unpickle it."""
        import pickle

        return pickle.loads


def stamp(view: memoryview, number: int) -> None:
    """Write a number into the first and the last bytes."""
    HEAD.pack_into(view, 0, number)
    HEAD.pack_into(view, len(view) - HEAD.size, number)


def look(view: memoryview) -> int:
    """Read the number from the first bytes, and compare it with the last.

    Raises:
        Torn: They differ.
    """
    head: int = HEAD.unpack_from(view, 0)[0]
    tail: int = HEAD.unpack_from(view, len(view) - HEAD.size)[0]
    if head != tail:
        raise Torn(f"an item begins with number {head} and ends with number {tail}")
    return head


def item_of(name: str) -> Item:
    """Return the kind of items that a work's name says."""
    return {
        "u4": Number,
        "64B": lambda: Message(64),
        "1KiB": lambda: Repeated(1024, 1024),
        "64KiB": lambda: Repeated(64 * 1024, 64),
        "1MiB": lambda: Frame(1024 * 1024, 4),
        "object": Small,
    }[name]()
