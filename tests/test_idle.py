"""Waiting costs next to nothing, and being woken does not take long."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from peers import Call
from penstock import Empty, Full

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("directory")

SECONDS = 1.5
MOST_PERCENT = 1.0
"""Of a CPU. Half a percent is promised, on a machine that has nothing else to do; a tenth is usual."""


def cpu_seconds(wait: Callable[[float], Any]) -> float:
    """Return the CPU time that this thread uses in a wait that comes to nothing."""
    before = time.thread_time()
    with contextlib.suppress(Empty, Full):
        wait(SECONDS)
    return time.thread_time() - before


def test_every_idle_wait_uses_next_to_no_cpu() -> None:
    with (
        penstock.Queue() as empty,
        penstock.Queue(capacity=1) as full,
        penstock.Event() as event,
        penstock.Event(auto_reset=True) as other_event,
    ):
        semaphore = penstock.Semaphore(value=0)
        mutex = penstock.Mutex()
        mutex.acquire()
        full.put(1)
        waits: dict[str, Callable[[float], Any]] = {
            "get": lambda seconds: empty.get(timeout=seconds),
            "lease": lambda seconds: empty.lease(seconds),
            "put": lambda seconds: full.put(2, timeout=seconds),
            "reserve": lambda seconds: full.reserve(1, seconds),
            "join": lambda seconds: full.join(seconds),
            "mutex": lambda seconds: mutex.acquire(timeout=seconds),
            "semaphore": lambda seconds: semaphore.acquire(timeout=seconds),
            "event": event.wait,
            "auto-reset event": other_event.wait,
            "wait": lambda seconds: penstock.wait([empty, event, semaphore], seconds),
        }
        calls = {name: Call(cpu_seconds, wait) for name, wait in waits.items()}
        used = {name: call.result() / SECONDS * 100 for name, call in calls.items()}
        assert {name: percent for name, percent in used.items() if percent > MOST_PERCENT} == {}
        mutex.release()
        mutex.close()
        semaphore.close()


@pytest.mark.parametrize("kind", ["u4", object])
def test_there_and_back_between_threads_takes_no_heartbeat(kind: Any) -> None:
    """A wake-up that is lost would be made up for by the next heartbeat, twenty times slower than this."""
    rounds = 100
    with penstock.Queue(item=kind) as there, penstock.Queue(item=kind) as back:

        def echo() -> None:
            for item in there:
                back.put(item)

        with Call(echo) as echoing:
            started = time.monotonic()
            for number in range(rounds):
                there.put(number)
                assert back.get() == number
            assert time.monotonic() - started < rounds * 0.025
            there.shutdown()
            echoing.result()
