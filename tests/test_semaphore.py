"""The semaphore: a count under a name, with a maximum."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from peers import Call, call_method, wait_until_asleep
from penstock import Closed, Mismatch, OverRelease, Removed

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock import testing

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

SHORT_SECONDS = 0.05


def test_acquire_takes_one_and_release_gives_it_back() -> None:
    semaphore = penstock.Semaphore(value=2)
    assert semaphore.acquire() is True
    assert semaphore.acquire(False) is True
    assert semaphore.get_value() == 0
    assert semaphore.acquire(block=False) is False
    assert semaphore.release() == 0
    assert semaphore.release() == 1
    assert semaphore.get_value() == 2
    semaphore.close()


def test_one_is_held_in_the_block() -> None:
    semaphore = penstock.Semaphore(value=1)
    with semaphore:
        assert semaphore.get_value() == 0
    with pytest.raises(KeyError), semaphore:
        raise KeyError
    assert semaphore.get_value() == 1
    semaphore.close()


def test_new_semaphore_has_one_and_practically_no_maximum() -> None:
    semaphore = penstock.Semaphore()
    assert (semaphore.get_value(), semaphore.maximum) == (1, 2**31 - 1)
    assert semaphore.release(2**31 - 2) == 1
    with pytest.raises(OverRelease):
        semaphore.release()
    assert semaphore.get_value() == 2**31 - 1
    semaphore.close()


def test_several_are_given_back_all_or_none() -> None:
    semaphore = penstock.Semaphore(value=0, maximum=5)
    assert semaphore.release(3) == 0
    for too_many in (3, 5, 2**31, 2**62):
        with pytest.raises(OverRelease, match="5"):
            semaphore.release(too_many)
        assert semaphore.get_value() == 3
    with pytest.raises(ValueError, match=r"maximum|most|5"):
        semaphore.release(4)
    assert semaphore.release(2) == 3
    semaphore.close()


@pytest.mark.parametrize("n", [0, -1])
def test_giving_back_less_than_one_is_refused(n: int) -> None:
    semaphore = penstock.Semaphore(value=1)
    with pytest.raises(ValueError, match="at least 1"):
        semaphore.release(n)
    assert semaphore.get_value() == 1
    semaphore.close()


@pytest.mark.parametrize(("value", "maximum"), [(-1, None), (3, 2), (1, 0), (2**31, None), (0, 2**31)])
def test_count_that_cannot_be_is_refused_and_nothing_created(
    name: str, directory: str, value: int, maximum: int | None
) -> None:
    with pytest.raises(ValueError, match=r"value|maximum"):
        penstock.Semaphore(name, value=value, maximum=maximum)
    with pytest.raises(penstock.NotFound):
        penstock.Semaphore.open(name)


def test_existing_semaphore_keeps_its_count_and_its_maximum_is_compared(name: str) -> None:
    first = penstock.Semaphore(name, value=3, maximum=7)
    first.acquire()
    second = penstock.Semaphore(name, value=5)
    assert (second.get_value(), second.maximum) == (2, 7)
    with pytest.raises(Mismatch, match=r"(?s)(?=.*7)(?=.*8)"):
        penstock.Semaphore(name, maximum=8)
    first.close()
    second.close()


@pytest.mark.parametrize("timeout", [0, -1, -1e300])
def test_acquire_without_waiting_says_no_at_once(timeout: float) -> None:
    semaphore = penstock.Semaphore(value=0)
    assert semaphore.acquire(True, timeout) is False
    assert semaphore.acquire(False, 60) is False
    semaphore.close()


def test_acquire_says_no_when_the_time_is_up_and_not_before() -> None:
    semaphore = penstock.Semaphore(value=0)
    started = time.perf_counter()
    assert semaphore.acquire(timeout=SHORT_SECONDS) is False
    assert time.perf_counter() - started >= SHORT_SECONDS
    with pytest.raises(ValueError, match="timeout"):
        semaphore.acquire(timeout=float("nan"))
    semaphore.close()


def test_acquire_waits_until_one_is_given_back() -> None:
    semaphore = penstock.Semaphore(value=0)
    with Call(semaphore.acquire) as waiter:
        waiter.asleep()
        semaphore.release()
        assert waiter.result() is True
    assert semaphore.get_value() == 0
    semaphore.close()


def test_as_many_go_on_as_are_given_back(name: str, spawn: Spawn) -> None:
    semaphore = penstock.Semaphore(name, value=0)
    threads = [Call(semaphore.acquire).asleep() for _ in range(3)]
    children: list[Any] = [spawn(call_method, "Semaphore", name, "acquire") for _ in range(2)]
    for child in children:
        assert child.receive() == "ready"
        wait_until_asleep(child.pid)
    semaphore.release(5)
    assert [one.result() for one in (*threads, *children)] == [True] * 5
    assert semaphore.get_value() == 0
    semaphore.close()


def test_no_more_than_the_count_are_inside_at_a_time() -> None:
    semaphore = penstock.Semaphore(value=2)
    inside: list[int] = []
    most: list[int] = []

    def visit(number: int) -> None:
        for _ in range(200):
            with semaphore:
                inside.append(number)
                most.append(len(inside))
                inside.remove(number)

    for call in [Call(visit, number) for number in range(5)]:
        call.result()
    assert max(most) <= 2
    assert semaphore.get_value() == 2
    semaphore.close()


def test_waiting_on_an_unlinked_semaphore_raises_removed(name: str) -> None:
    semaphore = penstock.Semaphore(name, value=0)
    with Call(semaphore.acquire) as waiter:
        waiter.asleep()
        semaphore.unlink()
        with pytest.raises(Removed):
            waiter.result()
    semaphore.release()
    assert semaphore.acquire(timeout=PATIENCE_SECONDS)
    semaphore.close()


def test_closing_the_handle_ends_waits_of_other_threads(name: str) -> None:
    semaphore = penstock.Semaphore(name, value=0)
    with Call(semaphore.acquire) as waiter:
        waiter.asleep()
        semaphore.close()
        with pytest.raises(Closed):
            waiter.result()


def test_stats_tell_count_and_maximum(name: str) -> None:
    semaphore = penstock.Semaphore(name, value=3, maximum=9)
    stats = semaphore.stats()
    assert (stats["name"], stats["kind"], stats["value"], stats["maximum"]) == (name, "semaphore", 3, 9)
    semaphore.close()
