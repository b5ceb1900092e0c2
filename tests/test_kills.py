"""Processes killed at random: what they had put arrives, what they had on loan comes again, and nothing else happens.

On every system with what it has for it: SIGKILL, or TerminateProcess. `make stress` does the same for longer, and
`tests/test_crash.py` at named instants; this one is small enough for each run, and needs no fork.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from penstock import testing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.timeout(400)

ROUNDS = 12
MOST = 2_000
"""Items of one producer."""
WAYS = ("get", "lease")


def produce(name: str, life: int) -> None:
    """Put numbers that nobody else puts, and write down after each how many were put."""
    with (
        penstock.Queue.open(f"{name}-items") as items,
        penstock.Mapping.open(f"{name}-told") as mapping,
        memoryview(mapping).cast("I") as told,
    ):
        for number in range(MOST):
            items.put(life * MOST + number, timeout=PATIENCE_SECONDS)
            told[life] = number + 1
        testing.receive()


def consume(name: str, way: str) -> None:
    """Take numbers until the queue is shut down, and count how often each came."""
    with (
        penstock.Queue.open(f"{name}-items") as items,
        penstock.Mapping.open(f"{name}-came") as mapping,
        memoryview(mapping) as came,
    ):
        try:
            while True:
                if way == "get":
                    came[items.get(timeout=PATIENCE_SECONDS)] += 1
                    continue
                lease = items.lease(timeout=PATIENCE_SECONDS)
                came[lease.value] += 1
                lease.ack()
        except penstock.ShutDown:
            return


class Books:
    """What was put and what came, and the two who are at work."""

    def __init__(self, name: str, spawn: Spawn, kinds: Sequence[str]) -> None:
        self.name, self.spawn, self.kinds = name, spawn, kinds
        self.items = penstock.Queue.create(f"{name}-items", capacity=10, item="u4")
        self.told = penstock.Mapping.create(f"{name}-told", size=4 * ROUNDS)
        self.came = penstock.Mapping.create(f"{name}-came", size=ROUNDS * MOST)

    def put(self, life: int) -> int:
        """Return how many items a producer says it has put."""
        with memoryview(self.told).cast("I") as told:
            return told[life]

    def arrived(self) -> int:
        """Return how many items came, so far."""
        with memoryview(self.came) as came:
            return len(came) - bytes(came).count(0)

    def round(self, life: int, chance: random.Random) -> None:
        """Let a producer and a consumer work, and kill both in the middle."""
        producer = self.spawn(produce, self.name, life)
        consumer = self.spawn(consume, self.name, self.kinds[life % len(self.kinds)])
        least, more = chance.randrange(1, MOST), self.arrived() + chance.randrange(1, MOST // 2)
        first, second = chance.sample([producer, consumer], 2)
        testing.wait_until(lambda: self.put(life) >= least or self.arrived() >= more, PATIENCE_SECONDS, "some work")
        first.kill()
        testing.wait_until(lambda: self.put(life) >= least or self.arrived() >= more, PATIENCE_SECONDS, "some work")
        second.kill()
        producer.wait()
        consumer.wait()

    def balance(self) -> tuple[int, int, int]:
        """Return how many items are missing, came twice, and came though nobody can have put them."""
        missing = double = strange = 0
        with memoryview(self.came) as came:
            for life in range(ROUNDS):
                put, counts = self.put(life), bytes(came[life * MOST : (life + 1) * MOST])
                missing += counts[:put].count(0)
                double += sum(count > 1 for count in counts)
                strange += sum(count > 0 for count in counts[put + 1 :])  # the one under way may be in
        return missing, double, strange


@pytest.mark.parametrize("kinds", [("get",), ("lease",), WAYS], ids=["get", "lease", "both"])
def test_books_balance_whoever_is_killed(name: str, spawn: Spawn, kinds: tuple[str, ...]) -> None:
    books = Books(name, spawn, kinds)
    chance = random.Random(len(kinds) * 7 + len(kinds[0]))
    for life in range(ROUNDS):
        books.round(life, chance)
    last = spawn(consume, name, "lease")
    books.items.shutdown()
    last.result()
    missing, double, strange = books.balance()
    kills = {kind: sum(kinds[life % len(kinds)] == kind for life in range(ROUNDS)) for kind in WAYS}
    print(f"{books.arrived()} items came, {2 * ROUNDS} kills; missing {missing}, double {double}, strange {strange}")
    assert books.arrived() > ROUNDS, "too little was under way for this to say anything"
    assert missing <= kills["get"], "who dies with an item that he got takes it along, and only that"
    assert double <= kills["lease"], "what was on loan with the dead comes again, and only that"
    assert strange == 0
    stats = books.items.stats()
    assert (stats["waiting"], stats["leased"], stats["writing"], stats["free"]) == (0, 0, 0, 10)
    for one in (books.items, books.told, books.came):
        one.unlink()
        one.close()
