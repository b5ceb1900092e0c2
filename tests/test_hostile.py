"""Every call of every class on segments whose bytes cannot be: penstock's errors and the standard ones come out, and
nothing worse. No crash, no hang, and no memory taken because a damaged length asked for it.

The calls are made in children, whose deadline and limit of memory turn a hang and a blow-up into failures; a child
writes down the case that it is at. The core's own fuzzer is behind this: these are the ways from Python to it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import queue
import resource
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import penstock
import penstock.aio
from cli_helpers import run
from corruption import CHECK_AT, Case, cases, check_of
from penstock import testing
from penstock.cli import _run as cli
from penstock.cli._exits import Exit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.usefixtures("directory")

COUNT = int(os.environ.get("PENSTOCK_HOSTILE_COUNT", "12"))
"""How many cases of each sort there are for each kind of object."""

SEED = int(os.environ.get("PENSTOCK_HOSTILE_SEED", "1"))
DEADLINE_SECONDS = 120.0
MOST_BYTES = 1 << 30
"""What a child may add to its memory: all segments here together have a thousandth of that."""

ALLOWED = (penstock.PenstockError, queue.Empty, queue.Full, penstock.ShutDown, ValueError, OSError, BufferError)
"""What may come out, besides `TimeoutError`, which is an `OSError`."""

TABLE = [("number", "u4"), ("place", "f8", (2,))]
QUEUES: dict[str, tuple[Any, list[Any]]] = {
    "object": (object, [{"a": [1, 2]}, bytes(9000), None]),
    "json": ("json", [{"a": [1, 2]}, "x" * 9000, None]),
    "msgpack": ("msgpack", [{"a": [1, 2]}, b"x" * 9000, None]),
    "bytes": (bytes, [b"small", bytes(9000), b""]),
    "str": (str, ["small", "x" * 9000, ""]),
    "u4": ("u4", [1, 2, 3]),
    "dtype": (TABLE, [(1, [2.0, 3.0])] * 3),
}
OTHERS = ("mutex", "semaphore", "event", "mapping")
CREATORS: dict[str, Callable[[str], Any]] = {
    "mutex": penstock.Mutex.create,
    "semaphore": lambda name: penstock.Semaphore.create(name, value=2, maximum=3),
    "event": lambda name: penstock.Event.create(name, auto_reset=True),
    "mapping": lambda name: penstock.Mapping.create(name, 5000),
}
OPENERS: dict[str, Callable[[str], Any]] = {
    "mutex": penstock.Mutex.open,
    "semaphore": penstock.Semaphore.open,
    "event": penstock.Event.open,
    "mapping": penstock.Mapping.open,
}


# ---- what is called --------------------------------------------------------------------------------------------------


def _lease_and(q: Any, how: str) -> None:
    lease = q.lease(timeout=0)
    _ = (lease.value, lease.deliveries, repr(lease))
    getattr(lease, how)()


async def _await_all(name: str) -> None:
    async with penstock.aio.Queue(name) as q:
        await q.get(timeout=0)
        async with q.lease(timeout=0) as lease:
            _ = lease.value
        q.put_nowait(q.qsize())


QUEUE_CALLS: list[Callable[..., object]] = [
    lambda q, items: q.stats(),
    lambda q, items: (q.qsize(), q.empty(), q.full(), q.unfinished_tasks, q.is_shutdown, repr(q)),
    lambda q, items: q.peek(),
    lambda q, items: q.peek_many(10),
    lambda q, items: q.dead_letters.peek_many(10),
    lambda q, items: q.get(timeout=0),
    lambda q, items: q.put(items[0], timeout=0),
    lambda q, items: q.put_nowait(items[1]),
    lambda q, items: q.put_many(items, timeout=0),
    lambda q, items: _lease_and(q, "ack"),
    lambda q, items: q.get_nowait(),
    lambda q, items: q.get_many(2, timeout=0),
    lambda q, items: penstock.wait([q], timeout=0),
    lambda q, items: (q.wait_get(timeout=0), q.wait_put(timeout=0)),
    lambda q, items: q.task_done(),
    lambda q, items: q.join(timeout=0),
    lambda q, items: q.put(items[2], timeout=0),
    lambda q, items: _lease_and(q, "give_back"),
    lambda q, items: asyncio.run(_await_all(q.name)),
    lambda q, items: q.dead_letters.get(timeout=0),
    lambda q, items: q.dead_letters.requeue(),
    lambda q, items: q.dead_letters.purge(),
    lambda q, items: q.get_many(100, timeout=0),
    lambda q, items: q.purge(),
    lambda q, items: q.shutdown(),
    lambda q, items: q.get(timeout=0),
    lambda q, items: q.shutdown(immediate=True),
]

CALLS: dict[str, list[Callable[[Any], object]]] = {
    "mutex": [
        lambda m: m.stats(),
        lambda m: (m.is_owned, m.locked(), m.abandoned, repr(m)),
        lambda m: penstock.wait([m], timeout=0),
        lambda m: m.acquire(timeout=0),
        lambda m: m.acquire(timeout=0.001),
        lambda m: (m.is_owned, m.locked(), m.abandoned),
        lambda m: m.release(),
        lambda m: m.release(),
    ],
    "semaphore": [
        lambda s: s.stats(),
        lambda s: (s.get_value(), s.maximum, repr(s)),
        lambda s: penstock.wait([s], timeout=0),
        lambda s: s.acquire(timeout=0),
        lambda s: s.acquire(timeout=0.001),
        lambda s: s.release(),
        lambda s: s.release(2),
    ],
    "event": [
        lambda e: e.stats(),
        lambda e: (e.is_set(), e.auto_reset, repr(e)),
        lambda e: penstock.wait([e], timeout=0),
        lambda e: e.wait(timeout=0.001),
        lambda e: e.set(),
        lambda e: e.wait(timeout=0),
        lambda e: e.clear(),
    ],
    "mapping": [
        lambda m: m.stats(),
        lambda m: (m.size, len(m), m.writable, repr(m)),
        lambda m: bytes(memoryview(m)[:10]) + bytes(memoryview(m)[-10:]),
        lambda m: m.flush(),
    ],
}


def make(kind: str) -> bytes:
    """Return the bytes of an object in the middle of its life: in use by somebody who was killed there, in effect."""
    name = testing.unique_name()
    handle: Any
    if kind in QUEUES:
        item, items = QUEUES[kind]
        large: dict[str, Any] = {} if kind in ("u4", "dtype") else {"max_item_bytes": 20_000}
        handle = penstock.Queue.create(name, capacity=4, item=item, max_deliveries=2, **large)
        handle.put_many(items)
        for _ in range(2):
            handle.lease(timeout=0).give_back()
        lease = handle.lease(timeout=0)
        data = Path(handle.path).read_bytes()
        lease.ack()
    else:
        handle = CREATORS[kind](name)
        if kind == "mutex":
            handle.acquire()
        data = Path(handle.path).read_bytes()
    handle.unlink()
    return data


def all_cases(kind: str) -> Iterator[Case]:
    """Return the cases of one kind of object, the same each time."""
    return cases(make(kind), SEED ^ zlib.crc32(kind.encode()), COUNT)


def write(name: str, data: bytes) -> Path:
    """Put bytes under a name in the directory of names, as a segment's file is: nobody else may write it."""
    path = Path(os.environ["PENSTOCK_DIR"]) / name
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_bytes(data)
    return path


def abuse(kind: str, progress: str) -> tuple[int, int]:
    """Call everything on every case; return how many cases there were and how many could be opened. In a child."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, used + MOST_BYTES))
    made, opened = list(all_cases(kind)), 0
    for case in made:
        Path(progress).write_text(case.story)
        write("case", case.data)
        with contextlib.suppress(*ALLOWED):
            handle = OPENERS.get(kind, penstock.Queue.open)("case")
            opened += 1
            for call in calls_of(kind):
                with contextlib.suppress(*ALLOWED, penstock.NotOwner):
                    call(handle)
            handle.close()
    return len(made), opened


def calls_of(kind: str) -> list[Callable[[Any], object]]:
    """Return what is called on an object of this kind."""
    if kind in CALLS:
        return CALLS[kind]
    items = QUEUES[kind][1]
    return [functools.partial(call, items=items) for call in QUEUE_CALLS]


@pytest.mark.timeout(DEADLINE_SECONDS + 30)
@pytest.mark.parametrize("kind", [*QUEUES, *OTHERS])
def test_everything_called_on_damaged_segments_raises_what_is_documented(
    kind: str, spawn: Any, directory: str, tmp_path: Path
) -> None:
    if kind in ("msgpack", "dtype"):
        pytest.importorskip({"msgpack": "msgspec", "dtype": "numpy"}[kind])
    progress = tmp_path / "case"
    child = spawn(abuse, kind, str(progress), deadline=DEADLINE_SECONDS)
    try:
        count, opened = child.result(DEADLINE_SECONDS)
    except testing.ChildFailed as failure:
        pytest.fail(f"{kind}, {progress.read_text() if progress.exists() else 'at the start'}: {failure}")
    assert count > 10 * COUNT
    assert opened > COUNT, "so few could be opened that little was tried"


def test_the_generator_signs_as_the_library_does() -> None:
    data = make("event")
    assert int.from_bytes(data[CHECK_AT : CHECK_AT + 8], "little") == check_of(data[:CHECK_AT])


# ---- the commands ----------------------------------------------------------------------------------------------------


def run_on_each(names: list[str]) -> list[int]:
    """Run commands on each name; return their exit codes. In a child, whose output goes nowhere."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    codes = []
    for name in names:
        for command in (["stat", name], ["stat", "--json", name], ["peek", name], ["get", name, "--timeout", "0"]):
            codes.append(cli.run(command))
    codes += [cli.run(command) for command in (["doctor", "--json"], ["ls", "--json"], ["rm", *names, "--yes"])]
    return codes


def test_commands_on_damaged_segments_end_with_a_code_of_their_own(spawn: Any, directory: str) -> None:
    names = []
    for kind in ("json", "u4", *OTHERS):
        for nth, case in enumerate(all_cases(kind)):
            if nth % 5 == 0:
                names.append(f"{kind}-{nth}")
                write(names[-1], case.data)
    listed = run("ls")
    assert listed.returncode == 0
    assert all(name in listed.stdout.decode() for name in names), "each is shown, whatever it is"
    told = run("doctor")
    assert told.returncode in (0, 1)
    assert b"Traceback" not in told.stderr
    codes = spawn(run_on_each, names, deadline=DEADLINE_SECONDS).result(DEADLINE_SECONDS)
    assert len(codes) == 4 * len(names) + 3
    assert {code for code in codes if code not in Exit} == set()
    assert {Exit.DONE, Exit.DIFFERENT, Exit.CORRUPTED} <= set(codes)
