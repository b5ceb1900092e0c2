"""What users can import: all of it documented, with examples that run, and nothing else."""

from __future__ import annotations

import doctest
import inspect
import multiprocessing.queues
import os
import queue
import re
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import penstock
import penstock.aio
import penstock.testing
import penstock.win32
from penstock import _core, _errors

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference.md"
MODULES = [penstock, penstock.aio, penstock.testing, penstock.win32]
CLASSES = [penstock.Queue, penstock.Mutex, penstock.Semaphore, penstock.Event, penstock.Mapping]
ERRORS = [getattr(_errors, name) for name in _errors.__all__]
OWN_ERRORS = [error for error in ERRORS if issubclass(error, penstock.PenstockError)]

WAITING = {
    penstock.Queue: "put put_nowait get get_nowait put_many get_many get_bytes_many get_array lease reserve"
    " reserve_array join wait_get wait_put",
    penstock.DeadLetters: "get get_nowait",
    penstock.Lease: "ack give_back",
    penstock.Reservation: "commit cancel",
    penstock.Mutex: "acquire release",
    penstock.Semaphore: "acquire release",
    penstock.Event: "wait set",
    penstock.aio.Queue: "put get put_many get_many lease join",
}
"""The verbs that wait, or change what others see: each must say what others find if it is killed."""


def public(holder: Any) -> dict[str, Any]:
    """Return what a class or module has under public names, inherited or not."""
    return {name: inspect.getattr_static(holder, name) for name in dir(holder) if not name.startswith("_")}


def text_of(member: Any) -> str:
    """Return the docstring of a method, property or class, however it is wrapped."""
    return inspect.getdoc(getattr(member, "__func__", member)) or ""


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_all_names_what_is_there_and_each_once(module: ModuleType) -> None:
    assert len(set(module.__all__)) == len(module.__all__)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_nothing_but_all_and_the_submodules_is_public() -> None:
    extra = {name for name, value in public(penstock).items() if not isinstance(value, ModuleType)}
    assert extra == set(penstock.__all__)


def test_all_errors_are_exported() -> None:
    assert set(_errors.__all__) <= set(penstock.__all__)


def test_reference_names_everything_that_is_public() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    names = [name for module in MODULES for name in module.__all__]
    names += [name for one in [*CLASSES, penstock.Lease, penstock.Reservation] for name in public(one)]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


@pytest.mark.parametrize("name", penstock.__all__)
def test_public_things_say_that_they_are_of_penstock(name: str) -> None:
    value = getattr(penstock, name)
    if isinstance(value, type) and not issubclass(value, (queue.Empty, queue.Full)):
        assert value.__module__ in ("penstock", "penstock._core", "queue")


# ---- docstrings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_everything_public_has_a_docstring(module: ModuleType) -> None:
    missing = [module.__name__] if not module.__doc__ else []
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, (int, float, str)):
            continue
        if not text_of(value):
            missing.append(name)
        if isinstance(value, type) and not issubclass(value, BaseException):
            missing += [f"{name}.{verb}" for verb, member in public(value).items() if not text_of(member)]
    assert missing == []


@pytest.mark.parametrize(
    ("holder", "verb"), [(one, verb) for one, verbs in WAITING.items() for verb in verbs.split()], ids=str
)
def test_verb_says_what_others_find_if_it_is_killed(holder: Any, verb: str) -> None:
    assert "If killed:" in text_of(inspect.getattr_static(holder, verb))


@pytest.mark.parametrize(
    ("holder", "verb"), [(one, verb) for one, verbs in WAITING.items() for verb in verbs.split()], ids=str
)
def test_timeouts_have_their_unit_and_the_meaning_of_none(holder: Any, verb: str) -> None:
    member = inspect.getattr_static(holder, verb)
    if "timeout" in inspect.signature(member).parameters:
        assert re.search(r"(?s)timeout: .*in\s+seconds.*None", text_of(member))


@pytest.mark.parametrize("error", OWN_ERRORS, ids=lambda error: error.__name__)
def test_each_error_says_what_to_do(error: type[Exception]) -> None:
    if error is not penstock.PenstockError:
        assert re.search(r"Remedy: |see `errno`", error.__doc__ or "")


EXAMPLES = {
    f"{getattr(holder, '__name__', '')}.{name}": getattr(holder, name)
    for holder in (*MODULES, _core)
    for name in (holder.__all__ if hasattr(holder, "__all__") else public(holder))
    if callable(getattr(holder, name)) and getattr(holder, name) not in ERRORS
}


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_in_docstrings_do_what_they_say(name: str) -> None:
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    found = doctest.DocTestFinder().find(EXAMPLES[name], name, module=False, globs={})
    if any("_array(" in step.source for example in found for step in example.examples):
        pytest.importorskip("numpy")
    for example in found:
        runner.run(example)
    assert runner.failures == 0
    assert [entry for entry in os.listdir(os.environ["PENSTOCK_DIR"]) if not entry.startswith(".")] == []


@pytest.mark.parametrize(
    "name", ["Queue", "DeadLetters", "Lease", "Reservation", "Mutex", "Semaphore", "Event", "Mapping", "wait"]
)
def test_each_public_type_has_an_example(name: str) -> None:
    assert ">>> " in text_of(getattr(penstock, name))


# ---- like the standard library's -------------------------------------------------------------------------------------


def parameters(function: Any) -> list[tuple[str, Any]]:
    """Return the names and defaults of a method's parameters."""
    return [(one.name, one.default) for one in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("verb", ["put", "get", "put_nowait", "get_nowait", "qsize", "empty", "full", "task_done"])
def test_verb_has_the_parameters_of_the_standard_librarys_queue(verb: str) -> None:
    assert parameters(getattr(penstock.Queue, verb)) == parameters(getattr(queue.Queue, verb))


@pytest.mark.parametrize("kind", [queue.Queue, multiprocessing.queues.Queue, multiprocessing.queues.JoinableQueue])
def test_queue_has_every_verb_of_the_standard_librarys_queues(kind: type) -> None:
    assert set(public(kind)) <= set(public(penstock.Queue))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (penstock.Mutex, threading.RLock()),
        (penstock.Semaphore, threading.Semaphore()),
        (penstock.Event, threading.Event()),
    ],
    ids=["mutex", "semaphore", "event"],
)
def test_other_objects_have_every_verb_of_threadings(ours: type, theirs: Any) -> None:
    assert {name for name in public(type(theirs)) if name not in ("isSet",)} <= set(public(ours))


def test_queue_has_the_public_attributes_of_the_standard_librarys_queue_but_its_locks() -> None:
    attributes = {name for name in vars(queue.Queue()) if not name.startswith("_")}
    inner = {"queue", "mutex", "not_empty", "not_full", "all_tasks_done"}
    assert attributes - inner <= set(public(penstock.Queue))


def test_verbs_that_move_items_are_the_native_ones() -> None:
    wrapped = set(vars(penstock.Queue)) & set(vars(_core.Queue))
    assert wrapped <= {"__new__", "__doc__", "__module__"}


def test_errors_are_the_standard_librarys_where_it_has_them() -> None:
    assert penstock.Empty is queue.Empty
    assert penstock.Full is queue.Full
    assert getattr(queue, "ShutDown", penstock.ShutDown) is penstock.ShutDown


CAUGHT_AS: list[tuple[type[Exception], type[Exception]]] = [
    (penstock.Closed, ValueError),
    (penstock.Mismatch, ValueError),
    (penstock.NotFound, FileNotFoundError),
    (penstock.Exists, FileExistsError),
    (penstock.BadName, ValueError),
    (penstock.TooLarge, ValueError),
    (penstock.NoSpace, OSError),
    (penstock.Untrusted, PermissionError),
    (penstock.Unsupported, OSError),
    (penstock.NotOwner, RuntimeError),
    (penstock.OverRelease, ValueError),
    (penstock.DecodeError, ValueError),
    (penstock.SystemFailed, OSError),
]


@pytest.mark.parametrize(("error", "base"), CAUGHT_AS, ids=str)
def test_error_is_caught_by_those_who_know_only_the_standard_library(
    error: type[Exception], base: type[Exception]
) -> None:
    assert issubclass(error, base)


def test_everything_that_is_not_just_not_now_is_a_penstock_error() -> None:
    assert {e for e in ERRORS if not issubclass(e, penstock.PenstockError)} == {
        penstock.Empty,
        penstock.Full,
        penstock.ShutDown,
    }
