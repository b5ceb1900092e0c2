"""CPython's own tests of queues, locks, semaphores and events, pointed at our classes.

They come from the running interpreter's package `test`, so they are those of its version; where that package is not
installed (some distributions leave it out) they are skipped. Nothing of them is copied here. What our classes do
otherwise on purpose stands in `DIFFERENCES`, each with its reason, and must really be otherwise: a test that is named
there and passes all the same is a failure. What the adaptors below bridge is a difference, too, but one of spelling.
"""

from __future__ import annotations

import functools
import multiprocessing
import sys
import types
import unittest
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

import penstock

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

WHY_SKIPPED = "this interpreter comes without CPython's own tests (the package `test`)"
queue_tests: Any = pytest.importorskip("test.test_queue", reason=WHY_SKIPPED)
process_tests: Any = pytest.importorskip("test._test_multiprocessing", reason=WHY_SKIPPED)
lock_tests: Any = pytest.importorskip("test.lock_tests", reason=WHY_SKIPPED)

pytestmark = [
    pytest.mark.usefixtures("directory"),
    # Python 3.12 and later warn of forks beside threads, which these tests are about.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]

DIFFERENCES = {
    # Queues
    "test_shrinking_queue": "the capacity is the queue's, in shared memory, and fixed when it is created",
    "test_failing_queue": "it overrides _put and _get; what is overridden here is the public verbs",
    "test_references": "items are pickled, so a class that does not pickle cannot be put",
    "test_queue_feeder_donot_stop_onexc": "put raises if an item does not pickle, instead of dropping it later on",
    "test_closed_queue_empty_exceptions": "every call on a closed handle raises Closed, which is a ValueError",
    # Locks, semaphores, events: their models are multiprocessing's, where these differ from threading's
    "TestMutex.test_timeout": "as in multiprocessing, a timeout below zero is zero, and goes with block=False",
    "TestSemaphoreOfOne.test_timeout": "as in multiprocessing, a timeout below zero is zero, and goes with block=False",
    "test_acquire_timeout": "as in multiprocessing, a timeout goes with block=False",
    "TestMutex.test_repr": "a repr shows the name, not the address",
    "TestMutex.test_locked_repr": "a repr shows the name, not the address",
    "TestSemaphoreOfOne.test_repr": "a repr shows the name, not the address",
    "TestSemaphoreOfOne.test_locked_repr": "a repr shows the name, not the address",
    "TestSemaphore.test_repr": "a repr shows the name, not the address",
    "TestBoundedSemaphore.test_repr": "a repr shows the name, not the address",
    "TestEvent.test_repr": "a repr shows the name, not the address",
    "TestEventOfForkedProcesses.test_repr": "a repr shows the name, not the address",
    "TestEventOfSpawnedProcesses.test_repr": "a repr shows the name, not the address",
    "test_release_save_unacquired": "private to threading.Condition, which cannot wait in another process",
    "test_recursion_count": "private to threading.RLock",
    "test__is_owned": "private to threading.Condition; is_owned says so here",
    "test_at_fork_reinit": "private to threading: what is shared between processes is not made anew by a fork",
}
"""Tests of CPython's that must fail on our classes, as "test" or "Class.test", and why."""

NOT_RUN = {
    "test_queue_feeder_on_queue_feeder_error": "there is no feeder thread: put hands over its item before it returns",
    "LifoQueueTest": "queues here are first in, first out",
    "PriorityQueueTest": "queues here are first in, first out",
    "_TestCondition": "there are no conditions here",
    "_TestBarrier": "there are no barriers here",
}
"""Tests of CPython's queues, locks, semaphores and events that have no counterpart here, and why."""

PLENTY = 70_000
"""The capacity of a queue that is made without one: more than these tests ever put unread."""


def pointed(case: Any) -> Any:
    """Mark those tests of a case that must fail, and leave out those without a counterpart."""
    for name in NOT_RUN:
        if hasattr(case, name):
            setattr(case, name, None)
    for name, reason in DIFFERENCES.items():
        class_name, _, test_name = name.rpartition(".")
        if class_name in ("", case.__name__) and hasattr(case, test_name):
            setattr(case, test_name, _different(getattr(case, test_name), reason))
    return case


def _different(test: Callable[[Any], None], reason: str) -> Any:
    @pytest.mark.xfail(reason=reason, strict=True)
    @functools.wraps(test)
    def run(self: Any) -> None:
        test(self)

    return run


# ---- adaptors --------------------------------------------------------------------------------------------------------


class Queue(penstock.Queue):
    """`queue.Queue(5)`: the size comes first, and 0 means that there is none. Named so because a test looks it up."""

    def __new__(cls, maxsize: int = 0) -> Self:
        return super().__new__(cls, capacity=maxsize if maxsize > 0 else PLENTY, max_item_bytes=4096)


class Semaphore(penstock.Semaphore):
    """`threading.Semaphore(2)`: the count comes first, and release returns nothing."""

    def __new__(cls, value: int = 1) -> Self:
        return super().__new__(cls, value=value)

    def release(self, n: int = 1) -> None:  # type: ignore[override]
        super().release(n)


class BoundedSemaphore(Semaphore):
    """`threading.BoundedSemaphore(2)`: the first count is the highest."""

    def __new__(cls, value: int = 1) -> Self:
        return penstock.Semaphore.__new__(cls, value=value, maximum=value)


class Lock(BoundedSemaphore):
    """`threading.Lock()`: a semaphore of one. Anybody may release it, as that one."""

    def __new__(cls) -> Self:
        return super().__new__(cls, 1)

    def acquire(self, block: bool = True, timeout: float | None = None, *, blocking: bool = True) -> bool:
        return super().acquire(block and blocking, timeout)

    def locked(self) -> bool:
        return self.get_value() == 0


# ---- test.test_queue -------------------------------------------------------------------------------------------------

OURS = types.SimpleNamespace(Queue=Queue, Empty=penstock.Empty, Full=penstock.Full, ShutDown=penstock.ShutDown)


@pointed
class TestQueue(queue_tests.QueueTest, unittest.TestCase):  # type: ignore[misc]
    queue = OURS


@pointed
class TestFailingQueue(queue_tests.FailingQueueTest, unittest.TestCase):  # type: ignore[misc]
    queue = OURS


@pointed
class TestSimpleQueue(queue_tests.BaseSimpleQueueTest, unittest.TestCase):  # type: ignore[misc]
    queue = OURS
    type2test = Queue

    def tearDown(self) -> None:
        self.q.close()


# ---- test._test_multiprocessing --------------------------------------------------------------------------------------


class OfProcesses:
    """What the tests of multiprocessing expect of their class, with our classes."""

    TYPE = "processes"
    Queue = JoinableQueue = Queue
    Lock = Lock
    RLock = penstock.Mutex
    Semaphore = Semaphore
    BoundedSemaphore = BoundedSemaphore
    Event = penstock.Event

    def setUp(self) -> None:
        """Have those tests that ask the module for a queue get ours."""
        for name in ("Queue", "JoinableQueue"):
            patch = mock.patch.object(multiprocessing, name, Queue)
            patch.start()
            self.addCleanup(patch.stop)  # type: ignore[attr-defined]


class Forked(OfProcesses):
    Process: Any = multiprocessing.get_context("fork").Process


class Spawned(OfProcesses):
    Process: Any = multiprocessing.get_context("spawn").Process


@pointed
class TestQueueOfForkedProcesses(Forked, process_tests._TestQueue, unittest.TestCase):  # type: ignore[misc]
    pass


@pointed
class TestQueueOfSpawnedProcesses(Spawned, process_tests._TestQueue, unittest.TestCase):  # type: ignore[misc]
    pass


@pointed
class TestEventOfForkedProcesses(Forked, process_tests._TestEvent, unittest.TestCase):  # type: ignore[misc]
    pass


@pointed
class TestEventOfSpawnedProcesses(Spawned, process_tests._TestEvent, unittest.TestCase):  # type: ignore[misc]
    pass


@pointed
class TestLocksOfProcesses(Forked, process_tests._TestLock, unittest.TestCase):  # type: ignore[misc]
    pass


@pointed
class TestSemaphoresOfProcesses(Forked, process_tests._TestSemaphore, unittest.TestCase):  # type: ignore[misc]
    pass


# ---- test.lock_tests -------------------------------------------------------------------------------------------------


@pointed
class TestMutex(lock_tests.RLockTests):  # type: ignore[misc]
    locktype = penstock.Mutex


@pointed
class TestSemaphoreOfOne(lock_tests.LockTests):  # type: ignore[misc]
    locktype = Lock


@pointed
class TestSemaphore(lock_tests.SemaphoreTests):  # type: ignore[misc]
    semtype = Semaphore


@pointed
class TestBoundedSemaphore(lock_tests.BoundedSemaphoreTests):  # type: ignore[misc]
    semtype = BoundedSemaphore


@pointed
class TestEvent(lock_tests.EventTests):  # type: ignore[misc]
    eventtype = penstock.Event


@pytest.mark.skipif(sys.version_info < (3, 13), reason="older versions have fewer tests")
def test_every_difference_is_one_of_a_test_that_exists() -> None:
    cases = [case for case in globals().values() if isinstance(case, type) and issubclass(case, unittest.TestCase)]
    tests = {name for case in cases for test in dir(case) for name in (test, f"{case.__name__}.{test}")}
    assert set(DIFFERENCES) - tests == set()
