"""`penstock put`: each line of the input becomes an item."""

from __future__ import annotations

from typing import Any

import click

import penstock
from penstock.cli._common import (
    Deadline,
    capacity_option,
    name_argument,
    open_or_create,
    timeout_option,
    trust_option,
)
from penstock.cli._exits import Exit
from penstock.cli._items import BadLine, parser_for
from penstock.cli._stop import Stop, Stopped
from penstock.cli._streams import STDIN, LineReader, LongLine, is_terminal, say
from penstock.cli._text import escape, excerpt, human_count

# JSON may spell a character of two bytes in six, and put blanks between all; no other line may be longer than its item.
_LINE_BYTES_PER_ITEM_BYTE = 8
_NUMBER_LINE_BYTES = 256

# What goes into the queue under one lock at most; a queue that holds fewer sets a lower limit.
_LONGEST_BATCH = 1024


@click.command("put")
@name_argument
@click.option(
    "--item",
    metavar="KIND",
    help="What a line is: u1 u2 u4 u8 i1 i2 i4 i8 f4 f8 ? (numbers), str, bytes, json, msgpack. Default: what the "
    "queue holds; str if this creates it.",
)
@capacity_option
@click.option(
    "--max-item-bytes", type=click.IntRange(min=1), metavar="N", help="Largest item, if this creates the queue."
)
@timeout_option
@trust_option
def command(
    name: str, item: str | None, capacity: int | None, max_item_bytes: int | None, timeout: float | None, trust: bool
) -> int:
    """Put each line of standard input into the queue NAME, creating it if need be.

    Waits while the queue is full; --timeout limits each such wait. A line that is no item of the queue's kind is
    reported and left out, and the exit code is then 1.
    """
    stop = Stop()
    with _open(stop, name, item, capacity=capacity, max_item_bytes=max_item_bytes, trust=trust) as queue:
        return Writer(stop, queue, timeout).run()


def _open(stop: Stop, name: str, item: str | None, **parameters: Any) -> penstock.Queue:
    if item is not None:
        return open_or_create(stop, name, item=item, **parameters)
    try:
        return open_or_create(stop, name, item="str", **parameters)
    except penstock.Mismatch:
        return open_or_create(stop, name, **parameters)  # an existing queue of another kind; lines suit most


class Writer:
    """One run of the command: lines in, items into the queue."""

    def __init__(self, stop: Stop, queue: penstock.Queue, timeout: float | None) -> None:
        self._stop = stop
        self._queue = queue
        self._timeout = timeout
        try:
            self._parse = parser_for(queue.item)
        except BadLine as problem:
            raise penstock.Mismatch(f"queue {queue.name!r}: {problem}") from problem
        self._bad_lines = 0
        self._put_items = 0

    def run(self) -> int:
        """Put lines until the end of the input; return the exit code."""
        if is_terminal(STDIN):
            say("reading items from the terminal, one a line; Ctrl-D ends")
        reader = LineReader(self._stop, self._line_limit_bytes())
        line_number = 0
        try:
            while lines := reader.read():
                self._put_lines(line_number + 1, lines)
                line_number += len(lines)
        except (Stopped, penstock.Full, penstock.ShutDown, OSError):
            say(f"{human_count(self._put_items, 'item')} put")
            raise
        return Exit.FAILED if self._bad_lines else Exit.DONE

    def _line_limit_bytes(self) -> int:
        if self._queue.item in ("str", "bytes", "object", "json", "msgpack"):
            return _LINE_BYTES_PER_ITEM_BYTE * self._queue.max_item_bytes
        return _NUMBER_LINE_BYTES

    def _put_lines(self, first_line_number: int, lines: list[bytes]) -> None:
        longest = min(_LONGEST_BATCH, self._queue.capacity)
        items: list[Any] = []
        line_numbers: list[int] = []
        for line_number, line in enumerate(lines, first_line_number):
            try:
                if isinstance(line, LongLine):
                    raise BadLine(f"is too long for an item of at most {self._queue.max_item_bytes} bytes")
                items.append(self._parse(line))
            except BadLine as problem:
                self._report(line_number, line, problem)
                continue
            line_numbers.append(line_number)
            if len(items) == longest:
                self._put(items, lines, line_numbers, first_line_number)
                items, line_numbers = [], []
        self._put(items, lines, line_numbers, first_line_number)

    def _put(self, items: list[Any], lines: list[bytes], line_numbers: list[int], first_line_number: int) -> None:
        """Put a batch; if one of its items cannot be put at all, put them one by one and report that one."""
        try:
            self._put_all(items)
        except _REFUSALS:
            for item, line_number in zip(items, line_numbers, strict=True):
                try:
                    self._put_all([item])
                except _REFUSALS as problem:
                    self._report(line_number, lines[line_number - first_line_number], problem)

    def _put_all(self, items: list[Any]) -> None:
        deadline = Deadline(self._timeout)
        while items:
            self._stop.check()
            # Without waiting: then no signal comes in between, and the number that went in is known.
            try:
                put_items = self._queue.put_many(items, timeout=0)
            except penstock.Full:
                put_items = 0
            self._put_items += put_items
            items = items[put_items:]
            if not items:
                return
            if put_items:
                deadline = Deadline(self._timeout)
            elif deadline.is_over():
                raise penstock.Full(f"queue {self._queue.name!r} stayed full for {self._timeout:g} s")
            with self._stop.allowed():
                self._queue.wait_put(deadline.left_seconds())

    def _report(self, line_number: int, line: bytes, problem: Exception) -> None:
        total_bytes = line.total_bytes if isinstance(line, LongLine) else None
        separator = " " if isinstance(problem, BadLine) else ": "
        say(f"line {line_number}: {excerpt(line, total_bytes)}{separator}{escape(str(problem))}; nothing was put")
        self._bad_lines += 1


# What one item can be refused for when every other would be taken.
_REFUSALS = (penstock.TooLarge, OverflowError, TypeError, ValueError)
