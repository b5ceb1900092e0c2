"""Waiting for several objects at once: it says which are ready, and takes nothing."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from peers import Call, call_method, hold_mutex, put_later, wait_until_asleep
from penstock import Closed, Removed, testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

SHORT_SECONDS = 0.05


class Four:
    """One object of each kind that can be waited for, none of them ready, and how each becomes so."""

    def __init__(self) -> None:
        self.queue = penstock.Queue(item="u4")
        self.mutex = penstock.Mutex()
        self.semaphore = penstock.Semaphore(value=0)
        self.event = penstock.Event()
        self.all: list[Any] = [self.queue, self.mutex, self.semaphore, self.event]
        self._ask, self._answer = threading.Event(), threading.Event()
        self._holder = threading.Thread(target=self._hold)
        self._holder.start()
        self._answer.wait()

    def _hold(self) -> None:
        """Hold the mutex in another thread until it is to become ready."""
        with self.mutex:
            self._answer.set()
            self._ask.wait()

    def make_ready(self, which: Any) -> None:
        if which is self.queue:
            self.queue.put(1)
        elif which is self.mutex:
            self._ask.set()
        elif which is self.semaphore:
            self.semaphore.release()
        else:
            self.event.set()

    def close(self) -> None:
        self._ask.set()
        self._holder.join()
        for one in self.all:
            one.close()


@pytest.fixture
def four() -> Iterator[Four]:
    objects = Four()
    yield objects
    objects.close()


def test_nothing_ready_gives_an_empty_list_when_the_time_is_up_and_not_before(four: Four) -> None:
    assert penstock.wait(four.all, 0) == []
    started = time.perf_counter()
    assert penstock.wait(four.all, SHORT_SECONDS) == []
    assert time.perf_counter() - started >= SHORT_SECONDS


@pytest.mark.parametrize("place", range(4))
def test_each_kind_wakes_the_waiter_when_it_becomes_ready(four: Four, place: int) -> None:
    with Call(penstock.wait, four.all) as waiter:
        waiter.asleep()
        four.make_ready(four.all[place])
        assert waiter.result() == [four.all[place]]


def test_all_that_are_ready_are_given_in_order_and_nothing_is_taken(four: Four) -> None:
    for one in (four.event, four.queue, four.semaphore):
        four.make_ready(one)
    for _ in range(3):
        assert penstock.wait(four.all) == [four.queue, four.semaphore, four.event]
        assert penstock.wait(reversed(four.all), 0) == [four.event, four.semaphore, four.queue]
    assert (four.queue.qsize(), four.semaphore.get_value(), four.event.is_set()) == (1, 1, True)


def test_event_that_resets_itself_is_not_used_up() -> None:
    with penstock.Event(auto_reset=True) as event:
        event.set()
        assert penstock.wait([event]) == [event]
        assert event.wait(0) is True


def test_queue_that_is_shut_down_is_ready() -> None:
    with penstock.Queue() as q, Call(penstock.wait, [q]) as waiter:
        waiter.asleep()
        q.shutdown()
        assert waiter.result() == [q]


def test_mutex_is_ready_for_the_thread_that_holds_it() -> None:
    mutex = penstock.Mutex()
    with mutex:
        assert penstock.wait([mutex], 0) == [mutex]
    mutex.close()


def test_same_object_may_stand_there_twice() -> None:
    with penstock.Queue() as q, Call(penstock.wait, [q, q]) as waiter:
        waiter.asleep()
        q.put(1)
        assert waiter.result() == [q, q]


class Jobs(penstock.Queue):
    """A user's subclass."""


def test_objects_are_given_back_as_they_are() -> None:
    with Jobs() as q:
        q.put(1)
        [ready] = penstock.wait([q])
        assert ready is q


def test_any_iterable_of_objects_will_do_and_none_at_all_gives_none() -> None:
    with penstock.Queue() as q:
        q.put(1)
        assert penstock.wait((q,)) == [q]
        assert penstock.wait(one for one in [q]) == [q]
    assert penstock.wait([]) == []
    assert penstock.wait([], SHORT_SECONDS) == []


@pytest.mark.parametrize("bad", [[1], ["queue"], [None], [object()]])
def test_what_cannot_be_waited_for_is_refused(bad: list[Any]) -> None:
    with penstock.Queue() as q:
        with pytest.raises(TypeError, match="cannot be waited for"):
            penstock.wait([q, *bad])
        with penstock.Mapping(size=1) as mapping, pytest.raises(TypeError):
            penstock.wait([mapping])  # type: ignore[type-var]


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_timeout_below_zero_is_refused(timeout: float) -> None:
    with penstock.Queue() as q, pytest.raises(ValueError, match="timeout"):
        penstock.wait([q], timeout)


def test_other_processes_wake_the_waiter(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name) as q, penstock.Event() as event:
        child = spawn(put_later, name, "item")
        child.receive()
        with Call(penstock.wait, [event, q]) as waiter:
            waiter.asleep()
            child.send("now")
            assert waiter.result() == [q]


def test_mutex_given_back_by_another_process_wakes_the_waiter(name: str, spawn: Spawn) -> None:
    mutex = penstock.Mutex(name)
    child = spawn(hold_mutex, name)
    child.receive()
    with penstock.Event() as event, Call(penstock.wait, [event, mutex]) as waiter:
        waiter.asleep()
        child.send("let go")
        assert waiter.result() == [mutex]
    child.result()
    mutex.close()


def test_many_waiters_share_what_comes_without_loss(name: str) -> None:
    with penstock.Queue(name, item="u4") as first, penstock.Queue(item="u4") as second:
        taken: list[int] = []

        def take() -> None:
            while ready := penstock.wait([first, second]):
                for q in ready:
                    try:
                        taken.append(q.get_nowait())
                    except penstock.Empty:
                        continue
                    except penstock.ShutDown:
                        return

        takers = [Call(take) for _ in range(4)]
        for number in range(500):
            (first if number % 2 else second).put(number)
        for q in (first, second):
            testing.wait_until(q.empty)
            q.shutdown()
        for taker in takers:
            taker.result()
        assert sorted(taken) == list(range(500))


def test_closing_one_of_the_handles_ends_the_wait(four: Four) -> None:
    with Call(penstock.wait, four.all) as waiter:
        waiter.asleep()
        four.semaphore.close()
        with pytest.raises(Closed):
            waiter.result()
    with pytest.raises(Closed):
        penstock.wait(four.all, 0)


def test_unlinking_one_of_the_objects_ends_the_wait(name: str) -> None:
    with penstock.Queue(name) as q, penstock.Event() as event, Call(penstock.wait, [event, q]) as waiter:
        waiter.asleep()
        q.unlink()
        with pytest.raises(Removed, match=name):
            waiter.result()


def test_waiting_for_several_does_not_swallow_the_wake_up_of_another(name: str, spawn: Spawn) -> None:
    """A waiter that looks and takes nothing must pass the wake-up on."""
    with penstock.Queue(name) as q, penstock.Event() as event:
        looker = Call(penstock.wait, [q, event]).asleep()
        child = spawn(call_method, "Queue", name, "get")
        child.receive()
        wait_until_asleep(child.pid)
        q.put("item")
        assert child.result() == "item"
        event.set()
        assert looker.result() in ([q], [event])  # it may have looked before the item was taken, or after
