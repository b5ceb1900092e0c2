"""What penstock holds itself to: each bar is a ratio of two figures of one run, or a figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.bench._text import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.bench._results import Results

Figure = tuple[str, str]
"""A work and a peer."""

_US = "penstock"


@dataclass(frozen=True)
class Bar:
    """One promise."""

    says: str
    limit: float
    is_at_least: bool
    top: Figure
    bottom: tuple[Figure, ...] = ()
    """What it is measured against; several are added up; none: it is the figure itself."""
    figure: str = "value"
    """Which of the figures at the top."""

    def jobs(self) -> tuple[Figure, ...]:
        """Return what has to be measured for it."""
        return (self.top, *self.bottom)

    def measured(self, results: Results) -> float | None:
        """Return the ratio; None if something of it has no figure."""
        row = results.row(*self.top)
        top = row.median(self.figure) if row else None
        bottom = [row.median() if (row := results.row(*job)) else None for job in self.bottom]
        known = [figure for figure in bottom if figure is not None]
        if top is None or len(known) < len(bottom):
            return None
        return top / sum(known) if known else top

    def is_met(self, results: Results) -> bool | None:
        """Return whether it is kept; None if that is not known."""
        value = self.measured(results)
        if value is None:
            return None
        return value >= self.limit if self.is_at_least else value <= self.limit


def _faster(work: str, than: str, times: float, their_work: str | None = None) -> Bar:
    theirs = their_work or work
    return Bar(
        f"{work}: times {than}{f' at {theirs}' if their_work else ''}", times, True, (work, _US), ((theirs, than),)
    )


def _quicker(work: str, than: str, part: float) -> Bar:
    return Bar(f"{work}: part of {than}'s time", part, False, (work, _US), ((work, than),))


def _share(work: str, of: str, part: float) -> Bar:
    return Bar(f"{work}: part of the rate of {of}", part, True, (work, _US), ((of, _US),))


def _at_most(says: str, limit: float, work: str) -> Bar:
    return Bar(says, limit, False, (work, _US))


BARS = (
    _faster("u4-single", "multiprocessing.Queue", 100),
    _faster("u4-single", "pyzmq", 8),
    Bar("put: times an empty method call", 2.5, False, ("put", _US), (("call", _US),)),
    Bar("get: times an empty method call", 2.5, False, ("get", _US), (("call", _US),)),
    _share("u4-single-4to4", "u4-single", 0.5),
    _share("u4-single-16to16", "u4-single", 0.5),
    _faster("object-single-1000", "multiprocessing.Queue", 4),
    Bar(
        "object-single-1000: part of the rate of pickling alone",
        0.7,
        True,
        ("object-single-1000", _US),
        (("pickling", "python"),),
    ),
    Bar("u4-array: items/s", 50e6, True, ("u4-array", _US)),
    _faster("u4-array", "faster-fifo", 100, "u4-batch"),
    _faster("1MiB-single", "multiprocessing.Queue", 50),
    _faster("1MiB-single", "iceoryx2", 1.2),
    Bar("1MiB-single: part of the rate of memcpy", 0.3, True, ("1MiB-single", _US), (("memcpy", "python"),)),
    _faster("1MiB-in-place", "iceoryx2", 1.2),
    _share("1MiB-touch", "64KiB-touch", 0.9),
    _quicker("u4-turns-spinning", "multiprocessing.Pipe", 1 / 50),
    _quicker("u4-turns-asleep", "multiprocessing.Pipe", 1),
    Bar("lease and ack: times put and get", 2, False, ("lease", _US), (("put", _US), ("get", _US))),
    _at_most("open: microseconds", 200, "open"),
    _at_most("import: milliseconds", 40, "import"),
    Bar("import: whether NumPy is loaded with it", 0, False, ("import", _US), figure="loads_numpy"),
    _at_most("memory of 10 numbers, empty: KiB", 64, "memory-empty"),
    _at_most("memory of 1,000,000 numbers: KiB", 80 * 1024, "memory-full"),
    _at_most("ten idle processes: percent of a CPU", 1, "idle"),
)


def jobs() -> list[Figure]:
    """Return what has to be measured for all of them, each once."""
    return list(dict.fromkeys(job for bar in BARS for job in bar.jobs()))


def rows(results: Results) -> Iterator[tuple[str, str, str, str]]:
    """Yield for each bar what it says, its limit, what was measured, and whether it is met."""
    yield "bar", "limit", "measured", "met"
    for bar in BARS:
        value, is_met = bar.measured(results), bar.is_met(results)
        word = "at least" if bar.is_at_least else "at most"
        verdict = {None: "not measured", True: "yes", False: "no"}[is_met]
        yield bar.says, f"{word} {number(bar.limit)}", "" if value is None else number(value), verdict
