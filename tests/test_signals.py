"""Signals and the GIL: a handler that raises ends any wait, one that returns lets it go on; others run meanwhile."""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from peers import Call, call_method, wait_until_asleep
from penstock import Closed, Empty, Full, testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")


class Busy:
    """Objects on which every verb has to wait: an empty queue, a full one, a mutex that another thread holds, ..."""

    def __init__(self) -> None:
        self.empty = penstock.Queue(item="u4")
        self.full = penstock.Queue(item="u4", capacity=1)
        self.full.put(1)
        self.mutex = penstock.Mutex()
        self.semaphore = penstock.Semaphore(value=0)
        self.event = penstock.Event()
        self._ask, self._held = threading.Event(), threading.Event()
        self._holder = threading.Thread(target=self._hold)
        self._holder.start()
        self._held.wait()

    def _hold(self) -> None:
        own = copy.copy(self.mutex)  # a test may close the other
        with own:
            self._held.set()
            self._ask.wait()
        own.close()

    def let_go(self) -> None:
        """Have the other thread give the mutex back, and wait until it has."""
        self._ask.set()
        self._holder.join()

    def check_unchanged(self) -> None:
        """Check that a wait that came to nothing changed nothing."""
        assert self.empty.qsize() == 0
        assert self.full.peek_many(5) == [1]
        assert not self.mutex.is_owned
        assert self.semaphore.get_value() == 0
        assert not self.event.is_set()
        stats = self.full.stats()
        assert (stats["writing"], stats["leased"]) == (0, 0)
        assert self.empty.put_many(range(20), timeout=0) == 10
        assert self.empty.get_many(20) == list(range(10))

    def close(self) -> None:
        self.let_go()
        for one in (self.empty, self.full, self.mutex, self.semaphore, self.event):
            one.close()


@pytest.fixture
def busy() -> Iterator[Busy]:
    made = Busy()
    yield made
    made.close()


WAITS: dict[str, Callable[[Busy, float | None], Any]] = {
    "put": lambda busy, timeout: busy.full.put(2, timeout=timeout),
    "put_many": lambda busy, timeout: busy.full.put_many([2], timeout),
    "reserve": lambda busy, timeout: busy.full.reserve(4, timeout),
    "wait_put": lambda busy, timeout: busy.full.wait_put(timeout),
    "join": lambda busy, timeout: busy.full.join(timeout),
    "get": lambda busy, timeout: busy.empty.get(timeout=timeout),
    "get_many": lambda busy, timeout: busy.empty.get_many(2, timeout),
    "lease": lambda busy, timeout: busy.empty.lease(timeout),
    "wait_get": lambda busy, timeout: busy.empty.wait_get(timeout),
    "dead_letters": lambda busy, timeout: busy.empty.dead_letters.get(timeout=timeout),
    "mutex": lambda busy, timeout: busy.mutex.acquire(timeout=timeout),
    "semaphore": lambda busy, timeout: busy.semaphore.acquire(timeout=timeout),
    "event": lambda busy, timeout: busy.event.wait(timeout),
    "wait": lambda busy, timeout: penstock.wait([busy.empty, busy.mutex, busy.semaphore, busy.event], timeout),
}


@pytest.fixture(params=WAITS)
def wait(request: pytest.FixtureRequest) -> Any:
    return WAITS[request.param]


@contextlib.contextmanager
def handling(number: int, handler: Any) -> Iterator[None]:
    """Have a signal handled otherwise for the block."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def signal_when_asleep(number: int) -> Call:
    """Send this process a signal when its main thread sleeps."""

    def run() -> None:
        wait_until_asleep("self", threading.main_thread().native_id)
        os.kill(os.getpid(), number)

    return Call(run)


# ---- handlers that raise ---------------------------------------------------------------------------------------------


def test_ctrl_c_interrupts_every_wait_and_nothing_changes(busy: Busy, wait: Callable[..., Any]) -> None:
    with handling(signal.SIGINT, signal.default_int_handler):
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt), signal_when_asleep(signal.SIGINT):
            wait(busy, None)
        assert time.monotonic() - started < PATIENCE_SECONDS / 2
    busy.check_unchanged()


class AlarmError(Exception):
    pass


def test_exception_of_a_handler_comes_out_of_every_wait(busy: Busy, wait: Callable[..., Any]) -> None:
    def ring(number: int, frame: object) -> None:
        raise AlarmError(number)

    with handling(signal.SIGALRM, ring), pytest.raises(AlarmError) as caught, signal_when_asleep(signal.SIGALRM):
        wait(busy, PATIENCE_SECONDS)
    assert caught.value.args == (signal.SIGALRM,)
    busy.check_unchanged()


def test_iteration_is_interrupted_too(busy: Busy) -> None:
    with (
        handling(signal.SIGINT, signal.default_int_handler),
        pytest.raises(KeyboardInterrupt),
        signal_when_asleep(signal.SIGINT),
    ):
        list(busy.empty)


def test_object_goes_on_working_after_an_interrupted_wait(busy: Busy) -> None:
    with handling(signal.SIGINT, signal.default_int_handler):
        for _ in range(10):
            with pytest.raises(KeyboardInterrupt), signal_when_asleep(signal.SIGINT):
                busy.empty.get()
    busy.empty.put(1)
    assert busy.empty.get() == 1


# ---- handlers that return --------------------------------------------------------------------------------------------


def test_wait_goes_on_after_a_handler_with_what_is_left_of_its_timeout(busy: Busy, wait: Callable[..., Any]) -> None:
    rings = []
    timeout = 0.15
    with handling(signal.SIGALRM, lambda number, frame: rings.append(number)):
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.02)
        try:
            started = time.monotonic()
            try:
                outcome = wait(busy, timeout)
            except (Empty, Full) as err:
                outcome = err
            elapsed = time.monotonic() - started
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    assert isinstance(outcome, (Empty, Full)) or outcome in (False, 0, [])
    assert timeout <= elapsed < PATIENCE_SECONDS / 2
    assert len(rings) >= 2
    busy.check_unchanged()


@pytest.mark.parametrize(
    ("verb", "remedy"),
    [
        ("put", lambda busy: busy.full.get()),
        ("reserve", lambda busy: busy.full.get()),
        ("join", lambda busy: busy.full.task_done()),
        ("get", lambda busy: busy.empty.put(7)),
        ("lease", lambda busy: busy.empty.put(7)),
        ("wait_get", lambda busy: busy.empty.put(7)),
        ("mutex", lambda busy: busy.let_go()),
        ("semaphore", lambda busy: busy.semaphore.release()),
        ("event", lambda busy: busy.event.set()),
        ("wait", lambda busy: busy.event.set()),
    ],
)
def test_handler_may_use_the_very_object_that_is_waited_for(
    busy: Busy, verb: str, remedy: Callable[[Busy], object]
) -> None:
    with handling(signal.SIGALRM, lambda number, frame: remedy(busy)), signal_when_asleep(signal.SIGALRM):
        outcome = WAITS[verb](busy, PATIENCE_SECONDS)
    if verb == "lease":
        outcome.ack()
    if verb == "reserve":
        outcome.cancel()
    if verb == "mutex":
        busy.mutex.release()
    assert outcome is not False


def test_signal_does_not_disturb_waits_of_other_threads(busy: Busy) -> None:
    rings = []
    with handling(signal.SIGALRM, lambda number, frame: rings.append(number)), Call(busy.empty.get) as getter:
        getter.asleep()
        for count in range(1, 6):
            signal.raise_signal(signal.SIGALRM)
            assert len(rings) == count
        assert getter.is_under_way()
        busy.empty.put(5)
        assert getter.result() == 5


# ---- the GIL ---------------------------------------------------------------------------------------------------------


def test_every_wait_lets_other_threads_run(busy: Busy, wait: Callable[..., Any]) -> None:
    with Call(wait, busy, None) as waiter:
        waiter.asleep()
        assert sum(range(100_000)) == 4999950000
        for one in (busy.empty, busy.full, busy.mutex, busy.semaphore, busy.event):
            one.close()
        with pytest.raises(Closed):
            waiter.result()


def test_threads_of_one_process_can_serve_each_other_over_a_queue_of_one() -> None:
    with penstock.Queue(capacity=1) as there, penstock.Queue(capacity=1) as back:

        def echo() -> None:
            for item in there:
                back.put(item)

        with Call(echo) as echoing:
            for number in range(500):
                there.put(number)
                assert back.get(timeout=PATIENCE_SECONDS) == number
            there.shutdown()
            echoing.result()


# ---- in other processes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "verb", "arguments"),
    [("Queue", "get", []), ("Queue", "lease", []), ("Queue", "put", ["more"]), ("Queue", "join", [])],
)
def test_ctrl_c_ends_a_process_that_waits(name: str, spawn: Spawn, kind: str, verb: str, arguments: list[Any]) -> None:
    with penstock.Queue(name, capacity=1) as q:
        if verb in ("put", "join"):
            q.put("item")
        child = spawn(call_method, kind, name, verb, *arguments)
        assert child.receive() == "ready"
        wait_until_asleep(child.pid)
        child.interrupt()
        with pytest.raises(testing.ChildFailed, match="KeyboardInterrupt"):
            child.result()
        assert q.qsize() == (1 if verb in ("put", "join") else 0)


def test_stopped_process_goes_on_waiting_when_it_is_continued(queue: penstock.Queue, spawn: Spawn) -> None:
    child = spawn(call_method, "Queue", queue.name, "get")
    assert child.receive() == "ready"
    wait_until_asleep(child.pid)
    for _ in range(5):
        child.stop()
        child.cont()
    child.stop()
    queue.put("item")
    child.cont()
    assert child.result() == "item"


def test_timeout_runs_on_while_a_process_is_stopped(queue: penstock.Queue, spawn: Spawn) -> None:
    child = spawn(call_method, "Queue", queue.name, "get", timeout=0.05)
    assert child.receive() == "ready"
    child.stop()
    time.sleep(0.06)
    child.cont()
    assert child.result() == "Empty"
