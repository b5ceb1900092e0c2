"""Rounds of two producers and two consumers in full flight, one of them killed, for a child of a test to run.

Each worker notes what it has done in memory that outlives it: a producer how many of its puts have returned, a consumer
every item right after its get has returned.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import penstock
from penstock import testing

if TYPE_CHECKING:
    from collections.abc import Callable

WORKERS = 4
NOTES = 60_000
"""Most items that one consumer notes; producers stop long before."""
MOST_PUTS = 50_000
"""Most items of one producer."""
ADVANCE = 50
"""How many more items each survivor has to handle for all to be going on."""
GOES_ON_SECONDS = 10.0
"""In which time. (A second is promised, on a machine that has nothing else to do.)"""


class Mode(NamedTuple):
    """What kind of items there are, and how they are taken."""

    item: str
    padding: int
    by_lease: bool


class Failed(Exception):
    """What a round found."""


class Notes:
    """Shared memory in which workers note what they have done."""

    def __init__(self) -> None:
        self._bytes = mmap.mmap(-1, 8 * (2 + WORKERS * (1 + NOTES)))
        self._words = memoryview(self._bytes).cast("Q")

    def ask(self, stop: int) -> None:
        """Ask workers to stop: 1 the producers, 2 the consumers as well."""
        self._words[0] = stop

    def asked(self) -> int:
        return self._words[0]

    def count(self, worker: int) -> int:
        """Return how many items a worker has handled."""
        return self._words[2 + worker * (1 + NOTES)]

    def set_count(self, worker: int, count: int) -> None:
        self._words[2 + worker * (1 + NOTES)] = count

    def note(self, worker: int, word: int) -> None:
        """Note an item, and then that there is one more."""
        at = 2 + worker * (1 + NOTES)
        count = self._words[at]
        self._words[at + 1 + count] = word
        self._words[at] = count + 1

    def items(self, worker: int) -> list[int]:
        at = 3 + worker * (1 + NOTES)
        return self._words[at : at + self.count(worker)].tolist()

    def clear(self) -> None:
        for worker in range(WORKERS):
            self.set_count(worker, 0)
        self.ask(0)


def run(mode: Mode, rounds: int, seed: int) -> int:
    """Run so many rounds; return how many items were delivered in all."""
    chance = random.Random(seed)
    notes = Notes()
    delivered = 0
    for number in range(rounds):
        victim = number % WORKERS
        try:
            delivered += _round(mode, notes, victim, chance.random() * 0.02)
        except (Failed, TimeoutError, penstock.PenstockError) as err:
            raise Failed(f"round {number} of {mode}, seed {seed}, victim {victim}: {err!r}") from err
    return delivered


def _round(mode: Mode, notes: Notes, victim: int, delay: float) -> int:
    notes.clear()
    with penstock.Queue.create(testing.unique_name(), capacity=10, item=mode.item) as q:
        pids = [_fork(work, q.name, mode, notes, worker) for worker, work in enumerate(WORK)]
        try:
            testing.wait_until(lambda: all(notes.count(w) >= ADVANCE for w in range(WORKERS)), 30, "all to begin")
            _pause(delay)
            os.kill(pids[victim], signal.SIGKILL)
            os.waitpid(pids[victim], 0)
            _check_goes_on(notes, [worker for worker in range(WORKERS) if worker != victim])
            _end(q, notes, pids, victim)
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        count = _check_items(mode, notes, victim)
        _check_capacity(q, mode)
        q.unlink()
    return count


def _pause(seconds: float) -> None:
    """Let the workers work; when exactly one is killed is up to chance."""
    time.sleep(seconds)


def _fork(work: Callable[..., None], *args: Any) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work(*args)
            status = 0
        finally:
            os._exit(status)
    return pid


# ---- the workers -----------------------------------------------------------------------------------------------------


def _produce(name: str, mode: Mode, notes: Notes, worker: int) -> None:
    with penstock.Queue.open(name) as q:
        for number in range(MOST_PUTS):
            if notes.asked():
                break
            word = worker << 32 | number
            q.put(word if mode.item == "u8" else word.to_bytes(8, "little") + bytes(mode.padding))
            notes.set_count(worker, number + 1)
        while not notes.asked():
            _pause(0.001)


def _consume(name: str, mode: Mode, notes: Notes, worker: int) -> None:
    with penstock.Queue.open(name) as q:
        while notes.asked() < 2:
            with contextlib.suppress(penstock.Empty):
                if mode.by_lease:
                    with q.lease(0.05) as lease:
                        notes.note(worker, _word(lease.value))
                else:
                    notes.note(worker, _word(q.get(timeout=0.05)))


def _word(item: Any) -> int:
    return item if isinstance(item, int) else int.from_bytes(item[:8], "little")


WORK = [_produce, _produce, _consume, _consume]
PRODUCERS = (0, 1)
CONSUMERS = (2, 3)


# ---- what must hold --------------------------------------------------------------------------------------------------


def _check_goes_on(notes: Notes, survivors: list[int]) -> None:
    """Check that all who live handle more items, unless a producer has put all it had."""
    before = {worker: notes.count(worker) for worker in survivors}

    def has_advanced(worker: int) -> bool:
        count = notes.count(worker)
        return count >= before[worker] + ADVANCE or (worker in PRODUCERS and count == MOST_PUTS)

    def have_advanced() -> bool:
        return all(has_advanced(worker) for worker in survivors) or all(
            notes.count(worker) == MOST_PUTS for worker in survivors if worker in PRODUCERS
        )

    testing.wait_until(have_advanced, GOES_ON_SECONDS, "the survivors to go on")


def _end(q: penstock.Queue, notes: Notes, pids: list[int], victim: int) -> None:
    """Have the producers stop, then the consumers when nothing is left, not even with the dead."""
    notes.ask(1)
    for worker in PRODUCERS:
        if worker != victim:
            os.waitpid(pids[worker], 0)

    def nothing_left() -> bool:
        stats = q.stats()
        return (stats["waiting"], stats["leased"], stats["writing"]) == (0, 0, 0)

    testing.wait_until(nothing_left, GOES_ON_SECONDS, "the rest to be taken")
    notes.ask(2)
    for worker in CONSUMERS:
        if worker != victim:
            os.waitpid(pids[worker], 0)


def _check_items(mode: Mode, notes: Notes, victim: int) -> int:
    """Check that each item whose put returned was got once, in order of its producer; the dead excepted."""
    got = {worker: notes.items(worker) for worker in CONSUMERS}
    everything = [word for words in got.values() for word in words]
    confirmed = {worker << 32 | n for worker in PRODUCERS for n in range(notes.count(worker))}
    # A put may have taken place without being noted, by a producer that died in between.
    possible = confirmed | ({victim << 32 | notes.count(victim)} if victim in PRODUCERS else set())
    if made_up := set(everything) - possible:
        raise Failed(f"got what nobody put: {sorted(made_up)}")
    died_taking = victim in CONSUMERS
    missing = confirmed - set(everything)
    # What a dead consumer got and did not note is lost with it, unless it held a lease.
    if len(missing) > (1 if died_taking and not mode.by_lease else 0):
        raise Failed(f"missing: {sorted(missing)}")
    doubles = sorted({word for word in everything if everything.count(word) > 1}) if _has_doubles(everything) else []
    # What a dead consumer noted and did not acknowledge any more is delivered again.
    if doubles and not (mode.by_lease and died_taking and doubles == got[victim][-1:]):
        raise Failed(f"delivered twice: {doubles}")
    # What the dead held comes after newer items that others had got by then.
    out_of_order = [word for words in got.values() for word in _out_of_order(words)]
    if len(out_of_order) > (1 if died_taking and (mode.by_lease or mode.padding) else 0):
        raise Failed(f"out of order: {out_of_order}")
    return len(everything)


def _has_doubles(words: list[int]) -> bool:
    return len(set(words)) < len(words)


def _out_of_order(words: list[int]) -> list[int]:
    """Return the items that came after a newer one of the same producer."""
    last: dict[int, int] = {}
    found = []
    for word in words:
        if word < last.get(word >> 32, -1):
            found.append(word)
        else:
            last[word >> 32] = word
    return found


def _check_capacity(q: penstock.Queue, mode: Mode) -> None:
    """Check that no room was lost: fill to the brim, then drain."""
    items: list[Any] = [n if mode.item == "u8" else b"%d" % n + bytes(mode.padding) for n in range(11)]
    if q.put_many(items, timeout=0) != 10 or q.get_many(20, timeout=0) != items[:10]:
        raise Failed(f"not all the room is there: {q.stats()}")
