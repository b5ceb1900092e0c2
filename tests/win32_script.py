"""Scripts of random Win32 calls, and how a world plays one: what is said of handles holds in every world.

A script knows nothing of what its calls return. It says "the third handle that process 1 has made", and a player that
has none takes NULL. Left out is only what Wine is known to answer otherwise than Windows, and what may not be decided
yet when a call returns: the end of a thread. The end of a process is waited for, by a mutex that only it has.

A call that waits for ever is made by a thread of its own, once in a process's life: what comes of it is compared too.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock import win32
from win32_worlds import INFINITE, MEMORY, NULL, PATIENCE_SECONDS, Outcome, Thing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from win32_worlds import Caller, Pending, Process, World

NAMES = ("one", "two", "three", "One", "Local\\one", "Global\\one", "a\\b", "", "local\\one")
ACCESSES = (
    *(win32.SYNCHRONIZE, win32.SYNCHRONIZE | 2, 2, win32.READ_CONTROL, win32.MUTEX_ALL_ACCESS),
    *(win32.SEMAPHORE_ALL_ACCESS, win32.GENERIC_ALL, win32.MAXIMUM_ALLOWED),
)
MAP_ACCESSES = (win32.FILE_MAP_READ, win32.FILE_MAP_WRITE, win32.FILE_MAP_ALL_ACCESS, win32.FILE_MAP_COPY)
SETTLING_SECONDS = 0.2
"""How long a call that may have to wait is given to begin waiting."""


class Pick(NamedTuple):
    """Say which of a process's handles, or views, is meant."""

    number: int
    kind: str


class Step(NamedTuple):
    """Say what to do: a call, by which process and thread, with which arguments."""

    call: str
    process: int
    thread: str
    arguments: tuple[Any, ...]


def script(seed: int, steps: int) -> Iterator[Step]:
    """Yield the steps of a script."""
    chance = random.Random(seed)
    for _ in range(steps):
        process, thread = chance.randrange(2), chance.choice(("first", "first", "other"))
        call, *arguments = _call(chance)
        yield Step(call, process, thread, tuple(arguments))


def _call(chance: random.Random) -> tuple[Any, ...]:
    """Choose a call and its arguments."""
    name = chance.choice(NAMES[:3] * 4 + NAMES) if chance.random() < 0.8 else None
    number = chance.randrange(8)
    mutex, semaphore, event, section = (Pick(number, kind) for kind in ("Mutex", "Semaphore", "Event", "FileMapping"))
    some = Pick(number, chance.choice(("Mutex", "Semaphore", "Event", "FileMapping", "any")))
    view = Pick(number, "view")
    kinds = ["Mutex", "Semaphore", "Event"]
    for_all = chance.random() < 0.5  # each of another kind, for Wine does not refuse all of an object twice
    several = [Pick(chance.randrange(8), kind if for_all else chance.choice(kinds)) for kind in kinds]
    initial, maximum = chance.choice(((0, 1), (1, 1), (1, 3), (2, 2), (3, 2), (-1, 1), (0, 0)))
    offset, nbytes = chance.choice(((0, 0), (0, 10), (65536, 0), (65536, 65536), (4096, 0), (0, 200000), (131072, 0)))
    return chance.choice(
        (
            ("CreateMutex", None, chance.random() < 0.5, name),
            ("CreateSemaphore", None, initial, maximum, name),
            ("CreateEvent", None, chance.random() < 0.5, chance.random() < 0.5, name),
            ("CreateFileMapping", MEMORY, None, chance.choice((2, 4, 4, 8, 1, 6)), 0, chance.choice((0, 131072)), name),
            ("OpenMutex", chance.choice(ACCESSES), False, name),
            ("OpenSemaphore", chance.choice(ACCESSES), False, name),
            ("OpenEvent", chance.choice(ACCESSES), False, name),
            ("OpenFileMapping", chance.choice(MAP_ACCESSES), False, name),
            *[("ReleaseMutex", chance.choice((mutex, mutex, mutex, some)))] * 3,
            *[("ReleaseSemaphore", chance.choice((semaphore, semaphore, some)), chance.choice((1, 1, 2, 100)))] * 2,
            *[("SetEvent", chance.choice((event, event, some)))] * 2,
            ("ResetEvent", chance.choice((event, event, some))),
            *[("WaitForSingleObject", some, chance.choice((0, 0, 1)))] * 4,
            *[("WaitForMultipleObjects", chance.choice((1, 2, 3)), several, for_all, 0)] * 3,
            *[("block", chance.choice((mutex, semaphore, event)))] * 2,
            *[("MapViewOfFile", section, chance.choice(MAP_ACCESSES), 0, offset, nbytes)] * 3,
            ("UnmapViewOfFile", view),
            ("FlushViewOfFile", view, 0),
            *[("poke", view, chance.randbytes(4))] * 2,
            *[("peek", view)] * 2,
            *[("CloseHandle", some)] * 2,
            *([("kill",)] if chance.random() < 0.5 else []),
        )
    )


class Player:
    """Play a script in a world.

    Args:
        world: The world.
        names: Goes before every name, so that scripts do not meet.
    """

    def __init__(self, world: World, names: str) -> None:
        self._world = world
        self._names = f"{names}-{time.monotonic_ns()}"
        self._lives = 0
        self._things: list[dict[str, list[Thing]]] = [{}, {}]
        self._writable: set[Thing] = set()
        self._blocked: dict[int, Pending] = {}
        self._processes: list[Process] = []
        for _ in range(2):
            self._processes.append(self._start())

    def _start(self) -> Process:
        """Start a process that says by a mutex that it lives."""
        process = self._world.process()
        self._lives += 1
        assert process.CreateMutex(None, False, f"{self._names}-lives-{self._lives}").error == 0
        process.life = self._lives
        return process

    def play(self, step: Step) -> Any:
        """Play a step, and return what came of it in words that are the same in every world."""
        process = self._processes[step.process]
        caller = process.thread(step.thread)
        if step.call == "kill":
            answer: Any = self._kill(step.process)
        elif step.call == "block":
            answer = self._block(step.process, step.arguments[0])
        elif step.call in ("poke", "peek"):
            answer = self._bytes(step, caller)
        else:
            answer = self._call(step, caller)
        return answer

    def _call(self, step: Step, caller: Caller) -> Any:
        arguments = [self._resolved(step.process, one) for one in step.arguments]
        if step.call.startswith(("Create", "Open")) and arguments[-1]:
            prefix, backslash, rest = arguments[-1].rpartition("\\")
            arguments[-1] = f"{prefix}{backslash}{self._names}-{rest}"
        if step.call == "FlushViewOfFile" and arguments[0] == NULL:
            return None  # Wine has another error for that
        outcome: Outcome = getattr(caller, step.call)(*arguments)
        if isinstance(outcome.result, Thing):
            kind = "view" if step.call == "MapViewOfFile" else step.call.removeprefix("Create").removeprefix("Open")
            self._things[step.process].setdefault(kind, []).append(outcome.result)
            if step.call == "MapViewOfFile" and arguments[1] != win32.FILE_MAP_READ:
                self._writable.add(outcome.result)
            return ("handle", *outcome[1:])
        if step.call in ("CloseHandle", "UnmapViewOfFile") and outcome.result is True:
            for things in self._things[step.process].values():
                if arguments[0] in things:
                    things.remove(arguments[0])
        return tuple(outcome)

    def _resolved(self, process: int, argument: Any) -> Any:
        """Return what an argument of a script is here."""
        if isinstance(argument, list):
            return [self._resolved(process, one) for one in argument]
        if not isinstance(argument, Pick):
            return argument
        things = self._things[process]
        kinds = [kind for kind in sorted(things) if kind != "view"] if argument.kind == "any" else [argument.kind]
        choice = [thing for kind in kinds for thing in things.get(kind, [])]
        return choice[argument.number % len(choice)] if choice else NULL

    def _bytes(self, step: Step, caller: Caller) -> Any:
        view = self._resolved(step.process, step.arguments[0])
        if view == NULL or (step.call == "peek" and not isinstance(view, Thing)):
            return None
        if step.call == "peek":
            return caller.peek(view, 8)
        if view in self._writable:
            caller.poke(view, step.arguments[1])
        return None

    def _block(self, number: int, pick: Pick) -> Any:
        """Let a process's third thread wait for ever, once in its life."""
        handle = self._resolved(number, pick)
        if number in self._blocked or handle == NULL:
            return None
        self._things[number][pick.kind].remove(handle)  # nobody is to close it: Wine lets the wait keep the name
        self._blocked[number] = self._processes[number].thread("blocked").begin("WaitForSingleObject", handle, INFINITE)
        self._blocked[number].is_done(SETTLING_SECONDS)
        return "blocked"

    def gone_on(self) -> dict[int, Any]:
        """Return what came of the calls that were to wait for ever and no longer do, by their processes."""
        return {number: tuple(call.outcome()) for number, call in self._blocked.items() if call.is_done()}

    def _kill(self, number: int) -> str:
        """Kill a process, wait until the other one sees that it is gone, and start another."""
        victim, witness = self._processes[number], self._processes[1 - number]
        victim.kill()
        name = f"{self._names}-lives-{victim.life}"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (outcome := witness.thread("witness").OpenMutex(win32.SYNCHRONIZE, False, name)).result != NULL:
            witness.thread("witness").CloseHandle(outcome.result)
            assert time.monotonic() < deadline, "the killed process is still there"
        self._blocked.pop(number, None)
        self._things[number] = {}
        self._processes[number] = self._start()
        return "killed"
