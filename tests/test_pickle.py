"""Handles travel as names: through pickles, copies, and the start of other processes."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS, use_handle
from penstock import NotFound, testing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("directory")

KINDS: dict[str, Callable[..., Any]] = {
    "queue": penstock.Queue,
    "mutex": penstock.Mutex,
    "semaphore": penstock.Semaphore,
    "event": penstock.Event,
    "mapping": lambda name=None, **options: penstock.Mapping(name, 64, **options),
}

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return KINDS[request.param]


class Tagged(penstock.Queue):
    """A user's subclass, with something of its own."""

    tag = "untagged"


class Sized(penstock.Queue):
    """A user's subclass that is made otherwise."""

    def __new__(cls, size: int) -> Sized:
        return super().__new__(cls, f"sized-{size}", capacity=size)


def echo(inbox: penstock.Queue, outbox: penstock.Queue) -> None:
    """Put back what was got, in another process."""
    outbox.put((os.getpid(), inbox.get(timeout=PATIENCE_SECONDS)))


# ---- pickle ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pickled_handle_opens_the_same_object(make: Callable[..., Any], name: str, protocol: int) -> None:
    with_handle = make(name)
    other = pickle.loads(pickle.dumps(with_handle, protocol))
    assert type(other) is type(with_handle)
    assert other is not with_handle
    assert (other.name, other.path, other.lifetime) == (name, with_handle.path, "until_unlinked")
    assert not other.created
    other.close()
    assert not with_handle.closed
    with_handle.close()


def test_pickled_private_handle_opens_the_same_object(make: Callable[..., Any]) -> None:
    first = make()
    second = pickle.loads(pickle.dumps(first))
    assert second.path == first.path
    path = first.path
    first.close()
    assert os.path.exists(path)
    second.close()
    assert not os.path.exists(path)


def test_pickle_is_short_and_does_not_name_private_modules(make: Callable[..., Any], name: str) -> None:
    handle = make(name)
    data = pickle.dumps(handle)
    assert len(data) < 300 + 2 * len(handle.path)
    handle.close()


def test_queue_in_a_file_pickles_as_its_path(tmp_path_on_shm: Path) -> None:
    with penstock.Queue(tmp_path_on_shm / "jobs.queue") as q:
        q.put("here")
        with pickle.loads(pickle.dumps(q)) as other:
            assert other.get(timeout=0) == "here"
            assert other.name == q.name == str(tmp_path_on_shm / "jobs.queue")


def test_mapping_of_a_file_pickles_as_its_path(tmp_path: Path) -> None:
    with penstock.Mapping.of_file(tmp_path / "bytes", size=16) as mapping:
        with memoryview(mapping) as view:
            view[:4] = b"here"
        with pickle.loads(pickle.dumps(mapping)) as other, memoryview(other) as view:
            assert bytes(view[:4]) == b"here"
            assert not view.readonly


def test_pickle_from_another_directory_finds_its_way_back(name: str) -> None:
    with testing.temporary_directory() as other_directory, penstock.Queue(name, directory=other_directory) as q:
        data = pickle.dumps(q)
        q.put("there")
        os.environ["PENSTOCK_DIR"] = "/nonexistent"
        with pickle.loads(data) as other:
            assert other.get(timeout=0) == "there"


def test_pickle_of_what_was_unlinked_does_not_open(make: Callable[..., Any], name: str) -> None:
    handle = make(name)
    data = pickle.dumps(handle)
    handle.unlink()
    handle.close()
    with pytest.raises(NotFound):
        pickle.loads(data)


def test_closed_handle_still_pickles_as_its_name(make: Callable[..., Any], name: str) -> None:
    handle = make(name)
    handle.close()
    other = pickle.loads(pickle.dumps(handle))
    assert other.name == name
    assert not other.closed
    other.close()


def test_what_a_subclass_added_travels_too(name: str) -> None:
    with Tagged(name) as q:
        q.tag = "blue"
        with pickle.loads(pickle.dumps(q)) as other:
            assert type(other) is Tagged
            assert other.tag == "blue"


def test_subclass_that_is_made_otherwise_pickles_all_the_same() -> None:
    with Sized(3) as q, pickle.loads(pickle.dumps(q)) as other:
        assert type(other) is Sized
        assert other.capacity == 3


def test_trust_travels_with_the_pickle(make: Callable[..., Any], name: str) -> None:
    handle = make(name, trust=True)
    other = pickle.loads(pickle.dumps(handle))
    assert other.trusted
    other.close()
    handle.close()


@pytest.mark.parametrize("take", ["lease", "reserve"])
@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_lease_and_reservation_do_not_travel(take: str, way: Callable[[Any], Any]) -> None:
    with penstock.Queue(item=bytes) as q:
        q.put(b"item")
        taken = q.lease() if take == "lease" else q.reserve(3)
        with pytest.raises(TypeError, match=r"pickle|copy"):
            way(taken)
        taken.__exit__(None, None, None)


# ---- copy ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy])
def test_copied_handle_is_another_handle_of_the_same_object(
    make: Callable[..., Any], name: str, way: Callable[[Any], Any]
) -> None:
    first = make(name)
    second = way(first)
    assert second is not first
    assert second.path == first.path
    first.close()
    assert not second.closed
    second.close()


# ---- the start of processes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [one for one in multiprocessing.get_all_start_methods() if one != "fork"])
def test_handles_are_arguments_of_processes(method: Any) -> None:
    with penstock.Queue() as inbox, penstock.Queue() as outbox:
        process = multiprocessing.get_context(method).Process(target=echo, args=(inbox, outbox))
        process.start()
        inbox.put("there and back")
        assert outbox.get(timeout=PATIENCE_SECONDS) == (process.pid, "there and back")
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0
        process.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_handles_are_arguments_of_forked_processes() -> None:
    with penstock.Queue() as inbox, penstock.Queue() as outbox:
        process = multiprocessing.get_context("fork").Process(target=echo, args=(inbox, outbox))
        process.start()
        inbox.put("there and back")
        assert outbox.get(timeout=PATIENCE_SECONDS) == (process.pid, "there and back")
        process.join(PATIENCE_SECONDS)
        process.close()


def test_handles_are_arguments_of_a_process_pool(make: Callable[..., Any], name: str) -> None:
    handle = make(name)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        told = pool.submit(use_handle, handle).result(PATIENCE_SECONDS)
    assert told["path"] == handle.path
    assert told["pid"] != os.getpid()
    handle.close()


def test_handles_travel_through_queues() -> None:
    with penstock.Queue() as outer, penstock.Queue() as inner:
        outer.put(inner)
        inner.put("found")
        with outer.get() as arrived:
            assert arrived.get(timeout=0) == "found"


# ---- errors ----------------------------------------------------------------------------------------------------------


def test_errors_survive_a_pickle(name: str) -> None:
    with pytest.raises(NotFound) as caught:
        penstock.Queue.open(name)
    back = pickle.loads(pickle.dumps(caught.value))
    assert type(back) is NotFound
    assert str(back) == str(caught.value)
    error = penstock.DecodeError("no item", b"\x00bytes")
    back = pickle.loads(pickle.dumps(error))
    assert (str(back), back.data) == ("no item", b"\x00bytes")
