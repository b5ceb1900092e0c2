"""Processes that share nothing but a name: items, waits, and peers that are killed. Runs on every system."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

import penstock
from penstock import testing

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.timeout(180)

ITEMS = 200


def put_numbers(name: str, count: int) -> None:
    with penstock.Queue(name) as queue:
        for number in range(count):
            queue.put(number, timeout=60)


def get_numbers(name: str, count: int) -> list[object]:
    with penstock.Queue(name) as queue:
        return [queue.get(timeout=60) for _ in range(count)]


def report_one(name: str) -> None:
    with penstock.Queue(name) as queue:
        testing.send("waiting")
        testing.send(queue.get(timeout=60))


def hold(name: str) -> None:
    with penstock.Mutex(name):
        testing.send("held")
        testing.receive(60)


def produce_marked(name: str, mark: int) -> None:
    with penstock.Queue(name) as queue:
        for number in range(1_000_000):
            queue.put((mark, number), timeout=60)


def lease_for_ever(name: str) -> None:
    with penstock.Queue(name) as queue:
        lease = queue.lease(timeout=60)
        testing.send(lease.value)
        testing.receive(60)


def test_items_pass_between_processes_in_order(name: str, spawn: Callable[..., testing.Child]) -> None:
    with penstock.Queue.create(name, capacity=4) as queue:
        producer, consumer = spawn(put_numbers, name, ITEMS), spawn(get_numbers, name, ITEMS)
        assert consumer.result(90) == list(range(ITEMS))
        producer.result(30)
        queue.unlink()


def test_a_waiting_process_wakes_when_an_item_comes(queue: penstock.Queue, spawn: Callable[..., testing.Child]) -> None:
    assert queue.name is not None
    child = spawn(report_one, queue.name)
    assert child.receive() == "waiting"
    queue.put("news")
    assert child.receive() == "news"


def test_the_mutex_of_a_killed_process_is_handed_on(name: str, spawn: Callable[..., testing.Child]) -> None:
    child = spawn(hold, name)
    assert child.receive() == "held"
    mutex = penstock.Mutex(name)
    assert not mutex.acquire(timeout=0)
    child.kill()
    assert mutex.acquire(timeout=30)
    assert mutex.abandoned
    mutex.release()
    mutex.unlink()
    mutex.close()


def test_the_lease_of_a_killed_process_is_given_to_another(
    queue: penstock.Queue, spawn: Callable[..., testing.Child]
) -> None:
    assert queue.name is not None
    queue.put("precious")
    child = spawn(lease_for_ever, queue.name)
    assert child.receive() == "precious"
    child.kill()
    assert queue.get(timeout=30) == "precious"


def test_producers_killed_in_full_flight_lose_and_invent_nothing(
    name: str, spawn: Callable[..., testing.Child]
) -> None:
    chance = random.Random(7)
    with penstock.Queue.create(name, capacity=8) as queue:
        seen: dict[int, int] = {}

        def take(count: int) -> None:
            for _ in range(count):
                mark, number = queue.get(timeout=60)
                assert number == seen.get(mark, -1) + 1, f"producer {mark}: {number} after {seen.get(mark)}"
                seen[mark] = number

        for mark in range(6):
            child = spawn(produce_marked, name, mark, deadline=120.0)
            while mark not in seen:
                take(1)
            take(chance.randrange(200))
            child.kill()
        while queue.qsize():
            take(1)
        assert sorted(seen) == list(range(6))
        queue.unlink()
