"""The mutex: one thread at a time, of all processes; recursive; told once when its owner died."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from peers import Call, call_method, count_up, hold_mutex, wait_until_asleep
from penstock import Closed, NotOwner, Removed

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock import testing

    Spawn = Callable[..., testing.Child]

pytestmark = pytest.mark.usefixtures("directory")

SHORT_SECONDS = 0.05


def in_another_thread(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Return what a call returns in another thread."""
    with Call(function, *args, **kwargs) as call:
        return call.result()


def test_mutex_is_taken_and_given_back() -> None:
    mutex = penstock.Mutex()
    assert mutex.acquire() is True
    assert mutex.is_owned
    assert mutex.locked()
    mutex.release()
    assert not mutex.locked()
    mutex.close()


def test_mutex_is_held_in_its_block_and_given_back_on_an_error_too() -> None:
    mutex = penstock.Mutex()
    with mutex:
        assert mutex.locked()
    assert not mutex.locked()
    with pytest.raises(KeyError), mutex:
        raise KeyError
    assert not mutex.locked()
    mutex.close()


def test_thread_that_holds_it_may_take_it_again_and_gives_it_back_as_often() -> None:
    mutex = penstock.Mutex()
    for _ in range(1000):
        assert mutex.acquire(block=False)
    for _ in range(1000):
        assert in_another_thread(mutex.acquire, False) is False
        mutex.release()
    assert not mutex.locked()
    with pytest.raises(NotOwner):
        mutex.release()
    mutex.close()


def test_other_threads_do_not_hold_what_this_one_does() -> None:
    mutex = penstock.Mutex()
    with mutex:
        assert in_another_thread(lambda: mutex.is_owned) is False
        assert in_another_thread(mutex.locked) is True
        with pytest.raises(NotOwner):
            in_another_thread(mutex.release)
        assert mutex.is_owned
    with pytest.raises(RuntimeError):
        mutex.release()
    mutex.close()


def test_two_handles_in_one_process_are_the_same_mutex(name: str) -> None:
    first, second = penstock.Mutex(name), penstock.Mutex(name)
    with first:
        assert second.is_owned
        assert second.acquire(block=False)
        first.release()
        assert second.is_owned
    assert not first.locked()
    first.close()
    second.close()


@pytest.mark.parametrize("timeout", [0, -1, -1e300])
def test_acquire_without_waiting_says_no_at_once(timeout: float) -> None:
    mutex = penstock.Mutex()
    with mutex:
        for arguments in ((False,), (False, 60), (True, timeout), (0,)):
            assert in_another_thread(mutex.acquire, *arguments) is False
    mutex.close()


def test_acquire_says_no_when_the_time_is_up_and_not_before() -> None:
    mutex = penstock.Mutex()
    with mutex:
        started = time.perf_counter()
        assert in_another_thread(mutex.acquire, timeout=SHORT_SECONDS) is False
        assert time.perf_counter() - started >= SHORT_SECONDS
    mutex.close()


def test_timeout_that_is_no_number_is_refused() -> None:
    mutex = penstock.Mutex()
    with pytest.raises(ValueError, match="timeout"):
        mutex.acquire(timeout=float("nan"))
    with pytest.raises(TypeError):
        mutex.acquire(timeout="1")  # type: ignore[arg-type]
    assert not mutex.locked()
    mutex.close()


def test_acquire_waits_until_it_is_given_back() -> None:
    mutex = penstock.Mutex()
    mutex.acquire()
    with Call(mutex.acquire) as waiter:
        waiter.asleep()
        mutex.release()
        assert waiter.result() is True
    assert mutex.locked()
    mutex.close()


def test_acquire_waits_for_another_process(name: str, spawn: Spawn) -> None:
    mutex = penstock.Mutex(name)
    child = spawn(hold_mutex, name)
    assert child.receive() == "holding"
    assert mutex.acquire(timeout=SHORT_SECONDS) is False
    assert mutex.stats()["owner"] == child.pid
    with Call(mutex.acquire) as waiter:
        waiter.asleep()
        child.send("let go")
        assert waiter.result() is True
    child.result()
    assert not mutex.abandoned
    mutex.close()


def test_another_process_waits_for_this_one(name: str, spawn: Spawn) -> None:
    with penstock.Mutex(name) as _:
        pass
    mutex = penstock.Mutex.open(name)
    mutex.acquire()
    child = spawn(call_method, "Mutex", name, "acquire")
    assert child.receive() == "ready"
    wait_until_asleep(child.pid)
    mutex.release()
    assert child.result() is True
    mutex.close()


def test_only_one_at_a_time_of_all_threads_and_processes_goes_on(name: str, spawn: Spawn) -> None:
    with penstock.Mapping(f"{name}-count", 8) as count:
        mutex = penstock.Mutex(name)
        children = [spawn(count_up, name, 2000) for _ in range(2)]
        threads = [Call(count_up, name, 1000) for _ in range(2)]
        for child in children:
            child.result()
        for thread in threads:
            thread.result()
        with memoryview(count) as view:
            assert view.cast("Q")[0] == 6000
        mutex.close()


def test_living_thread_that_ended_leaves_the_mutex_held() -> None:
    mutex = penstock.Mutex()
    in_another_thread(mutex.acquire)
    assert mutex.locked()
    assert mutex.acquire(timeout=SHORT_SECONDS) is False
    mutex.close()


def test_mutex_left_by_closing_the_last_handle_of_its_owner_passes_on_as_abandoned(name: str, spawn: Spawn) -> None:
    mutex = penstock.Mutex(name)
    assert spawn(call_method, "Mutex", name, "acquire").result() is True
    told = []
    for _ in range(2):
        assert mutex.acquire(timeout=PATIENCE_SECONDS)
        told.append(mutex.abandoned)
        mutex.release()
        told.append(mutex.abandoned)
    assert told == [True, False, False, False]
    mutex.close()


def test_waiting_on_an_unlinked_mutex_raises_removed(name: str, spawn: Spawn) -> None:
    mutex = penstock.Mutex(name)
    child = spawn(hold_mutex, name)
    child.receive()
    with Call(mutex.acquire) as waiter:
        waiter.asleep()
        mutex.unlink()
        with pytest.raises(Removed):
            waiter.result()
    child.send("let go")
    child.result()
    assert mutex.acquire(timeout=PATIENCE_SECONDS)
    mutex.close()


def test_closing_the_handle_ends_waits_of_other_threads(name: str) -> None:
    mutex, other = penstock.Mutex(name), penstock.Mutex(name)
    mutex.acquire()
    with Call(other.acquire) as waiter:
        waiter.asleep()
        other.close()
        with pytest.raises(Closed):
            waiter.result()
    mutex.release()
    mutex.close()


def test_stats_tell_who_holds_it(name: str) -> None:
    mutex = penstock.Mutex(name)
    assert {key: mutex.stats()[key] for key in ("name", "kind", "is_locked", "owner")} == {
        "name": name,
        "kind": "mutex",
        "is_locked": False,
        "owner": None,
    }
    with mutex:
        stats = mutex.stats()
        assert (stats["is_locked"], stats["owner"]) == (True, os.getpid())
    mutex.close()


def test_ownership_is_the_threads_and_not_its_numbers() -> None:
    """Threads that come after one that ended with the mutex in hand may get its ident; they do not hold it."""
    mutex = penstock.Mutex()
    in_another_thread(mutex.acquire)
    answers = []
    for _ in range(20):
        thread = threading.Thread(target=lambda: answers.append(mutex.acquire(block=False)))
        thread.start()
        thread.join()
    assert not any(answers)
    mutex.close()
