"""Items that tell who put them as which, and show when they are torn.

Each has a word: the number of the producer that put it, and which of that producer's items it is. The word says all the
rest of the item, its size too, so that whoever takes it can tell whether it is whole.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import random

STOP = (1 << 64) - 1
"""The word of an item that nobody counts: it tells consumers to end."""


def word_of(producer: int, serial: int) -> int:
    """Name an item: the producer in the upper half, and which of its items in the lower."""
    return producer << 32 | serial


class Scenario(NamedTuple):
    """What passes through the queue of one round, and how it is taken."""

    item: str
    """The queue's kind of items."""
    sizes: tuple[int, ...]
    """Sizes of the items' bodies in bytes, multiples of 8."""
    capacity: int
    takes: tuple[str, ...]
    """The verbs of consumers."""
    is_space_short: bool = False
    """Whether the file system is full most of the time."""

    @property
    def lends(self) -> bool:
        """Whether an item is ever on loan: only numbers that are got, and not leased, never are."""
        return self.item != "u8" or "lease" in self.takes

    @property
    def is_leased_only(self) -> bool:
        """Whether every item is leased: then none may be lost with a dead consumer, unless it was acknowledging it."""
        return set(self.takes) == {"lease"}

    def size_of(self, word: int) -> int:
        """Tell the size of an item's body."""
        return self.sizes[(word * 0x9E3779B97F4A7C15 >> 40) % len(self.sizes)]

    def make(self, word: int) -> Any:
        """Make the item of a word."""
        if self.item == "u8":
            return word
        body = word.to_bytes(8, "little") * (self.size_of(word) // 8)
        return body if self.item == "bytes" else (word, pickle.PickleBuffer(body))

    def read(self, item: Any) -> int | None:
        """Tell the word of an item that was taken; None if it is not whole."""
        if self.item == "u8":
            return int(item)
        word, body = (int.from_bytes(item[:8], "little"), item) if self.item == "bytes" else item
        return word if body == word.to_bytes(8, "little") * (self.size_of(word) // 8) else None


SMALL = (8, 16, 64, 200)
LARGE = (304, 3000, 20_000, 100_000)
MAX_ITEM_BYTES = 101_000


def any_scenario(chance: random.Random, is_space_short: bool) -> Scenario:
    """Draw what one round is about."""
    takes = chance.choice([("lease",), ("get",), ("get_many",), ("get", "get_many", "lease")])
    if is_space_short:
        return Scenario("bytes", LARGE, 200, takes, is_space_short=True)
    item = chance.choice(["u8", "u8", "bytes", "bytes", "object"])
    if item == "u8":
        return Scenario(item, (8,), chance.choice([1, 2, 10, 100, 1000]), takes)
    sizes = chance.choice([SMALL, SMALL + LARGE, LARGE])
    return Scenario(item, sizes, chance.choice([1, 2, 10, 100]), takes)
