"""From producers to consumers as fast as it goes: what each of them does, and how a run of it is led.

A run has phases, in the same processes: short ones to learn the speed, a warm-up, and the one that counts. Each phase
begins at a barrier. Consumers take from a common allowance of items still to come, so each gets as much as it can
and all of them end together.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.bench import _children, _cost
from penstock.bench._check import Check, WrongItems, compare
from penstock.bench._items import MOST_COUNT, Number, Repeated, Torn, look, stamp
from penstock.bench.peers._peer import CannotDo, Peer, Receiver, Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from multiprocessing.connection import Connection

    from penstock.bench._work import Work

_CONTEXT = multiprocessing.get_context("fork")
_FIRST_ITEMS = 200
_LEARN_SECONDS = 0.02
_WARM_UP_PART = 0.25
_MOST_BLOCK = 1000
_MORE_TRIES = 4


class Lost(Exception):
    """Items did not come in time."""


@dataclass(frozen=True)
class Report:
    """What one worker did in one phase."""

    started: float
    ended: float
    cpu_seconds: float
    peak_bytes: int
    tallies: list[list[int]] | None


def run(peer: Peer, work: Work, seconds: float, patience: float) -> dict[str, float]:
    """Measure a peer that was made, and return its figures.

    Raises:
        CannotDo: It has no verb for this work.
        WrongItems, Torn, Lost: What came was not what was sent.
    """
    crew = Crew(peer, work)
    try:
        count = int(_learn(crew, seconds, patience) * seconds)
        figures, elapsed = _counted(crew, count, peer, patience + seconds * 10)
        for _ in range(_MORE_TRIES):
            if elapsed >= seconds / 2:
                break
            # With many processes the short phases were mostly their start, and told of a speed far too low.
            count = int(figures["items"] * min(10.0, seconds / elapsed))
            figures, elapsed = _counted(crew, count, peer, patience + seconds * 10)
    finally:
        crew.dismiss()
    return figures


def _counted(crew: Crew, count: int, peer: Peer, patience: float) -> tuple[dict[str, float], float]:
    """Pass about `count` items, and return what that says and how long it took."""
    before = sum(map(_cost.cpu_seconds_of, peer.servers()))
    reports, elapsed = crew.phase(count, patience)
    used = sum(map(_cost.cpu_seconds_of, peer.servers())) - before + sum(report.cpu_seconds for report in reports)
    total = crew.total(count)
    figures = {
        "value": total / elapsed,
        "items": total,
        "cpu_seconds_per_million": used / total * 1e6,
        "peak_bytes": sum(report.peak_bytes for report in reports),
    }
    return figures, elapsed


def _learn(crew: Crew, seconds: float, patience: float) -> float:
    """Return how many items pass in a second, once all is warm."""
    count, elapsed, rate = _FIRST_ITEMS, 0.0, 0.0
    while elapsed < min(_LEARN_SECONDS, seconds):
        _, elapsed = crew.phase(count, patience)
        rate = crew.total(count) / elapsed
        count = int(min(count * 10, 1 + rate * _LEARN_SECONDS * 2))
    warm_up = int(rate * seconds * _WARM_UP_PART)
    _, elapsed = crew.phase(warm_up, patience)
    return crew.total(warm_up) / elapsed


class Crew:
    """The producers and consumers of one run."""

    def __init__(self, peer: Peer, work: Work) -> None:
        self._work = work
        self._item = peer.item
        self._block = _block_of(work)
        size = work.producers + work.consumers
        start: Any = threading.Barrier(size) if peer.is_threads else _CONTEXT.Barrier(size)
        self._allowance = _CONTEXT.Value("q", 0)
        self._lines: list[Connection] = []
        self._workers: list[Any] = []
        makers: list[Callable[[], Callable[[int, int], Any]]] = []
        makers += [_producer(peer, index) for index in range(work.producers)]
        makers += [_consumer(peer, self._allowance) for _ in range(work.consumers)]
        for make in makers:
            ours, theirs = _CONTEXT.Pipe()
            kind: Any = threading.Thread if peer.is_threads else _CONTEXT.Process
            worker = kind(target=_worker, args=(theirs, start, make, peer.is_threads), daemon=True)
            worker.start()
            self._lines.append(ours)
            self._workers.append(worker)
        self._replies(time.monotonic() + 20)

    def total(self, count: int) -> int:
        """Return how many items a phase of about `count` passes: the same from each producer, and at least a few."""
        return self._each(count) * self._work.producers

    def _each(self, count: int) -> int:
        least = 4 * max(1, self._work.consumers // self._work.producers) * self._work.batch
        return min(max(count // self._work.producers, least), MOST_COUNT)

    def phase(self, count: int, patience: float) -> tuple[list[Report], float]:
        """Pass about `count` items, and return what each worker reports and how long it took."""
        each = self._each(count)
        self._allowance.value = self.total(count)
        block = max(1, min(self._block, self.total(count) // (self._work.consumers * 20)))
        block = max(block // self._work.batch, 1) * self._work.batch
        for line in self._lines:
            line.send((each, block))
        reports = self._replies(time.monotonic() + patience)
        compare(self._item, each, [report.tallies for report in reports if report.tallies is not None])
        started = min(report.started for report in reports)
        return reports, max(report.ended for report in reports) - started

    def _replies(self, until: float) -> list[Any]:
        replies = []
        waiting = list(self._lines)
        while waiting:
            ready = multiprocessing.connection.wait(waiting, max(0.0, until - time.monotonic()))
            if not ready:
                raise Lost(f"{len(waiting)} of {len(self._lines)} processes wait for items or room that never comes")
            for line in ready:
                assert isinstance(line, multiprocessing.connection.Connection)
                reply = line.recv()
                if isinstance(reply, Exception):
                    raise reply
                waiting.remove(line)
                replies.append(reply)
        return replies

    def dismiss(self) -> None:
        """End all processes, wherever they are."""
        for worker in self._workers:
            if isinstance(worker, threading.Thread):
                continue  # a daemon: it goes with this process
            worker.kill()
            worker.join()


def _worker(line: Connection, start: Any, make: Callable[[], Any], is_thread: bool) -> None:
    """Be a producer or consumer: one phase after the other, until told to stop."""
    if not is_thread:
        _children.die_with_parent()
    clock = time.thread_time if is_thread else time.process_time
    try:
        before = _cost.resident_bytes()
        act = make()
        line.send("ready")
        while True:
            each, block = line.recv()
            if not is_thread:
                _cost.forget_peak()
            start.wait()
            cpu, started = clock(), time.monotonic()
            tallies = act(each, block)
            ended, used = time.monotonic(), clock() - cpu
            peak = 0 if is_thread else max(0, _cost.peak_bytes() - before)
            line.send(Report(started, ended, used, peak, tallies))
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - told to the leader, who raises it
        line.send(error if isinstance(error, (CannotDo, WrongItems, Torn)) else RuntimeError(repr(error)))


def _block_of(work: Work) -> int:
    """Return how many items a consumer checks at a time, and a producer makes."""
    return 100 * _MOST_BLOCK if work.way == "array" else _MOST_BLOCK


# ---- producers -------------------------------------------------------------------------------------------------------


def _producer(peer: Peer, index: int) -> Callable[[], Callable[[int, int], None]]:
    def make() -> Callable[[int, int], None]:
        put_all = _putter(peer, peer.sender())

        def produce(each: int, _block: int) -> None:
            step = _block_of(peer.work)
            for at in range(0, each, step):
                put_all(index, at, min(each, at + step))

        return produce

    return make


def _putter(peer: Peer, sender: Sender) -> Callable[[int, int, int], None]:
    """Return what puts a producer's items from one count to another, in the work's way."""
    work, item = peer.work, peer.item

    def single(producer: int, start: int, stop: int) -> None:
        put = sender.put
        for one in item.make(producer, start, stop):
            put(one)

    def batch(producer: int, start: int, stop: int) -> None:
        put_many = _have(sender.put_many, "has no verb for many items")
        items = list(item.make(producer, start, stop))
        for at in range(0, len(items), work.batch):
            put_many(items[at : at + work.batch])

    def array(producer: int, start: int, stop: int) -> None:
        put_array = _have(sender.put_array, "has no verb for arrays of items")
        assert isinstance(item, Number)
        items = item.make_array(producer, start, stop)
        for at in range(0, len(items), work.batch):
            put_array(items[at : at + work.batch])

    def in_place(producer: int, start: int, stop: int) -> None:
        write = _have(sender.write, "does not lend its memory")
        for one in item.make(producer, start, stop):
            source = item.encode(one)
            write(lambda view, source=source: view.__setitem__(slice(None), source))

    def touch(producer: int, start: int, stop: int) -> None:
        write = _have(sender.write, "does not lend its memory")
        for one in item.make(producer, start, stop):
            number = look(memoryview(item.encode(one)))
            write(lambda view, number=number: stamp(view, number))

    return {"batch": batch, "array": array, "in-place": in_place, "touch": touch}.get(work.way, single)


def _have(verb: Any, reason: str) -> Any:
    if verb is None:
        raise CannotDo(reason)
    return verb


# ---- consumers -------------------------------------------------------------------------------------------------------


def _consumer(peer: Peer, allowance: Any) -> Callable[[], Callable[[int, int], list[list[int]]]]:
    work, item = peer.work, peer.item

    def make() -> Callable[[int, int], list[list[int]]]:
        take = _taker(peer, peer.receiver())

        def consume(_each: int, block: int) -> list[list[int]]:
            check = Check(item, work.producers, work.consumers == 1)
            while (count := _claim(allowance, block)) > 0:
                check.take(take(count))
            return check.tallies

        return consume

    return make


def _claim(allowance: Any, block: int) -> int:
    """Take up to a block from the items that are still to come."""
    with allowance.get_lock():
        count = min(block, allowance.value)
        allowance.value -= count
    return int(count)


def _taker(peer: Peer, receiver: Receiver) -> Callable[[int], Any]:
    """Return what gets so many items in the work's way, and returns the numbers in them."""
    import numpy as np

    work, item = peer.work, peer.item

    def single(count: int) -> Any:
        return one_by_one(receiver.get, count)

    def lease(count: int) -> Any:
        return one_by_one(_have(receiver.lease, "has no acknowledgement"), count)

    def one_by_one(get: Callable[[], Any], count: int) -> Any:
        if isinstance(item, Repeated):  # large: looked at and let go
            number = item.number
            return np.fromiter((number(get()) for _ in range(count)), "u4", count)
        return item.numbers([get() for _ in range(count)])

    def batch(count: int) -> Any:
        get_many = _have(receiver.get_many, "has no verb for many items")
        return item.numbers([one for part in _parts(get_many, count, work.batch) for one in part])

    def array(count: int) -> Any:
        get_array = _have(receiver.get_array, "has no verb for arrays of items")
        return np.concatenate(list(_parts(get_array, count, work.batch)))

    def in_place(count: int) -> Any:
        read = _have(receiver.read, "does not lend its memory")
        return np.fromiter((read(look) for _ in range(count)), "u4", count)

    return {"batch": batch, "array": array, "in-place": in_place, "touch": in_place, "lease": lease}.get(
        work.way, single
    )


def _parts(get: Callable[[int], Sequence[Any]], count: int, most: int) -> Iterable[Sequence[Any]]:
    left = count
    while left > 0:
        part = get(min(most, left))
        left -= len(part)
        yield part
