"""The event: a flag under a name, reset by hand or by whoever waited for it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from peers import Call, call_method, wait_until_asleep
from penstock import Closed, Mismatch, Removed, testing

if TYPE_CHECKING:
    from collections.abc import Callable

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

SHORT_SECONDS = 0.05


def test_event_stays_set_until_it_is_cleared() -> None:
    with penstock.Event() as event:
        assert event.is_set() is False
        assert event.wait(0) is False
        event.set()
        event.set()
        assert event.is_set() is True
        assert [event.wait(), event.wait(0), event.wait(timeout=60)] == [True] * 3
        event.clear()
        event.clear()
        assert event.is_set() is False


def test_event_that_resets_itself_lets_one_wait_go_on_for_each_set() -> None:
    with penstock.Event(auto_reset=True) as event:
        event.set()
        assert event.is_set() is True
        assert event.wait(0) is True
        assert event.is_set() is False
        assert event.wait(0) is False
        event.set()
        event.set()
        assert [event.wait(0), event.wait(0)] == [True, False]
        event.set()
        event.clear()
        assert event.wait(0) is False


@pytest.mark.parametrize("auto_reset", [False, True])
def test_sort_is_kept_and_compared(name: str, auto_reset: bool) -> None:
    with penstock.Event(name, auto_reset=auto_reset) as event, penstock.Event(name) as other:
        assert event.auto_reset == other.auto_reset == auto_reset
        with pytest.raises(Mismatch, match="auto_reset"):
            penstock.Event(name, auto_reset=not auto_reset)
        event.set()
        assert other.is_set()


@pytest.mark.parametrize("timeout", [0, -1, -1e300])
def test_wait_without_waiting_says_no_at_once(timeout: float) -> None:
    with penstock.Event() as event:
        assert event.wait(timeout) is False


def test_wait_says_no_when_the_time_is_up_and_not_before() -> None:
    with penstock.Event() as event:
        started = time.perf_counter()
        assert event.wait(SHORT_SECONDS) is False
        assert time.perf_counter() - started >= SHORT_SECONDS
        with pytest.raises(ValueError, match="timeout"):
            event.wait(float("nan"))


def test_setting_lets_all_go_on_in_threads_and_processes(name: str, spawn: Spawn) -> None:
    with penstock.Event(name) as event:
        threads = [Call(event.wait).asleep() for _ in range(3)]
        children: list[Any] = [spawn(call_method, "Event", name, "wait") for _ in range(2)]
        for child in children:
            assert child.receive() == "ready"
            wait_until_asleep(child.pid)
        event.set()
        assert [one.result() for one in (*threads, *children)] == [True] * 5


def test_all_who_waited_go_on_also_when_it_is_cleared_at_once() -> None:
    with penstock.Event() as event:
        for _ in range(20):
            waiters = [Call(event.wait) for _ in range(3)]
            for waiter in waiters:
                waiter.asleep()
            event.set()
            event.clear()
            assert [waiter.result() for waiter in waiters] == [True] * 3


def are_left(waiters: list[Call], count: int) -> bool:
    """Tell whether so many still wait."""
    return sum(waiter.is_under_way() for waiter in waiters) == count


def test_each_set_lets_one_waiter_go_on() -> None:
    with penstock.Event(auto_reset=True) as event:
        waiters = [Call(event.wait).asleep() for _ in range(4)]
        for left in (3, 2, 1, 0):
            event.set()
            testing.wait_until(partial(are_left, waiters, left))
            assert event.wait(SHORT_SECONDS) is False


def test_set_in_another_process_is_seen_here(name: str, spawn: Spawn) -> None:
    with penstock.Event(name) as event, Call(event.wait) as waiter:
        waiter.asleep()
        spawn(call_method, "Event", name, "set")
        assert waiter.result() is True


def test_waiting_on_an_unlinked_event_raises_removed(name: str) -> None:
    with penstock.Event(name) as event, Call(event.wait) as waiter:
        waiter.asleep()
        event.unlink()
        with pytest.raises(Removed):
            waiter.result()
        event.set()
        assert event.wait(0) is True


def test_closing_the_handle_ends_waits_of_other_threads(name: str) -> None:
    with penstock.Event(name) as event, Call(event.wait) as waiter:
        waiter.asleep()
        event.close()
        with pytest.raises(Closed):
            waiter.result()


def test_stats_tell_state_and_sort(name: str) -> None:
    with penstock.Event(name, auto_reset=True) as event:
        event.set()
        stats = event.stats()
        assert (stats["name"], stats["kind"], stats["is_set"], stats["auto_reset"]) == (name, "event", True, True)
