"""`penstock demo`: the lesson's two programs at work on one queue, as two processes, told line by line.

They are the real commands `penstock producer` and `penstock consumer`. This process types the numbers and tells what
the two report; it never touches the items.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import click

import penstock
from penstock.cli._exits import Exit
from penstock.cli._stop import Stop
from penstock.cli._streams import STDOUT, LineReader, Output, is_terminal, say

if TYPE_CHECKING:
    from collections.abc import Iterator

CAPACITY = 10

# Typed faster than they are slept on: after a second the queue is full, and the producer has to wait. Together four
# seconds of sleep.
NUMBERS = (*[300] * 8, *[200] * 6, *[100] * 4, 0)
_TYPING_SECONDS = 0.07
_LONGEST_RUN_SECONDS = 30.0
_LINE_BYTES = 256

_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


@click.command("demo")
def command() -> int:
    """Show a producer and a consumer, two processes, passing numbers through a queue of ten. Takes five seconds."""
    stop = Stop()
    name = f"demo-{os.getpid()}-{secrets.token_hex(4)}"
    # While it is open: if this process is killed, the queue goes with the last of the three.
    with penstock.Queue.create(name, item="u4", capacity=CAPACITY, lifetime="while_open") as queue:
        try:
            return Demo(stop, name).run()
        finally:
            queue.unlink()


class Step(NamedTuple):
    """What one of the two programs did, and how many numbers the queue holds then."""

    who: str
    what: str
    depth: int


class Story:
    """The reports of the two programs, in an order in which it can have happened.

    Each program's reports come in order, but through two pipes: a number may be reported taken before it is reported
    put. So a report is held back until the queue, as told so far, allows it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._depth = 0
        self._puts: deque[int | None] = deque()  # None is a wait for room
        self._takes: deque[int] = deque()

    def producer_put(self, number: int) -> Iterator[Step]:
        """Add a report of the producer; yield the steps that can be told now."""
        self._puts.append(number)
        return self._tell()

    def producer_waits(self) -> Iterator[Step]:
        """Add the producer's report that the queue is full; yield the steps that can be told now."""
        self._puts.append(None)
        return self._tell()

    def consumer_took(self, number: int) -> Iterator[Step]:
        """Add a report of the consumer; yield the steps that can be told now."""
        self._takes.append(number)
        return self._tell()

    def _tell(self) -> Iterator[Step]:
        while True:
            if self._puts and self._puts[0] is None:
                self._puts.popleft()
                if self._depth == self._capacity:  # else the consumer was told first, and the wait is over
                    yield Step("producer", "waits: the queue is full", self._depth)
            elif self._takes and self._depth > 0:
                number = self._takes.popleft()
                self._depth -= 1
                yield Step(
                    "consumer", f"takes {number} and sleeps {number} ms" if number else "takes 0 and ends", self._depth
                )
            elif self._puts and self._depth < self._capacity:
                put = self._puts.popleft()
                self._depth += 1
                yield Step("producer", f"puts {put}" if put else "puts 0 and ends", self._depth)
            else:
                return


class Demo:
    """One run: two children, their reports, and the lines that tell of them."""

    def __init__(self, stop: Stop, name: str) -> None:
        self._stop = stop
        self._name = name
        self._output = Output(stop)
        self._is_bold = is_terminal(STDOUT)
        self._story = Story(CAPACITY)
        self._started_at = time.monotonic()
        self._taken: list[int] = []
        self._waits = 0

    def run(self) -> int:
        """Run both programs to their end, or end them; return the exit code."""
        producer = self._start("producer", "--verbose", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            consumer = self._start("consumer", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            try:
                self._print("A queue of ten numbers in shared memory, and two processes that share nothing else.")
                self._print(
                    f"The producer (pid {producer.pid}) gets a number to put every {1000 * _TYPING_SECONDS:.0f} ms."
                )
                self._print(f"The consumer (pid {consumer.pid}) takes a number, then sleeps that many milliseconds.\n")
                self._follow(producer, consumer)
                return self._verdict(producer.poll(), consumer.poll())
            finally:
                _end(consumer)
        finally:
            _end(producer)

    def _start(self, program: str, *options: str, **streams: Any) -> subprocess.Popen[bytes]:
        # -P: whatever lies in the current directory, it is this penstock that runs.
        arguments = [sys.executable, "-P", "-m", "penstock", program, *options, self._name]
        return subprocess.Popen(arguments, bufsize=0, **streams)

    def _follow(self, producer: subprocess.Popen[bytes], consumer: subprocess.Popen[bytes]) -> None:
        """Type the numbers and tell what is reported, until both have ended, or one has failed."""
        assert producer.stdin is not None
        assert producer.stderr is not None
        assert consumer.stdout is not None
        children = {producer.stderr.fileno(): producer, consumer.stdout.fileno(): consumer}
        reports = {fd: LineReader(self._stop, _LINE_BYTES, fd) for fd in children}
        to_type = deque(NUMBERS)
        type_at = time.monotonic()
        while reports:
            now = time.monotonic()
            if now - self._started_at > _LONGEST_RUN_SECONDS:
                raise penstock.PenstockError(f"the demo did not come to its end in {_LONGEST_RUN_SECONDS:.0f} s")
            if to_type and now >= type_at:
                with suppress(BrokenPipeError):  # it died; its other pipe says so
                    producer.stdin.write(b"%d\n" % to_type.popleft())
                type_at = now + _TYPING_SECONDS
            for fd in self._stop.wait(max(0.0, type_at - now) if to_type else 1.0, readable=reports):
                lines = reports[fd].read()
                for line in lines:
                    self._tell(line.decode(), is_producer=children[fd] is producer)
                if not lines:
                    del reports[fd]
                    if children[fd].wait() != Exit.DONE:
                        return

    def _tell(self, line: str, *, is_producer: bool) -> None:
        if not is_producer:
            self._taken.append(int(line))
            steps = self._story.consumer_took(int(line))
        elif line.startswith("penstock: put "):
            steps = self._story.producer_put(int(line.rsplit(" ", 1)[1]))
        elif "is full" in line:
            self._waits += 1
            steps = self._story.producer_waits()
        else:
            say(f"producer: {line}")
            return
        for step in steps:
            bar = "#" * step.depth + "." * (CAPACITY - step.depth)
            seconds = time.monotonic() - self._started_at
            text = f"{seconds:5.2f} s  {step.who}  {step.what:<27}  [{bar}] {step.depth:2}/{CAPACITY}"
            self._print(f"{_BOLD}{text}{_PLAIN}" if self._is_bold and "full" in step.what else text)

    def _verdict(self, *codes: int | None) -> int:
        if any(code != Exit.DONE for code in codes) or self._taken != list(NUMBERS):
            say(f"the demo failed: exit codes {codes}, numbers that arrived: {self._taken}")
            return Exit.FAILED
        self._print(f"\nAll {len(NUMBERS)} numbers arrived, in order; the producer had to wait {self._waits} times.")
        self._print('Now you: "penstock producer" in one terminal, "penstock consumer" in another.')
        return Exit.DONE

    def _print(self, line: str) -> None:
        self._output.write(line.encode() + b"\n")


def _end(child: subprocess.Popen[bytes]) -> None:
    """See a child to its end: it has ended, or it ends on being told to, or it is killed."""
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
