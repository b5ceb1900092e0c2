"""Segments whose bytes cannot be, made from whole ones: cut off, with bits flipped, with words overwritten.

Where a field of the first page is overwritten, its check is set right again. Deterministic: a case is its image, its
seed and its number. Imports no pytest.
"""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = 4096
BODY_AT = PAGE + 1024 + 1024 * 32
CHECK_AT = 8 + 4 * 4 + 8 * 3 + 4 * 2 + 8 * 16 + 2048
"""Where the check of the first page stands: after magic, words, lengths, parameters and the item's description."""

FIELDS = {
    "magic": (0, 8),
    "version": (8, 4),
    "byte order": (12, 4),
    "kind": (16, 4),
    "flags": (20, 4),
    "length": (24, 8),
    "committed": (32, 8),
    "created": (40, 8),
    "creator": (48, 4),
    "item length": (52, 4),
    **{f"parameter {nth}": (56 + 8 * nth, 8) for nth in range(16)},
    "item": (56 + 8 * 16, 8),
}

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15


def check_of(data: bytes) -> int:
    """Return the check of a first page's bytes, as `docs/memory-layout.md` has it."""
    total = _STEP ^ len(data)
    for at in range(0, len(data), 8):
        total = (total ^ int.from_bytes(data[at : at + 8].ljust(8, b"\0"), "little")) * _STEP & _MASK
        total ^= total >> 29
    return total


def sign(data: bytearray) -> None:
    """Set the check of the first page right again."""
    struct.pack_into("<Q", data, CHECK_AT, check_of(bytes(data[:CHECK_AT])))


class Case(NamedTuple):
    """One segment that cannot be, and how it was made."""

    story: str
    data: bytes


def cases(image: bytes, seed: int, count: int) -> Iterator[Case]:
    """Make so many segments of each sort from a whole one."""
    dice = random.Random(seed)
    yield Case("untouched", image)
    for _ in range(count):
        length = dice.choice((dice.randrange(300), dice.randrange(len(image))))
        yield Case(f"cut off after {length}", image[:length])
    for _ in range(count):
        data = bytearray(image)
        bit = dice.randrange(len(data) * 8)
        data[bit // 8] ^= 1 << bit % 8
        yield Case(f"bit {bit} flipped", bytes(data))
    for field, (at, size) in FIELDS.items():
        for value in _values(dice, int.from_bytes(image[at : at + size], "little"), size):
            data = bytearray(image)
            data[at : at + size] = value.to_bytes(size, "little")
            sign(data)
            yield Case(f"{field} is {value}", bytes(data))
    for nth in range(4 * count):
        data = bytearray(image)
        for _ in range(dice.randint(1, 3)):
            _overwrite_word(dice, data)
        yield Case(f"words overwritten, number {nth}", bytes(data))
    for nth in range(count):
        data = bytearray(image)
        start = dice.randrange(PAGE, len(data))
        noise = dice.randbytes(min(dice.randint(1, 5000), len(data) - start))
        data[start : start + len(noise)] = noise
        yield Case(f"noise at {start}, number {nth}", bytes(data))
    yield Case("all noise", b"PENSTOCK" + dice.randbytes(len(image)))


def _values(dice: random.Random, old: int, size: int) -> list[int]:
    most = (1 << 8 * size) - 1
    near = [old + 1, old - 1, old * 2, old ^ 1 << dice.randrange(8 * size)]
    return [value & most for value in (0, most, most >> 1, dice.randint(0, most), 1 << dice.randrange(8 * size), *near)]


def _overwrite_word(dice: random.Random, data: bytearray) -> None:
    """Overwrite one word of those that change: lines of control, participants, rings, heads of slots, payloads."""
    end = min(len(data), BODY_AT + 2000)
    start, stop = dice.choice(((PAGE, PAGE + 1024), (PAGE, PAGE + 64), (PAGE + 1024, PAGE + 1300), (BODY_AT, end)))
    at = dice.randrange(start, max(stop, start + 8), 4)
    if at + 8 > len(data):
        at = PAGE
    old = int.from_bytes(data[at : at + 4], "little")
    owner = dice.choice((1, 2, 1023)) | 1 << 10
    word = dice.choice(
        (0, 1, 2, 0xFFFFFFFF, dice.getrandbits(32), old + 1, old - 1, owner, 3 | owner << 3, 1 | owner << 3)
    )
    struct.pack_into("<I", data, at, word & 0xFFFFFFFF)
