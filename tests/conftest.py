"""Fixtures for all tests: a private directory of names, a name, a queue, and children that never outlive their test."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

import penstock
from penstock import testing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHM = tempfile.gettempdir() if sys.platform == "win32" else "/dev/shm"

# What a test file tries that Windows has no like of. Collected there, they would fail on an import or a missing call.
NOT_ON_WINDOWS = {
    "test_bench.py": "the benchmarks fork",
    "test_bootstrap.py": "the tools that ready a checkout are for Unix",
    "test_cli.py": "steers commands through pseudo-terminals",
    "test_cli_items.py": "steers commands through pseudo-terminals",
    "test_cpython.py": "runs the tests of the Linux interpreter",
    "test_crash.py": "forks at crash points",
    "test_demo.py": "steers commands through pseudo-terminals",
    "test_docs.py": "runs the documents' shell commands",
    "test_examples.py": "steers commands through pseudo-terminals",
    "test_fork.py": "forks",
    "test_idle.py": "Wine counts CPU time in ticks of 10 ms, too coarsely",
    "test_hostile.py": "limits of memory as Unix sets them",
    "test_instructions.py": "counts with valgrind",
    "test_lesson.py": "steers commands through pseudo-terminals",
    "test_neighbours.py": "other users of Unix",
    "test_open.py": "owners, modes, links and FIFOs of Unix",
    "test_signals.py": "SIGALRM",
    "test_stress.py": "process groups of Unix",
    "test_win32_lesson.py": "the C programs are run by Wine from Unix",
    "test_win32_session.py": "our own objects, where kernel32 is not there to be called",
}
collect_ignore = list(NOT_ON_WINDOWS) if sys.platform == "win32" else []


def pytest_report_header() -> list[str]:
    """Say which files are left out here, and why."""
    return [f"left out on Windows: {file}: {NOT_ON_WINDOWS[file]}" for file in collect_ignore]


# Under nohup, or in the background of a script, these are ignored, and so by children, to which tests send them.
for _name in ("SIGHUP", "SIGINT"):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), signal.SIG_DFL if _name == "SIGHUP" else signal.default_int_handler)

# The same examples each time: a test fails for everybody or for nobody. `tests/stress` is where chance is let in.
hypothesis.settings.register_profile("suite", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def _nothing_outside() -> Iterator[None]:
    """Keep tests that ask for no directory away from the user's own, and check that the suite leaves nothing behind."""
    with testing.temporary_directory() as directory:
        yield
        assert os.listdir(directory) == [], "a test made something without asking for the fixture `directory`"
    if sys.platform == "win32":
        return  # a file that is still mapped keeps its directory: by an object that a report refers to, say
    left = [entry for entry in os.listdir(SHM) if entry.startswith(f"penstock-test-{os.getpid()}-")]
    assert left == [], "the suite left something in /dev/shm"


@pytest.fixture
def directory() -> Iterator[str]:
    """Give the test a directory of names of its own; what is not under a name must be gone by itself at the end.

    Names are removed with the directory. Private and unfinished objects have no name that a user could remove, so
    they have to be gone when their users are.
    """
    with testing.temporary_directory() as path:
        yield path
        with contextlib.suppress(TimeoutError):
            testing.wait_until(lambda: not _hidden(path), timeout=5.0)
        assert _hidden(path) == []


def _hidden(path: str) -> list[str]:
    """Return what is left of private and unfinished objects, once what nobody refers to is gone."""
    found = [entry for entry in os.listdir(path) if entry.startswith(".")]
    if sys.platform == "win32":
        # Removed, and gone when its last map is: by an object that was closed but is referred to still, say.
        found = [entry for entry in found if not entry.startswith(".unfinished-")]
    if found:
        gc.collect()
    return found


@pytest.fixture
def name(directory: str) -> str:
    """Give the test a name that nothing else has."""
    return testing.unique_name()


@pytest.fixture
def tmp_path_on_shm() -> Iterator[Path]:
    """Give the test a directory for files of its own, on a file system that can hold queues (/tmp may not)."""
    with tempfile.TemporaryDirectory(prefix=f"penstock-test-{os.getpid()}-", dir=SHM) as path:
        yield Path(path)


@pytest.fixture
def queue(name: str) -> Iterator[penstock.Queue]:
    """Give the test a queue of ten objects."""
    with penstock.Queue.create(name, capacity=10) as made:
        yield made
        if not made.closed:
            made.unlink()


@pytest.fixture
def spawn(directory: str) -> Iterator[Callable[..., testing.Child]]:
    """Start children with `penstock.testing.spawn`; those still alive at the end of the test are killed."""
    with contextlib.ExitStack() as stack:

        def start(*args: Any, **kwargs: Any) -> testing.Child:
            return stack.enter_context(testing.spawn(*args, **kwargs))

        yield start
