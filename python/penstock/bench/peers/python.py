"""What Python does alone: the limits that the bars are measured against."""

from __future__ import annotations

import pickle
import statistics
import time
from typing import TYPE_CHECKING

import numpy as np

from penstock.bench.peers._peer import CannotDo, Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.bench._work import Work


class Python(Peer):
    """No queue at all."""

    name = "Python alone"
    says = (
        "pickling: dumps and loads of one dict after the other; memcpy: one array copied to another, both in the cache"
    )

    @classmethod
    def check(cls, work: Work) -> None:
        """Refuse everything that needs a queue."""
        if work.name not in ("pickling", "memcpy"):
            raise CannotDo("is no queue")

    def alone(self, name: str) -> Callable[[float], float]:
        """Return the one or the other."""
        return self._pickling if name == "pickling" else self._memcpy

    def _pickling(self, seconds: float) -> float:
        dumps, loads = pickle.dumps, pickle.loads
        items = list(self.item.make(0, 0, 1000))

        def once() -> int:
            for item in items:
                loads(dumps(item, 5))
            return len(items)

        return _rate(once, seconds)

    def _memcpy(self, seconds: float) -> float:
        (source,) = self.item.make(0, 0, 1)
        target = np.empty_like(source)

        def once() -> int:
            for _ in range(100):
                np.copyto(target, source)
            return 100

        return _rate(once, seconds)


def _rate(once: Callable[[], int], seconds: float) -> float:
    rates: list[float] = []
    until = time.monotonic() + seconds
    once()
    while time.monotonic() < until or not rates:
        start = time.perf_counter()
        rates.append(once() / (time.perf_counter() - start))
    return statistics.median(rates)
