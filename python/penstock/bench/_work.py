"""What can be measured: one `Work` for each point on the axes, each with a name to select it by."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ITEMS = ("u4", "64B", "1KiB", "64KiB", "1MiB", "object")
CAPACITIES = (10, 1000, 100_000)
TOPOLOGIES = ((1, 1), (4, 1), (1, 4), (4, 4), (16, 16))

# What a producer and a consumer do with an item, and the capacity that is taken unless the name says another.
WAYS = {
    "single": 10,  # put and get, one at a time
    "batch": 1000,  # lists of 100
    "array": 100_000,  # NumPy arrays of 1000
    "in-place": 10,  # written whole into the queue's memory, read there
    "touch": 10,  # the same, but only the first and last bytes are written: what lending alone costs
    "lease": 10,  # put; lease and acknowledge
}
BATCH = {"batch": 100, "array": 1000}


@dataclass(frozen=True)
class Work:
    """One thing to measure. Everything about it is in its name."""

    name: str
    kind: str
    """Which of the measurements: "stream", "turns", "open", "import", "idle", "memory", "alone"."""
    unit: str
    is_more_better: bool
    item: str = "u4"
    way: str = "single"
    capacity: int = 10
    producers: int = 1
    consumers: int = 1
    is_asleep: bool = False
    """There and back: whether the other side is left to fall asleep before each item."""

    @property
    def batch(self) -> int:
        """How many items are handed over in one call."""
        return BATCH.get(self.way, 1)


def stream(item: str, way: str = "single", capacity: int | None = None, topology: tuple[int, int] = (1, 1)) -> Work:
    """Return the work of passing items from producers to consumers as fast as it goes."""
    usual = WAYS[way]
    size = usual if capacity is None else capacity
    name = f"{item}-{way}"
    if size != usual:
        name += f"-{size}"
    if topology != (1, 1):
        name += f"-{topology[0]}to{topology[1]}"
    return Work(name, "stream", "items/s", True, item, way, size, *topology)


def _turns(item: str, is_asleep: bool) -> Work:
    name = f"{item}-turns-{'asleep' if is_asleep else 'spinning'}"
    return Work(name, "turns", "us", False, item, is_asleep=is_asleep)


ONCE = (
    Work("open", "open", "us", False),
    Work("import", "import", "ms", False),
    Work("idle", "idle", "% of a CPU", False, consumers=10),
    Work("memory-empty", "memory", "KiB", False),
    Work("memory-full", "memory", "KiB", False, capacity=1_000_000),
)
ALONE = (
    Work("call", "alone", "ns", False),  # an empty method of the queue's class
    Work("put", "alone", "ns", False),
    Work("get", "alone", "ns", False),
    Work("lease", "alone", "ns", False),  # a lease and its acknowledgement
    Work("pickling", "alone", "items/s", True, "object"),
    Work("memcpy", "alone", "items/s", True, "1MiB"),
)


def _can_be(item: str, way: str) -> bool:
    return {"array": item == "u4", "in-place": item in _LARGE, "touch": item in _LARGE}.get(way, True)


_LARGE = ("64B", "1KiB", "64KiB", "1MiB")
EVERY = {
    work.name: work
    for work in (
        *(stream(*point) for point in product(ITEMS, WAYS, CAPACITIES, TOPOLOGIES) if _can_be(point[0], point[1])),
        *(_turns(item, is_asleep) for item in ITEMS for is_asleep in (False, True)),
        *ONCE,
        *ALONE,
    )
}
"""Every work there is, by name."""


def _one_axis_at_a_time() -> tuple[str, ...]:
    base = stream("u4")
    objects = stream("object", capacity=1000)
    works = [
        *(stream(item) for item in ITEMS),
        *(stream(item, "batch") for item in ITEMS[:3]),
        stream("object", "batch"),
        stream("u4", "array"),
        *(stream(item, way) for item in _LARGE for way in ("in-place", "touch")),
        *(stream("u4", capacity=capacity) for capacity in CAPACITIES[1:]),
        *(stream("object", capacity=capacity) for capacity in CAPACITIES[1:]),
        *(stream("u4", topology=topology) for topology in TOPOLOGIES[1:]),
        *(stream("object", capacity=1000, topology=topology) for topology in TOPOLOGIES[1:]),
        *(stream(item, "lease") for item in ("u4", "object")),
        base,
        objects,
    ]
    turns = [_turns(item, is_asleep) for item in ("u4", "object", "1MiB") for is_asleep in (False, True)]
    return tuple(dict.fromkeys(work.name for work in (*works, *turns, *ONCE)))


SELECTIONS = {
    "quick": ("u4-single", "object-single-1000", "1MiB-single", "u4-turns-spinning"),
    "usual": (
        *("u4-single", "u4-single-4to4", "u4-batch", "object-single-1000", "1MiB-single", "1MiB-in-place"),
        *("u4-turns-spinning", "u4-turns-asleep"),
    ),
    "all": _one_axis_at_a_time(),
}
"""Works that are measured together: a minute's, five minutes' for docs/benchmarks.md, and each axis for itself."""


class UnknownWork(ValueError):
    """No work is called that. Remedy: `penstock bench --list` has the names."""


def select(patterns: Iterable[str]) -> list[Work]:
    """Return the works whose names fit one of the patterns, which may have `*` and `?`, each once, in their order.

    Raises:
        UnknownWork: A pattern fits none.
    """
    chosen: dict[str, Work] = {}
    for pattern in patterns:
        found = [name for name in EVERY if fnmatchcase(name, pattern)]
        if not found:
            raise UnknownWork(f"there is no work {pattern!r}")
        chosen.update((name, EVERY[name]) for name in found)
    return list(chosen.values())
