"""What workers do: producers and consumers of every kind, in processes that may be killed at any moment.

A worker's work is a script: a generator that yields the calls that may wait, and gets their results. One and the same
script is driven by a thread, which makes the call, or by a task of an event loop, which awaits it. Most calls have no
timeout, so that whoever sleeps on for want of a wake-up is found asleep at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import mmap
import os
import pickle
import random
import signal
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import penstock
from penstock import Empty, Full, NoSpace, aio
from stress.items import STOP, Scenario, word_of
from stress.ledger import STREAMS, Kind, Ledger

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    Call = tuple[str, tuple[Any, ...], float | None]
    Script = Generator[Call, Any, None]

PR_SET_PDEATHSIG = 1


class Task(NamedTuple):
    """What a process is to do."""

    number: int
    """Of this process, among all that the round has had."""
    shape: str
    """"alone", "threads" or "tasks"."""
    roles: str
    """One letter for each stream: p for a producer, c for a consumer."""
    scenario: Scenario
    queue: Any
    """A handle; or what opens one: a name."""
    directory: Path
    """Of the ledgers, and of the flag that tells producers to end."""
    seed: int

    @property
    def ledger(self) -> Path:
        return self.directory / f"{self.number}.ledger"

    @property
    def errors(self) -> Path:
        return self.directory / f"{self.number}.errors"


class Flag:
    """A byte that all processes of a round share."""

    def __init__(self, directory: Path) -> None:
        with open(directory / "flag", "a+b") as file:
            file.truncate(1)
            self._byte = mmap.mmap(file.fileno(), 1)

    def raise_(self) -> None:
        self._byte[0] = 1

    def is_raised(self) -> bool:
        return self._byte[0] != 0


# ---- scripts ---------------------------------------------------------------------------------------------------------


class Stream:
    """One producer or consumer."""

    def __init__(self, task: Task, queue: penstock.Queue, ledger: Ledger, flag: Flag, nth: int) -> None:
        self.number = task.number * STREAMS + nth
        self.scenario = task.scenario
        self.queue = queue
        self.flag = flag
        self.chance = random.Random(task.seed * STREAMS + nth)
        # Numbers go through so fast that accounting for them would take longer than the round.
        self.pace = self.chance.choice([0.001, 0.004] if self.scenario.item == "u8" else [0.0, 0.0, 0.001, 0.004])
        self.timeouts: list[float | None] = [None, None, None, None, None, None, 0.02, 0.003, 0.0]
        self.can_reserve = task.shape != "tasks" and task.scenario.item == "bytes"
        self._ledger = ledger

    def note(self, kind: Kind, word: int = 0, many: int = 1) -> None:
        self._ledger.note(self.number, kind, word, many)

    def note_all(self, kind: Kind, words: list[int]) -> None:
        self._ledger.note_all(self.number, kind, words)

    def timeout(self) -> float | None:
        """Draw how long a call waits."""
        return self.chance.choice(self.timeouts)

    def batch(self) -> int:
        """Draw how many items a batch has."""
        # Many numbers go through under one hold of the lock: that is when a kill should come.
        return self.chance.choice([1, 7, 60, 256, 256] if self.scenario.item == "u8" else [1, 2, 7, 16])

    def nap(self) -> Script:
        """Now and then take a moment with nothing, or something, in hand."""
        if self.pace and self.chance.random() < 0.3:
            yield "nap", (), self.chance.random() * self.pace * 3


def produce(stream: Stream) -> Script:
    """Put one item after the other until the round is over."""
    verbs = ["put", "put", "put_many", "reserve" if stream.can_reserve else "put"]
    serial = 0
    while not stream.flag.is_raised():
        verb = stream.chance.choice(verbs)
        count = stream.batch() if verb == "put_many" else 1
        first = word_of(stream.number, serial)
        stream.note(Kind.PUT_BEGIN, first, count)
        try:
            done = yield from _put(stream, verb, first, count)
        except Full:
            done = 0
        except NoSpace:
            stream.note(Kind.NO_SPACE, first, count)
            done = 0
            yield "nap", (), 0.002
        stream.note(Kind.PUT_END, first, done)
        serial += done
        yield from stream.nap()


def _put(stream: Stream, verb: str, first: int, count: int) -> Generator[Call, Any, int]:
    """Put items by one of the verbs; return how many."""
    make = stream.scenario.make
    if verb == "put_many":
        done: int = yield "put_many", ([make(first + n) for n in range(count)],), stream.timeout()
        return done
    if verb == "reserve":
        item = make(first)
        with (yield "reserve", (len(item),), stream.timeout()) as view:
            middle = len(item) // 2
            view[:middle] = item[:middle]
            yield from stream.nap()
            view[middle:] = item[middle:]
        return 1
    yield "put", (make(first),), stream.timeout()
    return 1


def consume(stream: Stream) -> Script:
    """Take one item after the other until told to stop; then tell the next."""
    is_told = False
    while not is_told:
        verb = stream.chance.choice(stream.scenario.takes)
        with contextlib.suppress(Empty):
            is_told = yield from _lease(stream) if verb == "lease" else _get(stream, verb)
        if stream.chance.random() < 0.01:
            stream.queue.stats()
            stream.queue.peek_many(2)
        yield from stream.nap()
    yield "put", (stream.scenario.make(STOP),), None


def take_by_hand(stream: Stream) -> Script:
    """Take all that waits, and do not wait for more."""
    with contextlib.suppress(Empty):
        while True:
            yield from _lease(stream) if stream.scenario.is_leased_only else _get(stream, "get")


def _get(stream: Stream, verb: str) -> Generator[Call, Any, bool]:
    """Get one item or several; return whether one of them says that it is time to stop."""
    most = stream.batch() if verb == "get_many" else 1
    stream.note(Kind.GET_BEGIN, many=most)
    items: list[Any] = []
    try:
        got = yield verb, ((most,) if verb == "get_many" else ()), stream.timeout()
        items = got if verb == "get_many" else [got]
    finally:
        words = [_read(stream, item) for item in items]
        stream.note_all(Kind.GOT, words)
        stream.note(Kind.TAKE_END)
    return STOP in words


def _lease(stream: Stream) -> Generator[Call, Any, bool]:
    """Lease an item, and acknowledge it or give it back; return whether it says that it is time to stop."""
    stream.note(Kind.LEASE_BEGIN)
    try:
        lease = yield "lease", (), stream.timeout()
    except Empty:
        stream.note(Kind.TAKE_END)
        raise
    word = _read(stream, lease.value)
    stream.note(Kind.LEASED, word, lease.deliveries)
    yield from stream.nap()
    if word != STOP and stream.chance.random() < 0.1:
        stream.note(Kind.BACK_BEGIN, word)
        lease.give_back()
        stream.note(Kind.BACK_END, word)
        return False
    stream.note(Kind.ACK_BEGIN, word)
    lease.ack()
    stream.note(Kind.ACK_END, word)
    return word == STOP


def _read(stream: Stream, item: Any) -> int:
    """Tell the word of an item, which must be whole."""
    word = stream.scenario.read(item)
    if word is None:
        stream.note(Kind.TORN)
        raise AssertionError(f"torn: {item!r:.200}")
    return word


# ---- who drives them -------------------------------------------------------------------------------------------------


class _Face:
    """A queue, and `nap`."""

    def __init__(self, queue: penstock.Queue) -> None:
        self._queue = queue

    def __getattr__(self, verb: str) -> Any:
        return getattr(self._queue, verb)

    def nap(self, timeout: float) -> None:
        """Do nothing for so long."""
        time.sleep(timeout)


class _AsyncFace(aio.Queue):
    """A queue to await, and `nap`."""

    async def nap(self, timeout: float) -> None:
        """Do nothing for so long."""
        await asyncio.sleep(timeout)


def drive(script: Script, queue: penstock.Queue) -> None:
    """Make the calls of a script."""
    face = _Face(queue)
    with contextlib.suppress(StopIteration):
        verb, args, timeout = next(script)
        while True:
            try:
                result = getattr(face, verb)(*args, timeout=timeout)
            except (Empty, Full, NoSpace) as err:
                verb, args, timeout = script.throw(err)
            else:
                verb, args, timeout = script.send(result)


async def drive_async(script: Script, face: _AsyncFace) -> None:
    """Await the calls of a script."""
    with contextlib.suppress(StopIteration):
        verb, args, timeout = next(script)
        while True:
            try:
                result = await getattr(face, verb)(*args, timeout=timeout)
            except (Empty, Full, NoSpace) as err:
                verb, args, timeout = script.throw(err)
            else:
                verb, args, timeout = script.send(result)


def _drive_all(scripts: list[Script], queue: penstock.Queue) -> None:
    """Drive each script in a thread of its own; the first in this one, so that signals meet a thread that waits."""
    failed: list[BaseException] = []

    def run(script: Script) -> None:
        try:
            drive(script, queue)
        except BaseException as err:  # noqa: BLE001 - raised again below
            failed.append(err)

    threads = [threading.Thread(target=run, args=(script,)) for script in scripts[1:]]
    for thread in threads:
        thread.start()
    run(scripts[0])
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


async def _drive_all_async(scripts: list[Script], queue: penstock.Queue) -> None:
    face = _AsyncFace(queue)
    await asyncio.gather(*(drive_async(script, face) for script in scripts))


# ---- processes -------------------------------------------------------------------------------------------------------

_libc = ctypes.CDLL(None, use_errno=True)


def work(task: Task) -> None:
    """Be the process: do the task, and exit; with 0 if all was well."""
    status = 1
    with open(task.errors, "wb", buffering=0) as errors:
        os.dup2(errors.fileno(), 2)
    try:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.nice(5)  # whoever kills and restarts these is to come in between them all
        signal.signal(signal.SIGUSR1, lambda number, frame: None)
        faulthandler.register(signal.SIGUSR2, all_threads=True)
        _work(task)
        status = 0
    except BaseException:  # noqa: BLE001 - a process's last words
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _work(task: Task) -> None:
    queue = penstock.Queue.open(task.queue) if isinstance(task.queue, str) else task.queue
    ledger, flag = Ledger(task.ledger), Flag(task.directory)
    streams = [Stream(task, queue, ledger, flag, nth) for nth in range(len(task.roles))]
    scripts = [
        produce(stream) if role == "p" else consume(stream) for role, stream in zip(task.roles, streams, strict=True)
    ]
    if task.shape == "tasks":
        asyncio.run(_drive_all_async(scripts, queue))
    else:
        _drive_all(scripts, queue)


if __name__ == "__main__":
    work(pickle.load(sys.stdin.buffer))
