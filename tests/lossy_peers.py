"""Queues that do what a queue must not: `test_bench` wants the benchmark to notice. Imports no pytest."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from penstock.bench.peers._peer import Receiver
from penstock.bench.peers.multiprocessing_queues import SimpleQueue

FAULT_AT = 20


class Faulty(SimpleQueue):
    """Does something wrong with one item in the middle."""

    def receiver(self) -> Receiver:
        """Count the items that pass."""
        get = super().receiver().get
        held: list[Any] = []
        passed = 0

        def get_wrongly() -> Any:
            nonlocal passed
            passed += 1
            if passed == FAULT_AT:
                return self.spoil(get, held)
            return held.pop() if held else get()

        return Receiver(get_wrongly)

    def spoil(self, get: Any, held: list[Any]) -> Any:
        """Return what comes instead of the item; what is in `held` comes after it."""
        raise NotImplementedError


class Losing(Faulty):
    """Loses an item."""

    name = "losing"

    def spoil(self, get: Any, held: list[Any]) -> Any:
        """Drop one."""
        get()
        return get()


class Doubling(Faulty):
    """Delivers an item twice."""

    name = "doubling"

    def spoil(self, get: Any, held: list[Any]) -> Any:
        """Keep a copy for the next."""
        held.append(get())
        return held[0]


class Reordering(Faulty):
    """Swaps two items."""

    name = "reordering"

    def spoil(self, get: Any, held: list[Any]) -> Any:
        """Let the next one pass."""
        held.append(get())
        return get()


class Tearing(Faulty):
    """Delivers a large item of which the end is another's."""

    name = "tearing"

    def spoil(self, get: Any, held: list[Any]) -> Any:
        """Put two halves together."""
        first, second = get(), get()
        half = len(first) // 2
        return first[:half] + second[half:]


class Stopping(Faulty):
    """Loses all that comes after a while."""

    name = "stopping"

    def spoil(self, get: Any, held: list[Any]) -> Any:
        """Swallow everything, and say where."""
        mark = os.environ.get("BENCH_TEST_MARK")
        if mark is not None:
            Path(f"{mark}.new").write_text(str(self.place))
            Path(f"{mark}.new").rename(mark)
        while True:
            get()


class Absent(SimpleQueue):
    """Needs what is not there."""

    name = "absent"
    module = "no_such_module"
    package = "no-such-package"
