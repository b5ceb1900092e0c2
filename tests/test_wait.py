"""`penstock.wait`: one wait for several objects, which takes nothing from any of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS, put_all
from penstock import Closed, wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock import testing

pytestmark = pytest.mark.usefixtures("directory")


class Objects:
    """One object of each kind that can be waited for, none of them ready."""

    def __init__(self) -> None:
        self.queue = penstock.Queue()
        self.mutex = penstock.Mutex()
        self.semaphore = penstock.Semaphore(value=0)
        self.event = penstock.Event()
        self.all: list[Any] = [self.queue, self.mutex, self.semaphore, self.event]
        self.release = threading.Event()
        held = threading.Event()
        self.holder = threading.Thread(target=self.hold, args=(held,))
        self.holder.start()
        held.wait(PATIENCE_SECONDS)

    def hold(self, held: threading.Event) -> None:
        """Hold the mutex in another thread: to its own owner it would be ready."""
        with self.mutex:
            held.set()
            self.release.wait(PATIENCE_SECONDS)

    def close(self) -> None:
        self.release.set()
        self.holder.join()
        for one in self.all:
            one.close()


@pytest.fixture
def objects() -> Iterator[Objects]:
    made = Objects()
    yield made
    made.close()


READY: dict[str, Callable[[Objects], Any]] = {
    "queue": lambda objects: objects.queue.put(1),
    "mutex": lambda objects: objects.release.set(),
    "semaphore": lambda objects: objects.semaphore.release(),
    "event": lambda objects: objects.event.set(),
}


def test_nothing_is_ready_when_the_time_is_up(objects: Objects) -> None:
    assert wait(objects.all, timeout=0) == []
    assert wait(objects.all, timeout=0.01) == []
    assert wait([], timeout=0.01) == []


@pytest.mark.parametrize("kind", READY)
def test_what_becomes_ready_ends_the_wait(objects: Objects, kind: str) -> None:
    answers: list[list[Any]] = []
    waiter = threading.Thread(target=lambda: answers.append(wait(objects.all, PATIENCE_SECONDS)))
    waiter.start()
    READY[kind](objects)
    waiter.join(PATIENCE_SECONDS)
    assert answers == [[getattr(objects, kind)]]


def test_all_that_are_ready_are_returned_in_the_order_given(objects: Objects) -> None:
    for make_ready in READY.values():
        make_ready(objects)
    objects.holder.join(PATIENCE_SECONDS)
    assert wait(objects.all) == objects.all
    assert wait(reversed(objects.all)) == objects.all[::-1]


def test_wait_takes_nothing(objects: Objects) -> None:
    objects.queue.put("kept")
    objects.semaphore.release()
    objects.event.set()
    for _ in range(2):
        assert len(wait(objects.all)) == 3
    assert objects.queue.get_nowait() == "kept"
    assert objects.semaphore.get_value() == 1
    assert objects.event.is_set()


def test_shut_down_queue_is_ready(objects: Objects) -> None:
    objects.queue.shutdown()
    assert wait(objects.all) == [objects.queue]


def test_item_of_another_process_ends_the_wait(name: str, spawn: Callable[..., testing.Child]) -> None:
    with penstock.Queue(name) as q, penstock.Queue() as other:
        child = spawn(put_all, name, ["from afar"])
        assert wait([other, q], PATIENCE_SECONDS) == [q]
        assert q.get_nowait() == "from afar"
        child.result()


def test_subclasses_are_returned_as_they_were_given() -> None:
    class Jobs(penstock.Queue):
        pass

    with Jobs() as q:
        q.put(1)
        (ready,) = wait([q])
        assert ready is q


@pytest.mark.parametrize("bad", [7, "name", None, object()], ids=repr)
def test_what_cannot_be_waited_for_is_refused(bad: Any) -> None:
    with penstock.Queue() as q, pytest.raises(TypeError):
        wait([q, bad], timeout=0)


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_timeout_that_cannot_be_is_refused(timeout: float) -> None:
    with penstock.Queue() as q, pytest.raises(ValueError, match=r"timeout|non-negative"):
        wait([q], timeout)


def test_closed_handle_ends_the_wait(objects: Objects) -> None:
    answers: list[BaseException] = []

    def wait_for_all() -> None:
        try:
            wait(objects.all, PATIENCE_SECONDS)
        except Closed as err:
            answers.append(err)

    waiter = threading.Thread(target=wait_for_all)
    waiter.start()
    objects.event.close()
    waiter.join(PATIENCE_SECONDS)
    assert len(answers) == 1
