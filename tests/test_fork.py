"""Handles across fork, also in the middle of use, and across every other way to start a process."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from peers import Call, fork_in_a_handler, open_and_answer, serve, use_everything
from penstock import LeaseLost, NotOwner, testing

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [
    pytest.mark.usefixtures("directory"),
    # Python 3.12 and later warn of forks beside threads. Ours must survive them all the same.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning"),
]


class Forked:
    """A forked child that runs a function with what the parent has, and exits with 0 if it returned."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._ended: list[int] = []
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                signal.alarm(30)
                function()
                status = 0
            except BaseException:  # noqa: BLE001 - a child must not go on as a second pytest
                traceback.print_exc()
            finally:
                os._exit(status)

    def check(self) -> None:
        """Wait for the child's end, and check that all went well in it."""
        with contextlib.suppress(TimeoutError):
            testing.wait_until(self._has_ended, PATIENCE_SECONDS)
        if not self._ended:
            self.kill()
        assert self._ended == [0]

    def kill(self) -> None:
        """Kill the child and wait until it is gone."""
        if not self._ended:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def _has_ended(self) -> bool:
        if not self._ended:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._ended = [os.waitstatus_to_exitcode(status)] if pid else []
        return bool(self._ended)


def test_parent_and_child_use_the_same_handles(queue: penstock.Queue) -> None:
    with penstock.Queue() as back:

        def child() -> None:
            for item in queue:
                back.put(item * 2)
                queue.task_done()

        forked = Forked(child)
        for number in range(100):
            queue.put(number)
            assert back.get(timeout=PATIENCE_SECONDS) == number * 2
        assert queue.join(PATIENCE_SECONDS)
        queue.shutdown()
        forked.check()


def test_child_is_a_participant_of_its_own_and_leaves_when_it_closes(queue: penstock.Queue) -> None:
    def child() -> None:
        queue.put("hello")
        pids = {entry["pid"]: entry["is_self"] for entry in queue.stats()["participants"]}
        assert pids == {os.getppid(): False, os.getpid(): True}
        queue.close()

    Forked(child).check()
    assert [entry["pid"] for entry in queue.stats()["participants"]] == [os.getpid()]
    assert queue.get(timeout=0) == "hello"


def test_child_that_uses_nothing_disturbs_nothing(queue: penstock.Queue) -> None:
    with queue.reserve_array((10,), "u1") as array:
        queue.put("item")
        with queue.lease() as lease:
            Forked(lambda: None).check()
            Forked(queue.close).check()
            assert lease.value == "item"
        array[:] = 7
    assert queue.get(timeout=0).tolist() == [7] * 10


def test_descendants_of_any_degree_use_the_handle(queue: penstock.Queue) -> None:
    def descend(generation: int) -> None:
        queue.put((generation, os.getpid()))
        if generation < 4:
            Forked(lambda: descend(generation + 1)).check()

    descend(0)
    items = queue.get_many(10)
    assert [generation for generation, _ in items] == list(range(5))
    assert len({pid for _, pid in items}) == 5


def test_closing_in_the_child_leaves_the_parents_handle_open(queue: penstock.Queue) -> None:
    Forked(queue.close).check()
    assert not queue.closed
    queue.put("item")
    assert queue.get() == "item"


# ---- what belongs to the parent --------------------------------------------------------------------------------------


@pytest.mark.parametrize("item", [b"small", bytes(100_000)], ids=["small", "large"])
def test_child_cannot_settle_the_parents_lease(name: str, item: bytes) -> None:
    with penstock.Queue(name, item=bytes, capacity=1) as q:
        q.put(item)
        lease = q.lease()

        def child() -> None:
            nonlocal lease
            for settle in (lease.ack, lease.give_back):
                with pytest.raises(LeaseLost):
                    settle()
            del lease  # dropped, but not given back
            gc.collect()
            assert q.qsize() == 0

        Forked(child).check()
        assert (q.qsize(), q.stats()["leased"], lease.is_settled) == (0, 1, False)
        assert lease.value == item
        lease.ack()
        assert q.join(0)


def test_child_cannot_settle_the_parents_reservation(name: str) -> None:
    with penstock.Queue(name, item=bytes, capacity=1) as q:
        room = q.reserve(100_000)

        def child() -> None:
            nonlocal room
            for settle in (room.commit, room.cancel):
                with pytest.raises(LeaseLost):
                    settle()
            del room
            gc.collect()
            assert q.qsize() == 0

        Forked(child).check()
        assert q.stats()["writing"] == 1
        room.view[:] = bytes(100_000)
        room.commit()
        assert q.get(timeout=0) == bytes(100_000)


def test_child_does_not_hold_the_parents_mutex() -> None:
    mutex = penstock.Mutex()

    def child() -> None:
        assert not mutex.is_owned
        assert mutex.locked()
        assert mutex.acquire(block=False) is False
        with pytest.raises(NotOwner):
            mutex.release()

    with mutex:
        Forked(child).check()
        assert mutex.is_owned
    assert not mutex.locked()
    mutex.close()


def test_what_a_killed_child_held_comes_back(name: str) -> None:
    mutex = penstock.Mutex(f"{name}-mutex")
    with penstock.Queue(name, item=bytes, capacity=2) as q, penstock.Queue() as told:
        q.put(b"leased")

        def child() -> None:
            mutex.acquire()
            _lease, _room = q.lease(), q.reserve(100_000)
            told.put("holding")
            signal.pause()

        forked = Forked(child)
        assert told.get(timeout=PATIENCE_SECONDS) == "holding"
        assert (q.stats()["leased"], q.stats()["writing"]) == (1, 1)
        forked.kill()
        with q.lease(PATIENCE_SECONDS) as lease:
            assert (lease.value, lease.deliveries) == (b"leased", 2)
        assert q.put_many([b""] * 3, timeout=0) == 2
        assert mutex.acquire(timeout=PATIENCE_SECONDS)
        assert mutex.abandoned
        mutex.release()
        mutex.close()


# ---- in the middle of use --------------------------------------------------------------------------------------------


def test_fork_while_other_threads_wait(name: str) -> None:
    with penstock.Queue(name, capacity=1) as q, penstock.Queue(capacity=1) as full, penstock.Event() as event:
        full.put(0)
        waiting = [Call(q.get), Call(full.put, 1), Call(event.wait), Call(penstock.wait, [event, q])]
        for call in waiting:
            call.asleep()

        def child() -> None:
            assert full.get(timeout=PATIENCE_SECONDS) == 0
            event.set()
            q.put("from the child")
            for one in (q, full, event):
                one.close()
            assert q.closed

        forked = Forked(child)
        assert waiting[0].result() == "from the child"
        for call in waiting:
            call.result()
        assert full.get(timeout=PATIENCE_SECONDS) == 1
        forked.check()
        for one in (q, full, event):
            assert [entry["pid"] for entry in one.stats()["participants"]] == [os.getpid()]


@pytest.mark.parametrize("size", [10, 50_000])
def test_fork_in_the_middle_of_puts_and_gets_of_other_threads(name: str, size: int) -> None:
    """Children come into being while locks are held, waits are under way and items half written in the parent."""
    with penstock.Queue(name, capacity=4, item=bytes) as q:
        stop = threading.Event()
        padding = bytes(size)

        def produce(producer: int) -> int:
            number = 0
            while not stop.is_set():
                q.put(b"%d %d " % (producer, number) + padding)
                number += 1
            return number

        def consume() -> list[tuple[int, ...]]:
            return [tuple(map(int, item.split(b" ", 2)[:2])) for item in q]

        def child() -> None:
            for number in range(10):
                q.put(b"%d %d " % (os.getpid(), number) + padding, timeout=PATIENCE_SECONDS)

        consumers = [Call(consume) for _ in range(2)]
        producers = [Call(produce, producer) for producer in range(2)]
        children = []
        for _ in range(15):
            children.append(Forked(child))
        for forked in children:
            forked.check()
        stop.set()
        counts = {producer: call.result() for producer, call in enumerate(producers)}
        counts |= {forked.pid: 10 for forked in children}
        q.shutdown()
        got = Counter(item for call in consumers for item in call.result())
        assert got == Counter((who, number) for who, count in counts.items() for number in range(count))


def test_fork_in_a_signal_handler_in_the_middle_of_a_wait(
    queue: penstock.Queue, spawn: Callable[..., testing.Child]
) -> None:
    """The child comes out of the same wait as its parent, and both go on."""
    with penstock.Queue(f"{queue.name}-told") as told:
        assert spawn(fork_in_a_handler, queue.name).result() == ["Empty", 0]
        assert told.get(timeout=0) == "Empty in the child"
    assert is_alone(queue)


# ---- daemons ---------------------------------------------------------------------------------------------------------


def test_process_that_closed_all_its_descriptors_still_counts_as_living(name: str) -> None:
    with penstock.Queue(name, item=bytes, capacity=2) as q, penstock.Queue() as told, penstock.Queue() as orders:
        q.put(b"leased")

        def child() -> None:
            with q.lease() as lease:
                os.setsid()
                os.closerange(3, 4096)
                told.put(lease.value)
                assert orders.get(timeout=PATIENCE_SECONDS) == "go on"
                # Now it needs its file again: for room, and to look whether the name is still there.
                q.put(bytes(100_000))

        forked = Forked(child)
        assert told.get(timeout=PATIENCE_SECONDS) == b"leased"
        for _ in range(3):  # each looks for the dead
            with pytest.raises(penstock.Empty):
                q.get(timeout=0.01)
        assert q.stats()["leased"] == 1
        orders.put("go on")
        assert q.get(timeout=PATIENCE_SECONDS) == bytes(100_000)
        forked.check()
        assert q.empty()


# ---- every other way to start a process ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing_use_handles_that_they_were_given(method: str, name: str) -> None:
    handles: dict[str, Any] = {
        "queue": penstock.Queue(name, capacity=3),
        "private": penstock.Queue(item="u4"),
        "mutex": penstock.Mutex(),
        "semaphore": penstock.Semaphore(value=0),
        "event": penstock.Event(),
        "mapping": penstock.Mapping(size=8),
    }
    handles["queue"].put("work")
    context: Any = multiprocessing.get_context(method)
    process = context.Process(target=use_everything, args=(handles,))
    process.start()
    assert handles["event"].wait(PATIENCE_SECONDS)
    assert handles["private"].get(timeout=PATIENCE_SECONDS) == process.pid
    assert handles["semaphore"].acquire(timeout=PATIENCE_SECONDS)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0
    assert handles["queue"].get(timeout=0) == "work done"
    assert bytes(memoryview(handles["mapping"])) == b"written\0"
    assert not handles["mutex"].locked()
    process.close()
    for handle in handles.values():
        handle.close()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pool_of_processes_shares_a_queue_with_its_parent(method: str, queue: penstock.Queue) -> None:
    with multiprocessing.get_context(method).Pool(2, serve, (queue,)) as pool:
        assert sorted(pool.map(os.path.basename, [f"/some/{n}" for n in range(20)])) == sorted(map(str, range(20)))
        served = [queue.get(timeout=PATIENCE_SECONDS) for _ in range(2)]
        pool.close()
        pool.join()
    assert len(set(served)) == 2


def test_program_that_was_started_finds_the_queue_by_its_name(queue: penstock.Queue) -> None:
    program = "import sys, penstock; q = penstock.Queue(sys.argv[1]); q.put(q.get(timeout=20)[::-1])"
    queue.put("stressed")
    subprocess.run([sys.executable, "-c", program, queue.name], check=True, timeout=PATIENCE_SECONDS)
    assert queue.get(timeout=0) == "desserts"


def test_started_program_keeps_nothing_of_its_parents_alive(name: str) -> None:
    """No sign of life is inherited: the parent dies, its program lives on, and what the parent held comes back."""
    with penstock.Queue(name) as q, penstock.Queue() as told:
        q.put("held")

        def child() -> None:
            lease = q.lease()
            program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], close_fds=False)
            told.put(program.pid)
            signal.pause()
            lease.ack()

        forked = Forked(child)
        program = told.get(timeout=PATIENCE_SECONDS)
        forked.kill()
        assert q.get(timeout=PATIENCE_SECONDS) == "held"
        os.kill(program, signal.SIGKILL)


def test_pickle_sent_to_a_process_that_runs_already_opens_there(name: str, spawn: Callable[..., testing.Child]) -> None:
    child = spawn(open_and_answer)
    with penstock.Queue(name) as q:
        child.send(pickle.dumps(q))
        assert q.get(timeout=PATIENCE_SECONDS) == "got it"
        child.result()


def test_private_queue_outlives_the_process_that_made_it(directory: str) -> None:
    with penstock.Queue() as told, penstock.Queue() as orders, penstock.Event() as leave:

        def child() -> None:
            private = penstock.Queue()

            def grandchild() -> None:
                private.put("still here")
                told.put(os.getpid())
                assert orders.get(timeout=PATIENCE_SECONDS) == "go on"
                assert private.get(timeout=0) == "still here"
                told.put("done")
                private.close()

            Forked(grandchild)
            told.put(private.path)
            assert leave.wait(PATIENCE_SECONDS)

        forked = Forked(child)
        first, second = told.get(timeout=PATIENCE_SECONDS), told.get(timeout=PATIENCE_SECONDS)
        path = first if isinstance(first, str) else second
        leave.set()
        forked.check()
        assert os.path.exists(path)
        orders.put("go on")
        assert told.get(timeout=PATIENCE_SECONDS) == "done"
        testing.wait_until(lambda: not os.path.exists(path), PATIENCE_SECONDS)
        for one in (told, orders, leave):  # so that this process is the last one here
            testing.wait_until(partial(is_alone, one), PATIENCE_SECONDS)


def is_alone(handle: Any) -> bool:
    """Tell whether nobody living but this process has the object open."""
    return [entry["pid"] for entry in handle.stats()["participants"] if entry["alive"]] == [os.getpid()]


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_threads_open_use_and_close_handles_of_their_own_at_the_same_time(name: str) -> None:
    def work(number: int) -> None:
        for _ in range(30):
            with penstock.Queue(name, capacity=100) as q:
                q.put(number)
                q.get(timeout=PATIENCE_SECONDS)

    for call in [Call(work, number) for number in range(6)]:
        call.result()
    with penstock.Queue(name) as q:
        assert q.empty()
        assert len(q.stats()["participants"]) == 1


def test_handle_can_be_closed_while_all_kinds_of_calls_are_under_way(name: str) -> None:
    verbs: list[Callable[[penstock.Queue], object]] = [
        lambda q: q.get(),
        lambda q: q.put(bytes(100_000)),
        lambda q: q.put_many([b"a", b"b"]),
        lambda q: q.lease().ack(),
        lambda q: q.reserve(100_000).commit(),
        lambda q: q.stats(),
    ]
    for _ in range(20):
        q = penstock.Queue(name, capacity=2, item=bytes)
        calls = [Call(call_until_closed, q, verb) for verb in verbs]
        q.close()
        for call in calls:
            call.result()
    with penstock.Queue(name) as q:
        stats = q.stats()
        assert (stats["leased"], stats["writing"]) == (0, 0)
        q.unlink()


def call_until_closed(q: penstock.Queue, verb: Callable[[penstock.Queue], object]) -> None:
    """Call until the handle is closed."""
    with contextlib.suppress(penstock.Closed):
        while True:
            verb(q)
