"""The processes of a campaign: which there are, and how they are started."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from stress import workers

if TYPE_CHECKING:
    from stress.workers import Task

TESTS = Path(__file__).resolve().parent.parent


class Place(NamedTuple):
    """A place in the cast, which one process after the other has."""

    shape: str
    """Alone, with threads, or with the tasks of an event loop."""
    way: str
    """Forked, or spawned: a fresh interpreter."""
    roles: str
    """Of its streams: p for a producer, c for a consumer."""


CAST = [
    *[Place("alone", "fork", "p"), Place("alone", "fork", "c")] * 2,
    *[Place("alone", "spawn", "p"), Place("alone", "spawn", "c")],
    *[Place("threads", "fork", "ppc"), Place("threads", "fork", "pcc")],
    *[Place("tasks", "fork", "ppc"), Place("tasks", "fork", "pcc")],
]


class Process:
    """One process, from when it is started."""

    def __init__(self, place: Place, task: Task) -> None:
        self.place = place
        self.task = task
        self.pid = _fork(task) if place.way == "fork" else _spawn(task)
        self.stopped_until: float | None = None

    def is_running(self) -> bool:
        """Tell whether it is at work, as far as the kernel shows it."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] == "R"

    def said(self) -> str:
        """Return its last words."""
        errors = self.task.errors
        return errors.read_text(errors="replace") if errors.exists() else ""


def _fork(task: Task) -> int:
    pid = os.fork()
    if pid == 0:
        workers.work(task)
    return pid


def _spawn(task: Task) -> int:
    """Start a fresh interpreter, which gets the task, and perhaps a handle, as a pickle."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stress.workers"],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(pickle.dumps(task))
    process.returncode = 0  # waited for by its pid, as those are that were forked
    return process.pid
