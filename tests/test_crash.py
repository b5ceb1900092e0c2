"""Processes killed in the middle of their work, by a real SIGKILL: nothing is lost, doubled or stuck.

The core's own tests kill at every single point of every operation; these show what users see. PENSTOCK_CRASH_SECONDS
and PENSTOCK_CRASH_VISITORS ask for longer runs; `make stress` has the long ones.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from peers import (
    Call,
    attach_and_be_killed,
    call_method,
    fill_with_processes,
    hold_lease_and_room,
    hold_mutex,
    make_and_hold,
    take_semaphore,
    wait_until_asleep,
)
from penstock import Empty, Full, _core, testing
from stress import campaign
from stress.items import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

SECONDS = float(os.environ.get("PENSTOCK_CRASH_SECONDS", "1"))
VISITORS = int(os.environ.get("PENSTOCK_CRASH_VISITORS", "1200"))

SOON_SECONDS = 5.0
"""In which survivors must have gone on. (A second is promised, on a machine that has nothing else to do.)"""


@pytest.fixture(params=[b"small", bytes(range(256)) * 200], ids=["small", "large"])
def item(request: pytest.FixtureRequest) -> Any:
    return request.param


# ---- who holds something ---------------------------------------------------------------------------------------------


def test_item_of_a_killed_consumer_is_delivered_again_before_newer_ones(name: str, spawn: Spawn, item: bytes) -> None:
    with penstock.Queue(name, item=bytes) as q:
        q.put_many([item, item + b"2", item + b"3"])
        child = spawn(hold_lease_and_room, name, 2)
        assert child.receive() == [item, item + b"2"]
        child.kill()
        with penstock.Queue.open(name) as successor:  # who comes in the place of the dead looks for what he left
            for expected, deliveries in ((item, 2), (item + b"2", 2), (item + b"3", 1)):
                with successor.lease(timeout=0) as lease:
                    assert (lease.value, lease.deliveries) == (expected, deliveries)


@pytest.mark.parametrize("verb", ["get", "lease", "wait_get"])
def test_sleeping_consumer_gets_the_item_of_a_killed_one_soon(queue: penstock.Queue, spawn: Spawn, verb: str) -> None:
    queue.put("work")
    child = spawn(hold_lease_and_room, queue.name, 1)
    child.receive()
    with Call(getattr(queue, verb)) as waiter:
        waiter.asleep()
        started = time.monotonic()
        child.kill()
        outcome = waiter.result()
        assert time.monotonic() - started < SOON_SECONDS
    if verb == "lease":
        outcome.ack()
    assert queue.qsize() == (1 if verb == "wait_get" else 0)


def test_item_that_kills_its_consumers_becomes_a_dead_letter(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, max_deliveries=3) as q:
        q.put("poison")
        for _ in range(3):
            child = spawn(hold_lease_and_room, name, 1)
            assert child.receive() == ["poison"]
            child.kill()
        with pytest.raises(Empty):
            q.get(timeout=0.01)
        assert q.dead_letters.get(timeout=SOON_SECONDS) == "poison"


@pytest.mark.parametrize("nbytes", [10, 100_000])
def test_room_of_a_killed_producer_is_free_again(name: str, spawn: Spawn, nbytes: int) -> None:
    with penstock.Queue(name, item=bytes, capacity=1) as q:
        child = spawn(hold_lease_and_room, name, 0, nbytes)
        assert child.receive() == []
        with pytest.raises(Full):
            q.put(b"", timeout=0)
        with Call(q.put, b"after all") as putter:
            putter.asleep()
            child.kill()
            putter.result()
        assert q.get_many(5) == [b"after all"]


def test_dead_are_seen_without_waiting_too(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, item=bytes, capacity=2) as q:
        q.put(b"leased")
        child = spawn(hold_lease_and_room, name, 1)
        child.receive()
        child.kill()
        assert q.get_nowait() == b"leased"
        q.put_nowait(b"one")
        q.put_nowait(b"two")


@pytest.mark.parametrize("kind", ["u4", object])
def test_batch_is_not_cut_short_by_what_a_killed_process_held(name: str, spawn: Spawn, kind: Any) -> None:
    with penstock.Queue(name, item=kind, capacity=40) as q:
        child = spawn(hold_lease_and_room, name, 0, 4)
        child.receive()
        child.kill()
        until = time.monotonic() + 0.6  # long enough for somebody to look for the dead in between
        while time.monotonic() < until:
            q.put_many(range(30))
            assert q.get_many(40) == list(range(30))
        assert q.put_many(range(50), timeout=0) == 40


def test_stopped_process_is_not_robbed(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, item=bytes, capacity=2) as q:
        q.put(b"leased")
        child = spawn(hold_lease_and_room, name, 1)
        child.receive()
        child.stop()
        with pytest.raises(Empty):
            q.get(timeout=0.2)
        with pytest.raises(Full):
            q.put(b"", timeout=0.2)
        child.cont()
        child.send("let go")
        child.result()
        assert q.get(timeout=0) == b"leased"


def test_killed_process_is_shown_as_dead(queue: penstock.Queue, spawn: Spawn) -> None:
    child = spawn(call_method, "Queue", queue.name, "get")
    child.receive()
    child.kill()
    participants = {entry["pid"]: entry["alive"] for entry in queue.stats()["participants"]}
    assert participants.get(child.pid, False) is False
    assert participants[os.getpid()] is True


# ---- mutexes, semaphores, events -------------------------------------------------------------------------------------


def test_mutex_of_a_killed_owner_passes_to_who_waits_and_is_told_once(name: str, spawn: Spawn) -> None:
    mutex = penstock.Mutex(name)
    child = spawn(hold_mutex, name)
    child.receive()

    def take() -> bool:
        with mutex:
            return mutex.abandoned

    waiters = [Call(take).asleep() for _ in range(3)]
    started = time.monotonic()
    child.kill()
    assert sorted(waiter.result() for waiter in waiters) == [False, False, True]
    assert time.monotonic() - started < SOON_SECONDS
    assert not mutex.locked()
    mutex.close()


def test_heir_that_is_killed_too_leaves_the_news_to_the_next(name: str, spawn: Spawn) -> None:
    mutex = penstock.Mutex(name)
    for _ in range(3):
        child = spawn(hold_mutex, name, 3)
        child.receive()
        child.kill()
    assert not mutex.locked()
    told = []
    for _ in range(2):
        assert mutex.acquire(block=False)
        told.append(mutex.abandoned)
        mutex.release()
    assert told == [True, False]
    mutex.close()


def test_waiter_that_is_killed_does_not_hold_up_the_next(name: str, spawn: Spawn) -> None:
    mutex = penstock.Mutex(name)
    mutex.acquire()
    child = spawn(call_method, "Mutex", name, "acquire")
    child.receive()
    wait_until_asleep(child.pid)
    with Call(mutex.acquire) as waiter:
        waiter.asleep()
        child.kill()
        mutex.release()
        assert waiter.result() is True
    mutex.close()


def test_what_a_killed_process_took_of_a_semaphore_stays_taken(name: str, spawn: Spawn) -> None:
    semaphore = penstock.Semaphore(name, value=3)
    child = spawn(take_semaphore, name, 2)
    child.receive()
    child.kill()
    assert semaphore.get_value() == 1
    assert semaphore.acquire(block=False)
    assert semaphore.acquire(timeout=0.1) is False
    semaphore.close()


# ---- who sleeps ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["get", "lease"])
def test_killed_sleeper_costs_the_others_no_item(queue: penstock.Queue, spawn: Spawn, verb: str) -> None:
    children = [spawn(call_method, "Queue", queue.name, verb) for _ in range(2)]
    for child in children:
        child.receive()
        wait_until_asleep(child.pid)
    with Call(queue.get) as getter:
        getter.asleep()
        for child in children:
            child.kill()
        queue.put("item")
        assert getter.result() == "item"


@pytest.mark.parametrize("signals", ["killed", "stopped"])
def test_sleeper_that_was_woken_and_never_acts_does_not_keep_the_item_from_others(
    queue: penstock.Queue, spawn: Spawn, signals: str
) -> None:
    child = spawn(call_method, "Queue", queue.name, "get")
    child.receive()
    wait_until_asleep(child.pid)
    child.stop()
    with Call(queue.get) as getter:
        getter.asleep()
        queue.put("item")  # its wake-up may go to the one that stands still
        if signals == "killed":
            child.kill()
        assert getter.result() == "item"
    child.kill()


def test_killed_sleeper_for_room_costs_the_others_no_room(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, capacity=1) as q:
        q.put(1)
        child = spawn(call_method, "Queue", name, "put", 2)
        child.receive()
        wait_until_asleep(child.pid)
        child.stop()
        with Call(q.put, 3) as putter:
            putter.asleep()
            assert q.get() == 1
            child.kill()
            putter.result()
        assert q.get_many(5) == [3]


def test_killed_waiter_of_join_or_of_an_event_disturbs_nobody(queue: penstock.Queue, spawn: Spawn) -> None:
    queue.put("work")
    with penstock.Event(f"{queue.name}-event", auto_reset=True) as event:
        children = [spawn(call_method, "Queue", queue.name, "join"), spawn(call_method, "Event", event.name, "wait")]
        for child in children:
            child.receive()
            wait_until_asleep(child.pid)
        with Call(queue.join) as joiner, Call(event.wait) as waiter:
            joiner.asleep()
            waiter.asleep()
            for child in children:
                child.kill()
            queue.get()
            queue.task_done()
            event.set()
            assert joiner.result() is True
            assert waiter.result() is True


# ---- names -----------------------------------------------------------------------------------------------------------


def test_queue_of_killed_users_that_was_to_go_with_them_is_a_leftover(name: str, directory: str, spawn: Spawn) -> None:
    child = spawn(make_and_hold, name)
    path = child.receive()
    [entry] = _core.listing(directory)
    assert (entry["leftover"], entry["attached"]) == (False, [child.pid])
    assert _core.remove_stale(directory) == []
    child.kill()
    [entry] = _core.listing(directory)
    assert (entry["leftover"], entry["attached"], entry["dead"]) == (True, [], 1)
    assert _core.remove_stale(directory) == [name]
    assert not os.path.exists(path)


@pytest.mark.timeout(60 + VISITORS / 50)
def test_as_many_processes_as_like_may_attach_and_be_killed(name: str, spawn: Spawn) -> None:
    """More than there are numbers for: those of the dead are used again."""
    with penstock.Queue(name, item="u4", capacity=5) as q:
        count = VISITORS - VISITORS % 3  # so that the last one leaves nothing
        child = spawn(attach_and_be_killed, name, count, deadline=30 + count / 50)
        assert child.result(30 + count / 50) == count
        q.put(1)
        assert q.get(timeout=0) == 1
        assert q.put_many(range(6), timeout=0) == 5
        alive = [entry["pid"] for entry in q.stats()["participants"] if entry["alive"]]
        assert alive == [os.getpid()]
        size = os.stat(q.path).st_size
        assert size < 200_000


def test_more_living_processes_than_there_are_numbers_for_are_told_so(name: str, spawn: Spawn) -> None:
    with penstock.Queue(name, item="u4") as q:
        child = spawn(fill_with_processes, name, deadline=60.0)
        told, attached = child.result(60.0)
        assert told == "TooManyProcesses"
        assert 1000 < attached < 1024
        q.put(1)
        with penstock.Queue.open(name) as again:
            assert again.get(timeout=0) == 1


# ---- in full flight --------------------------------------------------------------------------------------------------

SCENARIOS = {
    "numbers": Scenario("u8", (8,), 10, ("get", "get_many")),
    "large": Scenario("bytes", (304, 3000, 20_000), 2, ("get",)),
    "leased": Scenario("object", (8, 64, 3000), 10, ("lease",)),
    "anything": Scenario("bytes", (8, 200, 3000), 100, ("get", "get_many", "lease")),
}


@pytest.mark.timeout(90 + SECONDS)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kills_in_full_flight_lose_double_and_stop_nothing(spawn: Spawn, scenario: str) -> None:
    child = spawn(campaign.run_round, SCENARIOS[scenario], SECONDS, 7, deadline=60.0 + SECONDS)
    figures, stories = child.result(60.0 + SECONDS)
    assert figures.bad() == {}, "\n".join(stories)
    assert figures.kills > 0
    assert figures.items > 0
