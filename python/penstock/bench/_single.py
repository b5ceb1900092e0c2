"""What is measured without a stream: there and back, and what opening, importing, idling and keeping cost."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import repeat
from typing import TYPE_CHECKING, Any

from penstock.bench import _cost
from penstock.bench._check import WrongItems
from penstock.bench._children import die_with_parent
from penstock.bench._items import Item, item_of
from penstock.bench._stream import Lost
from penstock.bench.peers._peer import CannotDo, Peer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection
    from pathlib import Path

    from penstock.bench._work import Work

_CONTEXT = multiprocessing.get_context("fork")
_ASLEEP_AFTER_SECONDS = 0.002
"""Nobody looks for longer than this before going to sleep, penstock for 0.04 ms at most."""


def run(peer: type[Peer], work: Work, place: Path, seconds: float, patience: float) -> dict[str, float]:
    """Measure a work of any kind but streams.

    Raises:
        CannotDo: The peer has nothing for it.
        WrongItems, Lost: What came was not what was sent.
    """
    measure: Any = {
        "turns": _turns,
        "open": _open,
        "import": _import,
        "idle": _idle,
        "memory": _memory,
        "alone": _alone,
    }[work.kind]
    figures: dict[str, float] = measure(peer, work, place, seconds, patience)
    return figures


@contextmanager
def _made(peer: type[Peer], work: Work, item: Item, place: Path) -> Iterator[Peer]:
    place.mkdir(mode=0o700, exist_ok=True)
    made = peer(work, item, place)
    try:
        yield made
    finally:
        made.close()


# ---- there and back --------------------------------------------------------------------------------------------------


def _turns(peer: type[Peer], work: Work, place: Path, seconds: float, patience: float) -> dict[str, float]:
    item = item_of(work.item)
    with (
        _made(peer, work, item, place / "there") as there,
        _made(peer, work, item, place / "back") as back,
    ):
        ours, theirs = _CONTEXT.Pipe()
        kind: Any = threading.Thread if peer.is_threads else _CONTEXT.Process
        both: Any = threading.Barrier(2) if peer.is_threads else _CONTEXT.Barrier(2)
        pair = [
            kind(target=_echo, args=(there, back, both), daemon=True),
            kind(target=_call, args=(there, back, both, theirs, seconds), daemon=True),
        ]
        for one in pair:
            one.start()
        try:
            if not ours.poll(patience + seconds * 10):
                raise Lost("an item went there and did not come back")
            outcome = ours.recv()
        finally:
            for one in pair:
                if not isinstance(one, threading.Thread):
                    one.kill()
                    one.join()
    if isinstance(outcome, str):
        raise WrongItems(outcome)
    outcome.sort()
    return {"value": statistics.median(outcome), "p99": outcome[len(outcome) * 99 // 100], "items": len(outcome)}


def _echo(there: Peer, back: Peer, both: Any) -> None:
    if not there.is_threads:
        die_with_parent()
    get, put = there.receiver().get, back.sender().put
    both.wait()  # some deliver only to who is there
    while True:
        put(get())


def _call(there: Peer, back: Peer, both: Any, line: Connection, seconds: float) -> None:
    if not there.is_threads:
        die_with_parent()
    get, put = back.receiver().get, there.sender().put
    both.wait()
    item, work = there.item, there.work
    micros: list[float] = []
    begin = time.monotonic()
    for count in range(1 << 20):
        (one,) = item.make(0, count, count + 1)
        if work.is_asleep:
            time.sleep(_ASLEEP_AFTER_SECONDS)
        start = time.perf_counter_ns()
        put(one)
        got = get()
        took = time.perf_counter_ns() - start
        if item.numbers([got])[0] != item.numbers([one])[0]:
            line.send(f"item {count} came back as another")
            return
        now = time.monotonic() - begin
        if now > seconds * 1.25:
            break
        if now > seconds * 0.25:  # what comes before is the warm-up
            micros.append(took / 1000)
    line.send(micros)


# ---- opening and importing -------------------------------------------------------------------------------------------


def _open(peer: type[Peer], work: Work, place: Path, seconds: float, _patience: float) -> dict[str, float]:
    micros: list[float] = []
    with _made(peer, work, item_of(work.item), place) as made:
        until = time.monotonic() + seconds
        made.opened()()
        while time.monotonic() < until or len(micros) < 3:
            start = time.perf_counter_ns()
            close = made.opened()
            micros.append((time.perf_counter_ns() - start) / 1000)
            close()
    return {"value": statistics.median(micros)}


def _import(peer: type[Peer], _work: Work, _place: Path, seconds: float, _patience: float) -> dict[str, float]:
    statement = peer.import_statement()
    if statement is None:
        raise CannotDo("nothing to import")
    code = (
        f"import sys, time; start = time.perf_counter(); {statement};"
        " print(time.perf_counter() - start, 'numpy' in sys.modules)"
    )
    millis: list[float] = []
    loads_numpy = False
    until = time.monotonic() + seconds
    while time.monotonic() < until or len(millis) < 3:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        took, has_numpy = done.stdout.split()
        millis.append(float(took) * 1000)
        loads_numpy = has_numpy == "True"
    return {"value": statistics.median(millis[1:]), "loads_numpy": int(loads_numpy)}


# ---- idling and keeping ----------------------------------------------------------------------------------------------


def _idle(peer: type[Peer], work: Work, place: Path, seconds: float, _patience: float) -> dict[str, float]:
    if peer.is_threads:
        raise CannotDo("has no processes")
    with _made(peer, work, item_of(work.item), place) as made:
        ours, theirs = _CONTEXT.Pipe()
        waiters = [_CONTEXT.Process(target=_wait, args=(made, theirs), daemon=True) for _ in range(work.consumers)]
        for waiter in waiters:
            waiter.start()
        try:
            for _ in waiters:
                ours.recv()
            time.sleep(0.2)  # until the last of them has gone from saying so to waiting
            pids = [waiter.pid for waiter in waiters if waiter.pid] + made.servers()
            start, before = time.monotonic(), sum(map(_cost.cpu_seconds_of, pids))
            time.sleep(max(1.0, seconds))
            used, took = sum(map(_cost.cpu_seconds_of, pids)) - before, time.monotonic() - start
        finally:
            for waiter in waiters:
                waiter.kill()
                waiter.join()
    return {"value": used / took * 100}


def _wait(made: Peer, line: Connection) -> None:
    die_with_parent()
    get = made.receiver().get
    line.send(os.getpid())
    get()


def _memory(peer: type[Peer], work: Work, place: Path, _seconds: float, _patience: float) -> dict[str, float]:
    if peer.is_in_kernel:
        raise CannotDo("keeps items where their size cannot be seen")
    item = item_of(work.item)
    before = _cost.own_bytes()
    with _made(peer, work, item, place) as made:
        if work.name == "memory-full":
            put = made.sender().put
            for one in item.make(0, 0, work.capacity):
                put(one)
        nbytes = made.nbytes()
        if nbytes is None:
            nbytes = max(0, _cost.own_bytes() - before)
    return {"value": nbytes / 1024}


# ---- one process alone -----------------------------------------------------------------------------------------------


def _alone(peer: type[Peer], work: Work, place: Path, seconds: float, _patience: float) -> dict[str, float]:
    """Time runs of as many calls as the queue has room for, filling and emptying it by turns."""
    item = item_of(work.item)
    with _made(peer, work, item, place) as made:
        own = made.alone(work.name)
        if own is not None:
            return {"value": own(seconds)}
        put, receiver = made.sender().put, made.receiver()
        call = made.empty_call() if work.name == "call" else lambda: None
        get = receiver.lease if work.name == "lease" else receiver.get
        if get is None:
            raise CannotDo("has no acknowledgement")
        runs: dict[str, list[float]] = {"call": [], "put": [], "get": []}
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            for _ in range(100):
                runs["call"].append(_nanos(call, work.capacity))
                runs["put"].append(_nanos_putting(put, work.capacity))
                runs["get"].append(_nanos(get, work.capacity))
    return {"value": statistics.median(runs["get" if work.name == "lease" else work.name])}


def _nanos(call: Callable[[], Any], times: int) -> float:
    start = time.perf_counter_ns()
    for _ in repeat(None, times):
        call()
    return (time.perf_counter_ns() - start) / times


def _nanos_putting(put: Callable[[Any], Any], times: int) -> float:
    start = time.perf_counter_ns()
    for _ in repeat(None, times):
        put(1234567)
    return (time.perf_counter_ns() - start) / times
