"""Handles of all kinds: where a name leads, parameters that cannot be, lifetimes, what a handle shows of itself."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import penstock
from helpers import PATIENCE_SECONDS
from penstock import BadName, Closed, Empty, Exists, Mismatch, NotFound, ShutDown
from penstock._name import locate

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("directory")

KINDS: dict[str, Any] = {
    "queue": penstock.Queue,
    "mutex": penstock.Mutex,
    "semaphore": penstock.Semaphore,
    "event": penstock.Event,
    "mapping": penstock.Mapping,
}
SIZE: dict[str, dict[str, Any]] = {"mapping": {"size": 64}}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Any:
    return KINDS[request.param]


@pytest.fixture
def options(kind: Any) -> dict[str, Any]:
    return SIZE.get(kind.__name__.lower(), {})


# ---- where a name leads ----------------------------------------------------------------------------------------------


def test_name_is_looked_for_in_the_directory_of_names(kind: Any, options: Any, name: str, directory: str) -> None:
    handle = kind(name, **options)
    assert handle.name == name
    assert handle.path == os.path.join(directory, name)
    assert os.path.exists(handle.path)
    handle.close()


def test_another_directory_can_be_given(
    kind: Any, options: Any, name: str, tmp_path_on_shm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_on_shm.parent)
    for given in (tmp_path_on_shm, str(tmp_path_on_shm), tmp_path_on_shm.name):
        handle = kind(name, directory=given, **options)
        assert handle.path == str(tmp_path_on_shm / name)
        handle.close()


def test_queue_lives_in_a_file_where_a_path_is_given(tmp_path_on_shm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path_on_shm / "jobs.queue"
    monkeypatch.chdir(tmp_path_on_shm)
    with penstock.Queue(path) as first:
        first.put("found")
        for given in (str(path), "./jobs.queue", Path("jobs.queue")):
            with penstock.Queue.open(given) as q:
                assert (q.name, q.path) == (str(path), str(path))
                assert q.peek() == "found"
        with penstock.Queue.open(first.name) as q:
            assert q.peek() == "found"


@pytest.mark.parametrize("name", ["", ".", "..", ".hidden", "a\0b", "a\nb", "x" * 201])
def test_name_that_cannot_be_one_is_refused(kind: Any, options: Any, name: str, directory: str) -> None:
    with pytest.raises(BadName):
        kind(name, **options)
    assert os.listdir(directory) == []


def test_path_is_refused_where_only_names_are_taken(name: str) -> None:
    for kind in (penstock.Mutex, penstock.Semaphore, penstock.Event, penstock.Mapping):
        with pytest.raises(BadName, match="is a path; only queues and mappings"):
            kind(f"./{name}")


def test_path_and_directory_together_are_refused(directory: str) -> None:
    with pytest.raises(ValueError, match="give one of them"):
        penstock.Queue("./jobs", directory=directory)


def test_empty_directory_is_refused() -> None:
    with pytest.raises(BadName, match="directory is empty"):
        penstock.Queue("jobs", directory="")


@pytest.mark.parametrize("name", [7, 1.5, b"bytes", ["jobs"], object()])
def test_name_of_another_type_is_refused_with_a_hint_for_numbers(kind: Any, name: Any) -> None:
    with pytest.raises(TypeError, match="capacity=" if name == 7 else "must be a str or a path"):
        kind(name)


def test_paths_of_bytes_are_understood() -> None:
    class Path:
        def __fspath__(self) -> bytes:
            return b"jobs"

    assert locate(Path(), None).path == os.path.abspath("jobs")  # type: ignore[arg-type]


# ---- create, open, either --------------------------------------------------------------------------------------------


def test_create_insists_that_the_name_is_free(kind: Any, options: Any, name: str) -> None:
    handle = kind.create(name, **options)
    assert handle.created
    with pytest.raises(Exists, match=name):
        kind.create(name, **options)
    handle.close()


def test_open_insists_that_the_name_is_there(kind: Any, options: Any, name: str, directory: str) -> None:
    with pytest.raises(NotFound, match=name):
        kind.open(name)
    assert os.listdir(directory) == []
    made = kind.create(name, **options)
    opened = kind.open(name)
    assert not opened.created
    made.close()
    opened.close()


def test_name_of_another_kind_is_a_mismatch(kind: Any, options: Any, name: str) -> None:
    handle = kind(name, **options)
    for other, options_of_other in ((KINDS[one], SIZE.get(one, {})) for one in KINDS if KINDS[one] is not kind):
        with pytest.raises(Mismatch, match=name):
            other(name, **options_of_other)
    handle.close()


def test_parameter_that_is_left_out_takes_what_is_there_and_one_that_differs_is_named(name: str) -> None:
    made: dict[str, Any] = {"capacity": 3, "item": "u4", "max_deliveries": 5, "lifetime": "until_unlinked"}
    others: dict[str, Any] = {"capacity": 4, "item": "i4", "max_deliveries": 6, "lifetime": "while_open"}
    with penstock.Queue(name, **made) as q, penstock.Queue(name) as same, penstock.Queue(name, **made):
        assert (same.capacity, same.item, same.max_deliveries, same.lifetime) == tuple(made.values())
        for parameter, value in others.items():
            with pytest.raises(Mismatch) as caught:
                penstock.Queue(name, **{parameter: value})
            assert name in str(caught.value)
            assert str(made[parameter]) in str(caught.value)
            assert str(value) in str(caught.value)
        assert not q.closed


def test_other_parameters_that_differ_are_a_mismatch_too(name: str) -> None:
    semaphore = penstock.Semaphore(name + "s", value=1, maximum=3)
    event = penstock.Event(name + "e", auto_reset=True)
    mapping = penstock.Mapping(name + "m", 64)
    for call in (
        lambda: penstock.Semaphore(name + "s", maximum=4),
        lambda: penstock.Event(name + "e", auto_reset=False),
        lambda: penstock.Mapping(name + "m", 65),
    ):
        with pytest.raises(Mismatch, match=name):
            call()
    assert penstock.Semaphore(name + "s", value=2).get_value() == 1
    assert penstock.Event(name + "e").auto_reset
    assert penstock.Mapping(name + "m").size == 64
    for handle in (semaphore, event, mapping):
        handle.close()


BAD_PARAMETERS: list[tuple[Callable[..., Any], dict[str, Any], type[Exception]]] = [
    (penstock.Queue, {"capacity": 0}, ValueError),
    (penstock.Queue, {"capacity": -1}, ValueError),
    (penstock.Queue, {"capacity": 2**40}, ValueError),
    (penstock.Queue, {"capacity": 1.5}, TypeError),
    (penstock.Queue, {"capacity": "10"}, TypeError),
    (penstock.Queue, {"max_item_bytes": 0}, ValueError),
    (penstock.Queue, {"max_deliveries": 0}, ValueError),
    (penstock.Queue, {"dead_letters": -1}, ValueError),
    (penstock.Queue, {"lifetime": "for ever"}, ValueError),
    (penstock.Queue, {"item": "nonsense"}, ValueError),
    (penstock.Semaphore, {"value": -1}, ValueError),
    (penstock.Semaphore, {"value": 4, "maximum": 3}, ValueError),
    (penstock.Semaphore, {"maximum": 0}, ValueError),
    (penstock.Mapping, {}, ValueError),
    (penstock.Mapping, {"size": 0}, ValueError),
    (penstock.Mapping, {"size": "64"}, TypeError),
    (penstock.Mutex, {"lifetime": ""}, ValueError),
    (penstock.Event, {"colour": "red"}, TypeError),
]


@pytest.mark.parametrize(("make", "options", "error"), BAD_PARAMETERS, ids=str)
def test_parameter_that_cannot_be_is_refused_and_nothing_created(
    make: Callable[..., Any], options: dict[str, Any], error: type[Exception], name: str, directory: str
) -> None:
    with pytest.raises(error):
        make(name, **options)
    assert os.listdir(directory) == []


# ---- lifetimes -------------------------------------------------------------------------------------------------------


def test_object_stays_until_it_is_unlinked(kind: Any, options: Any, name: str) -> None:
    handle = kind(name, **options)
    path = handle.path
    assert handle.lifetime == "until_unlinked"
    handle.close()
    assert os.path.exists(path)
    again = kind.open(name)
    again.unlink()
    assert not os.path.exists(path)
    again.close()


def test_private_object_goes_with_its_last_handle(kind: Any, options: Any) -> None:
    handle = kind(**options)
    path = handle.path
    assert handle.lifetime == "while_open"
    assert os.path.exists(path)
    handle.close()
    assert not os.path.exists(path)


def test_named_object_can_go_with_its_last_handle_too(kind: Any, options: Any, name: str) -> None:
    first = kind(name, lifetime="while_open", **options)
    second = kind.open(name)
    first.close()
    assert os.path.exists(second.path)
    second.close()
    assert not os.path.exists(second.path)


def test_dropped_handle_closes_itself(kind: Any, options: Any) -> None:
    path = kind(**options).path
    gc.collect()
    assert not os.path.exists(path)


@pytest.mark.parametrize("verb", ["get", "wait_get", "join"])
def test_private_queue_goes_with_its_process_even_if_a_daemon_thread_waits_on_it(verb: str, directory: str) -> None:
    code = f"""
import sys, threading
sys.path[:] = {sys.path!r}
import penstock
q = penstock.Queue()
if {verb!r} == "join":
    q.put(1)
started = threading.Event()
threading.Thread(target=lambda: (started.set(), q.{verb}()), daemon=True).start()
started.wait()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=PATIENCE_SECONDS, stderr=subprocess.DEVNULL)
    assert os.listdir(directory) == []


# ---- closing ---------------------------------------------------------------------------------------------------------

AFTER_CLOSE: dict[str, list[Callable[[Any], Any]]] = {
    "queue": [
        lambda q: q.put(1),
        lambda q: q.put_nowait(1),
        lambda q: q.get(),
        lambda q: q.get_nowait(),
        lambda q: q.put_many([1]),
        lambda q: q.get_many(1),
        lambda q: q.lease(),
        lambda q: q.reserve(1),
        lambda q: q.peek(),
        lambda q: q.qsize(),
        lambda q: q.empty(),
        lambda q: q.full(),
        lambda q: q.purge(),
        lambda q: q.task_done(),
        lambda q: q.join(),
        lambda q: q.shutdown(),
        lambda q: q.wait_get(),
        lambda q: q.wait_put(),
        lambda q: q.stats(),
        lambda q: next(iter(q)),
        lambda q: q.dead_letters.get(),
        lambda q: len(q.dead_letters),
    ],
    "mutex": [lambda m: m.acquire(), lambda m: m.locked(), lambda m: m.__enter__(), lambda m: m.stats()],
    "semaphore": [lambda s: s.acquire(), lambda s: s.release(), lambda s: s.get_value(), lambda s: s.stats()],
    "event": [lambda e: e.wait(), lambda e: e.set(), lambda e: e.clear(), lambda e: e.is_set(), lambda e: e.stats()],
    "mapping": [lambda m: m.flush(), lambda m: memoryview(m), lambda m: m.stats()],
}


def test_closed_handle_says_so_and_everything_else_goes_on(kind: Any, options: Any, name: str) -> None:
    handle, other = kind(name, **options), kind(name, **options)
    handle.close()
    handle.close()
    assert handle.closed
    assert not other.closed
    for call in AFTER_CLOSE[kind.__name__.lower()]:
        with pytest.raises((Closed, ValueError)):
            call(handle)
    assert (handle.name, handle.path) == (other.name, other.path)
    assert "closed" in repr(handle)
    other.stats()
    other.close()


def test_queue_event_and_mapping_close_at_the_end_of_their_block(name: str) -> None:
    handles: list[Any] = [penstock.Queue(name + "q"), penstock.Event(name + "e"), penstock.Mapping(name + "m", 64)]
    for handle in handles:
        with handle as entered:
            assert entered is handle
            closed_inside = handle.closed
        assert (closed_inside, handle.closed) == (False, True)


def test_mutex_and_semaphore_are_held_in_their_block_and_stay_open(name: str) -> None:
    mutex, semaphore = penstock.Mutex(name + "m"), penstock.Semaphore(name + "s", value=1)
    with mutex, semaphore:
        inside = (mutex.is_owned, semaphore.get_value())
    assert inside == (True, 0)
    assert (mutex.is_owned, semaphore.get_value()) == (False, 1)
    mutex.close()
    semaphore.close()


WAITS: dict[str, tuple[Callable[[], Any], str]] = {
    "queue": (penstock.Queue, "get"),
    "mutex": (penstock.Mutex, "acquire"),
    "semaphore": (lambda: penstock.Semaphore(value=0), "acquire"),
    "event": (penstock.Event, "wait"),
}


@pytest.mark.parametrize("kind_of_object", WAITS)
def test_closing_wakes_a_thread_that_waits(kind_of_object: str) -> None:
    make, verb = WAITS[kind_of_object]
    handle = make()
    if kind_of_object == "mutex":
        handle.acquire()
    answers: list[BaseException] = []

    def wait_for_it() -> None:
        try:
            getattr(handle, verb)()
        except Closed as err:
            answers.append(err)

    thread = threading.Thread(target=wait_for_it)
    thread.start()
    handle.close()
    thread.join(PATIENCE_SECONDS)
    assert len(answers) == 1


# ---- what a handle shows ---------------------------------------------------------------------------------------------


def test_repr_shows_name_and_state(name: str) -> None:
    with penstock.Queue(name + "q", item="u4", capacity=3) as q:
        q.put(7)
        assert repr(q) == f"<penstock.Queue '{name}q' item='u4' 1 of 3>"
        q.shutdown()
        assert repr(q) == f"<penstock.Queue '{name}q' item='u4' 1 of 3 shut down>"
        assert repr(q.dead_letters) == f"<penstock.DeadLetters of {q!r}>"
    assert repr(q) == f"<penstock.Queue '{name}q' closed>"
    mutex = penstock.Mutex(name + "m")
    assert repr(mutex) == f"<penstock.Mutex '{name}m' free>"
    with mutex:
        assert repr(mutex) == f"<penstock.Mutex '{name}m' held by this thread>"
    mutex.close()
    with penstock.Event(name + "e", auto_reset=True) as event:
        assert repr(event) == f"<penstock.Event '{name}e' not set auto_reset>"
    semaphore = penstock.Semaphore(name + "s", value=1, maximum=2)
    assert repr(semaphore) == f"<penstock.Semaphore '{name}s' 1 of 2>"
    semaphore.close()
    with penstock.Mapping(name + "p", 64) as mapping:
        assert repr(mapping) == f"<penstock.Mapping '{name}p' 64 bytes>"


def test_repr_of_a_subclass_has_its_name() -> None:
    class Jobs(penstock.Queue):
        pass

    with Jobs() as q:
        assert repr(q).startswith("<penstock.Jobs '")


def test_subclass_may_have_attributes_and_be_unhashable() -> None:
    class Jobs(penstock.Queue):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return self is other

    with Jobs() as q:
        q.colour = "blue"  # type: ignore[attr-defined]
        assert q == q


# ---- the queue's own verbs in Python ---------------------------------------------------------------------------------


def test_iteration_ends_when_the_queue_is_shut_down_and_empty(queue: penstock.Queue) -> None:
    queue.put_many([1, 2, 3])
    queue.shutdown()
    assert list(queue) == [1, 2, 3]
    with pytest.raises(ShutDown):
        queue.get()


def test_dead_letters_are_seen_taken_put_back_and_dropped() -> None:
    with penstock.Queue(item=int, max_deliveries=1, dead_letters=5) as q:
        dead = q.dead_letters
        assert len(dead) == dead.qsize() == 0
        with pytest.raises(Empty):
            dead.get(timeout=0.01)
        with pytest.raises(Empty):
            dead.get_nowait()

        def kill_all() -> None:
            for _ in range(q.qsize()):
                q.lease().give_back()
            with pytest.raises(Empty):
                q.get_nowait()

        q.put_many([1, 2, 3])
        kill_all()
        assert (len(dead), dead.peek_many(2), q.qsize()) == (3, [1, 2], 0)
        assert dead.get() == 1
        assert dead.requeue() == 2
        assert (len(dead), q.get_many(5)) == (0, [2, 3])
        q.put_many([4, 5, 6])
        kill_all()
        assert dead.get_nowait() == 4
        assert list(dead) == [5, 6]
        q.put(7)
        kill_all()
        assert dead.purge() == 1
        assert len(dead) == 0


def test_thread_verbs_of_multiprocessing_do_nothing(queue: penstock.Queue) -> None:
    queue.put("stays")
    queue.cancel_join_thread()
    queue.join_thread()
    assert queue.get_nowait() == "stays"


def test_private_queue_is_opened_by_its_name(directory: str) -> None:
    with penstock.Queue() as q:
        q.put("found")
        assert os.listdir(directory) == [q.name]
        with penstock.Queue.open(q.name) as other:
            assert other.get(timeout=0) == "found"
